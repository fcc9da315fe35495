//! Trees of programs: who made which process, how long each level took, and what the slowest tree waited for.

use std::collections::BTreeMap;

use lab_model::{Bounded, Cause, Lab, LoadKind, OperationKind, PhaseKind, Role, Total};

use crate::{
    findings::{Findings, TreeLevel, TreeStep, Trees},
    measure::{Closing, Measure},
    measures::latency::Times,
    pass::facts::{BegunOperation, EndedOperation, Scope},
};

/// Trees have at most this many levels in a report: as many as a lab file allows, and what is damaged has no more.
const LEVELS_MAX: usize = 64;

/// A process, by its trace and record.
type Place = (u16, u64);

#[derive(Clone, Copy, Debug)]
struct Process {
    root: u64,
    parent: u64,
    level: usize,
    pid: u32,
    began: u64,
    ended: Option<u64>,
    failed: bool,
}

#[derive(Clone, Debug, Default)]
struct Level {
    execs: u64,
    unfinished: u64,
    failed: u64,
    times: Times,
}

/// What the trees of the storm show, while the records pass by. Holds the processes of trees that have not ended.
#[derive(Clone, Debug, Default)]
pub(crate) struct TreesTally {
    growing: BTreeMap<Place, Process>,
    /// The records of each tree by its root, the root first.
    members: BTreeMap<Place, Vec<u64>>,
    trees: u64,
    unfinished: u64,
    detached: u64,
    lasted: Times,
    levels: Vec<Level>,
    slowest: Vec<TreeStep>,
}

impl TreesTally {
    /// A tally for a lab that grows trees.
    pub(crate) fn of(lab: &Lab) -> Option<TreesTally> {
        let grows = lab.workload.iter().any(|load| matches!(load.kind, LoadKind::ExecTree(_)));
        grows.then(TreesTally::default)
    }

    /// Takes note of an operation that the driver has begun.
    fn begin(&mut self, begun: &BegunOperation<'_>) {
        let (trace, record, operation) = (begun.trace, begun.record, begun.operation);
        let begin = &operation.begin;
        let wanted = begin.kind == OperationKind::Exec && begin.cause == Cause::Workload;
        if !wanted || begun.phase != Some(PhaseKind::Storm) {
            return;
        }
        let (root, level) = match begin.parent {
            None => (record, 0),
            Some(parent) => match self.growing.get(&(trace, parent)) {
                Some(parent) => (parent.root, parent.level.saturating_add(1).min(LEVELS_MAX - 1)),
                None => {
                    self.detached.raise(1);
                    return;
                }
            },
        };
        let end = operation.end.present();
        let process = Process {
            root,
            parent: begin.parent.unwrap_or(record),
            level,
            pid: begin.subject.pid,
            began: begin.started.0,
            ended: end.map(|end| end.ended.0.max(begin.started.0)),
            failed: end.is_some_and(|end| end.error != 0),
        };
        self.growing.insert((trace, record), process);
        self.members.entry((trace, root)).or_default().push(record);
    }

    /// An operation is over; with a tree's root all of its tree is.
    fn end(&mut self, trace: u16, record: u64, origin: u64) {
        let Some(members) = self.members.remove(&(trace, record)) else { return };
        let tree: BTreeMap<u64, Process> = members
            .iter()
            .filter_map(|&member| Some((member, self.growing.remove(&(trace, member))?)))
            .collect();
        let Some(root) = tree.get(&record).copied().filter(|_| tree.len() > 1) else { return };
        self.trees.raise(1);
        for process in tree.values() {
            if self.levels.len() <= process.level {
                self.levels.resize(process.level.saturating_add(1), Level::default());
            }
            let level = &mut self.levels[process.level];
            level.execs.raise(1);
            level.failed.raise(u64::from(process.failed));
            match process.ended {
                Some(ended) => level.times.record(ended.saturating_sub(process.began)),
                None => level.unfinished.raise(1),
            }
        }
        let Some(ended) = root.ended else {
            self.unfinished.raise(1);
            return;
        };
        let took = ended.saturating_sub(root.began);
        if self.slowest.first().is_none_or(|slowest| took > slowest.lasted_ns) {
            self.slowest = critical(&tree, record, origin);
        }
        self.lasted.record(took);
    }

    fn section(&self) -> Trees {
        let levels = (1_u32..).zip(&self.levels).map(|(number, level)| TreeLevel {
            level: number,
            execs: level.execs,
            unfinished: level.unfinished,
            failed: level.failed,
            lasted_ns: level.times.summary(),
        });
        Trees {
            trees: self.trees,
            unfinished: self.unfinished,
            execs: self.levels.iter().map(|level| level.execs).total(),
            detached: self.detached,
            lasted_ns: self.lasted.summary(),
            levels: levels.collect(),
            slowest: self.slowest.clone(),
        }
    }
}

impl Measure for Option<TreesTally> {
    fn of(scope: &Scope<'_>) -> Self {
        TreesTally::of(scope.lab)
    }

    fn operation_begun(&mut self, begun: &BegunOperation<'_>, _: &Scope<'_>) {
        if let Some(trees) = self.as_mut().filter(|_| begun.participant.role == Role::Driver) {
            trees.begin(begun);
        }
    }

    fn operation_ended(&mut self, ended: &EndedOperation<'_>, scope: &Scope<'_>) {
        if let Some(trees) = self {
            trees.end(ended.op.trace, ended.op.record, scope.timeline.origin);
        }
    }

    fn finish(&self, _: &Closing<'_>, findings: &mut Findings) {
        findings.trees = self.as_ref().map(TreesTally::section);
    }
}

/// From the root, each time the child that ended last.
fn critical(tree: &BTreeMap<u64, Process>, root: u64, origin: u64) -> Vec<TreeStep> {
    let mut last: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
    for (&record, process) in tree.iter().filter(|(record, _)| **record != root) {
        if let Some(ended) = process.ended {
            let latest = last.entry(process.parent).or_insert((ended, record));
            *latest = (*latest).max((ended, record));
        }
    }
    let mut steps = Vec::new();
    let mut next = Some(root);
    while let Some(record) = next.filter(|_| steps.len() < LEVELS_MAX) {
        let Some((process, ended)) = tree.get(&record).and_then(|one| Some((one, one.ended?))) else { break };
        let child = last.get(&record).map(|&(_, child)| child);
        // Who was killed may have left a child behind that ended later: then nothing is its own after that.
        let inner = child.and_then(|child| tree.get(&child)).map_or((ended, ended), |child| {
            (child.began.min(ended), child.ended.unwrap_or(ended).min(ended))
        });
        steps.push(TreeStep {
            level: u32::try_from(process.level).unwrap_or(u32::MAX).saturating_add(1),
            record,
            pid: process.pid,
            began_ns: process.began.saturating_sub(origin),
            lasted_ns: ended.saturating_sub(process.began),
            before_ns: inner.0.saturating_sub(process.began),
            after_ns: ended.saturating_sub(inner.1),
        });
        next = child;
    }
    steps
}
