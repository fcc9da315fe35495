//! Sequence numbers, whose jumps show which events the kernel dropped.

use std::collections::BTreeMap;

use lab_model::EventKind;

/// Events that the kernel dropped for this client, as a jump in its sequence numbers shows them.
///
/// A drop at the very end shows no jump. The traces of those who opened show that: their operations have no decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The kind of the event after the gap; of the missing ones when `of_this_kind` counts them.
    pub before: EventKind,
    /// Missing events of this kind, by `seq_num`.
    pub of_this_kind: u64,
    /// Missing events of all kinds since the last event seen, by `global_seq_num`.
    pub of_all_kinds: u64,
}

/// The sequence numbers of one client, checked event by event in the order of delivery.
#[derive(Clone, Debug, Default)]
#[doc(alias = "seq_num")]
pub struct Sequences {
    next_by_kind: BTreeMap<EventKind, u64>,
    next_of_all: Option<u64>,
    missing_by_kind: u64,
    missing_of_all: u64,
}

impl Sequences {
    /// Sequence numbers of a client that has seen nothing yet.
    #[must_use]
    pub fn new() -> Sequences {
        Sequences::default()
    }

    /// Takes in the numbers of the next event and tells what is missing before it.
    ///
    /// Numbers are absent on old message versions. The first number of a kind is taken as it comes: the kernel
    /// does not promise where it starts. A number that runs backwards is no loss and restarts the count.
    pub fn observe(&mut self, kind: EventKind, own: Option<u64>, of_all: Option<u64>) -> Option<Gap> {
        let of_this_kind = own.map_or(0, |number| {
            let next = self.next_by_kind.insert(kind, number.saturating_add(1));
            next.map_or(0, |next| number.saturating_sub(next))
        });
        let of_all_kinds = of_all.map_or(0, |number| {
            let next = self.next_of_all.replace(number.saturating_add(1));
            next.map_or(0, |next| number.saturating_sub(next))
        });
        self.missing_by_kind = self.missing_by_kind.saturating_add(of_this_kind);
        self.missing_of_all = self.missing_of_all.saturating_add(of_all_kinds);
        let lost = of_this_kind > 0 || of_all_kinds > 0;
        lost.then_some(Gap { before: kind, of_this_kind, of_all_kinds })
    }

    /// All events known to be missing: the larger of the two counts, because either may be the only one.
    #[must_use]
    pub fn missing(&self) -> u64 {
        self.missing_by_kind.max(self.missing_of_all)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: EventKind = EventKind::AUTH_OPEN;
    const EXEC: EventKind = EventKind::AUTH_EXEC;

    #[test]
    fn unbroken_numbers_have_no_gap() {
        let mut sequences = Sequences::new();
        for (all, (kind, own)) in
            [(OPEN, 40), (EXEC, 0), (OPEN, 41), (OPEN, 42), (EXEC, 1)].iter().enumerate()
        {
            assert_eq!(sequences.observe(*kind, Some(*own), Some(all as u64 + 7)), None);
        }
        assert_eq!(sequences.missing(), 0);
    }

    #[test]
    fn a_jump_is_counted_by_both_numbers() {
        let mut sequences = Sequences::new();
        assert_eq!(sequences.observe(OPEN, Some(0), Some(0)), None);
        // Two opens and one event of a kind that is not seen again are missing.
        let gap = sequences.observe(OPEN, Some(3), Some(4));
        assert_eq!(gap, Some(Gap { before: OPEN, of_this_kind: 2, of_all_kinds: 3 }));
        // The first exec ever seen: only the global number can tell that something is missing.
        let gap = sequences.observe(EXEC, Some(5), Some(6));
        assert_eq!(gap, Some(Gap { before: EXEC, of_this_kind: 0, of_all_kinds: 1 }));
        assert_eq!(sequences.missing(), 4);
    }

    #[test]
    fn old_messages_and_backward_numbers_are_no_loss() {
        let mut sequences = Sequences::new();
        assert_eq!(sequences.observe(OPEN, None, None), None);
        assert_eq!(sequences.observe(OPEN, Some(9), None), None);
        assert_eq!(sequences.observe(OPEN, Some(3), None), None);
        assert_eq!(sequences.observe(OPEN, Some(4), None), None);
        assert_eq!(sequences.observe(OPEN, Some(u64::MAX), None).unwrap().of_this_kind, u64::MAX - 5);
        assert_eq!(sequences.observe(OPEN, Some(u64::MAX), None), None);
    }
}
