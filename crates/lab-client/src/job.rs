//! What the reader and the observer hand over to the workers.

use lab_client_core::{Judge, Task};
use lab_model::EventKind;
use lab_trace::RecordId;

use crate::pending::Ticket;

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
