//! Verdicts, and how a decision came about.

use serde::{Deserialize, Serialize};

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
