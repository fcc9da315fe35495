//! What is still to happen, in the order of time.

use std::{cmp::Ordering, collections::BinaryHeap};

use lab_model::Actor;

/// What is to happen at a time. Its numbers are places in the machine's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SimEvent {
    /// The piece of work on this processor is done. Entered by [`Agenda::work`] only.
    WorkDone { core: u32 },
    /// A thread that let time pass goes on, unless it has a newer reason to wait.
    WaitOver { thread: u32, wait: u32 },
    /// A client's budget runs out for the first of its decisions.
    BudgetSpent { client: u32 },
    /// A decision may be overdue.
    DeadlineCheck,
    /// The openers that wait for a killed client go on.
    Released { client: u32 },
    /// A planned fault begins, if the storm still goes on.
    FaultBegins { place: u32 },
    /// A planned fault is taken back, if it is still in effect.
    FaultEnds { place: u32 },
    /// A client that died is started again.
    StartAgain { client: u32 },
    /// It reads events, if it is still this process of it.
    BackAgain { client: u32, process: u32 },
    /// And everybody knows it.
    KnownAgain { client: u32, process: u32 },
    /// A daemon that died is started again.
    DaemonAgain { daemon: u32 },
    /// It can be connected to.
    DaemonListens { worker_process: u32 },
    /// It carries out what it is asked.
    DaemonServes { worker_process: u32 },
    /// This process of a client looks for a daemon that it has lost, by its place in the client's behaviour.
    Regain { client: u32, by: Actor, asked: u8 },
    /// The next step of the run's script.
    Script { step: u32 },
    /// The drain has been quiet for long enough, if nothing happened since.
    Quiet { calm: u32 },
    /// The whole run has taken too long.
    RunTooLong,
}

/// The future: what will happen, in the order of time; at one time in the order in which it was entered.
///
/// Nearly all of it is work on processors, of which each has at most one piece: those lie in an array that is
/// looked through, everything else in a heap.
#[derive(Debug)]
pub(crate) struct Agenda {
    heap: BinaryHeap<Entry>,
    work: Vec<(u64, u64)>,
    sequence: u64,
}

/// No work.
const NEVER: (u64, u64) = (u64::MAX, u64::MAX);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    at: u64,
    sequence: u64,
    what: SimEvent,
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
    pub(crate) fn new(cores: u16) -> Agenda {
        Agenda { heap: BinaryHeap::new(), work: vec![NEVER; usize::from(cores)], sequence: 0 }
    }

    /// The work on a processor is done then.
    #[inline]
    pub(crate) fn work(&mut self, at: u64, core: u32) {
        self.sequence += 1;
        self.work[core as usize] = (at, self.sequence);
    }

    pub(crate) fn enter(&mut self, at: u64, what: SimEvent) {
        self.sequence += 1;
        self.heap.push(Entry { at, sequence: self.sequence, what });
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Option<(u64, SimEvent)> {
        let (mut first, mut core) = (NEVER, 0);
        for (&done, place) in self.work.iter().zip(0_u32..) {
            if done < first {
                (first, core) = (done, place);
            }
        }
        if let Some(entry) = self.heap.peek()
            && (entry.at, entry.sequence) < first
        {
            return self.heap.pop().map(|entry| (entry.at, entry.what));
        }
        if first == NEVER {
            return None;
        }
        self.work[core as usize] = NEVER;
        Some((first.0, SimEvent::WorkDone { core }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_first_then_the_order_of_entry() {
        let mut agenda = Agenda::new(2);
        agenda.work(5, 0);
        for (at, step) in [(5, 10), (3, 11), (5, 12)] {
            agenda.enter(at, SimEvent::Script { step });
        }
        agenda.work(3, 1);
        let step = |at, step| (at, SimEvent::Script { step });
        let work = |at, core| (at, SimEvent::WorkDone { core });
        let order: Vec<_> = std::iter::from_fn(|| agenda.next()).collect();
        assert_eq!(order, [step(3, 11), work(3, 1), work(5, 0), step(5, 10), step(5, 12)]);
    }
}
