//! Notices: joined to the operation that they tell of, so that what follows from them has its place in a cascade.

use lab_model::{Bounded, NotifyEvent};
use lab_trace::Notice;

use super::*;
use crate::{
    measures::notify::{Noticeable, Reacting},
    pass::slots::By,
};

/// What a notice is looked up by: the thread, and the file's inode and device; 0 and 0 for all files of an exec's
/// process.
pub(super) type NoticeKey = (u64, u64, u32);

impl Engine<'_> {
    pub(super) fn notice(&mut self, item: &Item, notice: &Notice, merge: &Merge<'_>) {
        let Some(client) = self.roster.participants[usize::from(item.trace)].client else {
            self.counts.misplaced.raise(1);
            return;
        };
        let slot = self.operation_of(notice);
        let op = slot.and_then(|slot| self.noticeable.get(slot)).copied();
        let column = match op {
            Some(op) => usize::from(op.column),
            None => {
                let tid = notice.subject.tid;
                self.column_outside(tid, self.timeline.products.of_thread(tid, item.at), merge)
            }
        };
        let phase = match op {
            Some(op) => op.in_storm.then_some(PhaseKind::Storm),
            None => self.phase_of(None, item.at),
        };
        self.counts.notice(op.is_some(), phase);
        let counted = match op {
            Some(op) => op.counted,
            None => matches!(self.phase_of(None, item.at), Some(PhaseKind::Storm | PhaseKind::Drain)),
        };
        if let (true, Some(tally)) = (counted, self.notify.get_mut(usize::from(client))) {
            tally.notices.raise(1);
            for (place, event) in NotifyEvent::ALL.into_iter().enumerate() {
                tally.by_event[place].raise(u64::from(notice.events.contains(event)));
            }
            tally.mixed.raise(u64::from(notice.events.bits().count_ones() > 1));
            tally.by_author[column].raise(1);
            tally.reacted.raise(u64::from(notice.reacts));
            if let Some(op) = op.filter(|op| op.ended != NEVER) {
                tally.lag.record(item.at.saturating_sub(op.ended));
            }
        }
        let (Some(slot), Some(op)) = (slot, op) else { return };
        if op.exec && notice.events.contains(NotifyEvent::Exec) {
            // A script's exec is told of once for the script and once for each program below it.
            if let Some(op) = self.noticeable.get_mut(slot) {
                op.notified |= operation::bit(client);
            }
        } else if !op.exec && op.counted && notice.events.contains(NotifyEvent::Open) {
            self.notify[usize::from(client)].opens.notified.raise(1);
        }
        if op.cascade != NONE {
            self.hang(item, client, &op);
        }
    }

    /// The operation that a notice tells of: its thread's latest on its file.
    fn operation_of(&self, notice: &Notice) -> Option<u32> {
        let tid = notice.subject.tid;
        let of_file = notice.target.and_then(|file| self.by_file.get(&(tid, file.inode, file.device)));
        of_file.or_else(|| self.by_file.get(&(tid, 0, 0))).copied()
    }

    /// Hangs a notice that has consequences below its operation, and counts it as an event that was handled.
    fn hang(&mut self, item: &Item, client: u16, op: &Noticeable) {
        let place = usize::try_from(item.record).unwrap_or(usize::MAX);
        let children_left = self.children[usize::from(item.trace)].get(place).copied().unwrap_or(0);
        let kind = self.gain.of_notices(client);
        if op.in_storm {
            let last = self.last_parent[usize::from(item.trace)];
            let judged = item.record <= last || last == 0;
            let cascade = self.forest.get_mut(op.cascade);
            self.gain.event(cascade, kind, !op.root, judged);
            if let Some((by, about_client)) = op.by {
                self.gain.landing(cascade, kind, by, about_client);
            }
        }
        if children_left == 0 {
            return;
        }
        self.forest.hold(op.cascade);
        let node =
            Node { parent: op.node, count: 0, trace: item.trace, decision: false, record: item.record };
        let node = self.forest.attach(op.cascade, node);
        let flame = if op.in_storm { self.flame.through(op.flame, client) } else { op.flame };
        self.backlog.more(item.at, u64::from(children_left));
        self.reactions_due.raise(u64::from(children_left));
        self.drain.read(item.at);
        let reacting = Reacting {
            client,
            cascade: op.cascade,
            node,
            depth: op.depth,
            flame,
            above: op.above | operation::bit(client),
            about_client: !op.root,
            children_left,
        };
        let slot = self.reacting.insert(reacting);
        self.by_notice.insert((item.trace, item.record), slot);
    }

    /// The place of an operation that was made because of a notice.
    pub(super) fn place_below_notice(
        &mut self,
        at: u64,
        trace: u16,
        record: u64,
    ) -> Option<operation::Place> {
        let &slot = self.by_notice.get(&(trace, record))?;
        let reacting = self.reacting.get_mut(slot)?;
        if reacting.children_left < u8::MAX {
            reacting.children_left = reacting.children_left.saturating_sub(1);
            self.backlog.less(at, 1);
            self.reactions_due = self.reactions_due.saturating_sub(1);
        }
        let parent = *reacting;
        self.forest.hold(parent.cascade);
        if parent.children_left == 0 {
            self.by_notice.remove(&(trace, record));
            self.reacting.remove(slot);
            self.release(parent.cascade);
        }
        let kind = self.gain.of_notices(parent.client);
        Some(operation::Place {
            cascade: parent.cascade,
            parent: parent.node,
            depth: parent.depth.saturating_add(1),
            flame: parent.flame,
            above: parent.above,
            by: Some(By {
                client: parent.client,
                kind,
                slot: NONE,
                record,
                about_client: parent.about_client,
            }),
        })
    }

    /// Remembers an operation of which clients may be told.
    pub(super) fn notable(&mut self, key: NoticeKey, op: Noticeable) {
        let cascade = if self.reacts { op.cascade } else { NONE };
        if cascade != NONE {
            self.forest.hold(cascade);
        }
        let slot = self.noticeable.insert(Noticeable { cascade, ..op });
        if let Some(before) = self.by_file.insert(key, slot) {
            self.past(before);
        }
    }

    /// An operation of which nobody will be told any more.
    fn past(&mut self, slot: u32) {
        let Some(op) = self.noticeable.remove(slot) else { return };
        if op.counted && op.succeeded {
            for (client, tally) in (0_u16..).zip(&mut self.notify) {
                let coverage = if op.exec { &mut tally.execs } else { &mut tally.opens };
                coverage.operations.raise(1);
                coverage.notified.raise(u64::from(op.notified & operation::bit(client) != 0));
            }
        }
        if op.cascade != NONE {
            self.release(op.cascade);
        }
    }

    /// Closes what waited for notices or for reactions to them.
    pub(super) fn end_notices(&mut self) {
        for slot in self.noticeable.used() {
            self.past(slot);
        }
        for slot in self.reacting.used() {
            if let Some(reacting) = self.reacting.remove(slot) {
                self.release(reacting.cascade);
            }
        }
    }
}
