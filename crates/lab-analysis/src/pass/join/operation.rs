//! Operations: begun, given their place in a cascade, ended.

use lab_model::Bounded;

use super::*;
use crate::pass::facts::{
    BegunOperation, ClosedCascade, EndedOperation, Noticeable, OrphanedOperation, counts,
};

/// Where an operation hangs.
pub(super) struct Place {
    pub(super) cascade: u32,
    pub(super) parent: u32,
    pub(super) depth: u32,
    pub(super) flame: u32,
    pub(super) above: u128,
    pub(super) by: Option<By>,
    /// It was counted among the reactions that were still to come.
    pub(super) awaited: bool,
}

impl Engine<'_> {
    pub(super) fn operation(&mut self, item: &Item, operation: &Operation, merge: &Merge<'_>) {
        let participant = &self.scope.roster.participants[usize::from(item.trace)];
        let (owner, column) = (participant.client.unwrap_or(NOBODY), participant.column);
        let begin = &operation.begin;
        let phase = self.phase_of(begin.phase, item.at);
        let place = self.place(item, operation, phase);
        let root = begin.cause == Cause::Workload;
        let end = operation.end.present();
        let ended = end.map_or(NEVER, |end| end.ended.0.max(item.at));
        let target = operation.target.present().filter(|target| target.inode != 0);
        let node = self.attach_operation(item, &place);
        let cascade = self.forest.get(place.cascade);
        let (in_storm, phase) = (cascade.in_storm(), cascade.phase);
        let begun = BegunOperation {
            trace: item.trace,
            record: item.record,
            at: item.at,
            operation,
            participant,
            root,
            phase,
            in_storm,
            by: place.by,
            awaited: place.awaited,
        };
        self.measures.operation_begun(&begun, &self.scope);
        if let Some(target) = target {
            self.paths.learn(item.trace, target);
        }
        let group = participant.group.unwrap_or(NOBODY);
        let waited = self.is_waited_for(group, place.by);
        let by_reader = owner != NOBODY && merge.is_reader(begin.subject.tid);
        if by_reader {
            self.readers[usize::from(owner)] = merge.side(item.trace).readers.max(1);
        }
        let path = target.and_then(|target| self.paths.text(item.trace, target, merge, self.scope.traces));
        let slot = self.ops.insert(Op {
            trace: item.trace,
            record: item.record,
            started: item.at,
            ended,
            tid: begin.subject.tid,
            pid: begin.subject.pid,
            kind: begin.kind,
            owner,
            column,
            group,
            waited,
            by_reader,
            root,
            by: place.by,
            cascade: place.cascade,
            node,
            depth: place.depth,
            flame: place.flame,
            above: place.above,
            target: target.map(|target| (target.inode, target.device)),
            counted: counts(phase),
            error: end.map_or(0, |end| end.error),
            path,
            ..Op::root_open()
        });
        if self.notices.listened() {
            self.may_be_told(slot, end.is_some_and(|end| end.error == 0));
        }
        self.enter(slot);
    }

    /// Hangs an operation into its cascade, and gives its node.
    fn attach_operation(&mut self, item: &Item, place: &Place) -> u32 {
        let cascade = self.forest.get_mut(place.cascade);
        cascade.operations.raise(1);
        cascade.depth = cascade.depth.max(u64::from(place.depth));
        let (trace, record) = (item.trace, item.record);
        self.forest
            .attach(place.cascade, Node { parent: place.parent, count: 0, trace, decision: false, record })
    }

    /// Enters an operation wherever it is looked up: by its thread or process, by its end, and by who waits for it.
    fn enter(&mut self, slot: u32) {
        let Some(op) = self.ops.get(slot) else { return };
        self.by_thread.insert(op.tid, slot);
        if op.kind == OperationKind::Exec {
            self.by_process.insert(op.pid, slot);
        }
        if let Some(open) = op.listed().and_then(|at| self.open.get_mut(at)) {
            open.push(slot);
        }
        let (by, waited, started, ended) = (op.by, op.waited, op.started, op.ended);
        let parent = by.filter(|_| waited).and_then(|by| self.decisions.get_mut(by.slot));
        if let Some(parent) = parent {
            parent.child = slot;
            // A thread of its own makes it, so the decision waits for all of it: the others' answers, its own
            // reader's, and the kernel's way from one to the next.
            let blocked = self.scope.timeline.took(started, ended.min(parent.until));
            parent.blocked = parent.blocked.saturating_add(blocked);
        }
        if let Some(by) = by {
            self.forget(by.slot);
        }
        if ended != NEVER {
            self.ends.push(Reverse((ended, slot)));
        }
    }

    /// True when a worker waits for the end of an operation that a group of workers makes.
    fn is_waited_for(&mut self, group: u16, by: Option<By>) -> bool {
        match (group, by.and_then(|by| self.decisions.get_mut(by.slot))) {
            (NOBODY, _) => by.is_some(),
            (group, Some(parent)) if parent.needs & bit(group) != 0 => {
                parent.needs &= !bit(group);
                true
            }
            // A later open of the same request.
            (group, Some(parent)) => {
                let waits = self.scope.roster.clients[usize::from(parent.client)].waits;
                (waits[0] | waits[1]) & bit(group) != 0
            }
            (_, None) => false,
        }
    }

    /// Remembers an operation for those who are told of it.
    fn may_be_told(&mut self, slot: u32, succeeded: bool) {
        let Some(op) = self.ops.get(slot) else { return };
        let exec = op.kind != OperationKind::Open;
        let key = match op.target {
            _ if exec => (op.tid, 0, 0),
            Some((inode, device)) => (op.tid, inode, device),
            // An open whose file is not known has failed, and nobody is told of that.
            None => return,
        };
        let noticeable = Noticeable {
            column: op.column,
            exec,
            ended: op.ended,
            counted: op.counted && op.kind != OperationKind::Process,
            succeeded,
            notified: 0,
            root: op.root,
            cascade: op.cascade,
            in_storm: self.forest.get(op.cascade).in_storm(),
            node: op.node,
            depth: op.depth,
            flame: op.flame,
            above: op.above,
        };
        self.notable(key, noticeable);
    }

    /// Finds the decision during which an operation was made, or opens a cascade.
    fn place(&mut self, item: &Item, operation: &Operation, phase: Option<PhaseKind>) -> Place {
        let kind = operation.begin.kind;
        let mut awaited = false;
        let origin = match operation.begin.cause {
            Cause::Workload => Origin::Workload,
            Cause::Housekeeping => Origin::Housekeeping,
            Cause::Decision { client, record } => {
                match self.place_below(client.0, record) {
                    Ok(place) => return place,
                    Err(without) => awaited = without,
                }
                self.unjoined.orphans.raise(1);
                Origin::Orphan
            }
        };
        Place {
            cascade: self.forest.open(origin, kind, phase, item.at),
            parent: NOWHERE,
            depth: 1,
            flame: Flame::root(kind),
            above: 0,
            by: None,
            awaited,
        }
    }

    /// The place below a decision or notice. Where that is in no cascade there is none, and the error says only whether
    /// the operation was counted among the reactions that were still to come.
    fn place_below(&mut self, client: u16, record: u64) -> Result<Place, bool> {
        let trace = self.scope.roster.trace_of(client).ok_or(false)?;
        let Some(&slot) = self.by_record.get(&(trace, record)) else {
            return self.place_below_notice(trace, record).ok_or(false);
        };
        let parent = self.decisions.get_mut(slot).ok_or(false)?;
        let mut awaited = false;
        if parent.children_left < u8::MAX {
            parent.children_left = parent.children_left.saturating_sub(1);
            awaited = !parent.pending;
        }
        if parent.cascade == NONE {
            return Err(awaited);
        }
        self.forest.hold(parent.cascade);
        Ok(Place {
            cascade: parent.cascade,
            parent: parent.node,
            depth: parent.depth.saturating_add(1),
            flame: parent.flame,
            above: parent.above | bit(parent.client),
            by: Some(By {
                client: parent.client,
                slot,
                record,
                about: parent.about,
                reacted: parent.reacted,
            }),
            awaited,
        })
    }

    pub(super) fn end_operation(&mut self, slot: u32, at: u64, ending: Ending) {
        let Some(op) = self.ops.get(slot) else { return };
        let long = at.saturating_sub(op.started) >= self.deadline / LOOK_SHARE;
        if op.listed().is_some() && long && ending == Ending::Itself {
            self.look();
        }
        let Some(op) = self.ops.remove(slot) else { return };
        if self.by_thread.get(&op.tid) == Some(&slot) {
            self.by_thread.remove(&op.tid);
        }
        if self.by_process.get(&op.pid) == Some(&slot) {
            self.by_process.remove(&op.pid);
        }
        self.no_longer_waited_for(slot, op.listed(), op.by);
        for &decision in &op.pending {
            if let Some(decision) = self.decisions.get_mut(decision) {
                decision.op = NONE;
            }
        }
        let closing = self.scope.timeline.closing;
        let cascade = self.forest.get_mut(op.cascade);
        let (in_storm, phase) = (cascade.in_storm(), cascade.phase);
        if ending == Ending::Itself {
            cascade.last = cascade.last.max(at);
            cascade.root_completed |= op.root;
        } else {
            cascade.cut |= ending == Ending::Run || at > closing;
        }
        let asks_who_lives = op.root && op.denied && in_storm && ending == Ending::Itself;
        let alive = if asks_who_lives { self.alive() } else { 0 };
        let ended = EndedOperation { op: &op, at, ending, phase, in_storm, alive };
        self.measures.operation_ended(&ended, &self.scope);
        self.release(op.cascade);
    }

    /// Lets an exec's program go on without the process that made it: nobody waits for it and nobody will record its
    /// end, but what clients are asked about it is still about this operation.
    pub(super) fn orphan(&mut self, slot: u32, at: u64) {
        let Some(op) = self.ops.get_mut(slot) else { return };
        op.orphaned = Some(at);
        let (listed, by, cascade) = (op.listed(), op.by, op.cascade);
        self.no_longer_waited_for(slot, listed, by);
        let orphaned = OrphanedOperation { in_storm: self.forest.get(cascade).in_storm() };
        self.measures.operation_orphaned(&orphaned, &self.scope);
    }

    fn no_longer_waited_for(&mut self, slot: u32, listed: Option<usize>, by: Option<By>) {
        if let Some(open) = listed.and_then(|at| self.open.get_mut(at)) {
            open.retain(|&other| other != slot);
        }
        if let Some(parent) =
            by.and_then(|by| self.decisions.get_mut(by.slot)).filter(|dec| dec.child == slot)
        {
            parent.child = NONE;
        }
    }

    /// Lets go of a cascade, and tells of it when nothing in it is open any more.
    pub(super) fn release(&mut self, slot: u32) {
        if !self.forest.release(slot) {
            return;
        }
        let closed = ClosedCascade { cascade: self.forest.get(slot) };
        self.measures.cascade_closed(&closed, &self.scope);
        self.forest.close(slot);
    }
}
