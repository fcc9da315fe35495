//! Whether a run was whole: what ended it, and which traces are missing or cut.

use lab_model::{
    Lab, PhaseKind, Role,
    units::{agreeing, time},
};
use lab_trace::{FaultKind, Trace};

use crate::{
    findings::{RunState, RunWord, StateReason, StoodStill},
    participants::{roster::Roster, timeline::Timeline},
    verdict::outcome::list,
};

/// What tells of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recorded<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) roster: &'a Roster,
    pub(crate) timeline: &'a Timeline,
    pub(crate) traces: &'a [Trace<'a>],
    /// Traces that could not be read at all: name and reason.
    pub(crate) unreadable: &'a [(String, String)],
    /// Records that are missing from those that could be.
    pub(crate) lost: u64,
    /// Ends and targets of records that are there and cannot be read.
    pub(crate) parts_damaged: u64,
    /// Times in which the whole lab stood still.
    pub(crate) stood_still: Option<&'a StoodStill>,
}

impl Recorded<'_> {
    pub(crate) fn state(&self) -> RunState {
        let mut reasons = self.ended_early();
        reasons.extend(self.missing());
        // The lab was disturbed, and what there is of it is whole.
        let stood_still = self.stood_still.map(|still| still.sentence());
        reasons.extend(stood_still.map(|text| StateReason { word: RunWord::Disturbed, text }));
        RunState::of(reasons)
    }

    /// What ended the run before it was over.
    fn ended_early(&self) -> Vec<StateReason> {
        let when = |at: u64| {
            let phase = self
                .timeline
                .phase_at(at)
                .map_or_else(String::new, |phase| format!(", in the {}", phase.name()));
            format!("{} after it began{phase}", time(at.saturating_sub(self.timeline.origin)))
        };
        let ended = self.timeline.faults.iter().filter_map(|fault| {
            let (word, what) = match fault.kind {
                FaultKind::Interrupted => (RunWord::Interrupted, "The user interrupted the run"),
                FaultKind::RunTooLong => (RunWord::CutShort, "The run took too long and was ended"),
                FaultKind::Aborted => (RunWord::CutShort, "An expectation ended the run"),
                FaultKind::DeadlineKill | FaultKind::Planned(_) | FaultKind::Other(_) => return None,
            };
            Some(StateReason { word, text: format!("{what} {}.", when(fault.at)) })
        });
        let mut reasons: Vec<StateReason> = ended.collect();
        if reasons.is_empty() && self.has(Role::Orchestrator) {
            let unfinished = self.lab.phases.iter().find(|phase| {
                !self.timeline.phases.iter().any(|marked| marked.kind == phase.kind && marked.ended.is_some())
            });
            reasons.extend(
                unfinished
                    .map(|phase| StateReason { word: RunWord::CutShort, text: self.unfinished(phase.kind) }),
            );
        }
        reasons
    }

    fn unfinished(&self, kind: PhaseKind) -> String {
        if self.timeline.marked(kind).is_some() {
            format!("The run ended in the {}.", kind.name())
        } else {
            format!("The run ended before the {}.", kind.name())
        }
    }

    /// Which traces, or parts of them, are missing.
    fn missing(&self) -> Vec<StateReason> {
        let mut texts: Vec<String> = Vec::new();
        for (name, why) in self.unreadable {
            texts.push(format!("The trace {name} could not be read: {why}."));
        }
        if !self.has(Role::Orchestrator) {
            texts.push("There is no trace of the controller.".to_owned());
        }
        if !self.has(Role::Driver) {
            texts.push("There is no trace of the driver.".to_owned());
        }
        for (place, member) in (0_u16..).zip(&self.roster.clients) {
            if !self.roster.participants.iter().any(|participant| participant.client == Some(place)) {
                texts.push(format!("There is no trace of {}.", member.id));
            }
        }
        let cut = self.traces_that(|trace| trace.tail().is_cut());
        texts.extend(of_traces(&cut, "is cut off", "are cut off"));
        let open = self.traces_that(|trace| {
            trace.closed.is_none() && !trace.tail().is_cut() && !self.was_killed(trace.header.actor.0)
        });
        texts.extend(of_traces(&open, "was never closed", "were never closed"));
        if self.lost > 0 {
            texts.push(format!("At least {} missing.", agreeing(self.lost, "record is", "records are")));
        }
        if self.parts_damaged > 0 {
            let parts = agreeing(
                self.parts_damaged,
                "end or target of a record is",
                "ends or targets of records are",
            );
            texts.push(format!("{parts} damaged."));
        }
        texts.into_iter().map(|text| StateReason { word: RunWord::Incomplete, text }).collect()
    }

    /// Whose traces are so.
    fn traces_that(&self, is_so: impl Fn(&Trace<'_>) -> bool) -> Vec<String> {
        let traces = self.traces.iter().zip(&self.roster.participants);
        traces.filter(|(trace, _)| is_so(trace)).map(|(_, participant)| participant.label.clone()).collect()
    }

    /// Whether a process was ended by a signal, so that it could not close its trace: that is known of it, and not
    /// missing.
    fn was_killed(&self, actor: u16) -> bool {
        self.timeline.ends.iter().any(|end| end.actor == actor && end.status & SIGNAL != 0)
    }

    fn has(&self, role: Role) -> bool {
        self.roster.participants.iter().any(|participant| participant.role == role)
    }
}

/// What is so of these traces; nothing of none.
fn of_traces(whose: &[String], one: &str, more: &str) -> Option<String> {
    match whose {
        [] => None,
        [whose] => Some(format!("The trace of {whose} {one}.")),
        several => Some(format!("The traces of {} {more}.", list(several))),
    }
}

/// The bits of a wait status that hold the signal.
const SIGNAL: i32 = 0x7f;
