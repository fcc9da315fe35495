//! A worker's own operations: opens and execs, each recorded with the decision that it was made for.

use std::{ffi::CStr, fs::File, os::unix::fs::MetadataExt};

use lab_client_core::{Backend, FileFacts, OperationPlan, PlannedTarget};
use lab_model::{Cause, FileId, OperationKind, Ticks};
use lab_process::{
    clock,
    program::{Birth, Launch, Launcher},
};
use lab_trace::{Counter, OperationBegin, OperationEnd, Target};
use nix::{fcntl::OFlag, sys::stat::Mode};

use crate::{
    content::{Digest, read_through},
    worker::{Job, Worker},
};

impl<B: Backend> Worker<B> {
    pub(crate) fn operate(&mut self, job: &Job<B::Token>, plan: OperationPlan) {
        let arena = &self.shared.arena;
        let found = match plan.target {
            PlannedTarget::Same => {
                self.shared.backend.reopen_path(job.token, &mut self.path);
                true
            }
            PlannedTarget::Other(draw) => arena.other(draw, &mut self.path),
            PlannedTarget::Program(program) => arena.program(program, &mut self.path),
        };
        if !found {
            return;
        }
        let kind = match plan.target {
            PlannedTarget::Same | PlannedTarget::Other(_) => OperationKind::Open,
            PlannedTarget::Program(_) => OperationKind::Exec,
        };
        let begin = OperationBegin {
            started: Ticks(0),
            subject: self.subject,
            cause: Cause::Decision { client: self.shared.actor, record: job.record.0 },
            planned: None,
            kind,
            worker: self.number,
            phase: None,
        };
        match kind {
            OperationKind::Open => self.open(plan, begin),
            OperationKind::Exec | OperationKind::Process => self.spawn(begin),
        }
    }

    fn open(&mut self, plan: OperationPlan, begin: OperationBegin) {
        let trace = &self.shared.trace;
        let slot = usize::from(self.number);
        self.shared.gate.enter(self.place());
        trace.board().add(Counter::OperationsBegun, 1);
        let begin = OperationBegin { started: clock::now(), ..begin };
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
                    end.bytes = read_through(&mut opened, &mut self.content, Digest::wanted(plan.hash));
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
        if let Some(target) = file.and_then(|file| self.target(&file.metadata().ok()?)) {
            trace.operation_target(record, &target);
        }
        self.shared.gate.leave(self.place());
    }

    /// Runs the program whose path has been written, and waits for its end.
    fn spawn(&mut self, begin: OperationBegin) {
        if self.launcher.is_none() {
            match Launcher::new() {
                Ok(launcher) => self.launcher = Some(launcher),
                Err(error) => return tracing::warn!("a program cannot be started: {error}"),
            }
        }
        let Some(launcher) = &mut self.launcher else { return };
        let trace = &self.shared.trace;
        let slot = usize::from(self.number);
        self.shared.gate.enter(crate::client::WORKER_PLACES + slot);
        trace.board().add(Counter::OperationsBegun, 1);
        // The place has its turn now; the new process fills it in.
        let record = trace.claim_operation();
        self.shared.gate.leave(crate::client::WORKER_PLACES + slot);
        let birth = Birth { writer: trace.clone(), board: trace.board().clone(), slot, record, begin };
        let path = CStr::from_bytes_until_nul(&self.path).unwrap_or_default();
        let outcome = launcher.run(&Launch::of(path), &birth);
        let ended = clock::now();
        if !outcome.announced {
            trace.begin_claimed(record, &OperationBegin { started: ended, ..begin });
        }
        let (error, status) = (outcome.error, outcome.status);
        trace.end_operation(record, &OperationEnd { ended, error, status, finished: None, bytes: 0 });
        trace.board().rest(slot);
        trace.board().add(Counter::OperationsEnded, 1);
        self.shared.gate.enter(self.place());
        let facts = path.to_str().ok().and_then(|path| std::fs::metadata(path).ok());
        if let Some(target) = facts.and_then(|facts| self.target(&facts)) {
            trace.operation_target(record, &target);
        }
        self.shared.gate.leave(self.place());
    }

    fn target(&self, facts: &std::fs::Metadata) -> Option<Target> {
        let file = FileId { device: facts.dev(), inode: facts.ino() };
        self.shared.paths.target(&self.shared.trace, &FileFacts { file, path: None })
    }
}
