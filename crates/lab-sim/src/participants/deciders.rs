//! What a client's threads do: the reader, the workers and the housekeeper, each as its [`lab_client_core::ClientCore`] says.

use lab_client_core::{Action, Found, Input, Outcome, Question};
use lab_model::{Approval, EventKind, Ticks, Verdict};
use lab_trace::{DecisionBegin, DecisionEnd, Loss, LossKind};

use crate::{
    EsCache, Kernel, Sink,
    hardware::{agenda::SimEvent, slab::Key},
    machine::{Machine, NONE, Next, Step},
    participants::client::{Batch, Decision, Plan},
};

/// What a client knows of an event that it has read.
fn question(decision: &Decision, kernel: Kernel) -> Question {
    Question {
        read: Ticks(decision.read.unwrap_or(decision.asked)),
        event: decision.event,
        class: decision.class,
        actor: decision.subject.actor,
        deadline: (kernel == Kernel::EndpointSecurity).then_some(Ticks(decision.due)),
    }
}

/// Who hands the core its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Reader,
    Housekeeper,
    Worker(u32),
    Command,
    Observer,
}

impl<S: Sink> Machine<'_, S> {
    pub(crate) fn client_of(&self, thread: u32) -> usize {
        self.threads[thread as usize].client as usize
    }

    /// The reader takes a batch; what the core answers at once leaves at the end.
    pub(crate) fn enter_receive(&mut self, thread: u32, start: u64) -> u64 {
        let client = self.client_of(thread);
        let most = match self.kernel {
            Kernel::Fanotify => usize::from(self.costs.batch_max),
            Kernel::EndpointSecurity => 1,
        };
        let count = self.clients[client].queue.len().min(most);
        let read = start + self.cost(self.costs.read_call + count as u64 * self.costs.read_event);
        self.tell_of_loss(client, read);
        for _ in 0..count {
            let Some(key) = self.clients[client].queue.pop_front() else { break };
            if self.cannot_read(client) {
                self.clients[client].exhausted.push(key);
            } else {
                self.receive(client, key, read);
            }
        }
        self.apply(client, By::Reader);
        let at = read + count as u64 * self.costs.decide;
        self.clients[client].batch.at = at;
        at + self.batch_cost(client, By::Reader)
    }

    /// What it costs to let a batch of answers leave and to wake whom it wakes.
    fn batch_cost(&mut self, client: usize, by: By) -> u64 {
        let costs = self.costs;
        let state = &self.clients[client];
        let batch = if by == By::Housekeeper { &state.fallbacks } else { &state.batch };
        let (answers, wakes) = (batch.answers.len() as u64, batch.wakes.len() as u64);
        let keeps = |(key, ..): &&(Key, Verdict, Approval)| {
            state.decisions.get(*key).is_some_and(|decision| decision.keep)
        };
        let kept = if state.keeps { batch.answers.iter().filter(keeps).count() as u64 } else { 0 };
        let handing = wakes * costs.wake_up;
        let answering =
            if answers > 0 { costs.answer_call + answers * (costs.answer_event + costs.wake_up) } else { 0 };
        self.cost(answering + handing + kept * costs.keep)
    }

    fn batch(&mut self, client: usize, by: By) -> &mut Batch {
        self.clients[client].batch_of(by)
    }

    fn tell_of_loss(&mut self, client: usize, read: u64) {
        let state = &mut self.clients[client];
        if state.dropped > 0 {
            let loss = Loss { at: Ticks(read), kind: LossKind::Events, count: state.dropped };
            state.dropped = 0;
            let actor = state.actor;
            self.sink.loss(actor, &loss);
        }
    }

    fn receive(&mut self, client: usize, key: Key, read: u64) {
        let (kernel, deadline) = (self.kernel, self.script.deadline);
        let at = self.stamp(read);
        let state = &mut self.clients[client];
        let Some(decision) = state.decisions.get_mut(key) else { return };
        decision.read = Some(read);
        let subject = decision.subject;
        let own = kernel == Kernel::Fanotify;
        if own {
            decision.due = read.saturating_add(deadline);
        }
        let begin = DecisionBegin {
            read: at,
            subject: lab_model::ThreadId {
                pid: if own { 0 } else { subject.pid },
                tid: subject.tid,
                generation: u32::from(!own),
            },
            kernel: (!own).then_some(Ticks(decision.asked)),
            deadline: Some(Ticks(decision.due)),
            sequence: if own { 0 } else { decision.sequence },
            event: decision.event,
            class: decision.class,
            actor: subject.actor,
        };
        decision.record = self.sink.begin_decision(state.actor, &begin);
        let question = question(decision, kernel);
        let draw = self.seed ^ (u64::from(state.actor.0) << 48) ^ decision.record.0;
        self.tally.read(client, subject.originator(), self.script.phase);
        let input = Input::Event { id: u64::from(key.place), question, draw };
        state.core.step(Ticks(read), input, &mut self.actions);
    }

    /// Does what the core wants. What takes time is put down for the thread that is to do it.
    pub(crate) fn apply(&mut self, client: usize, by: By) {
        let mut actions = std::mem::take(&mut self.actions);
        for action in actions.drain(..) {
            self.act(client, by, action);
        }
        self.actions = actions;
    }

    fn act(&mut self, client: usize, by: By, action: Action) {
        let id = match action {
            Action::Answer { id, .. }
            | Action::Start { id }
            | Action::Wait { id, .. }
            | Action::Burn { id, .. }
            | Action::Judge { id }
            | Action::Inspect { id, .. }
            | Action::Operate { id, .. }
            | Action::Ask { id, .. }
            | Action::Arm { id, .. }
            | Action::Settled { id } => id,
        };
        let place = u32::try_from(id).unwrap_or(NONE);
        let state = &mut self.clients[client];
        let key = state.decisions.key_at(place).expect("the core speaks of decisions it was told of");
        if let Action::Start { .. } = action {
            self.assign(client, by, key);
            return;
        }
        let decision = state.decisions.get_mut(key).expect("it was found just now");
        match action {
            Action::Answer { verdict, approval, worker: false, keep, .. } => {
                decision.keep = keep;
                state.batch_of(by).answers.push((key, verdict, approval));
            }
            Action::Answer { verdict, approval, keep, .. } => {
                (decision.answer, decision.keep) = (Some((verdict, approval)), keep);
            }
            Action::Wait { span, .. } => decision.plan = Plan::Wait(span),
            Action::Burn { span, .. } => decision.plan = Plan::Work(span.nanos()),
            Action::Judge { .. } => decision.plan = Plan::Judge(self.costs.resolve),
            // Endpoint Security hands no descriptor over: there is nothing to read.
            Action::Inspect { .. } if self.kernel == Kernel::EndpointSecurity => {
                decision.plan = Plan::Work(0);
            }
            Action::Inspect { hash, .. } => {
                let kibibytes = self.files.bytes(decision.file).div_ceil(1024);
                let hashing = if hash { self.costs.hash_kibibyte } else { 0 };
                let reading = self.costs.read_content + kibibytes * (self.costs.read_kibibyte + hashing);
                decision.plan = Plan::Work(reading);
            }
            Action::Operate { plan, .. } => decision.plan = Plan::Operate(plan),
            Action::Ask { ask, .. } => decision.plan = Plan::Ask(ask),
            Action::Settled { .. } => decision.settled = true,
            Action::Arm { at, .. } => {
                decision.budgeted = true;
                self.arm(client, at.0, key);
            }
            Action::Start { .. } => {}
        }
    }

    /// A worker takes a decision up: the one that is just done with another, or the longest idle, or else one
    /// that the core counts as free already because only its answer is still to be handed over.
    fn assign(&mut self, client: usize, by: By, key: Key) {
        let own = match by {
            By::Worker(thread) if self.is_finishing(client, thread) => Some(thread),
            _ => None,
        };
        let state = &mut self.clients[client];
        let worker = if let Some(thread) = own {
            self.threads[thread as usize].next_decision = key;
            thread
        } else if let Some(thread) = state.idle.pop_front() {
            self.threads[thread as usize].decision = key;
            self.threads[thread as usize].step = Step::TakeUp;
            state.batch_of(by).wakes.push(thread);
            thread
        } else {
            let (first, count) = state.workers;
            let mut workers = first..first + u32::from(count);
            let thread = workers.find(|&thread| self.is_finishing(client, thread));
            let thread = thread.expect("there are as many workers as tasks under way");
            self.threads[thread as usize].next_decision = key;
            thread
        };
        if let Some(decision) = self.clients[client].decisions.get_mut(key) {
            decision.worker = worker;
        }
    }

    /// True for a worker that has only to hand over the answer of a settled decision, and nothing after it.
    fn is_finishing(&self, client: usize, thread: u32) -> bool {
        let worker = &self.threads[thread as usize];
        let decision = self.clients[client].decisions.get(worker.decision);
        worker.next_decision == Key::NONE && decision.is_some_and(|decision| decision.settled)
    }

    pub(crate) fn leave_receive(&mut self, thread: u32) -> Next {
        let client = self.client_of(thread);
        self.let_go(client, By::Reader);
        self.deny_unread(client);
        if self.clients[client].queue.is_empty() { Next::Block } else { Next::Continue }
    }

    /// A batch of answers reaches the kernel, and the workers it woke begin.
    pub(crate) fn let_go(&mut self, client: usize, by: By) {
        let mut batch = std::mem::take(self.batch(client, by));
        let answered = batch.answers.len() as u64;
        for (key, verdict, approval) in batch.answers.drain(..) {
            self.answer(client, key, batch.at, verdict, approval);
        }
        for worker in batch.wakes.drain(..) {
            self.wake(worker);
        }
        if answered > 0 {
            self.tail = self.herd(client);
            self.leave_to_housekeeper(client, answered);
        }
        *self.batch(client, by) = batch;
    }

    /// What an answer costs the openers that it wakes for nothing.
    fn herd(&self, client: usize) -> u64 {
        match self.kernel {
            Kernel::Fanotify => self.clients[client].unanswered * self.costs.herd,
            Kernel::EndpointSecurity => 0,
        }
    }

    /// Answered events wait for the housekeeper to let go of them.
    fn leave_to_housekeeper(&mut self, client: usize, answered: u64) {
        let state = &mut self.clients[client];
        state.to_release += answered;
        if !std::mem::replace(&mut state.round_planned, true) {
            let (housekeeper, nap) = (state.housekeeper, state.rounds.nap());
            self.sleep(housekeeper, self.now.saturating_add(nap.nanos()));
        }
    }

    fn answer(&mut self, client: usize, key: Key, at: u64, verdict: Verdict, approval: Approval) {
        let state = &mut self.clients[client];
        let Some(decision) = state.decisions.get_mut(key) else { return };
        assert!(!decision.answered, "one question, one answer");
        decision.answered = true;
        state.unanswered -= 1;
        let end = DecisionEnd {
            started: decision.started.map(Ticks),
            answered: Ticks(at),
            verdict,
            approval,
            error: 0,
        };
        let (operation, record, file, actor) =
            (decision.operation, decision.record, decision.file, state.actor);
        let (keep, event) = (decision.keep, decision.event);
        let late = at > decision.due;
        let took = at.saturating_sub(decision.read.unwrap_or(at));
        self.sink.end_decision(actor, record, &end);
        self.sink.decision_target(actor, record, file);
        self.tally.answered(approval, took, late);
        // Whoever has changed its mind meanwhile has none kept any more.
        if keep && self.clients[client].keeps && self.may_keep(file) {
            self.keep(client, file, event);
        }
        self.retire(client, key);
        self.answer_reaches(operation, verdict);
    }

    /// The kernel keeps an answer. It does so before it lets the operation go on.
    fn keep(&mut self, client: usize, file: u32, event: EventKind) {
        match (self.kernel, self.es_cache) {
            (Kernel::EndpointSecurity, EsCache::Shared) => {
                self.clients.iter_mut().for_each(|client| client.hidden.keep(file, event, &self.files));
            }
            _ => self.clients[client].hidden.keep(file, event, &self.files),
        }
    }

    /// A client has connected. Endpoint Security then empties the cache of every client.
    pub(crate) fn client_connected(&mut self) {
        if self.kernel == Kernel::EndpointSecurity {
            self.clients.iter_mut().for_each(|client| client.hidden.forget());
        }
    }

    /// Forgets a decision once it is answered, settled and in nobody's hands.
    pub(crate) fn retire(&mut self, client: usize, key: Key) {
        let state = &mut self.clients[client];
        let done = |decision: &Decision| decision.answered && decision.settled && decision.worker == NONE;
        if state.decisions.get(key).is_some_and(done) {
            state.decisions.remove(key);
            self.pending -= 1;
        }
    }

    /// A worker takes its decision up; not before it was read on another processor.
    pub(crate) fn enter_take_up(&mut self, thread: u32, start: u64) -> u64 {
        let (client, key) = (self.client_of(thread), self.threads[thread as usize].decision);
        let handed = self.cost(self.costs.hand_over);
        let Some(decision) = self.clients[client].decisions.get_mut(key) else { return start };
        let started = start.max(decision.read.unwrap_or(start)) + handed;
        decision.started = Some(started);
        started
    }

    pub(crate) fn leave_take_up(&mut self, thread: u32) -> Next {
        self.worker_next(thread)
    }

    /// The operation or wait of a worker's decision, or of a worker process's errand, is over.
    pub(crate) fn work_finished(&mut self, thread: u32) -> Next {
        if self.threads[thread as usize].outside != NONE {
            return self.errand_next(thread, Outcome::Finished);
        }
        self.tell_finished(thread);
        self.worker_next(thread)
    }

    fn tell_finished(&mut self, thread: u32) {
        let (client, key) = (self.client_of(thread), self.threads[thread as usize].decision);
        let kernel = self.kernel;
        let state = &mut self.clients[client];
        if let Some(decision) = state.decisions.get_mut(key) {
            let id = u64::from(key.place);
            let input = match std::mem::replace(&mut decision.plan, Plan::Nothing) {
                Plan::Judge(_) => {
                    let judge = state.core.policy().judge(&question(decision, kernel));
                    let path = self.files.path(decision.file);
                    let found = Found { path: Some(path.as_bytes()), signature: None };
                    let verdict = judge.verdict(&found);
                    Input::Judged { id, verdict }
                }
                _ => Input::Finished { id },
            };
            state.core.step(Ticks(self.now), input, &mut self.actions);
            self.apply(client, By::Worker(thread));
        }
    }

    /// A worker keeps its processor busy, a time slice at the most before others may have it.
    pub(crate) fn enter_work(&mut self, thread: u32, start: u64) -> u64 {
        let (client, key) = (self.client_of(thread), self.threads[thread as usize].decision);
        let slice = self.costs.time_slice.max(1);
        let Some(decision) = self.clients[client].decisions.get_mut(key) else { return start };
        let (Plan::Work(left) | Plan::Judge(left)) = &mut decision.plan else { return start };
        let piece = slice.min(*left);
        *left -= piece;
        start + self.cost(piece)
    }

    pub(crate) fn leave_work(&mut self, thread: u32) -> Next {
        let (client, key) = (self.client_of(thread), self.threads[thread as usize].decision);
        match self.clients[client].decisions.get(key).map(|decision| decision.plan) {
            Some(Plan::Work(left) | Plan::Judge(left)) if left > 0 => Next::Continue,
            _ => self.work_finished(thread),
        }
    }

    /// What a worker does next for its decision; if nothing, it takes up the next one or rests.
    fn worker_next(&mut self, thread: u32) -> Next {
        let (client, key) = (self.client_of(thread), self.threads[thread as usize].decision);
        loop {
            let Some(decision) = self.clients[client].decisions.get_mut(key) else { return Next::Block };
            if decision.answer.is_some() {
                self.threads[thread as usize].step = Step::Answer;
                return Next::Continue;
            }
            if decision.settled {
                decision.worker = NONE;
                self.retire(client, key);
                return self.worker_done(thread, client);
            }
            let (same, plan) = (decision.file, decision.plan);
            match plan {
                Plan::Operate(plan) if self.planned_file(same, plan.target).is_some() => {
                    self.threads[thread as usize].step = Step::Begin;
                    return Next::Continue;
                }
                // There is no such file, so nothing is done, and the decision goes on.
                Plan::Operate(_) => self.tell_finished(thread),
                Plan::Work(0) => self.tell_finished(thread),
                Plan::Work(_) | Plan::Judge(_) => {
                    self.threads[thread as usize].step = Step::Work;
                    return Next::Continue;
                }
                Plan::Wait(span) => {
                    self.threads[thread as usize].step = Step::Waited;
                    self.sleep(thread, self.now.saturating_add(span.nanos()));
                    return Next::Block;
                }
                Plan::Ask(_) => {
                    self.threads[thread as usize].step = Step::Ask;
                    return Next::Continue;
                }
                Plan::Nothing => unreachable!("a decision that is not settled has a plan"),
            }
        }
    }

    fn worker_done(&mut self, thread: u32, client: usize) -> Next {
        let worker = &mut self.threads[thread as usize];
        worker.decision = std::mem::replace(&mut worker.next_decision, Key::NONE);
        if worker.decision != Key::NONE {
            worker.step = Step::TakeUp;
            return Next::Continue;
        }
        self.clients[client].idle.push_back(thread);
        Next::Block
    }

    pub(crate) fn enter_answer(&mut self, thread: u32, start: u64) -> u64 {
        let costs = self.costs;
        // The operation's record keeps the moment; a worker has none under way while it answers.
        let (client, key) = (self.client_of(thread), self.threads[thread as usize].decision);
        let keeps = self.clients[client].decisions.get(key).is_some_and(|decision| decision.keep);
        let start = if keeps { start + self.cost(costs.keep) } else { start };
        self.threads[thread as usize].since_answer = start;
        start + self.cost(costs.answer_call + costs.answer_event + costs.wake_up + costs.worker_answer)
    }

    pub(crate) fn leave_answer(&mut self, thread: u32) -> Next {
        let (client, key) = (self.client_of(thread), self.threads[thread as usize].decision);
        let at = self.threads[thread as usize].since_answer;
        let Some(decision) = self.clients[client].decisions.get_mut(key) else { return Next::Block };
        if let Some((verdict, approval)) = decision.answer.take() {
            self.answer(client, key, at, verdict, approval);
        }
        self.tail = self.herd(client);
        self.leave_to_housekeeper(client, 1);
        self.worker_next(thread)
    }

    /// Notes when the budget answers a decision.
    fn arm(&mut self, client: usize, at: u64, key: Key) {
        let state = &mut self.clients[client];
        let earliest = state.budget.front().is_none_or(|&(first, _)| at < first);
        let place = state.budget.iter().rposition(|&(other, _)| other <= at).map_or(0, |last| last + 1);
        state.budget.insert(place, (at, key));
        if earliest {
            let client = u32::try_from(client).unwrap_or(NONE);
            self.agenda.enter(at.max(self.now), SimEvent::BudgetSpent { client });
        }
    }

    /// The budget of the first decision has run out: the housekeeper sees to it, unless it was answered.
    pub(crate) fn budget_spent(&mut self, client: u32) {
        let state = &mut self.clients[client as usize];
        if !state.alive {
            return;
        }
        while let Some(&(at, key)) = state.budget.front() {
            let open = state.decisions.get(key).is_some_and(|decision| !decision.answered);
            if open && at <= self.now {
                let housekeeper = state.housekeeper;
                self.wake(housekeeper);
                return;
            }
            if open {
                self.agenda.enter(at, SimEvent::BudgetSpent { client });
                return;
            }
            state.budget.pop_front();
        }
    }

    /// The housekeeper lets go of what was answered, and answers everything whose budget has run out.
    pub(crate) fn enter_fall_back(&mut self, thread: u32, start: u64) -> u64 {
        let client = self.client_of(thread);
        while let Some(&(at, key)) = self.clients[client].budget.front() {
            if at > start {
                break;
            }
            let state = &mut self.clients[client];
            state.budget.pop_front();
            // What a worker is just answering on another processor is its own business.
            let open = |decision: &&mut Decision| !decision.answered && decision.answer.is_none();
            if let Some(decision) = state.decisions.get_mut(key).filter(open) {
                decision.budgeted = false;
                let input = Input::Timer { id: u64::from(key.place) };
                state.core.step(Ticks(start), input, &mut self.actions);
            }
        }
        self.apply(client, By::Housekeeper);
        let state = &mut self.clients[client];
        state.fallbacks.at = start;
        let released = usize::try_from(std::mem::take(&mut state.to_release)).unwrap_or(usize::MAX);
        // The deadlines are on the agenda here: nobody gets up to look at them.
        state.rounds.nap_after(released, false);
        state.round_planned = false;
        let round = self.cost(self.costs.housekeeping + released as u64 * self.costs.release);
        start + round + self.batch_cost(client, By::Housekeeper)
    }

    pub(crate) fn leave_fall_back(&mut self, thread: u32) -> Next {
        let client = self.client_of(thread);
        self.let_go(client, By::Housekeeper);
        let number = u32::try_from(client).unwrap_or(NONE);
        if let Some(&(at, _)) = self.clients[client].budget.front() {
            if at <= self.now {
                return Next::Continue;
            }
            self.agenda.enter(at, SimEvent::BudgetSpent { client: number });
        }
        Next::Block
    }
}
