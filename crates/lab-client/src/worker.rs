//! A worker: does what a task asks for, one decision at a time.

use std::{
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use lab_client_core::{Backend, Judge, Outcome, Step, Task};
use lab_model::{Approval, EventKind, Span, ThreadId, Ticks, Verdict};
use lab_process::{clock, process_id, program::Launcher, thread_id};
use lab_trace::{Counter, DecisionEnd, RecordId};
use nix::time::ClockId;

use crate::{
    client::{Shared, WORKER_PLACES},
    content::{CONTENT_BYTES_MAX, Digest, READ_BYTES},
    pending::Ticket,
};

/// A decision for a worker.
#[derive(Debug)]
pub(crate) struct Job<T> {
    pub(crate) token: T,
    pub(crate) record: RecordId,
    pub(crate) task: Task,
    pub(crate) event: EventKind,
    /// Judges the path, if the task asks for it.
    pub(crate) judge: Option<Judge>,
    /// The kernel is to keep the answer if the rule allows.
    pub(crate) keep: bool,
    /// What the worker still owes the subject; `None` when the reader has answered.
    pub(crate) owed: Option<Owed>,
}

/// An answer that is still to be given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owed {
    pub(crate) ticket: Ticket,
}

/// One worker thread's own state.
pub(crate) struct Worker<B: Backend> {
    pub(crate) shared: Arc<Shared<B>>,
    pub(crate) number: u16,
    pub(crate) subject: ThreadId,
    pub(crate) path: Vec<u8>,
    pub(crate) content: Vec<u8>,
    /// What starts programs; made when the first one is wanted.
    pub(crate) launcher: Option<Launcher>,
}

impl<B: Backend> Worker<B> {
    /// The worker of this number, on the calling thread.
    pub(crate) fn new(shared: Arc<Shared<B>>, number: u16) -> Worker<B> {
        let subject = ThreadId { pid: process_id(), tid: thread_id(), generation: 0 };
        let (path, content) = (Vec::with_capacity(4096), vec![0; READ_BYTES]);
        Worker { shared, number, subject, path, content, launcher: None }
    }

    /// Works for ever; the process's end is the worker's.
    pub(crate) fn run(mut self) -> ! {
        loop {
            let job = self.shared.queue.next(usize::from(self.number));
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
                Step::Answer { verdict, approval } => self.answer(&job, started, verdict, approval),
                Step::Done => break,
            }
            last = Outcome::Finished;
        }
        if let Some(Owed { ticket }) = job.owed {
            self.shared.pending.give_back(ticket.slot);
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
        let Some(Owed { ticket }) = job.owed else { return };
        if !self.shared.pending.win(ticket) {
            return;
        }
        if job.keep && verdict == Verdict::Allow && approval == Approval::Rule {
            self.shared.keep(job.token, job.event);
        }
        let answered = clock::now();
        let error = self.shared.backend.answer(job.token, verdict).err().unwrap_or(0);
        let end = DecisionEnd { started: Some(started), answered, verdict, approval, error };
        self.shared.trace.end_decision(job.record, &end);
        self.shared.trace.board().settle(usize::from(ticket.slot));
        self.shared.trace.board().add(Counter::Answers, 1);
    }

    /// Finds out the path of the event's file, and what the rules make of it.
    fn judge(&self, job: &Job<B::Token>) -> Outcome {
        let path = self.shared.backend.file(job.token, &|_| true).and_then(|facts| facts.path);
        match (&job.judge, path) {
            (Some(judge), Some(path)) => Outcome::Judged(judge.verdict(self.shared.arena.relative(&path))),
            _ => Outcome::Finished,
        }
    }

    /// Reads the event's file through what came with the event. No operation, and so no record of its own:
    /// its time is part of the decision's.
    fn inspect(&mut self, job: &Job<B::Token>, mut digest: Digest) {
        let mut offset = 0;
        while offset < CONTENT_BYTES_MAX {
            match self.shared.backend.read_content(job.token, offset, &mut self.content) {
                Ok(0) => return digest.finish(),
                Ok(bytes) => {
                    digest.add(&self.content[..bytes]);
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
}

/// Keeps a processor busy for this much of the calling thread's own time.
fn burn(span: Span) {
    let used = || ClockId::CLOCK_THREAD_CPUTIME_ID.now().map(Duration::from);
    let Ok(began) = used() else { return };
    while used().is_ok_and(|now| now.saturating_sub(began) < span.duration()) {
        std::hint::spin_loop();
    }
}
