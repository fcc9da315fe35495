//! What every process of a lab needs of its machine: the clock, its threads' names, the control connection
//! and its trace.
//!
//! It decides nothing. Clients, the driver and the orchestrator share it, so that all of them read one clock.
#![deny(unsafe_code)]

pub mod clock;
mod control;
mod machine;
pub mod program;
mod trace;

pub use control::{Control, ControlWriter};
pub use machine::{ProcessState, host_facts, process_id, process_state, thread_id};
pub use trace::{GROW_EVERY, create_trace};
