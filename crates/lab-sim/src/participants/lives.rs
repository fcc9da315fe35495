//! When the processes of a lab begin and end to live, and who of them is there.

use lab_model::{Actor, Lab, PlannedFault, Service};

use crate::{
    hardware::{NONE, slab::Key},
    participants::{client::Client, state::Participants, target::Target},
};

/// A process by its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProcessNumbers {
    pub(crate) actor: Actor,
    pub(crate) pid: u32,
}

impl Client {
    const fn numbers(&self) -> ProcessNumbers {
        ProcessNumbers { actor: self.actor, pid: self.pid }
    }

    /// It runs.
    pub(crate) const fn is_alive(&self) -> bool {
        self.alive
    }

    /// It runs, and the kernel asks it.
    pub(crate) const fn is_listening(&self) -> bool {
        self.listening
    }

    /// The first of its unanswered decisions to be due: when, and which. For a client that lives.
    pub(crate) fn first_due(&self) -> Option<(u64, Key)> {
        let open = self.decisions.iter().filter(|(_, decision)| self.alive && !decision.answered);
        open.map(|(key, decision)| (decision.due, key)).min_by_key(|(due, _)| *due)
    }

    /// The place of a decision in its trace.
    pub(crate) fn record_of(&self, decision: Key) -> Option<u64> {
        self.decisions.get(decision).map(|decision| decision.record.0)
    }
}

impl Participants {
    /// The driver's numbers.
    pub(crate) const fn driver_numbers(&self) -> ProcessNumbers {
        ProcessNumbers { actor: self.driver.actor, pid: self.driver.pid }
    }

    /// The number of a participant in the trace.
    pub(crate) fn actor_of(&self, target: Target) -> Actor {
        match target {
            Target::Client(client) => self.clients[client].actor,
            Target::Driver => self.driver.actor,
            Target::WorkerProcess(place) => self.worker_processes[place].actor,
        }
    }

    /// Who tells a participant how to work: a helper's client, and everybody else itself.
    pub(crate) fn told_by(&self, target: Target) -> Actor {
        match target {
            Target::WorkerProcess(place) if self.worker_processes[place].client != NONE => {
                self.clients[self.worker_processes[place].client as usize].actor
            }
            _ => self.actor_of(target),
        }
    }

    /// Everybody who lives, with their names.
    pub(crate) fn living(&self, lab: &Lab) -> Vec<(Target, String)> {
        let clients = lab.clients.iter().enumerate().filter(|(place, _)| self.clients[*place].alive);
        let clients = clients.map(|(place, client)| (Target::Client(place), client.id.to_string()));
        let processes = self.worker_processes.iter().enumerate().filter(|(_, process)| process.alive);
        let processes =
            processes.map(|(place, process)| (Target::WorkerProcess(place), process.name.clone()));
        let driver = [(Target::Driver, PlannedFault::DRIVER.to_owned())];
        clients.chain(processes).chain(driver).collect()
    }

    /// A client's process is killed. Its descriptor is still there.
    pub(crate) fn kill_client(&mut self, client: usize) {
        let state = &mut self.clients[client];
        (state.alive, state.dying) = (false, true);
    }

    /// The last descriptor of a killed client has gone. Returns its numbers and the operations that waited for it.
    pub(crate) fn release_client(&mut self, client: usize) -> (ProcessNumbers, Vec<Key>) {
        let state = &mut self.clients[client];
        (state.listening, state.dying) = (false, false);
        state.queue.clear();
        state.budget.clear();
        state.unanswered = 0;
        let gone: Vec<Key> = state.decisions.iter().map(|(key, _)| key).collect();
        self.pending -= gone.len() as u64;
        let mut waiting = Vec::new();
        for key in gone {
            let decision = state.decisions.remove(key);
            waiting.extend(decision.filter(|decision| !decision.answered).map(|decision| decision.operation));
        }
        (state.numbers(), waiting)
    }

    /// The run ends: a client whose kill was not over yet.
    pub(crate) fn end_dying_client(&mut self, client: usize) -> Option<ProcessNumbers> {
        let state = &mut self.clients[client];
        std::mem::take(&mut state.dying).then_some(state.numbers())
    }

    /// The run ends: a client that has lived until now.
    pub(crate) fn end_living_client(&mut self, client: usize) -> Option<ProcessNumbers> {
        let state = &mut self.clients[client];
        std::mem::take(&mut state.alive).then_some(state.numbers())
    }

    /// How many helpers and daemons there have been.
    pub(crate) fn worker_processes(&self) -> usize {
        self.worker_processes.len()
    }

    /// The name of a helper or a daemon.
    pub(crate) fn worker_process_name(&self, place: usize) -> &str {
        &self.worker_processes[place].name
    }

    pub(crate) fn is_worker_process_alive(&self, place: usize) -> bool {
        self.worker_processes[place].alive
    }

    /// A helper or a daemon is killed with all that it has taken in.
    pub(crate) fn kill_worker_process(&mut self, place: usize) -> ProcessNumbers {
        let process = &mut self.worker_processes[place];
        (process.alive, process.serves) = (false, false);
        process.taken_in.clear();
        ProcessNumbers { actor: process.actor, pid: process.pid }
    }

    /// A helper or a daemon ends, if it lives and, with a client, is a helper of that.
    pub(crate) fn end_worker_process(
        &mut self,
        place: usize,
        of_client: Option<u32>,
    ) -> Option<ProcessNumbers> {
        let process = &mut self.worker_processes[place];
        let meant = of_client.is_none_or(|client| client == process.client);
        let ends = meant && std::mem::take(&mut process.alive);
        ends.then_some(ProcessNumbers { actor: process.actor, pid: process.pid })
    }

    /// The living helpers of a client.
    pub(crate) fn helpers_of(&self, client: u32) -> Vec<usize> {
        let processes = self.worker_processes.iter().enumerate();
        let helpers = processes.filter(|(_, helper)| helper.client == client && helper.alive);
        helpers.map(|(place, _)| place).collect()
    }

    /// A helper or a daemon serves so from the next request on. Returns how many requests wait there.
    pub(crate) fn serve(&mut self, place: usize, service: Service) -> usize {
        let process = &mut self.worker_processes[place];
        process.service = service;
        process.taken_in.len()
    }

    /// The daemon of which this is the latest process.
    pub(crate) fn daemon_at(&self, place: usize) -> Option<usize> {
        self.daemons.iter().position(|daemon| daemon.place as usize == place)
    }

    /// A daemon has this process now, which lives. Returns its numbers.
    pub(crate) fn renew_daemon(&mut self, daemon: usize, place: u32) -> ProcessNumbers {
        self.daemons[daemon].place = place;
        let process = &mut self.worker_processes[place as usize];
        process.alive = true;
        ProcessNumbers { actor: process.actor, pid: process.pid }
    }

    /// A daemon carries out what it is asked from now on.
    pub(crate) fn begin_to_serve(&mut self, place: usize) {
        self.worker_processes[place].serves = true;
    }

    /// The requests that the channels of a helper or a daemon carry.
    pub(crate) fn carried_by(&self, place: usize) -> Vec<Key> {
        let carried = self.requests.iter().filter(|(_, request)| request.worker_process as usize == place);
        carried.map(|(key, _)| key).collect()
    }

    /// The ID of a new process.
    pub(crate) fn new_pid(&mut self) -> u32 {
        self.driver.new_process()
    }
}
