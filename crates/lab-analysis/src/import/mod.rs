//! Lines of `eslogger` in, a trace and a summary out.
//!
//! `eslogger` is a client that is told and never asked: its lines have no decision, no answer and no deadline,
//! and nothing in here makes any up. One line is read at a time; what is kept is bounded by named limits, and
//! what does not fit is counted. No line stops the import: a damaged one is counted with its number and reason.

mod clock;
mod event_rate;
mod findings;
mod line;
mod lines;
mod ranking;
mod read;
mod recorder;
mod sequences;
mod summary;
mod timebase;

pub use findings::{findings, is_import};
pub use read::{Importer, Options};
pub use recorder::Recorder;
pub use summary::{
    DamagedLine, EventRate, EventType, Import, MissingFields, Program, Sequence, Source, Tokens, WallClock,
};
pub use timebase::APPLE_SILICON;
