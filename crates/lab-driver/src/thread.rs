//! What the standard library does not say about the calling thread.
#![cfg_attr(target_os = "macos", expect(unsafe_code, reason = "the thread's number comes from a C function"))]

/// The kernel's number of the calling thread.
#[cfg(target_os = "linux")]
pub(crate) fn id() -> u64 {
    u64::from(nix::unistd::gettid().as_raw().cast_unsigned())
}

/// The kernel's number of the calling thread.
#[cfg(target_os = "macos")]
pub(crate) fn id() -> u64 {
    let mut id = 0;
    // SAFETY: thread 0 is the calling one, and `id` lives for the call, which only writes it.
    let _status = unsafe { libc::pthread_threadid_np(0, &raw mut id) };
    id
}

/// Makes the calling thread's waits end when they should: by default the kernel may delay each by 50 us to
/// wake several threads at once, which would count as latency of every planned operation.
#[cfg(target_os = "linux")]
pub(crate) fn wake_exactly() {
    // Where it is refused, waits end later, and the trace shows it: latency counts from the planned time.
    let _refused = nix::sys::prctl::set_timerslack(1);
}

/// Does nothing: macOS delays the waits of threads that ask for it only.
#[cfg(not(target_os = "linux"))]
pub(crate) const fn wake_exactly() {}
