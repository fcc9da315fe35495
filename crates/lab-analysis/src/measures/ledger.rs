//! What each client did and had done to it: counts, times, blame both ways.

use lab_model::{Approval, Bounded, EventKind, SubjectClass};

use crate::{
    measures::latency::{Times, Used},
    pass::slots::Table,
};

/// The entries of a ranking of decisions.
const RANKED_MAX: usize = 10;

/// The distinct files that are counted for a client.
const FILES_MAX: usize = 65_536;

/// The steps of a chain that are kept.
pub(crate) const CHAIN_MAX: usize = 12;

/// A record that is shown: its trace, its place there, and whether it is a decision.
pub(crate) type Step = (u16, u64, bool);

/// A decision in a ranking; all else about it is read from its record.
#[derive(Clone, Debug)]
pub(crate) struct Ranked {
    pub(crate) score: f64,
    pub(crate) trace: u16,
    pub(crate) record: u64,
    /// From the root operation to the decision; the middle of a long one is left out.
    pub(crate) chain: Vec<Step>,
    pub(crate) chain_cut: bool,
    pub(crate) inflicted: u64,
    /// Its cascade's serial number and its node there.
    pub(crate) node: Option<(u64, u32)>,
}

/// The highest ten.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranking {
    pub(crate) entries: Vec<Ranked>,
}

impl Ranking {
    /// True when a decision with this score belongs into the ranking.
    pub(crate) fn wants(&self, score: f64) -> bool {
        self.entries.len() < RANKED_MAX || self.entries.last().is_some_and(|last| score > last.score)
    }

    pub(crate) fn insert(&mut self, ranked: Ranked) {
        let place = self.entries.partition_point(|other| other.score >= ranked.score);
        self.entries.insert(place, ranked);
        self.entries.truncate(RANKED_MAX);
    }
}

/// Decisions about one file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct FileTally {
    pub(crate) decisions: u64,
    pub(crate) allowed: u64,
    pub(crate) total_ns: u64,
    /// The number of its path in the client's trace, and which trace; 0 when unknown.
    pub(crate) path: (u16, u32),
}

/// One client's counts over storm and drain.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) decisions: u64,
    pub(crate) own: u64,
    pub(crate) unanswered: u64,
    pub(crate) by_approval: [u64; Approval::ALL.len()],
    pub(crate) operations: u64,
    pub(crate) latency: Times,
    pub(crate) others: Times,
    pub(crate) by_event: Vec<(EventKind, Times)>,
    pub(crate) control: Times,
    pub(crate) queue: Times,
    pub(crate) work: Times,
    pub(crate) blocked: Times,
    pub(crate) used: Used,
    pub(crate) misses: u64,
    /// Of those, answers for which nobody was killed, because nobody watched.
    pub(crate) let_pass: u64,
    /// Events that may have lain unread past the deadline while nobody watched.
    pub(crate) doubtful: u64,
    pub(crate) closest: Ranking,
    pub(crate) costliest: Ranking,
    /// By column: decisions and nanoseconds.
    pub(crate) causes: Vec<(u64, u64)>,
    pub(crate) observed: [u64; 4],
    /// What each client had brought about, by how it looked.
    pub(crate) brought_about: Vec<[u64; 4]>,
    /// By client.
    pub(crate) exclusive: Vec<u64>,
    pub(crate) inclusive: Vec<u64>,
    pub(crate) waited_ns: Vec<u64>,
    pub(crate) files: Table<(u64, u32), FileTally>,
    pub(crate) files_left_out: u64,
}

/// A decision as the ledger counts it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) column: usize,
    /// The client that brought it about, through whatever process; [`NOBODY`] for the workload.
    pub(crate) author: u16,
    pub(crate) own: bool,
    pub(crate) event: EventKind,
    pub(crate) class: SubjectClass,
    /// Nanoseconds from read to answer; `None` when never answered.
    pub(crate) took: Option<u64>,
    pub(crate) approval: Option<Approval>,
    pub(crate) allowed: bool,
    pub(crate) file: Option<(u64, u32)>,
    pub(crate) path: (u16, u32),
    /// Clients whose decisions lie above it.
    pub(crate) above: u128,
}

impl Account {
    pub(crate) fn new(clients: usize, columns: usize) -> Account {
        Account {
            decisions: 0,
            own: 0,
            unanswered: 0,
            by_approval: [0; Approval::ALL.len()],
            operations: 0,
            latency: Times::default(),
            others: Times::default(),
            by_event: Vec::new(),
            control: Times::default(),
            queue: Times::default(),
            work: Times::default(),
            blocked: Times::default(),
            used: Used::default(),
            misses: 0,
            let_pass: 0,
            doubtful: 0,
            closest: Ranking::default(),
            costliest: Ranking::default(),
            causes: vec![(0, 0); columns],
            observed: [0; 4],
            brought_about: vec![[0; 4]; clients],
            exclusive: vec![0; clients],
            inclusive: vec![0; clients],
            waited_ns: vec![0; clients],
            files: Table::default(),
            files_left_out: 0,
        }
    }

    /// Counts a decision of this client.
    pub(crate) fn decide(&mut self, entry: &Entry) {
        self.decisions.raise(1);
        self.own.raise(u64::from(entry.own));
        let took = entry.took.unwrap_or(0);
        let cause = &mut self.causes[entry.column];
        cause.0.raise(1);
        cause.1 = cause.1.saturating_add(took);
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
            (Some(took), Some(approval)) => self.answered(entry, took, approval),
            _ => self.unanswered.raise(1),
        }
        if let Some(file) = entry.file {
            self.file(file, entry);
        }
    }

    fn answered(&mut self, entry: &Entry, took: u64, approval: Approval) {
        self.by_approval[usize::from(approval.code()).saturating_sub(1)].raise(1);
        self.latency.record(took);
        if !entry.own {
            self.others.record(took);
        }
        match self.by_event.iter_mut().find(|(event, _)| *event == entry.event) {
            Some((_, times)) => times.record(took),
            None => {
                let mut times = Times::default();
                times.record(took);
                self.by_event.push((entry.event, times));
            }
        }
    }

    fn file(&mut self, file: (u64, u32), entry: &Entry) {
        if self.files.len() >= FILES_MAX && !self.files.contains_key(&file) {
            self.files_left_out.raise(1);
            return;
        }
        let tally = self.files.entry(file).or_default();
        tally.decisions.raise(1);
        tally.allowed.raise(u64::from(entry.allowed));
        tally.total_ns = tally.total_ns.saturating_add(entry.took.unwrap_or(0));
        if tally.path.1 == 0 {
            tally.path = entry.path;
        }
    }
}

/// Counts for those who brought a decision upon `on`: the operation's author, and every client above it.
pub(crate) fn inflict(accounts: &mut [Account], on: u16, entry: &Entry) {
    let on = usize::from(on);
    if let Some(author) = accounts.get_mut(usize::from(entry.author)) {
        author.exclusive[on].raise(1);
    }
    let mut above = entry.above;
    while above != 0 {
        let client = above.trailing_zeros() as usize;
        above &= above.saturating_sub(1);
        if let Some(account) = accounts.get_mut(client) {
            account.inclusive[on].raise(1);
        }
    }
}
