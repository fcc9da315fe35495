//! The processors: who runs where, who waits for one, and what going over to another thread costs.

use std::collections::VecDeque;

const NOBODY: u32 = u32::MAX;

/// A processor that was idle for as long as this sleeps, in nanoseconds. Assumed: longer than two threads on two
/// processors take turns (35 µs measured), shorter than a housekeeper naps.
const SLEEPS_AFTER: u64 = 100_000;

/// The simulated processors, each with a run queue of its own, first come first served.
///
/// A thread that wakes takes an idle processor, its last one if it can. But one that has been idle for long is left
/// asleep when the waker is alone on its own processor: it will make room at once, and two threads that only wait
/// for each other stay together, or, where both processors were awake, apart. If none is idle a thread waits for
/// its last one, even when another becomes idle meanwhile: Linux does not move threads over for as short a time
/// as these wait. Only a processor behind which
/// several threads wait, or one for a whole slice, gives some away.
#[derive(Debug)]
pub(crate) struct Processors {
    cores: Vec<Core>,
    /// One bit a processor that has nothing to do.
    idle: u64,
    queues: Vec<VecDeque<u32>>,
}

#[derive(Clone, Copy, Debug)]
struct Core {
    /// Who runs, or ran last.
    thread: u32,
    /// The last thread's unfinished business keeps it until then.
    busy_until: u64,
}

/// What it takes to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begin {
    pub(crate) core: u32,
    /// When the processor turns to the thread.
    pub(crate) from: u64,
    /// It ran another thread last.
    pub(crate) switches: bool,
    /// It had nothing to do.
    pub(crate) was_idle: bool,
    /// It had had nothing to do for so long that it slept.
    pub(crate) slept: bool,
}

impl Processors {
    pub(crate) fn new(cores: u16) -> Processors {
        let cores = cores.clamp(1, 64);
        let idle = if cores == 64 { u64::MAX } else { (1 << cores) - 1 };
        let core = Core { thread: NOBODY, busy_until: 0 };
        Processors {
            cores: vec![core; usize::from(cores)],
            idle,
            queues: vec![VecDeque::new(); usize::from(cores)],
        }
    }

    /// A thread wants to run: gives it an idle processor, or queues it. `waker` is the processor of who woke it.
    pub(crate) fn want(&mut self, thread: u32, last: u32, waker: u32, now: u64) -> Option<Begin> {
        let known = (last as usize) < self.cores.len();
        let preferred = known && self.idle & (1 << last) != 0;
        let found = if preferred { Some(last) } else { (self.idle != 0).then(|| self.idle.trailing_zeros()) };
        let makes_room = waker != NOBODY && self.queues[waker as usize].is_empty();
        let Some(core) = found.filter(|&core| !(makes_room && self.sleeps(core, now))) else {
            let core = if found.is_some() {
                waker
            } else if known {
                last
            } else {
                0
            };
            self.queues[core as usize].push_back(thread);
            return None;
        };
        self.idle &= !(1 << core);
        Some(self.begin(core, thread, now, true))
    }

    /// Nobody has run there for long.
    fn sleeps(&self, core: u32, now: u64) -> bool {
        self.cores[core as usize].busy_until + SLEEPS_AFTER <= now
    }

    fn begin(&mut self, core: u32, thread: u32, now: u64, was_idle: bool) -> Begin {
        let state = &mut self.cores[core as usize];
        let switches = state.thread != thread;
        state.thread = thread;
        // A processor whose last thread is still finishing has not gone idle yet.
        let was_idle = was_idle && state.busy_until <= now;
        let slept = was_idle && state.busy_until + SLEEPS_AFTER <= now;
        Begin { core, from: state.busy_until.max(now), switches, was_idle, slept }
    }

    /// Who runs there.
    pub(crate) fn running(&self, core: u32) -> u32 {
        self.cores[core as usize].thread
    }

    /// The last thread there stays busy until `until`.
    pub(crate) fn stay_busy(&mut self, core: u32, until: u64) {
        self.cores[core as usize].busy_until = until;
    }

    /// True when somebody waits for this processor.
    pub(crate) fn contended(&self, core: u32) -> bool {
        !self.queues[core as usize].is_empty()
    }

    /// Puts a thread at the end of a processor's queue.
    pub(crate) fn requeue(&mut self, thread: u32, core: u32) {
        self.queues[core as usize].push_back(thread);
    }

    /// A thread has had `core` for its slice while others wait there: the first of them, if a processor is idle.
    pub(crate) fn give_away(&mut self, core: u32) -> Option<u32> {
        if self.idle == 0 { None } else { self.queues[core as usize].pop_front() }
    }

    /// The thread on `core` waits or is gone: who is next there, if anybody.
    pub(crate) fn yield_core(&mut self, core: u32, now: u64) -> Option<(u32, Begin)> {
        let own = self.queues[core as usize].pop_front();
        let other = self.queues.iter().position(|queue| queue.len() >= 2);
        let Some(thread) = own.or_else(|| self.queues[other?].pop_front()) else {
            self.idle |= 1 << core;
            let state = &mut self.cores[core as usize];
            state.busy_until = state.busy_until.max(now);
            return None;
        };
        Some((thread, self.begin(core, thread, now, false)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_processor_is_taken_and_the_last_one_preferred() {
        let mut processors = Processors::new(3);
        let begin = processors.want(7, 1, NOBODY, 10).unwrap();
        assert_eq!(begin, Begin { core: 1, from: 10, switches: true, was_idle: true, slept: false });
        assert_eq!(processors.want(8, 1, NOBODY, 10).map(|begin| begin.core), Some(0), "1 is taken");
        assert_eq!(processors.want(9, u32::MAX, NOBODY, 10).map(|begin| begin.core), Some(2));
        assert_eq!(processors.want(10, 1, NOBODY, 10), None, "none is idle: it waits for its last one");
        assert!(processors.contended(1) && !processors.contended(0));
        let next = processors.yield_core(1, 20);
        assert_eq!(
            next,
            Some((10, Begin { core: 1, from: 20, switches: true, was_idle: false, slept: false }))
        );
        assert_eq!(processors.yield_core(1, 30), None);
        let again = processors.want(10, 1, NOBODY, 40).unwrap();
        assert!(!again.switches && again.was_idle, "the same thread comes back to an idle processor");
        assert!(!again.slept, "that has not been idle for long");
    }

    #[test]
    fn a_sleeping_processor_is_left_alone_by_a_waker_who_makes_room() {
        let mut processors = Processors::new(2);
        let at = |microseconds: u64| SLEEPS_AFTER + microseconds * 1_000;
        processors.want(1, NOBODY, NOBODY, at(0)).unwrap();
        assert_eq!(processors.want(2, NOBODY, 0, at(1)), None, "nothing has run on 1: it sleeps");
        assert_eq!(
            processors.want(3, NOBODY, 0, at(1)).map(|begin| begin.core),
            Some(1),
            "one waits already"
        );
        let next = processors.yield_core(0, at(5)).map(|(thread, begin)| (thread, begin.core));
        assert_eq!(next, Some((2, 0)));
        assert_eq!(processors.yield_core(1, at(5)), None);
        let soon = processors.want(3, 1, 0, at(5) + SLEEPS_AFTER - 1);
        assert_eq!(soon.map(|begin| begin.core), Some(1), "it is still awake");
        assert_eq!(processors.yield_core(1, at(200)), None);
        assert_eq!(processors.want(3, 1, 0, at(200) + SLEEPS_AFTER), None, "it sleeps again");
        assert_eq!(processors.yield_core(0, at(400)).map(|(thread, _)| thread), Some(3));
        assert_eq!(
            processors.want(1, 0, NOBODY, at(900)).map(|begin| begin.core),
            Some(1),
            "a timer wakes it"
        );
        assert_eq!(processors.yield_core(1, at(901)), None);
        assert!(processors.want(1, 1, NOBODY, at(901) + SLEEPS_AFTER).unwrap().slept);
    }

    #[test]
    fn only_a_long_queue_is_shared() {
        let mut processors = Processors::new(2);
        for thread in [1, 2] {
            processors.want(thread, NOBODY, NOBODY, 0).unwrap();
        }
        for thread in [3, 4] {
            assert_eq!(processors.want(thread, 1, NOBODY, 0), None);
        }
        assert_eq!(
            processors.yield_core(0, 5).map(|(thread, _)| thread),
            Some(3),
            "two waited for the other"
        );
        assert_eq!(processors.yield_core(0, 9), None, "one alone stays where it is");
        assert_eq!(processors.yield_core(1, 9).map(|(thread, _)| thread), Some(4));
    }

    #[test]
    fn unfinished_business_delays_the_next_thread() {
        let mut processors = Processors::new(1);
        processors.want(1, 0, NOBODY, 5).unwrap();
        processors.stay_busy(0, 100);
        assert_eq!(processors.yield_core(0, 60), None);
        let begin = processors.want(2, 0, NOBODY, 70).unwrap();
        assert_eq!((begin.from, begin.was_idle), (100, false));
    }
}
