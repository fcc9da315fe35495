//! What a run leaves: its traces, and what the simulator counts itself.

pub(crate) mod histogram;
pub(crate) mod recorder;
pub(crate) mod sink;
pub(crate) mod tally;
