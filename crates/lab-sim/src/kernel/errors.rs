//! The error numbers and wait statuses that records of a simulated run carry, as Linux numbers them.

/// What a denied open fails with.
pub(crate) const EPERM: u32 = 1;
/// There is no such file in the arena.
pub(crate) const ENOENT: u32 = 2;
/// Too many requests wait already.
pub(crate) const EAGAIN: u32 = 11;
/// What an open fails with when the process may have no more files open.
pub(crate) const EMFILE: u32 = 24;
/// The channel broke, or there is none.
pub(crate) const EPIPE: u32 = 32;
/// The wait status of a killed process.
pub(crate) const KILLED: i32 = 9;
