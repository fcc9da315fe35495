//! A worker: does what a task asks for, one decision at a time.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
};

use lab_client_core::{Ask, Backend, Found, Judge, OperationPlan, Outcome, PlannedTarget, Step, Task};
use lab_model::{Approval, Cause, Concurrency, EventKind, Ticks, Verdict};
use lab_process::{CONTENT_BYTES_MAX, Digest, Operator, burn, clock};
use lab_protocol::Request;
use lab_trace::{ASK_SLOTS, Counter, DecisionEnd, RecordId, RequestBegin};

use crate::{
    client::{Shared, WORKER_PLACES},
    pending::Ticket,
};

const _: () = assert!(Concurrency::MAX as usize <= ASK_SLOTS, "every worker has its slot");

/// A decision for a worker.
#[derive(Debug)]
pub(crate) struct Job<T> {
    pub(crate) token: T,
    pub(crate) record: RecordId,
    pub(crate) task: Task,
    pub(crate) event: EventKind,
    /// Judges the file, if the task asks for it.
    pub(crate) judge: Option<Judge>,
    /// The kernel is to keep the answer if the rule allows.
    pub(crate) keep: bool,
    /// Its record has its file already.
    pub(crate) resolved: bool,
    /// What the worker still owes the subject; `None` when the reader has answered.
    pub(crate) owed: Option<PendingAnswer>,
}

/// An answer that is still to be given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingAnswer {
    pub(crate) ticket: Ticket,
}

/// One worker thread's own state.
pub(crate) struct Worker<B: Backend> {
    shared: Arc<Shared<B>>,
    number: u16,
    operator: Operator,
    path: Vec<u8>,
}

impl<B: Backend> Worker<B> {
    /// The worker of this number, on the calling thread.
    pub(crate) fn new(shared: Arc<Shared<B>>, number: u16) -> Worker<B> {
        let (gate, paths) = (Arc::clone(&shared.gate), Arc::clone(&shared.paths));
        let place = WORKER_PLACES + usize::from(number);
        let operator = Operator::new(shared.trace.clone(), gate, paths, (place, number));
        Worker { shared, number, operator, path: Vec::with_capacity(4096) }
    }

    /// Works for ever; the process's end is the worker's.
    pub(crate) fn run(mut self) -> ! {
        loop {
            let board = self.shared.trace.board();
            let job = self.shared.queue.next(usize::from(self.number), |takes| match takes {
                true => board.add(Counter::Workers, 1),
                false => board.subtract(Counter::Workers, 1),
            });
            self.decide(job);
        }
    }

    fn decide(&mut self, mut job: Job<B::Token>) {
        let started = clock::now();
        let mut last = Outcome::Begin;
        loop {
            match job.task.step(last) {
                Step::Judge => {
                    last = self.judge(&job);
                    continue;
                }
                Step::Burn(span) => burn(span),
                Step::Wait(span) => thread::sleep(span.duration()),
                Step::Inspect { hash } => self.inspect(&job, Digest::wanted(hash)),
                Step::Operate(plan) => self.operate(&job, plan),
                Step::Ask(ask) => self.ask(&job, ask),
                Step::Answer { verdict, approval } => self.answer(&job, started, verdict, approval),
                Step::Done => break,
            }
            last = Outcome::Finished;
        }
        if let Some(PendingAnswer { ticket }) = job.owed {
            self.shared.pending.give_back(ticket.slot);
        }
        if job.resolved {
            return self.shared.backend.release(job.token);
        }
        self.shared.gate.enter(self.place());
        self.shared.resolve(job.token, job.record);
        self.shared.gate.leave(self.place());
    }

    /// This worker's place at the gate.
    pub(crate) fn place(&self) -> usize {
        WORKER_PLACES + usize::from(self.number)
    }

    fn answer(&self, job: &Job<B::Token>, started: Ticks, verdict: Verdict, approval: Approval) {
        let Some(PendingAnswer { ticket }) = job.owed else { return };
        if !self.shared.pending.win(ticket) {
            return;
        }
        if job.keep && verdict == Verdict::Allow && approval == Approval::Rule {
            self.shared.cache_answer(job.token, job.event);
        }
        let answered = clock::now();
        let error = self.shared.backend.answer(job.token, verdict).err().unwrap_or(0);
        let end = DecisionEnd { started: Some(started), answered, verdict, approval, error };
        self.shared.trace.end_decision(job.record, &end);
        self.shared.trace.board().settle(usize::from(ticket.slot));
        self.shared.trace.board().add(Counter::Answers, 1);
    }

    /// Finds out about the event's file, and what the rules make of it.
    fn judge(&self, job: &Job<B::Token>) -> Outcome {
        let facts = self.shared.backend.file(job.token, &|_| true);
        let (Some(judge), Some(facts)) = (&job.judge, facts) else { return Outcome::Finished };
        let path = facts.path.as_deref().map(|path| self.shared.arena.relative(path));
        Outcome::Judged(judge.verdict(&Found { path, signature: facts.signature.as_ref() }))
    }

    /// Reads the event's file through what came with the event. No operation, and so no record of its own:
    /// its time is part of the decision's.
    fn inspect(&mut self, job: &Job<B::Token>, mut digest: Digest) {
        let mut offset = 0;
        while offset < CONTENT_BYTES_MAX {
            match self.shared.backend.read_content(job.token, offset, self.operator.buffer()) {
                Ok(0) => return digest.finish(),
                Ok(bytes) => {
                    digest.add(&self.operator.buffer()[..bytes]);
                    offset += bytes as u64;
                }
                Err(error) => {
                    if !self.shared.unreadable.swap(true, Ordering::Relaxed) {
                        tracing::warn!("an event's file cannot be read without opening it: error {error}");
                    }
                    return;
                }
            }
        }
        digest.finish();
    }

    /// Makes an operation of the client's own.
    fn operate(&mut self, job: &Job<B::Token>, plan: OperationPlan) {
        let found = match plan.target {
            PlannedTarget::Same => {
                self.shared.backend.reopen_path(job.token, &mut self.path);
                true
            }
            PlannedTarget::Other(draw) => self.shared.arena.other(draw, &mut self.path),
            PlannedTarget::Program(program) => self.shared.arena.program(program, &mut self.path),
        };
        if found {
            let cause = Cause::Decision { client: self.shared.actor, record: job.record.0 };
            // What the client reopens by is no name for the file.
            let name = None;
            self.operator.operate(&plan, &self.path, name, cause);
        }
    }

    /// Hands the event's file on to a worker outside the process.
    fn ask(&self, job: &Job<B::Token>, ask: Ask) {
        let shared = &*self.shared;
        let Some(request_queue) = shared.outside.request_queue(ask.whom) else { return };
        // Nobody can be asked to open a file whose path is not known.
        let facts = shared.backend.file(job.token, &|_| true);
        let Some(path) = facts.and_then(|facts| facts.path) else { return };
        let request =
            Request { record: job.record.0, draw: ask.draw, path: shared.arena.relative(&path).to_vec() };
        shared.gate.enter(self.place());
        let begin = RequestBegin {
            at: clock::now(),
            decision: job.record.0,
            whom: request_queue.whom,
            worker: self.number,
            waits: ask.wait,
        };
        let record = shared.trace.begin_request(&begin);
        shared.trace.board().add(Counter::Requests, 1);
        shared.gate.leave(self.place());
        if !ask.wait {
            return request_queue.ask(request, record, false);
        }
        // The warden sees that the decision waits for somebody outside, however free the client is.
        let (board, slot) = (shared.trace.board(), usize::from(self.number));
        board.ask(slot, begin.at, job.record.0, request_queue.whom);
        request_queue.ask(request, record, true);
        board.heard(slot);
    }
}
