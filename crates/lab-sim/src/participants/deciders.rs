//! What a client's reader and housekeeper do, each as its [`lab_client_core::ClientCore`] says, and how answers leave.

use lab_client_core::{Action, Input};
use lab_model::{Approval, Ticks, Verdict};
use lab_trace::{DecisionBegin, DecisionEnd, LossKind};

use crate::{
    hardware::{NONE, agenda::SimEvent, scheduler::Next, slab::Key},
    kernel::asking::{answer_reaches, deny_unread},
    machine::Machine,
    participants::{
        client::{By, Decision, question},
        threads::{Plan, Step},
    },
    records::sink::Sink,
};

/// The reader takes a batch; what the core answers at once leaves at the end.
pub(crate) fn enter_receive<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, start: u64) -> u64 {
    let client = machine.participants.client_of(thread);
    let in_batches = machine.kernel.rules().delivers_in_batches();
    let most = if in_batches { usize::from(machine.pricing.costs().batch_max) } else { 1 };
    let count = machine.participants.clients[client].queue.len().min(most);
    let read = start
        + machine
            .pricing
            .draw(machine.pricing.costs().read_call + count as u64 * machine.pricing.costs().read_event);
    tell_of_loss(machine, client, read);
    for _ in 0..count {
        let Some(key) = machine.participants.clients[client].queue.pop_front() else { break };
        if machine.kernel.cannot_read(&machine.participants.clients, client) {
            machine.participants.clients[client].exhausted.push(key);
        } else {
            receive(machine, client, key, read);
        }
    }
    apply(machine, client, By::Reader);
    let at = read + count as u64 * machine.pricing.costs().decide;
    machine.participants.clients[client].batch.at = at;
    at + batch_cost(machine, client, By::Reader)
}

/// What it costs to let a batch of answers leave and to wake whom it wakes.
fn batch_cost<S: Sink>(machine: &mut Machine<'_, S>, client: usize, by: By) -> u64 {
    let costs = *machine.pricing.costs();
    let state = &machine.participants.clients[client];
    let batch = if by == By::Housekeeper { &state.fallbacks } else { &state.batch };
    let (answers, wakes) = (batch.answers.len() as u64, batch.wakes.len() as u64);
    let keeps = |(key, ..): &&(Key, Verdict, Approval)| {
        state.decisions.get(*key).is_some_and(|decision| decision.keep)
    };
    let kept = if state.keeps { batch.answers.iter().filter(keeps).count() as u64 } else { 0 };
    let handing = wakes * costs.wake_up;
    let answering =
        if answers > 0 { costs.answer_call + answers * (costs.answer_event + costs.wake_up) } else { 0 };
    machine.pricing.draw(answering + handing + kept * costs.keep)
}

fn tell_of_loss<S: Sink>(machine: &mut Machine<'_, S>, client: usize, read: u64) {
    let state = &mut machine.participants.clients[client];
    let dropped = std::mem::take(&mut state.dropped);
    machine.recorder.lose(Ticks(read), state.actor, LossKind::Events, dropped);
}

fn receive<S: Sink>(machine: &mut Machine<'_, S>, client: usize, key: Key, read: u64) {
    let (kernel, deadline) = (machine.kernel.rules(), machine.kernel.deadline());
    let at = machine.clock.stamp(read);
    let state = &mut machine.participants.clients[client];
    let Some(decision) = state.decisions.get_mut(key) else { return };
    decision.read = Some(read);
    let subject = decision.subject;
    // Where nobody else enforces it, the lab's own deadline begins when the event is read.
    if !kernel.enforces_deadlines() {
        decision.due = read.saturating_add(deadline);
    }
    let named = kernel.names_programs();
    let begin = DecisionBegin {
        read: at,
        subject: lab_model::ThreadId {
            pid: if named { subject.pid } else { 0 },
            tid: subject.tid,
            generation: u32::from(named),
        },
        kernel: named.then_some(Ticks(decision.asked)),
        deadline: Some(Ticks(decision.due)),
        sequence: if named { decision.sequence } else { 0 },
        event: decision.event,
        class: decision.class,
        actor: subject.actor,
    };
    decision.record = machine.recorder.sink().begin_decision(state.actor, &begin);
    let question = question(decision, kernel);
    let draw = machine.seed ^ (u64::from(state.actor.0) << 48) ^ decision.record.0;
    machine.recorder.tally().read(client, subject.originator(), machine.script.phase());
    let input = Input::Event { id: u64::from(key.place), question, draw };
    state.core.step(Ticks(read), input, &mut machine.participants.actions);
}

/// Does what the core wants. What takes time is put down for the thread that is to do it.
pub(crate) fn apply<S: Sink>(machine: &mut Machine<'_, S>, client: usize, by: By) {
    let mut actions = std::mem::take(&mut machine.participants.actions);
    for action in actions.drain(..) {
        act(machine, client, by, action);
    }
    machine.participants.actions = actions;
}

fn act<S: Sink>(machine: &mut Machine<'_, S>, client: usize, by: By, action: Action) {
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
    let state = &mut machine.participants.clients[client];
    let key = state.decisions.key_at(place).expect("the core speaks of decisions it was told of");
    if let Action::Start { .. } = action {
        assign(machine, client, by, key);
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
        Action::Judge { .. } => decision.plan = Plan::Judge(machine.pricing.costs().resolve),
        // Endpoint Security hands no descriptor over: there is nothing to read.
        Action::Inspect { .. } if !machine.kernel.rules().hands_descriptors_over() => {
            decision.plan = Plan::Work(0);
        }
        Action::Inspect { hash, .. } => {
            let kibibytes = machine.kernel.files().bytes(decision.file).div_ceil(1024);
            let hashing = if hash { machine.pricing.costs().hash_kibibyte } else { 0 };
            let reading = machine.pricing.costs().read_content
                + kibibytes * (machine.pricing.costs().read_kibibyte + hashing);
            decision.plan = Plan::Work(reading);
        }
        Action::Operate { plan, .. } => decision.plan = Plan::Operate(plan),
        Action::Ask { ask, .. } => decision.plan = Plan::Ask(ask),
        Action::Settled { .. } => decision.settled = true,
        Action::Arm { at, .. } => {
            decision.budgeted = true;
            arm(machine, client, at.0, key);
        }
        Action::Start { .. } => {}
    }
}

/// A worker takes a decision up: the one that is just done with another, or the longest idle, or else one
/// that the core counts as free already because only its answer is still to be handed over.
fn assign<S: Sink>(machine: &mut Machine<'_, S>, client: usize, by: By, key: Key) {
    let own = match by {
        By::Worker(thread) if is_finishing(machine, client, thread) => Some(thread),
        _ => None,
    };
    let state = &mut machine.participants.clients[client];
    let worker = if let Some(thread) = own {
        machine.participants.threads[thread as usize].next_decision = key;
        thread
    } else if let Some(thread) = state.idle.pop_front() {
        machine.participants.threads[thread as usize].decision = key;
        machine.participants.threads[thread as usize].step = Step::TakeUp;
        state.batch_of(by).wakes.push(thread);
        thread
    } else {
        let (first, count) = state.workers;
        let mut workers = first..first + u32::from(count);
        let thread = workers.find(|&thread| is_finishing(machine, client, thread));
        let thread = thread.expect("there are as many workers as tasks under way");
        machine.participants.threads[thread as usize].next_decision = key;
        thread
    };
    if let Some(decision) = machine.participants.clients[client].decisions.get_mut(key) {
        decision.worker = worker;
    }
}

/// True for a worker that has only to hand over the answer of a settled decision, and nothing after it.
fn is_finishing<S: Sink>(machine: &Machine<'_, S>, client: usize, thread: u32) -> bool {
    let worker = &machine.participants.threads[thread as usize];
    let decision = machine.participants.clients[client].decisions.get(worker.decision);
    worker.next_decision == Key::NONE && decision.is_some_and(|decision| decision.settled)
}

pub(crate) fn leave_receive<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let client = machine.participants.client_of(thread);
    let_go(machine, client, By::Reader);
    deny_unread(machine, client);
    if machine.participants.clients[client].queue.is_empty() { Next::Block } else { Next::Continue }
}

/// A batch of answers reaches the kernel, and the workers it woke begin.
pub(crate) fn let_go<S: Sink>(machine: &mut Machine<'_, S>, client: usize, by: By) {
    let mut batch = std::mem::take(machine.participants.clients[client].batch_of(by));
    let answered = batch.answers.len() as u64;
    for (key, verdict, approval) in batch.answers.drain(..) {
        answer(machine, client, key, batch.at, verdict, approval);
    }
    for worker in batch.wakes.drain(..) {
        machine.wake(worker);
    }
    if answered > 0 {
        let tail = herd(machine, client);
        machine.scheduler.finish_with(tail);
        leave_to_housekeeper(machine, client, answered);
    }
    *machine.participants.clients[client].batch_of(by) = batch;
}

/// What an answer costs the openers that it wakes for nothing.
pub(crate) fn herd<S: Sink>(machine: &Machine<'_, S>, client: usize) -> u64 {
    if machine.kernel.rules().wakes_all_waiting() {
        machine.participants.clients[client].unanswered * machine.pricing.costs().herd
    } else {
        0
    }
}

/// Answered events wait for the housekeeper to let go of them.
pub(crate) fn leave_to_housekeeper<S: Sink>(machine: &mut Machine<'_, S>, client: usize, answered: u64) {
    let state = &mut machine.participants.clients[client];
    state.to_release += answered;
    if !std::mem::replace(&mut state.round_planned, true) {
        let (housekeeper, nap) = (state.housekeeper, state.rounds.nap());
        machine.sleep(housekeeper, machine.clock.now().saturating_add(nap.nanos()));
    }
}

pub(crate) fn answer<S: Sink>(
    machine: &mut Machine<'_, S>,
    client: usize,
    key: Key,
    at: u64,
    verdict: Verdict,
    approval: Approval,
) {
    let state = &mut machine.participants.clients[client];
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
    let (operation, record, file, actor) = (decision.operation, decision.record, decision.file, state.actor);
    let (keep, event) = (decision.keep, decision.event);
    let late = at > decision.due;
    let took = at.saturating_sub(decision.read.unwrap_or(at));
    machine.recorder.sink().end_decision(actor, record, &end);
    machine.recorder.sink().decision_target(actor, record, file);
    machine.recorder.tally().answered(approval, took, late);
    // Whoever has changed its mind meanwhile has none kept any more.
    if keep && machine.participants.clients[client].keeps {
        machine.kernel.keep(&mut machine.participants.clients, client, file, event);
    }
    retire(machine, client, key);
    answer_reaches(machine, operation, verdict);
}

/// A client has connected. Endpoint Security then empties the cache of every client.
pub(crate) fn client_connected<S: Sink>(machine: &mut Machine<'_, S>) {
    if machine.kernel.rules().forgets_answers_for_new_clients() {
        machine.participants.forget_all_files();
    }
}

/// Forgets a decision once it is answered, settled and in nobody's hands.
pub(crate) fn retire<S: Sink>(machine: &mut Machine<'_, S>, client: usize, key: Key) {
    let state = &mut machine.participants.clients[client];
    let done = |decision: &Decision| decision.answered && decision.settled && decision.worker == NONE;
    if state.decisions.get(key).is_some_and(done) {
        state.decisions.remove(key);
        machine.participants.pending -= 1;
    }
}

/// Notes when the budget answers a decision.
fn arm<S: Sink>(machine: &mut Machine<'_, S>, client: usize, at: u64, key: Key) {
    let state = &mut machine.participants.clients[client];
    let earliest = state.budget.front().is_none_or(|&(first, _)| at < first);
    let place = state.budget.iter().rposition(|&(other, _)| other <= at).map_or(0, |last| last + 1);
    state.budget.insert(place, (at, key));
    if earliest {
        let client = u32::try_from(client).unwrap_or(NONE);
        machine.clock.enter(at.max(machine.clock.now()), SimEvent::BudgetSpent { client });
    }
}

/// The budget of the first decision has run out: the housekeeper sees to it, unless it was answered.
pub(crate) fn budget_spent<S: Sink>(machine: &mut Machine<'_, S>, client: u32) {
    let state = &mut machine.participants.clients[client as usize];
    if !state.alive {
        return;
    }
    while let Some(&(at, key)) = state.budget.front() {
        let open = state.decisions.get(key).is_some_and(|decision| !decision.answered);
        if open && at <= machine.clock.now() {
            let housekeeper = state.housekeeper;
            machine.wake(housekeeper);
            return;
        }
        if open {
            machine.clock.enter(at, SimEvent::BudgetSpent { client });
            return;
        }
        state.budget.pop_front();
    }
}

/// The housekeeper lets go of what was answered, and answers everything whose budget has run out.
pub(crate) fn enter_fall_back<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, start: u64) -> u64 {
    let client = machine.participants.client_of(thread);
    while let Some(&(at, key)) = machine.participants.clients[client].budget.front() {
        if at > start {
            break;
        }
        let state = &mut machine.participants.clients[client];
        state.budget.pop_front();
        // What a worker is just answering on another processor is its own business.
        let open = |decision: &&mut Decision| !decision.answered && decision.answer.is_none();
        if let Some(decision) = state.decisions.get_mut(key).filter(open) {
            decision.budgeted = false;
            let input = Input::Timer { id: u64::from(key.place) };
            state.core.step(Ticks(start), input, &mut machine.participants.actions);
        }
    }
    apply(machine, client, By::Housekeeper);
    let state = &mut machine.participants.clients[client];
    state.fallbacks.at = start;
    let released = usize::try_from(std::mem::take(&mut state.to_release)).unwrap_or(usize::MAX);
    // The deadlines are on the agenda here: nobody gets up to look at them.
    state.rounds.nap_after(released, false);
    state.round_planned = false;
    let round = machine
        .pricing
        .draw(machine.pricing.costs().housekeeping + released as u64 * machine.pricing.costs().release);
    start + round + batch_cost(machine, client, By::Housekeeper)
}

pub(crate) fn leave_fall_back<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let client = machine.participants.client_of(thread);
    let_go(machine, client, By::Housekeeper);
    let number = u32::try_from(client).unwrap_or(NONE);
    if let Some(&(at, _)) = machine.participants.clients[client].budget.front() {
        if at <= machine.clock.now() {
            return Next::Continue;
        }
        machine.clock.enter(at, SimEvent::BudgetSpent { client: number });
    }
    Next::Block
}
