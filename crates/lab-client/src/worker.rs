//! A worker: does what a task asks for, one decision at a time.

use std::{
    ffi::CStr,
    fs::File,
    io::Read,
    os::unix::fs::MetadataExt,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use lab_client_core::{Backend, FileFacts, Judge, OperationPlan, Outcome, PlannedTarget, Step, Task};
use lab_model::{Approval, Cause, EventKind, FileId, OperationKind, Span, ThreadId, Ticks, Verdict};
use lab_process::{clock, process_id, thread_id};
use lab_trace::{Counter, DecisionEnd, OperationBegin, OperationEnd, RecordId};
use nix::{fcntl::OFlag, sys::stat::Mode, time::ClockId};

use crate::{
    client::{Shared, WORKER_PLACES},
    pending::Ticket,
};

/// The piece in which content is read, in bytes.
const READ_BYTES: usize = 64 * 1024;
/// The most that is read of one file, in bytes.
const CONTENT_BYTES_MAX: u64 = 64 << 20;

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
    shared: Arc<Shared<B>>,
    number: u16,
    subject: ThreadId,
    path: Vec<u8>,
    content: Vec<u8>,
}

impl<B: Backend> Worker<B> {
    /// The worker of this number, on the calling thread.
    pub(crate) fn new(shared: Arc<Shared<B>>, number: u16) -> Worker<B> {
        let subject = ThreadId { pid: process_id(), tid: thread_id(), generation: 0 };
        Worker { shared, number, subject, path: Vec::with_capacity(4096), content: vec![0; READ_BYTES] }
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
                Step::Inspect => self.inspect(&job),
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
    fn place(&self) -> usize {
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
    fn inspect(&mut self, job: &Job<B::Token>) {
        let mut offset = 0;
        while offset < CONTENT_BYTES_MAX {
            match self.shared.backend.read_content(job.token, offset, &mut self.content) {
                Ok(0) => return,
                Ok(bytes) => offset += bytes as u64,
                Err(error) => {
                    if !self.shared.unreadable.swap(true, Ordering::Relaxed) {
                        tracing::warn!("an event's file cannot be read without opening it: error {error}");
                    }
                    return;
                }
            }
        }
    }

    fn operate(&mut self, job: &Job<B::Token>, plan: OperationPlan) {
        match plan.target {
            PlannedTarget::Same => self.shared.backend.reopen_path(job.token, &mut self.path),
            PlannedTarget::Other(draw) => {
                if !self.shared.arena.other(draw, &mut self.path) {
                    return;
                }
            }
        }
        let trace = &self.shared.trace;
        let slot = usize::from(self.number);
        self.shared.gate.enter(self.place());
        trace.board().add(Counter::OperationsBegun, 1);
        let begin = OperationBegin {
            started: clock::now(),
            subject: self.subject,
            cause: Cause::Decision { client: self.shared.actor, record: job.record.0 },
            planned: None,
            kind: OperationKind::Open,
            worker: self.number,
            phase: None,
        };
        let record = trace.begin_operation(&begin);
        trace.board().operate(slot, begin.started, record.0, self.subject.tid);
        // The open may wait for ever, and recording must be able to end meanwhile.
        self.shared.gate.leave(self.place());
        let path = CStr::from_bytes_until_nul(&self.path).unwrap_or_default();
        let opened = nix::fcntl::open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        let ended = clock::now();
        trace.board().rest(slot);
        let mut end = OperationEnd { ended, error: 0, status: 0, finished: None, bytes: 0 };
        let mut file = None;
        match opened {
            Ok(opened) => {
                let mut opened = File::from(opened);
                if plan.read {
                    end.bytes = read_through(&mut opened, &mut self.content);
                    end.finished = Some(clock::now());
                }
                file = Some(opened);
            }
            Err(error) => end.error = (error as i32).unsigned_abs(),
        }
        // The end of what was begun has its place, whether the gate has been shut meanwhile or not.
        trace.end_operation(record, &end);
        trace.board().add(Counter::OperationsEnded, 1);
        self.shared.gate.enter(self.place());
        if let Some(target) = file.and_then(|file| self.target(&file)) {
            trace.operation_target(record, &target);
        }
        self.shared.gate.leave(self.place());
    }

    fn target(&self, file: &File) -> Option<lab_trace::Target> {
        let facts = file.metadata().ok()?;
        let file = FileId { device: facts.dev(), inode: facts.ino() };
        self.shared.paths.target(&self.shared.trace, &FileFacts { file, path: None })
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

/// Reads a file from start to end and returns how many bytes came.
fn read_through(file: &mut File, buffer: &mut [u8]) -> u64 {
    let mut total = 0;
    while total < CONTENT_BYTES_MAX {
        match file.read(buffer) {
            Ok(0) | Err(_) => break,
            Ok(bytes) => total += bytes as u64,
        }
    }
    total
}
