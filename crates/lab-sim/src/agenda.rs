use std::{cmp::Ordering, collections::BinaryHeap};

/// What is to happen at a time. Its numbers are places in the machine's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Happening {
    /// The piece of work on this processor is done.
    WorkDone { core: u32 },
    /// A thread that let time pass goes on, unless it has a newer reason to wait.
    WaitOver { thread: u32, wait: u32 },
    /// A client's budget runs out for the first of its decisions.
    BudgetSpent { client: u32 },
    /// A decision may be overdue.
    DeadlineCheck,
    /// The openers that wait for a killed client go on.
    Released { client: u32 },
    /// The next step of the run's script.
    Script { step: u32 },
    /// The drain has been quiet for long enough, if nothing happened since.
    Quiet { calm: u32 },
    /// The whole run has taken too long.
    RunTooLong,
}

/// The future: what will happen, in the order of time; at one time in the order in which it was entered.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Entry>,
    sequence: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at: u64,
    sequence: u64,
    what: Happening,
}

impl Ord for Entry {
    /// The greatest entry is the one that happens first.
    fn cmp(&self, other: &Entry) -> Ordering {
        (other.at, other.sequence).cmp(&(self.at, self.sequence))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Entry) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Agenda {
    pub(crate) fn enter(&mut self, at: u64, what: Happening) {
        self.sequence += 1;
        self.heap.push(Entry { at, sequence: self.sequence, what });
    }

    pub(crate) fn next(&mut self) -> Option<(u64, Happening)> {
        self.heap.pop().map(|entry| (entry.at, entry.what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_first_then_the_order_of_entry() {
        let mut agenda = Agenda::default();
        for (at, core) in [(5, 0), (3, 1), (5, 2), (3, 3), (1, 4)] {
            agenda.enter(at, Happening::WorkDone { core });
        }
        let order: Vec<_> = std::iter::from_fn(|| agenda.next()).collect();
        let expected = [(1, 4), (3, 1), (3, 3), (5, 0), (5, 2)];
        assert_eq!(order, expected.map(|(at, core)| (at, Happening::WorkDone { core })));
    }
}
