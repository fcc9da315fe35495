//! Sequence numbers, checked in the order of the lines.

use lab_model::Bounded;

use super::summary::Sequence;

impl Sequence {
    /// Takes in the next number and returns how many are missing before it. The first is taken as it comes: the
    /// kernel does not promise where it starts. One that goes back is no loss and restarts the count.
    pub(super) fn observe(&mut self, number: u64) -> u64 {
        self.seen.raise(1);
        let Some(last) = self.last.replace(number) else {
            self.first = Some(number);
            return 0;
        };
        if number <= last {
            self.went_back.raise(1);
            return 0;
        }
        let missing = number.saturating_sub(last).saturating_sub(1);
        self.gaps.raise(u64::from(missing > 0));
        self.missing = self.missing.saturating_add(missing);
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_restarts() {
        let mut sequence = Sequence::default();
        let missing: Vec<u64> =
            [7, 8, 10, 0, 1, u64::MAX, u64::MAX].map(|number| sequence.observe(number)).into();
        assert_eq!(missing, [0, 0, 1, 0, 0, u64::MAX - 2, 0]);
        assert_eq!((sequence.first, sequence.last, sequence.seen), (Some(7), Some(u64::MAX), 7));
        assert_eq!((sequence.gaps, sequence.went_back, sequence.missing), (2, 2, u64::MAX - 1));
    }
}
