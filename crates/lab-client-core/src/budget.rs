//! The deadline budget: by when a client answers even if it has not finished.

use lab_model::{Span, Ticks, Timebase};

/// By when a client answers, whether it has finished or not.
///
/// Like Santa's deadline budget, but as a share of the deadline: the answer leaves while some of it is left,
/// because the kernel must have received it by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    percent: Option<u8>,
}

impl Budget {
    /// A budget of this share of the deadline in percent (1 to 99); `None` never answers early.
    #[must_use]
    pub fn new(percent: Option<u8>) -> Budget {
        Budget { percent: percent.map(|percent| percent.clamp(1, 99)) }
    }

    /// The moment to answer an event that was read at `read` and is due at `deadline`; `None` when there is
    /// no deadline, no budget, or the event was already overdue when it was read.
    #[must_use]
    pub fn answer_by(self, read: Ticks, deadline: Option<Ticks>) -> Option<Ticks> {
        let left = deadline?.0.checked_sub(read.0)?;
        let share = u128::from(left) * u128::from(self.percent?) / 100;
        Some(read.plus(u64::try_from(share).unwrap_or(u64::MAX)))
    }
}

/// The emulated deadline of an event read at `read`, where the kernel gives none.
#[must_use]
pub(crate) fn emulated(read: Ticks, span: Span, timebase: Timebase) -> Ticks {
    read.plus(timebase.ticks(span.nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_a_share_of_what_is_left() {
        type Row = (Option<u8>, u64, Option<u64>, Option<u64>);
        let table: [Row; 8] = [
            (Some(80), 100, Some(200), Some(180)),
            (Some(1), 100, Some(200), Some(101)),
            (Some(99), 100, Some(200), Some(199)),
            (Some(200), 100, Some(200), Some(199)),
            (Some(0), 100, Some(200), Some(101)),
            (Some(80), 100, None, None),
            (Some(80), 300, Some(200), None),
            (None, 100, Some(200), None),
        ];
        for (percent, read, deadline, expected) in table {
            let found = Budget::new(percent).answer_by(Ticks(read), deadline.map(Ticks));
            assert_eq!(found, expected.map(Ticks), "{percent:?} % of {read} to {deadline:?}");
        }
    }

    #[test]
    fn an_emulated_deadline_is_in_ticks() {
        let apple = Timebase { numer: 125, denom: 3 };
        assert_eq!(emulated(Ticks(10), Span::from_secs(1), apple), Ticks(24_000_010));
        assert_eq!(emulated(Ticks(u64::MAX), Span::from_secs(1), apple), Ticks(u64::MAX));
    }
}
