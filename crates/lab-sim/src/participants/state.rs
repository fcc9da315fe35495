//! Everybody who takes part: clients, driver, helpers and daemons, with their threads.

use lab_client_core::Action;
use lab_model::{Actor, Lab};
use lab_workload::Planned;

use crate::{
    hardware::{
        NONE,
        slab::{Key, Slab},
    },
    kernel::operation::Asked,
    participants::{
        client::Client,
        driver::Driver,
        outside::{DaemonLife, Request, WorkerProcess},
        threads::{Step, Thread},
        trees::Trees,
    },
};

/// Everybody who takes part.
#[derive(Debug, Default)]
pub(crate) struct Participants {
    pub(super) threads: Vec<Thread>,
    pub(super) clients: Vec<Client>,
    /// Helpers and daemons.
    pub(super) worker_processes: Vec<WorkerProcess>,
    /// The daemons, each through all of its processes.
    pub(super) daemons: Vec<DaemonLife>,
    /// Requests to helpers and daemons.
    pub(super) requests: Slab<Request>,
    pub(super) driver: Driver,
    pub(super) trees: Trees,
    /// The number of the next process that joins the lab.
    pub(super) next_actor: u16,
    /// What a client's core wants, while it is done.
    pub(super) actions: Vec<Action>,
    /// Decisions that are not settled, over all clients that live.
    pub(super) pending: u64,
    /// What clients are told of and have not read, over all clients that live.
    pub(super) unread: u64,
}

/// The first thread ID that is not a process's first thread.
const TID_FIRST: u64 = 10_000;

impl Participants {
    #[inline]
    pub(crate) fn clients(&self) -> &[Client] {
        &self.clients
    }

    #[inline]
    pub(crate) fn clients_max(&self) -> u16 {
        u16::try_from(self.clients.len()).unwrap_or(u16::MAX)
    }

    /// Decisions that are not settled, over all clients that live.
    #[inline]
    pub(crate) const fn pending(&self) -> u64 {
        self.pending
    }

    /// Decisions, notices and requests that are not over.
    #[inline]
    pub(crate) fn under_way(&self) -> u64 {
        self.pending + self.unread + self.requests.len() as u64
    }

    /// A number that no process of this run has had.
    pub(crate) fn new_actor(&mut self) -> Actor {
        let actor = Actor(self.next_actor);
        self.next_actor = self.next_actor.saturating_add(1);
        actor
    }

    /// A new thread; the scheduler gives it the same number.
    pub(crate) fn add_thread(&mut self, client: u32, number: u16, step: Step) {
        let tid = TID_FIRST + 1 + self.threads.len() as u64;
        self.threads.push(Thread::new(client, number, step, tid));
    }

    /// What a thread does next.
    #[inline]
    pub(crate) fn step(&self, thread: u32) -> Step {
        self.threads[thread as usize].step
    }

    /// True for a thread of a helper or a daemon.
    #[inline]
    pub(crate) fn is_outside(&self, thread: u32) -> bool {
        self.threads[thread as usize].outside != NONE
    }

    /// The client that this is a thread of, by its place.
    #[inline]
    pub(crate) fn client_of(&self, thread: u32) -> usize {
        self.threads[thread as usize].client as usize
    }

    /// The operation that a thread makes.
    #[inline]
    pub(crate) fn operation_of(&self, thread: u32) -> Key {
        self.threads[thread as usize].operation
    }

    /// Counts a message to a client on Endpoint Security: false, and it is dropped, when there is no room for it.
    #[inline]
    pub(crate) fn has_room(&mut self, client: usize) -> bool {
        self.clients[client].has_room()
    }

    /// A question is in a client's queue. Returns the thread that reads it.
    #[inline]
    pub(crate) fn put(&mut self, client: u16, operation: Key, question: &Asked, now: u64, due: u64) -> u32 {
        self.pending += 1;
        let state = &mut self.clients[usize::from(client)];
        state.put(operation, question, u32::from(client), now, due);
        state.reader()
    }

    /// The questions about an operation that nobody has read vanish.
    pub(crate) fn withdraw(&mut self, operation: Key) {
        for client in &mut self.clients {
            self.pending -= client.withdraw(operation);
        }
    }

    /// The operations about which a client could not be told for lack of a descriptor.
    #[inline]
    pub(crate) fn take_exhausted(&mut self, client: usize) -> Vec<Key> {
        let operations = self.clients[client].take_exhausted();
        self.pending -= operations.len() as u64;
        operations
    }

    /// What was kept about a file is no longer.
    pub(crate) fn forget_file(&mut self, file: u32) {
        self.clients.iter_mut().for_each(|client| client.hidden.forget_file(file));
    }

    /// Endpoint Security empties the cache of every client.
    pub(crate) fn forget_all_files(&mut self) {
        self.clients.iter_mut().for_each(|client| client.hidden.forget());
    }

    /// Names by which mutes and rules call helpers and daemons.
    pub(crate) fn outside_names(&self, lab: &Lab) -> Vec<(String, Actor)> {
        let name = |worker_process: &WorkerProcess| match worker_process.client {
            NONE => worker_process.name.clone(),
            client => format!("{}{}", lab.clients[client as usize].id, lab_model::Helpers::SUFFIX),
        };
        let names = self.worker_processes.iter();
        names.map(|worker_process| (name(worker_process), worker_process.actor)).collect()
    }

    /// What a driver's thread does now.
    #[inline]
    pub(crate) fn planned_by(&self, thread: u32) -> Option<Planned> {
        let state = self.threads[thread as usize];
        let worker = self.driver.workers.get(usize::from(state.number));
        worker.filter(|worker| state.client == NONE && worker.thread == thread)?.planned
    }

    /// Whether this thread makes a file, and whether it opens one that it writes to.
    #[inline]
    pub(crate) fn makes(&self, thread: u32) -> (bool, bool) {
        match self.planned_by(thread).map(|planned| planned.action) {
            Some(lab_workload::Action::Create) => (true, false),
            Some(lab_workload::Action::Write { .. }) => (false, true),
            _ => (false, false),
        }
    }
}
