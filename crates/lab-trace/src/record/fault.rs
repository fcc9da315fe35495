//! Disturbances: planned ones, and the warden's acts.

use lab_model::{Actor, FaultStage, PlannedKind, Ticks};

use super::words::u16_at;

/// What a fault record stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The warden killed a client past its deadline; `detail` is the overdue decision's record.
    DeadlineKill,
    /// The warden ended the run because it took too long.
    RunTooLong,
    /// The user interrupted the run.
    Interrupted,
    /// An expectation that ends the run no longer held.
    Aborted,
    /// A planned fault; `detail` is a [`PlannedStep`].
    Planned(PlannedKind),
    /// Another kind, by number.
    Other(u16),
}

impl FaultKind {
    pub(super) const fn code(self) -> u16 {
        match self {
            FaultKind::DeadlineKill => 1,
            FaultKind::RunTooLong => 2,
            FaultKind::Interrupted => 3,
            FaultKind::Aborted => 4,
            FaultKind::Planned(kind) => kind.code(),
            FaultKind::Other(code) => code,
        }
    }

    pub(super) fn from_code(code: u16) -> FaultKind {
        match code {
            1 => FaultKind::DeadlineKill,
            2 => FaultKind::RunTooLong,
            3 => FaultKind::Interrupted,
            4 => FaultKind::Aborted,
            other => PlannedKind::from_code(other).map_or(FaultKind::Other(other), FaultKind::Planned),
        }
    }
}

/// A step in a planned fault: its place in the lab's list of faults, and what happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedStep {
    /// The place in the lab's list, from 0.
    pub place: u32,
    /// What happened.
    pub stage: FaultStage,
}

impl PlannedStep {
    /// The `detail` of a fault's record.
    #[must_use]
    pub const fn detail(self) -> u64 {
        (stage_code(self.stage) as u64) << 32 | self.place as u64
    }

    /// The step that a record's `detail` stands for.
    #[must_use]
    pub const fn of(detail: u64) -> PlannedStep {
        let [a, b, c, d, e, f, g, h] = detail.to_le_bytes();
        PlannedStep {
            place: u32::from_le_bytes([a, b, c, d]),
            stage: stage_of(u32::from_le_bytes([e, f, g, h])),
        }
    }
}

/// The number of a stage in a [`PlannedStep`].
const fn stage_code(stage: FaultStage) -> u32 {
    match stage {
        FaultStage::Begins => 1,
        FaultStage::InForce => 2,
        FaultStage::Ends => 3,
        FaultStage::Over => 4,
        FaultStage::NoTarget => 5,
        FaultStage::TooLate => 6,
        FaultStage::Other(code) => code,
    }
}

const fn stage_of(code: u32) -> FaultStage {
    match code {
        1 => FaultStage::Begins,
        2 => FaultStage::InForce,
        3 => FaultStage::Ends,
        4 => FaultStage::Over,
        5 => FaultStage::NoTarget,
        6 => FaultStage::TooLate,
        other => FaultStage::Other(other),
    }
}

/// A planned disturbance, or the warden's act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When.
    pub at: Ticks,
    /// What.
    pub kind: FaultKind,
    /// On whom.
    pub actor: Actor,
    /// Its detail, by kind.
    pub detail: u64,
}

impl Fault {
    pub(crate) fn words(&self) -> [u64; 15] {
        let mut words = [0; 15];
        words[0] = self.at.0;
        words[1] = u64::from(self.kind.code()) | (u64::from(self.actor.0) << 16);
        words[2] = self.detail;
        words
    }

    pub(super) fn from_words(words: &[u64]) -> Fault {
        Fault {
            at: Ticks(words[0]),
            kind: FaultKind::from_code(u16_at(words[1], 0)),
            actor: Actor(u16_at(words[1], 16)),
            detail: words[2],
        }
    }
}
