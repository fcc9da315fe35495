//! Virtual time: what time it is, and what is still to happen.

use lab_model::Ticks;

use crate::hardware::agenda::{Agenda, SimEvent};

/// The first instant: not 0, because a time of 0 means *none* in a trace.
pub(crate) const EPOCH: u64 = 1_000_000_000;

/// The clock with its agenda. It moves by [`Clock::next`] only.
#[derive(Debug)]
pub(crate) struct Clock {
    now: u64,
    /// The latest time in any record: a piece of work is recorded when it begins, with the times it will have.
    stamped: u64,
    agenda: Agenda,
}

impl Clock {
    pub(crate) fn new(cores: u16) -> Clock {
        Clock { now: EPOCH, stamped: EPOCH, agenda: Agenda::new(cores) }
    }

    /// The time, in nanoseconds.
    #[inline]
    pub(crate) const fn now(&self) -> u64 {
        self.now
    }

    /// The time as records have it.
    #[inline]
    pub(crate) const fn ticks(&self) -> Ticks {
        Ticks(self.now)
    }

    /// The next that happens; it is that time now.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<SimEvent> {
        let (at, what) = self.agenda.next()?;
        debug_assert!(at >= self.now, "time does not run backwards");
        self.now = at;
        Some(what)
    }

    /// This happens at a time, which is not past.
    #[inline]
    pub(crate) fn enter(&mut self, at: u64, what: SimEvent) {
        self.agenda.enter(at, what);
    }

    /// This happens so many nanoseconds from now.
    #[inline]
    pub(crate) fn enter_after(&mut self, span: u64, what: SimEvent) {
        self.agenda.enter(self.now.saturating_add(span), what);
    }

    /// The piece of work on a processor is done then.
    #[inline]
    pub(crate) fn work(&mut self, at: u64, core: u32) {
        self.agenda.work(at, core);
    }

    /// A time as a record has it.
    #[inline]
    pub(crate) fn stamp(&mut self, at: u64) -> Ticks {
        self.stamped = self.stamped.max(at);
        Ticks(at)
    }

    /// Lets the pieces of work that are recorded be over: no process ends before what it has recorded.
    pub(crate) fn reach_what_is_recorded(&mut self) {
        self.now = self.now.max(self.stamped);
    }
}
