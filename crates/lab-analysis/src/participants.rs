//! Who took part, when, and what was done to them meanwhile.

pub(crate) mod admission;
pub(crate) mod behavior_periods;
pub(crate) mod deaths;
pub(crate) mod gaps;
pub(crate) mod lives;
pub(crate) mod marks;
pub(crate) mod policies;
pub(crate) mod processes;
pub(crate) mod products;
pub(crate) mod roster;
pub(crate) mod standing;
pub(crate) mod timeline;
