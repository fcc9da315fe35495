//! What is done to files and programs, and why.

use serde::{Deserialize, Serialize};

use crate::Actor;

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
    /// All of them, in the order of their numbers.
    pub const ALL: [OperationKind; 3] = [OperationKind::Open, OperationKind::Exec, OperationKind::Process];

    /// The number in the trace.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            OperationKind::Open => 1,
            OperationKind::Exec => 2,
            OperationKind::Process => 3,
        }
    }

    /// The word in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            OperationKind::Open => "open",
            OperationKind::Exec => "exec",
            OperationKind::Process => "process",
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
