//! The machine's monotonic clock in the ticks of the trace, and waiting for a time on it.
#![cfg_attr(target_os = "macos", expect(unsafe_code, reason = "the clock is a C function"))]

use lab_model::{Ticks, Timebase};
use nix::time::{ClockId, clock_gettime};

/// A clock as nanoseconds.
fn nanoseconds(clock: ClockId) -> u64 {
    // These clocks exist on every supported system, so that reading them does not fail.
    clock_gettime(clock).map_or(0, |time| {
        time.tv_sec().cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec().cast_unsigned())
    })
}

/// The wall clock, in nanoseconds since 1970.
pub(crate) fn unix_nanoseconds() -> i64 {
    nanoseconds(ClockId::CLOCK_REALTIME).cast_signed()
}

#[cfg(not(target_os = "macos"))]
mod system {
    use nix::time::{ClockNanosleepFlags, clock_nanosleep};

    use super::{ClockId, Ticks, Timebase, nanoseconds};

    /// How ticks convert to nanoseconds.
    pub(crate) fn timebase() -> Timebase {
        Timebase::NANOSECONDS
    }

    /// The time now.
    #[inline]
    pub(crate) fn now() -> Ticks {
        Ticks(nanoseconds(ClockId::CLOCK_MONOTONIC))
    }

    /// Waits until `at`; may return early.
    pub(crate) fn wait_until(at: Ticks) {
        let seconds = i64::try_from(at.0 / 1_000_000_000).unwrap_or(i64::MAX);
        let rest = i64::try_from(at.0 % 1_000_000_000).unwrap_or(0);
        let time = nix::sys::time::TimeSpec::new(seconds, rest);
        // A signal ends the wait early, which the caller expects.
        let _woken = clock_nanosleep(ClockId::CLOCK_MONOTONIC, ClockNanosleepFlags::TIMER_ABSTIME, &time);
    }
}

#[cfg(target_os = "macos")]
mod system {
    use super::{Ticks, Timebase};

    #[repr(C)]
    struct Info {
        numer: u32,
        denom: u32,
    }

    unsafe extern "C" {
        safe fn mach_absolute_time() -> u64;
        safe fn mach_wait_until(deadline: u64) -> i32;
        fn mach_timebase_info(info: *mut Info) -> i32;
    }

    /// How ticks convert to nanoseconds.
    pub(crate) fn timebase() -> Timebase {
        let mut info = Info { numer: 1, denom: 1 };
        // SAFETY: `info` has the layout of `mach_timebase_info_data_t` and lives for the call, which only
        // writes it.
        let _status = unsafe { mach_timebase_info(&raw mut info) };
        Timebase { numer: info.numer.max(1), denom: info.denom.max(1) }
    }

    /// The time now.
    #[inline]
    pub(crate) fn now() -> Ticks {
        Ticks(mach_absolute_time())
    }

    /// Waits until `at`; may return early.
    pub(crate) fn wait_until(at: Ticks) {
        let _status = mach_wait_until(at.0);
    }
}

pub(crate) use system::{now, timebase, wait_until};
