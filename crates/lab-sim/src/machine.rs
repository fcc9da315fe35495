//! The simulated machine: its parts, and how a thread gets a processor.
//!
//! A thread runs in pieces of work. When a piece begins its length is known; what it does to others it does when it ends.
//! What a piece of work is, is said elsewhere ([`Work`]): so this module knows its parts, and none of
//! those who let them work on each other. Nothing here decides what a client does: that is
//! [`lab_client_core::ClientCore`]'s.

use lab_model::Lab;

use crate::{
    hardware::{
        agenda::SimEvent,
        clock::Clock,
        pricing::Pricing,
        processors::Begin,
        scheduler::{Next, Scheduler},
    },
    kernel::virtual_kernel::VirtualKernel,
    options::Options,
    participants::{state::Participants, threads::Step},
    records::{recorder::Recorder, sink::Sink},
    scenario::{planned::Faults, script::Script},
};

/// What a thread does with its processor: the machine does it without knowing what it is.
pub(crate) trait Work {
    /// A piece of work of this thread begins at `start`: says when it ends.
    fn begin(&mut self, thread: u32, start: u64) -> u64;
    /// A piece of work has ended: does what it does to others, and says what the thread does next.
    fn end(&mut self, thread: u32) -> Next;
}

/// A lab on its way through virtual time. Each part keeps its own state; what concerns several of them is a function
/// in the folder of the part that acts.
pub(crate) struct Machine<'a, S> {
    pub(crate) lab: &'a Lab,
    pub(crate) seed: u64,
    pub(crate) clock: Clock,
    pub(crate) scheduler: Scheduler,
    pub(crate) pricing: Pricing,
    pub(crate) kernel: VirtualKernel,
    pub(crate) participants: Participants,
    pub(crate) script: Script,
    pub(crate) faults: Faults,
    pub(crate) recorder: Recorder<'a, S>,
}

impl<'a, S: Sink> Machine<'a, S> {
    /// A machine on which nobody takes part yet.
    pub(crate) fn new(lab: &'a Lab, options: &Options, sink: &'a mut S) -> Machine<'a, S> {
        let costs = options.costs.bounded();
        Machine {
            lab,
            seed: options.seed,
            clock: Clock::new(costs.cores),
            scheduler: Scheduler::new(costs.cores, costs.time_slice),
            pricing: Pricing::new(costs, options.seed),
            kernel: VirtualKernel::new(lab, options),
            participants: Participants::default(),
            script: Script::new(lab),
            faults: Faults::of(lab),
            recorder: Recorder::new(sink, lab.clients.len()),
        }
    }

    /// A new thread, which waits for its first piece of work.
    pub(crate) fn add_thread(&mut self, client: u32, number: u16, step: Step) -> u32 {
        self.participants.add_thread(client, number, step);
        self.scheduler.add(self.clock.now())
    }

    /// Makes a blocked thread want a processor; nothing for any other.
    pub(crate) fn wake(&mut self, thread: u32) {
        if !self.scheduler.is_blocked(thread) {
            return;
        }
        // A worker has more to do than to hand something on: nobody makes room for it at once.
        let handed_on = self.participants.step(thread) != Step::TakeUp;
        if let Some(begin) = self.scheduler.wake(thread, handed_on, self.clock.now()) {
            self.dispatch(thread, begin);
        }
    }

    /// Lets a thread sleep until a time; it must block now.
    pub(crate) fn sleep(&mut self, thread: u32, until: u64) {
        let wait = self.scheduler.wait(thread);
        self.clock.enter(until, SimEvent::WaitOver { thread, wait });
    }

    /// A thread's sleep is over, unless it has been woken before.
    pub(crate) fn wait_over(&mut self, thread: u32, wait: u32) {
        if self.scheduler.wait(thread) == wait {
            self.wake(thread);
        }
    }

    fn dispatch(&mut self, thread: u32, begin: Begin) {
        let from = begin.from + self.pricing.turning(&begin);
        let away = self.scheduler.starts(thread, &begin, from);
        // What it needs is no longer near; it finds that out while it works.
        let cold = self.pricing.cold_after(away);
        // An operation begins with its call, a reader or worker with what it is woken for.
        let begins = self.participants.step(thread) == Step::Begin;
        let (before, after) = if begins { (0, cold) } else { (cold, 0) };
        let end = self.begin(thread, from + before) + after;
        self.scheduler.has_begun(thread);
        self.clock.work(end, begin.core);
    }

    /// The piece of work on a processor is done.
    pub(crate) fn work_done(&mut self, core: u32) {
        if let Some(thread) = self.scheduler.leaves(core) {
            let next = self.end(thread);
            let now = self.clock.now();
            let free = self.scheduler.left(now);
            let goes_on = next == Next::Continue && !self.scheduler.is_stopped(thread);
            if goes_on && !(self.scheduler.turn_over(thread, now) && self.gives_way(core)) {
                let end = self.begin(thread, free);
                self.clock.work(end, core);
                return;
            }
            self.scheduler.put_down(thread, core, next, free);
        }
        if let Some((thread, begin)) = self.scheduler.next_on(core, self.clock.now()) {
            self.dispatch(thread, begin);
        }
    }

    /// What waits for a processor goes to the idle ones; true when something still waits.
    fn gives_way(&mut self, core: u32) -> bool {
        while let Some((thread, begin)) = self.scheduler.give_away(core, self.clock.now()) {
            self.dispatch(thread, begin);
        }
        self.scheduler.contended(core)
    }
}
