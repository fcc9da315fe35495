//! The queue of requests, and how one is carried out.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use lab_client_core::{OperationPlan, Outcome, PlannedTarget, Step, Task};
use lab_model::{Cause, Errand, Service, Ticks};
use lab_process::{Arena, Beneath, Gate, Operator, Paths, burn, clock};
use lab_protocol::{Carried, Request};
use lab_trace::{Counter, TraceWriter};

use crate::channels::Asker;

/// The `errno` of an operation for which the arena has no file.
const ENOENT: u32 = 2;

/// A request, and whom its reply goes to.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request: Request,
    /// When it had been read.
    pub(crate) read: Ticks,
    pub(crate) asker: Arc<Asker>,
}

/// What the threads of a worker share. Its queue is at most as long as there are channels, for each brings
/// one request at a time.
#[derive(Debug)]
pub(crate) struct Errands {
    trace: TraceWriter,
    gate: Arc<Gate>,
    paths: Arc<Paths>,
    arena: Arena,
    beneath: Arc<Beneath>,
    waiting: Mutex<Waiting>,
    wake: Condvar,
}

#[derive(Debug)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// They are carried out; before that they only wait.
    open: bool,
    /// What is done for a request that begins now, and for how many at once.
    service: Service,
    /// Those under way.
    running: u16,
}

impl Errands {
    pub(crate) fn new(trace: TraceWriter, arena: Arena, beneath: Beneath, service: Service) -> Errands {
        let waiting = Waiting { jobs: VecDeque::new(), open: false, service, running: 0 };
        trace.board().set(Counter::Workers, u64::from(service.workers));
        Errands {
            trace,
            gate: Arc::new(Gate::new(usize::from(service.workers))),
            paths: Arc::default(),
            arena,
            beneath: Arc::new(beneath),
            waiting: Mutex::new(waiting),
            wake: Condvar::new(),
        }
    }

    pub(crate) fn trace(&self) -> &TraceWriter {
        &self.trace
    }

    /// Takes a request in.
    pub(crate) fn add(&self, job: Job) {
        self.trace.board().add(Counter::ErrandsBegun, 1);
        self.waiting().jobs.push_back(job);
        self.wake.notify_one();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on what is asked is carried out.
    pub(crate) fn open(&self) {
        self.waiting().open = true;
        self.wake.notify_all();
    }

    /// Serves like this from the next request on; what is under way goes on as it began. There are no more threads
    /// than there were at the start.
    pub(crate) fn serve(&self, service: Service) {
        let mut waiting = self.waiting();
        waiting.service = service;
        self.publish(&waiting);
        drop(waiting);
        self.wake.notify_all();
    }

    /// Shows how many requests can be worked on at once.
    fn publish(&self, waiting: &Waiting) {
        let workers = waiting.service.workers.max(waiting.running);
        self.trace.board().set(Counter::Workers, u64::from(workers));
    }

    /// A request is carried out, and room for another.
    pub(crate) fn over(&self) {
        self.trace.board().add(Counter::ErrandsEnded, 1);
        let mut waiting = self.waiting();
        waiting.running -= 1;
        self.publish(&waiting);
        drop(waiting);
        self.wake.notify_one();
    }

    /// The next request, and what to do for it; waits for one.
    pub(crate) fn next(&self) -> (Job, Errand) {
        let mut waiting = self.waiting();
        loop {
            let room = waiting.open && waiting.running < waiting.service.workers;
            let job = if room { waiting.jobs.pop_front() } else { None };
            match job {
                Some(job) => {
                    waiting.running += 1;
                    return (job, waiting.service.errand);
                }
                None => waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Ends recording. An operation under way neither ends nor is lost; returns the records that did not fit.
    pub(crate) fn finish(&self, at: Ticks) -> io::Result<u64> {
        self.gate.shut();
        self.trace.close(at)?;
        Ok(self.trace.lost())
    }
}

/// Carries out requests on one thread.
pub(crate) struct Runner<'a> {
    errands: &'a Errands,
    operator: Operator,
    path: Vec<u8>,
    /// How long this request has been in operations, in ticks.
    operations: u64,
}

impl Runner<'_> {
    /// The calling thread's, which is the worker of this number.
    pub(crate) fn new(errands: &Errands, number: u16) -> Runner<'_> {
        let (gate, paths) = (Arc::clone(&errands.gate), Arc::clone(&errands.paths));
        let operator = Operator::new(errands.trace.clone(), gate, paths, (usize::from(number), number));
        // The paths of requests are another process's word.
        let operator = operator.beneath(Arc::clone(&errands.beneath));
        Runner { errands, operator, path: Vec::with_capacity(4096), operations: 0 }
    }

    /// Carries a request out; its error is 0, or the `errno` when something could not be opened.
    pub(crate) fn carry_out(&mut self, job: &Job, errand: &Errand) -> Carried {
        let (begun, request) = (clock::now(), &job.request);
        self.operations = 0;
        let error = self.run(Task::errand(errand, request.draw), job);
        let (record, operations) = (request.record, self.operations);
        Carried { record, error, read: job.read, begun, ended: clock::now(), operations }
    }

    fn run(&mut self, mut task: Task, job: &Job) -> u32 {
        let (mut last, mut error) = (Outcome::Begin, 0);
        loop {
            match task.step(last) {
                Step::Wait(span) => thread::sleep(span.duration()),
                Step::Burn(span) => burn(span),
                Step::Operate(plan) => error = self.operate(plan, job).max(error),
                // An errand has no event: nothing of it is judged, inspected, answered or passed on.
                Step::Judge | Step::Inspect { .. } | Step::Ask(_) | Step::Answer { .. } => {}
                Step::Done => return error,
            }
            last = Outcome::Finished;
        }
    }

    /// Makes one operation; returns 0 or an `errno`.
    fn operate(&mut self, plan: OperationPlan, job: &Job) -> u32 {
        let Job { request, asker, .. } = job;
        let arena = &self.errands.arena;
        let found = match plan.target {
            PlannedTarget::Same => arena.write(&request.path, &mut self.path),
            PlannedTarget::Other(draw) => arena.other(draw, &mut self.path),
            PlannedTarget::Program(program) => arena.program(program, &mut self.path),
        };
        if !found {
            return ENOENT;
        }
        let cause = Cause::Decision { client: asker.client, record: request.record };
        let name = &self.path[..self.path.len() - 1];
        let started = clock::now();
        let error = self.operator.operate(&plan, &self.path, Some(name), cause);
        self.operations += clock::now().since(started);
        error
    }
}
