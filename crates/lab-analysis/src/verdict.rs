//! What it comes to: who waits for whom, how it ended, and whether the expectations held.

pub(crate) mod disturbed;
pub(crate) mod ends;
pub(crate) mod expect;
pub mod live;
pub(crate) mod outcome;
pub(crate) mod seen_waits;
pub(crate) mod state;
pub(crate) mod waiting;
