//! The steps of a load whose rate was raised: what each achieved, and which was the last that held.

use std::ops::Range;

use lab_model::{Bounded, Expectation, Knee, Lab, PhaseKind, Rate, Role};
use lab_trace::{Entry, OperationBegin, OperationEnd, Record, Trace};

use crate::{
    findings::{Broken, BrokenCondition, Findings, Knee as Found, KneeStep, LoadWord, ObservedUnit},
    measure::{self, Closing, Measure, Measured, holds},
    measures::latency::{Times, Used, UsedUp},
    participants::timeline::Timeline,
    pass::facts::{BegunOperation, ReadDecision, Scope},
};

/// A step that achieves less than this share of its rate has not kept up with it.
const KEPT_UP: f64 = 0.95;

#[derive(Clone, Debug, Default)]
struct Step {
    begun: u64,
    completed: u64,
    /// Operations that ended while the step lasted, whichever step planned them.
    ended: u64,
    times: Times,
    used: Used,
    misses: u64,
}

/// What the steps show, while the records pass by.
#[derive(Clone, Debug)]
pub(crate) struct KneeTally {
    knee: Knee,
    load: LoadWord,
    hold: Vec<Expectation>,
    /// The driver's workers that belong to the load.
    workers: Range<u16>,
    /// When the first operation was planned, and how long a step lasts.
    began: u64,
    length: u64,
    steps: Vec<Step>,
}

impl KneeTally {
    /// A tally for the lab's load that looks for a knee, if it has one and its storm has begun.
    pub(crate) fn of(lab: &Lab, traces: &[Trace<'_>]) -> Option<KneeTally> {
        let mut first = 0_u16;
        let (load, knee) = lab.workload.iter().find_map(|load| match load.rate {
            Rate::Knee(knee) => Some((load, knee)),
            _ => {
                first = first.saturating_add(load.workers);
                None
            }
        })?;
        let workers = first..first.saturating_add(load.workers);
        let began = traces
            .iter()
            .filter(|trace| trace.header.role == Role::Driver)
            .filter_map(|trace| first_planned(trace, &workers))
            .min()?;
        Some(KneeTally {
            knee,
            load: LoadWord::from(&load.kind),
            hold: lab.hold.clone(),
            workers,
            began,
            length: knee.step(lab.phases.storm).nanos().max(1),
            steps: vec![Step::default(); usize::from(knee.steps)],
        })
    }

    /// The step that a time lies in.
    fn step(&mut self, at: u64) -> Option<&mut Step> {
        let step = at.checked_sub(self.began)?.checked_div(self.length).unwrap_or(0);
        self.steps.get_mut(usize::try_from(step).ok()?)
    }

    /// Counts an operation of the driver's. All times are in nanoseconds.
    fn operation(&mut self, begin: &OperationBegin, end: Option<&OperationEnd>, timeline: &Timeline) {
        let mine = begin.phase == Some(PhaseKind::Storm) && self.workers.contains(&begin.worker);
        let Some(planned) = begin.planned.filter(|_| mine) else { return };
        if let Some(step) = self.step(planned.0) {
            step.begun.raise(1);
            if let Some(end) = end {
                step.completed.raise(1);
                step.times.record(timeline.took(planned.0, end.ended.0));
            }
        }
        if let Some(step) = end.and_then(|end| self.step(end.ended.0)) {
            step.ended.raise(1);
        }
    }

    /// Counts a decision by when it was read: how much of its budget it took, or that it was late.
    fn decision(&mut self, read: u64, used: Option<UsedUp>, missed: bool) {
        let Some(step) = self.step(read) else { return };
        step.misses.raise(u64::from(missed));
        if let Some(used) = used {
            step.used.record(used);
        }
    }

    fn section(&self, timeline: &Timeline) -> Found {
        let steps: Vec<KneeStep> = (0..self.knee.steps)
            .zip(&self.steps)
            .map(|(place, step)| self.judge(place, step, timeline))
            .collect();
        let broke = steps.iter().position(|step| step.held != Some(true)).unwrap_or(steps.len());
        let held = broke.checked_sub(1).map(|last| steps[last].rate);
        let broke = steps.get(broke).filter(|step| step.held == Some(false)).map(|step| step.rate);
        Found { load: self.load.into(), held, broke, steps }
    }

    fn judge(&self, place: u16, step: &Step, timeline: &Timeline) -> KneeStep {
        let rate = self.knee.rate(place);
        let seconds = self.length as f64 / 1e9;
        let planned = u128::from(self.length).saturating_mul(u128::from(rate)).div_ceil(1_000_000_000);
        let planned = u64::try_from(planned).unwrap_or(u64::MAX);
        let achieved = step.ended as f64 / seconds;
        let mut found = KneeStep {
            rate,
            began_ns: self
                .began
                .saturating_add(u64::from(place).saturating_mul(self.length))
                .saturating_sub(timeline.origin),
            seconds,
            planned,
            begun: step.begun,
            completed: step.completed,
            ops_per_second: achieved,
            op_latency_ns: step.times.summary(),
            headroom: step.used.headroom(),
            deadline_misses: step.misses,
            broken: Vec::new(),
            held: None,
        };
        if step.begun == 0 {
            return found;
        }
        if achieved < KEPT_UP * f64::from(rate) {
            found.broken.push(Broken::Condition(BrokenCondition {
                condition: None,
                metric: "ops_per_second".to_owned(),
                observed: achieved,
                unit: ObservedUnit::PerSecond.into(),
                bound: false,
            }));
        }
        let broken = self.hold.iter().filter_map(|condition| {
            let measured = measured(&found, &condition.metric)?;
            (holds(condition, &measured) == Some(false)).then(|| broken(condition, &measured))
        });
        let broken: Vec<Broken> = broken.collect();
        found.broken.extend(broken);
        found.held = Some(found.broken.is_empty());
        found
    }
}

impl Measure for Option<KneeTally> {
    fn of(scope: &Scope<'_>) -> Self {
        KneeTally::of(scope.lab, scope.traces)
    }

    fn operation_begun(&mut self, begun: &BegunOperation<'_>, scope: &Scope<'_>) {
        let mine = begun.root && begun.participant.role == Role::Driver;
        if let Some(knee) = self.as_mut().filter(|_| mine) {
            knee.operation(&begun.operation.begin, begun.operation.end.present(), scope.timeline);
        }
    }

    fn decision_read(&mut self, read: &ReadDecision<'_>, _: &Scope<'_>) {
        if let (Some(knee), Some(judged)) = (self, read.judged) {
            knee.decision(read.at, judged.used, judged.late || judged.killed);
        }
    }

    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        findings.knee = self.as_ref().map(|knee| knee.section(closing.scope.timeline));
    }

    fn metric(findings: &Findings, parts: &[&str]) -> Option<Measured> {
        match parts {
            ["knee", "rate"] => Some(Measured::Count(findings.knee.as_ref()?.held.unwrap_or(0).into())),
            _ => None,
        }
    }
}

/// A condition that a step's measured value breaks.
fn broken(condition: &Expectation, measured: &Measured) -> Broken {
    let (observed, unit, bound) = match measured {
        Measured::Time(time) => (*time as f64, ObservedUnit::Nanoseconds, false),
        Measured::TimeAtLeast(time) => (*time as f64, ObservedUnit::Nanoseconds, true),
        Measured::Number(share) => (*share, ObservedUnit::Share, false),
        Measured::NumberAtMost(share) => (*share, ObservedUnit::Share, true),
        Measured::Count(count) => (*count as f64, ObservedUnit::Count, false),
        // No metric of a step is a word.
        Measured::Word(word) => return Broken::Words(format!("{}: {word}", condition.text)),
    };
    Broken::Condition(BrokenCondition {
        condition: Some(condition.text.clone()),
        metric: condition.metric.clone(),
        observed,
        unit: unit.into(),
        bound,
    })
}

/// What a step says of a metric that a lab file may name for it.
fn measured(step: &KneeStep, metric: &str) -> Option<Measured> {
    let parts: Vec<&str> = metric.split('.').collect();
    Some(match parts[..] {
        ["op_latency", "storm", which] => measure::latency(&step.op_latency_ns, which)?,
        ["headroom", which] => measure::headroom(&step.headroom, which)?,
        ["deadline", "misses"] => Measured::Count(step.deadline_misses),
        _ => return None,
    })
}

/// The earliest planned start of these workers' operations in the storm, in nanoseconds.
fn first_planned(trace: &Trace<'_>, workers: &Range<u16>) -> Option<u64> {
    let planned = trace.entries().filter_map(|entry| match entry {
        Entry::Record { record: Record::Operation(operation), .. } => {
            let begin = operation.begin;
            let mine = begin.phase == Some(PhaseKind::Storm) && workers.contains(&begin.worker);
            begin.planned.filter(|_| mine)
        }
        _ => None,
    });
    planned.map(|planned| trace.header.timebase.nanoseconds(planned.0)).min()
}
