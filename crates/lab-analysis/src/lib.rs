//! Traces in, findings out.
//!
//! Streams the traces of one run and says what the clients did to each other. Memory is bounded by what is
//! open at one time, not by what was recorded (but for one byte a record, which says how many operations a
//! decision will have caused). Pure: bytes come in as arguments, nothing is read or written.
#![forbid(unsafe_code)]

mod assemble;
mod cascade;
pub mod compare;
mod drain;
mod expect;
pub mod findings;
mod gain;
mod hidden;
pub mod import;
mod join;
mod knee;
mod latency;
mod ledger;
pub mod live;
mod lives;
mod merge;
mod outcome;
mod outside;
mod phases;
mod pipeline;
mod policies;
mod processes;
mod products;
mod regimes;
mod requests;
mod roster;
mod rules;
mod series;
mod show;
mod slots;
mod timeline;
mod told;
mod totals;
mod trees;
mod waiting;

pub use assemble::{Context, analyse};
pub use expect::{Measured, metric, metric_paths};
