//! Sequence numbers, checked in the order of the lines.

use lab_model::Bounded;

use super::summary::Sequence;

impl Sequence {
    /// Takes in the next number and returns how many are missing before it, at most `most`. The first is taken as it
    /// comes: the kernel does not promise where it starts. One that goes back is no loss and restarts the count.
    pub(super) fn observe(&mut self, number: u64, most: u64) -> u64 {
        self.seen.raise(1);
        let Some(last) = self.last.replace(number) else {
            self.first = Some(number);
            return 0;
        };
        if number <= last {
            self.went_back.raise(1);
            return 0;
        }
        let missing = number.saturating_sub(last).saturating_sub(1).min(most);
        self.gaps.raise(u64::from(missing > 0));
        self.missing = self.missing.saturating_add(missing);
        missing
    }
}

/// The numbers of one kind of event. Where the events also have a number over all kinds, no more of one kind can be
/// missing than of all.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OfKind {
    pub(super) sequence: Sequence,
    /// How many of all events were missing when the last of this kind came.
    of_all: u64,
}

impl OfKind {
    /// Takes in the next number of this kind; `of_all` are the events of all kinds that are missing so far, where their
    /// numbers say it.
    pub(super) fn observe(&mut self, number: u64, of_all: Option<u64>) -> u64 {
        let most = of_all.map_or(u64::MAX, |of_all| of_all.saturating_sub(self.of_all));
        self.of_all = of_all.unwrap_or(self.of_all);
        self.sequence.observe(number, most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_and_restarts() {
        let mut sequence = Sequence::default();
        let missing: Vec<u64> =
            [7, 8, 10, 0, 1, u64::MAX, u64::MAX].map(|number| sequence.observe(number, u64::MAX)).into();
        assert_eq!(missing, [0, 0, 1, 0, 0, u64::MAX - 2, 0]);
        assert_eq!((sequence.first, sequence.last, sequence.seen), (Some(7), Some(u64::MAX), 7));
        assert_eq!((sequence.gaps, sequence.went_back, sequence.missing), (2, 2, u64::MAX - 1));
    }

    #[test]
    fn no_more_of_a_kind_than_of_all() {
        let mut of_kind = OfKind::default();
        let numbers = [(3, Some(0)), (9, Some(0)), (12, Some(1)), (15, Some(7)), (20, None)];
        let missing: Vec<u64> = numbers.map(|(number, of_all)| of_kind.observe(number, of_all)).into();
        assert_eq!(missing, [0, 0, 1, 2, 4]);
        assert_eq!((of_kind.sequence.gaps, of_kind.sequence.missing), (3, 7));
    }
}
