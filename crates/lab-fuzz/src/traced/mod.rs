//! What is demanded of whatever reads a run: its traces, its findings, and the lines of somebody else's recorder.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    reason = "what a target makes of bytes may be any number"
)]
#![allow(clippy::expect_used, reason = "a target that cannot go on has found something")]

mod analysis;
mod bytes;
mod eslogger;
mod exports;
mod json;
mod labs;
mod pages;
mod report_json;
mod trace;
mod traces;

pub use analysis::analysis;
pub use eslogger::eslogger;
pub use exports::exports;
pub use report_json::report_json;
pub use trace::trace;
pub use traces::seed;
