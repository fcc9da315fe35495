//! What a client is told of and has not read: as each kernel keeps it for it.

use std::collections::{BTreeMap, VecDeque};

use lab_model::{NotifyEvent, NotifyEvents};

use crate::kernel::subject::Subject;

/// What one client is told of.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    /// The thread that listens, if any ever does.
    pub(super) observer: Option<u32>,
    pub(super) wanted: NotifyEvents,
    pub(super) unread: VecDeque<Happened>,
    /// Events that have left the queue, so that a place in it has a number that stays.
    left: u64,
    /// fanotify: the latest unread event of a thread on a file, by its number.
    latest: BTreeMap<(u64, u32, bool), u64>,
    /// Endpoint Security: messages so far of each kind, dropped ones included.
    pub(super) sequence: [u64; NotifyEvent::ALL.len()],
    /// Dropped messages that the trace does not tell of yet.
    pub(super) dropped: u64,
    /// Notices read so far.
    pub(super) read: u64,
}

/// Something that has happened and that a client is to be told of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Happened {
    pub(super) at: u64,
    pub(super) events: NotifyEvents,
    /// The file; [`crate::hardware::NONE`] for what happens to a process.
    pub(super) file: u32,
    pub(super) subject: Subject,
    pub(super) sequence: u64,
    /// Endpoint Security says of a close whether the file had been written to.
    pub(super) modified: Option<bool>,
    /// The events and the opens that it stands for.
    pub(super) count: (u64, u64),
}

/// What fanotify merges by: thread and file, and the group, for names that come and go have one of their own.
fn key(happened: &Happened) -> (u64, u32, bool) {
    (happened.subject.tid, happened.file, happened.events.has_names())
}

impl Notices {
    pub(crate) fn of(observer: u32, wanted: NotifyEvents) -> Notices {
        Notices { observer: Some(observer), wanted, ..Notices::default() }
    }

    pub(crate) const fn observer(&self) -> Option<u32> {
        self.observer
    }

    /// Is told of these from now on.
    pub(crate) fn listen(&mut self, wanted: NotifyEvents) {
        self.wanted = wanted;
    }

    /// Adds to the unread event of the same thread on the same file; false when there is none.
    pub(super) fn merge(&mut self, happened: &Happened) -> bool {
        let key = key(happened);
        let Some(number) = self.latest.get(&key) else { return false };
        let place = usize::try_from(number - self.left).unwrap_or(usize::MAX);
        let Some(before) = self.unread.get_mut(place) else { return false };
        before.events = before.events.iter().chain(happened.events.iter()).collect();
        before.count = both(before.count, happened.count);
        before.subject = happened.subject;
        true
    }

    pub(super) fn push(&mut self, happened: Happened) {
        let number = self.left + self.unread.len() as u64;
        self.latest.insert(key(&happened), number);
        self.unread.push_back(happened);
    }

    pub(super) fn pop(&mut self) -> Option<Happened> {
        let happened = self.unread.pop_front()?;
        let key = key(&happened);
        if self.latest.get(&key) == Some(&self.left) {
            self.latest.remove(&key);
        }
        self.left += 1;
        Some(happened)
    }

    /// Takes away all that lies unread: how many notices it would have been, and the events and opens
    /// that they stand for.
    pub(super) fn clear(&mut self) -> (u64, (u64, u64)) {
        let (mut notices, mut count) = (0, (0, 0));
        while let Some(happened) = self.pop() {
            notices += 1;
            count = both(count, happened.count);
        }
        (notices, count)
    }
}

const fn both(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    (one.0 + other.0, one.1 + other.1)
}
