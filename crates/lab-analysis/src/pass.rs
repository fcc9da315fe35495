//! The one pass over all records: merged, joined, and folded into cascades.

pub(crate) mod cascade;
pub(crate) mod facts;
pub(crate) mod flame;
pub(crate) mod join;
pub(crate) mod merge;
pub(crate) mod requests;
pub(crate) mod slots;
