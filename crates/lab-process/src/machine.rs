//! What the kernel says of this machine, this process and other processes.

#![cfg_attr(target_os = "macos", expect(unsafe_code, reason = "thread IDs have no safe wrapper on macOS"))]

use lab_trace::HostFacts;

/// The process ID of this process.
#[must_use]
pub fn process_id() -> u32 {
    std::process::id()
}

/// The ID of the calling thread, as the kernel names it in events.
#[cfg(target_os = "linux")]
#[must_use]
#[doc(alias = "gettid")]
pub fn thread_id() -> u64 {
    u64::from(nix::unistd::gettid().as_raw().unsigned_abs())
}

/// The ID of the calling thread, as the kernel names it in events.
#[cfg(target_os = "macos")]
#[must_use]
#[doc(alias = "pthread_threadid_np")]
pub fn thread_id() -> u64 {
    let mut id = 0;
    // SAFETY: thread 0 means the caller; writes to the place it is given, which is one.
    unsafe { libc::pthread_threadid_np(0, &raw mut id) };
    id
}

/// What the kernel says of a process, as far as the lab asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessState {
    /// When it started: a number that another process of the same ID cannot have. On Linux ticks since boot, on
    /// macOS microseconds since 1970.
    pub started: u64,
    /// True when a signal has stopped it.
    pub stopped: bool,
}

/// Asks for the state of a process; `None` when none of that ID lives. Opens nothing but a file of `/proc`.
#[cfg(target_os = "linux")]
#[must_use]
pub fn process_state(pid: u32) -> Option<ProcessState> {
    let stat = crate::proc::stat(pid)?;
    // Dead, and waited for by nobody yet.
    if matches!(stat.state, 'Z' | 'X') {
        return None;
    }
    Some(ProcessState { started: stat.started, stopped: matches!(stat.state, 'T' | 't') })
}

/// Asks for the state of a process; `None` when none of that ID lives.
#[cfg(target_os = "macos")]
#[must_use]
#[doc(alias = "proc_pidinfo")]
pub fn process_state(pid: u32) -> Option<ProcessState> {
    let pid = i32::try_from(pid).ok()?;
    let mut info = std::mem::MaybeUninit::<libc::proc_bsdinfo>::zeroed();
    let size = i32::try_from(size_of::<libc::proc_bsdinfo>()).ok()?;
    // SAFETY: `info` is a valid place for `size` bytes.
    let written =
        unsafe { libc::proc_pidinfo(pid, libc::PROC_PIDTBSDINFO, 0, info.as_mut_ptr().cast(), size) };
    if written != size {
        return None;
    }
    // SAFETY: the kernel has filled all of it, and any bytes are valid numbers.
    let info = unsafe { info.assume_init() };
    let started = info.pbi_start_tvsec.saturating_mul(1_000_000).saturating_add(info.pbi_start_tvusec);
    Some(ProcessState { started, stopped: info.pbi_status == libc::SSTOP })
}

/// What machine this is.
#[must_use]
pub fn host_facts() -> HostFacts {
    let Ok(names) = nix::sys::utsname::uname() else { return HostFacts::default() };
    let text = |name: &std::ffi::OsStr| name.to_string_lossy().into_owned();
    HostFacts {
        kernel: format!("{} {}", text(names.sysname()), text(names.release())),
        machine: text(names.machine()),
        cpus: processors(),
    }
}

#[cfg(target_os = "linux")]
fn processors() -> Vec<u32> {
    let Ok(set) = nix::sched::sched_getaffinity(nix::unistd::Pid::from_raw(0)) else { return Vec::new() };
    (0..nix::sched::CpuSet::count())
        .filter(|&cpu| set.is_set(cpu).unwrap_or(false))
        .filter_map(|cpu| u32::try_from(cpu).ok())
        .collect()
}

#[cfg(not(target_os = "linux"))]
fn processors() -> Vec<u32> {
    let count =
        std::thread::available_parallelism().map_or(0, |count| u32::try_from(count.get()).unwrap_or(0));
    (0..count).collect()
}
