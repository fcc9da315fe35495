//! The warden: outside the pipeline, watches every client's board and ends who is past its deadline, as
//! Endpoint Security does. It opens nothing in the arena and asks no client anything.

use std::{collections::BTreeMap, io, path::Path};

use lab_analysis::live::{Originator, Unanswered, UnderWay};
use lab_model::{Actor, Cause, Ticks};
use lab_process::clock;
use lab_trace::{AttachedTrace, Board, Counter, Entry, Record, SlotView};

use super::questions::{OutsideLook, WaitingOperation};
use crate::freezer::is_frozen;

/// How often unread queues are looked at, in ticks of the warden.
const UNREAD_EVERY: u32 = 20;

/// A process as the warden sees it.
#[derive(Debug)]
struct Seen {
    board: Board,
    /// For whom it makes its operations only its records say.
    records: AttachedTrace,
}

impl Seen {
    fn attach(trace: &Path) -> io::Result<Seen> {
        Ok(Seen { board: Board::attach(trace)?, records: AttachedTrace::open(trace)? })
    }

    /// The decision that an operation is made for, and by which process.
    fn cause(&self, record: u64) -> Option<(Actor, u64)> {
        match self.records.entry(record)? {
            Entry::Record { record: Record::Operation(operation), .. } => match operation.begin.cause {
                Cause::Decision { client, record } => Some((client, record)),
                _ => None,
            },
            _ => None,
        }
    }
}

/// A client as the warden sees it.
#[derive(Debug)]
struct Watched {
    seen: Seen,
    pid: u32,
    queue: Option<i32>,
    /// How often the reader had returned from a read when that was looked at last.
    reads: u64,
    /// When it was last seen to have done so, or the watch began.
    last_read: Ticks,
    /// Since when there have been unread events without that.
    stuck: Option<Ticks>,
}

/// Somebody is past the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overdue {
    pub(super) actor: Actor,
    pub(super) pid: u32,
    /// The record of the overdue decision; `None` for an event that was never read, or that the reader itself was
    /// to answer.
    pub(super) record: Option<u64>,
}

/// The watch over all processes of a lab.
#[derive(Debug, Default)]
pub(super) struct Warden {
    clients: BTreeMap<Actor, Watched>,
    /// Helpers and daemons: nobody waits for their answers, but their operations wait for clients.
    workers: BTreeMap<Actor, Seen>,
    driver: Option<Seen>,
    rounds: u32,
}

/// Who everybody is, for a look at who waits for whom.
#[derive(Debug, Default)]
pub(super) struct Roster {
    /// The place of each living client's process in the lab.
    pub(super) clients: BTreeMap<Actor, u16>,
    /// The group that each helper and daemon belongs to.
    pub(super) groups: BTreeMap<Actor, u16>,
}

/// A client as it shows itself to whoever does not ask it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ClientStatus {
    /// Since when events have waited that it does not read.
    pub(super) unread: Option<Ticks>,
    pub(super) stopped: bool,
}

/// What the boards show at one moment, for the progress line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ProgressSnapshot {
    pub(super) operations: u64,
    pub(super) events: u64,
    pub(super) pending: usize,
    /// Requests to helpers and daemons that are not over.
    pub(super) errands: u64,
}

impl ProgressSnapshot {
    /// True when nobody has anything to do.
    pub(super) const fn is_idle(&self) -> bool {
        self.pending == 0 && self.errands == 0
    }
}

impl Warden {
    pub(super) fn watch_client(
        &mut self,
        actor: Actor,
        trace: &Path,
        pid: u32,
        queue: Option<i32>,
    ) -> io::Result<()> {
        let watched = Watched {
            seen: Seen::attach(trace)?,
            pid,
            queue,
            reads: 0,
            last_read: clock::now(),
            stuck: None,
        };
        self.clients.insert(actor, watched);
        Ok(())
    }

    pub(super) fn watch_driver(&mut self, trace: &Path) -> io::Result<()> {
        self.driver = Some(Seen::attach(trace)?);
        Ok(())
    }

    pub(super) fn watch_worker(&mut self, actor: Actor, trace: &Path) -> io::Result<()> {
        self.workers.insert(actor, Seen::attach(trace)?);
        Ok(())
    }

    pub(super) fn forget(&mut self, actor: Actor) {
        self.clients.remove(&actor);
        self.workers.remove(&actor);
    }

    /// When a client's reader was last seen to have returned from a read, or the watch began; `None` when it is not watched.
    pub(super) fn last_read(&self, client: Actor) -> Option<Ticks> {
        self.clients.get(&client).map(|watched| watched.last_read)
    }

    /// True while a client is watched: it has not been ended yet.
    pub(super) fn watches(&self, client: Actor) -> bool {
        self.clients.contains_key(&client)
    }

    /// True when a client is watched whose board shows no decision.
    pub(super) fn decides_nothing(&self, client: Actor) -> bool {
        let board = self.clients.get(&client).map(|watched| &watched.seen.board);
        board.is_some_and(|board| {
            board.pending().next().is_none() && Ticks(board.get(Counter::Answering)) == Ticks(0)
        })
    }

    /// True when there is a client to look at.
    pub(super) fn has_clients(&self) -> bool {
        !self.clients.is_empty()
    }

    /// Whoever is past the deadline now.
    pub(super) fn overdue(&mut self, now: Ticks, deadline_ticks: u64) -> Vec<Overdue> {
        self.rounds = self.rounds.wrapping_add(1);
        let look_at_queues = self.rounds.is_multiple_of(UNREAD_EVERY);
        let waited_for = look_at_queues && self.somebody_waits();
        let mut found = Vec::new();
        for (&actor, watched) in &mut self.clients {
            let pid = watched.pid;
            if look_at_queues {
                watched.note_reads(now);
            }
            let oldest = watched.seen.board.pending().min_by_key(|slot| slot.since);
            let answering = Ticks(watched.seen.board.get(Counter::Answering));
            if let Some(slot) = oldest.filter(|slot| now.since(slot.since) >= deadline_ticks) {
                found.push(Overdue { actor, pid, record: Some(slot.record) });
            } else {
                let held = answering != Ticks(0) && now.since(answering) >= deadline_ticks;
                let stuck = if look_at_queues { watched.stuck_since(now, waited_for) } else { None };
                if held || stuck.is_some_and(|at| now.since(at) >= deadline_ticks) {
                    found.push(Overdue { actor, pid, record: None });
                }
            }
        }
        found
    }

    /// The operations of lab processes that wait in the kernel for an answer that no client of the lab is seen to owe:
    /// somebody else was asked. Only those that have waited `ticks` or more.
    pub(super) fn held_outside(&self, now: Ticks, ticks: u64) -> OutsideLook {
        let old = self.boards().flat_map(Board::operations).filter(|slot| now.since(slot.since) >= ticks);
        let waiting = old.filter(|slot| waits_for_answer(slot.tid));
        let mut waiting: Vec<WaitingOperation> =
            waiting.map(|slot| WaitingOperation { tid: slot.tid, began: slot.since }).collect();
        if waiting.is_empty() {
            return OutsideLook::default();
        }
        let pending = self.clients.values().flat_map(|watched| watched.seen.board.pending());
        let held: std::collections::BTreeSet<u64> = pending.map(|slot| slot.tid).collect();
        waiting.retain(|operation| !held.contains(&operation.tid));
        let owed = self.clients.values().filter_map(|watched| watched.owes_since(now)).min();
        OutsideLook { waiting, owed }
    }

    /// True in the rounds in which the warden looks at more than the boards.
    pub(super) const fn looks_closely(&self) -> bool {
        self.rounds.is_multiple_of(UNREAD_EVERY)
    }

    /// True when something has been waiting for `ticks` or more, or seems to.
    pub(super) fn something_waits(&self, now: Ticks, ticks: u64) -> bool {
        let old = |slot: SlotView| now.since(slot.since) >= ticks;
        self.clients.values().any(|watched| watched.stuck.is_some())
            || self.boards().any(|board| board.pending().any(old) || board.operations().any(old))
    }

    /// How many decisions, or requests, a process says that it can work on at once now; `None` when it has not said.
    pub(super) fn workers_now(&self, actor: Actor) -> Option<usize> {
        let client = self.clients.get(&actor).map(|watched| &watched.seen);
        let board = &client.or_else(|| self.workers.get(&actor))?.board;
        usize::try_from(board.get(Counter::Workers)).ok().filter(|&workers| workers > 0)
    }

    /// How a client stands.
    pub(super) fn client_status(&self, actor: Actor) -> ClientStatus {
        let watched = self.clients.get(&actor);
        watched.map_or_else(ClientStatus::default, |watched| ClientStatus {
            unread: watched.stuck,
            stopped: is_stopped(watched.pid),
        })
    }

    /// The decisions that were waiting at `now`.
    pub(super) fn unanswered(&self, now: Ticks, roster: &Roster) -> Vec<Unanswered> {
        let mut all = Vec::new();
        for (actor, Watched { seen, .. }) in &self.clients {
            let Some(&client) = roster.clients.get(actor) else { continue };
            let group = |ask: &SlotView| {
                let whom = Actor(u16::try_from(ask.tid).ok()?);
                // The helpers of a client are the group of its own place.
                if whom == *actor { Some(client) } else { roster.groups.get(&whom).copied() }
            };
            let asks: BTreeMap<u64, u16> =
                seen.board.asks().filter_map(|ask| Some((ask.record, group(&ask)?))).collect();
            all.extend(seen.board.pending().filter(|slot| slot.since <= now).map(|slot| {
                let SlotView { since, record, tid, .. } = slot;
                Unanswered { client, record, since, tid, asks: asks.get(&record).copied() }
            }));
        }
        all
    }

    /// The operations that were under way at `now`. Those older than `ticks` that nobody is seen to hold up are looked
    /// at more closely.
    pub(super) fn under_way(
        &self,
        now: Ticks,
        ticks: u64,
        roster: &Roster,
        unanswered: &[Unanswered],
    ) -> Vec<UnderWay> {
        let asked: std::collections::BTreeSet<u64> = unanswered.iter().map(|one| one.tid).collect();
        let clients = self.clients.iter().map(|(&actor, watched)| (Some(actor), &watched.seen));
        let workers = self.workers.iter().map(|(&actor, seen)| (Some(actor), seen));
        let mut all = Vec::new();
        for (actor, seen) in clients.chain(workers).chain(self.driver.iter().map(|seen| (None, seen))) {
            let client = actor.and_then(|actor| roster.clients.get(&actor).copied());
            let group = actor.and_then(|actor| roster.groups.get(&actor).copied());
            let maker = match (client, group) {
                (Some(client), _) => Originator::Client(client),
                (None, Some(group)) => Originator::Worker(group),
                (None, None) => Originator::Workload,
            };
            for SlotView { since, record, tid, .. } in
                seen.board.operations().filter(|slot| slot.since <= now)
            {
                let cause = match maker {
                    Originator::Workload => None,
                    _ => seen.cause(record),
                };
                let cause = cause.and_then(|(actor, record)| Some((*roster.clients.get(&actor)?, record)));
                let held = now.since(since) >= ticks && !asked.contains(&tid) && waits_for_answer(tid);
                let actor = actor.map_or(0, |actor| actor.0);
                all.push(UnderWay { actor, record, since, tid, maker, cause, held });
            }
        }
        all
    }

    /// Whether any operation of the lab is under way, and so may be waiting for a client.
    fn somebody_waits(&self) -> bool {
        self.boards().any(|board| board.operations().next().is_some())
    }

    fn driver_board(&self) -> Option<&Board> {
        self.driver.as_ref().map(|seen| &seen.board)
    }

    fn boards(&self) -> impl Iterator<Item = &Board> {
        let clients = self.clients.values().map(|watched| &watched.seen);
        clients.chain(self.workers.values()).chain(&self.driver).map(|seen| &seen.board)
    }

    /// What the boards show.
    pub(super) fn snapshot(&self) -> ProgressSnapshot {
        let clients = self.clients.values();
        let left = |board: &Board, all, over| board.get(all).saturating_sub(board.get(over));
        let asked =
            clients.clone().map(|watched| left(&watched.seen.board, Counter::Requests, Counter::Replies));
        let under_way =
            self.workers.values().map(|seen| left(&seen.board, Counter::ErrandsBegun, Counter::ErrandsEnded));
        ProgressSnapshot {
            errands: asked.chain(under_way).sum(),
            operations: self.driver_board().map_or(0, |board| board.get(Counter::OperationsEnded)),
            events: clients.clone().map(|watched| watched.seen.board.get(Counter::Events)).sum(),
            pending: clients.map(|watched| watched.seen.board.pending().count()).sum(),
        }
    }
}

impl Watched {
    /// Notes whether the reader has returned from a read since the last look.
    fn note_reads(&mut self, now: Ticks) {
        let reads = self.seen.board.get(Counter::Reads);
        if reads != self.reads {
            (self.reads, self.last_read, self.stuck) = (reads, now, None);
        }
    }

    /// Since when the client has owed an answer about nobody knows whose event: it has not even read it, or its reader is
    /// answering.
    fn owes_since(&self, now: Ticks) -> Option<Ticks> {
        let answering = Some(Ticks(self.seen.board.get(Counter::Answering))).filter(|at| *at != Ticks(0));
        let unread = has_unread(self.pid, self.queue).then(|| self.stuck.unwrap_or(now));
        let stopped = is_stopped(self.pid).then_some(Ticks(0));
        [answering, unread, stopped].into_iter().flatten().min()
    }

    /// Since when events wait that the client does not take in. A lower bound: the watch begins when it is noticed.
    ///
    /// A process that is stopped on its way out of the read has taken events that neither the kernel's queue nor the
    /// board shows, so with operations under way being stopped is enough.
    fn stuck_since(&mut self, now: Ticks, waited_for: bool) -> Option<Ticks> {
        if self.last_read == now {
            return None;
        }
        let waiting = has_unread(self.pid, self.queue) || (waited_for && is_stopped(self.pid));
        self.stuck = if waiting { self.stuck.or(Some(now)) } else { None };
        self.stuck
    }
}

/// Whether a thread is in the kernel and waits for the answer of a fanotify group.
fn waits_for_answer(tid: u64) -> bool {
    let channel = u32::try_from(tid).ok().and_then(lab_process::proc::wait_channel);
    channel.is_some_and(|at| at == "fanotify_handle_event")
}

/// Whether a signal or a freezer has stopped the process. Opens nothing in the arena.
fn is_stopped(pid: u32) -> bool {
    lab_process::process_state(pid).is_some_and(|state| state.stopped) || is_frozen(pid)
}

fn has_unread(pid: u32, queue: Option<i32>) -> bool {
    // A client that is ending has no queue to look at, and one of Endpoint Security has none that can be looked at.
    queue.is_some_and(|queue| {
        lab_backend_fanotify::confine::unread_events(pid, queue).is_ok_and(|events| events > 0)
    })
}
