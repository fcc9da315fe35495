//! What every process of a lab needs of its machine: the clock, its threads' names, the control connection, its
//! trace and its recorded operations.
//!
//! It decides nothing. Clients, their helpers, daemons, the driver and the orchestrator share it, so that all of
//! them read one clock.
#![deny(unsafe_code)]

mod arena;
mod beneath;
pub mod channel;
pub mod clock;
mod content;
mod control;
mod descriptor_limit;
pub mod failure;
mod gate;
mod handle;
mod machine;
mod memory;
mod operate;
mod paths;
pub mod platform;
mod precedence;
pub mod privileges;
pub mod proc;
pub mod program;
mod trace;

pub use arena::Arena;
pub use beneath::Beneath;
pub use content::{CONTENT_BYTES_MAX, Digest};
pub use control::{Control, ControlWriter};
pub use descriptor_limit::DescriptorLimit;
pub use gate::Gate;
pub use handle::{ProcessHandle, runs_this_program};
pub use machine::{ProcessState, host_facts, process_id, process_state, thread_id};
pub use memory::Memory;
pub use operate::{Operator, burn};
pub use paths::Paths;
pub use precedence::take_precedence;
pub use trace::{GROW_EVERY, create_trace};
