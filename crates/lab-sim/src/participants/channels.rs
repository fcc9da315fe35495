//! Helpers and daemons that end by themselves: what becomes of the channels to them and of the requests on those, and
//! how a daemon comes back. The rules are the live client's (`lab-client`'s couriers) and controller's.
//!
//! A channel is found broken by the request that it carries when its worker dies, or by the next that is put on it. That
//! request is over, for nobody knows whether it was carried out, and none is made twice. Without any channel left
//! everything that waits is over, and what comes later fails at once. A channel to a daemon that the lab file brings back
//! is opened again once that listens.

use lab_client_core::{Input, Whom};
use lab_model::{Service, Ticks};
use lab_trace::{ProcessMarkKind, RequestEnd};
use lab_workload::Participant;

use crate::{
    Sink,
    hardware::{agenda::SimEvent, slab::Key},
    kernel::warden::KILLED,
    machine::{Machine, NONE, State},
    participants::deciders::By,
    scenario::restarts::GETTING_KNOWN,
};

/// `EPIPE`: the channel broke, or there is none.
pub(crate) const EPIPE: u32 = 32;

/// How often a daemon that may come back is looked for, as live.
const REGAIN_EVERY: u64 = 10_000_000;

/// A daemon of the lab, through all of its processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DaemonLife {
    /// Its latest process, among the worker processes.
    pub(crate) place: u32,
    /// The lab file brings it back at some time, so that its clients look for it.
    returns: bool,
}

impl<S: Sink> Machine<'_, S> {
    /// The daemons of the lab, each with its first process.
    pub(crate) fn daemon_lives(&self) -> Vec<DaemonLife> {
        let returns = |id: &str| {
            let mut faults = self.lab.faults.iter();
            faults.any(|fault| fault.on == id && fault.action.brings_back())
        };
        let life = |(place, daemon): (u32, &lab_model::Daemon)| {
            let returns = returns(daemon.id.as_str());
            DaemonLife { place, returns }
        };
        (0_u32..).zip(&self.lab.daemons).map(life).collect()
    }

    /// Kills one helper, or one process of a daemon.
    pub(crate) fn kill_outsider(&mut self, place: usize) {
        let worker_process = &mut self.worker_processes[place];
        worker_process.alive = false;
        worker_process.serves = false;
        worker_process.taken_in.clear();
        let (name, actor, pid) = (worker_process.name.clone(), worker_process.actor, worker_process.pid);
        let (first, count) = worker_process.threads;
        for thread in first..first + u32::from(count) {
            self.threads[thread as usize].state = State::Dead;
            self.cancel(thread);
        }
        self.mark_end(actor, pid, KILLED);
        self.target_gone(actor);
        let number = u32::try_from(place).unwrap_or(NONE);
        let carried = self.requests.iter().filter(|(_, request)| request.worker_process == number);
        for key in carried.map(|(key, _)| key).collect::<Vec<Key>>() {
            self.fail_on_channel(key);
        }
        let daemon = self.daemons.iter().position(|daemon| daemon.place == number);
        let after = daemon.and_then(|_| self.faults.comes_back(&name));
        if let (Some(daemon), Some(after)) = (daemon, after)
            && let Some(due) = self.faults.restarts.plan(Participant::Daemon(daemon), after, self.now)
        {
            let daemon = u32::try_from(daemon).unwrap_or(NONE);
            self.agenda.enter(due, SimEvent::DaemonAgain { daemon });
        }
    }

    /// A request was on a channel that is broken: it is over, and the channel lost.
    pub(crate) fn fail_on_channel(&mut self, key: Key) {
        let Some(request) = self.requests.get(key).copied() else { return };
        self.fail(key);
        let client = request.client as usize;
        if !self.clients[client].alive || self.clients[client].actor != request.by {
            return;
        }
        let Some(request_queue) = self.clients[client].request_queues.get_mut(request.whom) else { return };
        request_queue.channels -= 1;
        let orphans = if request_queue.channels == 0 {
            std::mem::take(&mut request_queue.waiting)
        } else {
            Default::default()
        };
        for orphan in orphans {
            self.fail(orphan);
        }
        let Whom::Daemon(asked) = request.whom else { return };
        if self.daemon_asked(client, asked).is_some_and(|daemon| self.daemons[daemon].returns) {
            let (client, by) = (request.client, request.by);
            self.agenda.enter(self.now + REGAIN_EVERY, SimEvent::Regain { client, by, asked });
        }
    }

    /// A request is over without having been carried out, as far as anybody knows.
    fn fail(&mut self, key: Key) {
        let Some(request) = self.requests.remove(key) else { return };
        let state = &self.clients[request.client as usize];
        if state.alive && state.actor == request.by {
            let end = RequestEnd { at: Ticks(self.now), error: EPIPE, served: None };
            self.sink.end_request(state.actor, request.record, &end);
            if request.waiter != NONE {
                self.wake(request.waiter);
            }
        }
    }

    /// The daemon at this place of a client's behaviour, by its place in the lab.
    fn daemon_asked(&self, client: usize, asked: u8) -> Option<usize> {
        let asked = self.lab.clients[client].behavior.daemons.get(usize::from(asked))?;
        self.lab.daemons.iter().position(|daemon| daemon.id == asked.daemon)
    }

    /// A client looks whether a daemon listens again, and has a channel more if so.
    pub(crate) fn regain(&mut self, client: u32, by: lab_model::Actor, asked: u8) {
        let place = client as usize;
        if !self.clients[place].alive || self.clients[place].actor != by {
            return;
        }
        let Some(daemon) = self.daemon_asked(place, asked) else { return };
        let worker_process = self.daemons[daemon].place;
        if !self.worker_processes[worker_process as usize].alive
            || !self.worker_processes[worker_process as usize].listens
        {
            // It looks for as long as it lives.
            self.agenda.enter(self.now + REGAIN_EVERY, SimEvent::Regain { client, by, asked });
            return;
        }
        if let Some(request_queue) = self.clients[place].request_queues.get_mut(Whom::Daemon(asked)) {
            request_queue.channels += 1;
            request_queue.group = (worker_process, 1);
            match request_queue.waiting.pop_front() {
                Some(next) => self.take_in(worker_process, next),
                None => request_queue.free.push_back(worker_process),
            }
        }
    }

    /// A daemon that has died is started again, under a number of its own.
    pub(crate) fn daemon_again(&mut self, daemon: usize) {
        if !self.faults.restarts.expects(Participant::Daemon(daemon)) {
            return;
        }
        let described = &self.lab.daemons[daemon];
        let (name, place) = (described.id.to_string(), self.worker_processes.len());
        let pid = self.driver.new_process();
        let service = Service { errand: described.errand, workers: described.workers };
        self.add_outsider(name, NONE, service, pid);
        self.faults.restarts.next_process(Participant::Daemon(daemon));
        self.daemons[daemon].place = u32::try_from(place).unwrap_or(NONE);
        let header = self.outside_header(place);
        self.sink.join(&header);
        self.worker_processes[place].alive = true;
        self.mark_process(self.worker_processes[place].actor, pid, ProcessMarkKind::Started, 0);
        let ready = self.now.saturating_add(self.costs.start_client);
        self.agenda.enter(ready, SimEvent::DaemonListens { worker_process: self.daemons[daemon].place });
    }

    /// A daemon that came back can be connected to. It carries nothing out before everybody knows its threads.
    pub(crate) fn daemon_listens(&mut self, worker_process: u32) {
        if !self.worker_processes[worker_process as usize].alive {
            return;
        }
        self.announce_outsider(worker_process as usize);
        self.agenda.enter(self.now + GETTING_KNOWN, SimEvent::DaemonServes { worker_process });
    }

    /// It does now.
    pub(crate) fn daemon_serves(&mut self, worker_process: u32) {
        let Some(daemon) = self.daemons.iter().position(|daemon| daemon.place == worker_process) else {
            return;
        };
        let whom = Participant::Daemon(daemon);
        let returns = self.faults.restarts.expects(whom);
        self.faults.restarts.is_back(whom);
        if !returns || !self.worker_processes[worker_process as usize].alive {
            return;
        }
        self.introduce_all();
        self.worker_processes[worker_process as usize].serves = true;
        self.serve_as_due(worker_process as usize);
    }

    /// Every client learns anew who takes part.
    pub(crate) fn introduce_all(&mut self) {
        for client in 0..self.clients.len() {
            if !self.clients[client].listening {
                continue;
            }
            let behavior = self.clients[client].core.policy().behavior().clone();
            let policy = self.policy(behavior);
            let input = Input::Behave(Box::new(policy));
            self.clients[client].core.step(Ticks(self.now), input, &mut self.actions);
            self.apply(client, By::Command);
            self.let_go(client, By::Command);
        }
    }
}
