//! The lab's binary trace: one file a process, mapped memory, fixed-size records.
//!
//! A record part is committed by one store, so what was committed before a `SIGKILL` is there after it, and
//! every part carries a check of its own, so damage is reported and never believed. Loss is counted in the
//! header. The format is specified in `docs/formats/trace.md`.
//!
//! This crate reads no clock and starts no thread: ticks come in as arguments, and a process calls
//! [`TraceWriter::grow`] from a thread of its own choice. Only `mapped` contains unsafe code.
#![deny(unsafe_code)]

#[warn(clippy::arithmetic_side_effects)]
mod attached;
mod board;
#[warn(clippy::arithmetic_side_effects)]
mod error;
mod header;
mod layout;
mod mapped;
mod memory;
#[warn(clippy::arithmetic_side_effects)]
mod reader;
#[warn(clippy::arithmetic_side_effects)]
mod record;
mod stored;
mod writer;

pub use attached::AttachedTrace;
pub use board::{ASK_SLOTS, Board, Counter, OPERATION_SLOTS, PENDING_SLOTS, SlotView};
pub use error::TraceError;
pub use header::{Header, HostFacts, Identity};
pub use layout::{
    CHUNK_RECORDS, FORMAT_MAJOR, FORMAT_MINOR, HEADER_BYTES, METADATA_BYTES_MAX, PATH_BYTES_MAX,
    RECORD_BYTES, RECORDS_OFFSET, TRACE_BYTES_MAX,
};
pub use memory::MemoryTrace;
pub use reader::{Damage, Entries, Entry, Tail, Trace};
pub use record::{
    Decision, DecisionBegin, DecisionEnd, Fault, FaultKind, FaultStage, GroupMark, Loss, LossKind, MarkOn,
    Notice, Operation, OperationBegin, OperationEnd, PathFragment, PhaseMark, PlannedKind, PlannedStep,
    ProcessMark, ProcessMarkKind, QueueSample, Record, RecordPart, Request, RequestBegin, RequestEnd, Served,
    Target, ThreadMark, ThreadPurpose, ThreadSeen, Unwatched,
};
pub use stored::StoredTrace;
pub use writer::{RecordId, TraceWriter, WriterOptions};
