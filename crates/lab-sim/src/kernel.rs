//! The simulated kernel: who is asked about what, in which order, and for how long.

pub(crate) mod files;
pub(crate) mod hiding;
pub(crate) mod openers;
pub(crate) mod operation;
pub(crate) mod warden;
pub(crate) mod writing;
