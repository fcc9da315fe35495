//! Clients that come back after their death: a new process under a number of its own, as a live run's controller
//! brings it.

use lab_trace::ProcessMarkKind;
use lab_workload::Participant;

use crate::{
    Sink,
    hardware::agenda::SimEvent,
    machine::{Machine, NONE},
};

/// From a client's first read to its behaviour: the controller tells everybody of it first. Nanoseconds. Measured, on
/// a busy machine: three opens at 500 a second.
pub(crate) const GETTING_KNOWN: u64 = 5_000_000;

impl<S: Sink> Machine<'_, S> {
    /// A killed client has gone, and may come back.
    pub(crate) fn client_gone(&mut self, client: usize) {
        self.target_gone(self.clients[client].actor);
        let described = &self.lab.clients[client];
        let after = self.faults.comes_back(described.id.as_str()).or(described.restart);
        let whom = Participant::Client(client);
        self.faults.restarts.is_back(whom);
        let due = after.and_then(|after| self.faults.restarts.plan(whom, after, self.now));
        if let Some(due) = due {
            let client = u32::try_from(client).unwrap_or(NONE);
            self.agenda.enter(due, SimEvent::StartAgain { client });
        }
        let no_client_left = self.clients.iter().all(|client| !client.alive);
        if no_client_left && !self.faults.restarts.expects_a_client() {
            self.halt();
        }
    }

    /// A new process of a client begins: it sets itself up, and nothing is asked of it yet.
    pub(crate) fn start_again(&mut self, client: usize) {
        if !self.faults.restarts.expects(Participant::Client(client)) {
            return;
        }
        let process = self.faults.restarts.next_process(Participant::Client(client));
        self.renew(client);
        let number = u32::try_from(client).unwrap_or(NONE);
        let ready = self.now.saturating_add(self.costs.start_client);
        self.agenda.enter(ready, SimEvent::BackAgain { client: number, process });
    }

    fn is_current(&self, client: usize, process: u32) -> bool {
        let (whom, restarts) = (Participant::Client(client), &self.faults.restarts);
        restarts.process(whom) == process && self.clients[client].alive && restarts.expects(whom)
    }

    /// It reads events, and answers them at once until the others know it: what it opened before that would look
    /// like the workload's to them.
    pub(crate) fn back_again(&mut self, client: usize, process: u32) {
        if !self.is_current(client, process) {
            return;
        }
        self.announce_client(client, ProcessMarkKind::Ready);
        self.client_connected();
        let number = u32::try_from(client).unwrap_or(NONE);
        self.agenda.enter(self.now + GETTING_KNOWN, SimEvent::KnownAgain { client: number, process });
    }

    /// It takes the behaviour that is due.
    pub(crate) fn known_again(&mut self, client: usize, process: u32) {
        if !self.is_current(client, process) {
            return;
        }
        self.faults.restarts.is_back(Participant::Client(client));
        self.introduce_all();
        if self.faults.behaving {
            self.behave(client);
            let number = u32::try_from(client).unwrap_or(NONE);
            let helpers = (0..self.worker_processes.len()).filter(|&place| {
                let helper = &self.worker_processes[place];
                helper.client == number && helper.alive
            });
            for helper in helpers.collect::<Vec<_>>() {
                self.serve_as_due(helper);
            }
        }
    }
}
