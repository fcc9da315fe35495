//! The operations of one thread: opens and execs, made and recorded with what they were made for.

use std::{
    ffi::CStr,
    fs::{File, Metadata},
    os::unix::fs::MetadataExt,
    sync::Arc,
    time::Duration,
};

use lab_client_core::{OperationPlan, PlannedTarget};
use lab_model::{Cause, FileId, OperationKind, Span, ThreadId, Ticks};
use lab_trace::{Counter, OperationBegin, OperationEnd, Target, TraceWriter};
use nix::{fcntl::OFlag, sys::stat::Mode, time::ClockId};

use crate::{
    Beneath, Digest, Gate, Paths, clock,
    content::{READ_BYTES, read_through},
    process_id,
    program::{Birth, Launch, Launcher},
    thread_id,
};

/// Makes the operations of one thread and records each.
#[derive(Debug)]
pub struct Operator {
    trace: TraceWriter,
    gate: Arc<Gate>,
    paths: Arc<Paths>,
    place: usize,
    number: u16,
    subject: ThreadId,
    content: Vec<u8>,
    /// Where alone it opens files; anywhere if there is none.
    beneath: Option<Arc<Beneath>>,
    /// What starts programs; made when the first one is wanted.
    launcher: Option<Launcher>,
}

impl Operator {
    /// The calling thread's, which is this worker of its process and has this place at the gate.
    #[must_use]
    pub fn new(
        trace: TraceWriter,
        gate: Arc<Gate>,
        paths: Arc<Paths>,
        (place, number): (usize, u16),
    ) -> Operator {
        let subject = ThreadId { pid: process_id(), tid: thread_id(), generation: 0 };
        let content = vec![0; READ_BYTES];
        Operator { trace, gate, paths, place, number, subject, content, beneath: None, launcher: None }
    }

    /// The same, which opens files below this folder alone: for paths that come from another process. What lies
    /// elsewhere fails with `EXDEV`, and is recorded so.
    #[must_use]
    pub fn beneath(self, folder: Arc<Beneath>) -> Operator {
        Operator { beneath: Some(folder), ..self }
    }

    /// Room for a piece of content.
    pub fn buffer(&mut self) -> &mut [u8] {
        &mut self.content
    }

    /// Makes a planned operation on the file or program of this path, which ends with a zero byte; returns 0 or
    /// the `errno` of its failure. `name` is the file's path for the trace, where it is known.
    pub fn operate(&mut self, plan: &OperationPlan, path: &[u8], name: Option<&[u8]>, cause: Cause) -> u32 {
        let path = CStr::from_bytes_until_nul(path).unwrap_or_default();
        let kind = match plan.target {
            PlannedTarget::Same | PlannedTarget::Other(_) => OperationKind::Open,
            PlannedTarget::Program(_) => OperationKind::Exec,
        };
        let begin = OperationBegin {
            started: Ticks(0),
            subject: self.subject,
            cause,
            planned: None,
            kind,
            worker: self.number,
            phase: None,
            parent: None,
        };
        match kind {
            OperationKind::Open => self.open(plan, path, name, begin),
            OperationKind::Exec | OperationKind::Process => self.spawn(path, name, begin),
        }
    }

    fn open(&mut self, plan: &OperationPlan, path: &CStr, name: Option<&[u8]>, begin: OperationBegin) -> u32 {
        let slot = usize::from(self.number);
        self.gate.enter(self.place);
        self.trace.board().add(Counter::OperationsBegun, 1);
        let begin = OperationBegin { started: clock::now(), ..begin };
        let record = self.trace.begin_operation(&begin);
        self.trace.board().operate(slot, begin.started, record.0, self.subject.tid);
        // The open may wait for ever, and recording must be able to end meanwhile.
        self.gate.leave(self.place);
        let opened = match &self.beneath {
            None => nix::fcntl::open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty()),
            Some(folder) => folder.open(path),
        };
        let ended = clock::now();
        self.trace.board().rest(slot);
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
        self.trace.end_operation(record, &end);
        self.trace.board().add(Counter::OperationsEnded, 1);
        self.gate.enter(self.place);
        if let Some(target) = file.and_then(|file| self.target(&file.metadata().ok()?, name)) {
            self.trace.operation_target(record, &target);
        }
        self.gate.leave(self.place);
        end.error
    }

    /// Runs a program and waits for its end.
    fn spawn(&mut self, path: &CStr, name: Option<&[u8]>, begin: OperationBegin) -> u32 {
        if self.launcher.is_none() {
            match Launcher::new() {
                Ok(launcher) => self.launcher = Some(launcher),
                Err(error) => {
                    tracing::warn!("a program cannot be started: {error}");
                    return error.raw_os_error().unwrap_or(nix::libc::EIO).unsigned_abs();
                }
            }
        }
        let Some(launcher) = &mut self.launcher else { return nix::libc::EIO.unsigned_abs() };
        let slot = usize::from(self.number);
        self.gate.enter(self.place);
        self.trace.board().add(Counter::OperationsBegun, 1);
        // The place has its turn now; the new process fills it in.
        let record = self.trace.claim_operation();
        self.gate.leave(self.place);
        let board = self.trace.board().clone();
        let outcome = launcher
            .run(&Launch::of(path), &Birth { writer: self.trace.clone(), board, slot, record, begin });
        let ended = clock::now();
        if !outcome.announced {
            self.trace.begin_claimed(record, &OperationBegin { started: ended, ..begin });
        }
        let (error, status) = (outcome.error, outcome.status);
        self.trace.end_operation(record, &OperationEnd { ended, error, status, finished: None, bytes: 0 });
        self.trace.board().rest(slot);
        self.trace.board().add(Counter::OperationsEnded, 1);
        self.gate.enter(self.place);
        let facts = path.to_str().ok().and_then(|path| std::fs::metadata(path).ok());
        if let Some(target) = facts.and_then(|facts| self.target(&facts, name)) {
            self.trace.operation_target(record, &target);
        }
        self.gate.leave(self.place);
        error
    }

    fn target(&self, facts: &Metadata, name: Option<&[u8]>) -> Option<Target> {
        let file = FileId { device: facts.dev(), inode: facts.ino() };
        self.paths.target(&self.trace, file, name)
    }
}

/// Keeps a processor busy for this much of the calling thread's own time.
pub fn burn(span: Span) {
    let used = || ClockId::CLOCK_THREAD_CPUTIME_ID.now().map(Duration::from);
    let Ok(began) = used() else { return };
    while used().is_ok_and(|now| now.saturating_sub(began) < span.duration()) {
        std::hint::spin_loop();
    }
}
