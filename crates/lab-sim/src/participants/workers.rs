//! What a client's workers do for their decisions: work, wait, open, and answer.

use lab_client_core::{Found, Input, PlannedTarget};
use lab_model::{Cause, OperationKind};
use lab_trace::OperationBegin;

use crate::{
    hardware::{NONE, scheduler::Next, slab::Key},
    kernel::{
        operation::{Lineage, Linkage, Operation},
        subject::Subject,
    },
    machine::Machine,
    participants::{
        client::{By, question},
        deciders::{answer, apply, herd, leave_to_housekeeper, retire},
        threads::{Plan, Step},
    },
    records::sink::Sink,
};

/// A worker takes its decision up; not before it was read on another processor.
pub(crate) fn enter_take_up<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, start: u64) -> u64 {
    let (client, key) =
        (machine.participants.client_of(thread), machine.participants.threads[thread as usize].decision);
    let handed = machine.pricing.draw(machine.pricing.costs().hand_over);
    let Some(decision) = machine.participants.clients[client].decisions.get_mut(key) else { return start };
    let started = start.max(decision.read.unwrap_or(start)) + handed;
    decision.started = Some(started);
    started
}

pub(crate) fn leave_take_up<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    worker_next(machine, thread)
}

/// The operation or wait of a worker's decision is over.
pub(crate) fn decision_finished<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    tell_finished(machine, thread);
    worker_next(machine, thread)
}

fn tell_finished<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) {
    let (client, key) =
        (machine.participants.client_of(thread), machine.participants.threads[thread as usize].decision);
    let kernel = machine.kernel.rules();
    let state = &mut machine.participants.clients[client];
    if let Some(decision) = state.decisions.get_mut(key) {
        let id = u64::from(key.place);
        let input = match std::mem::replace(&mut decision.plan, Plan::Nothing) {
            Plan::Judge(_) => {
                let judge = state.core.policy().judge(&question(decision, kernel));
                let path = machine.kernel.files().path(decision.file);
                let found = Found { path: Some(path.as_bytes()), signature: None };
                let verdict = judge.verdict(&found);
                Input::Judged { id, verdict }
            }
            _ => Input::Finished { id },
        };
        state.core.step(machine.clock.ticks(), input, &mut machine.participants.actions);
        apply(machine, client, By::Worker(thread));
    }
}

/// A worker keeps its processor busy, a time slice at the most before others may have it.
pub(crate) fn enter_work<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, start: u64) -> u64 {
    let (client, key) =
        (machine.participants.client_of(thread), machine.participants.threads[thread as usize].decision);
    let slice = machine.pricing.costs().time_slice.max(1);
    let Some(decision) = machine.participants.clients[client].decisions.get_mut(key) else { return start };
    let (Plan::Work(left) | Plan::Judge(left)) = &mut decision.plan else { return start };
    let piece = slice.min(*left);
    *left -= piece;
    start + machine.pricing.draw(piece)
}

pub(crate) fn leave_work<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let (client, key) =
        (machine.participants.client_of(thread), machine.participants.threads[thread as usize].decision);
    match machine.participants.clients[client].decisions.get(key).map(|decision| decision.plan) {
        Some(Plan::Work(left) | Plan::Judge(left)) if left > 0 => Next::Continue,
        _ => decision_finished(machine, thread),
    }
}

/// What a worker does next for its decision; if nothing, it takes up the next one or rests.
fn worker_next<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let (client, key) =
        (machine.participants.client_of(thread), machine.participants.threads[thread as usize].decision);
    loop {
        let Some(decision) = machine.participants.clients[client].decisions.get_mut(key) else {
            return Next::Block;
        };
        if decision.answer.is_some() {
            machine.participants.threads[thread as usize].step = Step::Answer;
            return Next::Continue;
        }
        if decision.settled {
            decision.worker = NONE;
            retire(machine, client, key);
            return worker_done(machine, thread, client);
        }
        let (same, plan) = (decision.file, decision.plan);
        match plan {
            Plan::Operate(plan) if machine.kernel.planned_file(same, plan.target).is_some() => {
                machine.participants.threads[thread as usize].step = Step::Begin;
                return Next::Continue;
            }
            // There is no such file, so nothing is done, and the decision goes on.
            Plan::Operate(_) => tell_finished(machine, thread),
            Plan::Work(0) => tell_finished(machine, thread),
            Plan::Work(_) | Plan::Judge(_) => {
                machine.participants.threads[thread as usize].step = Step::Work;
                return Next::Continue;
            }
            Plan::Wait(span) => {
                machine.participants.threads[thread as usize].step = Step::Waited;
                machine.sleep(thread, machine.clock.now().saturating_add(span.nanos()));
                return Next::Block;
            }
            Plan::Ask(_) => {
                machine.participants.threads[thread as usize].step = Step::Ask;
                return Next::Continue;
            }
            Plan::Nothing => unreachable!("a decision that is not settled has a plan"),
        }
    }
}

fn worker_done<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, client: usize) -> Next {
    let worker = &mut machine.participants.threads[thread as usize];
    worker.decision = std::mem::replace(&mut worker.next_decision, Key::NONE);
    if worker.decision != Key::NONE {
        worker.step = Step::TakeUp;
        return Next::Continue;
    }
    machine.participants.clients[client].idle.push_back(thread);
    Next::Block
}

pub(crate) fn enter_answer<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, start: u64) -> u64 {
    let costs = *machine.pricing.costs();
    // The operation's record keeps the moment; a worker has none under way while it answers.
    let (client, key) =
        (machine.participants.client_of(thread), machine.participants.threads[thread as usize].decision);
    let keeps = machine.participants.clients[client].decisions.get(key).is_some_and(|decision| decision.keep);
    let start = if keeps { start + machine.pricing.draw(costs.keep) } else { start };
    machine.participants.threads[thread as usize].since_answer = start;
    start + machine.pricing.draw(costs.answer_call + costs.answer_event + costs.wake_up + costs.worker_answer)
}

pub(crate) fn leave_answer<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let (client, key) =
        (machine.participants.client_of(thread), machine.participants.threads[thread as usize].decision);
    let at = machine.participants.threads[thread as usize].since_answer;
    let Some(decision) = machine.participants.clients[client].decisions.get_mut(key) else {
        return Next::Block;
    };
    if let Some((verdict, approval)) = decision.answer.take() {
        answer(machine, client, key, at, verdict, approval);
    }
    let tail = herd(machine, client);
    machine.scheduler.finish_with(tail);
    leave_to_housekeeper(machine, client, 1);
    worker_next(machine, thread)
}

/// A client's own operation, and what it costs up to the first question.
pub(crate) fn worker_operation<S: Sink>(
    machine: &mut Machine<'_, S>,
    thread: u32,
    start: u64,
) -> (Operation, u64) {
    let state = machine.participants.threads[thread as usize];
    let client = &machine.participants.clients[state.client as usize];
    let decision = client.decisions.get(state.decision).expect("a worker that opens has a decision");
    let Plan::Operate(plan) = decision.plan else { unreachable!("a worker that opens has a plan to") };
    let file = machine.kernel.planned_file(decision.file, plan.target);
    let file = file.expect("a worker does not begin to open a file that is not there");
    let (pid, actor, record) = (client.pid, client.actor, decision.record.0);
    let own = u16::try_from(state.client).unwrap_or(u16::MAX);
    let of_client = decision.subject.originator() != NONE;
    let (kind, linkage, subject) = match plan.target {
        PlannedTarget::Program(program) => {
            (OperationKind::Exec, Linkage::of(program), machine.participants.driver.new_program(state.client))
        }
        PlannedTarget::Same | PlannedTarget::Other(_) => {
            let (client, parent, behalf) = (state.client, NONE, NONE);
            let subject = Subject { pid, tid: state.tid, client, parent, behalf, actor };
            (OperationKind::Open, Linkage::Static, subject)
        }
    };
    let lineage = if of_client { Lineage::Feedback(own) } else { Lineage::Drive(own) };
    let begin = OperationBegin {
        started: machine.clock.stamp(start),
        subject: machine.kernel.named(subject),
        cause: Cause::Decision { client: actor, record },
        planned: None,
        kind,
        worker: state.number,
        // A client does not know the phase, live either.
        phase: None,
        parent: None,
    };
    let record = machine.recorder.sink().begin_operation(actor, &begin);
    let operation = Operation {
        read: plan.read,
        hash: plan.hash,
        ..Operation::begun(
            thread,
            record,
            &begin,
            subject,
            file,
            machine.kernel.passes(kind, linkage),
            lineage,
        )
    };
    let way = if plan.target == PlannedTarget::Same { machine.pricing.costs().reopen } else { 0 };
    (operation, linkage.entry_cost(kind, machine.pricing.costs()) + way)
}
