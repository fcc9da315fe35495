//! The scenario as a plan: what has to be in the arena, which operation each worker makes when, and what the planned
//! faults and restarts come to step by step.
//!
//! Everything is drawn from a seed, so the same lab makes the same operations. This crate decides and never
//! executes: it opens no file, starts no process and reads no clock.
#![forbid(unsafe_code)]

mod arena;
pub mod elf;
mod faults;
mod files;
mod pace;
mod random;
mod restarts;
mod schedule;

pub use arena::{
    ArenaEntry, ArenaError, ArenaHost, Content, HostFile, MODE_FILE, MODE_PROGRAM, arena, fill,
    interpreter_path, program_path, tree_path,
};
pub use faults::{FaultStep, Faults, PendingChange, Target};
pub use files::{created_path, target};
pub use lab_model::{file_bytes, file_path};
pub use restarts::{PROCESSES_MAX, Participant, Restart, RestartStage, Restarts};
pub use schedule::{Action, PhaseLimits, Planned, Schedule, schedules, workers};
