//! The processes of growing trees, by the threads that play them.

use std::collections::BTreeMap;

use lab_trace::OperationBegin;

/// A process of a tree.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    /// The thread that plays its parent; none for the root.
    pub(super) parent: Option<u32>,
    /// What it is a process of: the load and the phase's record.
    pub(super) load: usize,
    pub(super) begin: OperationBegin,
    /// Levels below it.
    pub(super) levels: u32,
    /// Children that it has still to start, and those that run.
    pub(super) to_start: u32,
    pub(super) running: u32,
}

/// All trees that grow.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    /// The processes by the threads that play them.
    pub(super) processes: BTreeMap<u32, Process>,
    /// Threads that played one.
    pub(super) resting: Vec<u32>,
}

impl Trees {
    /// True when this thread plays a process of a tree.
    #[inline]
    pub(crate) fn holds(&self, thread: u32) -> bool {
        !self.processes.is_empty() && self.processes.contains_key(&thread)
    }

    /// The thread that plays the parent of the process that this one plays.
    pub(crate) fn parent(&self, thread: u32) -> Option<u32> {
        self.processes.get(&thread)?.parent
    }
}
