//! One worker: makes the operations of its schedule, one at a time, and records each.

use std::sync::{Arc, mpsc::Receiver};

use lab_model::{Cause, OperationKind, PhaseKind, ThreadId, Ticks};
use lab_process::{
    clock,
    program::{Birth, Launcher},
};
use lab_trace::{Board, Counter, Loss, OperationBegin, OperationEnd, TraceWriter};
use lab_workload::{Action, Planned};
use nix::{
    errno::Errno,
    fcntl::{OFlag, open},
    sys::stat::Mode,
};

use crate::{
    phase::{Job, OPERATIONS_NOT_BEGUN, Round},
    sites::Sites,
};

/// A worker's own things; it shares none of them but the trace and the board, which take no lock.
pub(crate) struct Worker {
    number: u16,
    thread: ThreadId,
    writer: TraceWriter,
    board: Board,
    sites: Arc<Sites>,
    launcher: Option<Launcher>,
    birth: Birth,
}

impl Worker {
    /// Makes the worker with this number, on the calling thread.
    pub(crate) fn new(
        number: u16,
        thread: ThreadId,
        writer: TraceWriter,
        sites: Arc<Sites>,
        launcher: Option<Launcher>,
    ) -> Worker {
        let board = writer.board().clone();
        let begin = OperationBegin {
            started: Ticks(0),
            subject: thread,
            cause: Cause::Workload,
            planned: None,
            kind: OperationKind::Exec,
            worker: number,
            phase: None,
        };
        let birth = Birth {
            writer: writer.clone(),
            board: board.clone(),
            slot: usize::from(number),
            record: lab_trace::RecordId::LOST,
            begin,
        };
        Worker { number, thread, writer, board, sites, launcher, birth }
    }

    /// Works on one phase after the other until nobody gives it any more.
    pub(crate) fn serve(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            let begun = self.run(job.schedule, &job.round);
            job.round.leave(begun);
        }
    }

    /// Makes the operations of a schedule and returns how many it began.
    fn run(&mut self, mut schedule: lab_workload::Schedule, round: &Round) -> u64 {
        if !round.wait_for_start() {
            return 0;
        }
        let mut now = clock::now();
        let mut begun = 0;
        while !round.is_halted() {
            let left = schedule.remaining();
            let Some(planned) = schedule.next() else { break };
            let at = planned.offset.map(|offset| round.at(offset));
            if let Some(at) = at {
                // A planned operation is never left out for being late: it starts at once, and its delay
                // counts as latency.
                if now < at && !round.wait_until(at) {
                    break;
                }
                if round.is_given_up(now) {
                    self.writer.loss(&Loss { at: now, kind: OPERATIONS_NOT_BEGUN, count: left });
                    break;
                }
            } else if round.is_over(now) {
                break;
            }
            now = self.make(&planned, at, round.phase);
            begun += 1;
        }
        begun
    }

    /// Makes one operation and returns when it had ended.
    fn make(&mut self, planned: &Planned, at: Option<Ticks>, phase: PhaseKind) -> Ticks {
        let begin = OperationBegin {
            started: Ticks(0),
            subject: self.thread,
            cause: Cause::Workload,
            planned: at,
            kind: OperationKind::Open,
            worker: self.number,
            phase: Some(phase),
        };
        self.board.add(Counter::OperationsBegun, 1);
        let ended = match planned.action {
            Action::Open { file } => self.open(planned.load, file, begin),
            Action::Exec(_) => {
                self.execute(planned.load, OperationBegin { kind: OperationKind::Exec, ..begin })
            }
        };
        self.board.add(Counter::OperationsEnded, 1);
        ended
    }

    fn open(&self, load: usize, file: u32, begin: OperationBegin) -> Ticks {
        let site = self.sites.site(load, file);
        let slot = usize::from(self.number);
        let id = self.writer.claim_operation();
        let started = clock::now();
        self.writer.begin_claimed(id, &OperationBegin { started, ..begin });
        self.board.operate(slot, started, id.0, self.thread.tid);
        let opened = open(site.path(), OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        let ended = clock::now();
        let error = opened.as_ref().err().map_or(0, |&error| number(error));
        let end = OperationEnd { ended, error, status: 0, finished: None, bytes: 0 };
        self.writer.end_operation(id, &end);
        self.board.rest(slot);
        if let Some(target) = site.target(opened.as_ref().ok(), &self.writer) {
            self.writer.operation_target(id, &target);
        }
        ended
    }

    fn execute(&mut self, load: usize, begin: OperationBegin) -> Ticks {
        let site = self.sites.site(load, 0);
        let id = self.writer.claim_operation();
        self.birth.record = id;
        self.birth.begin = begin;
        let outcome = self.launcher.as_mut().map(|launcher| launcher.run(site.path(), &self.birth));
        let Some(outcome) = outcome else {
            unreachable!("a worker whose schedule holds programs was given a launcher")
        };
        let ended = clock::now();
        if !outcome.announced {
            // There never was a process: the failure is this thread's own.
            self.writer.begin_claimed(id, &OperationBegin { started: ended, ..begin });
        }
        let end =
            OperationEnd { ended, error: outcome.error, status: outcome.status, finished: None, bytes: 0 };
        self.writer.end_operation(id, &end);
        self.board.rest(usize::from(self.number));
        if let Some(target) = site.target(None::<&std::fs::File>, &self.writer) {
            self.writer.operation_target(id, &target);
        }
        ended
    }
}

const fn number(error: Errno) -> u32 {
    (error as i32).cast_unsigned()
}
