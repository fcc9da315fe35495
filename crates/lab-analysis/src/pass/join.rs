//! The one pass over all records: joins each decision to the operation that caused it, each operation to the
//! decision during which it was made, and tells every count about it.

use std::{
    cmp::Reverse,
    collections::{BTreeSet, BinaryHeap},
};

use lab_model::{
    Approval, Bounded, Cause, EventKind, OperationKind, PhaseKind, ProcessId, SubjectClass, Verdict,
};
use lab_trace::{Decision, FaultKind, Operation, Trace};

use self::{
    notice::Notices,
    paths::Paths,
    reacts::{Expected, Reacted},
};
use crate::{
    measures::Measures,
    participants::{policies::Policies, roster::Roster, timeline::Timeline},
    pass::{
        cascade::{Forest, NOWHERE, Node, Origin},
        facts::{Ending, Scope, bit},
        flame::Flame,
        merge::{Body, Item, Merge},
        slots::{Asked, Branch, By, Dec, NEVER, NOBODY, NONE, Op, Slab, Table},
    },
    verdict::waiting::{Scene, Waiting},
};

/// A wait that lasted this share of the deadline is worth a look at the wait-for graph when it ends.
const LOOK_SHARE: u64 = 10;

/// Marks a decision's place among the ends.
const DECISION: u32 = 1 << 31;

/// What could not be joined.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unjoined {
    /// Operations whose cause is not in the traces.
    pub(crate) orphans: u64,
    /// Decisions in the trace of a process that is no client.
    pub(crate) misplaced: u64,
    /// Decisions about another file than the operation their thread was in.
    pub(crate) mismatched: u64,
    /// Decisions about threads that were never seen, in a lab with products that may have had them.
    pub(crate) unseen: u64,
}

/// The join of all records: what is open, the tables that find it, and the forest of cascades. What is measured on the
/// way is none of its business: it says facts, and [`Measures`] listens.
#[derive(Debug)]
pub(crate) struct Engine<'a> {
    scope: Scope<'a>,
    policies: Policies,
    deadline: u64,
    ops: Slab<Op>,
    decisions: Slab<Dec>,
    by_thread: Table<u64, u32>,
    /// Execs by their process.
    by_process: Table<u32, u32>,
    by_record: Table<(u16, u64), u32>,
    ends: BinaryHeap<Reverse<(u64, u32)>>,
    /// Operations still to come for each record, per trace; 255 stands for 255 or more.
    children: Vec<Vec<u8>>,
    /// The last record of each trace that had a consequence: what came later was perhaps not reacted to yet.
    last_parent: Vec<Option<u64>>,
    open: Vec<Vec<u32>>,
    workers: Vec<usize>,
    readers: Vec<usize>,
    next_end: usize,
    overdue: BTreeSet<(u16, u64)>,
    /// The traces of processes that the warden ended for a deadline.
    killed: BTreeSet<u16>,
    forest: Forest,
    pub(crate) flame: Flame,
    closing_seen: bool,
    finishing: bool,
    pub(crate) waiting: Waiting,
    pub(crate) unjoined: Unjoined,
    notices: Notices,
    pub(crate) paths: Paths,
    pub(crate) measures: Measures,
}

/// How many operations each decision of each trace will have caused.
fn children(roster: &Roster, traces: &[Trace<'_>]) -> (Vec<Vec<u8>>, Vec<Option<u64>>) {
    let mut children: Vec<Vec<u8>> =
        traces.iter().map(|trace| vec![0; trace.entries().remaining()]).collect();
    let mut last = vec![None; traces.len()];
    for cause in traces.iter().flat_map(Trace::causes) {
        let Cause::Decision { client, record } = cause else { continue };
        let Some(trace) = roster.trace_of(client.0).map(usize::from) else { continue };
        let place = usize::try_from(record).unwrap_or(usize::MAX);
        if let Some(count) = children[trace].get_mut(place) {
            *count = count.saturating_add(1);
            last[trace] = last[trace].max(Some(record));
        }
    }
    (children, last)
}

impl<'a> Engine<'a> {
    pub(crate) fn new(scope: Scope<'a>) -> Engine<'a> {
        let Scope { lab, roster, timeline, traces, .. } = scope;
        let clients = roster.clients.len();
        let (children, last_parent) = children(roster, traces);
        let kills = timeline.faults.iter().filter(|fault| fault.kind == FaultKind::DeadlineKill);
        let overdue = kills.filter_map(|kill| Some((roster.trace_of(kill.actor)?, kill.detail)));
        let actors = (0_u16..).zip(traces).map(|(trace, bytes)| (trace, bytes.header.actor.0));
        let killed = actors.filter(|&(_, actor)| timeline.killed_at_deadline(actor)).map(|(trace, _)| trace);
        Engine {
            scope,
            policies: Policies::new(lab, roster, timeline),
            deadline: lab.deadline.nanos().max(1),
            ops: Slab::default(),
            decisions: Slab::default(),
            by_thread: Table::default(),
            by_process: Table::default(),
            by_record: Table::default(),
            ends: BinaryHeap::new(),
            children,
            last_parent,
            open: vec![Vec::new(); clients],
            workers: roster.clients.iter().map(|member| member.workers).collect(),
            readers: vec![1; clients],
            next_end: 0,
            overdue: overdue.collect(),
            killed: killed.collect(),
            forest: Forest::default(),
            flame: Flame::new(),
            closing_seen: false,
            finishing: false,
            waiting: Waiting::default(),
            unjoined: Unjoined::default(),
            notices: Notices::of(lab),
            paths: Paths::of(lab),
            measures: Measures::of(&scope),
        }
    }

    /// Runs the pass.
    pub(crate) fn run(&mut self, merge: &mut Merge<'_>) {
        while let Some(item) = merge.next() {
            self.advance(item.at);
            match &item.body {
                Body::Operation(operation) => self.operation(&item, operation, merge),
                Body::Decision(decision) => self.decision(&item, decision, merge),
                Body::Notice(notice) => self.notice(&item, notice, merge),
            }
        }
        self.finish();
    }

    /// Lets everything end that ended before `at`.
    fn advance(&mut self, at: u64) {
        loop {
            let end = self.ends.peek().map_or(NEVER, |Reverse((end, _))| *end);
            let death = self.scope.timeline.ends.get(self.next_end).map_or(NEVER, |death| death.at);
            let next = end.min(death);
            if !self.closing_seen && self.scope.timeline.closing < at.min(next) {
                self.close();
            }
            if next >= at {
                return;
            }
            if death < end {
                self.next_end.raise(1);
                self.process_ended(self.next_end.saturating_sub(1));
            } else if let Some(Reverse((end, place))) = self.ends.pop() {
                if place & DECISION == 0 {
                    self.end_operation(place, end, Ending::Itself);
                } else {
                    self.answer(place & !DECISION, end, Ending::Itself);
                }
            }
        }
    }

    /// Takes stock of what is still open at the end of the drain.
    fn close(&mut self) {
        self.closing_seen = true;
        self.measures.drain_over(&self.scope);
        let (alive, closing) = (self.alive(), self.scope.timeline.closing);
        for op in self.ops.used().into_iter().filter_map(|slot| self.ops.get(slot)) {
            let old =
                closing.saturating_sub(op.started) >= self.deadline / LOOK_SHARE && op.orphaned.is_none();
            let unread = alive & !op.asked_by;
            if old && op.pending.is_empty() && unread != 0 {
                self.waiting.unread.entry(unread).or_default().raise(1);
            }
        }
    }

    /// The clients that have a trace and have not ended, as bits.
    fn alive(&self) -> u128 {
        let ended = &self.scope.timeline.ends[..self.next_end];
        let gone = |trace: u16| ended.iter().any(|end| self.scope.roster.trace_of(end.actor) == Some(trace));
        let participants = (0_u16..).zip(&self.scope.roster.participants);
        participants
            .filter(|&(trace, _)| !gone(trace))
            .filter_map(|(_, participant)| participant.client)
            .fold(0, |bits, client| bits | bit(client))
    }

    fn finish(&mut self) {
        self.advance(NEVER);
        self.look();
        if !self.closing_seen {
            self.close();
        }
        let last = self.scope.timeline.last;
        for slot in self.decisions.used() {
            if self.decisions.get(slot).is_some_and(|decision| decision.pending) {
                self.answer(slot, last, Ending::Run);
            }
        }
        for slot in self.ops.used() {
            match self.ops.get(slot).and_then(|op| op.orphaned) {
                Some(orphaned) => self.end_operation(slot, orphaned, Ending::Process),
                None => self.end_operation(slot, last, Ending::Run),
            }
        }
        self.end_notices();
        self.finishing = true;
        // Decisions whose announced operations never came (damaged in between) still hold their cascades.
        for slot in self.decisions.used() {
            self.forget(slot);
        }
    }

    /// A process is gone: what it left unanswered or unfinished ends with it.
    fn process_ended(&mut self, place: usize) {
        let death = self.scope.timeline.ends[place];
        let Some(trace) = self.scope.roster.trace_of(death.actor) else { return };
        self.look();
        for slot in self.decisions.used() {
            let decision = self.decisions.get(slot);
            if decision.is_some_and(|dec| dec.trace == trace && dec.pending && dec.answered == NEVER) {
                self.answer(slot, death.at, Ending::Process);
            }
        }
        for slot in self.ops.used() {
            let Some(op) = self.ops.get(slot).filter(|op| op.trace == trace && op.ended == NEVER) else {
                continue;
            };
            match op.kind {
                OperationKind::Exec => self.orphan(slot, death.at),
                _ => self.end_operation(slot, death.at, Ending::Process),
            }
        }
    }

    fn look(&mut self) {
        let scene = Scene {
            ops: &self.ops,
            decisions: &self.decisions,
            open: &self.open,
            servers: &self.scope.roster.servers,
            workers: &self.workers,
            readers: &self.readers,
            own_events: self.scope.own_events,
        };
        self.waiting.look(&scene);
    }

    /// True when a trace reaches far enough that the reactions to this record would be in it: tasks begin in the order of
    /// records, so whoever has reacted to a later one has begun with this one.
    fn is_complete(&self, trace: u16, record: u64) -> bool {
        self.last_parent[usize::from(trace)].is_some_and(|last| record <= last)
    }

    fn phase_of(&self, named: Option<PhaseKind>, at: u64) -> Option<PhaseKind> {
        let unmarked = self.scope.timeline.phases.is_empty().then_some(PhaseKind::Storm);
        named.or_else(|| self.scope.timeline.phase_at(at)).or(unmarked)
    }
}

mod decision;
mod notice;
mod operation;
mod paths;
mod reacts;
