//! A bounded number of places for what the framework's handler files and another thread takes.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// A lock that a panic elsewhere does not close.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stands for one thing that was filed: a place, and the number of its use, so that a seat that was released cannot
/// get at its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Seat {
    place: u32,
    use_number: u32,
}

/// Filing allocates nothing and waits for nobody: all room is made at the start, and what finds none is given back.
pub(crate) struct Places<T> {
    slots: Box<[Mutex<Slot<T>>]>,
    line: Mutex<Line>,
    arrived: Condvar,
}

struct Slot<T> {
    use_number: u32,
    thing: Option<T>,
}

struct Line {
    waiting: Vec<Seat>,
    free: Vec<u32>,
    /// Nobody takes any more: what comes is given back.
    closed: bool,
}

impl<T> Places<T> {
    pub(crate) fn new(max: u32) -> Places<T> {
        let waiting = Vec::with_capacity(usize::try_from(max).unwrap_or(usize::MAX));
        Places {
            slots: (0..max).map(|_| Mutex::new(Slot { use_number: 0, thing: None })).collect(),
            line: Mutex::new(Line { waiting, free: (0..max).rev().collect(), closed: false }),
            arrived: Condvar::new(),
        }
    }

    /// How many there are.
    pub(crate) fn max(&self) -> usize {
        self.slots.len()
    }

    /// Files a thing and wakes whoever waits; gives it back when there is no place for it.
    pub(crate) fn file(&self, thing: T) -> Result<(), T> {
        let mut line = lock(&self.line);
        let place = if line.closed { None } else { line.free.pop() };
        // The caller lets go of it, not under the lock: that may be a system call.
        let Some(place) = place else { return Err(thing) };
        let use_number = self.occupy(place, thing);
        line.waiting.push(Seat { place, use_number });
        drop(line);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for things; the seats of those that have arrived, or `None` when there will be no more.
    pub(crate) fn wait(&self, batch: &mut Vec<Seat>) -> Option<()> {
        let mut line = lock(&self.line);
        while line.waiting.is_empty() {
            if line.closed {
                return None;
            }
            line = self.arrived.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut line.waiting, batch);
        Some(())
    }

    /// Things that were filed and that nobody has taken.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.line).waiting.len()
    }

    /// Looks at what is filed under a seat; `None` when it has been released.
    pub(crate) fn look<U>(&self, seat: Seat, look: impl FnOnce(&T) -> U) -> Option<U> {
        let slot = self.slot(seat.place)?;
        if slot.use_number == seat.use_number { slot.thing.as_ref().map(look) } else { None }
    }

    /// Lets go of what is filed under a seat, and frees its place.
    pub(crate) fn release(&self, seat: Seat) {
        let thing = {
            let Some(mut slot) = self.slot(seat.place) else { return };
            if slot.use_number != seat.use_number {
                return;
            }
            slot.use_number = slot.use_number.wrapping_add(1);
            slot.thing.take()
        };
        // Outside the slot's lock: the last owner releases the message, and answers it if nobody has.
        drop(thing);
        lock(&self.line).free.push(seat.place);
    }

    /// Lets [`Places::wait`] end once it has given out what has arrived.
    pub(crate) fn close(&self) {
        lock(&self.line).closed = true;
        self.arrived.notify_all();
    }

    /// Lets go of everything, whoever may want to look at it.
    pub(crate) fn abandon(&self) {
        for slot in &self.slots {
            let thing = lock(slot).thing.take();
            drop(thing);
        }
    }

    fn slot(&self, place: u32) -> Option<MutexGuard<'_, Slot<T>>> {
        self.slots.get(usize::try_from(place).ok()?).map(lock)
    }

    fn occupy(&self, place: u32, thing: T) -> u32 {
        let Some(mut slot) = self.slot(place) else { return 0 };
        assert!(slot.thing.is_none(), "a free place is empty");
        slot.thing = Some(thing);
        slot.use_number
    }
}
