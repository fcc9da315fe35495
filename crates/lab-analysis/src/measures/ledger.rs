//! What each client did and had done to it: counts, times, blame both ways.

mod own_operations;
mod section;

use std::collections::BTreeSet;

use lab_model::{Approval, Bounded, EventKind, PhaseKind, SubjectClass, Total};
use lab_trace::FaultKind;

use crate::{
    findings::{Client, Findings, OwnOperations, Population, PopulationOf},
    measure::{Closing, Measure, Measured, headroom, latency},
    measures::latency::{Times, Used},
    pass::{
        cascade::{Cascade, Node},
        facts::{
            Answered, BegunOperation, ClosedCascade, EndedOperation, Ending, Entry, ReadDecision, Scope,
            counts,
        },
        slots::{Dec, NOBODY, NONE, Table},
    },
    show::{Ranked, Step},
};

/// The entries of a ranking of decisions.
const RANKED_MAX: usize = 10;

/// The distinct files that are counted for a client.
const FILES_MAX: usize = 65_536;

/// The steps of a chain that are kept.
const CHAIN_MAX: usize = 12;

/// The column of the cause matrix that is the workload's.
const WORKLOAD: usize = 0;

/// The highest ten.
#[derive(Clone, Debug, Default)]
struct Ranking {
    entries: Vec<Ranked>,
}

impl Ranking {
    /// True when a decision with this score belongs into the ranking.
    fn wants(&self, score: f64) -> bool {
        self.entries.len() < RANKED_MAX || self.entries.last().is_some_and(|last| score > last.score)
    }

    fn insert(&mut self, ranked: Ranked) {
        let place = self.entries.partition_point(|other| other.score >= ranked.score);
        self.entries.insert(place, ranked);
        self.entries.truncate(RANKED_MAX);
    }
}

/// Decisions of one kind among a client's, and the time that they took it.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    decisions: u64,
    total_ns: u64,
    /// One of them was never answered: its time is a lower bound.
    open: bool,
}

impl Share {
    fn count(&mut self, entry: &Entry) {
        self.decisions.raise(1);
        self.total_ns = self.total_ns.saturating_add(entry.lasted().unwrap_or(0));
        self.open |= entry.took.is_none();
    }

    fn add(&mut self, other: Share) {
        self.decisions.raise(other.decisions);
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
        self.open |= other.open;
    }
}

/// Who made the event that a client's decision is about.
fn population(client: u16, entry: &Entry) -> PopulationOf {
    match entry.author {
        _ if entry.own => PopulationOf::Itself,
        author if author == client => PopulationOf::Itself,
        NOBODY if entry.column == WORKLOAD => PopulationOf::Workload,
        NOBODY => PopulationOf::Others,
        _ => PopulationOf::Peers,
    }
}

/// The latencies by who made the events, without those of nobody.
fn populations(times: &[Times; PopulationOf::ALL.len()]) -> Vec<Population> {
    let summed = PopulationOf::ALL.iter().zip(times.iter().map(Times::summary));
    let there = summed.filter(|(_, latency_ns)| !latency_ns.is_empty());
    there.map(|(&of, latency_ns)| Population { of, latency_ns }).collect()
}

impl Times {
    /// Records how long a decision lasted, as far as that was seen.
    fn observe(&mut self, entry: &Entry) {
        match (entry.took, entry.open_for) {
            (Some(took), _) => self.record(took),
            (None, Some(lasted)) => self.record_open(lasted),
            (None, None) => {}
        }
    }
}

/// Decisions about one file.
#[derive(Clone, Copy, Debug, Default)]
struct FileTally {
    share: Share,
    allowed: u64,
    /// The number of its path in the client's trace, and which trace; 0 when unknown.
    path: (u16, u32),
}

/// One client's counts over storm and drain.
#[derive(Clone, Debug)]
struct Account {
    decisions: u64,
    own: u64,
    unanswered: u64,
    by_approval: [u64; Approval::ALL.len()],
    operations: u64,
    latency: Times,
    /// The same by who made the event.
    populations: [Times; PopulationOf::ALL.len()],
    others: Times,
    by_event: Vec<(EventKind, Times)>,
    control: Times,
    queue: Times,
    work: Times,
    blocked: Times,
    /// Of decisions that were never answered: what was not spent in operations.
    untold: Times,
    used: Used,
    misses: u64,
    closest: Ranking,
    costliest: Ranking,
    /// By column.
    causes: Vec<Share>,
    observed: [u64; 4],
    /// What each client had brought about, by how it looked.
    brought_about: Vec<[u64; 4]>,
    /// By client.
    exclusive: Vec<u64>,
    inclusive: Vec<u64>,
    waited_ns: Vec<u64>,
    own_operations: OwnOperations,
    files: Table<(u64, u32), FileTally>,
    files_left_out: u64,
}

impl Account {
    fn new(clients: usize, columns: usize) -> Account {
        Account {
            decisions: 0,
            own: 0,
            unanswered: 0,
            by_approval: [0; Approval::ALL.len()],
            operations: 0,
            latency: Times::default(),
            populations: std::array::from_fn(|_| Times::default()),
            others: Times::default(),
            by_event: Vec::new(),
            control: Times::default(),
            queue: Times::default(),
            work: Times::default(),
            blocked: Times::default(),
            untold: Times::default(),
            used: Used::default(),
            misses: 0,
            closest: Ranking::default(),
            costliest: Ranking::default(),
            causes: vec![Share::default(); columns],
            observed: [0; 4],
            brought_about: vec![[0; 4]; clients],
            exclusive: vec![0; clients],
            inclusive: vec![0; clients],
            waited_ns: vec![0; clients],
            own_operations: OwnOperations::default(),
            files: Table::default(),
            files_left_out: 0,
        }
    }

    /// Counts a decision of this client.
    fn decide(&mut self, client: u16, entry: &Entry) {
        self.decisions.raise(1);
        self.own.raise(u64::from(entry.own));
        self.causes[entry.column].count(entry);
        let seen = match entry.class {
            SubjectClass::Own => 0,
            SubjectClass::OwnHelper => 1,
            SubjectClass::Peer => 2,
            SubjectClass::Workload => 3,
        };
        self.observed[seen].raise(1);
        if let Some(looks) = self.brought_about.get_mut(usize::from(entry.author)) {
            looks[seen].raise(1);
        }
        match (entry.took, entry.approval) {
            (Some(_), Some(approval)) => {
                self.by_approval[usize::from(approval.code()).saturating_sub(1)].raise(1);
            }
            _ => self.unanswered.raise(1),
        }
        self.latency.observe(entry);
        self.populations[population(client, entry) as usize].observe(entry);
        if !entry.own {
            self.others.observe(entry);
        }
        match self.by_event.iter_mut().find(|(event, _)| *event == entry.event) {
            Some((_, times)) => times.observe(entry),
            None => {
                let mut times = Times::default();
                times.observe(entry);
                self.by_event.push((entry.event, times));
            }
        }
        if let Some(file) = entry.file {
            self.file(file, entry);
        }
    }

    /// Shares out the time of a decision that was never answered: it belongs to the wait that it was in at its client's
    /// end, and that wait was not over.
    fn never_answered(&mut self, dec: &Dec) {
        let lasted = dec.until.saturating_sub(dec.read);
        let blocked = dec.blocked.min(lasted);
        let untold = lasted.saturating_sub(blocked);
        if dec.child == NONE {
            self.untold.record_open(untold);
            if blocked > 0 {
                self.blocked.record(blocked);
            }
        } else {
            self.untold.record(untold);
            self.blocked.record_open(blocked);
        }
    }

    fn file(&mut self, file: (u64, u32), entry: &Entry) {
        if self.files.len() >= FILES_MAX && !self.files.contains_key(&file) {
            self.files_left_out.raise(1);
            return;
        }
        let tally = self.files.entry(file).or_default();
        tally.share.count(entry);
        tally.allowed.raise(u64::from(entry.allowed));
        if tally.path.1 == 0 {
            tally.path = entry.path;
        }
    }
}

/// What all clients did and had done to them.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    accounts: Vec<Account>,
    /// The columns of the cause matrix in which any decision was read, control included.
    seen: Vec<bool>,
    /// The open cascades for whose counts a ranking waits, by serial number.
    watched: BTreeSet<u64>,
    /// Memory that is used again: decisions at or below each node of a cascade.
    inclusive: Vec<u64>,
}

impl Ledger {
    /// Decisions about files beyond those that are counted for each client.
    pub(crate) fn files_left_out(&self) -> u64 {
        self.accounts.iter().map(|account| account.files_left_out).total()
    }

    /// Counts for those who brought a decision upon `on`: the operation's author, and every client above it.
    fn inflict(&mut self, on: u16, entry: &Entry) {
        let on = usize::from(on);
        if let Some(author) = self.accounts.get_mut(usize::from(entry.author)) {
            author.exclusive[on].raise(1);
        }
        let mut above = entry.above;
        while above != 0 {
            let client = above.trailing_zeros() as usize;
            above &= above.saturating_sub(1);
            if let Some(account) = self.accounts.get_mut(client) {
                account.inclusive[on].raise(1);
            }
        }
    }

    /// Counts a decision against its deadline, and ranks it by how close it came.
    fn judge(&mut self, read: &ReadDecision<'_>) {
        let Some(judged) = read.judged else { return };
        let account = &mut self.accounts[usize::from(read.client)];
        account.misses.raise(u64::from(judged.late || judged.killed));
        let score = match judged.used {
            // Who was killed for one comes first, whatever else had outlived its deadline by then.
            Some(used) if judged.killed => {
                account.used.record(used);
                f64::INFINITY
            }
            Some(used) => 1.0 - account.used.record(used),
            None if judged.killed => f64::INFINITY,
            None => return,
        };
        if !account.closest.wants(score) {
            return;
        }
        let hung = read.hung.as_ref();
        let (mut chain, chain_cut) =
            hung.map_or_else(Default::default, |hung| chain(&hung.cascade.nodes, hung.above));
        chain.push((read.trace, read.record, true));
        let node = hung.and_then(|hung| Some((hung.cascade.serial, hung.node?)));
        if let Some((serial, _)) = node {
            self.watched.insert(serial);
        }
        account.closest.insert(Ranked {
            score,
            trace: read.trace,
            record: read.record,
            chain,
            chain_cut,
            inflicted: 0,
            node,
        });
    }

    /// Counts that a client waited in an operation of its own for another's answer.
    fn wait(&mut self, read: &ReadDecision<'_>, scope: &Scope<'_>) {
        let (Some(op), Some(lasted)) = (read.op, read.entry.lasted()) else { return };
        // For an answer that never came, or came too late, it waited until it or its operation ended.
        let end = op.ended.min(scope.timeline.until(op.trace)).saturating_sub(read.at);
        let took = lasted.min(end);
        if op.owner != NOBODY && op.owner != read.client {
            let waited = &mut self.accounts[usize::from(op.owner)].waited_ns[usize::from(read.client)];
            *waited = waited.saturating_add(took);
        }
    }

    /// Ranks a closed cascade's decisions by what followed from them.
    fn rank(&mut self, cascade: &Cascade, watched: bool, scope: &Scope<'_>) {
        let mut inclusive = std::mem::take(&mut self.inclusive);
        cascade.inclusive(&mut inclusive);
        for (place, node) in (0_u32..).zip(&cascade.nodes) {
            let followed = inclusive[place as usize].saturating_sub(1);
            if !node.decision || followed == 0 {
                continue;
            }
            let client = scope.roster.participants[usize::from(node.trace)].client.unwrap_or(NOBODY);
            let Some(account) = self.accounts.get_mut(usize::from(client)) else { continue };
            if account.costliest.wants(followed as f64) {
                let (chain, chain_cut) = chain(&cascade.nodes, place);
                account.costliest.insert(Ranked {
                    score: followed as f64,
                    trace: node.trace,
                    record: node.record,
                    chain,
                    chain_cut,
                    inflicted: followed,
                    node: None,
                });
            }
        }
        if watched {
            for ranked in self.accounts.iter_mut().flat_map(|account| &mut account.closest.entries) {
                if let Some((_, node)) = ranked.node.filter(|(serial, _)| *serial == cascade.serial) {
                    ranked.inflicted = inclusive[node as usize].saturating_sub(1);
                }
            }
        }
        self.inclusive = inclusive;
    }
}

impl Measure for Ledger {
    fn of(scope: &Scope<'_>) -> Self {
        let Scope { roster, timeline, .. } = *scope;
        let (clients, columns) = (roster.clients.len(), roster.columns.len());
        let mut accounts = vec![Account::new(clients, columns); clients];
        // Who is killed for an event that it has not even read has missed a deadline without a decision to show for it.
        for kill in timeline.faults.iter().filter(|fault| fault.kind == FaultKind::DeadlineKill) {
            let client =
                roster.trace_of(kill.actor).and_then(|trace| roster.participants[usize::from(trace)].client);
            let account = client.and_then(|client| accounts.get_mut(usize::from(client)));
            if let Some(account) = account.filter(|_| kill.detail == u64::MAX) {
                account.misses.raise(1);
                account.used.missed_unread();
            }
        }
        Ledger { accounts, seen: vec![false; columns], watched: BTreeSet::new(), inclusive: Vec::new() }
    }

    fn operation_begun(&mut self, begun: &BegunOperation<'_>, _: &Scope<'_>) {
        let account = self.accounts.get_mut(usize::from(begun.owner()));
        if let Some(account) = account.filter(|_| begun.counted()) {
            account.operations.raise(1);
        }
    }

    fn operation_ended(&mut self, ended: &EndedOperation<'_>, _: &Scope<'_>) {
        let account = self.accounts.get_mut(usize::from(ended.op.owner));
        if let Some(account) = account.filter(|_| ended.op.counted) {
            account.own_operations.take(ended.op, ended.at);
        }
    }

    fn decision_read(&mut self, read: &ReadDecision<'_>, scope: &Scope<'_>) {
        let entry = read.entry;
        self.seen[entry.column] = true;
        if read.counted {
            self.accounts[usize::from(read.client)].decide(read.client, entry);
            self.inflict(read.client, entry);
            self.judge(read);
            self.wait(read, scope);
        } else if read.phase == Some(PhaseKind::Control) && !entry.own {
            self.accounts[usize::from(read.client)].control.observe(entry);
        }
    }

    fn decision_answered(&mut self, answered: &Answered<'_>, _: &Scope<'_>) {
        let dec = answered.dec;
        let account = &mut self.accounts[usize::from(dec.client)];
        if dec.counted && dec.open {
            account.never_answered(dec);
        }
        if !dec.counted || dec.at_once || answered.ending != Ending::Itself {
            return;
        }
        account.queue.record(answered.queued);
        if dec.started.is_some() {
            let held = dec.answered.saturating_sub(dec.read).saturating_sub(answered.queued);
            account.work.record(held.saturating_sub(dec.blocked));
            account.blocked.record(dec.blocked.min(held));
        }
    }

    fn cascade_closed(&mut self, closed: &ClosedCascade<'_>, scope: &Scope<'_>) {
        let cascade = closed.cascade;
        let watched = self.watched.remove(&cascade.serial);
        if counts(cascade.phase) && cascade.operations > 1 {
            self.rank(cascade, watched, scope);
        }
    }

    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        let (mut latency, mut used) = (Times::default(), Used::default());
        let mut by_maker: [Times; PopulationOf::ALL.len()] = std::array::from_fn(|_| Times::default());
        for account in &self.accounts {
            latency.add(&account.latency);
            used.add(&account.used);
            by_maker.iter_mut().zip(&account.populations).for_each(|(sum, times)| sum.add(times));
        }
        findings.populations = populations(&by_maker);
        findings.latency_ns = latency.summary();
        findings.headroom = used.headroom();
        findings.causes = self.causes(closing);
        findings.clients = self.clients(closing);
    }

    fn metric(findings: &Findings, parts: &[&str]) -> Option<Measured> {
        Some(match parts {
            ["deadline", "misses"] => {
                Measured::Count(findings.clients.iter().map(|client| client.deadline_misses).total())
            }
            ["headroom", which] => headroom(&findings.headroom, which)?,
            ["latency", which] => latency(&findings.latency_ns, which)?,
            ["latency", of, which] => latency_of(&findings.populations, of, which)?,
            ["clients", id, rest @ ..] => {
                of_client(findings.clients.iter().find(|client| client.id == *id)?, rest)?
            }
            _ => return None,
        })
    }
}

fn latency_of(populations: &[Population], of: &str, which: &str) -> Option<Measured> {
    latency(&populations.iter().find(|population| population.of.name() == of)?.latency_ns, which)
}

fn of_client(client: &Client, rest: &[&str]) -> Option<Measured> {
    Some(match rest {
        ["decisions"] => Measured::Count(client.decisions),
        ["own_process"] => Measured::Count(client.own_process),
        ["operations"] => Measured::Count(client.operations),
        ["restarts"] => Measured::Count(client.lives.len().saturating_sub(1) as u64),
        ["deadline", "misses"] => Measured::Count(client.deadline_misses),
        ["latency", which] => latency(&client.latency_ns, which)?,
        ["latency", of, which] => latency_of(&client.populations, of, which)?,
        ["headroom", which] => headroom(&client.headroom, which)?,
        _ => return None,
    })
}

/// The way from the root to a node, at most [`CHAIN_MAX`] steps: the root and the last ones.
fn chain(nodes: &[Node], place: u32) -> (Vec<Step>, bool) {
    let mut steps = Vec::new();
    let mut at = place;
    while let Some(node) = nodes.get(at as usize) {
        if steps.len() == CHAIN_MAX {
            if let (Some(last), Some(root)) = (steps.last_mut(), nodes.first()) {
                *last = (root.trace, root.record, root.decision);
            }
            steps.reverse();
            return (steps, true);
        }
        steps.push((node.trace, node.record, node.decision));
        at = node.parent;
    }
    steps.reverse();
    (steps, false)
}
