//! What this process itself did.

use lab_model::{Actor, Cause, OperationKind, PhaseKind, ThreadId, Ticks};

use super::{
    RecordPart, Target,
    words::{both, high, low, optional, ticks, u16_at},
};

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What was known when it began.
    pub begin: OperationBegin,
    /// How it ended; absent when the process died in it.
    pub end: RecordPart<OperationEnd>,
    /// The file.
    pub target: RecordPart<Target>,
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
    /// The place, in this trace, of the exec whose process made this one: within a tree of programs, below its root.
    /// Kept for operations of the workload only; `None` for any other, and where it is not known.
    pub parent: Option<u64>,
}

impl OperationBegin {
    pub(crate) fn words(&self) -> [u64; 7] {
        let (cause_kind, cause_actor, cause_record) = match self.cause {
            Cause::Workload => (0_u64, 0, self.parent.map_or(0, |place| place.saturating_add(1))),
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
        let workload = u16_at(words[5], 16) == 0;
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
            parent: words[3].checked_sub(1).filter(|_| workload),
        })
    }
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
