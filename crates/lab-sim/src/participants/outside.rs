//! Helpers and daemons, and the requests to them: what each process has taken in, and what waits with its client.

use std::collections::VecDeque;

use lab_client_core::{Task, Whom};
use lab_model::{Actor, Lab, Service};
use lab_trace::RecordId;

use crate::{hardware::slab::Key, kernel::operation::Lineage, participants::threads::Plan};

/// A process that works for clients: a helper or a daemon.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    pub(super) name: String,
    pub(super) actor: Actor,
    pub(super) pid: u32,
    /// The client whose helper it is; [`crate::hardware::NONE`] for a daemon.
    pub(super) client: u32,
    pub(super) alive: bool,
    /// It can be connected to, and carries out what it is asked.
    pub(super) listens: bool,
    pub(super) serves: bool,
    /// What it does for a request that it begins now, and for how many at once.
    pub(super) service: Service,
    /// Requests under way.
    pub(super) running: u16,
    /// Its first thread and how many.
    pub(super) threads: (u32, u16),
    /// Threads without a request, the longest idle first.
    pub(super) idle: VecDeque<u32>,
    /// Requests that no thread has begun.
    pub(super) taken_in: VecDeque<Key>,
}

/// Where a client's requests for one group of worker processes wait: its helpers, or one daemon.
#[derive(Debug)]
pub(crate) struct RequestQueue {
    /// Who is asked, as the trace has it.
    pub(super) whom: Actor,
    /// The group: its first worker process and how many.
    pub(super) group: (u32, u32),
    /// Channels that work, as far as anybody has found out.
    pub(super) channels: usize,
    /// Channels without a request, the longest idle first, each by the worker process at its other end.
    pub(super) free: VecDeque<u32>,
    pub(super) waiting: VecDeque<Key>,
}

/// A client's request queues.
#[derive(Debug, Default)]
pub(crate) struct RequestQueues {
    pub(super) helpers: Option<RequestQueue>,
    pub(super) daemons: Vec<RequestQueue>,
}

impl RequestQueues {
    pub(crate) fn get_mut(&mut self, whom: Whom) -> Option<&mut RequestQueue> {
        match whom {
            Whom::Helper => self.helpers.as_mut(),
            Whom::Daemon(place) => self.daemons.get_mut(usize::from(place)),
        }
    }

    pub(super) fn get(&self, whom: Whom) -> Option<&RequestQueue> {
        match whom {
            Whom::Helper => self.helpers.as_ref(),
            Whom::Daemon(place) => self.daemons.get(usize::from(place)),
        }
    }
}

/// A request from its making to its reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(super) client: u32,
    /// That client's process: another may have come after it.
    pub(super) by: Actor,
    pub(super) whom: Whom,
    /// Whose channel carries it; [`crate::hardware::NONE`] while it waits for one.
    pub(super) worker_process: u32,
    /// Its place in the client's trace, and that of the decision it was made for.
    pub(super) record: RecordId,
    pub(super) decision: u64,
    /// The decision's file.
    pub(super) file: u32,
    pub(super) lineage: Lineage,
    pub(super) draw: u64,
    pub(super) task: Task,
    /// What the task does next.
    pub(super) plan: Plan,
    /// The client's thread that waits for the reply; [`crate::hardware::NONE`] if none does.
    pub(super) waiter: u32,
    /// 0, or the `errno` of an operation that failed.
    pub(super) error: u32,
}

/// A daemon of the lab, through all of its processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DaemonLife {
    /// Its latest process, among the worker processes.
    pub(super) place: u32,
    /// The lab file brings it back at some time, so that its clients look for it.
    pub(super) returns: bool,
}

/// The daemons of a lab, each with its first process.
pub(super) fn daemon_lives(lab: &Lab) -> Vec<DaemonLife> {
    let returns = |id: &str| lab.faults.iter().any(|fault| fault.on == id && fault.action.brings_back());
    let daemons = (0_u32..).zip(&lab.daemons);
    daemons.map(|(place, daemon)| DaemonLife { place, returns: returns(daemon.id.as_str()) }).collect()
}
