//! What the threads of helpers and daemons do for the requests that they have taken in.

use lab_client_core::{Outcome, Step as Stage, Task};
use lab_model::{Cause, OperationKind};
use lab_trace::{OperationBegin, RequestEnd};

use crate::{
    hardware::{NONE, scheduler::Next, slab::Key},
    kernel::{
        errors::ENOENT,
        operation::{Linkage, Operation},
        subject::Subject,
    },
    machine::Machine,
    participants::{
        outside::Request,
        requests::take_in,
        threads::{Plan, Step},
    },
    records::sink::Sink,
};

/// A worker process's thread takes a request up. Two threads in between have been woken for it: the client's courier
/// and the worker process's reader.
pub(crate) fn enter_fetch<S: Sink>(machine: &mut Machine<'_, S>, start: u64) -> u64 {
    let costs = *machine.pricing.costs();
    start + machine.pricing.draw(2 * (costs.context_switch + costs.wake_up) + costs.hand_over)
}

pub(crate) fn leave_fetch<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let place = machine.participants.threads[thread as usize].outside as usize;
    if machine.participants.worker_processes[place].running
        >= machine.participants.worker_processes[place].service.workers
    {
        return outsider_rests(machine, thread);
    }
    let Some(key) = machine.participants.worker_processes[place].taken_in.pop_front() else {
        return outsider_rests(machine, thread);
    };
    machine.participants.worker_processes[place].running += 1;
    let errand = machine.participants.worker_processes[place].service.errand;
    if let Some(request) = machine.participants.requests.get_mut(key) {
        request.task = Task::errand(&errand, request.draw);
    }
    machine.participants.threads[thread as usize].request = key;
    errand_next(machine, thread, Outcome::Begin)
}

/// What a worker process's thread does next for its request.
pub(crate) fn errand_next<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, mut last: Outcome) -> Next {
    let key = machine.participants.threads[thread as usize].request;
    loop {
        let Some(request) = machine.participants.requests.get_mut(key) else {
            return outsider_rests(machine, thread);
        };
        let stage = request.task.step(std::mem::replace(&mut last, Outcome::Finished));
        let step = match stage {
            Stage::Wait(span) => {
                machine.participants.threads[thread as usize].step = Step::Waited;
                machine.sleep(thread, machine.clock.now().saturating_add(span.nanos()));
                return Next::Block;
            }
            Stage::Burn(span) => {
                request.plan = Plan::Work(span.nanos());
                Step::Work
            }
            Stage::Operate(plan) => {
                request.plan = Plan::Operate(plan);
                let file = request.file;
                if machine.kernel.planned_file(file, plan.target).is_none() {
                    errand_error(machine, key, ENOENT);
                    continue;
                }
                Step::Begin
            }
            Stage::Done => Step::Reply,
            // An errand has no event: nothing of it is judged, inspected, answered or passed on.
            Stage::Judge | Stage::Inspect { .. } | Stage::Ask(_) | Stage::Answer { .. } => continue,
        };
        machine.participants.threads[thread as usize].step = step;
        return Next::Continue;
    }
}

/// Takes note of how an operation of an errand ended.
pub(crate) fn errand_error<S: Sink>(machine: &mut Machine<'_, S>, request: Key, error: u32) {
    if let Some(request) = machine.participants.requests.get_mut(request) {
        request.error = request.error.max(error);
    }
}

/// What a worker process's thread burns next, a time slice at the most.
pub(crate) fn enter_errand_work<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, start: u64) -> u64 {
    let (slice, key) =
        (machine.pricing.costs().time_slice.max(1), machine.participants.threads[thread as usize].request);
    let Some(Plan::Work(left)) = machine.participants.requests.get_mut(key).map(|request| &mut request.plan)
    else {
        return start;
    };
    let piece = slice.min(*left);
    *left -= piece;
    start + machine.pricing.draw(piece)
}

pub(crate) fn leave_errand_work<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let key = machine.participants.threads[thread as usize].request;
    match machine.participants.requests.get(key).map(|request| request.plan) {
        Some(Plan::Work(left)) if left > 0 => Next::Continue,
        _ => errand_next(machine, thread, Outcome::Finished),
    }
}

/// An operation that is part of an errand, and what it costs up to the first question.
pub(crate) fn errand_operation<S: Sink>(
    machine: &mut Machine<'_, S>,
    thread: u32,
    start: u64,
) -> (Operation, u64) {
    let state = machine.participants.threads[thread as usize];
    let request =
        machine.participants.requests.get(state.request).expect("a worker process that opens has a request");
    let Plan::Operate(plan) = request.plan else { unreachable!("a worker process that opens has a plan to") };
    let Request { client, by, decision, lineage, .. } = *request;
    let file = machine.kernel.planned_file(request.file, plan.target);
    let file = file.expect("a worker process does not begin to open a file that is not there");
    let worker_process = &machine.participants.worker_processes[state.outside as usize];
    let (pid, actor, parent) = (worker_process.pid, worker_process.actor, worker_process.client);
    let (kind, linkage, subject) = match plan.target {
        lab_client_core::PlannedTarget::Program(program) => {
            // Nobody but the worker process knows its child.
            let subject = Subject { behalf: client, ..machine.participants.driver.new_program(NONE) };
            (OperationKind::Exec, Linkage::of(program), subject)
        }
        _ => {
            let subject = Subject { pid, tid: state.tid, client: NONE, parent, behalf: client, actor };
            (OperationKind::Open, Linkage::Static, subject)
        }
    };
    let begin = OperationBegin {
        started: machine.clock.stamp(start),
        subject: machine.kernel.named(subject),
        cause: Cause::Decision { client: by, record: decision },
        planned: None,
        kind,
        worker: state.number,
        phase: None,
        parent: None,
    };
    let record = machine.recorder.sink().begin_operation(actor, &begin);
    let passes = machine.kernel.passes(kind, linkage);
    let operation = Operation {
        read: plan.read,
        hash: plan.hash,
        ..Operation::begun(thread, record, &begin, subject, file, passes, lineage)
    };
    (operation, linkage.entry_cost(kind, machine.pricing.costs()))
}

/// The reply leaves, past the client's courier.
pub(crate) fn enter_reply<S: Sink>(machine: &mut Machine<'_, S>, start: u64) -> u64 {
    let costs = *machine.pricing.costs();
    start + machine.pricing.draw(2 * costs.wake_up + costs.context_switch)
}

pub(crate) fn leave_reply<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let key = std::mem::replace(&mut machine.participants.threads[thread as usize].request, Key::NONE);
    let worker_process = machine.participants.threads[thread as usize].outside as usize;
    machine.participants.worker_processes[worker_process].running -= 1;
    if let Some(request) = machine.participants.requests.remove(key) {
        reply(machine, &request);
    }
    outsider_rests(machine, thread)
}

fn reply<S: Sink>(machine: &mut Machine<'_, S>, request: &Request) {
    let state = &mut machine.participants.clients[request.client as usize];
    if !state.alive || state.actor != request.by {
        return;
    }
    let end = RequestEnd { at: machine.clock.ticks(), error: request.error, served: None };
    machine.recorder.sink().end_request(state.actor, request.record, &end);
    if let Some(request_queue) = state.request_queues.get_mut(request.whom) {
        match request_queue.waiting.pop_front() {
            Some(next) => take_in(machine, request.worker_process, next),
            None => request_queue.free.push_back(request.worker_process),
        }
    }
    if request.waiter != NONE {
        machine.wake(request.waiter);
    }
}

fn outsider_rests<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let worker_process = &mut machine.participants.worker_processes
        [machine.participants.threads[thread as usize].outside as usize];
    if worker_process.taken_in.is_empty() || worker_process.running >= worker_process.service.workers {
        worker_process.idle.push_back(thread);
        return Next::Block;
    }
    machine.participants.threads[thread as usize].step = Step::Fetch;
    Next::Continue
}
