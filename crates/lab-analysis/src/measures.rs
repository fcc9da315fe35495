//! What is counted and measured on the way, each by itself.

pub(crate) mod drain;
pub(crate) mod external;
pub(crate) mod gain;
pub(crate) mod hidden;
pub(crate) mod knee;
pub(crate) mod latency;
pub(crate) mod ledger;
pub(crate) mod notify;
pub(crate) mod phases;
pub(crate) mod pipeline;
pub(crate) mod requests;
pub(crate) mod rules;
pub(crate) mod series;
pub(crate) mod totals;
pub(crate) mod trees;
pub(crate) mod unwatched;
