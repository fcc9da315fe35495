//! The one pass over all records: joins each decision to the operation that caused it, each operation to the
//! decision during which it was made, and tells every count about it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    rc::Rc,
};

use lab_model::{
    Approval, Bounded, Cause, EventKind, Lab, OperationKind, PhaseKind, ProcessId, SubjectClass, Verdict,
};
use lab_trace::{Decision, FaultKind, Operation, Trace};

use crate::{
    measures::{
        drain::DrainTally,
        external::Outside,
        gain::Gain,
        hidden::{ApprovalsByClient, OperationFacts, Place as AskedAs},
        knee::KneeTally,
        ledger::{Account, CHAIN_MAX, Entry, Ranked, Step, inflict},
        notify::{Noticeable, NotifyTally, Reacting},
        phases::PhaseTally,
        pipeline::Stages,
        rules::RulesTally,
        series::{Backlog, Buckets},
        totals::Counts,
        trees::TreesTally,
    },
    participants::{
        lives::Lives, policies::Policies, processes::Processes, roster::Roster, timeline::Timeline,
    },
    pass::{
        cascade::{Flame, Forest, NOWHERE, Node, Origin, Tally},
        merge::{Body, Item, Merge},
        slots::{Asked, By, Dec, NEVER, NOBODY, NONE, Op, Slab, Table},
    },
    verdict::waiting::{Scene, Waiting},
};

/// A wait that lasted this share of the deadline is worth a look at the wait-for graph when it ends.
const LOOK_SHARE: u64 = 10;

/// How soon after a gap in its looks the orchestrator has noticed who ended in it, in nanoseconds.
const NOTICED_WITHIN_NS: u64 = 100_000_000;

/// Marks a decision's place among the ends.
const DECISION: u32 = 1 << 31;

/// The files of which a path is remembered for traces that do not have it.
const PATHS_KNOWN_MAX: usize = 65_536;

/// Everything that the pass counts.
#[derive(Debug)]
pub(crate) struct Engine<'a> {
    pub(crate) roster: &'a Roster,
    pub(crate) timeline: &'a Timeline,
    traces: &'a [Trace<'a>],
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
    last_parent: Vec<u64>,
    open: Vec<Vec<u32>>,
    workers: Vec<usize>,
    readers: Vec<usize>,
    own_events: bool,
    next_end: usize,
    overdue: BTreeSet<(u16, u64)>,
    forest: Forest,
    scratch: Vec<u64>,
    closing_seen: bool,
    finishing: bool,
    open_in_storm: u64,
    reactions_due: u64,
    /// Operations that hung at the end with no decision pending, by the clients that had not read their event.
    pub(crate) unread: BTreeMap<u128, u64>,
    pub(crate) tally: Tally,
    pub(crate) flame: Flame,
    pub(crate) gain: Gain,
    pub(crate) accounts: Vec<Account>,
    pub(crate) waiting: Waiting,
    pub(crate) knee: Option<KneeTally>,
    pub(crate) phases: PhaseTally,
    /// Only in a lab that grows trees of programs.
    pub(crate) trees: Option<TreesTally>,
    pub(crate) stages: Stages,
    pub(crate) rules: RulesTally,
    pub(crate) buckets: Buckets,
    pub(crate) backlog: Backlog,
    pub(crate) drain: DrainTally,
    pub(crate) counts: Counts,
    /// What each client was told.
    pub(crate) notify: Vec<NotifyTally>,
    /// Some client reacts to what it is told.
    reacts: bool,
    listens: bool,
    noticeable: Slab<Noticeable>,
    by_file: Table<notice::NoticeKey, u32>,
    reacting: Slab<Reacting>,
    by_notice: Table<(u16, u64), u32>,
    /// Only in a lab with products beside its clients.
    pub(crate) outside: Option<Outside>,
    /// What the kernel told of processes; nothing where it tells of none.
    pub(crate) processes: Processes,
    /// Every operation from every client's side.
    pub(crate) sides: ApprovalsByClient,
    /// The paths of files, kept where somebody mutes paths.
    texts: Table<(u64, u32), Rc<str>>,
    mutes_paths: bool,
    /// A path for files, from whichever trace named one.
    pub(crate) known_paths: Table<(u64, u32), (u16, u32)>,
}

/// How many operations each decision of each trace will have caused.
fn children(roster: &Roster, traces: &[Trace<'_>]) -> (Vec<Vec<u8>>, Vec<u64>) {
    let mut children: Vec<Vec<u8>> =
        traces.iter().map(|trace| vec![0; trace.entries().remaining()]).collect();
    let mut last = vec![0; traces.len()];
    for cause in traces.iter().flat_map(Trace::causes) {
        let Cause::Decision { client, record } = cause else { continue };
        let Some(trace) = roster.trace_of(client.0).map(usize::from) else { continue };
        let place = usize::try_from(record).unwrap_or(usize::MAX);
        if let Some(count) = children[trace].get_mut(place) {
            *count = count.saturating_add(1);
            last[trace] = last[trace].max(record);
        }
    }
    (children, last)
}

impl<'a> Engine<'a> {
    pub(crate) fn new(
        lab: &Lab,
        roster: &'a Roster,
        timeline: &'a Timeline,
        traces: &'a [Trace<'a>],
        own_events: bool,
    ) -> Engine<'a> {
        let (clients, columns) = (roster.clients.len(), roster.columns.len());
        let (children, last_parent) = children(roster, traces);
        let kills = timeline.faults.iter().filter(|fault| fault.kind == FaultKind::DeadlineKill);
        let overdue = kills.filter_map(|kill| Some((roster.trace_of(kill.actor)?, kill.detail)));
        let storm = timeline.marked(PhaseKind::Storm);
        let began = storm.map_or(timeline.origin, |storm| storm.began);
        let ended = timeline.storm_end().unwrap_or(timeline.last);
        let sides =
            ApprovalsByClient::new(lab, timeline, clients, Lives::new(roster, timeline, traces), own_events);
        let mut accounts = vec![Account::new(clients, columns); clients];
        // Who is killed for an event that it has not even read has missed a deadline without a decision to show for it.
        for kill in timeline.faults.iter().filter(|fault| fault.kind == FaultKind::DeadlineKill) {
            let client =
                roster.trace_of(kill.actor).and_then(|trace| roster.participants[usize::from(trace)].client);
            if let Some(account) = client.and_then(|client| accounts.get_mut(usize::from(client))) {
                account.misses.raise(u64::from(kill.detail == u64::MAX));
            }
        }
        let notify = NotifyTally::of(lab, clients, columns);
        let listens = notify.iter().any(|tally| tally.listens);
        let gain = Gain::new(clients, listens, lab.seed);
        let mut behaviors = lab.clients.iter().flat_map(|client| lab.behaviors_of(client));
        let reacts = behaviors.any(|behavior| !behavior.on_notify.is_none());
        Engine {
            roster,
            timeline,
            traces,
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
            own_events,
            next_end: 0,
            overdue: overdue.collect(),
            forest: Forest::new(gain.types()),
            scratch: Vec::new(),
            closing_seen: false,
            finishing: false,
            open_in_storm: 0,
            reactions_due: 0,
            unread: BTreeMap::new(),
            tally: Tally::default(),
            flame: Flame::new(),
            gain,
            accounts,
            waiting: Waiting::default(),
            knee: KneeTally::of(lab, traces),
            phases: PhaseTally::default(),
            trees: TreesTally::of(lab),
            stages: Stages::new(clients),
            rules: RulesTally::default(),
            buckets: Buckets::new(timeline, columns, clients),
            backlog: Backlog::new(began, ended),
            drain: DrainTally::new(ended, timeline.closing),
            counts: Counts::default(),
            processes: Processes::default(),
            outside: (!lab.external.is_empty()).then(|| Outside::new(clients)),
            mutes_paths: sides.mutes_paths(),
            sides,
            notify,
            reacts,
            listens,
            noticeable: Slab::default(),
            by_file: Table::default(),
            reacting: Slab::default(),
            by_notice: Table::default(),
            texts: Table::default(),
            known_paths: Table::default(),
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

    /// Whether the warden keeps the deadlines; elsewhere the kernel does.
    pub(crate) const fn keeps_deadlines(&self) -> bool {
        self.own_events
    }

    /// A client whose end was noticed when somebody looked again may have been past a deadline before.
    fn suspect_ends(&mut self) {
        let faults = &self.timeline.faults;
        for end in self.timeline.ends.iter().filter(|end| end.status != 0 && self.own_events) {
            let killed =
                faults.iter().any(|fault| fault.kind == FaultKind::DeadlineKill && fault.actor == end.actor);
            let noticed = end.at.saturating_sub(NOTICED_WITHIN_NS);
            let gap = self.timeline.gaps.within(noticed, end.at);
            let long = gap.is_some_and(|(from, until)| until.saturating_sub(from) >= self.deadline);
            let client = self
                .roster
                .trace_of(end.actor)
                .and_then(|trace| self.roster.participants[usize::from(trace)].client);
            if let Some(client) = client.filter(|_| long && !killed) {
                self.accounts[usize::from(client)].doubtful.raise(1);
            }
        }
    }

    /// Lets everything end that ended before `at`.
    fn advance(&mut self, at: u64) {
        loop {
            let end = self.ends.peek().map_or(NEVER, |Reverse((end, _))| *end);
            let death = self.timeline.ends.get(self.next_end).map_or(NEVER, |death| death.at);
            let next = end.min(death);
            if !self.closing_seen && self.timeline.closing < at.min(next) {
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
        self.drain.in_flight = self.open_in_storm.saturating_add(self.reactions_due);
        let (alive, closing) = (self.alive(), self.timeline.closing);
        for op in self.ops.used().into_iter().filter_map(|slot| self.ops.get(slot)) {
            let old =
                closing.saturating_sub(op.started) >= self.deadline / LOOK_SHARE && op.orphaned.is_none();
            let unread = alive & !op.asked_by;
            if old && op.pending.is_empty() && unread != 0 {
                self.unread.entry(unread).or_default().raise(1);
            }
        }
    }

    /// The clients that have a trace and have not ended, as bits.
    fn alive(&self) -> u128 {
        let ended = &self.timeline.ends[..self.next_end];
        let gone = |trace: u16| ended.iter().any(|end| self.roster.trace_of(end.actor) == Some(trace));
        let participants = (0_u16..).zip(&self.roster.participants);
        participants
            .filter(|&(trace, _)| !gone(trace))
            .filter_map(|(_, participant)| participant.client)
            .fold(0, |bits, client| bits | operation::bit(client))
    }

    fn finish(&mut self) {
        self.advance(NEVER);
        self.look();
        if !self.closing_seen {
            self.close();
        }
        let last = self.timeline.last;
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
        self.suspect_ends();
        self.end_notices();
        self.finishing = true;
        // Decisions whose announced operations never came (damaged in between) still hold their cascades.
        for slot in self.decisions.used() {
            self.forget(slot);
        }
    }

    /// A process is gone: what it left unanswered or unfinished ends with it.
    fn process_ended(&mut self, place: usize) {
        let death = self.timeline.ends[place];
        let Some(trace) = self.roster.trace_of(death.actor) else { return };
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
            servers: &self.roster.servers,
            workers: &self.workers,
            readers: &self.readers,
            own_events: self.own_events,
        };
        self.waiting.look(&scene);
    }

    fn phase_of(&self, named: Option<PhaseKind>, at: u64) -> Option<PhaseKind> {
        let unmarked = self.timeline.phases.is_empty().then_some(PhaseKind::Storm);
        named.or_else(|| self.timeline.phase_at(at)).or(unmarked)
    }
}

/// Why something is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// It ended as recorded.
    Itself,
    /// Its process ended.
    Process,
    /// The run ended.
    Run,
}

mod decision;
mod notice;
mod operation;
