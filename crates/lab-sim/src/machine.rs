//! The simulated machine: its tables, its clock, and the loop that lets one thing happen after another.
//!
//! A thread runs in pieces of work. When a piece begins ([`Machine::enter`]) its length is known; what it does
//! to others it does when it ends ([`Machine::leave`]). Nothing here decides what a client does: that is
//! [`lab_client_core::ClientCore`]'s.

use lab_client_core::Action;
use lab_model::{Lab, Ticks};

use crate::{
    Costs, EsCache, Files, Kernel, Options, Sink,
    hardware::{
        agenda::{Agenda, SimEvent},
        processors::{Begin, Processors},
        random::Random,
        slab::{Key, Slab},
    },
    kernel::operation::Operation,
    participants::{
        channels::DaemonLife,
        client::Client,
        driver::Driver,
        trees::Trees,
        worker_processes::{Request, WorkerProcess},
    },
    records::tally::Tally,
    scenario::{faults::Faults, script::Script},
};

/// The first instant: not 0, because a time of 0 means *none* in a trace.
pub(crate) const EPOCH: u64 = 1_000_000_000;

/// The number of nobody among clients and threads.
pub(crate) const NONE: u32 = u32::MAX;

/// What a thread does next when it has a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A reader takes what its kernel queue holds.
    Receive,
    /// An observer takes in what it is told.
    Hear,
    /// A housekeeper answers what the budget says.
    FallBack,
    /// A worker takes its decision up.
    TakeUp,
    /// A worker's wait is over.
    Waited,
    /// A worker keeps its processor busy.
    Work,
    /// An opener begins an operation.
    Begin,
    /// An opener goes on after an answer.
    Resume,
    /// A worker reads the file it opened.
    Content,
    /// A worker answers.
    Answer,
    /// A worker asks somebody outside.
    Ask,
    /// A worker hears of the reply.
    Replied,
    /// A worker process takes a request up.
    Fetch,
    /// A worker process replies.
    Reply,
    /// A process of a tree starts its next child.
    Grow,
    /// It has nothing more to do.
    Wither,
    /// A thread of a planned load keeps its processor busy.
    Burn,
}

/// Where a thread is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
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

/// A thread of a lab process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    /// Its client, or [`NONE`] for the driver and worker processes.
    pub(crate) client: u32,
    /// Its helper or daemon, or [`NONE`].
    pub(crate) outside: u32,
    /// Its number among the workers of its process.
    pub(crate) number: u16,
    pub(crate) tid: u64,
    pub(crate) step: Step,
    pub(crate) state: State,
    /// Its process is stopped.
    pub(crate) stopped: bool,
    pub(crate) last_core: u32,
    /// Since when it has its processor.
    pub(crate) since: u64,
    /// When it last left one; when it was made, before that.
    pub(crate) left: u64,
    /// How long it had been without one, while its first piece of work begins.
    pub(crate) away: u64,
    /// A worker's last reading of the clock before its answer.
    pub(crate) since_answer: u64,
    /// Tells a wait from an older one.
    pub(crate) wait: u32,
    /// The operation it makes.
    pub(crate) operation: Key,
    /// A worker's decision, and the one it takes up after it.
    pub(crate) decision: Key,
    pub(crate) next_decision: Key,
    /// The request that it works on, or waits for.
    pub(crate) request: Key,
}

/// What a thread does at the end of a piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Another piece of work.
    Continue,
    /// It waits.
    Block,
}

pub(crate) struct Machine<'a, S> {
    pub(crate) lab: &'a Lab,
    pub(crate) kernel: Kernel,
    pub(crate) seed: u64,
    pub(crate) decisions_max: u64,
    pub(crate) es_cache: EsCache,
    pub(crate) costs: Costs,
    pub(crate) sink: &'a mut S,
    pub(crate) now: u64,
    /// The latest time in any record: a piece of work is recorded when it begins, with the times it will have.
    stamped: u64,
    pub(crate) agenda: Agenda,
    processors: Processors,
    /// The processor whose thread is just leaving, [`NONE`] while none is: what wakes a thread then wakes it there.
    waker: u32,
    pub(crate) threads: Vec<Thread>,
    pub(crate) operations: Slab<Operation>,
    pub(crate) clients: Vec<Client>,
    /// Helpers and daemons.
    pub(crate) worker_processes: Vec<WorkerProcess>,
    /// The daemons, each through all of its processes.
    pub(crate) daemons: Vec<DaemonLife>,
    /// Requests to them.
    pub(crate) requests: Slab<Request>,
    /// The order in which fanotify asks.
    pub(crate) order: Vec<u16>,
    pub(crate) files: Files,
    noise: Random,
    pub(crate) driver: Driver,
    pub(crate) trees: Trees,
    /// Files that are open for writing.
    pub(crate) writing: Vec<u32>,
    pub(crate) script: Script,
    pub(crate) faults: Faults,
    /// The number of the next process that joins the lab.
    pub(crate) next_actor: u16,
    pub(crate) tally: Tally,
    pub(crate) actions: Vec<Action>,
    /// Decisions that are not settled, over all clients that live.
    pub(crate) pending: u64,
    /// What clients are told of and have not read, over all clients that live.
    pub(crate) unread: u64,
    /// Some client may be told of something.
    pub(crate) tells: bool,
    /// True while a deadline check is on the agenda.
    pub(crate) watching: bool,
    /// What the thread that is just leaving still has to do before its processor is free.
    pub(crate) tail: u64,
    pub(crate) over: bool,
}

impl<'a, S: Sink> Machine<'a, S> {
    pub(crate) fn new(lab: &'a Lab, options: &Options, sink: &'a mut S) -> Machine<'a, S> {
        let costs = options.costs.bounded();
        let count = u16::try_from(lab.clients.len()).unwrap_or(u16::MAX);
        let mut machine = Machine {
            lab,
            kernel: options.kernel,
            seed: options.seed,
            decisions_max: options.decisions_max,
            es_cache: options.es_cache,
            costs,
            sink,
            now: EPOCH,
            stamped: EPOCH,
            agenda: Agenda::new(costs.cores),
            processors: Processors::new(costs.cores),
            waker: NONE,
            threads: Vec::new(),
            operations: Slab::default(),
            clients: Vec::new(),
            worker_processes: Vec::new(),
            daemons: Vec::new(),
            requests: Slab::default(),
            order: Random::new(options.seed, 1).permutation(count),
            files: Files::new(&lab.workload),
            noise: Random::new(options.seed, 2),
            driver: Driver::default(),
            trees: Trees::default(),
            writing: Vec::new(),
            script: Script::new(lab),
            faults: Faults::of(lab),
            next_actor: 0,
            tally: Tally::new(lab.clients.len()),
            actions: Vec::new(),
            pending: 0,
            unread: 0,
            tells: lab.clients.iter().any(|client| lab.notifies(client)),
            watching: false,
            tail: 0,
            over: false,
        };
        machine.populate();
        machine
    }

    /// A time as a record has it.
    pub(crate) fn stamp(&mut self, at: u64) -> Ticks {
        self.stamped = self.stamped.max(at);
        Ticks(at)
    }

    /// Lets the pieces of work that are recorded be over: no process ends before what it has recorded.
    pub(crate) fn reach_what_is_recorded(&mut self) {
        self.now = self.now.max(self.stamped);
    }

    /// Lets everything happen, in order, until the run is over.
    pub(crate) fn run(&mut self) {
        self.begin_script();
        while !self.over {
            let Some((at, what)) = self.agenda.next() else { break };
            debug_assert!(at >= self.now, "time does not run backwards");
            self.now = at;
            match what {
                SimEvent::WorkDone { core } => self.work_done(core),
                SimEvent::WaitOver { thread, wait } => {
                    if self.threads[thread as usize].wait == wait {
                        self.wake(thread);
                    }
                }
                SimEvent::BudgetSpent { client } => self.budget_spent(client),
                SimEvent::DeadlineCheck => self.check_deadlines(),
                SimEvent::Released { client } => self.release_waiting(client),
                SimEvent::FaultBegins { place } => self.fault_begins(place as usize),
                SimEvent::FaultEnds { place } => self.fault_ends(place as usize),
                SimEvent::StartAgain { client } => self.start_again(client as usize),
                SimEvent::BackAgain { client, process } => self.back_again(client as usize, process),
                SimEvent::KnownAgain { client, process } => self.known_again(client as usize, process),
                SimEvent::DaemonAgain { daemon } => self.daemon_again(daemon as usize),
                SimEvent::DaemonListens { worker_process } => self.daemon_listens(worker_process),
                SimEvent::DaemonServes { worker_process } => self.daemon_serves(worker_process),
                SimEvent::Regain { client, by, asked } => self.regain(client, by, asked),
                SimEvent::Script { step } => self.script_step(step),
                SimEvent::Quiet { calm } => self.calm_over(calm),
                SimEvent::RunTooLong => self.run_too_long(),
            }
            if self.script.draining() {
                self.watch_for_calm();
            }
            if self.tally.decisions >= self.decisions_max {
                self.cut();
            }
        }
    }

    /// Draws the cost of a piece of work around what it costs on average.
    pub(crate) fn cost(&mut self, average: u64) -> u64 {
        let spread = u64::from(self.costs.jitter_percent);
        if spread == 0 {
            return average;
        }
        // Parts of 1024, so that no division is needed.
        let spread = spread * 1024 / 100;
        let draw = (u128::from(self.noise.word()) * u128::from(2 * spread + 1)) >> 64;
        let share = 1024 - spread + u64::try_from(draw).unwrap_or(0);
        average * share / 1024
    }

    pub(crate) fn add_thread(&mut self, client: u32, number: u16, step: Step, tid: u64) -> u32 {
        let place = u32::try_from(self.threads.len()).unwrap_or(NONE);
        assert!(place < NONE, "there are fewer than 2^32 threads");
        self.threads.push(Thread {
            client,
            outside: NONE,
            number,
            tid,
            step,
            state: State::Blocked,
            stopped: false,
            last_core: NONE,
            since: 0,
            left: self.now,
            away: 0,
            since_answer: 0,
            wait: 0,
            operation: Key::NONE,
            decision: Key::NONE,
            next_decision: Key::NONE,
            request: Key::NONE,
        });
        place
    }

    /// Makes a blocked thread want a processor; nothing for any other.
    pub(crate) fn wake(&mut self, thread: u32) {
        let state = &mut self.threads[thread as usize];
        if state.state != State::Blocked {
            return;
        }
        state.wait = state.wait.wrapping_add(1);
        if state.stopped {
            state.state = State::Stopped;
            return;
        }
        state.state = State::Ready;
        // A worker has more to do than to hand something on: nobody makes room for it at once.
        let waker = if state.step == Step::TakeUp { NONE } else { self.waker };
        if let Some(begin) = self.processors.want(thread, state.last_core, waker, self.now) {
            self.dispatch(thread, begin);
        }
    }

    /// True when waking this thread would do something.
    pub(crate) fn is_blocked(&self, thread: u32) -> bool {
        self.threads[thread as usize].state == State::Blocked
    }

    /// Lets a thread sleep for `span`; it must block now.
    pub(crate) fn sleep(&mut self, thread: u32, until: u64) {
        let wait = self.threads[thread as usize].wait;
        self.agenda.enter(until, SimEvent::WaitOver { thread, wait });
    }

    fn dispatch(&mut self, thread: u32, begin: Begin) {
        let idle = if begin.was_idle { self.costs.idle_exit } else { 0 };
        let sleep = if begin.slept { self.costs.sleep_exit } else { 0 };
        let switch = if begin.switches { self.costs.context_switch } else { 0 };
        let tail = if begin.was_idle && self.costs.idle_tail > 0 {
            self.noise.exponential(self.costs.idle_tail)
        } else {
            0
        };
        let from = begin.from + self.cost(idle + sleep + switch) + tail;
        let state = &mut self.threads[thread as usize];
        state.state = State::Running;
        state.last_core = begin.core;
        state.since = from;
        state.away = begin.from.saturating_sub(state.left);
        let (away, begins) = (state.away, state.step == Step::Begin);
        // What it needs is no longer near; it finds that out while it works.
        let cold = self.costs.cold_after(away);
        let cold = if cold > 0 { self.cost(cold) } else { 0 };
        // An operation begins with its call, a reader or worker with what it is woken for.
        let (before, after) = if begins { (0, cold) } else { (cold, 0) };
        let end = self.enter(thread, from + before) + after;
        self.threads[thread as usize].away = 0;
        self.agenda.work(end, begin.core);
    }

    fn work_done(&mut self, core: u32) {
        let thread = self.processors.running(core);
        if self.threads[thread as usize].state == State::Running {
            self.tail = 0;
            self.waker = core;
            let next = self.leave(thread);
            self.waker = NONE;
            let free = self.now + self.tail;
            let stopped = self.threads[thread as usize].stopped;
            if next == Next::Continue && !stopped && !(self.turn_over(thread) && self.gives_way(core)) {
                let end = self.enter(thread, free);
                self.agenda.work(end, core);
                return;
            }
            self.processors.stay_busy(core, free);
            self.threads[thread as usize].left = free;
            if next == Next::Continue && stopped {
                self.threads[thread as usize].state = State::Stopped;
            } else if next == Next::Continue {
                self.threads[thread as usize].state = State::Ready;
                self.processors.requeue(thread, core);
            } else if self.threads[thread as usize].state == State::Running {
                self.threads[thread as usize].state = State::Blocked;
            }
        }
        self.next_on(core);
    }

    /// True when a thread has run for its slice and others wait.
    fn turn_over(&self, thread: u32) -> bool {
        let Thread { since, last_core, .. } = self.threads[thread as usize];
        self.processors.contended(last_core) && self.now.saturating_sub(since) >= self.costs.time_slice
    }

    /// What waits for a processor goes to the idle ones; true when something still waits.
    fn gives_way(&mut self, core: u32) -> bool {
        while let Some(thread) = self.processors.give_away(core) {
            let state = &mut self.threads[thread as usize];
            if state.state == State::Ready && state.stopped {
                state.state = State::Stopped;
            } else if state.state == State::Ready
                && let Some(begin) = self.processors.want(thread, NONE, NONE, self.now)
            {
                self.dispatch(thread, begin);
            }
        }
        self.processors.contended(core)
    }

    fn next_on(&mut self, core: u32) {
        while let Some((thread, begin)) = self.processors.yield_core(core, self.now) {
            let state = &mut self.threads[thread as usize];
            if state.state == State::Ready && state.stopped {
                state.state = State::Stopped;
            } else if state.state == State::Ready {
                self.dispatch(thread, begin);
                return;
            }
        }
    }

    /// A piece of work begins at `start`: says when it ends.
    fn enter(&mut self, thread: u32, start: u64) -> u64 {
        match self.threads[thread as usize].step {
            Step::Receive => self.enter_receive(thread, start),
            Step::Hear => self.enter_hear(thread, start),
            Step::FallBack => self.enter_fall_back(thread, start),
            Step::TakeUp => self.enter_take_up(thread, start),
            Step::Waited => start + self.cost(self.costs.decide),
            Step::Work if self.threads[thread as usize].outside != NONE => {
                self.enter_errand_work(thread, start)
            }
            Step::Work => self.enter_work(thread, start),
            Step::Begin => self.enter_begin(thread, start),
            Step::Resume => self.enter_resume(thread, start),
            Step::Content => self.enter_content(thread, start),
            Step::Answer => self.enter_answer(thread, start),
            Step::Ask => self.enter_ask(start),
            Step::Replied => start + self.cost(self.costs.hand_over),
            Step::Fetch => self.enter_fetch(start),
            Step::Reply => self.enter_reply(start),
            Step::Grow => start + self.cost(self.costs.wake_up),
            Step::Wither => start + self.cost(self.costs.exec_exit),
            Step::Burn => start + self.cost(self.costs.time_slice.max(1)),
        }
    }

    /// A piece of work has ended: does what it does to others, and says what the thread does next.
    fn leave(&mut self, thread: u32) -> Next {
        match self.threads[thread as usize].step {
            Step::Receive => self.leave_receive(thread),
            Step::Hear => self.leave_hear(thread),
            Step::FallBack => self.leave_fall_back(thread),
            Step::TakeUp => self.leave_take_up(thread),
            Step::Waited => self.work_finished(thread),
            Step::Work if self.threads[thread as usize].outside != NONE => self.leave_errand_work(thread),
            Step::Work => self.leave_work(thread),
            Step::Begin | Step::Resume => self.leave_open(thread),
            Step::Content => self.leave_content(thread),
            Step::Answer => self.leave_answer(thread),
            Step::Ask => self.leave_ask(thread),
            Step::Replied => self.leave_replied(thread),
            Step::Fetch => self.leave_fetch(thread),
            Step::Reply => self.leave_reply(thread),
            Step::Grow => self.leave_grow(thread),
            Step::Wither => self.leave_wither(thread),
            Step::Burn => Next::Continue,
        }
    }
}
