//! The workload driver: makes the operations of a plan and records each of them.
//!
//! It is told what to do over its control socket and writes nothing but its trace. It does not decide what
//! to open or run (`lab-workload` does) and does not judge what came of it. The loop around an operation
//! allocates nothing, takes no lock and makes no system call but the operation's own and, the first time a
//! file is opened, one `fstat`. Unsafe code is in `descriptors` and `command`; what starts programs is `lab_process::program`.
#![deny(unsafe_code)]

mod burn;
// Commands are followed with ptrace, which no other system has in this way; nobody else in this crate has to know.
#[cfg_attr(not(target_os = "linux"), path = "no_command.rs")]
mod command;
mod control;
mod descriptors;
mod phase;
mod sites;
mod tree;
mod worker;

pub use burn::burn;
pub use control::{Outcome, ServeError, serve};
pub use descriptors::seal_descriptors;
pub use phase::CATCH_UP_MAX;
pub use tree::grow;
