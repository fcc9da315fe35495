//! Notices: joined to the operation that they tell of, so that what follows from them has its place in a cascade.

use lab_model::{Lab, NotifyEvent};
use lab_trace::Notice;

use super::*;
use crate::pass::facts::{Noticeable, Noticed, counts};

/// What a notice is looked up by: the thread, and the file's inode and device; 0 and 0 for all files of an exec's
/// process.
pub(super) type NoticeKey = (u64, u64, u32);

/// A notice whose reactions are still to come.
#[derive(Clone, Copy, Debug)]
struct Reacting {
    client: u16,
    cascade: u32,
    node: u32,
    depth: u32,
    flame: u32,
    above: u128,
    about: Branch,
    reacted: bool,
    /// Operations that it will still have caused; 255 stands for 255 or more.
    children_left: u8,
}

/// The operations of which clients may still be told, and the notices that they may still react to.
#[derive(Clone, Debug)]
pub(super) struct Notices {
    /// Some client is told of something.
    listened: bool,
    /// Some client reacts to what it is told.
    reacts: bool,
    noticeable: Slab<Noticeable>,
    by_file: Table<NoticeKey, u32>,
    reacting: Slab<Reacting>,
    by_notice: Table<(u16, u64), u32>,
}

impl Notices {
    pub(super) fn of(lab: &Lab) -> Notices {
        let mut behaviors = lab.clients.iter().flat_map(|client| lab.behaviors_of(client));
        Notices {
            listened: lab.clients.iter().any(|client| lab.notifies(client)),
            reacts: behaviors.any(|behavior| !behavior.on_notify.is_none()),
            noticeable: Slab::default(),
            by_file: Table::default(),
            reacting: Slab::default(),
            by_notice: Table::default(),
        }
    }

    /// True when some client is told of something.
    pub(super) const fn listened(&self) -> bool {
        self.listened
    }
}

impl Engine<'_> {
    pub(super) fn notice(&mut self, item: &Item, notice: &Notice, merge: &Merge<'_>) {
        let Some(client) = self.scope.roster.participants[usize::from(item.trace)].client else {
            self.unjoined.misplaced.raise(1);
            return;
        };
        let slot = self.operation_of(notice);
        let op = slot.and_then(|slot| self.notices.noticeable.get(slot)).copied();
        let column = match op {
            Some(op) => usize::from(op.column),
            None => {
                let tid = notice.subject.tid;
                self.column_outside(tid, self.scope.timeline.products.of_thread(tid, item.at), merge)
            }
        };
        let now = if op.is_none() { self.phase_of(None, item.at) } else { None };
        let reactions = match op {
            Some(op) if op.cascade != NONE => self.hang(item, client, &op),
            _ => 0,
        };
        let noticed = Noticed {
            at: item.at,
            client,
            notice,
            column,
            op: op.as_ref(),
            phase: match op {
                Some(op) => op.in_storm.then_some(PhaseKind::Storm),
                None => now,
            },
            counted: op.map_or(counts(now), |op| op.counted),
            reacted: self.has_reacted_to_notice(item, client, notice, reactions),
            reactions,
        };
        self.measures.noticed(&noticed, &self.scope);
        let notified = op.is_some_and(|op| op.exec) && notice.events.contains(NotifyEvent::Exec);
        if let Some(op) = slot.filter(|_| notified).and_then(|slot| self.notices.noticeable.get_mut(slot)) {
            // A script's exec is told of once for the script and once for each program below it.
            op.notified |= bit(client);
        }
    }

    /// The operation that a notice tells of: its thread's latest on its file.
    fn operation_of(&self, notice: &Notice) -> Option<u32> {
        let (tid, by_file) = (notice.subject.tid, &self.notices.by_file);
        let of_file = notice.target.and_then(|file| by_file.get(&(tid, file.inode, file.device)));
        of_file.or_else(|| by_file.get(&(tid, 0, 0))).copied()
    }

    /// True when what a notice sets off is in the record.
    fn has_reacted_to_notice(&self, item: &Item, client: u16, notice: &Notice, reactions: u64) -> bool {
        let over = || match Expected::of_notice(self.policies.behaviors(client, item.at)) {
            Expected::Nothing => true,
            Expected::Before | Expected::After => reactions > 0,
            Expected::Perhaps => self.is_complete(item.trace, item.record),
        };
        (!notice.reacts || over()) && self.scope.timeline.deaths().all_lived(item.at)
    }

    /// Hangs a notice that has consequences below its operation. Returns how many are still to come.
    fn hang(&mut self, item: &Item, client: u16, op: &Noticeable) -> u64 {
        let place = usize::try_from(item.record).unwrap_or(usize::MAX);
        let children_left = self.children[usize::from(item.trace)].get(place).copied().unwrap_or(0);
        if children_left == 0 {
            return 0;
        }
        self.forest.hold(op.cascade);
        let node =
            Node { parent: op.node, count: 0, trace: item.trace, decision: false, record: item.record };
        let node = self.forest.attach(op.cascade, node);
        let flame = if op.in_storm { self.flame.through(op.flame, client) } else { op.flame };
        let reacting = Reacting {
            client,
            cascade: op.cascade,
            node,
            depth: op.depth,
            flame,
            above: op.above | bit(client),
            about: op.branch(),
            reacted: self.scope.timeline.deaths().all_lived(item.at),
            children_left,
        };
        let slot = self.notices.reacting.insert(reacting);
        self.notices.by_notice.insert((item.trace, item.record), slot);
        u64::from(children_left)
    }

    /// The place of an operation that was made because of a notice.
    pub(super) fn place_below_notice(&mut self, trace: u16, record: u64) -> Option<operation::Place> {
        let &slot = self.notices.by_notice.get(&(trace, record))?;
        let reacting = self.notices.reacting.get_mut(slot)?;
        let awaited = reacting.children_left < u8::MAX;
        if awaited {
            reacting.children_left = reacting.children_left.saturating_sub(1);
        }
        let parent = *reacting;
        self.forest.hold(parent.cascade);
        if parent.children_left == 0 {
            self.notices.by_notice.remove(&(trace, record));
            self.notices.reacting.remove(slot);
            self.release(parent.cascade);
        }
        Some(operation::Place {
            cascade: parent.cascade,
            parent: parent.node,
            depth: parent.depth.saturating_add(1),
            flame: parent.flame,
            above: parent.above,
            by: Some(By {
                client: parent.client,
                slot: NONE,
                record,
                about: parent.about,
                reacted: parent.reacted,
            }),
            awaited,
        })
    }

    /// Remembers an operation of which clients may be told.
    pub(super) fn notable(&mut self, key: NoticeKey, op: Noticeable) {
        let cascade = if self.notices.reacts { op.cascade } else { NONE };
        if cascade != NONE {
            self.forest.hold(cascade);
        }
        let slot = self.notices.noticeable.insert(Noticeable { cascade, ..op });
        if let Some(before) = self.notices.by_file.insert(key, slot) {
            self.past(before);
        }
    }

    /// An operation of which nobody will be told any more.
    fn past(&mut self, slot: u32) {
        let Some(op) = self.notices.noticeable.remove(slot) else { return };
        self.measures.notices_over(&op, &self.scope);
        if op.cascade != NONE {
            self.release(op.cascade);
        }
    }

    /// Closes what waited for notices or for reactions to them.
    pub(super) fn end_notices(&mut self) {
        for slot in self.notices.noticeable.used() {
            self.past(slot);
        }
        for slot in self.notices.reacting.used() {
            if let Some(reacting) = self.notices.reacting.remove(slot) {
                self.release(reacting.cascade);
            }
        }
    }
}
