//! An operation of any thread from its call to its return, and whose turn it is then.

use lab_client_core::Outcome;
use lab_model::{OperationKind, Ticks};
use lab_trace::OperationEnd;

use crate::{
    hardware::{NONE, scheduler::Next, slab::Key},
    kernel::{
        asking::{ask, asking_cost},
        errors::{EMFILE, EPERM},
        operation::Operation,
    },
    machine::Machine,
    participants::{
        driving::{driver_next, driver_operation, wrote},
        errands::{errand_error, errand_next, errand_operation},
        growing::{process_over, rooted, tree_operation},
        notifying::{tell_of_end, tell_of_files, tell_of_fork, telling_cost},
        threads::{Step, Thread},
        workers::{decision_finished, worker_operation},
    },
    records::sink::Sink,
};

pub(crate) fn enter_begin<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, start: u64) -> u64 {
    let Thread { client, outside, .. } = machine.participants.threads[thread as usize];
    let (mut operation, entry) = match (client, outside) {
        (NONE, NONE) => match tree_operation(machine, thread, start) {
            Some(of_tree) => of_tree,
            None => driver_operation(machine, thread, start),
        },
        (NONE, _) => errand_operation(machine, thread, start),
        _ => worker_operation(machine, thread, start),
    };
    if operation.kind == OperationKind::Open
        && machine.kernel.cannot_open(&machine.participants.clients, operation.subject.actor)
    {
        // The call fails before anybody could be asked.
        (operation.passes, operation.denied) = (&[], true);
    }
    let asking = asking_cost(machine, &operation);
    // Without anybody to ask, the call goes straight on to its return.
    let rest = asking.unwrap_or_else(|| exit_cost(machine, thread, &operation));
    let key = machine.kernel.begin(operation);
    machine.participants.threads[thread as usize].operation = key;
    start + machine.pricing.draw(entry) + rest
}

/// What is left of a call after the last answer.
fn exit_cost<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, operation: &Operation) -> u64 {
    let telling = telling_cost(machine, operation);
    // A process of a tree goes on, and ends with a step of its own.
    if machine.participants.trees.holds(thread) {
        return telling;
    }
    let exit = match operation.kind {
        OperationKind::Open => machine.pricing.costs().open_exit,
        OperationKind::Exec | OperationKind::Process => machine.pricing.costs().exec_exit,
    };
    machine.pricing.draw(exit) + telling
}

pub(crate) fn enter_resume<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, start: u64) -> u64 {
    let key = machine.participants.threads[thread as usize].operation;
    let Some(&operation) = machine.kernel.operation(key) else { return start };
    let asking = asking_cost(machine, &operation);
    start + asking.unwrap_or_else(|| exit_cost(machine, thread, &operation))
}

pub(crate) fn leave_open<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let key = machine.participants.threads[thread as usize].operation;
    tell_of_fork(machine, thread, key);
    if ask(machine, key) {
        machine.participants.threads[thread as usize].step = Step::Resume;
        return Next::Block;
    }
    opened(machine, thread, key)
}

/// The open has returned (or the process has ended).
fn opened<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, key: Key) -> Next {
    let now = machine.clock.now();
    let Some(operation) = machine.kernel.returned(key, now) else { return Next::Block };
    tell_of_files(machine, &operation);
    if machine.participants.trees.holds(thread) {
        return rooted(machine, thread, key);
    }
    if operation.read && !operation.denied {
        machine.participants.threads[thread as usize].step = Step::Content;
        return Next::Continue;
    }
    let tail = if operation.kind == OperationKind::Open { machine.pricing.costs().close } else { 0 };
    machine.scheduler.finish_with(tail);
    operation_over(machine, thread, key, None)
}

pub(crate) fn enter_content<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, start: u64) -> u64 {
    let key = machine.participants.threads[thread as usize].operation;
    let Some(operation) = machine.kernel.operation(key) else { return start };
    let kibibytes = machine.kernel.files().bytes(operation.file).div_ceil(1024);
    let hashing = if operation.hash { machine.pricing.costs().hash_kibibyte } else { 0 };
    let reading =
        machine.pricing.costs().read_content + kibibytes * (machine.pricing.costs().read_kibibyte + hashing);
    start + machine.pricing.draw(reading + machine.pricing.costs().close)
}

pub(crate) fn leave_content<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let key = machine.participants.threads[thread as usize].operation;
    operation_over(machine, thread, key, Some(machine.clock.ticks()))
}

fn operation_over<S: Sink>(
    machine: &mut Machine<'_, S>,
    thread: u32,
    key: Key,
    finished: Option<Ticks>,
) -> Next {
    let Some(operation) = machine.kernel.end(key) else { return Next::Block };
    let bytes = finished.map_or(0, |_| machine.kernel.files().bytes(operation.file));
    let error = match (operation.denied, operation.passes) {
        (false, _) => 0,
        (true, []) => EMFILE,
        (true, _) => EPERM,
    };
    let end = OperationEnd { ended: Ticks(operation.ended), error, status: 0, finished, bytes };
    let Thread { client, outside, request, .. } = machine.participants.threads[thread as usize];
    let actor = match (client, outside) {
        (NONE, NONE) => machine.participants.driver.actor,
        (NONE, outside) => machine.participants.worker_processes[outside as usize].actor,
        (client, _) => machine.participants.clients[client as usize].actor,
    };
    machine.recorder.sink().end_operation(actor, operation.record, &end);
    machine.recorder.sink().operation_target(actor, operation.record, operation.file);
    machine.participants.threads[thread as usize].operation = Key::NONE;
    if outside != NONE {
        errand_error(machine, request, error);
    } else if client == NONE {
        let tail = wrote(machine, thread, &operation);
        machine.scheduler.prolong(tail);
    }
    let tail = tell_of_end(machine, &operation);
    machine.scheduler.prolong(tail);
    if outside == NONE && client == NONE {
        let began = operation.planned.unwrap_or(operation.started);
        machine.recorder.tally().ended_root(machine.script.phase(), operation.ended.saturating_sub(began));
        return driver_next(machine, thread);
    }
    work_finished(machine, thread)
}

/// A process of a tree has ended. The root's end is that of the driver's operation.
pub(crate) fn leave_wither<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let key = machine.participants.threads[thread as usize].operation;
    process_over(machine, thread).unwrap_or_else(|| operation_over(machine, thread, key, None))
}

/// The operation or wait of a worker's decision, or of a worker process's errand, is over.
pub(crate) fn work_finished<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    if machine.participants.is_outside(thread) {
        return errand_next(machine, thread, Outcome::Finished);
    }
    decision_finished(machine, thread)
}
