//! What the simulated machine is made of: time, processors and chance.

pub(crate) mod agenda;
pub(crate) mod clock;
pub(crate) mod pricing;
pub(crate) mod processors;
pub(crate) mod random;
pub(crate) mod scheduler;
pub(crate) mod slab;

/// The number of nobody among clients and threads.
pub(crate) const NONE: u32 = u32::MAX;
