//! Questions to this client, and their answers.

use lab_model::{Actor, Approval, EventKind, SubjectClass, ThreadId, Ticks, Verdict};

use super::{
    RecordPart,
    words::{both, class_code, class_from, high, low, optional, ticks, u16_at},
};

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What was known when the event was read.
    pub begin: DecisionBegin,
    /// The answer; absent when the client died before it answered.
    pub end: RecordPart<DecisionEnd>,
    /// The file, resolved after the answer.
    pub target: RecordPart<Target>,
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

impl Target {
    pub(crate) fn words(&self) -> [u64; 2] {
        [self.inode, both(self.device, self.path)]
    }

    pub(crate) fn from_words(words: &[u64]) -> Target {
        Target { inode: words[0], device: low(words[1]), path: high(words[1]) }
    }
}
