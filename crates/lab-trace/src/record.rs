//! The records and how each lies in its words.

use lab_model::{
    Actor, Approval, Cause, EventKind, FaultAction, OperationKind, PhaseKind, ProcessLife, SubjectClass,
    ThreadId, Ticks, Verdict,
};

use crate::{
    external::{GroupMark, Outlook, Sighting},
    layout::PATH_FRAGMENT_BYTES,
    life,
    notice::Notice,
};

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
    Sighting(Sighting),
    /// A mark of such a product's fanotify group.
    GroupMark(GroupMark),
    /// What waited for such a product at one moment.
    Outlook(Outlook),
    /// What this client was told after it had happened.
    Notice(Notice),
    /// A step in the life of a process, as this client's kernel told of it.
    Life(ProcessLife),
}

/// A separately committed part of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<T> {
    /// It was never committed.
    Absent,
    /// It was committed, and its check does not hold, or it has a value that this version does not know.
    Damaged,
    /// It was committed and its check holds.
    Present(T),
}

impl<T> Part<T> {
    /// The part, if it is there and whole.
    pub const fn present(&self) -> Option<&T> {
        match self {
            Part::Present(part) => Some(part),
            Part::Absent | Part::Damaged => None,
        }
    }
}

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What was known when the event was read.
    pub begin: DecisionBegin,
    /// The answer; absent when the client died before it answered.
    pub end: Part<DecisionEnd>,
    /// The file, resolved after the answer.
    pub target: Part<Target>,
}

/// What a client knows when it has read an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionBegin {
    /// When the event had been read (fanotify) or the handler was entered (Endpoint Security).
    pub read: Ticks,
    /// Who acted, as the kernel named it.
    pub subject: ThreadId,
    /// When the kernel stamped the event; `None` where the kernel gives no time (fanotify).
    pub kernel: Option<Ticks>,
    /// The last moment to answer; on fanotify `read` plus the lab's deadline.
    pub deadline: Option<Ticks>,
    /// The kernel's own sequence number; 0 where there is none.
    pub sequence: u64,
    /// What is asked.
    pub event: EventKind,
    /// Whose process the subject is, as far as the client could tell.
    pub class: SubjectClass,
    /// The lab process the client took the subject for; [`Actor::UNKNOWN`] if none.
    pub actor: Actor,
}

/// A client's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecisionEnd {
    /// When work on it began; `None` when the reader answered at once.
    pub started: Option<Ticks>,
    /// The last reading of the clock before the answer was handed to the kernel.
    pub answered: Ticks,
    /// The answer.
    pub verdict: Verdict,
    /// How it came about.
    pub approval: Approval,
    /// The error of handing over the answer (`errno`); 0 when there was none.
    pub error: u32,
}

/// The file an event or operation was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The inode.
    pub inode: u64,
    /// The device, in the kernel's 32-bit encoding.
    pub device: u32,
    /// The path's number in this trace; 0 when no path was recorded.
    pub path: u32,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What was known when it began.
    pub begin: OperationBegin,
    /// How it ended; absent when the process died in it.
    pub end: Part<OperationEnd>,
    /// The file.
    pub target: Part<Target>,
}

/// What a process knows when it begins an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationBegin {
    /// The last reading of the clock before the call.
    pub started: Ticks,
    /// The thread that acts: for an exec the new process.
    pub subject: ThreadId,
    /// Its parent in the cascade.
    pub cause: Cause,
    /// The planned start of an open-loop operation; `None` in a closed loop.
    pub planned: Option<Ticks>,
    /// What it does.
    pub kind: OperationKind,
    /// The worker that made it, counted from 0 in its process.
    pub worker: u16,
    /// The phase in which it began; `None` outside all phases.
    pub phase: Option<PhaseKind>,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationEnd {
    /// The first reading of the clock after the call; for an exec, after the process had ended.
    pub ended: Ticks,
    /// 0, or the `errno` of the failure.
    pub error: u32,
    /// An exec's wait status; 0 for an open.
    pub status: i32,
    /// When the content had been read and the file closed; `None` if it was not read.
    pub finished: Option<Ticks>,
    /// Bytes read from it.
    pub bytes: u64,
}

/// One request of a client to a helper or a daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// What was known when it was made.
    pub begin: RequestBegin,
    /// The reply; absent when none came.
    pub end: Part<RequestEnd>,
}

/// What a client knows when it asks a worker outside its process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestBegin {
    /// When it asked.
    pub at: Ticks,
    /// The decision's place in this trace.
    pub decision: u64,
    /// Who is asked: a daemon, or the client itself for one of its helpers.
    pub whom: Actor,
    /// The client's worker that asks, counted from 0.
    pub worker: u16,
    /// That worker waits for the reply.
    pub waits: bool,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestEnd {
    /// When the reply was there, or it was clear that none would come.
    pub at: Ticks,
    /// 0, or the `errno` of the failure: nobody was there to ask, or the worker ended.
    pub error: u32,
}

/// A phase begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PhaseMark {
    /// When.
    pub at: Ticks,
    /// Which phase.
    pub phase: PhaseKind,
    /// True at its begin, false at its end.
    pub begins: bool,
}

/// What a fault record stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// The warden killed a client past its deadline; `detail` is the overdue decision's record.
    DeadlineKill,
    /// The warden ended the run because it took too long.
    RunTooLong,
    /// The user interrupted the run.
    Interrupted,
    /// An expectation that ends the run no longer held.
    Aborted,
    /// A planned fault; `detail` is a [`PlannedStep`].
    Planned(PlannedKind),
    /// Another kind, by number.
    Other(u16),
}

/// What a planned fault does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlannedKind {
    /// Stops a process for a while.
    Stall,
    /// Kills it.
    Kill,
    /// Kills a client and starts it again.
    Restart,
    /// Makes a client work longer.
    Slow,
    /// Makes a client deny.
    Deny,
    /// Gives a client another behaviour.
    Behave,
    /// Keeps processors busy.
    CpuLoad,
    /// Lowers a process's limit on open files.
    Descriptors,
}

impl PlannedKind {
    /// What a fault of a lab file is here.
    #[must_use]
    pub const fn of(action: &FaultAction) -> PlannedKind {
        match action {
            FaultAction::Stall { .. } => PlannedKind::Stall,
            FaultAction::Kill => PlannedKind::Kill,
            FaultAction::Restart { .. } => PlannedKind::Restart,
            FaultAction::Slow { .. } => PlannedKind::Slow,
            FaultAction::Deny { .. } => PlannedKind::Deny,
            FaultAction::Behave { .. } => PlannedKind::Behave,
            FaultAction::CpuLoad { .. } => PlannedKind::CpuLoad,
            FaultAction::Descriptors { .. } => PlannedKind::Descriptors,
        }
    }

    /// All of them, by their numbers in the trace from [`PlannedKind::FIRST`] on.
    pub const ALL: [PlannedKind; 8] = [
        PlannedKind::Stall,
        PlannedKind::Kill,
        PlannedKind::Restart,
        PlannedKind::Slow,
        PlannedKind::Deny,
        PlannedKind::Behave,
        PlannedKind::CpuLoad,
        PlannedKind::Descriptors,
    ];

    const FIRST: u16 = 16;

    const fn code(self) -> u16 {
        PlannedKind::FIRST + self as u16
    }

    fn from_code(code: u16) -> Option<PlannedKind> {
        PlannedKind::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// A step in a planned fault: its place in the lab's list of faults, and what happened to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedStep {
    /// The place in the lab's list, from 0.
    pub place: u32,
    /// What happened.
    pub stage: FaultStage,
}

/// What happened to a planned fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultStage {
    /// It was done, or a client was told so.
    Begins,
    /// The client has said that it follows.
    InForce,
    /// It was taken back, or a client was told so, or its target has died.
    Ends,
    /// The client has said that it follows again.
    Over,
    /// Its time came, and its target was gone.
    NoTarget,
    /// Its time never came.
    TooLate,
    /// Another, by number.
    Other(u32),
}

impl FaultStage {
    const fn code(self) -> u32 {
        match self {
            FaultStage::Begins => 1,
            FaultStage::InForce => 2,
            FaultStage::Ends => 3,
            FaultStage::Over => 4,
            FaultStage::NoTarget => 5,
            FaultStage::TooLate => 6,
            FaultStage::Other(code) => code,
        }
    }

    const fn from_code(code: u32) -> FaultStage {
        match code {
            1 => FaultStage::Begins,
            2 => FaultStage::InForce,
            3 => FaultStage::Ends,
            4 => FaultStage::Over,
            5 => FaultStage::NoTarget,
            6 => FaultStage::TooLate,
            other => FaultStage::Other(other),
        }
    }
}

impl PlannedStep {
    /// The `detail` of a fault's record.
    #[must_use]
    pub const fn detail(self) -> u64 {
        (self.stage.code() as u64) << 32 | self.place as u64
    }

    /// The step that a record's `detail` stands for.
    #[must_use]
    pub const fn of(detail: u64) -> PlannedStep {
        let [a, b, c, d, e, f, g, h] = detail.to_le_bytes();
        PlannedStep {
            place: u32::from_le_bytes([a, b, c, d]),
            stage: FaultStage::from_code(u32::from_le_bytes([e, f, g, h])),
        }
    }
}

impl FaultKind {
    const fn code(self) -> u16 {
        match self {
            FaultKind::DeadlineKill => 1,
            FaultKind::RunTooLong => 2,
            FaultKind::Interrupted => 3,
            FaultKind::Aborted => 4,
            FaultKind::Planned(kind) => kind.code(),
            FaultKind::Other(code) => code,
        }
    }

    fn from_code(code: u16) -> FaultKind {
        match code {
            1 => FaultKind::DeadlineKill,
            2 => FaultKind::RunTooLong,
            3 => FaultKind::Interrupted,
            4 => FaultKind::Aborted,
            other => PlannedKind::from_code(other).map_or(FaultKind::Other(other), FaultKind::Planned),
        }
    }
}

/// A planned disturbance, or the warden's act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When.
    pub at: Ticks,
    /// What.
    pub kind: FaultKind,
    /// On whom.
    pub actor: Actor,
    /// Its detail, by kind.
    pub detail: u64,
}

/// What was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LossKind {
    /// Records that did not fit the trace.
    Records,
    /// Events that the kernel dropped.
    Events,
    /// Paths that were not recorded because the table was full.
    Paths,
    /// Targets that were closed unresolved because the ring was full.
    Targets,
    /// NOTIFY events that the kernel could not hand over.
    Notices,
    /// The kernel's queue of NOTIFY events overflowed; counts how often, for how many it dropped is unknown.
    NoticesOverflowed,
    /// NOTIFY events that lay unread in the kernel's queue at the end.
    NoticesUnread,
    /// Reactions to NOTIFY events that were not begun, because the queue of work was full.
    Reactions,
    /// Another kind, by number.
    Other(u16),
}

impl LossKind {
    const fn code(self) -> u16 {
        match self {
            LossKind::Records => 1,
            LossKind::Events => 2,
            LossKind::Paths => 3,
            LossKind::Targets => 4,
            LossKind::Notices => 5,
            LossKind::NoticesOverflowed => 6,
            LossKind::NoticesUnread => 7,
            LossKind::Reactions => 8,
            LossKind::Other(code) => code,
        }
    }

    const fn from_code(code: u16) -> LossKind {
        match code {
            1 => LossKind::Records,
            2 => LossKind::Events,
            3 => LossKind::Paths,
            4 => LossKind::Targets,
            5 => LossKind::Notices,
            6 => LossKind::NoticesOverflowed,
            7 => LossKind::NoticesUnread,
            8 => LossKind::Reactions,
            other => LossKind::Other(other),
        }
    }
}

/// Something could not be recorded or observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loss {
    /// When it was noticed.
    pub at: Ticks,
    /// What.
    pub kind: LossKind,
    /// How many.
    pub count: u64,
}

/// A piece of a path. The pieces of one path are consecutive records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathFragment {
    /// The path's number in this trace, from 1.
    pub path: u32,
    /// The length of the whole path, in bytes.
    pub length: u16,
    /// The place of this piece, from 0.
    pub fragment: u16,
    /// The piece.
    pub bytes: Vec<u8>,
}

/// What happened to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProcessMarkKind {
    /// It was started.
    Started,
    /// It said that it is ready.
    Ready,
    /// It ended; `status` is the wait status.
    Ended,
    /// Another kind, by number.
    Other(u16),
}

impl ProcessMarkKind {
    const fn code(self) -> u16 {
        match self {
            ProcessMarkKind::Started => 1,
            ProcessMarkKind::Ready => 2,
            ProcessMarkKind::Ended => 3,
            ProcessMarkKind::Other(code) => code,
        }
    }

    const fn from_code(code: u16) -> ProcessMarkKind {
        match code {
            1 => ProcessMarkKind::Started,
            2 => ProcessMarkKind::Ready,
            3 => ProcessMarkKind::Ended,
            other => ProcessMarkKind::Other(other),
        }
    }
}

/// A lab process started, became ready or ended. Written by the orchestrator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessMark {
    /// When the orchestrator saw it.
    pub at: Ticks,
    /// Which process.
    pub actor: Actor,
    /// What happened.
    pub kind: ProcessMarkKind,
    /// Its process ID.
    pub pid: u32,
    /// The wait status of an end: the exit code in bits 8 to 15 or the signal in bits 0 to 6.
    pub status: i32,
}

/// What a thread is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadPurpose {
    /// The first thread; talks to the orchestrator.
    Control,
    /// Reads and answers events.
    Reader,
    /// Makes operations.
    Worker,
    /// Grows the trace, resolves targets, answers what is nearly overdue.
    Housekeeper,
    /// Reads NOTIFY events.
    Observer,
    /// Another purpose, by number.
    Other(u16),
}

impl ThreadPurpose {
    const fn code(self) -> u16 {
        match self {
            ThreadPurpose::Control => 1,
            ThreadPurpose::Reader => 2,
            ThreadPurpose::Worker => 3,
            ThreadPurpose::Housekeeper => 4,
            ThreadPurpose::Observer => 5,
            ThreadPurpose::Other(code) => code,
        }
    }

    const fn from_code(code: u16) -> ThreadPurpose {
        match code {
            1 => ThreadPurpose::Control,
            2 => ThreadPurpose::Reader,
            3 => ThreadPurpose::Worker,
            4 => ThreadPurpose::Housekeeper,
            5 => ThreadPurpose::Observer,
            other => ThreadPurpose::Other(other),
        }
    }
}

/// A thread of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadMark {
    /// When it registered.
    pub at: Ticks,
    /// Its ID.
    pub tid: u64,
    /// What it is for.
    pub purpose: ThreadPurpose,
    /// Its number among those of its purpose, from 0.
    pub number: u16,
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

    /// Whether a record of this kind comes in separately committed parts.
    pub(crate) const fn is_parted(kind: u8) -> bool {
        matches!(kind, DECISION | OPERATION | REQUEST)
    }
    pub(crate) const SIGHTING: u8 = 16;
    pub(crate) const GROUP_MARK: u8 = 17;
    pub(crate) const OUTLOOK: u8 = 18;
    pub(crate) const NOTICE: u8 = 19;
    pub(crate) const LIFE: u8 = 20;
}

pub(crate) const fn optional(ticks: Option<Ticks>) -> u64 {
    match ticks {
        Some(ticks) => ticks.0,
        None => 0,
    }
}

pub(crate) const fn ticks(word: u64) -> Option<Ticks> {
    if word == 0 { None } else { Some(Ticks(word)) }
}

/// Bits `from` up to `from + 16` of a word.
#[expect(clippy::cast_possible_truncation, reason = "takes 16 bits out of 64")]
pub(crate) const fn u16_at(word: u64, from: u32) -> u16 {
    (word >> from) as u16
}

#[expect(clippy::cast_possible_truncation, reason = "takes the low half")]
pub(crate) const fn low(word: u64) -> u32 {
    word as u32
}

pub(crate) const fn high(word: u64) -> u32 {
    (word >> 32) as u32
}

pub(crate) const fn both(low: u32, high: u32) -> u64 {
    low as u64 | ((high as u64) << 32)
}

pub(crate) const fn class_code(class: SubjectClass) -> u64 {
    match class {
        SubjectClass::Workload => 0,
        SubjectClass::Own => 1,
        SubjectClass::OwnHelper => 2,
        SubjectClass::Peer => 3,
    }
}

pub(crate) const fn class_from(code: u16) -> Option<SubjectClass> {
    match code {
        0 => Some(SubjectClass::Workload),
        1 => Some(SubjectClass::Own),
        2 => Some(SubjectClass::OwnHelper),
        3 => Some(SubjectClass::Peer),
        _ => None,
    }
}

impl DecisionBegin {
    pub(crate) fn words(&self) -> [u64; 7] {
        [
            self.read.0,
            self.subject.tid,
            both(self.subject.pid, self.subject.generation),
            optional(self.kernel),
            optional(self.deadline),
            self.sequence,
            u64::from(self.event.code()) | (class_code(self.class) << 16) | (u64::from(self.actor.0) << 32),
        ]
    }

    /// `None` for a class of subject that this version does not know.
    pub(crate) fn from_words(words: &[u64]) -> Option<DecisionBegin> {
        Some(DecisionBegin {
            read: Ticks(words[0]),
            subject: ThreadId { tid: words[1], pid: low(words[2]), generation: high(words[2]) },
            kernel: ticks(words[3]),
            deadline: ticks(words[4]),
            sequence: words[5],
            event: EventKind::from_code(u16_at(words[6], 0)),
            class: class_from(u16_at(words[6], 16))?,
            actor: Actor(u16_at(words[6], 32)),
        })
    }
}

impl DecisionEnd {
    pub(crate) fn words(&self) -> [u64; 4] {
        let how = u64::from(self.verdict.code()) | (u64::from(self.approval.code()) << 8);
        [optional(self.started), self.answered.0, how | (u64::from(self.error) << 32), 0]
    }

    /// `None` for a verdict or approval that this version does not know.
    pub(crate) fn from_words(words: &[u64]) -> Option<DecisionEnd> {
        let [verdict, approval, ..] = words[2].to_le_bytes();
        Some(DecisionEnd {
            started: ticks(words[0]),
            answered: Ticks(words[1]),
            verdict: Verdict::from_code(verdict)?,
            approval: Approval::from_code(approval)?,
            error: high(words[2]),
        })
    }
}

impl Target {
    pub(crate) fn words(&self) -> [u64; 2] {
        [self.inode, both(self.device, self.path)]
    }

    pub(crate) fn from_words(words: &[u64]) -> Target {
        Target { inode: words[0], device: low(words[1]), path: high(words[1]) }
    }
}

impl OperationBegin {
    pub(crate) fn words(&self) -> [u64; 7] {
        let (cause_kind, cause_actor, cause_record) = match self.cause {
            Cause::Workload => (0_u64, 0, 0),
            Cause::Decision { client, record } => (1, client.0, record),
            Cause::Housekeeping => (2, 0, 0),
        };
        [
            self.started.0,
            self.subject.tid,
            both(self.subject.pid, self.subject.generation),
            cause_record,
            optional(self.planned),
            u64::from(self.kind.code())
                | (cause_kind << 16)
                | (u64::from(cause_actor) << 32)
                | (u64::from(self.worker) << 48),
            self.phase.map_or(0, |phase| u64::from(phase.code())),
        ]
    }

    /// `None` for a kind of operation, a cause or a phase that this version does not know.
    pub(crate) fn from_words(words: &[u64]) -> Option<OperationBegin> {
        let cause = match u16_at(words[5], 16) {
            0 => Cause::Workload,
            1 => Cause::Decision { client: Actor(u16_at(words[5], 32)), record: words[3] },
            2 => Cause::Housekeeping,
            _ => return None,
        };
        Some(OperationBegin {
            started: Ticks(words[0]),
            subject: ThreadId { tid: words[1], pid: low(words[2]), generation: high(words[2]) },
            cause,
            planned: ticks(words[4]),
            kind: OperationKind::from_code(u16_at(words[5], 0))?,
            worker: u16_at(words[5], 48),
            phase: match u16_at(words[6], 0) {
                0 => None,
                code => Some(PhaseKind::from_code(code)?),
            },
        })
    }
}

impl OperationEnd {
    pub(crate) fn words(&self) -> [u64; 4] {
        [self.ended.0, both(self.error, self.status.cast_unsigned()), optional(self.finished), self.bytes]
    }

    pub(crate) fn from_words(words: &[u64]) -> OperationEnd {
        OperationEnd {
            ended: Ticks(words[0]),
            error: low(words[1]),
            status: high(words[1]).cast_signed(),
            finished: ticks(words[2]),
            bytes: words[3],
        }
    }
}

impl RequestBegin {
    pub(crate) fn words(&self) -> [u64; 7] {
        let how = u64::from(self.whom.0) | (u64::from(self.worker) << 16) | (u64::from(self.waits) << 32);
        [self.at.0, self.decision, how, 0, 0, 0, 0]
    }

    /// `None` for a way of waiting that this version does not know.
    pub(crate) fn from_words(words: &[u64]) -> Option<RequestBegin> {
        Some(RequestBegin {
            at: Ticks(words[0]),
            decision: words[1],
            whom: Actor(u16_at(words[2], 0)),
            worker: u16_at(words[2], 16),
            waits: match u16_at(words[2], 32) {
                0 => false,
                1 => true,
                _ => return None,
            },
        })
    }
}

impl RequestEnd {
    pub(crate) fn words(&self) -> [u64; 4] {
        [self.at.0, u64::from(self.error), 0, 0]
    }

    pub(crate) fn from_words(words: &[u64]) -> RequestEnd {
        RequestEnd { at: Ticks(words[0]), error: low(words[1]) }
    }
}

impl PhaseMark {
    pub(crate) fn words(&self) -> [u64; 15] {
        let mut words = [0; 15];
        words[0] = self.at.0;
        words[1] = u64::from(self.phase.code()) | (u64::from(self.begins) << 16);
        words
    }

    fn from_words(words: &[u64]) -> Option<PhaseMark> {
        let phase = PhaseKind::from_code(u16_at(words[1], 0))?;
        let begins = match u16_at(words[1], 16) {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(PhaseMark { at: Ticks(words[0]), phase, begins })
    }
}

impl Fault {
    pub(crate) fn words(&self) -> [u64; 15] {
        let mut words = [0; 15];
        words[0] = self.at.0;
        words[1] = u64::from(self.kind.code()) | (u64::from(self.actor.0) << 16);
        words[2] = self.detail;
        words
    }

    fn from_words(words: &[u64]) -> Fault {
        Fault {
            at: Ticks(words[0]),
            kind: FaultKind::from_code(u16_at(words[1], 0)),
            actor: Actor(u16_at(words[1], 16)),
            detail: words[2],
        }
    }
}

impl Loss {
    pub(crate) fn words(&self) -> [u64; 15] {
        let mut words = [0; 15];
        words[0] = self.at.0;
        words[1] = u64::from(self.kind.code());
        words[2] = self.count;
        words
    }

    fn from_words(words: &[u64]) -> Loss {
        Loss { at: Ticks(words[0]), kind: LossKind::from_code(u16_at(words[1], 0)), count: words[2] }
    }
}

impl ProcessMark {
    pub(crate) fn words(&self) -> [u64; 15] {
        let mut words = [0; 15];
        words[0] = self.at.0;
        words[1] = u64::from(self.kind.code()) | (u64::from(self.actor.0) << 16);
        words[2] = both(self.pid, self.status.cast_unsigned());
        words
    }

    fn from_words(words: &[u64]) -> ProcessMark {
        ProcessMark {
            at: Ticks(words[0]),
            kind: ProcessMarkKind::from_code(u16_at(words[1], 0)),
            actor: Actor(u16_at(words[1], 16)),
            pid: low(words[2]),
            status: high(words[2]).cast_signed(),
        }
    }
}

impl ThreadMark {
    pub(crate) fn words(&self) -> [u64; 15] {
        let mut words = [0; 15];
        words[0] = self.at.0;
        words[1] = self.tid;
        words[2] = u64::from(self.purpose.code()) | (u64::from(self.number) << 16);
        words
    }

    fn from_words(words: &[u64]) -> ThreadMark {
        ThreadMark {
            at: Ticks(words[0]),
            tid: words[1],
            purpose: ThreadPurpose::from_code(u16_at(words[2], 0)),
            number: u16_at(words[2], 16),
        }
    }
}

impl PathFragment {
    /// The words of piece `fragment` of a path; `None` behind its end.
    pub(crate) fn words(path: u32, bytes: &[u8], fragment: usize) -> Option<[u64; 15]> {
        let piece = bytes.get(fragment * PATH_FRAGMENT_BYTES..)?;
        let piece = &piece[..piece.len().min(PATH_FRAGMENT_BYTES)];
        let (length, number) = (u16::try_from(bytes.len()).ok()?, u16::try_from(fragment).ok()?);
        let mut words = [0; 15];
        words[0] = u64::from(path) | (u64::from(length) << 32) | (u64::from(number) << 48);
        for (word, chunk) in words[1..].iter_mut().zip(piece.chunks(8)) {
            let mut padded = [0; 8];
            padded[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_le_bytes(padded);
        }
        Some(words)
    }

    /// `None` for a piece that lies outside its own path.
    fn from_words(words: &[u64]) -> Option<PathFragment> {
        let (length, fragment) = (u16_at(words[0], 32), u16_at(words[0], 48));
        let before = usize::from(fragment) * PATH_FRAGMENT_BYTES;
        let left = usize::from(length).checked_sub(before)?;
        if left == 0 && fragment > 0 {
            return None;
        }
        let mut bytes: Vec<u8> = words[1..].iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate(left.min(PATH_FRAGMENT_BYTES));
        Some(PathFragment { path: low(words[0]), length, fragment, bytes })
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
        kind::SIGHTING => Record::Sighting(Sighting::from_words(words)?),
        kind::GROUP_MARK => Record::GroupMark(GroupMark::from_words(words)?),
        kind::OUTLOOK => Record::Outlook(Outlook::from_words(words)),
        kind::NOTICE => Record::Notice(Notice::from_words(words)?),
        kind::LIFE => Record::Life(life::from_words(words)),
        _ => return None,
    })
}
