//! Decisions: read, joined to their operation, answered.

use lab_model::Bounded;

use super::*;

impl Engine<'_> {
    pub(super) fn decision(&mut self, item: &Item, decision: &Decision, merge: &Merge<'_>) {
        let trace = usize::from(item.trace);
        let Some(client) = self.roster.participants[trace].client else {
            self.counts.misplaced.raise(1);
            return;
        };
        let op = self.find(item.at, decision);
        let mut dec = self.describe(item, decision, client, op);
        let phase = match op {
            Some(_) => self.forest.get(dec.cascade).phase,
            None => self.phase_of(None, item.at),
        };
        let entry = self.entry(item, decision, op, &dec, merge);
        dec.counted = matches!(phase, Some(PhaseKind::Storm | PhaseKind::Drain));
        let end = decision.end.present();
        let unseen = self.roster.products > 0
            && entry.column == self.roster.unexplained()
            && !merge.is_lab_thread(decision.begin.subject.tid);
        self.counts.unseen.raise(u64::from(unseen));
        let explained = op.is_some() || self.roster.is_product(entry.column);
        self.counts.decision(&entry, explained, end.map(|end| end.verdict), phase);
        let again = op.and_then(|op| self.ops.get(op)).map(|op| op.asked_by & operation::bit(client) != 0);
        dec.first_open = again == Some(false) && end.is_none();
        if dec.counted {
            let subject = &decision.begin.subject;
            self.processes.count(ProcessId { pid: subject.pid, version: subject.generation }, entry.column);
            let place = match again {
                None => AskedAs::Elsewhere,
                Some(false) => AskedAs::First,
                Some(true) => AskedAs::Further,
            };
            self.sides.decided(client, place, entry.approval);
            self.accounts[usize::from(client)].decide(&entry);
            inflict(&mut self.accounts, client, &entry);
            self.judge(item, decision, &mut dec);
            self.suspect(item.at, client, op);
            self.rules.deadline(&decision.begin, item.at);
            self.drain.read(item.at);
        } else if let (Some(PhaseKind::Control), Some(took), false) = (phase, entry.took, entry.own) {
            self.accounts[usize::from(client)].control.record(took);
        }
        let file = entry.file.or_else(|| self.ops.get(op?)?.target);
        if let Some(file) = file.filter(|_| entry.allowed && entry.approval == Some(Approval::Rule)) {
            self.sides.keep(client, item.trace, file, item.at);
        }
        self.buckets.read(item.at, client, entry.column);
        self.backlog.more(item.at, 1);
        let slot = self.decisions.insert(dec);
        if let Some(op) = op {
            let denied = end.is_some_and(|end| end.verdict == Verdict::Deny);
            self.attribute(op, slot, &dec, denied);
        }
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
            self.processes.ancestors(process).find_map(|ancestor| self.by_process.get(&ancestor.pid))
        };
        let &slot = self.by_thread.get(&subject.tid).or_else(of_process).or_else(of_ancestor)?;
        let op = self.ops.get(slot)?;
        if at < op.started || at > op.ended {
            return None;
        }
        // An exec asks about its interpreter and loader too, so only an open has one target.
        let target = decision.target.present().filter(|target| target.inode != 0);
        if let (OperationKind::Open, Some(mine), Some(target)) = (op.kind, op.target, target) {
            let devices = mine.1 != 0 && target.device != 0 && mine.1 != target.device;
            if mine.0 != target.inode || devices {
                self.counts.mismatched.raise(1);
                return None;
            }
        }
        Some(slot)
    }

    fn describe(&mut self, item: &Item, decision: &Decision, client: u16, op: Option<u32>) -> Dec {
        let end = decision.end.present();
        let place = usize::try_from(item.record).unwrap_or(usize::MAX);
        let children_left = self.children[usize::from(item.trace)].get(place).copied().unwrap_or(0);
        let mut dec = Dec {
            client,
            trace: item.trace,
            record: item.record,
            read: item.at,
            started: end.and_then(|end| end.started).map(|started| started.0.max(item.at)),
            answered: end.map_or(NEVER, |end| end.answered.0.max(item.at)),
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
            about_client: true,
            pending: true,
            children_left,
            child: NONE,
            needs: match decision.begin.event {
                EventKind::AuthExec => self.roster.clients[usize::from(client)].waits[1],
                _ => self.roster.clients[usize::from(client)].waits[0],
            },
            asked: NONE,
            blocked: 0,
        };
        if let Some(op) = op.and_then(|op| self.ops.get(op)) {
            dec.own = op.trace == item.trace && op.kind == OperationKind::Open;
            (dec.cascade, dec.node, dec.depth) = (op.cascade, op.node, op.depth);
            (dec.flame, dec.above, dec.about_client) = (op.flame, op.above, !op.root);
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
        let by_thread = self.timeline.products.of_thread(subject.tid, at);
        by_thread.or_else(|| self.processes.product(process))
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
            took: end.map(|end| end.answered.0.saturating_sub(item.at)),
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
            return self.roster.unexplained();
        }
        match product {
            Some(product) => self.roster.product_column(product),
            // Beside a product, a thread that was never seen may be the product's.
            None if self.roster.products > 0 => self.roster.unexplained(),
            None => self.roster.external(),
        }
    }

    /// Measures a decision against its deadline.
    fn judge(&mut self, item: &Item, decision: &Decision, dec: &mut Dec) {
        let killed = dec.answered == NEVER && self.overdue.contains(&(item.trace, item.record));
        let deadline = decision.begin.deadline.map(|deadline| deadline.0);
        let budget = deadline.map_or(self.deadline, |deadline| deadline.saturating_sub(item.at));
        let took = dec.answered.saturating_sub(item.at);
        let account = &mut self.accounts[usize::from(dec.client)];
        let late = dec.answered != NEVER && deadline.is_some_and(|deadline| dec.answered > deadline);
        account.misses.raise(u64::from(late || killed));
        if let (true, Some(deadline)) = (late && self.own_events, deadline) {
            account.let_pass.raise(u64::from(self.timeline.gaps.within(deadline, dec.answered).is_some()));
        }
        if let Some(knee) = &mut self.knee {
            let answered = dec.answered != NEVER && deadline.is_some();
            knee.decision(item.at, answered.then_some((took, budget)), late || killed);
        }
        let score = if dec.answered != NEVER && deadline.is_some() {
            let headroom = account.used.record(took, budget);
            self.buckets.headroom(dec.answered, dec.client, headroom);
            1.0 - headroom
        } else if killed {
            f64::INFINITY
        } else {
            return;
        };
        if account.closest.wants(score) {
            let (mut chain, mut chain_cut) = (Vec::new(), false);
            if dec.cascade != NONE {
                (chain, chain_cut) = operation::chain(&self.forest.get(dec.cascade).nodes, dec.node);
            }
            chain.push((item.trace, item.record, true));
            account.closest.insert(Ranked {
                score,
                trace: item.trace,
                record: item.record,
                chain,
                chain_cut,
                inflicted: 0,
                node: None,
            });
        }
    }

    /// Counts an event that may have lain unread past the deadline while nobody watched: a client is killed for that, too,
    /// and no record shows it. An event is made when its operation begins, or when the client before has answered.
    fn suspect(&mut self, read: u64, client: u16, op: Option<u32>) {
        // Elsewhere the kernel keeps the deadlines, and says when it made the event.
        if self.timeline.gaps.is_empty() || !self.own_events {
            return;
        }
        let overdue = match op.and_then(|op| self.ops.get(op)) {
            Some(op) => op.started.max(op.answered).saturating_add(self.deadline),
            // Made at any time; while the warden looked, it did not lie.
            None => match self.timeline.gaps.within(read, read) {
                Some((from, _)) => from.saturating_add(self.deadline),
                None => return,
            },
        };
        if overdue <= read && self.timeline.gaps.within(overdue, read).is_some() {
            self.accounts[usize::from(client)].doubtful.raise(1);
        }
    }

    /// Hangs a decision below its operation and counts what that means for others.
    fn attribute(&mut self, op_slot: u32, slot: u32, dec: &Dec, denied: bool) {
        let Some(op) = self.ops.get_mut(op_slot) else { return };
        op.pending.push(slot);
        op.asked_by |= operation::bit(dec.client);
        op.denied |= denied;
        let mut asked_place = NONE;
        if op.root && op.kind != OperationKind::Process {
            asked_place = u32::try_from(op.asked.len()).unwrap_or(NONE);
            let queued = if dec.answered == NEVER { 0 } else { queued(dec) };
            let (client, read, answered) = (dec.client, dec.read, dec.answered);
            op.asked.push(Asked { client, read, answered, queued, blocked: 0, denied });
        }
        let (by, owner) = (op.by, op.owner);
        let notified = by.filter(|by| by.slot == NONE && dec.counted);
        if let Some(tally) = notified.and_then(|by| self.notify.get_mut(usize::from(by.client))) {
            tally.inflicted.raise(1);
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
        let mut flame = dec.flame;
        if cascade.in_storm() {
            flame = self.flame.count(dec.flame, dec.client);
            let judged = dec.record <= self.last_parent[usize::from(dec.trace)]
                || self.last_parent[usize::from(dec.trace)] == 0;
            self.gain.event(cascade, dec.client, dec.about_client, judged);
            if let Some(by) = by {
                self.gain.landing(cascade, dec.client, by.kind, by.about_client);
            }
        }
        let account = &mut self.accounts[usize::from(dec.client)];
        let kept = self
            .forest
            .get(dec.cascade)
            .nodes
            .get(node as usize)
            .is_some_and(|kept| kept.record == dec.record && kept.trace == dec.trace);
        if let Some(ranked) = account
            .closest
            .entries
            .iter_mut()
            .find(|r| r.record == dec.record && r.trace == dec.trace && kept)
        {
            let cascade = self.forest.get_mut(dec.cascade);
            ranked.node = Some((cascade.serial, node));
            cascade.watched = true;
        }
        if let Some(mine) = self.decisions.get_mut(slot) {
            (mine.op, mine.node, mine.flame, mine.asked) = (op_slot, node, flame, asked_place);
        }
        if owner != NOBODY && owner != dec.client && dec.answered != NEVER {
            self.wait(owner, dec);
        }
    }

    /// Counts that a client waited in an operation of its own for another's answer.
    fn wait(&mut self, owner: u16, dec: &Dec) {
        if dec.counted {
            let account = &mut self.accounts[usize::from(owner)];
            let waited = &mut account.waited_ns[usize::from(dec.client)];
            *waited = waited.saturating_add(dec.answered.saturating_sub(dec.read));
        }
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
        if dec.counted && dec.first_open && ending == Ending::Process {
            self.sides.died(dec.client);
        }
        if dec.counted && ending == Ending::Itself {
            let account = &mut self.accounts[usize::from(dec.client)];
            if !dec.at_once {
                let queued = queued(&dec);
                account.queue.record(queued);
                if dec.started.is_some() {
                    let held = dec.answered.saturating_sub(dec.read).saturating_sub(queued);
                    account.work.record(held.saturating_sub(dec.blocked));
                    account.blocked.record(dec.blocked.min(held));
                }
            }
        }
        self.buckets.answered(at, dec.client);
        self.backlog.less(at, 1);
        if dec.children_left > 0 && dec.children_left < u8::MAX && ending == Ending::Itself {
            self.backlog.more(at, u64::from(dec.children_left));
            self.reactions_due.raise(u64::from(dec.children_left));
        }
        if dec.cascade != NONE && ending != Ending::Itself {
            let closing = self.timeline.closing;
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
fn queued(dec: &Dec) -> u64 {
    if dec.at_once {
        return 0;
    }
    dec.started.unwrap_or(dec.answered).min(dec.answered).saturating_sub(dec.read)
}
