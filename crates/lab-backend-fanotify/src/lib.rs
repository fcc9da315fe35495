//! Linux fanotify permission events as a client's kernel.
//!
//! - [`Group`] is one client's fanotify group: it implements [`lab_client_core::Backend`].
//!   A client that wants to be told of what has happened has a second one, of the class that nobody waits for.
//! - [`confine`] keeps the lab to itself: a mount namespace of its own with a tmpfs arena, and a PID namespace
//!   that ends every process of the lab when its first one ends.
//! - [`event`] reads what the kernel writes.
//! - [`foreign`] shows the groups and marks of programs that the lab did not build.
//! - [`probe`] says whether this machine can do all that.
//!
//! A group is created in the client's own process and never handed out, because pending events are allowed
//! only when the last descriptor of the group is closed. The mark is always a filesystem mark on a tmpfs or ramfs that
//! the lab mounted itself, so that nothing outside can ever wait for it. Only `sys` contains unsafe code.
//!
//! It compiles everywhere. On another system there is no group, and `confine` and `probe` refuse everything.
#![deny(unsafe_code)]

#[cfg(target_os = "linux")]
pub mod confine;
#[cfg(not(target_os = "linux"))]
mod elsewhere;
#[cfg(target_os = "linux")]
mod error;
#[cfg(target_os = "linux")]
pub mod event;
pub mod foreign;
#[cfg(target_os = "linux")]
mod group;
mod group_error;
#[cfg(target_os = "linux")]
mod names;
#[cfg(target_os = "linux")]
mod notices;
#[cfg(target_os = "linux")]
pub mod probe;
#[cfg(target_os = "linux")]
mod sys;
#[cfg(target_os = "linux")]
mod token;

#[cfg(not(target_os = "linux"))]
pub use elsewhere::{confine, probe};
#[cfg(target_os = "linux")]
pub use group::Group;
pub use group_error::GroupError;
#[cfg(target_os = "linux")]
pub use token::EventFd;
