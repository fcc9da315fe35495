//! What root operations there were in each phase, how long they took, and which never began.
//!
//! A process of a command lasts as long as the command makes it last: it is counted apart from opens and execs.

use lab_model::{Bounded, OperationKind, PhaseKind};
use lab_trace::{OperationBegin, OperationEnd, RecordPart};

use crate::{
    findings::{AfterDeath, Cost, Figure, Findings, Lifetimes, Phase, PlannedOps},
    measure::{Closing, Measure, Measured, latency},
    measures::latency::Times,
    participants::timeline::{Marked, Timeline},
    pass::{
        facts::{BegunOperation, Scope},
        merge::NotBegun,
    },
};

/// Opens and execs.
#[derive(Clone, Debug, Default)]
struct Operations {
    completed: u64,
    unfinished: u64,
    failed: u64,
    times: Times,
}

#[derive(Clone, Debug, Default)]
struct One {
    /// Begun while all clients lived.
    lived: Operations,
    /// Begun while one was dead.
    after_death: Operations,
    planned: u64,
    processes: Processes,
    first: Option<u64>,
    last: u64,
}

#[derive(Clone, Debug, Default)]
struct Processes {
    ended: u64,
    unfinished: u64,
    not_started: u64,
    failed: u64,
    times: Times,
}

/// One tally a phase.
#[derive(Clone, Debug, Default)]
pub(crate) struct PhaseTally([One; PhaseKind::ALL.len()]);

impl PhaseTally {
    /// Counts a root operation.
    fn begin(&mut self, begun: &BegunOperation<'_>, scope: &Scope<'_>) {
        let (at, begin, end) = (begun.at, &begun.operation.begin, begun.operation.end.present());
        let Some(one) = begun.phase.and_then(|phase| self.0.get_mut(phase.place())) else { return };
        one.first = Some(one.first.map_or(at, |first| first.min(at)));
        one.last = one.last.max(at).max(end.map_or(0, |end| end.ended.0));
        one.planned.raise(u64::from(begin.planned.is_some()));
        if begin.kind == OperationKind::Process {
            one.processes.add(begin, end, scope.timeline);
            return;
        }
        let lived = scope.timeline.deaths().all_lived(at);
        let operations = if lived { &mut one.lived } else { &mut one.after_death };
        // In an open loop, waiting for its turn is part of what an operation takes.
        let since = begin.planned.unwrap_or(begin.started).0;
        let Some(end) = end else {
            operations.unfinished.raise(1);
            if begun.operation.end == RecordPart::Absent {
                operations.times.record_open(scope.timeline.took(since, scope.timeline.until(begun.trace)));
            }
            return;
        };
        operations.completed.raise(1);
        operations.failed.raise(u64::from(end.error != 0));
        operations.times.record(scope.timeline.took(since, end.ended.0));
    }

    /// The phases that took place: as marked, or, where no mark is left, as their root operations show. What was not
    /// begun belongs to the phase in which the driver said so.
    fn section<'a>(&self, timeline: &Timeline, not_begun: impl Iterator<Item = &'a NotBegun>) -> Vec<Phase> {
        let mut left = [(0_u64, 0_u64); PhaseKind::ALL.len()];
        for note in not_begun {
            let Some(phase) = timeline.phase_at(note.at) else { continue };
            let (late, halted) = &mut left[phase.place()];
            (if note.halted { halted } else { late }).raise(note.count);
        }
        let mut phases = Vec::new();
        for ((kind, one), (late, halted)) in PhaseKind::ALL.into_iter().zip(&self.0).zip(left) {
            let seen = one.first.map(|first| Marked { kind, began: first, ended: Some(one.last) });
            let Some(marked) = timeline.marked(kind).or(seen) else { continue };
            let ended = marked.ended.unwrap_or(timeline.last).max(marked.began);
            let lasted = ended.saturating_sub(marked.began);
            let dead = timeline.deaths().within(marked.began, ended);
            let (seconds, lived) = (lasted as f64 / 1e9, lasted.saturating_sub(dead) as f64 / 1e9);
            let Operations { completed, unfinished, failed, times } = &one.lived;
            let planned = PlannedOps {
                planned: one.planned.saturating_add(late).saturating_add(halted),
                begun: one.planned,
                not_begun_late: late,
                not_begun_halted: halted,
            };
            let spectrum = times.spectrum();
            phases.push(Phase {
                kind,
                began_ns: marked.began.saturating_sub(timeline.origin),
                seconds,
                root_ops: *completed,
                root_ops_unfinished: *unfinished,
                root_ops_failed: *failed,
                ops_per_second: if lived > 0.0 { *completed as f64 / lived } else { 0.0 },
                op_latency_ns: times.summary(),
                after_death: one.after_death.finish(dead),
                spectrum: spectrum.points,
                spectrum_at_least_from: spectrum.at_least_from,
                planned: (planned.planned > 0).then_some(planned),
                processes: one.processes.finish(),
            });
        }
        phases
    }
}

impl Operations {
    /// The part of a phase in which a client was dead for so many nanoseconds.
    fn finish(&self, dead: u64) -> Option<AfterDeath> {
        let begun = self.completed.saturating_add(self.unfinished);
        (dead > 0 || begun > 0).then(|| AfterDeath {
            seconds: dead as f64 / 1e9,
            root_ops: self.completed,
            root_ops_unfinished: self.unfinished,
            root_ops_failed: self.failed,
            op_latency_ns: self.times.summary(),
        })
    }
}

impl Measure for PhaseTally {
    fn of(_: &Scope<'_>) -> Self {
        PhaseTally::default()
    }

    fn operation_begun(&mut self, begun: &BegunOperation<'_>, scope: &Scope<'_>) {
        if begun.root {
            self.begin(begun, scope);
        }
    }

    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        let sides = closing.show.merge.sides();
        let not_begun = sides.iter().flat_map(|side| &side.not_begun);
        findings.phases = self.section(closing.scope.timeline, not_begun);
        findings.cost = cost(&findings.phases);
    }

    fn metric(findings: &Findings, parts: &[&str]) -> Option<Measured> {
        let named = |phase: &str| findings.phases.iter().find(|one| one.kind.name() == phase);
        match parts {
            ["op_latency", phase, which] => latency(&named(phase)?.op_latency_ns, which),
            ["root_ops", phase] => Some(Measured::Count(named(phase)?.root_ops_in_all())),
            _ => None,
        }
    }
}

/// The median of each phase, as the table of phases has it.
fn cost(phases: &[Phase]) -> Cost {
    let of =
        |kind: PhaseKind| phases.iter().find(|phase| phase.kind == kind).map(|phase| &phase.op_latency_ns);
    let median = |kind| of(kind).filter(|latency| !latency.is_empty()).map(|latency| latency.p50);
    let at_least = |kind: &PhaseKind| of(*kind).is_some_and(|latency| latency.is_at_least(Figure::P50));
    Cost {
        baseline_ns: median(PhaseKind::Baseline),
        control_ns: median(PhaseKind::Control),
        external_ns: median(PhaseKind::External),
        storm_ns: median(PhaseKind::Storm),
        at_least: PhaseKind::ALL.into_iter().filter(at_least).collect(),
    }
}

impl Processes {
    fn add(&mut self, begin: &OperationBegin, end: Option<&OperationEnd>, timeline: &Timeline) {
        let Some(end) = end else {
            self.unfinished.raise(1);
            return;
        };
        self.ended.raise(1);
        self.not_started.raise(u64::from(end.error != 0));
        self.failed.raise(u64::from(end.status != 0));
        self.times.record(timeline.took(begin.started.0, end.ended.0));
    }

    fn finish(&self) -> Option<Lifetimes> {
        (self.ended.saturating_add(self.unfinished) > 0).then(|| Lifetimes {
            ended: self.ended,
            unfinished: self.unfinished,
            not_started: self.not_started,
            failed: self.failed,
            lifetime_ns: self.times.summary(),
        })
    }
}
