//! What the standard library does not say about the calling thread.

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
