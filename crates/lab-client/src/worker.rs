//! A worker: does what a task asks for, one decision at a time.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
};

use lab_client_core::{Ask, Backend, Found, OperationPlan, Outcome, PlannedTarget, Step};
use lab_model::{Approval, Cause, Concurrency, Ticks, Verdict};
use lab_process::{CONTENT_BYTES_MAX, Digest, Operator, burn, clock};
use lab_protocol::Request;
use lab_trace::{ASK_SLOTS, Counter, DecisionEnd, RequestBegin};

use crate::{
    job::{Job, PendingAnswer},
    shared::{Decisions, Events, Means, WORKER_PLACES},
};

const _: () = assert!(Concurrency::MAX as usize <= ASK_SLOTS, "every worker has its slot");

/// One worker thread's own state.
pub(crate) struct Worker<B: Backend> {
    events: Arc<Events<B>>,
    decisions: Arc<Decisions<B::Token>>,
    means: Arc<Means>,
    number: u16,
    operator: Operator,
    path: Vec<u8>,
}

impl<B: Backend> Worker<B> {
    /// The worker of this number, on the calling thread.
    pub(crate) fn new(
        events: Arc<Events<B>>,
        decisions: Arc<Decisions<B::Token>>,
        means: Arc<Means>,
        number: u16,
    ) -> Worker<B> {
        let (gate, paths) = (Arc::clone(&events.gate), Arc::clone(&events.paths));
        let place = WORKER_PLACES + usize::from(number);
        let operator = Operator::new(events.trace.clone(), gate, paths, (place, number));
        Worker { events, decisions, means, number, operator, path: Vec::with_capacity(4096) }
    }

    /// Works for ever; the process's end is the worker's.
    pub(crate) fn run(mut self) -> ! {
        loop {
            let board = self.events.trace.board();
            let job = self.decisions.queue.next(usize::from(self.number), |takes| match takes {
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
            self.decisions.pending.give_back(ticket.slot);
        }
        if job.resolved {
            return self.events.backend.release(job.token);
        }
        self.events.gate.enter(self.place());
        self.events.resolve(job.token, job.record);
        self.events.gate.leave(self.place());
    }

    /// This worker's place at the gate.
    pub(crate) fn place(&self) -> usize {
        WORKER_PLACES + usize::from(self.number)
    }

    fn answer(&self, job: &Job<B::Token>, started: Ticks, verdict: Verdict, approval: Approval) {
        let Some(PendingAnswer { ticket }) = job.owed else { return };
        if !self.decisions.pending.win(ticket) {
            return;
        }
        if job.keep && verdict == Verdict::Allow && approval == Approval::Rule {
            self.events.cache_answer(job.token, job.event);
        }
        let answered = clock::now();
        let error = self.events.backend.answer(job.token, verdict).err().unwrap_or(0);
        let end = DecisionEnd { started: Some(started), answered, verdict, approval, error };
        self.events.trace.end_decision(job.record, &end);
        self.events.trace.board().settle(usize::from(ticket.slot));
        self.events.trace.board().add(Counter::Answers, 1);
    }

    /// Finds out about the event's file, and what the rules make of it.
    fn judge(&self, job: &Job<B::Token>) -> Outcome {
        let facts = self.events.backend.file(job.token, &|_| true);
        let (Some(judge), Some(facts)) = (&job.judge, facts) else { return Outcome::Finished };
        let path = facts.path.as_deref().map(|path| self.means.arena.relative(path));
        Outcome::Judged(judge.verdict(&Found { path, signature: facts.signature.as_ref() }))
    }

    /// Reads the event's file through what came with the event. No operation, and so no record of its own:
    /// its time is part of the decision's.
    fn inspect(&mut self, job: &Job<B::Token>, mut digest: Digest) {
        let mut offset = 0;
        while offset < CONTENT_BYTES_MAX {
            match self.events.backend.read_content(job.token, offset, self.operator.buffer()) {
                Ok(0) => return digest.finish(),
                Ok(bytes) => {
                    digest.add(&self.operator.buffer()[..bytes]);
                    offset += bytes as u64;
                }
                Err(error) => {
                    if !self.means.unreadable.swap(true, Ordering::Relaxed) {
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
                self.events.backend.reopen_path(job.token, &mut self.path);
                true
            }
            PlannedTarget::Other(draw) => self.means.arena.other(draw, &mut self.path),
            PlannedTarget::Program(program) => self.means.arena.program(program, &mut self.path),
        };
        if found {
            let cause = Cause::Decision { client: self.events.actor, record: job.record.0 };
            // What the client reopens by is no name for the file.
            let name = None;
            self.operator.operate(&plan, &self.path, name, cause);
        }
    }

    /// Hands the event's file on to a worker outside the process.
    fn ask(&self, job: &Job<B::Token>, ask: Ask) {
        let (events, means) = (&*self.events, &*self.means);
        let Some(request_queue) = means.outside.request_queue(ask.whom) else { return };
        // Nobody can be asked to open a file whose path is not known.
        let facts = events.backend.file(job.token, &|_| true);
        let Some(path) = facts.and_then(|facts| facts.path) else { return };
        let request =
            Request { record: job.record.0, draw: ask.draw, path: means.arena.relative(&path).to_vec() };
        events.gate.enter(self.place());
        let begin = RequestBegin {
            at: clock::now(),
            decision: job.record.0,
            whom: request_queue.whom,
            worker: self.number,
            waits: ask.wait,
        };
        let record = events.trace.begin_request(&begin);
        events.trace.board().add(Counter::Requests, 1);
        events.gate.leave(self.place());
        if !ask.wait {
            return request_queue.ask(request, record, false);
        }
        // The warden sees that the decision waits for somebody outside, however free the client is.
        let (board, slot) = (events.trace.board(), usize::from(self.number));
        board.ask(slot, begin.at, job.record.0, request_queue.whom);
        request_queue.ask(request, record, true);
        board.heard(slot);
    }
}
