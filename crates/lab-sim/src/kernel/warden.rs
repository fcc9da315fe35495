//! Deadlines: who is overdue, what happens to it, and who waited for whom in a circle.

use lab_model::{Actor, Ticks, Verdict};
use lab_trace::{Fault, FaultKind};

use crate::{
    Sink,
    hardware::{agenda::SimEvent, slab::Key},
    machine::{Machine, NONE, State, Step},
    participants::client::Client,
};

/// The wait status of a killed process.
pub(crate) const KILLED: i32 = 9;

impl<S: Sink> Machine<'_, S> {
    /// Makes sure that somebody looks when this deadline has come.
    pub(crate) fn watch_deadlines(&mut self, due: u64) {
        if !self.watching {
            self.watching = true;
            self.agenda.enter(due, SimEvent::DeadlineCheck);
        }
    }

    /// Kills every client that is overdue, and looks again when the next one may be.
    ///
    /// Any question put from now on is due later than any put before, so one check on the agenda is enough.
    pub(crate) fn check_deadlines(&mut self) {
        let mut next = None::<u64>;
        for client in 0..self.clients.len() {
            let state = &self.clients[client];
            if !state.alive {
                continue;
            }
            let open = state.decisions.iter().filter(|(_, decision)| !decision.answered);
            let Some((due, key)) =
                open.map(|(key, decision)| (decision.due, key)).min_by_key(|(due, _)| *due)
            else {
                continue;
            };
            if due <= self.now {
                self.deadline_kill(client, key);
            } else {
                next = Some(next.map_or(due, |next| next.min(due)));
            }
        }
        self.watching = next.is_some();
        if let Some(next) = next {
            self.agenda.enter(next, SimEvent::DeadlineCheck);
        }
    }

    fn deadline_kill(&mut self, client: usize, overdue: Key) {
        self.look_for_cycle();
        let state = &self.clients[client];
        let actor = state.actor;
        let detail = state.decisions.get(overdue).map_or(u64::MAX, |decision| decision.record.0);
        let fault = Fault { at: Ticks(self.now), kind: FaultKind::DeadlineKill, actor, detail };
        self.sink.fault(Actor::ORCHESTRATOR, &fault);
        self.tally.kills += 1;
        self.kill(client);
    }

    /// Kills a client: its threads stop at once, and what waits for it is let go a little later.
    pub(crate) fn kill(&mut self, client: usize) {
        let state = &mut self.clients[client];
        (state.alive, state.dying) = (false, true);
        let number = u32::try_from(client).unwrap_or(NONE);
        for thread in 0..u32::try_from(self.threads.len()).unwrap_or(NONE) {
            if self.threads[thread as usize].client == number {
                self.threads[thread as usize].state = State::Dead;
                self.cancel(thread);
            }
        }
        self.end_outside(Some(number));
        self.forget_requests(number);
        let at = self.now + self.cost(self.costs.kill_release);
        self.agenda.enter(at, SimEvent::Released { client: number });
    }

    /// The last descriptor of a killed client has gone: the kernel allows what waited for it.
    pub(crate) fn release_waiting(&mut self, client: u32) {
        let state = &mut self.clients[client as usize];
        (state.listening, state.dying) = (false, false);
        let (actor, pid) = (state.actor, state.pid);
        let gone: Vec<Key> = state.decisions.iter().map(|(key, _)| key).collect();
        state.queue.clear();
        state.budget.clear();
        state.unanswered = 0;
        self.pending -= gone.len() as u64;
        self.forget_unread(client as usize);
        let mut waiting = Vec::new();
        for key in gone {
            let decision = self.clients[client as usize].decisions.remove(key);
            waiting.extend(decision.filter(|decision| !decision.answered).map(|decision| decision.operation));
        }
        for operation in waiting {
            self.answer_reaches(operation, Verdict::Allow);
        }
        self.mark_end(actor, pid, KILLED);
        self.client_gone(client as usize);
    }

    /// Looks whether clients wait for each other in a circle that only a kill can open.
    pub(crate) fn look_for_cycle(&mut self) {
        if self.tally.cycle.is_none() {
            let members = self.stuck();
            if !members.is_empty() {
                self.tally.cycle = Some(crate::records::tally::Cycle { at: self.now, clients: members });
            }
        }
    }

    /// The clients that have a decision which cannot be answered whatever the threads do: the complement of
    /// the smallest set of decisions and operations that can go on.
    ///
    /// An operation goes on when all it waits for does. A decision goes on when it is not read yet, when its
    /// answer is about to leave, when the budget will answer it, or when the operation of its worker goes on, or
    /// the request that its worker waits for; one that waits for a worker does when any worker of the client does.
    fn stuck(&self) -> Vec<u16> {
        let mut going: Vec<Vec<bool>> = self.clients.iter().map(|_| Vec::new()).collect();
        loop {
            let mut changed = false;
            for client in 0..self.clients.len() {
                changed |= self.spread(client, &mut going);
            }
            if !changed {
                break;
            }
        }
        let stuck = |state: &Client, going: &[bool]| {
            state.alive && state.decisions.iter().any(|(key, _)| !going[key.place as usize])
        };
        let clients = (0_u16..).zip(self.clients.iter().zip(&going));
        clients.filter(|(_, (state, going))| stuck(state, going)).map(|(client, _)| client).collect()
    }

    /// Marks the decisions of a client that can go on because of what is marked already; true if there were any.
    fn spread(&self, client: usize, going: &mut [Vec<bool>]) -> bool {
        let state = &self.clients[client];
        if !state.alive {
            return false;
        }
        let workers_go = self.any_worker_goes(client, going);
        let leaving = |key| {
            let mut due = state.batch.answers.iter().chain(&state.fallbacks.answers);
            due.any(|&(answered, ..)| answered == key)
        };
        let mut changed = false;
        for (key, decision) in state.decisions.iter() {
            let place = key.place as usize;
            if going[client].len() <= place {
                going[client].resize(place + 1, false);
            }
            if going[client][place] {
                continue;
            }
            let answerable = decision.answered
                || decision.read.is_none()
                || decision.answer.is_some()
                || decision.budgeted;
            let goes = answerable
                || match decision.worker {
                    NONE => workers_go,
                    worker => self.thread_goes(worker, going),
                }
                || leaving(key);
            going[client][place] = goes;
            changed |= goes;
        }
        changed
    }

    /// A worker that rests has nothing to wait for and nothing to offer: the core hands out a waiting decision
    /// as soon as fewer tasks are under way than it may have, which only the busy ones decide.
    fn any_worker_goes(&self, client: usize, going: &[Vec<bool>]) -> bool {
        let (first, count) = self.clients[client].workers;
        (first..first + u32::from(count))
            .any(|worker| !self.clients[client].idle.contains(&worker) && self.thread_goes(worker, going))
    }

    fn thread_goes(&self, thread: u32, going: &[Vec<bool>]) -> bool {
        let thread = &self.threads[thread as usize];
        if thread.state != State::Blocked {
            return thread.state != State::Dead;
        }
        if thread.step == Step::Replied {
            return self
                .request_goes(thread.request, &|worker_process| self.thread_goes(worker_process, going));
        }
        if self.operations.get(thread.operation).is_none() {
            return true;
        }
        let waits_for = |(client, state): (usize, &Client)| {
            state.decisions.iter().all(|(key, decision)| {
                let asked = decision.operation == thread.operation && !decision.answered;
                !asked || !state.alive || going[client].get(key.place as usize).copied().unwrap_or(false)
            })
        };
        self.clients.iter().enumerate().all(waits_for)
    }
}
