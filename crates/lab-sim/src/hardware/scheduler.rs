//! Which threads run, wait or stand still, and what a processor still has to finish.
//!
//! A thread is a number here. What it does with its processor is not known in this module.

use crate::hardware::{
    NONE,
    processors::{Begin, Processors},
};

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It waits for something other than a processor.
    Blocked,
    /// It waits for a processor.
    Ready,
    /// It has one.
    Running,
    /// It wants one, and its process is stopped.
    Stopped,
    /// It was killed.
    Dead,
}

/// What a thread does at the end of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another piece of work.
    Continue,
    /// It waits.
    Block,
}

/// A thread as the scheduler knows it.
#[derive(Clone, Copy, Debug)]
struct Slot {
    state: State,
    /// Its process is stopped.
    stopped: bool,
    last_core: u32,
    /// Since when it has its processor.
    since: u64,
    /// When it last left one; when it was made, before that.
    left: u64,
    /// How long it had been without one, while its first piece of work begins.
    away: u64,
    /// Tells a wait from an older one.
    wait: u32,
}

/// The threads and their processors.
#[derive(Debug)]
pub(crate) struct Scheduler {
    slots: Vec<Slot>,
    processors: Processors,
    time_slice: u64,
    /// The processor whose thread is just leaving, [`NONE`] while none is: what wakes a thread then wakes it there.
    waker: u32,
    /// What the thread that is just leaving still has to do before its processor is free.
    tail: u64,
}

impl Scheduler {
    pub(crate) fn new(cores: u16, time_slice: u64) -> Scheduler {
        let processors = Processors::new(cores);
        Scheduler { slots: Vec::new(), processors, time_slice, waker: NONE, tail: 0 }
    }

    /// A new thread, which waits: its number.
    pub(crate) fn add(&mut self, now: u64) -> u32 {
        let number = self.count();
        assert!(number < NONE, "there are fewer than 2^32 threads");
        self.slots.push(Slot {
            state: State::Blocked,
            stopped: false,
            last_core: NONE,
            since: 0,
            left: now,
            away: 0,
            wait: 0,
        });
        number
    }

    /// How many threads there have been.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(NONE)
    }

    /// Makes a blocked thread want a processor; nothing for any other. What comes back is to begin at once.
    ///
    /// Whoever wakes a thread to hand something on makes room for it at once, if it is `handed_on`.
    #[inline]
    pub(crate) fn wake(&mut self, thread: u32, handed_on: bool, now: u64) -> Option<Begin> {
        let slot = &mut self.slots[thread as usize];
        if slot.state != State::Blocked {
            return None;
        }
        slot.wait = slot.wait.wrapping_add(1);
        if slot.stopped {
            slot.state = State::Stopped;
            return None;
        }
        slot.state = State::Ready;
        let waker = if handed_on { self.waker } else { NONE };
        self.processors.want(thread, slot.last_core, waker, now)
    }

    /// True when waking this thread would do something.
    #[inline]
    pub(crate) fn is_blocked(&self, thread: u32) -> bool {
        self.slots[thread as usize].state == State::Blocked
    }

    #[inline]
    pub(crate) fn is_dead(&self, thread: u32) -> bool {
        self.slots[thread as usize].state == State::Dead
    }

    #[inline]
    pub(crate) fn is_stopped(&self, thread: u32) -> bool {
        self.slots[thread as usize].stopped
    }

    /// Tells the wait that begins now from others.
    #[inline]
    pub(crate) fn wait(&self, thread: u32) -> u32 {
        self.slots[thread as usize].wait
    }

    /// The wait that is under way ends only by [`Scheduler::wake`], at no time.
    pub(crate) fn forget_wait(&mut self, thread: u32) {
        let slot = &mut self.slots[thread as usize];
        slot.wait = slot.wait.wrapping_add(1);
    }

    /// It never runs again.
    pub(crate) fn kill(&mut self, thread: u32) {
        self.slots[thread as usize].state = State::Dead;
    }

    /// It runs no more after its piece of work, until it goes on.
    pub(crate) fn stop(&mut self, thread: u32) {
        self.slots[thread as usize].stopped = true;
    }

    /// It is stopped no longer.
    pub(crate) fn release(&mut self, thread: u32) {
        self.slots[thread as usize].stopped = false;
    }

    /// What has been stopped while it wanted a processor waits again, to be woken: true if that was so.
    pub(crate) fn resume(&mut self, thread: u32) -> bool {
        let state = &mut self.slots[thread as usize].state;
        let stopped = *state == State::Stopped;
        if stopped {
            *state = State::Blocked;
        }
        stopped
    }

    /// A thread has its processor from `from` on. Returns how long it has been without one.
    #[inline]
    pub(crate) fn starts(&mut self, thread: u32, begin: &Begin, from: u64) -> u64 {
        let slot = &mut self.slots[thread as usize];
        slot.state = State::Running;
        slot.last_core = begin.core;
        slot.since = from;
        slot.away = begin.from.saturating_sub(slot.left);
        slot.away
    }

    /// Its first piece of work has begun.
    #[inline]
    pub(crate) fn has_begun(&mut self, thread: u32) {
        self.slots[thread as usize].away = 0;
    }

    /// How long it had been without a processor, while its first piece of work begins.
    #[inline]
    pub(crate) fn away(&self, thread: u32) -> u64 {
        self.slots[thread as usize].away
    }

    /// The thread whose piece of work on this processor ends, unless it was killed meanwhile. Whom it wakes, it wakes
    /// from there, until [`Scheduler::left`].
    #[inline]
    pub(crate) fn leaves(&mut self, core: u32) -> Option<u32> {
        let thread = self.processors.running(core);
        if self.slots[thread as usize].state != State::Running {
            return None;
        }
        (self.tail, self.waker) = (0, core);
        Some(thread)
    }

    /// The piece of work has ended. Returns when its processor is free.
    #[inline]
    pub(crate) fn left(&mut self, now: u64) -> u64 {
        self.waker = NONE;
        now + self.tail
    }

    /// The thread that is leaving does as much more before its processor is free.
    #[inline]
    pub(crate) fn prolong(&mut self, tail: u64) {
        self.tail += tail;
    }

    /// The thread that is leaving does this before its processor is free, and nothing that was said before.
    #[inline]
    pub(crate) fn finish_with(&mut self, tail: u64) {
        self.tail = tail;
    }

    /// True when a thread has run for its slice and others wait.
    #[inline]
    pub(crate) fn turn_over(&self, thread: u32, now: u64) -> bool {
        let Slot { since, last_core, .. } = self.slots[thread as usize];
        self.processors.contended(last_core) && now.saturating_sub(since) >= self.time_slice
    }

    /// A thread gives its processor up, which stays busy until it is `free`.
    #[inline]
    pub(crate) fn put_down(&mut self, thread: u32, core: u32, next: Next, free: u64) {
        self.processors.stay_busy(core, free);
        let slot = &mut self.slots[thread as usize];
        slot.left = free;
        if next == Next::Continue && slot.stopped {
            slot.state = State::Stopped;
        } else if next == Next::Continue {
            slot.state = State::Ready;
            self.processors.requeue(thread, core);
        } else if slot.state == State::Running {
            slot.state = State::Blocked;
        }
    }

    /// Of what waits for this processor, the next thread for which another one is idle.
    pub(crate) fn give_away(&mut self, core: u32, now: u64) -> Option<(u32, Begin)> {
        while let Some(thread) = self.processors.give_away(core) {
            let slot = &mut self.slots[thread as usize];
            if slot.state == State::Ready && slot.stopped {
                slot.state = State::Stopped;
            } else if slot.state == State::Ready
                && let Some(begin) = self.processors.want(thread, NONE, NONE, now)
            {
                return Some((thread, begin));
            }
        }
        None
    }

    /// True when something waits for this processor.
    #[inline]
    pub(crate) fn contended(&self, core: u32) -> bool {
        self.processors.contended(core)
    }

    /// Who is next on a processor that its thread has given up.
    #[inline]
    pub(crate) fn next_on(&mut self, core: u32, now: u64) -> Option<(u32, Begin)> {
        while let Some((thread, begin)) = self.processors.yield_core(core, now) {
            let slot = &mut self.slots[thread as usize];
            if slot.state == State::Ready && slot.stopped {
                slot.state = State::Stopped;
            } else if slot.state == State::Ready {
                return Some((thread, begin));
            }
        }
        None
    }
}
