//! Decisions: read, joined to their operation, answered.

use lab_model::Bounded;
use lab_trace::RecordPart;

use super::*;
use crate::measures::latency::UsedUp;
use crate::pass::facts::{Answered, AskedAs, Entry, Hung, Judged, ReadDecision, counts};

impl Engine<'_> {
    pub(super) fn decision(&mut self, item: &Item, decision: &Decision, merge: &Merge<'_>) {
        let trace = usize::from(item.trace);
        let Some(client) = self.scope.roster.participants[trace].client else {
            self.unjoined.misplaced.raise(1);
            return;
        };
        let op = self.find(item.at, decision);
        let mut dec = self.describe(item, decision, client, op);
        let phase = match op {
            Some(_) => self.forest.get(dec.cascade).phase,
            None => self.phase_of(None, item.at),
        };
        let entry = self.entry(item, decision, op, &dec, merge);
        dec.counted = counts(phase);
        let end = decision.end.present();
        let unseen = self.scope.roster.products > 0
            && entry.column == self.scope.roster.unexplained()
            && !merge.is_lab_thread(decision.begin.subject.tid);
        self.unjoined.unseen.raise(u64::from(unseen));
        let asked = match op.and_then(|op| self.ops.get(op)) {
            None => AskedAs::Elsewhere,
            Some(op) if op.asked_by & bit(client) == 0 => AskedAs::First,
            Some(_) => AskedAs::Further,
        };
        dec.first_open = asked == AskedAs::First && end.is_none();
        let reacted = self.reacted(item, decision, client, dec.children_left);
        let lived = |op: &Op| self.scope.timeline.deaths().all_lived(op.started);
        dec.reacted = reacted == Reacted::Over && op.and_then(|op| self.ops.get(op)).is_some_and(lived);
        let judged = dec.counted.then(|| self.judge(item, decision, &dec));
        let slot = self.decisions.insert(dec);
        let denied = end.is_some_and(|end| end.verdict == Verdict::Deny);
        let node = op.and_then(|op| self.attach(op, slot, &dec, denied));
        if op.is_some() && reacted == Reacted::ToCome {
            // It has not ended, though nothing of it is open.
            self.forest.get_mut(dec.cascade).cut = true;
        }
        let op = op.and_then(|op| self.ops.get(op));
        let read = ReadDecision {
            trace: item.trace,
            record: item.record,
            at: item.at,
            decision,
            client,
            entry: &entry,
            explained: op.is_some() || self.scope.roster.is_product(entry.column),
            phase,
            counted: dec.counted,
            op,
            asked,
            hung: op.is_some().then(|| Hung {
                cascade: self.forest.get(dec.cascade),
                above: dec.node,
                node,
                reacted: dec.reacted,
                reactions: dec.children_left,
                to_come: reacted == Reacted::ToCome,
            }),
            judged,
            answered: (dec.answered != NEVER).then_some(dec.answered),
        };
        self.measures.decision_read(&read, &self.scope);
        if dec.children_left > 0 {
            self.by_record.insert((item.trace, item.record), slot);
        }
        if dec.answered != NEVER {
            self.ends.push(Reverse((dec.answered, slot | DECISION)));
        }
    }

    /// The operation in whose interval the subject's thread was asked about.
    fn find(&mut self, at: u64, decision: &Decision) -> Option<u32> {
        let subject = &decision.begin.subject;
        // An exec gives its process a new thread on macOS, which nobody could have announced: the process is the same.
        let of_process = || self.by_process.get(&subject.pid).filter(|_| subject.pid != 0);
        // What a program starts in turn belongs to the same operation, as far as the kernel told of it.
        let of_ancestor = || {
            let process = ProcessId { pid: subject.pid, version: subject.generation };
            self.scope.processes.ancestors(process).find_map(|ancestor| self.by_process.get(&ancestor.pid))
        };
        // What the kernel does in a process's name, such as a worker of its io_uring, is the process's.
        let of_kernel_thread = || {
            let pid = self.scope.timeline.products.process_of_kernel_thread(subject.tid)?;
            self.by_process.get(&pid).or_else(|| self.by_thread.get(&u64::from(pid)))
        };
        let found = self.by_thread.get(&subject.tid).or_else(of_process).or_else(of_ancestor);
        let &slot = found.or_else(of_kernel_thread)?;
        let op = self.ops.get(slot)?;
        if at < op.started || at > op.ended {
            return None;
        }
        // An exec asks about its interpreter and loader too, so only an open has one target.
        let target = decision.target.present().filter(|target| target.inode != 0);
        if let (OperationKind::Open, Some(mine), Some(target)) = (op.kind, op.target, target) {
            let devices = mine.1 != 0 && target.device != 0 && mine.1 != target.device;
            if mine.0 != target.inode || devices {
                self.unjoined.mismatched.raise(1);
                return None;
            }
        }
        Some(slot)
    }

    /// Whether what a decision sets off is in the record. Who answered because its queue was full or its time was over had no
    /// chance to react in full; who still works at an event and has made an operation because of it has begun.
    fn reacted(&self, item: &Item, decision: &Decision, client: u16, reactions: u8) -> Reacted {
        let begin = &decision.begin;
        let behaviors = self.policies.behaviors(client, item.at);
        let expected = Expected::of_question(behaviors, begin.event, begin.class);
        if expected == Expected::Nothing || reactions > 0 && matches!(decision.end, RecordPart::Absent) {
            return Reacted::Over;
        }
        let Some(end) = decision.end.present() else { return Reacted::Unknown };
        match end.approval {
            Approval::QueueFull | Approval::DeadlineFallback | Approval::DeadClient => Reacted::Unknown,
            // Nothing follows these.
            Approval::Peer | Approval::Mute | Approval::CacheHit => Reacted::Over,
            Approval::Rule | Approval::OwnProcess => {
                let reached = self.is_complete(item.trace, item.record);
                match expected {
                    Expected::Nothing | Expected::Before => Reacted::Over,
                    Expected::After if reactions > 0 => Reacted::Over,
                    Expected::After if !reached && self.outlives_the_drain(item.trace) => Reacted::ToCome,
                    // A client whose queue is full answers first and then drops the work; its answer does not say so.
                    Expected::After => Reacted::Unknown,
                    Expected::Perhaps if reached => Reacted::Over,
                    Expected::Perhaps => Reacted::Unknown,
                }
            }
        }
    }

    /// True for a process that was there when the drain ended.
    fn outlives_the_drain(&self, trace: u16) -> bool {
        self.scope.timeline.until(trace) >= self.scope.timeline.closing
    }

    fn describe(&mut self, item: &Item, decision: &Decision, client: u16, op: Option<u32>) -> Dec {
        let end = decision.end.present();
        let place = usize::try_from(item.record).unwrap_or(usize::MAX);
        let children_left = self.children[usize::from(item.trace)].get(place).copied().unwrap_or(0);
        let answered = end.map(|end| end.answered.0.max(item.at));
        let mut dec = Dec {
            client,
            trace: item.trace,
            record: item.record,
            read: item.at,
            started: end.and_then(|end| end.started).map(|started| started.0.max(item.at)),
            answered: answered.unwrap_or(NEVER),
            until: answered.unwrap_or_else(|| self.scope.timeline.until(item.trace).max(item.at)),
            open: matches!(decision.end, RecordPart::Absent),
            at_once: self.at_once(client, decision, item.at),
            own: decision.begin.class == SubjectClass::Own,
            counted: false,
            first_open: false,
            op: NONE,
            cascade: NONE,
            node: NOWHERE,
            depth: 0,
            flame: 0,
            above: 0,
            about: Branch::default(),
            reacted: false,
            pending: true,
            children_left,
            child: NONE,
            needs: match decision.begin.event {
                EventKind::Auth(event) => {
                    self.scope.roster.clients[usize::from(client)].waits[event as usize]
                }
                EventKind::Notify(_) | EventKind::Other(_) => 0,
            },
            asked: NONE,
            blocked: 0,
        };
        if let Some(op) = op.and_then(|op| self.ops.get(op)) {
            dec.own = op.trace == item.trace && op.kind == OperationKind::Open;
            (dec.cascade, dec.node, dec.depth) = (op.cascade, op.node, op.depth);
            (dec.flame, dec.above, dec.about) = (op.flame, op.above, op.branch());
        }
        dec
    }

    /// True when the reader answers without a worker, as far as the record or the client's settings say.
    fn at_once(&self, client: u16, decision: &Decision, at: u64) -> bool {
        match decision.end.present() {
            Some(end) => end.started.is_none() && end.approval != Approval::DeadlineFallback,
            None => self.policies.at_once(client, &decision.begin, at),
        }
    }

    /// The product beside the clients that asked: by its thread, as the orchestrator saw it, or by its signature.
    fn product(&self, decision: &Decision, at: u64) -> Option<usize> {
        let subject = &decision.begin.subject;
        let process = ProcessId { pid: subject.pid, version: subject.generation };
        let by_thread = self.scope.timeline.products.of_thread(subject.tid, at);
        by_thread.or_else(|| self.scope.processes.product(process))
    }

    fn entry(
        &self,
        item: &Item,
        decision: &Decision,
        op: Option<u32>,
        dec: &Dec,
        merge: &Merge<'_>,
    ) -> Entry {
        let op = op.and_then(|op| self.ops.get(op));
        let end = decision.end.present();
        let target = decision.target.present();
        let column = match op {
            Some(op) => usize::from(op.column),
            None => {
                let product = self.product(decision, item.at);
                self.column_outside(decision.begin.subject.tid, product, merge)
            }
        };
        Entry {
            column,
            author: op.map_or(NOBODY, Op::author),
            own: dec.own,
            event: decision.begin.event,
            class: decision.begin.class,
            took: end.map(|end| self.scope.timeline.took(item.at, end.answered.0)),
            open_for: dec.open.then(|| self.scope.timeline.took(item.at, dec.until)),
            approval: end.map(|end| end.approval),
            allowed: end.is_some_and(|end| end.verdict == Verdict::Allow),
            file: target.filter(|target| target.inode != 0).map(|target| (target.inode, target.device)),
            path: (item.trace, target.map_or(0, |target| target.path)),
            above: dec.above,
        }
    }

    /// The column of a thread that is in no operation, and perhaps a product's.
    pub(super) fn column_outside(&self, tid: u64, product: Option<usize>, merge: &Merge<'_>) -> usize {
        if merge.is_lab_thread(tid) {
            return self.scope.roster.unexplained();
        }
        match product {
            Some(product) => self.scope.roster.product_column(product),
            // Beside a product, a thread that was never seen may be the product's.
            None if self.scope.roster.products > 0 => self.scope.roster.unexplained(),
            None => self.scope.roster.external(),
        }
    }

    /// Measures a decision against its deadline.
    fn judge(&self, item: &Item, decision: &Decision, dec: &Dec) -> Judged {
        let answered = dec.answered != NEVER;
        let killed = !answered && self.overdue.contains(&(item.trace, item.record));
        let deadline = decision.begin.deadline.map(|deadline| deadline.0);
        let used = deadline.filter(|_| answered || dec.open).map(|deadline| {
            let budget = deadline.saturating_sub(item.at);
            let lasted = dec.until.saturating_sub(item.at);
            // Who is killed for it has had all of its time, and no more: how late the warden was is not the client's.
            let took = match dec.open && self.killed.contains(&item.trace) {
                true if killed => budget,
                true => lasted.min(budget),
                false => lasted,
            };
            UsedUp { took, budget, open: dec.open }
        });
        // What a client could do nothing about is nothing that it took.
        let standing = self.scope.timeline.standing.shared(item.at, dec.until);
        let late = used.is_some_and(|used| used.took > used.budget);
        if standing == 0 {
            return Judged { late, killed, used, stood_still: false };
        }
        let by_itself = self.scope.timeline.took(item.at, dec.until);
        let in_time = used.is_none_or(|used| by_itself <= used.budget);
        let used = used.map(|used| UsedUp { took: used.took.min(by_itself), ..used });
        let stood_still = in_time && (late || killed);
        Judged { late: late && !in_time, killed: killed && !in_time, used, stood_still }
    }

    /// Hangs a decision below its operation, and returns its node if it was kept.
    fn attach(&mut self, op_slot: u32, slot: u32, dec: &Dec, denied: bool) -> Option<u32> {
        let op = self.ops.get_mut(op_slot)?;
        op.pending.push(slot);
        op.asked_by |= bit(dec.client);
        op.denied |= denied;
        let until = dec.until.min(op.ended).min(self.scope.timeline.until(op.trace));
        let timeline = self.scope.timeline;
        op.held.take(dec.read.max(op.started), until, dec.client == op.owner, timeline);
        let mut asked_place = NONE;
        if op.root && op.kind != OperationKind::Process {
            asked_place = u32::try_from(op.asked.len()).unwrap_or(NONE);
            let queued = if dec.answered == NEVER { 0 } else { queued(dec, timeline) };
            let (client, read, answered) = (dec.client, dec.read, dec.answered);
            op.asked.push(Asked { client, read, answered, queued, blocked: 0, denied });
        }
        self.forest.hold(dec.cascade);
        let parent = dec.node;
        let node = Node { parent, count: 1, trace: dec.trace, decision: true, record: dec.record };
        let node = self.forest.attach(dec.cascade, node);
        let cascade = self.forest.get_mut(dec.cascade);
        cascade.decisions.raise(1);
        if dec.answered != NEVER {
            cascade.last = cascade.last.max(dec.answered);
        }
        let in_storm = cascade.in_storm();
        let flame = if in_storm { self.flame.count(dec.flame, dec.client) } else { dec.flame };
        if let Some(mine) = self.decisions.get_mut(slot) {
            (mine.op, mine.node, mine.flame, mine.asked) = (op_slot, node, flame, asked_place);
        }
        let nodes = &self.forest.get(dec.cascade).nodes;
        let kept = nodes
            .get(node as usize)
            .is_some_and(|kept| kept.decision && kept.record == dec.record && kept.trace == dec.trace);
        kept.then_some(node)
    }

    pub(super) fn answer(&mut self, slot: u32, at: u64, ending: Ending) {
        let Some(&dec) = self.decisions.get(slot) else { return };
        if !dec.pending {
            return;
        }
        let fallback = dec.answered.saturating_sub(dec.read) >= self.deadline / LOOK_SHARE;
        if ending == Ending::Itself && fallback && !dec.at_once {
            self.look();
        }
        if let Some(dec) = self.decisions.get_mut(slot) {
            dec.pending = false;
        }
        if let Some(op) = self.ops.get_mut(dec.op) {
            op.pending.retain(|&other| other != slot);
            op.answered = op.answered.max(at);
            if let Some(asked) = op.asked.get_mut(dec.asked as usize) {
                asked.blocked = dec.blocked;
            }
        }
        let to_come = dec.children_left < u8::MAX && ending == Ending::Itself;
        let reactions = if to_come { u64::from(dec.children_left) } else { 0 };
        let answered =
            Answered { dec: &dec, at, ending, queued: queued(&dec, self.scope.timeline), reactions };
        self.measures.decision_answered(&answered, &self.scope);
        if dec.cascade != NONE && ending != Ending::Itself {
            let closing = self.scope.timeline.closing;
            self.forest.get_mut(dec.cascade).cut |= ending == Ending::Run || at > closing;
        }
        self.forget(slot);
    }

    /// Frees a decision that is answered and whose operations have all come.
    pub(super) fn forget(&mut self, slot: u32) {
        let Some(dec) = self.decisions.get(slot) else { return };
        if dec.pending || (dec.children_left > 0 && !self.finishing) {
            return;
        }
        let Some(dec) = self.decisions.remove(slot) else { return };
        self.by_record.remove(&(dec.trace, dec.record));
        if dec.cascade != NONE {
            self.release(dec.cascade);
        }
    }
}

/// How long a decision lay before work on it began, or until its answer when no work did.
fn queued(dec: &Dec, timeline: &Timeline) -> u64 {
    if dec.at_once {
        return 0;
    }
    timeline.took(dec.read, dec.started.unwrap_or(dec.answered).min(dec.answered))
}
