//! Traces in, findings out.
//!
//! Streams the traces of one run and says what the clients did to each other. Memory is bounded by what is
//! open at one time, not by what was recorded (but for one byte a record, which says how many operations a
//! decision will have caused). Pure: bytes come in as arguments, nothing is read or written.
#![forbid(unsafe_code)]
// What is summed here was read from a file, and a file may say anything: see `lab_model::Bounded`.
#![warn(clippy::arithmetic_side_effects)]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails"))]

mod assemble;
pub mod compare;
mod draw;
pub mod findings;
pub mod import;
mod measure;
mod measures;
mod participants;
mod pass;
mod show;
mod verdict;

pub use assemble::{Context, analyse};
pub use measure::Measured;
pub use measures::{Listed, MEASURES, Page};
pub use participants::admission::{Admitted, admit};
pub use verdict::expect::{VERDICT, metric, metric_of, metric_paths};
pub use verdict::live;
