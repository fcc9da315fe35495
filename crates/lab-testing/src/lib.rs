//! What tests of several crates share: labs to start from, traces of runs that never took place, simulated runs and
//! their findings, what holds of every report, and the ends of a backend that record what they are given.
//!
//! Only tests, benchmarks, examples and the fuzz targets may use it. It holds no rule of the lab's own: what it
//! builds goes through the real writer, simulator and analysis. It panics where a test would.
#![forbid(unsafe_code)]
#![allow(
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::unwrap_used,
    reason = "what cannot be built is a failed test"
)]

pub mod agreement;
pub mod found;
pub mod labs;
pub mod recording;
pub mod reports;
pub mod simulated;
pub mod sums;
pub mod synthetic;
pub mod traces;
