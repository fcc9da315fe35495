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
