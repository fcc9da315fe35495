//! Kinds of AUTH and NOTIFY events, verdicts, and how an operation came to be approved.

use serde::{Deserialize, Serialize};

/// What a kernel asks or tells a client about. The numbers are those of `es_event_type_t`; the fanotify
/// backend maps its masks onto them, so that one trace serves both kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[doc(alias = "es_event_type_t")]
pub enum EventKind {
    /// A program is about to be executed; waits for an answer. `FAN_OPEN_EXEC_PERM` on Linux.
    AuthExec,
    /// A file is about to be opened; waits for an answer. `FAN_OPEN_PERM` on Linux.
    AuthOpen,
    /// A program was executed.
    NotifyExec,
    /// A file was opened.
    NotifyOpen,
    /// A process was forked.
    NotifyFork,
    /// A file was closed.
    NotifyClose,
    /// A process ended.
    NotifyExit,
    /// A file was written to.
    NotifyWrite,
    /// A file was made.
    NotifyCreate,
    /// A file got another name.
    NotifyRename,
    /// A name of a file was taken away.
    NotifyUnlink,
    /// Any other event, kept as the kernel's own number.
    Other(u16),
}

impl EventKind {
    /// The number in the trace.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            EventKind::AuthExec => 0,
            EventKind::AuthOpen => 1,
            EventKind::NotifyExec => 9,
            EventKind::NotifyOpen => 10,
            EventKind::NotifyFork => 11,
            EventKind::NotifyClose => 12,
            EventKind::NotifyCreate => 13,
            EventKind::NotifyExit => 15,
            EventKind::NotifyRename => 25,
            EventKind::NotifyUnlink => 32,
            EventKind::NotifyWrite => 33,
            EventKind::Other(code) => code,
        }
    }

    /// The event with this number. Never fails: an unknown number is kept.
    #[must_use]
    pub const fn from_code(code: u16) -> EventKind {
        match code {
            0 => EventKind::AuthExec,
            1 => EventKind::AuthOpen,
            9 => EventKind::NotifyExec,
            10 => EventKind::NotifyOpen,
            11 => EventKind::NotifyFork,
            12 => EventKind::NotifyClose,
            13 => EventKind::NotifyCreate,
            15 => EventKind::NotifyExit,
            25 => EventKind::NotifyRename,
            32 => EventKind::NotifyUnlink,
            33 => EventKind::NotifyWrite,
            other => EventKind::Other(other),
        }
    }

    /// The name as the lab file and the reports write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            EventKind::AuthExec => "auth_exec",
            EventKind::AuthOpen => "auth_open",
            EventKind::NotifyExec => "notify_exec",
            EventKind::NotifyOpen => "notify_open",
            EventKind::NotifyFork => "notify_fork",
            EventKind::NotifyClose => "notify_close",
            EventKind::NotifyExit => "notify_exit",
            EventKind::NotifyWrite => "notify_write",
            EventKind::NotifyCreate => "notify_create",
            EventKind::NotifyRename => "notify_rename",
            EventKind::NotifyUnlink => "notify_unlink",
            EventKind::Other(_) => "other",
        }
    }
}

/// A client's answer to an AUTH event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The operation may go on.
    Allow,
    /// The operation fails with a permission error.
    Deny,
}

impl Verdict {
    /// The number in the trace.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Verdict::Allow => 1,
            Verdict::Deny => 2,
        }
    }

    /// The verdict with this number.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Verdict> {
        match code {
            1 => Some(Verdict::Allow),
            2 => Some(Verdict::Deny),
            _ => None,
        }
    }
}

/// How a decision came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Approval {
    /// The client's rule decided.
    Rule,
    /// The subject is the client's own process, so the reader answered at once.
    OwnProcess,
    /// The subject is another client, and the client's settings answer those at once.
    Peer,
    /// The deadline budget ran out, so the client answered without having finished.
    DeadlineFallback,
    /// The client's queue was full.
    QueueFull,
    /// A mute rule matched.
    Mute,
    /// A cached result answered.
    CacheHit,
    /// The client was dead; the kernel allowed the operation.
    DeadClient,
}

impl Approval {
    /// All of them, in the order of reports.
    pub const ALL: [Approval; 8] = [
        Approval::Rule,
        Approval::OwnProcess,
        Approval::Peer,
        Approval::DeadlineFallback,
        Approval::QueueFull,
        Approval::Mute,
        Approval::CacheHit,
        Approval::DeadClient,
    ];

    /// The number in the trace: the place in [`Approval::ALL`] plus one.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Approval::Rule => 1,
            Approval::OwnProcess => 2,
            Approval::Peer => 3,
            Approval::DeadlineFallback => 4,
            Approval::QueueFull => 5,
            Approval::Mute => 6,
            Approval::CacheHit => 7,
            Approval::DeadClient => 8,
        }
    }

    /// The approval with this number.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Approval> {
        Approval::ALL.into_iter().find(|approval| approval.code() == code)
    }

    /// The name in reports and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Approval::Rule => "rule",
            Approval::OwnProcess => "own-process",
            Approval::Peer => "peer",
            Approval::DeadlineFallback => "deadline-fallback",
            Approval::QueueFull => "queue-full",
            Approval::Mute => "mute",
            Approval::CacheHit => "cache-hit",
            Approval::DeadClient => "dead-client",
        }
    }
}

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

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    /// Opens a file.
    Open,
    /// Starts a program; the operation lasts until the process has ended.
    Exec,
    /// Is a process or thread of a command that the lab did not write, from its birth to its end. What it opens and
    /// runs is not recorded one by one.
    Process,
}

impl OperationKind {
    /// The number in the trace.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            OperationKind::Open => 1,
            OperationKind::Exec => 2,
            OperationKind::Process => 3,
        }
    }

    /// The kind with this number.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<OperationKind> {
        match code {
            1 => Some(OperationKind::Open),
            2 => Some(OperationKind::Exec),
            3 => Some(OperationKind::Process),
            _ => None,
        }
    }
}

/// Why an operation was made: its parent in the cascade.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Cause {
    /// The workload made it: a root operation.
    Workload,
    /// It was made during this decision.
    Decision {
        /// The client that decides.
        client: Actor,
        /// The decision's place in that client's trace.
        record: u64,
    },
    /// The lab itself made it, outside any cascade (setting up, tearing down).
    Housekeeping,
}
