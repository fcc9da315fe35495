//! Who waits for whom at one moment of a lab that still runs.
//!
//! The same search as after the run (`waiting`), over what the processes' boards show instead of what their
//! traces say. Everything in a [`Moment`] must have been open when the look at it began; then a circle in it is one:
//! whoever is in it can go on only when somebody else in it does. What is merely slow is never called a deadlock, and
//! what cannot be seen is said to be unknown.

use std::fmt;

use lab_model::{OperationKind, Span, Ticks, Timebase};

use crate::{
    pass::slots::{Branch, By, Dec, NOBODY, NONE, Op, Slab, Table},
    verdict::waiting::{Cycle, Hold, Link, Scene, Waiting},
};

/// Nothing is said of what has lasted less than this, in nanoseconds: it may be over before anybody has read it.
const WORTH_SAYING_NS: u64 = 100_000_000;
/// The share of the deadline that must be used up before a client is called slow, in percent.
const SLOW_PERCENT: u64 = 20;
/// The pairs of a circle that are named.
const PAIRS_MAX: usize = 4;

/// One client.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Its ID.
    pub name: String,
    /// The decisions that it works on at once, at most.
    pub workers: usize,
    /// When an answer of its own accord or a kill ends what it has kept, in nanoseconds after it was read.
    pub limit_ns: u64,
    /// Since when events have waited for it that it does not read.
    pub unread: Option<Ticks>,
    /// A signal has stopped it.
    pub stopped: bool,
}

/// Workers outside the clients that take requests in at one place: a client's helpers, or a daemon.
#[derive(Clone, Debug)]
pub struct Group {
    /// `its helper`, or the daemon's ID.
    pub name: String,
    /// The requests that it works on at once.
    pub servers: usize,
}

/// Whose process makes an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Originator {
    /// The workload's.
    Workload,
    /// A client, by its place.
    Client(u16),
    /// A worker outside the clients, by its group.
    Worker(u16),
}

/// An operation under way.
#[derive(Clone, Copy, Debug)]
pub struct UnderWay {
    /// The number of its process.
    pub actor: u16,
    /// Its record in that process's trace.
    pub record: u64,
    /// Since when.
    pub since: Ticks,
    /// The thread that makes it.
    pub tid: u64,
    /// Whose it is.
    pub maker: Originator,
    /// The client and its decision that it is made for.
    pub cause: Option<(u16, u64)>,
    /// The thread is seen to wait in the kernel for somebody's answer.
    pub held: bool,
}

/// A decision that a client has read and not answered.
#[derive(Clone, Copy, Debug)]
pub struct Unanswered {
    /// The client's place.
    pub client: u16,
    /// Its record in the client's trace.
    pub record: u64,
    /// When it was read.
    pub since: Ticks,
    /// The thread that waits for it.
    pub tid: u64,
    /// The group that its worker has asked and whose reply it waits for.
    pub asks: Option<u16>,
}

/// What the boards of a lab show at one moment.
#[derive(Clone, Debug)]
pub struct Moment {
    /// When the look began.
    pub now: Ticks,
    /// What the ticks are worth.
    pub timebase: Timebase,
    /// The lab's clients in its order.
    pub clients: Vec<Standing>,
    /// The helpers of each client, in the clients' order, then the daemons.
    pub groups: Vec<Group>,
    /// The kernel asks a client about its own process too.
    pub own_events: bool,
    /// All operations that were under way.
    pub operations: Vec<UnderWay>,
    /// All decisions that were waiting.
    pub decisions: Vec<Unanswered>,
}

/// Why a lab stands still, or nearly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standstill {
    /// Clients wait for each other and none of them can go on.
    Deadlock {
        /// Who waits, through whom outside its process, and for whom; each pair once.
        pairs: Vec<Pair>,
        /// For how long its oldest decision has waited.
        lasts: Span,
        /// When that decision ends it, counted as `lasts` is.
        limit: Span,
    },
    /// A client takes its time.
    Slow {
        /// Which.
        client: String,
        /// What it does not do.
        lack: Lack,
        /// For how long.
        lasts: Span,
        /// When that ends, counted as `lasts` is.
        limit: Span,
    },
    /// Some process of the lab is in a circle that reaches beyond its clients.
    Circle {
        /// Who is in it.
        members: Vec<String>,
        /// Who is in it, in what, and waits for whom.
        sentence: String,
        /// For how long all of it has lasted at least.
        lasts: Span,
    },
    /// An operation waits for an answer that no client of the lab is seen to owe.
    Unknown {
        /// For how long.
        lasts: Span,
    },
}

/// One client waits for another, or for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// Who waits.
    pub waiter: String,
    /// The helper or daemon in whose operation it does.
    pub through: Option<String>,
    /// Who should answer.
    pub decider: String,
}

/// What a slow client does not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It has read an event and does not answer it; it may wait for a helper or a daemon.
    Answer {
        /// Which.
        asks: Option<String>,
    },
    /// It does not read the events that wait for it.
    Read,
    /// It does nothing, because a signal has stopped it.
    Run,
}

impl Standstill {
    /// What tells it from another one; the same for as long as it is the same. For who says each once.
    #[must_use]
    pub fn key(&self) -> String {
        match self {
            Standstill::Deadlock { pairs, .. } => format!("deadlock {}", in_words(pairs)),
            Standstill::Slow { client, .. } => format!("slow {client}"),
            Standstill::Circle { sentence, .. } => format!("circle {sentence}"),
            Standstill::Unknown { .. } => "unknown".to_owned(),
        }
    }
}

impl Standstill {
    /// The same for a line that a terminal has no more than one of.
    #[must_use]
    pub fn short(&self) -> String {
        match self {
            Standstill::Circle { members, lasts, .. } => {
                format!("deadlock: {} in a circle ({})", members.join(", "), seconds(*lasts))
            }
            other => other.to_string(),
        }
    }
}

impl fmt::Display for Standstill {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Standstill::Deadlock { pairs, lasts, limit } => {
                write!(out, "deadlock: {} ({}, ended at {limit})", in_words(pairs), seconds(*lasts))
            }
            Standstill::Slow { client, lack, lasts, limit } => {
                let lasts = seconds(*lasts);
                match lack {
                    Lack::Answer { asks: None } => {
                        write!(out, "slow: {client} has not answered for {lasts}")
                    }
                    Lack::Answer { asks: Some(asked) } => {
                        write!(out, "slow: {client} has not answered for {lasts} and waits for {asked}")
                    }
                    Lack::Read => write!(out, "slow: {client} has not read its events for {lasts}"),
                    Lack::Run => write!(out, "slow: {client} is stopped, and events have waited for {lasts}"),
                }?;
                write!(out, " (deadline {limit})")
            }
            Standstill::Circle { sentence, lasts, .. } => {
                write!(out, "deadlock: {sentence} ({})", seconds(*lasts))
            }
            Standstill::Unknown { lasts } => {
                let lasts = seconds(*lasts);
                write!(
                    out,
                    "unknown: an operation has waited for {lasts}, and no client is seen to owe an answer"
                )
            }
        }
    }
}

/// Tenths of a second are as much as anybody reads in a line that moves.
fn seconds(span: Span) -> String {
    let tenths = span.nanos() / 100_000_000;
    format!("{}.{} s", tenths / 10, tenths % 10)
}

fn in_words(pairs: &[Pair]) -> String {
    let one = |Pair { waiter, through, decider }: &Pair| {
        let whom = if waiter == decider { "itself" } else { decider };
        let through = through.as_ref().map(|name| format!(" through {name}")).unwrap_or_default();
        format!("{waiter} waits for {whom}{through}")
    };
    let mut words: Vec<String> = pairs.iter().take(PAIRS_MAX).map(one).collect();
    if pairs.len() > PAIRS_MAX {
        words.push(format!("and {} more", pairs.len().saturating_sub(PAIRS_MAX)));
    }
    words.join(", ")
}

/// Says why the lab stands still, if it does: a deadlock before anything else, then who keeps the oldest answer.
#[must_use]
pub fn judge(moment: &Moment) -> Option<Standstill> {
    let graph = Graph::of(moment);
    graph.deadlock().or_else(|| graph.slow())
}

/// The moment as the search sees it.
struct Graph<'a> {
    moment: &'a Moment,
    /// In the moment's order, so that a slot is a place in it; the decisions too.
    ops: Slab<Op>,
    decisions: Slab<Dec>,
    open: Vec<Vec<u32>>,
}

impl<'a> Graph<'a> {
    fn of(moment: &'a Moment) -> Graph<'a> {
        let open = vec![Vec::new(); moment.clients.len()];
        let mut graph = Graph { moment, ops: Slab::default(), decisions: Slab::default(), open };
        let mut by_record: Table<(u16, u64), u32> = Table::default();
        for unanswered in &moment.decisions {
            let slot = graph.decisions.insert(decision(unanswered));
            by_record.insert((unanswered.client, unanswered.record), slot);
        }
        let mut by_thread: Table<u64, u32> = Table::default();
        for under_way in &moment.operations {
            by_thread.insert(under_way.tid, graph.add(under_way, &by_record));
        }
        for (slot, unanswered) in (0_u32..).zip(&moment.decisions) {
            let op = by_thread.get(&unanswered.tid).and_then(|&op| graph.ops.get_mut(op));
            // A thread makes one looked at a time: what was read before it began is about another.
            if let Some(op) = op.filter(|op| op.started <= unanswered.since.0) {
                op.pending.push(slot);
                op.asked_by |= bit(unanswered.client);
            }
        }
        graph
    }

    fn add(&mut self, under_way: &UnderWay, by_record: &Table<(u16, u64), u32>) -> u32 {
        let (owner, group) = match under_way.maker {
            Originator::Workload => (NOBODY, NOBODY),
            Originator::Client(client) => (client, NOBODY),
            Originator::Worker(group) => (NOBODY, group),
        };
        let by = under_way.cause.map(|(client, record)| {
            let slot = by_record.get(&(client, record)).copied().unwrap_or(NONE);
            By { client, slot, record, about: Branch::default(), reacted: false }
        });
        let parent = by.and_then(|by| self.decisions.get(by.slot));
        // A worker of the client's own is in it also when it has answered before.
        let waited = match group {
            NOBODY => by.is_some(),
            group => parent.is_some_and(|parent| parent.needs & bit(group) != 0),
        };
        let op = Op {
            trace: under_way.actor,
            record: under_way.record,
            started: under_way.since.0,
            tid: under_way.tid,
            kind: OperationKind::Open,
            owner,
            group,
            waited,
            root: owner == NOBODY && group == NOBODY,
            by,
            ..Op::root_open()
        };
        let listed = op.listed();
        let slot = self.ops.insert(op);
        if let Some(open) = listed.and_then(|at| self.open.get_mut(at)) {
            open.push(slot);
        }
        if let Some(parent) = by.filter(|_| waited).and_then(|by| self.decisions.get_mut(by.slot)) {
            parent.child = slot;
            if group != NOBODY {
                parent.needs &= !bit(group);
            }
        }
        slot
    }

    fn span(&self, since: u64) -> Span {
        Span::from_nanos(self.moment.timebase.nanoseconds(self.moment.now.since(Ticks(since))))
    }

    fn limit(&self, client: u16) -> u64 {
        self.moment.clients.get(usize::from(client)).map_or(u64::MAX, |client| client.limit_ns)
    }

    fn deadlock(&self) -> Option<Standstill> {
        let clients = &self.moment.clients;
        let workers: Vec<usize> = clients.iter().map(|client| client.workers).collect();
        let servers: Vec<usize> = self.moment.groups.iter().map(|group| group.servers).collect();
        let mut waiting = Waiting::default();
        waiting.look(&Scene {
            ops: &self.ops,
            decisions: &self.decisions,
            open: &self.open,
            servers: &servers,
            workers: &workers,
            // The thread that reads never opens.
            readers: &vec![1; clients.len()],
            own_events: self.moment.own_events,
        });
        waiting.cycles.iter().filter_map(|cycle| self.standstill(cycle)).max_by_key(|standstill| {
            match standstill {
                Standstill::Deadlock { lasts, .. } => *lasts,
                _ => Span::default(),
            }
        })
    }

    /// A circle in words, once it has lasted long enough to be worth them.
    fn standstill(&self, cycle: &Cycle) -> Option<Standstill> {
        // The first of its decisions to reach its limit ends it.
        let read = |link: &Link| match link.hold {
            Hold::Decision { read, .. } => Some((read, link.decider)),
            Hold::Unread => None,
        };
        let lasts = |since: u64| self.span(since).nanos();
        let first = cycle.links.iter().filter_map(read);
        let first = first.min_by_key(|&(since, client)| self.limit(client).saturating_sub(lasts(since)))?;
        if lasts(first.0) < WORTH_SAYING_NS {
            return None;
        }
        let name = |client: u16| self.moment.clients[usize::from(client)].name.clone();
        let mut pairs: Vec<Pair> = Vec::new();
        for link in &cycle.links {
            let made = |under_way: &&UnderWay| {
                (under_way.actor, under_way.record) == (link.op_trace, link.op_record)
            };
            let through =
                self.moment.operations.iter().find(made).and_then(|under_way| match under_way.maker {
                    Originator::Worker(group) => Some(self.moment.groups[usize::from(group)].name.clone()),
                    Originator::Workload | Originator::Client(_) => None,
                });
            let pair = Pair { waiter: name(link.waiter), through, decider: name(link.decider) };
            if !pairs.contains(&pair) {
                pairs.push(pair);
            }
        }
        let limit = Span::from_nanos(self.limit(first.1));
        Some(Standstill::Deadlock { pairs, lasts: self.span(first.0), limit })
    }

    /// Who keeps whatever has waited longest.
    fn slow(&self) -> Option<Standstill> {
        let oldest = (0_u32..).zip(&self.moment.decisions).min_by_key(|(_, decision)| decision.since);
        let kept = oldest.and_then(|(slot, _)| self.culprit(slot));
        let unread = self.moment.clients.iter().filter_map(|client| {
            let lack = if client.stopped { Lack::Run } else { Lack::Read };
            Some(self.slow_since(client, lack, client.unread?.0))
        });
        let known = kept.into_iter().chain(unread).filter(Standstill::is_worth_saying);
        let itself = || oldest.map(|(slot, _)| self.keeper(slot)).filter(Standstill::is_worth_saying);
        known.max_by_key(Standstill::lasts).or_else(|| self.unknown()).or_else(itself)
    }

    fn slow_since(&self, client: &Standing, lack: Lack, since: u64) -> Standstill {
        let limit = Span::from_nanos(client.limit_ns);
        Standstill::Slow { client: client.name.clone(), lack, lasts: self.span(since), limit }
    }

    /// The client that keeps a decision, whatever it waits for.
    fn keeper(&self, slot: u32) -> Standstill {
        let decision = &self.moment.decisions[slot as usize];
        let client = &self.moment.clients[usize::from(decision.client)];
        let asks = decision.asks.and_then(|group| self.moment.groups.get(usize::from(group)));
        let lack = if client.stopped {
            Lack::Run
        } else {
            Lack::Answer { asks: asks.map(|group| group.name.clone()) }
        };
        self.slow_since(client, lack, decision.since.0)
    }

    /// Follows a decision to whoever could answer: what it waits for itself is somebody else's.
    fn culprit(&self, start: u32) -> Option<Standstill> {
        let mut slot = start;
        // Every step leads to another decision, or it is a circle that is not known to be one.
        for _ in 0..=self.moment.decisions.len() {
            let decision = self.decisions.get(slot)?;
            let own = self.open[usize::from(decision.client)].iter().copied();
            let mut oldest = own.filter(|&op| self.ops.get(op).is_some_and(|op| op.waited));
            let busy = oldest.clone().count() >= self.moment.clients[usize::from(decision.client)].workers;
            let child = if decision.child != NONE {
                Some(decision.child)
            } else if busy {
                oldest.next()
            } else {
                None
            };
            let Some(child) = child else { return Some(self.keeper(slot)) };
            // An operation that nobody is seen to hold up says nothing of whose turn it is.
            slot = *self.ops.get(child)?.pending.first()?;
        }
        None
    }

    /// An operation that is seen to wait, and of which no client has an event.
    fn unknown(&self) -> Option<Standstill> {
        let held = (0_u32..).zip(&self.moment.operations).filter(|(slot, under_way)| {
            under_way.held && self.ops.get(*slot).is_some_and(|op| op.pending.is_empty())
        });
        let lasts = held.map(|(_, under_way)| self.span(under_way.since.0)).max()?;
        let least = self.moment.clients.iter().map(|client| client.limit_ns).min().unwrap_or(u64::MAX);
        let long = lasts.nanos() >= WORTH_SAYING_NS.max((least / 100).saturating_mul(SLOW_PERCENT));
        long.then_some(Standstill::Unknown { lasts })
    }
}

impl Standstill {
    const fn lasts(&self) -> Span {
        match self {
            Standstill::Deadlock { lasts, .. }
            | Standstill::Slow { lasts, .. }
            | Standstill::Circle { lasts, .. }
            | Standstill::Unknown { lasts } => *lasts,
        }
    }

    fn is_worth_saying(&self) -> bool {
        match self {
            Standstill::Slow { lasts, limit, .. } => {
                lasts.nanos() >= WORTH_SAYING_NS.max((limit.nanos() / 100).saturating_mul(SLOW_PERCENT))
            }
            Standstill::Deadlock { .. } | Standstill::Circle { .. } | Standstill::Unknown { .. } => true,
        }
    }
}

fn bit(place: u16) -> u128 {
    1_u128.checked_shl(u32::from(place)).unwrap_or(0)
}

fn decision(unanswered: &Unanswered) -> Dec {
    let read = Dec::read_by(unanswered.client, unanswered.record, unanswered.since.0);
    Dec { needs: unanswered.asks.map_or(0, bit), ..read }
}
