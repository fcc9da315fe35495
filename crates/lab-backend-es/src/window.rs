//! How long an AUTH event can be answered, in raw ticks.

use lab_model::Ticks;

/// The time in which one AUTH event can be answered, in raw ticks of `mach_absolute_time`.
///
/// It runs from the kernel's callout to the kernel's receiving the answer; part of it is gone before the
/// client sees the event. All arithmetic saturates: a deadline in the past is a window with nothing left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// When the kernel made the event.
    #[doc(alias = "mach_time")]
    pub generated: Ticks,
    /// After this the kernel kills the client and allows the event.
    pub deadline: Ticks,
}

impl Window {
    /// The whole length in ticks; 0 when the deadline does not lie after the event.
    #[must_use]
    pub const fn length(self) -> u64 {
        self.deadline.since(self.generated)
    }

    /// The ticks left at `now`; negative once the deadline has passed.
    #[must_use]
    pub fn left(self, now: Ticks) -> i64 {
        let left = i128::from(self.deadline.0) - i128::from(now.0);
        i64::try_from(left).unwrap_or(if left < 0 { i64::MIN } else { i64::MAX })
    }

    /// True when an answer at `now` comes too late.
    #[must_use]
    pub const fn is_missed(self, now: Ticks) -> bool {
        now.0 > self.deadline.0
    }

    /// When a client that answers after `percent` of the window, finished or not, has to answer.
    ///
    /// Never before `entry`, because the client did not have the event earlier.
    #[must_use]
    pub fn answer_by(self, entry: Ticks, percent: u8) -> Ticks {
        let share = u128::from(self.length()) * u128::from(percent.min(100)) / 100;
        let planned = self.generated.plus(u64::try_from(share).unwrap_or(u64::MAX));
        planned.max(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fifteen seconds of Apple silicon's 24 MHz clock, with a third used up before delivery.
    const WINDOW: Window = Window { generated: Ticks(1_000_000), deadline: Ticks(361_000_000) };
    const ENTRY: Ticks = Ticks(121_000_000);

    #[test]
    fn what_is_left_counts_down_through_zero() {
        assert_eq!(WINDOW.length(), 360_000_000);
        assert_eq!(WINDOW.left(ENTRY), 240_000_000);
        assert_eq!(WINDOW.left(WINDOW.deadline), 0);
        assert_eq!(WINDOW.left(Ticks(361_000_001)), -1);
        assert!(!WINDOW.is_missed(WINDOW.deadline));
        assert!(WINDOW.is_missed(Ticks(361_000_001)));
    }

    #[test]
    fn the_automatic_answer_is_a_share_of_the_whole_window() {
        for (percent, expected) in [(0, ENTRY), (1, ENTRY), (50, Ticks(181_000_000)), (100, WINDOW.deadline)]
        {
            assert_eq!(WINDOW.answer_by(ENTRY, percent), expected, "{percent}");
        }
        assert_eq!(WINDOW.answer_by(ENTRY, 255), WINDOW.deadline);
    }

    #[test]
    fn extreme_clocks_do_not_overflow() {
        let backwards = Window { generated: Ticks(u64::MAX), deadline: Ticks(0) };
        assert_eq!(backwards.length(), 0);
        assert_eq!(backwards.left(Ticks(u64::MAX)), i64::MIN);
        assert!(backwards.is_missed(Ticks(1)));
        assert_eq!(backwards.answer_by(Ticks(7), 50), Ticks(u64::MAX));
        let endless = Window { generated: Ticks(0), deadline: Ticks(u64::MAX) };
        assert_eq!(endless.left(Ticks(0)), i64::MAX);
        assert_eq!(endless.answer_by(Ticks(0), 100), Ticks(u64::MAX));
    }
}
