//! The records and how each lies in its words.

mod decision;
mod external;
mod fault;
pub(crate) mod life;
mod loss;
mod mark;
mod notice;
mod operation;
mod path;
mod request;
mod words;

use lab_model::ProcessLife;

pub use decision::{Decision, DecisionBegin, DecisionEnd, Target};
pub use external::{GroupMark, MarkOn, QueueSample, ThreadSeen};
pub use fault::{Fault, FaultKind, PlannedStep};
pub use lab_model::{FaultStage, PlannedKind};
pub use loss::{Loss, LossKind};
pub use mark::{PhaseMark, ProcessMark, ProcessMarkKind, ThreadMark, ThreadPurpose, Unwatched};
pub use notice::Notice;
pub use operation::{Operation, OperationBegin, OperationEnd};
pub use path::PathFragment;
pub use request::{Request, RequestBegin, RequestEnd, Served};

/// One record as read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// One question from the kernel to this client, and its answer.
    Decision(Decision),
    /// One open or exec made by this process.
    Operation(Operation),
    /// A phase begins or ends.
    Phase(PhaseMark),
    /// A planned disturbance, or the warden's act.
    Fault(Fault),
    /// Something could not be recorded or observed.
    Loss(Loss),
    /// A piece of a path.
    Path(PathFragment),
    /// A lab process started, became ready or ended.
    Process(ProcessMark),
    /// A thread of this process.
    Thread(ThreadMark),
    /// A file that this client handed on to a worker outside its process.
    Request(Request),
    /// A thread of a product that the lab did not build came into sight or went out of it.
    ThreadSeen(ThreadSeen),
    /// A mark of such a product's fanotify group.
    GroupMark(GroupMark),
    /// What waited for such a product at one moment.
    QueueSample(QueueSample),
    /// What this client was told after it had happened.
    Notice(Notice),
    /// A step in the life of a process, as this client's kernel told of it.
    Life(ProcessLife),
    /// A time in which the warden did not look.
    Unwatched(Unwatched),
}

impl Record {
    /// The numbers of all kinds of record that this version knows, rising.
    pub const KINDS: [u8; 15] = kind::ALL;

    /// Whether records of the kind with this number come in separately committed parts.
    #[must_use]
    pub const fn is_parted(kind: u8) -> bool {
        kind::is_parted(kind)
    }
}

/// A separately committed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordPart<T> {
    /// It was never committed.
    Absent,
    /// It was committed, and its check does not hold, or it has a value that this version does not know.
    Damaged,
    /// It was committed and its check holds.
    Present(T),
}

impl<T> RecordPart<T> {
    /// The part, if it is there and whole.
    pub const fn present(&self) -> Option<&T> {
        match self {
            RecordPart::Present(part) => Some(part),
            RecordPart::Absent | RecordPart::Damaged => None,
        }
    }
}

/// The kinds of record, as numbers. A reader passes over a number it does not know.
pub(crate) mod kind {
    pub(crate) const DECISION: u8 = 1;
    pub(crate) const OPERATION: u8 = 2;
    pub(crate) const PHASE: u8 = 3;
    pub(crate) const FAULT: u8 = 4;
    pub(crate) const LOSS: u8 = 5;
    pub(crate) const PATH: u8 = 6;
    pub(crate) const PROCESS: u8 = 7;
    pub(crate) const THREAD: u8 = 8;
    pub(crate) const REQUEST: u8 = 9;
    pub(crate) const THREAD_SEEN: u8 = 16;
    pub(crate) const GROUP_MARK: u8 = 17;
    pub(crate) const QUEUE_SAMPLE: u8 = 18;
    pub(crate) const NOTICE: u8 = 19;
    pub(crate) const LIFE: u8 = 20;
    pub(crate) const UNWATCHED: u8 = 21;

    /// All of them; a test sees that what is not here is unknown, and what is here is not.
    pub(crate) const ALL: [u8; 15] = [
        DECISION,
        OPERATION,
        PHASE,
        FAULT,
        LOSS,
        PATH,
        PROCESS,
        THREAD,
        REQUEST,
        THREAD_SEEN,
        GROUP_MARK,
        QUEUE_SAMPLE,
        NOTICE,
        LIFE,
        UNWATCHED,
    ];

    /// Whether a record of this kind comes in separately committed parts.
    pub(crate) const fn is_parted(kind: u8) -> bool {
        matches!(kind, DECISION | OPERATION | REQUEST)
    }
}

/// Decodes a record that was written at once; `None` for a kind or value that this version does not know.
pub(crate) fn whole(kind: u8, words: &[u64]) -> Option<Record> {
    Some(match kind {
        kind::PHASE => Record::Phase(PhaseMark::from_words(words)?),
        kind::FAULT => Record::Fault(Fault::from_words(words)),
        kind::LOSS => Record::Loss(Loss::from_words(words)),
        kind::PATH => Record::Path(PathFragment::from_words(words)?),
        kind::PROCESS => Record::Process(ProcessMark::from_words(words)),
        kind::THREAD => Record::Thread(ThreadMark::from_words(words)),
        kind::THREAD_SEEN => Record::ThreadSeen(ThreadSeen::from_words(words)?),
        kind::GROUP_MARK => Record::GroupMark(GroupMark::from_words(words)?),
        kind::QUEUE_SAMPLE => Record::QueueSample(QueueSample::from_words(words)),
        kind::NOTICE => Record::Notice(Notice::from_words(words)?),
        kind::LIFE => Record::Life(life::from_words(words)),
        kind::UNWATCHED => Record::Unwatched(Unwatched::from_words(words)),
        _ => return None,
    })
}
