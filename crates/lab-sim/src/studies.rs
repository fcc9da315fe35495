//! Questions that take more than one run, or none.

pub(crate) mod advice;
pub(crate) mod ladder;
pub(crate) mod left;
pub(crate) mod minimize;
pub(crate) mod mitigations;
pub(crate) mod originators;
pub(crate) mod plan;
pub(crate) mod swarm;
pub(crate) mod sweep;
pub(crate) mod trials;
