//! Operations: begun, given their place in a cascade, ended.

use lab_model::Bounded;
use lab_trace::Target;

use super::*;
use crate::{measures::external, show::path};

/// Where an operation hangs.
pub(super) struct Place {
    pub(super) cascade: u32,
    pub(super) parent: u32,
    pub(super) depth: u32,
    pub(super) flame: u32,
    pub(super) above: u128,
    pub(super) by: Option<By>,
}

impl Engine<'_> {
    pub(super) fn operation(&mut self, item: &Item, operation: &Operation, merge: &Merge<'_>) {
        let participant = &self.roster.participants[usize::from(item.trace)];
        let (owner, column) = (participant.client.unwrap_or(NOBODY), participant.column);
        let begin = &operation.begin;
        let phase = self.phase_of(begin.phase, item.at);
        let place = self.place(item, operation, phase);
        let root = begin.cause == Cause::Workload;
        let end = operation.end.present();
        let ended = end.map_or(NEVER, |end| end.ended.0.max(item.at));
        let target = operation.target.present().filter(|target| target.inode != 0);
        let cascade = self.forest.get_mut(place.cascade);
        cascade.operations.raise(1);
        cascade.depth = cascade.depth.max(u64::from(place.depth));
        let (in_storm, phase) = (cascade.in_storm(), cascade.phase);
        let node =
            Node { parent: place.parent, count: 0, trace: item.trace, decision: false, record: item.record };
        let node = self.forest.attach(place.cascade, node);
        self.counts.operation(root, end.is_none(), phase);
        if let Some(knee) = self.knee.as_mut().filter(|_| root && participant.role == lab_model::Role::Driver)
        {
            knee.operation(begin, end);
        }
        if let Some(trees) = self.trees.as_mut().filter(|_| participant.role == lab_model::Role::Driver) {
            trees.begin(item.trace, item.record, operation, phase);
        }
        if root {
            self.phases.begin(phase, item.at, begin, end);
        }
        if let (Some(planned), true, Some(PhaseKind::Storm)) = (begin.planned, root, phase) {
            self.backlog.started(item.at, planned.0);
        }
        if let Some(target) = target.filter(|target| target.path != 0) {
            let key = (target.inode, target.device);
            if self.known_paths.len() < PATHS_KNOWN_MAX {
                self.known_paths.entry(key).or_insert((item.trace, target.path));
            }
        }
        let in_scope = matches!(phase, Some(PhaseKind::Storm | PhaseKind::Drain));
        if let Some(account) = self.accounts.get_mut(usize::from(owner)).filter(|_| in_scope) {
            account.operations.raise(1);
        }
        let group = participant.group.unwrap_or(NOBODY);
        let waited = match (group, place.by.and_then(|by| self.decisions.get_mut(by.slot))) {
            (NOBODY, _) => place.by.is_some(),
            (group, Some(parent)) if parent.needs & bit(group) != 0 => {
                parent.needs &= !bit(group);
                true
            }
            // A later open of the same request.
            (group, Some(parent)) => {
                let waits = self.roster.clients[usize::from(parent.client)].waits;
                (waits[0] | waits[1]) & bit(group) != 0
            }
            (_, None) => false,
        };
        let by_reader = owner != NOBODY && merge.is_reader(begin.subject.tid);
        if by_reader {
            self.readers[usize::from(owner)] = merge.side(item.trace).readers.max(1);
        }
        let path = target.and_then(|target| self.text(item.trace, target, merge));
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
            answered: 0,
            pending: Vec::new(),
            asked_by: 0,
            asked: Vec::new(),
            orphaned: None,
            counted: in_scope,
            error: end.map_or(0, |end| end.error),
            denied: false,
            path,
        });
        if self.listens {
            self.may_be_told(slot, end.is_some_and(|end| end.error == 0));
        }
        self.by_thread.insert(begin.subject.tid, slot);
        if begin.kind == OperationKind::Exec {
            self.by_process.insert(begin.subject.pid, slot);
        }
        if let Some(open) = self.ops.get(slot).and_then(Op::listed).and_then(|at| self.open.get_mut(at)) {
            open.push(slot);
        }
        let parent = place.by.filter(|_| waited).and_then(|by| self.decisions.get_mut(by.slot));
        if let Some(parent) = parent {
            parent.child = slot;
            // A thread of its own makes it, so the decision waits for all of it: the others' answers, its own
            // reader's, and the kernel's way from one to the next.
            let waited = ended.min(parent.answered).saturating_sub(item.at);
            parent.blocked = parent.blocked.saturating_add(waited);
        }
        if let Some(by) = place.by {
            self.forget(by.slot);
        }
        self.open_in_storm.raise(u64::from(in_storm));
        if ended != NEVER {
            self.ends.push(Reverse((ended, slot)));
        }
    }

    /// Remembers an operation for those who are told of it.
    fn may_be_told(&mut self, slot: u32, succeeded: bool) {
        let Some(op) = self.ops.get(slot) else { return };
        if let Some(by) = op.by.filter(|by| by.slot == NONE && op.counted) {
            self.notify[usize::from(by.client)].operations.raise(1);
        }
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
            by: op.by.map(|by| (by.kind, by.about_client)),
        };
        self.notable(key, noticeable);
    }

    /// Finds the decision during which an operation was made, or opens a cascade.
    fn place(&mut self, item: &Item, operation: &Operation, phase: Option<PhaseKind>) -> Place {
        let kind = operation.begin.kind;
        let origin = match operation.begin.cause {
            Cause::Workload => Origin::Workload,
            Cause::Housekeeping => Origin::Housekeeping,
            Cause::Decision { client, record } => {
                if let Some(place) = self.place_below(item, client.0, record) {
                    return place;
                }
                self.counts.orphans.raise(1);
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
        }
    }

    fn place_below(&mut self, item: &Item, client: u16, record: u64) -> Option<Place> {
        let trace = self.roster.trace_of(client)?;
        let Some(&slot) = self.by_record.get(&(trace, record)) else {
            return self.place_below_notice(item.at, trace, record);
        };
        let parent = self.decisions.get_mut(slot)?;
        if parent.children_left < u8::MAX {
            parent.children_left = parent.children_left.saturating_sub(1);
            if !parent.pending {
                self.backlog.less(item.at, 1);
                self.reactions_due = self.reactions_due.saturating_sub(1);
            }
        }
        if parent.cascade == NONE {
            return None;
        }
        self.forest.hold(parent.cascade);
        Some(Place {
            cascade: parent.cascade,
            parent: parent.node,
            depth: parent.depth.saturating_add(1),
            flame: parent.flame,
            above: parent.above | bit(parent.client),
            by: Some(By {
                client: parent.client,
                kind: parent.client,
                slot,
                record,
                about_client: parent.about_client,
            }),
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
        if let Some(trees) = &mut self.trees {
            trees.end(op.trace, op.record, self.timeline.origin);
        }
        self.no_longer_waited_for(slot, op.listed(), op.by);
        for &decision in &op.pending {
            if let Some(decision) = self.decisions.get_mut(decision) {
                decision.op = NONE;
            }
        }
        self.seen_from_all_sides(&op, at, ending);
        let closing = self.timeline.closing;
        let cascade = self.forest.get_mut(op.cascade);
        let (in_storm, phase) = (cascade.in_storm(), cascade.phase);
        if ending == Ending::Itself {
            cascade.last = cascade.last.max(at);
            cascade.root_completed |= op.root;
        } else {
            cascade.cut |= ending == Ending::Run || at > closing;
        }
        if op.root && ending == Ending::Itself {
            self.buckets.root_completed(at);
            if in_storm {
                if op.kind != OperationKind::Process {
                    self.stages.add(&op);
                }
                let alive = if op.denied { self.alive() } else { 0 };
                self.rules.operation(&op, at, alive);
            }
        }
        if let (Some(outside), Ending::Itself) = (&mut self.outside, ending) {
            outside.add(&op, phase, self.timeline);
        }
        self.open_in_storm.lower(u64::from(in_storm && op.orphaned.is_none()));
        self.release(op.cascade);
    }

    /// Lets an exec's program go on without the process that made it: nobody waits for it and nobody will record its
    /// end, but what clients are asked about it is still about this operation.
    pub(super) fn orphan(&mut self, slot: u32, at: u64) {
        let Some(op) = self.ops.get_mut(slot) else { return };
        op.orphaned = Some(at);
        let (listed, by, cascade) = (op.listed(), op.by, op.cascade);
        self.no_longer_waited_for(slot, listed, by);
        self.open_in_storm.lower(u64::from(self.forest.get(cascade).in_storm()));
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

    /// A file's path, where somebody mutes paths.
    fn text(&mut self, trace: u16, target: &Target, merge: &Merge<'_>) -> Option<Rc<str>> {
        if !self.mutes_paths {
            return None;
        }
        let file = (target.inode, target.device);
        if let Some(text) = self.texts.get(&file) {
            return Some(Rc::clone(text));
        }
        let known = self.known_paths.get(&file).copied();
        let named = (target.path != 0).then_some((trace, target.path));
        let (trace, number) = named.or(known)?;
        let text: Rc<str> = path(self.traces.get(usize::from(trace))?, merge.side(trace), number)?.into();
        if self.texts.len() < PATHS_KNOWN_MAX {
            self.texts.insert(file, Rc::clone(&text));
        }
        Some(text)
    }

    /// Counts an operation that is over for every client: those that decided on it, and those that did not.
    fn seen_from_all_sides(&mut self, op: &Op, at: u64, ending: Ending) {
        if !op.counted {
            return;
        }
        let operation = OperationFacts {
            kind: op.kind,
            owner: op.owner,
            began: op.started,
            ended: at,
            finished: ending == Ending::Itself,
            error: op.error,
            asked: op.asked_by != 0,
            // Beside a product, what fails like this and was denied by no client was denied by the product.
            denied: op.denied || (self.outside.is_some() && op.error == external::DENIED),
            file: op.target,
            path: op.path.as_deref(),
        };
        self.sides.ended(&operation, op.asked_by);
    }

    /// Lets go of a cascade, and folds it into the counts when nothing in it is open any more.
    pub(super) fn release(&mut self, slot: u32) {
        if !self.forest.release(slot) {
            return;
        }
        let cascade = self.forest.get(slot);
        if cascade.in_storm() {
            self.tally.add(cascade, &mut self.gain);
        }
        let in_scope = matches!(cascade.phase, Some(PhaseKind::Storm | PhaseKind::Drain));
        if in_scope && cascade.operations > 1 {
            self.rank(slot);
        }
        self.forest.close(slot);
    }

    /// Ranks a closed cascade's decisions by what followed from them.
    fn rank(&mut self, slot: u32) {
        let cascade = self.forest.get(slot);
        let mut inclusive = std::mem::take(&mut self.scratch);
        cascade.inclusive(&mut inclusive);
        for (place, node) in (0_u32..).zip(&cascade.nodes) {
            let followed = inclusive[place as usize].saturating_sub(1);
            if !node.decision || followed == 0 {
                continue;
            }
            let client = self.roster.participants[usize::from(node.trace)].client.unwrap_or(NOBODY);
            let Some(account) = self.accounts.get_mut(usize::from(client)) else { continue };
            if account.costliest.wants(followed as f64) {
                let (chain, chain_cut) = chain(&cascade.nodes, place);
                account.costliest.insert(Ranked {
                    score: followed as f64,
                    trace: node.trace,
                    record: node.record,
                    chain,
                    chain_cut,
                    inflicted: followed,
                    node: None,
                });
            }
        }
        if cascade.watched {
            for ranked in self.accounts.iter_mut().flat_map(|account| &mut account.closest.entries) {
                if let Some((_, node)) = ranked.node.filter(|(serial, _)| *serial == cascade.serial) {
                    ranked.inflicted = inclusive[node as usize].saturating_sub(1);
                }
            }
        }
        self.scratch = inclusive;
    }
}

/// A client as a bit; clients beyond the 128th have none.
pub(super) fn bit(client: u16) -> u128 {
    1_u128.checked_shl(u32::from(client)).unwrap_or(0)
}

/// The way from the root to a node, at most [`CHAIN_MAX`] steps: the root and the last ones.
pub(super) fn chain(nodes: &[Node], place: u32) -> (Vec<Step>, bool) {
    let mut steps = Vec::new();
    let mut at = place;
    while let Some(node) = nodes.get(at as usize) {
        if steps.len() == CHAIN_MAX {
            if let (Some(last), Some(root)) = (steps.last_mut(), nodes.first()) {
                *last = (root.trace, root.record, root.decision);
            }
            steps.reverse();
            return (steps, true);
        }
        steps.push((node.trace, node.record, node.decision));
        at = node.parent;
    }
    steps.reverse();
    (steps, false)
}
