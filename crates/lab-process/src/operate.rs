//! The operations of one thread: made and recorded.

use std::{ffi::CStr, fs::File, io::Read, os::unix::fs::MetadataExt, sync::Arc, time::Duration};

use lab_model::{Cause, FileId, OperationKind, Span, ThreadId};
use lab_trace::{Counter, OperationBegin, OperationEnd, TraceWriter};
use nix::{fcntl::OFlag, sys::stat::Mode, time::ClockId};

use crate::{Gate, Paths, clock, process_id, thread_id};

/// The piece in which content is read, in bytes.
const READ_BYTES: usize = 64 * 1024;
/// The most that is read of one file, in bytes.
pub const CONTENT_BYTES_MAX: u64 = 64 << 20;

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
        Operator { trace, gate, paths, place, number, subject, content: vec![0; READ_BYTES] }
    }

    /// Room for a piece of content.
    pub fn buffer(&mut self) -> &mut [u8] {
        &mut self.content
    }

    /// Opens a file and reads it if that is wanted; true when it could be opened. `name` is the file's path for
    /// the trace, where it is known.
    pub fn open(&mut self, path: &CStr, name: Option<&[u8]>, cause: Cause, read: bool) -> bool {
        let slot = usize::from(self.number);
        self.gate.enter(self.place);
        self.trace.board().add(Counter::OperationsBegun, 1);
        let begin = OperationBegin {
            started: clock::now(),
            subject: self.subject,
            cause,
            planned: None,
            kind: OperationKind::Open,
            worker: self.number,
            phase: None,
        };
        let record = self.trace.begin_operation(&begin);
        self.trace.board().operate(slot, begin.started, record.0, self.subject.tid);
        // The open may wait for ever, and recording must be able to end meanwhile.
        self.gate.leave(self.place);
        let opened = nix::fcntl::open(path, OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty());
        let ended = clock::now();
        self.trace.board().rest(slot);
        let mut end = OperationEnd { ended, error: 0, status: 0, finished: None, bytes: 0 };
        let mut file = None;
        match opened {
            Ok(opened) => {
                let mut opened = File::from(opened);
                if read {
                    end.bytes = read_through(&mut opened, &mut self.content);
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
        if let Some(target) = file.as_ref().and_then(|file| self.target(file, name)) {
            self.trace.operation_target(record, &target);
        }
        self.gate.leave(self.place);
        file.is_some()
    }

    fn target(&self, file: &File, name: Option<&[u8]>) -> Option<lab_trace::Target> {
        let facts = file.metadata().ok()?;
        self.paths.target(&self.trace, FileId { device: facts.dev(), inode: facts.ino() }, name)
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
