//! The driver: as many threads as the workload asks for, each with its schedule.

use lab_model::Actor;
use lab_workload::{Planned, Schedule};

use crate::{hardware::NONE, kernel::subject::Subject};

/// The driver process.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(super) actor: Actor,
    pub(super) pid: u32,
    pub(super) workers: Vec<DriverWorker>,
    /// Threads that have operations left in this phase.
    pub(super) active: usize,
    processes: u32,
}

impl Default for Driver {
    fn default() -> Driver {
        Driver { actor: Actor::UNKNOWN, pid: 0, workers: Vec::new(), active: 0, processes: 0 }
    }
}

/// The process IDs of the programs that the driver runs begin behind this one.
const PROCESS_FIRST: u32 = 1_000_000;

impl Driver {
    /// The ID of a new process.
    pub(crate) fn new_process(&mut self) -> u32 {
        self.processes = self.processes.wrapping_add(1);
        PROCESS_FIRST.wrapping_add(self.processes)
    }

    /// A new process, started by this client or by the driver ([`NONE`]).
    pub(crate) fn new_program(&mut self, parent: u32) -> Subject {
        let pid = self.new_process();
        let behalf = NONE;
        Subject { pid, tid: u64::from(pid), client: NONE, parent, behalf, actor: Actor::UNKNOWN }
    }
}

/// A thread of the driver.
#[derive(Debug)]
pub(crate) struct DriverWorker {
    pub(super) thread: u32,
    pub(super) schedule: Option<Schedule>,
    /// What it is about to do or does.
    pub(super) planned: Option<Planned>,
}
