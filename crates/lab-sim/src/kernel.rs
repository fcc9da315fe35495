//! The simulated kernel: who is asked about what, in which order, and for how long.

pub(crate) mod asking;
pub(crate) mod errors;
pub(crate) mod files;
pub(crate) mod hiding;
pub(crate) mod operation;
pub(crate) mod subject;
pub(crate) mod virtual_kernel;
