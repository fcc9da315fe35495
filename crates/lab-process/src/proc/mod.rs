//! `/proc` of Linux: the only place that reads what it says of processes, their groups and their mounts.
//!
//! Each file has a parser, which is a function of its bytes and says nothing of where they came from: a process calls
//! itself what it likes, and so does whoever mounts something, so the bytes need be no text and hide nothing else. The
//! functions here read the file and hand it to the parser. On a system without `/proc` they find nothing.
//!
//! What only fanotify needs (descriptors of groups) is read by its backend, and what only the doctor needs (the kernel's
//! options, the machine's limits) by the doctor.

mod cgroup;
mod environment;
mod limits;
mod load;
mod mounts;
mod stat;
mod status;
mod system_call;

use std::{
    ffi::OsString,
    fs, io,
    os::unix::{ffi::OsStringExt, fs::MetadataExt},
    path::{Path, PathBuf},
};

pub use cgroup::{control_group, group_folder};
pub use environment::environment_value;
pub use limits::{OpenFilesLimit, open_files_limit};
pub use load::{ProcessorTimes, Schedule, TICK_NS, stalled_ns};
pub use mounts::{MountLine, cgroup2_mount, mount_lines, topmost_mount};
pub use stat::ProcessStat;
pub use status::status_field;
pub use system_call::SystemCall;

/// The processes of this PID namespace.
///
/// # Errors
/// Those of reading `/proc`, such as that there is none.
pub fn processes() -> io::Result<Vec<u32>> {
    numbers(Path::new("/proc"))
}

/// The threads of a process; none when it is gone.
#[must_use]
pub fn threads(pid: u32) -> Vec<u32> {
    numbers(&folder(pid).join("task")).unwrap_or_default()
}

/// The numbers that name entries of a folder.
fn numbers(folder: &Path) -> io::Result<Vec<u32>> {
    let entries = fs::read_dir(folder)?.flatten();
    Ok(entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect())
}

/// What `/proc/PID/stat` says; `None` when the process is gone.
#[must_use]
pub fn stat(pid: u32) -> Option<ProcessStat> {
    ProcessStat::parse(&fs::read(folder(pid).join("stat")).ok()?)
}

/// The content of `/proc/PID/status`, for [`status_field`]; `None` when the process is gone.
#[must_use]
pub fn status(pid: u32) -> Option<Vec<u8>> {
    fs::read(folder(pid).join("status")).ok()
}

/// What a process calls itself, which need be no text; `None` when it is gone.
#[must_use]
pub fn name(pid: u32) -> Option<OsString> {
    let mut name = fs::read(folder(pid).join("comm")).ok()?;
    name.pop_if(|last| *last == b'\n');
    Some(OsString::from_vec(name))
}

/// The limit on open files of a process.
///
/// # Errors
/// Those of reading `/proc/PID/limits`; `InvalidData` when it says none.
pub fn open_files(pid: u32) -> io::Result<OpenFilesLimit> {
    open_files_limit(&fs::read(folder(pid).join("limits"))?)
        .ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
}

/// The value of a variable in the environment that a process was started with; `None` when it is absent or no text, and
/// when the process may not be looked at.
#[must_use]
pub fn variable(pid: u32, name: &str) -> Option<String> {
    let environment = fs::read(folder(pid).join("environ")).ok()?;
    environment_value(&environment, name).map(str::to_owned)
}

/// What all processors together have done since boot; `None` where `/proc/stat` does not say it.
#[must_use]
pub fn processor_times() -> Option<ProcessorTimes> {
    ProcessorTimes::parse(&fs::read("/proc/stat").ok()?)
}

/// For how long all work that was to be done (`full`), or any of it (`some`), has waited for a resource since boot, in
/// nanoseconds: `cpu`, `io` or `memory`. `None` where the kernel does not say it (`CONFIG_PSI`).
#[must_use]
pub fn pressure(resource: &str, of: &str) -> Option<u64> {
    stalled_ns(&fs::read(Path::new("/proc/pressure").join(resource)).ok()?, of)
}

/// How long a thread has run and waited for a processor; `None` when it is gone, or the kernel does not say it.
#[must_use]
pub fn schedule(pid: u32, tid: u32) -> Option<Schedule> {
    Schedule::parse(&fs::read(folder(pid).join("task").join(tid.to_string()).join("schedstat")).ok()?)
}

/// The program that a process runs; `None` when it is gone, or may not be looked at.
#[must_use]
pub fn executable(pid: u32) -> Option<PathBuf> {
    fs::read_link(folder(pid).join("exe")).ok()
}

/// True when a process runs the same file as this one, whatever its name is by now.
#[must_use]
pub fn runs_this_program(pid: u32) -> bool {
    let program = |pid: u32| {
        let facts = fs::metadata(folder(pid).join("exe")).ok()?;
        Some((facts.dev(), facts.ino()))
    };
    let own = program(std::process::id());
    own.is_some() && program(pid) == own
}

/// The function of the kernel in which a thread waits; `None` when it is gone, or may not be looked at.
#[must_use]
pub fn wait_channel(tid: u32) -> Option<OsString> {
    fs::read(folder(tid).join("wchan")).ok().map(OsString::from_vec)
}

/// The descriptor that a thread waits to read from; `None` when it is in no `read`, is gone, or may not be looked at.
#[cfg(target_os = "linux")]
#[must_use]
pub fn read_descriptor(tid: u32) -> Option<u64> {
    let call = SystemCall::parse(&fs::read(folder(tid).join("syscall")).ok()?)?;
    (call.number == libc::SYS_read.unsigned_abs()).then_some(call.arguments[0])
}

/// No system here but Linux says what a thread waits in.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub const fn read_descriptor(_: u32) -> Option<u64> {
    None
}

/// The folder of a process's group of control groups version 2, below where that is mounted.
///
/// # Errors
/// Those of reading `/proc/PID/cgroup`; `NotFound` when it names no such group.
pub fn control_group_of(pid: u32, mount: &Path) -> io::Result<PathBuf> {
    let groups = fs::read(folder(pid).join("cgroup"))?;
    group_folder(&groups, mount).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// Where control groups version 2 are mounted; `None` when they are not.
#[must_use]
pub fn control_groups() -> Option<PathBuf> {
    cgroup2_mount(&fs::read("/proc/self/mountinfo").ok()?)
}

/// A mounted file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// The mount's ID.
    pub mount: u64,
    /// The file system's device, as `(major, minor)`.
    pub device: (u64, u64),
}

/// The topmost mount on a path, which has to be a mount point of this process's mount namespace.
///
/// # Errors
/// Those of reading `/proc/self/mountinfo`; `NotFound` when nothing is mounted there.
#[cfg(target_os = "linux")]
pub fn mounted(path: &Path) -> io::Result<Mounted> {
    let mounts = fs::read("/proc/self/mountinfo")?;
    let device = nix::sys::stat::stat(path)?.st_dev;
    let device = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    let mount = topmost_mount(&mounts, device);
    mount.map(|mount| Mounted { mount, device }).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// No system here but Linux says what is mounted in this way.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(target_os = "linux"))]
pub fn mounted(_: &Path) -> io::Result<Mounted> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The content of `/proc/PID/cgroup`, for [`control_group`]; `None` when the process is gone.
#[must_use]
pub fn control_groups_of(pid: u32) -> Option<Vec<u8>> {
    fs::read(folder(pid).join("cgroup")).ok()
}

/// The folder of a process. This one's own is found also where `/proc` shows another PID namespace than its own.
fn folder(pid: u32) -> PathBuf {
    if pid == std::process::id() { "/proc/self".into() } else { format!("/proc/{pid}").into() }
}
