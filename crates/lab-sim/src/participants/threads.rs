//! The threads of all lab processes: whose each is, and what it is about to do.

use lab_client_core::{Ask, OperationPlan};
use lab_model::Span;

use crate::hardware::{NONE, slab::Key};

/// What a thread does next when it has a processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A reader takes what its kernel queue holds.
    Receive,
    /// An observer takes in what it is told.
    Hear,
    /// A housekeeper answers what the budget says.
    FallBack,
    /// A worker takes its decision up.
    TakeUp,
    /// A worker's wait is over.
    Waited,
    /// A worker keeps its processor busy.
    Work,
    /// An opener begins an operation.
    Begin,
    /// An opener goes on after an answer.
    Resume,
    /// A worker reads the file it opened.
    Content,
    /// A worker answers.
    Answer,
    /// A worker asks somebody outside.
    Ask,
    /// A worker hears of the reply.
    Replied,
    /// A worker process takes a request up.
    Fetch,
    /// A worker process replies.
    Reply,
    /// A process of a tree starts its next child.
    Grow,
    /// It has nothing more to do.
    Wither,
    /// A thread of a planned load keeps its processor busy.
    Burn,
}

/// A thread of a lab process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thread {
    /// Its client, or [`NONE`] for the driver and worker processes.
    pub(super) client: u32,
    /// Its helper or daemon, or [`NONE`].
    pub(super) outside: u32,
    /// Its number among the workers of its process.
    pub(super) number: u16,
    pub(super) tid: u64,
    pub(super) step: Step,
    /// A worker's last reading of the clock before its answer.
    pub(super) since_answer: u64,
    /// The operation it makes.
    pub(super) operation: Key,
    /// A worker's decision, and the one it takes up after it.
    pub(super) decision: Key,
    pub(super) next_decision: Key,
    /// The request that it works on, or waits for.
    pub(super) request: Key,
}

impl Thread {
    /// A thread of nobody's yet that is to begin with `step`.
    pub(crate) const fn new(client: u32, number: u16, step: Step, tid: u64) -> Thread {
        Thread {
            client,
            outside: NONE,
            number,
            tid,
            step,
            since_answer: 0,
            operation: Key::NONE,
            decision: Key::NONE,
            next_decision: Key::NONE,
            request: Key::NONE,
        }
    }
}

/// What a worker does next for a decision, or a worker process's thread for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Nothing,
    Wait(Span),
    /// Keeps a processor busy for so many nanoseconds more.
    Work(u64),
    /// The same, to find out the path that its rules judge by.
    Judge(u64),
    Operate(OperationPlan),
    /// Asks a worker outside.
    Ask(Ask),
}
