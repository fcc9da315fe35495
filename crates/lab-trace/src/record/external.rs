//! Records about products that the lab did not build, as the orchestrator saw them from outside.

use lab_model::{Actor, Ticks};

use super::words::{both, high, low, u16_at};

/// A thread of an external product was seen in `/proc` for the first time, or was no longer there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThreadSeen {
    /// When the orchestrator looked.
    pub at: Ticks,
    /// Whose thread it is.
    pub actor: Actor,
    /// Its process.
    pub pid: u32,
    /// Its ID.
    pub tid: u64,
    /// True when it was there, false when it had gone.
    pub there: bool,
}

/// What a mark of a fanotify group is set on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkOn {
    /// One file or folder.
    Inode,
    /// What is reached through one mount.
    Mount,
    /// A whole file system.
    FileSystem,
    /// Something else, by number.
    Other(u16),
}

impl MarkOn {
    const fn code(self) -> u16 {
        match self {
            MarkOn::Inode => 1,
            MarkOn::Mount => 2,
            MarkOn::FileSystem => 3,
            MarkOn::Other(code) => code,
        }
    }

    const fn from_code(code: u16) -> MarkOn {
        match code {
            1 => MarkOn::Inode,
            2 => MarkOn::Mount,
            3 => MarkOn::FileSystem,
            other => MarkOn::Other(other),
        }
    }
}

/// A mark of a product's fanotify group, as `/proc/PID/fdinfo/FD` showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupMark {
    /// When the orchestrator looked.
    pub at: Ticks,
    /// Whose group it is.
    pub actor: Actor,
    /// The process that holds it.
    pub pid: u32,
    /// The group's descriptor there.
    pub descriptor: u32,
    /// The flags that the group was made with (`fanotify_init`).
    pub flags: u32,
    /// What is marked.
    pub on: MarkOn,
    /// True when that is the lab's arena or lies in it.
    pub arena: bool,
    /// The events that are asked about or told (`FAN_*`).
    pub mask: u64,
}

/// What waits for an external product at one moment, seen from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueSample {
    /// When the orchestrator looked.
    pub at: Ticks,
    /// The product; [`Actor::UNKNOWN`] when there are several that it may be.
    pub actor: Actor,
    /// Events in its group's queue that it had not read; `None` when its group could not be looked at.
    pub unread: Option<u64>,
    /// Operations of lab processes that wait in the kernel for an answer and that no client of the lab holds.
    pub waiting: u32,
    /// When the oldest of these began; `None` without any.
    pub since: Option<Ticks>,
}

impl ThreadSeen {
    pub(crate) fn words(&self) -> [u64; 15] {
        let mut words = [0; 15];
        words[0] = self.at.0;
        words[1] = u64::from(self.actor.0) | (u64::from(self.there) << 16) | (u64::from(self.pid) << 32);
        words[2] = self.tid;
        words
    }

    pub(crate) fn from_words(words: &[u64]) -> Option<ThreadSeen> {
        let there = match u16_at(words[1], 16) {
            0 => false,
            1 => true,
            _ => return None,
        };
        let actor = Actor(u16_at(words[1], 0));
        Some(ThreadSeen { at: Ticks(words[0]), actor, pid: high(words[1]), tid: words[2], there })
    }
}

impl GroupMark {
    pub(crate) fn words(&self) -> [u64; 15] {
        let mut words = [0; 15];
        words[0] = self.at.0;
        words[1] = u64::from(self.actor.0) | (u64::from(self.on.code()) << 16) | (u64::from(self.pid) << 32);
        words[2] = both(self.descriptor, self.flags);
        words[3] = self.mask;
        words[4] = u64::from(self.arena);
        words
    }

    pub(crate) fn from_words(words: &[u64]) -> Option<GroupMark> {
        let arena = match words[4] {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(GroupMark {
            at: Ticks(words[0]),
            actor: Actor(u16_at(words[1], 0)),
            pid: high(words[1]),
            descriptor: low(words[2]),
            flags: high(words[2]),
            on: MarkOn::from_code(u16_at(words[1], 16)),
            arena,
            mask: words[3],
        })
    }
}

impl QueueSample {
    pub(crate) fn words(&self) -> [u64; 15] {
        let mut words = [0; 15];
        words[0] = self.at.0;
        words[1] = u64::from(self.actor.0) | (u64::from(self.waiting) << 32);
        words[2] = self.unread.map_or(0, |unread| unread.saturating_add(1));
        words[3] = self.since.map_or(0, |since| since.0);
        words
    }

    pub(crate) fn from_words(words: &[u64]) -> QueueSample {
        QueueSample {
            at: Ticks(words[0]),
            actor: Actor(u16_at(words[1], 0)),
            unread: words[2].checked_sub(1),
            waiting: high(words[1]),
            since: (words[3] != 0).then_some(Ticks(words[3])),
        }
    }
}
