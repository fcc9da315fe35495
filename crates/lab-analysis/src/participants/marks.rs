//! Moments of the timeline: a fault, and the end of a process.

use lab_trace::FaultKind;

/// How long after the fact the orchestrator may write it down, in nanoseconds.
pub(crate) const MARK_SLACK_NS: u64 = 100_000_000;

/// A fault with its time in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FaultAt {
    pub(crate) at: u64,
    pub(crate) kind: FaultKind,
    pub(crate) actor: u16,
    pub(crate) detail: u64,
}

/// The end of a process, or another step in its life.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndAt {
    pub(crate) at: u64,
    pub(crate) actor: u16,
    pub(crate) status: i32,
}
