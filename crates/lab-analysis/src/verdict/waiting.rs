//! Who waits for whom, and whether they can ever stop.
//!
//! An operation waits for its unanswered decisions, and for a client that has not read its event because the
//! thread that reads is itself in an operation. A decision waits for the operation that a worker makes for
//! it, or, when it is queued, for all workers of its client. What cannot go on even if everything else does
//! its best is stuck: the largest set in which each member waits only for members. A stuck set does not resolve
//! by itself; it takes a kill, a deadline fallback or the end of the run, so looking just before those is
//! enough, and a wait that resolves by itself is never reported.

use std::collections::BTreeMap;

use lab_model::Bounded;

use crate::pass::slots::{Dec, NEVER, NOBODY, NONE, Op, Slab, Table};

/// The looks at the graph in one run; each takes time in proportion to the open operations of clients.
const LOOKS_MAX: u64 = 20_000;

/// The cycles that are kept.
const CYCLES_MAX: usize = 16;

/// One edge of a cycle: a client's operation waits for a decision of the next client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// Who waits, in which operation.
    pub(crate) waiter: u16,
    /// A helper or a daemon is in the operation, for the waiter.
    pub(crate) through: bool,
    pub(crate) op_trace: u16,
    pub(crate) op_record: u64,
    pub(crate) op_started: u64,
    pub(crate) cause: Option<(u16, u64)>,
    /// Who should answer.
    pub(crate) decider: u16,
    /// The trace that has the decision, if the event was read.
    pub(crate) decider_trace: Option<u16>,
    pub(crate) hold: Hold,
    pub(crate) workers: usize,
}

/// What holds an operation up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// The event was not read: the thread that reads is in an operation of its own.
    Unread,
    /// The decision was read.
    Decision {
        record: u64,
        read: u64,
        /// It is queued behind workers that are all stuck; otherwise a worker is in an operation for it.
        queued: bool,
        /// It needs a helper or a daemon, all of whose workers are stuck.
        asks: bool,
    },
}

impl Link {
    /// When this edge came to be, as far as its own records say.
    fn began(&self) -> u64 {
        match self.hold {
            Hold::Unread => self.op_started,
            Hold::Decision { read, .. } => self.op_started.max(read),
        }
    }
}

/// Clients stuck on each other.
#[derive(Clone, Debug)]
pub(crate) struct Cycle {
    pub(crate) links: Vec<Link>,
    /// When its last edge came to be.
    pub(crate) began: u64,
    /// When the first of its operations ended; [`NEVER`] if none did.
    pub(crate) resolved: u64,
}

/// What is open, as the search sees it.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) ops: &'a Slab<Op>,
    pub(crate) decisions: &'a Slab<Dec>,
    /// The open operations of each client, and of those that work for it outside its process.
    pub(crate) open: &'a [Vec<u32>],
    /// The requests that each group of workers outside the clients works on at once.
    pub(crate) servers: &'a [usize],
    pub(crate) workers: &'a [usize],
    /// The threads of each client that read events, at least one.
    pub(crate) readers: &'a [usize],
    /// The kernel asks a client about its own process too.
    pub(crate) own_events: bool,
}

/// The cycles found so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting {
    pub(crate) cycles: Vec<Cycle>,
    pub(crate) more_cycles: u64,
    /// Operations that hung at the end with no decision pending, by the clients that had not read their event.
    pub(crate) unread: BTreeMap<u128, u64>,
    looks: u64,
    /// Looks that were not taken because there had been too many.
    pub(crate) looks_left_out: u64,
}

/// The members of the stuck set, with what a client's queue waits for.
struct Stuck {
    place: Table<u32, usize>,
    ops: Vec<u32>,
    alive: Vec<bool>,
    /// Stuck operations of each client's workers.
    blocked_workers: Vec<usize>,
    blocked_readers: Vec<usize>,
    /// Stuck operations of each group of workers outside the clients.
    blocked_servers: Vec<usize>,
}

impl Stuck {
    fn find(scene: &Scene<'_>) -> Stuck {
        let mut ops = Vec::new();
        for slot in scene.open.iter().flatten() {
            if scene.ops.get(*slot).is_some() {
                ops.push(*slot);
            }
        }
        let place = ops.iter().zip(0..).map(|(&slot, place)| (slot, place)).collect();
        let clients = scene.open.len();
        let mut stuck = Stuck {
            place,
            alive: vec![true; ops.len()],
            ops,
            blocked_workers: vec![0; clients],
            blocked_readers: vec![0; clients],
            blocked_servers: vec![0; scene.servers.len()],
        };
        for place in 0..stuck.ops.len() {
            stuck.count(scene, stuck.ops[place], 1);
        }
        while stuck.shrink(scene) {}
        stuck
    }

    fn count(&mut self, scene: &Scene<'_>, slot: u32, change: isize) {
        let Some(op) = scene.ops.get(slot) else { return };
        if let Some(tally) = self.blocked_servers.get_mut(usize::from(op.group)) {
            *tally = tally.saturating_add_signed(change);
            if !op.waited {
                return;
            }
        }
        let tallies = if op.by_reader { &mut self.blocked_readers } else { &mut self.blocked_workers };
        if op.by_reader || op.by.is_some() {
            let tally = &mut tallies[usize::from(op.author())];
            *tally = tally.saturating_add_signed(change);
        }
    }

    /// Takes out what can go on; true when anything was.
    fn shrink(&mut self, scene: &Scene<'_>) -> bool {
        let mut changed = false;
        for place in 0..self.ops.len() {
            if self.alive[place] && !self.is_held(scene, self.ops[place]) {
                self.alive[place] = false;
                self.count(scene, self.ops[place], -1);
                changed = true;
            }
        }
        changed
    }

    fn holds(&self, slot: u32) -> bool {
        self.place.get(&slot).is_some_and(|&place| self.alive[place])
    }

    fn is_held(&self, scene: &Scene<'_>, slot: u32) -> bool {
        self.held_by(scene, slot).is_some() || self.unread_by(scene, slot).is_some()
    }

    /// The stuck decision that an operation waits for.
    fn held_by(&self, scene: &Scene<'_>, slot: u32) -> Option<u32> {
        let op = scene.ops.get(slot)?;
        op.pending.iter().copied().find(|&decision| self.decision(scene, decision))
    }

    /// The client that cannot read an operation's event.
    fn unread_by(&self, scene: &Scene<'_>, slot: u32) -> Option<u16> {
        let op = scene.ops.get(slot)?;
        let asked = |client: u16| op.asked_by.checked_shr(u32::from(client)).unwrap_or(0) & 1 == 1;
        let readers = (0_u16..).zip(self.blocked_readers.iter().zip(scene.readers));
        let blocked = readers.filter(|(_, (blocked, all))| blocked >= all).map(|(client, _)| client);
        let mut unread = blocked.filter(|&client| !asked(client));
        unread.find(|&client| client != op.owner || scene.own_events)
    }

    fn decision(&self, scene: &Scene<'_>, slot: u32) -> bool {
        let Some(decision) = scene.decisions.get(slot) else { return false };
        let client = usize::from(decision.client);
        if decision.at_once {
            return self.blocked_readers[client] >= scene.readers[client];
        }
        if decision.child != NONE {
            return self.holds(decision.child);
        }
        self.blocked_workers[client] >= scene.workers[client] || self.needed(scene, decision).is_some()
    }

    /// The group of workers that a decision needs and that is all stuck, however free its own client is.
    fn needed(&self, scene: &Scene<'_>, decision: &Dec) -> Option<u16> {
        let mut groups = (0_u16..128).zip(self.blocked_servers.iter().zip(scene.servers));
        let stuck = |&(group, (blocked, all)): &(u16, (&usize, &usize))| {
            decision.needs >> group & 1 == 1 && *all > 0 && blocked >= all
        };
        groups.find(stuck).map(|(group, _)| group)
    }

    /// The oldest stuck operation of a group of workers outside the clients.
    fn oldest_of(&self, scene: &Scene<'_>, group: u16) -> Option<u32> {
        let made = |slot: u32| scene.ops.get(slot).filter(|op| op.group == group);
        let stuck = self.ops.iter().copied().filter(|&slot| self.holds(slot) && made(slot).is_some());
        stuck.min_by_key(|&slot| made(slot).map(|op| (op.started, op.record)))
    }

    /// The oldest stuck operation of a client's workers (or reader).
    fn oldest(&self, scene: &Scene<'_>, client: u16, reader: bool) -> Option<u32> {
        let mine = scene.open[usize::from(client)].iter().copied().filter(|&slot| {
            self.holds(slot)
                && scene.ops.get(slot).is_some_and(|op| op.by_reader == reader && (reader || op.waited))
        });
        mine.min_by_key(|&slot| scene.ops.get(slot).map(|op| (op.started, op.record)))
    }

    /// The operation that a stuck operation waits for through its decision, with the edge between.
    fn follow(&self, scene: &Scene<'_>, slot: u32) -> Option<(Link, u32)> {
        let op = scene.ops.get(slot)?;
        let mut decider_trace = None;
        let waiter = op.author();
        scene.workers.get(usize::from(waiter))?;
        let (decider, hold, next) = match self.held_by(scene, slot) {
            Some(held_by) => {
                let decision = scene.decisions.get(held_by)?;
                decider_trace = Some(decision.trace);
                let queued = decision.child == NONE;
                let needed = if queued && !decision.at_once { self.needed(scene, decision) } else { None };
                let next = if let Some(group) = needed {
                    self.oldest_of(scene, group)?
                } else if queued || decision.at_once {
                    self.oldest(scene, decision.client, decision.at_once)?
                } else {
                    decision.child
                };
                let hold = Hold::Decision {
                    record: decision.record,
                    read: decision.read,
                    queued,
                    asks: needed.is_some(),
                };
                (decision.client, hold, next)
            }
            None => {
                let client = self.unread_by(scene, slot)?;
                (client, Hold::Unread, self.oldest(scene, client, true)?)
            }
        };
        let link = Link {
            waiter,
            through: op.owner == NOBODY,
            op_trace: op.trace,
            op_record: op.record,
            op_started: op.started,
            cause: op.by.map(|by| (by.client, by.record)),
            decider,
            decider_trace,
            hold,
            workers: scene.workers[usize::from(decider)],
        };
        Some((link, next))
    }
}

impl Waiting {
    /// Looks for clients that cannot go on, and keeps each cycle once.
    pub(crate) fn look(&mut self, scene: &Scene<'_>) {
        if scene.open.iter().all(Vec::is_empty) {
            return;
        }
        if self.looks >= LOOKS_MAX {
            self.looks_left_out.raise(1);
            return;
        }
        self.looks.raise(1);
        let stuck = Stuck::find(scene);
        let mut seen = vec![false; stuck.ops.len()];
        for start in 0..stuck.ops.len() {
            if stuck.alive[start] && !seen[start] {
                self.walk(scene, &stuck, stuck.ops[start], &mut seen);
            }
        }
    }

    /// Follows the edges from an operation until one comes again.
    fn walk(&mut self, scene: &Scene<'_>, stuck: &Stuck, start: u32, seen: &mut [bool]) {
        let mut path: Vec<(u32, Link)> = Vec::new();
        let mut slot = start;
        loop {
            if let Some(first) = path.iter().position(|(other, _)| *other == slot) {
                self.keep(scene, stuck, &path[first..]);
                return;
            }
            let Some(&place) = stuck.place.get(&slot) else { return };
            if seen[place] {
                return;
            }
            seen[place] = true;
            let Some((link, next)) = stuck.follow(scene, slot) else { return };
            path.push((slot, link));
            slot = next;
        }
    }

    fn keep(&mut self, scene: &Scene<'_>, stuck: &Stuck, path: &[(u32, Link)]) {
        // The same circle always begins with its earliest operation.
        let first = (0..path.len()).min_by_key(|&place| {
            let link = &path[place].1;
            (link.op_started, link.op_trace, link.op_record)
        });
        let Some(first) = first else { return };
        let links: Vec<Link> = path[first..].iter().chain(&path[..first]).map(|&(_, link)| link).collect();
        let same = |cycle: &&mut Cycle| {
            cycle.links.iter().any(|link| {
                links.iter().any(|new| (new.op_trace, new.op_record) == (link.op_trace, link.op_record))
            })
        };
        if self.cycles.iter_mut().find(same).is_some() {
            return;
        }
        if self.cycles.len() >= CYCLES_MAX {
            self.more_cycles.raise(1);
            return;
        }
        let mut began = links.iter().map(Link::began).max().unwrap_or(0);
        let queues = |link: &&Link| matches!(link.hold, Hold::Decision { queued: true, .. });
        for link in links.iter().filter(queues) {
            // A queue is stuck from the moment on which the last of its workers is.
            for &slot in &scene.open[usize::from(link.decider)] {
                if stuck.holds(slot) {
                    began = began.max(scene.ops.get(slot).map_or(0, |op| op.started));
                }
            }
        }
        let ends = path.iter().filter_map(|&(slot, _)| scene.ops.get(slot)).map(|op| op.ended);
        let resolved = ends.min().unwrap_or(NEVER);
        self.cycles.push(Cycle { links, began, resolved });
    }
}
