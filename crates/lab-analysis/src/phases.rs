//! How long root operations took in each phase.

use lab_model::PhaseKind;
use lab_trace::OperationEnd;

use crate::{
    findings::Phase,
    latency::Times,
    timeline::{Marked, Timeline},
};

#[derive(Clone, Debug, Default)]
struct One {
    completed: u64,
    unfinished: u64,
    failed: u64,
    times: Times,
    first: Option<u64>,
    last: u64,
}

/// One tally a phase.
#[derive(Clone, Debug, Default)]
pub(crate) struct PhaseTally([One; PhaseKind::ALL.len()]);

impl PhaseTally {
    /// Counts a root operation; `end` comes with the time from which its latency counts.
    pub(crate) fn begin(&mut self, phase: Option<PhaseKind>, at: u64, end: Option<(&OperationEnd, u64)>) {
        let Some(one) = phase.and_then(|phase| self.0.get_mut(phase.place())) else { return };
        one.first = Some(one.first.map_or(at, |first| first.min(at)));
        one.last = one.last.max(at);
        let Some((end, from)) = end else {
            one.unfinished += 1;
            return;
        };
        one.completed += 1;
        one.failed += u64::from(end.error != 0);
        one.times.record(end.ended.0.saturating_sub(from));
        one.last = one.last.max(end.ended.0);
    }

    pub(crate) fn median(&self, phase: PhaseKind) -> Option<u64> {
        self.0[phase.place()].times.median()
    }

    /// The phases that took place: as marked, or, where no mark is left, as their root operations show.
    pub(crate) fn finish(&self, timeline: &Timeline) -> Vec<Phase> {
        let mut phases = Vec::new();
        for (kind, one) in PhaseKind::ALL.into_iter().zip(&self.0) {
            let seen = one.first.map(|first| Marked { kind, began: first, ended: Some(one.last) });
            let Some(marked) = timeline.marked(kind).or(seen) else { continue };
            let ended = marked.ended.unwrap_or(timeline.last).max(marked.began);
            let seconds = (ended - marked.began) as f64 / 1e9;
            phases.push(Phase {
                name: kind.name().into(),
                began_ns: marked.began.saturating_sub(timeline.origin),
                seconds,
                root_ops: one.completed,
                root_ops_unfinished: one.unfinished,
                root_ops_failed: one.failed,
                ops_per_second: if seconds > 0.0 { one.completed as f64 / seconds } else { 0.0 },
                op_latency_ns: one.times.summary(),
                spectrum: one.times.spectrum(),
            });
        }
        phases
    }
}
