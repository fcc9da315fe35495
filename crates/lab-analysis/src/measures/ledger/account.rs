//! One client's counts over storm and drain, and the rankings among them.

use lab_model::{Approval, Bounded, EventKind, SubjectClass};

use crate::{
    findings::{OwnOperations, Population, PopulationOf},
    measures::latency::{Times, Used},
    participants::timeline::Timeline,
    pass::{
        facts::Entry,
        slots::{Dec, NOBODY, NONE, Table},
    },
    show::Ranked,
};

/// The entries of a ranking of decisions.
const RANKED_MAX: usize = 10;

/// The distinct files that are counted for a client.
const FILES_MAX: usize = 65_536;

/// The column of the cause matrix that is the workload's.
const WORKLOAD: usize = 0;

/// The highest ten.
#[derive(Clone, Debug, Default)]
pub(super) struct Ranking {
    pub(super) entries: Vec<Ranked>,
}

impl Ranking {
    /// True when a decision with this score belongs into the ranking.
    pub(super) fn wants(&self, score: f64) -> bool {
        self.entries.len() < RANKED_MAX || self.entries.last().is_some_and(|last| score > last.score)
    }

    pub(super) fn insert(&mut self, ranked: Ranked) {
        let place = self.entries.partition_point(|other| other.score >= ranked.score);
        self.entries.insert(place, ranked);
        self.entries.truncate(RANKED_MAX);
    }
}

/// Decisions of one kind among a client's, and the time that they took it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    pub(super) decisions: u64,
    pub(super) total_ns: u64,
    /// One of them was never answered: its time is a lower bound.
    pub(super) open: bool,
}

impl Share {
    pub(super) fn count(&mut self, entry: &Entry) {
        self.decisions.raise(1);
        self.total_ns = self.total_ns.saturating_add(entry.lasted().unwrap_or(0));
        self.open |= entry.took.is_none();
    }

    pub(super) fn add(&mut self, other: Share) {
        self.decisions.raise(other.decisions);
        self.total_ns = self.total_ns.saturating_add(other.total_ns);
        self.open |= other.open;
    }
}

/// Who made the event that a client's decision is about.
pub(super) fn population(client: u16, entry: &Entry) -> PopulationOf {
    match entry.author {
        _ if entry.own => PopulationOf::Itself,
        author if author == client => PopulationOf::Itself,
        NOBODY if entry.column == WORKLOAD => PopulationOf::Workload,
        NOBODY => PopulationOf::Others,
        _ => PopulationOf::Peers,
    }
}

/// The latencies by who made the events, without those of nobody.
pub(super) fn populations(times: &[Times; PopulationOf::ALL.len()]) -> Vec<Population> {
    let summed = PopulationOf::ALL.iter().zip(times.iter().map(Times::summary));
    let there = summed.filter(|(_, latency_ns)| !latency_ns.is_empty());
    there.map(|(&of, latency_ns)| Population { of, latency_ns }).collect()
}

impl Times {
    /// Records how long a decision lasted, as far as that was seen.
    pub(super) fn observe(&mut self, entry: &Entry) {
        match (entry.took, entry.open_for) {
            (Some(took), _) => self.record(took),
            (None, Some(lasted)) => self.record_open(lasted),
            (None, None) => {}
        }
    }
}

/// Decisions about one file.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FileTally {
    pub(super) share: Share,
    pub(super) allowed: u64,
    /// The number of its path in the client's trace, and which trace; 0 when unknown.
    pub(super) path: (u16, u32),
}

/// One client's counts over storm and drain.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) decisions: u64,
    pub(super) own: u64,
    pub(super) unanswered: u64,
    pub(super) by_approval: [u64; Approval::ALL.len()],
    pub(super) operations: u64,
    pub(super) latency: Times,
    /// The same by who made the event.
    pub(super) populations: [Times; PopulationOf::ALL.len()],
    pub(super) others: Times,
    pub(super) by_event: Vec<(EventKind, Times)>,
    pub(super) control: Times,
    pub(super) queue: Times,
    pub(super) work: Times,
    pub(super) blocked: Times,
    /// Of decisions that were never answered: what was not spent in operations.
    pub(super) untold: Times,
    pub(super) used: Used,
    pub(super) misses: u64,
    pub(super) closest: Ranking,
    pub(super) costliest: Ranking,
    /// By column.
    pub(super) causes: Vec<Share>,
    pub(super) observed: [u64; 4],
    /// What each client had brought about, by how it looked.
    pub(super) brought_about: Vec<[u64; 4]>,
    /// By client.
    pub(super) exclusive: Vec<u64>,
    pub(super) inclusive: Vec<u64>,
    pub(super) waited_ns: Vec<u64>,
    pub(super) own_operations: OwnOperations,
    pub(super) files: Table<(u64, u32), FileTally>,
    pub(super) files_left_out: u64,
}

impl Account {
    pub(super) fn new(clients: usize, columns: usize) -> Account {
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
    pub(super) fn decide(&mut self, client: u16, entry: &Entry) {
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
    pub(super) fn never_answered(&mut self, dec: &Dec, timeline: &Timeline) {
        let lasted = timeline.took(dec.read, dec.until);
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

    pub(super) fn file(&mut self, file: (u64, u32), entry: &Entry) {
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
