//! Participants by their names and numbers: to whom something is done.

use lab_model::{Actor, Lab, PlannedFault};

use crate::{hardware::NONE, participants::state::Participants};

/// To whom something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Client(usize),
    Driver,
    /// A helper or a daemon.
    WorkerProcess(usize),
}

impl Participants {
    /// The living process of this name.
    pub(crate) fn target(&self, lab: &Lab, name: &str) -> Option<(Target, Actor)> {
        if name == PlannedFault::DRIVER {
            return Some((Target::Driver, self.driver.actor));
        }
        if let Some(client) = lab.clients.iter().position(|client| client.id.as_str() == name) {
            let state = &self.clients[client];
            return state.alive.then_some((Target::Client(client), state.actor));
        }
        // The latest of this name: a client that came back has brought others.
        let place = self.worker_processes.iter().rposition(|one| one.name == name && one.alive)?;
        Some((Target::WorkerProcess(place), self.worker_processes[place].actor))
    }

    /// The living process with this number.
    pub(crate) fn process(&self, actor: Actor) -> Option<Target> {
        if actor == self.driver.actor {
            return Some(Target::Driver);
        }
        let client = self.clients.iter().position(|client| client.actor == actor && client.alive);
        let worker_process = || self.worker_processes.iter().position(|one| one.actor == actor && one.alive);
        client.map(Target::Client).or_else(|| worker_process().map(Target::WorkerProcess))
    }

    /// The threads of a process, by their places.
    pub(crate) fn threads_of(&self, target: Target) -> Vec<u32> {
        match target {
            Target::Client(client) => {
                let client = u32::try_from(client).unwrap_or(NONE);
                let threads = (0_u32..).zip(&self.threads);
                threads.filter(|(_, thread)| thread.client == client).map(|(place, _)| place).collect()
            }
            Target::Driver => self.driver.workers.iter().map(|worker| worker.thread).collect(),
            Target::WorkerProcess(place) => {
                let (first, count) = self.worker_processes[place].threads;
                (first..first + u32::from(count)).collect()
            }
        }
    }

    /// The thread by which one sees whether a client, a helper or a daemon is stopped.
    pub(crate) fn first_thread(&self, actor: Actor) -> Option<u32> {
        match self.process(actor)? {
            Target::Client(client) => Some(self.clients[client].reader),
            Target::WorkerProcess(place) => Some(self.worker_processes[place].threads.0),
            Target::Driver => None,
        }
    }
}
