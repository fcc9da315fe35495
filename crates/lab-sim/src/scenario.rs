//! The course of a run: phases, planned faults, and clients that come back.

pub(crate) mod faults;
pub(crate) mod restarts;
pub(crate) mod script;
