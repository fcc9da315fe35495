//! What was done to the processes of a lab.

use std::borrow::Cow;

use lab_model::PlannedKind;
use lab_trace::FaultKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Vocabulary, Word};

/// Something that was done to a lab process, by the lab file's plan or by the run itself (a deadline kill, an
/// interruption). Instants in nanoseconds from the run's origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultMark {
    /// When, from the run's origin.
    pub at_ns: u64,
    /// When it was over, from the run's origin; `null` for what was over at once or lasted to the end.
    #[serde(default)]
    pub until_ns: Option<u64>,
    /// What: `deadline kill`, `run too long`, `interrupted`, ..., or a planned fault's word in lab files, such as
    /// `stall`.
    pub kind: Word<FaultMarkKind>,
    /// On whom.
    pub actor: String,
    /// A planned fault's numbers, such as `by 5ms`; else empty.
    #[serde(default)]
    pub detail: String,
    /// Whether the lab file planned it.
    #[serde(default)]
    pub planned: bool,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultMarkKind {
    /// The warden killed a client for an answer that did not come.
    DeadlineKill,
    /// The run took longer than `safety.run_max`.
    RunTooLong,
    /// The user interrupted the run.
    Interrupted,
    /// An expectation ended the run.
    Aborted,
    /// The lab file planned it.
    Planned(PlannedKind),
    /// It has this number in the trace, which this version does not know.
    Numbered(u16),
}

impl From<PlannedKind> for FaultMarkKind {
    fn from(kind: PlannedKind) -> FaultMarkKind {
        FaultMarkKind::Planned(kind)
    }
}

impl From<FaultKind> for FaultMarkKind {
    fn from(kind: FaultKind) -> FaultMarkKind {
        match kind {
            FaultKind::DeadlineKill => FaultMarkKind::DeadlineKill,
            FaultKind::RunTooLong => FaultMarkKind::RunTooLong,
            FaultKind::Interrupted => FaultMarkKind::Interrupted,
            FaultKind::Aborted => FaultMarkKind::Aborted,
            FaultKind::Planned(kind) => FaultMarkKind::Planned(kind),
            FaultKind::Other(code) => FaultMarkKind::Numbered(code),
        }
    }
}

impl Vocabulary for FaultMarkKind {
    const NAME: &'static str = "FaultMarkKind";
    const ABOUT: &'static str = "What was done.";
    const PATTERNS: &'static [&'static str] = &["^fault [0-9]+$"];

    fn all() -> Vec<FaultMarkKind> {
        let own = [
            FaultMarkKind::DeadlineKill,
            FaultMarkKind::RunTooLong,
            FaultMarkKind::Interrupted,
            FaultMarkKind::Aborted,
        ];
        own.into_iter().chain(PlannedKind::ALL.iter().copied().map(FaultMarkKind::Planned)).collect()
    }

    fn word(&self) -> Cow<'static, str> {
        match self {
            FaultMarkKind::DeadlineKill => "deadline kill".into(),
            FaultMarkKind::RunTooLong => "run too long".into(),
            FaultMarkKind::Interrupted => "interrupted".into(),
            FaultMarkKind::Aborted => "ended by an expectation".into(),
            FaultMarkKind::Planned(kind) => kind.name().into(),
            FaultMarkKind::Numbered(code) => format!("fault {code}").into(),
        }
    }

    fn of_word(word: &str) -> Option<FaultMarkKind> {
        let known = FaultMarkKind::all().into_iter().find(|kind| kind.word() == word);
        known.or_else(|| word.strip_prefix("fault ")?.parse().ok().map(FaultMarkKind::Numbered))
    }
}
