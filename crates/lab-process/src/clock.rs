//! The one clock of a lab: `CLOCK_MONOTONIC` on Linux, `mach_absolute_time` on macOS.
#![cfg_attr(target_os = "macos", expect(unsafe_code, reason = "mach time has no safe wrapper"))]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lab_model::{Ticks, Timebase};

/// Reads the clock. About 25 ns on Linux, without a system call.
#[cfg(not(target_os = "macos"))]
#[must_use]
pub fn now() -> Ticks {
    let Ok(time) = nix::time::clock_gettime(nix::time::ClockId::CLOCK_MONOTONIC) else {
        return Ticks(0);
    };
    Ticks(time.tv_sec().unsigned_abs() * 1_000_000_000 + time.tv_nsec().unsigned_abs())
}

/// How long the calling thread has kept a processor busy. Needs a system call.
#[must_use]
pub fn thread_time() -> Duration {
    let time = nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.map(Duration::from).unwrap_or_default()
}

/// How ticks convert.
#[cfg(not(target_os = "macos"))]
#[must_use]
pub fn timebase() -> Timebase {
    Timebase::NANOSECONDS
}

/// Reads the clock.
#[cfg(target_os = "macos")]
#[must_use]
#[doc(alias = "mach_absolute_time")]
#[expect(deprecated, reason = "libc points to another crate, which a single call does not justify")]
pub fn now() -> Ticks {
    // SAFETY: takes nothing and only reads a counter.
    Ticks(unsafe { libc::mach_absolute_time() })
}

/// How ticks convert.
#[cfg(target_os = "macos")]
#[must_use]
#[doc(alias = "mach_timebase_info")]
#[expect(deprecated, reason = "libc points to another crate, which a single call does not justify")]
pub fn timebase() -> Timebase {
    let mut info = libc::mach_timebase_info { numer: 0, denom: 0 };
    // SAFETY: writes to the place it is given, which is one.
    unsafe { libc::mach_timebase_info(&raw mut info) };
    Timebase { numer: info.numer.max(1), denom: info.denom.max(1) }
}

/// Waits until `at`; may return early.
#[cfg(not(target_os = "macos"))]
pub fn wait_until(at: Ticks) {
    use nix::{
        sys::time::TimeSpec,
        time::{ClockId, ClockNanosleepFlags, clock_nanosleep},
    };
    let seconds = i64::try_from(at.0 / 1_000_000_000).unwrap_or(i64::MAX);
    let rest = i64::try_from(at.0 % 1_000_000_000).unwrap_or(0);
    // A signal ends the wait early, which the caller expects.
    let _woken = clock_nanosleep(
        ClockId::CLOCK_MONOTONIC,
        ClockNanosleepFlags::TIMER_ABSTIME,
        &TimeSpec::new(seconds, rest),
    );
}

/// Waits until `at`; may return early.
#[cfg(target_os = "macos")]
#[doc(alias = "mach_wait_until")]
pub fn wait_until(at: Ticks) {
    unsafe extern "C" {
        safe fn mach_wait_until(deadline: u64) -> i32;
    }
    let _status = mach_wait_until(at.0);
}

/// The wall clock in nanoseconds since 1970; only for people to read.
#[must_use]
pub fn unix_nanoseconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    i64::try_from(since).unwrap_or(i64::MAX)
}
