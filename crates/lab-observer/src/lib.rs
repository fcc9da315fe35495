//! Reads what every thread of a Linux machine waits in, and what connects their processes.
//!
//! It reads `/proc`, the kernel's socket diagnostics and, of threads that wait, a few bytes of memory: which file they open,
//! what they poll. It opens no file that anybody else could be asked about, follows no link into a file system, and asks
//! for no facts of a file: on a machine that stands still, each of these could stand still as well.
//!
//! It sees what its user may see; root sees everything. What could not be read is said in the snapshot.

#[cfg(target_os = "linux")]
mod call;
#[cfg(target_os = "linux")]
mod descriptors;
#[cfg(target_os = "linux")]
mod locks;
#[cfg(target_os = "linux")]
mod look;
#[cfg(target_os = "linux")]
mod memory;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod sockets;
#[cfg(target_os = "linux")]
mod threads;

#[cfg(target_os = "linux")]
pub use look::{look, look_at, look_at_threads};

/// Looks once at all processes of this machine.
///
/// # Errors
/// Always `Unsupported`: only Linux shows what its threads wait in.
#[cfg(not(target_os = "linux"))]
pub fn look() -> std::io::Result<lab_waits::Snapshot> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Looks at the threads of all processes.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn look_at_threads() -> lab_waits::Snapshot {
    lab_waits::Snapshot::default()
}

/// Looks once at some processes.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn look_at(_: &[u32]) -> lab_waits::Snapshot {
    lab_waits::Snapshot::default()
}
