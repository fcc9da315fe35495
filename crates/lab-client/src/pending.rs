//! The decisions that wait for a worker's answer, and the race for that answer.
//!
//! A slot's state counts up: odd while the answer is still to be given, even otherwise. Whoever moves it from
//! the odd number it saw to the next has won and answers; the others do nothing. Because the number never
//! comes back, a late look at a slot cannot win the answer of a later decision in it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crossbeam_queue::ArrayQueue;
use crossbeam_utils::atomic::AtomicCell;
use lab_model::Ticks;
use lab_trace::{PENDING_SLOTS, RecordId};

#[derive(Debug)]
struct Slot<T: Copy> {
    state: AtomicU64,
    /// 0 when nobody is to answer early.
    answer_by: AtomicU64,
    record: AtomicU64,
    token: AtomicCell<Option<T>>,
}

/// All slots of a client.
#[derive(Debug)]
pub(crate) struct PendingTable<T: Copy> {
    slots: Box<[Slot<T>]>,
    free: ArrayQueue<u16>,
    used: AtomicUsize,
}

/// The right to try for one decision's answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ticket {
    pub(crate) slot: u16,
    state: u64,
}

/// A decision whose answer the housekeeper has won.
#[derive(Debug)]
pub(crate) struct Overdue<T> {
    pub(crate) slot: u16,
    pub(crate) record: RecordId,
    pub(crate) token: T,
}

impl<T: Copy> PendingTable<T> {
    pub(crate) fn new() -> PendingTable<T> {
        let slot = |_| Slot {
            state: AtomicU64::new(0),
            answer_by: AtomicU64::new(0),
            record: AtomicU64::new(0),
            token: AtomicCell::new(None),
        };
        let free = ArrayQueue::new(PENDING_SLOTS);
        for number in (0..PENDING_SLOTS).filter_map(|number| u16::try_from(number).ok()) {
            assert!(free.push(number).is_ok(), "every slot has its place");
        }
        PendingTable { slots: (0..PENDING_SLOTS).map(slot).collect(), free, used: AtomicUsize::new(0) }
    }

    /// Takes a slot, or `None` when all are taken. Called by the reader only.
    pub(crate) fn take(&self) -> Option<u16> {
        let slot = self.free.pop()?;
        self.used.fetch_max(usize::from(slot) + 1, Ordering::Relaxed);
        Some(slot)
    }

    /// Opens the race for a decision's answer in a slot that was taken.
    pub(crate) fn open(&self, number: u16, record: RecordId, token: T, answer_by: Option<Ticks>) -> Ticket {
        let slot = &self.slots[usize::from(number)];
        slot.answer_by.store(answer_by.map_or(0, |at| at.0), Ordering::Relaxed);
        slot.record.store(record.0, Ordering::Relaxed);
        slot.token.store(Some(token));
        let state = slot.state.load(Ordering::Relaxed) + 1;
        assert!(state % 2 == 1, "a free slot has no open race");
        slot.state.store(state, Ordering::Release);
        Ticket { slot: number, state }
    }

    /// Tries for the answer; true for whoever comes first.
    pub(crate) fn win(&self, ticket: Ticket) -> bool {
        let slot = &self.slots[usize::from(ticket.slot)];
        let next = ticket.state + 1;
        slot.state.compare_exchange(ticket.state, next, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Gives a slot back, after the race in it is over.
    pub(crate) fn give_back(&self, slot: u16) {
        assert!(self.free.push(slot).is_ok(), "a slot is given back once");
    }

    /// Wins every race whose time has come, one after the other.
    pub(crate) fn overdue(&self, now: Ticks) -> impl Iterator<Item = Overdue<T>> {
        let used = self.used.load(Ordering::Relaxed);
        self.slots[..used].iter().zip(0_u16..).filter_map(move |(slot, number)| {
            let state = slot.state.load(Ordering::Acquire);
            let answer_by = slot.answer_by.load(Ordering::Relaxed);
            if state % 2 == 0 || answer_by == 0 || answer_by > now.0 {
                return None;
            }
            let (record, token) = (RecordId(slot.record.load(Ordering::Relaxed)), slot.token.load()?);
            let won = slot.state.compare_exchange(state, state + 1, Ordering::AcqRel, Ordering::Relaxed);
            won.is_ok().then_some(Overdue { slot: number, record, token })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_won_once() {
        let table = PendingTable::new();
        let slot = table.take().unwrap();
        let ticket = table.open(slot, RecordId(7), 'x', Some(Ticks(100)));
        assert_eq!(table.overdue(Ticks(99)).count(), 0);
        let overdue: Vec<_> = table.overdue(Ticks(100)).collect();
        assert_eq!(overdue[0].slot, slot);
        assert_eq!((overdue.len(), overdue[0].record, overdue[0].token), (1, RecordId(7), 'x'));
        assert!(!table.win(ticket), "the timer was first");
        assert_eq!(table.overdue(Ticks(200)).count(), 0);
    }

    #[test]
    fn a_ticket_does_not_win_a_later_race_in_its_slot() {
        let table = PendingTable::new();
        let first = table.take().unwrap();
        let old = table.open(first, RecordId(1), 'a', None);
        assert!(table.win(old));
        table.give_back(first);
        while let Some(slot) = table.take() {
            let ticket = table.open(slot, RecordId(2), 'b', None);
            if slot == first {
                assert!(!table.win(old));
                assert!(table.win(ticket));
                return;
            }
        }
        panic!("the slot comes back");
    }

    #[test]
    fn all_slots_can_be_taken_and_no_more() {
        let table = PendingTable::<u8>::new();
        assert_eq!(std::iter::from_fn(|| table.take()).count(), PENDING_SLOTS);
    }
}
