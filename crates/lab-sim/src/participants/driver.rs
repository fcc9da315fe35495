//! The driver: as many threads as the workload asks for, each with its schedule.

use lab_model::{Actor, PhaseKind, Span};
use lab_workload::{PhaseLimits, Planned, Schedule};

use crate::{
    Sink,
    hardware::slab::Key,
    machine::{Machine, Next, State, Step},
};

/// The driver process.
#[derive(Debug)]
pub(crate) struct Driver {
    pub(crate) actor: Actor,
    pub(crate) pid: u32,
    pub(crate) workers: Vec<DriverWorker>,
    /// Threads that have operations left in this phase.
    pub(crate) active: usize,
    processes: u32,
}

impl Default for Driver {
    fn default() -> Driver {
        Driver { actor: Actor::UNKNOWN, pid: 0, workers: Vec::new(), active: 0, processes: 0 }
    }
}

/// The process IDs of the programs that the driver runs begin behind this one.
const PROCESS_FIRST: u32 = 1_000_000;

impl Driver {
    /// The ID of a new process.
    pub(crate) fn new_process(&mut self) -> u32 {
        self.processes = self.processes.wrapping_add(1);
        PROCESS_FIRST.wrapping_add(self.processes)
    }
}

/// A thread of the driver.
#[derive(Debug)]
pub(crate) struct DriverWorker {
    pub(crate) thread: u32,
    pub(crate) schedule: Option<Schedule>,
    /// What it is about to do or does.
    pub(crate) planned: Option<Planned>,
}

impl<S: Sink> Machine<'_, S> {
    /// The workload begins for a phase.
    pub(crate) fn drive(&mut self, phase: PhaseKind, span: Span) {
        let operations_max = match phase {
            PhaseKind::Baseline => Some(self.lab.safety.baseline_operations_max),
            PhaseKind::Control | PhaseKind::External | PhaseKind::Storm | PhaseKind::Drain => None,
        };
        let limits = PhaseLimits { phase, span, operations_max };
        let schedules = lab_workload::schedules(&self.lab.workload, self.seed, &limits);
        self.driver.active = self.driver.workers.len();
        let mut threads = Vec::with_capacity(self.driver.workers.len());
        for (worker, schedule) in self.driver.workers.iter_mut().zip(schedules) {
            worker.schedule = Some(schedule);
            threads.push(worker.thread);
        }
        for thread in threads {
            if self.driver_next(thread) == Next::Continue {
                self.wake(thread);
            }
        }
    }

    /// What a driver thread does next: its next operation, now or at its planned time, or nothing more.
    pub(crate) fn driver_next(&mut self, thread: u32) -> Next {
        let number = usize::from(self.threads[thread as usize].number);
        let (began, ends) = (self.script.phase_began, self.script.drive_ends);
        let worker = &mut self.driver.workers[number];
        let planned = worker.schedule.as_mut().filter(|_| self.now < ends).and_then(Iterator::next);
        worker.planned = planned;
        let Some(planned) = planned else {
            if worker.schedule.take().is_some() {
                self.driver_done();
            }
            return Next::Block;
        };
        self.threads[thread as usize].step = Step::Begin;
        let at = planned.offset.map_or(self.now, |offset| began.saturating_add(offset));
        if at > self.now {
            self.sleep(thread, at);
            return Next::Block;
        }
        self.script.late(self.now, self.now - at);
        Next::Continue
    }

    /// Every client has died and none comes back, so the workload alone shows nothing more: it ends with what is
    /// under way.
    pub(crate) fn halt(&mut self) {
        self.script.drive_ends = self.now;
        for number in 0..self.driver.workers.len() {
            let thread = self.driver.workers[number].thread;
            let state = &mut self.threads[thread as usize];
            let sleeps = state.state == State::Blocked && state.operation == Key::NONE;
            if sleeps && self.driver.workers[number].schedule.take().is_some() {
                state.wait = state.wait.wrapping_add(1);
                self.driver_done();
            }
        }
    }

    fn driver_done(&mut self) {
        self.driver.active -= 1;
        if self.driver.active == 0 {
            self.workload_done();
        }
    }
}
