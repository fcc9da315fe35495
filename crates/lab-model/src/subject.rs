//! Who acts on what: processes of the lab, threads and files as the kernel names them.

use serde::{Deserialize, Serialize};

/// What a lab process is there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs the experiment and is the warden; outside the pipeline.
    Orchestrator,
    /// Answers AUTH events.
    Client,
    /// Makes the workload's operations.
    Driver,
    /// A direct worker of one client.
    Helper,
    /// An indirect worker of several clients.
    Daemon,
    /// A product under test that the lab did not build.
    External,
}

impl Role {
    /// The number in the trace.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            Role::Orchestrator => 1,
            Role::Client => 2,
            Role::Driver => 3,
            Role::Helper => 4,
            Role::Daemon => 5,
            Role::External => 6,
        }
    }

    /// The role with this number.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<Role> {
        match code {
            1 => Some(Role::Orchestrator),
            2 => Some(Role::Client),
            3 => Some(Role::Driver),
            4 => Some(Role::Helper),
            5 => Some(Role::Daemon),
            6 => Some(Role::External),
            _ => None,
        }
    }
}

/// The number of a lab process within one run, unique among its traces. The orchestrator is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Actor(pub u16);

impl Actor {
    /// The orchestrator.
    pub const ORCHESTRATOR: Actor = Actor(0);
    /// A process that is not of the lab, or not known to be.
    pub const UNKNOWN: Actor = Actor(u16::MAX);
}

/// A thread as the kernel names it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ThreadId {
    /// The process; 0 when the kernel did not say (fanotify with thread IDs names the thread only).
    pub pid: u32,
    /// The thread.
    pub tid: u64,
    /// What tells two uses of one pid apart (`pidversion` on macOS); 0 when the kernel did not say.
    pub generation: u32,
}

/// Whose process a subject is, as far as a client can tell from what the kernel shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SubjectClass {
    /// The client's own process.
    Own,
    /// A helper of the client.
    OwnHelper,
    /// Another client of the lab.
    Peer,
    /// Anything else: the workload, a daemon, another's helper.
    Workload,
}

/// The identity of a file on the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// The device, as `st_dev`.
    pub device: u64,
    /// The inode, as `st_ino`.
    pub inode: u64,
}
