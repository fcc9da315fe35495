//! The workload driver: makes the operations of a plan and records each of them.
//!
//! It is told what to do over its control socket and writes nothing but its trace. It does not decide what
//! to open or run (`lab-workload` does) and does not judge what came of it. The loop around an operation
//! allocates nothing, takes no lock and makes no system call but the operation's own and, the first time a
//! file is opened, one `fstat`. Unsafe code is in `program` (and, on macOS, in `clock` and `thread`).
#![deny(unsafe_code)]

mod control;
mod phase;
mod program;
mod sites;
mod thread;
mod worker;

pub use control::{Outcome, ServeError, serve};
pub use phase::{CATCH_UP_MAX, OPERATIONS_NOT_BEGUN};
pub use program::seal_descriptors;
