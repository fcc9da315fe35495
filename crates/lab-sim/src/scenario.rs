//! The course of a run: phases, planned faults, and clients that come back.

pub(crate) mod faults;
pub(crate) mod phases;
pub(crate) mod planned;
pub(crate) mod restarts;
pub(crate) mod script;
pub(crate) mod strangers;
pub(crate) mod warden;
