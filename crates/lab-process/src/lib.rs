//! What every process of a lab needs of its machine: the clock, its threads' names, the control connection, its
//! trace and its recorded operations.
//!
//! It decides nothing. Clients, their helpers, daemons, the driver and the orchestrator share it, so that all of them read one clock.
#![deny(unsafe_code)]

mod arena;
pub mod channel;
pub mod clock;
mod control;
mod gate;
mod machine;
mod operate;
mod paths;
mod trace;

pub use arena::Arena;
pub use control::{Control, ControlWriter};
pub use gate::Gate;
pub use machine::{ProcessState, host_facts, process_id, process_state, thread_id};
pub use operate::{CONTENT_BYTES_MAX, Operator, burn};
pub use paths::Paths;
pub use trace::{GROW_EVERY, create_trace};
