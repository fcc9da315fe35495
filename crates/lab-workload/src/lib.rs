//! The workload as a plan: what has to be in the arena, and which operation each worker makes when.
//!
//! Everything is drawn from a seed, so the same lab makes the same operations. This crate decides and never
//! executes: it opens no file, starts no process and reads no clock.
#![forbid(unsafe_code)]

mod arena;
pub mod elf;
mod files;
mod pace;
mod random;
mod schedule;

pub use arena::{
    ArenaEntry, ArenaError, Content, Ground, HostFile, MODE_FILE, MODE_PROGRAM, arena, fill,
    interpreter_path, program_path, tree_path,
};
pub use files::{created_path, target};
pub use lab_model::{file_bytes, file_path};
pub use schedule::{Action, PhaseLimits, Planned, Schedule, schedules, workers};
