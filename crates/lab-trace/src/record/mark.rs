//! Marks of where a run is: its phases, processes and threads.

use lab_model::{Actor, PhaseKind, Ticks};

use super::words::{both, high, low, u16_at};

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

impl PhaseMark {
    pub(crate) fn words(&self) -> [u64; 15] {
        let mut words = [0; 15];
        words[0] = self.at.0;
        words[1] = u64::from(self.phase.code()) | (u64::from(self.begins) << 16);
        words
    }

    pub(super) fn from_words(words: &[u64]) -> Option<PhaseMark> {
        let phase = PhaseKind::from_code(u16_at(words[1], 0))?;
        let begins = match u16_at(words[1], 16) {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(PhaseMark { at: Ticks(words[0]), phase, begins })
    }
}

/// A time in which the orchestrator did not look at the other processes, although it was there to keep their
/// deadlines: it was stopped, starved, or the whole machine stood still.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unwatched {
    /// When it last looked.
    pub from: Ticks,
    /// When it looked again.
    pub until: Ticks,
}

impl Unwatched {
    pub(crate) fn words(&self) -> [u64; 15] {
        let mut words = [0; 15];
        words[0] = self.from.0;
        words[1] = self.until.0;
        words
    }

    pub(super) const fn from_words(words: &[u64]) -> Unwatched {
        Unwatched { from: Ticks(words[0]), until: Ticks(words[1]) }
    }
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
    pub(super) const fn code(self) -> u16 {
        match self {
            ProcessMarkKind::Started => 1,
            ProcessMarkKind::Ready => 2,
            ProcessMarkKind::Ended => 3,
            ProcessMarkKind::Other(code) => code,
        }
    }

    pub(super) const fn from_code(code: u16) -> ProcessMarkKind {
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

impl ProcessMark {
    pub(crate) fn words(&self) -> [u64; 15] {
        let mut words = [0; 15];
        words[0] = self.at.0;
        words[1] = u64::from(self.kind.code()) | (u64::from(self.actor.0) << 16);
        words[2] = both(self.pid, self.status.cast_unsigned());
        words
    }

    pub(super) fn from_words(words: &[u64]) -> ProcessMark {
        ProcessMark {
            at: Ticks(words[0]),
            kind: ProcessMarkKind::from_code(u16_at(words[1], 0)),
            actor: Actor(u16_at(words[1], 16)),
            pid: low(words[2]),
            status: high(words[2]).cast_signed(),
        }
    }
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
    pub(super) const fn code(self) -> u16 {
        match self {
            ThreadPurpose::Control => 1,
            ThreadPurpose::Reader => 2,
            ThreadPurpose::Worker => 3,
            ThreadPurpose::Housekeeper => 4,
            ThreadPurpose::Observer => 5,
            ThreadPurpose::Other(code) => code,
        }
    }

    pub(super) const fn from_code(code: u16) -> ThreadPurpose {
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

impl ThreadMark {
    pub(crate) fn words(&self) -> [u64; 15] {
        let mut words = [0; 15];
        words[0] = self.at.0;
        words[1] = self.tid;
        words[2] = u64::from(self.purpose.code()) | (u64::from(self.number) << 16);
        words
    }

    pub(super) fn from_words(words: &[u64]) -> ThreadMark {
        ThreadMark {
            at: Ticks(words[0]),
            tid: words[1],
            purpose: ThreadPurpose::from_code(u16_at(words[2], 0)),
            number: u16_at(words[2], 16),
        }
    }
}
