//! Ticks of the machine's monotonic clock, and their timebase.

use serde::{Deserialize, Serialize};

/// A reading of the machine's monotonic clock, in raw ticks.
///
/// All processes of one lab read the same clock, so ticks of different traces compare. On Linux a tick is a
/// nanosecond of `CLOCK_MONOTONIC`; on macOS it is a unit of `mach_absolute_time`. Only analysis converts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Ticks(pub u64);

impl Ticks {
    /// The time from `earlier` to `self` in ticks; 0 when `earlier` is later.
    #[must_use]
    pub const fn since(self, earlier: Ticks) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// This time plus `ticks`, at most the largest representable time.
    #[must_use]
    pub const fn plus(self, ticks: u64) -> Ticks {
        Ticks(self.0.saturating_add(ticks))
    }
}

/// Nanoseconds per tick as a fraction, as `mach_timebase_info` gives it; 1/1 on Linux.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[doc(alias = "mach_timebase_info")]
pub struct Timebase {
    /// Numerator, at least 1.
    pub numer: u32,
    /// Denominator, at least 1.
    pub denom: u32,
}

impl Timebase {
    /// One tick is one nanosecond.
    pub const NANOSECONDS: Timebase = Timebase { numer: 1, denom: 1 };

    /// Converts a span of ticks to nanoseconds, rounded down; saturates at `u64::MAX`.
    #[must_use]
    pub fn nanoseconds(self, ticks: u64) -> u64 {
        let wide = u128::from(ticks) * u128::from(self.numer) / u128::from(self.denom.max(1));
        u64::try_from(wide).unwrap_or(u64::MAX)
    }

    /// Converts nanoseconds to ticks, rounded down; saturates at `u64::MAX`.
    #[must_use]
    pub fn ticks(self, nanoseconds: u64) -> u64 {
        let wide = u128::from(nanoseconds) * u128::from(self.denom) / u128::from(self.numer.max(1));
        u64::try_from(wide).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apple_silicon_ticks_convert_both_ways() {
        let timebase = Timebase { numer: 125, denom: 3 };
        assert_eq!(timebase.nanoseconds(24_000_000), 1_000_000_000);
        assert_eq!(timebase.ticks(1_000_000_000), 24_000_000);
        assert_eq!(timebase.nanoseconds(u64::MAX), u64::MAX);
    }
}
