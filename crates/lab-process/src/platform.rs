//! What differs between the systems that a lab runs on, where more than one crate has to know. Beside this crate the
//! backends and the doctor ask what they are compiled for, and few others, which say why.

use std::path::Path;

use lab_model::Kernel;

/// The kernel of this system that asks clients. Elsewhere than on macOS it is fanotify: what such a system lacks is
/// said when a lab wants to run.
pub const KERNEL: Kernel = if IS_MAC { Kernel::EndpointSecurity } else { Kernel::Fanotify };

/// True on macOS, where bundles are signed by the system's own tools and clients are daemons of launchd.
pub const IS_MAC: bool = cfg!(target_os = "macos");

/// True for a folder on whose mount nothing may be executed. Elsewhere than on Linux what cannot be executed says so when
/// it is started.
#[cfg(target_os = "linux")]
#[must_use]
pub fn forbids_programs(folder: &Path) -> bool {
    use nix::sys::statvfs::{FsFlags, statvfs};
    statvfs(folder).is_ok_and(|mount| mount.flags().contains(FsFlags::ST_NOEXEC))
}

/// True for a folder on whose mount nothing may be executed. Elsewhere than on Linux what cannot be executed says so when
/// it is started.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub const fn forbids_programs(_: &Path) -> bool {
    false
}

/// Makes the calling thread's waits end when they should: by default Linux may delay each by 50 us to wake several
/// threads at once, which would count as latency of every planned operation. macOS delays the waits of threads that ask
/// for it only.
pub fn wake_exactly() {
    // Where it is refused, waits end later, and the trace shows it: latency counts from the planned time.
    #[cfg(target_os = "linux")]
    let _refused = nix::sys::prctl::set_timerslack(1);
}

/// A file's device as the kernel encodes it in 32 bits; on Linux `st_dev` holds just that.
#[must_use]
pub fn device(facts: &nix::sys::stat::FileStat) -> u32 {
    #[cfg(target_os = "linux")]
    return u32::try_from(facts.st_dev).unwrap_or(0);
    #[cfg(not(target_os = "linux"))]
    return facts.st_dev.cast_unsigned();
}

/// A device of `stat` as the numbers `(major, minor)` that `/proc` shows.
#[must_use]
pub fn device_numbers(device: u64) -> (u64, u64) {
    #[cfg(target_os = "linux")]
    return (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    #[cfg(not(target_os = "linux"))]
    return (device >> 24 & 0xff, device & 0xff_ffff);
}
