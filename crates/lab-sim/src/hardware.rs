//! The simulated machine's parts: its agenda, its processors, its dice.

pub(crate) mod agenda;
pub(crate) mod processors;
pub(crate) mod random;
pub(crate) mod slab;
