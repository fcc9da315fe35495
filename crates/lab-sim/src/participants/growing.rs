//! Trees of processes: each runs as many more as it is told and waits for all of them, as the driver's own program
//! does.
//!
//! A process starts one child after the other and waits until that has become a program, as `vfork` does; children
//! that have, run beside it. The tree's root is played by the driver's thread that wants the tree; every other
//! process is a thread of its own, taken up again by the next tree.

use lab_model::{Cause, LoadKind, OperationKind, Ticks};
use lab_trace::{OperationBegin, OperationEnd};

use crate::{
    hardware::{NONE, scheduler::Next, slab::Key},
    kernel::{
        errors::EPERM,
        operation::{Lineage, Linkage, Operation},
    },
    machine::Machine,
    participants::{notifying::tell_of_end, threads::Step, trees::Process},
    records::sink::Sink,
};

/// A driver's thread begins a tree of this load.
pub(crate) fn plant<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, load: usize, begin: &OperationBegin) {
    let Some(LoadKind::ExecTree(tree)) = machine.lab.workload.get(load).map(|load| &load.kind) else {
        return;
    };
    let begin = OperationBegin { planned: None, ..*begin };
    let root = Process { parent: None, load, begin, levels: tree.depth, to_start: 0, running: 0 };
    machine.participants.trees.processes.insert(thread, root);
}

/// The operation of a process that its parent has started; `None` for any other thread.
pub(crate) fn tree_operation<S: Sink>(
    machine: &mut Machine<'_, S>,
    thread: u32,
    start: u64,
) -> Option<(Operation, u64)> {
    let process =
        *machine.participants.trees.processes.get(&thread).filter(|process| process.parent.is_some())?;
    let subject = machine.participants.driver.new_program(NONE);
    let kind = OperationKind::Exec;
    let begin = OperationBegin {
        started: Ticks(start),
        subject: machine.kernel.named(subject),
        cause: Cause::Workload,
        parent: record_of(machine, process.parent),
        ..process.begin
    };
    let record = machine.recorder.sink().begin_operation(machine.participants.driver.actor, &begin);
    machine.recorder.tally().began_root();
    let operation = Operation::begun(
        thread,
        record,
        &begin,
        subject,
        machine.kernel.files().of(process.load, lab_workload::Action::Tree),
        machine.kernel.passes(kind, Linkage::Static),
        Lineage::Root,
    );
    Some((
        operation,
        Linkage::Static.entry_cost(kind, machine.pricing.costs()) + machine.pricing.costs().exec_tree,
    ))
}

/// The record of the exec that this thread plays.
fn record_of<S: Sink>(machine: &Machine<'_, S>, player: Option<u32>) -> Option<u64> {
    let operation = machine.kernel.operation(machine.participants.threads[player? as usize].operation)?;
    Some(operation.record.0)
}

/// A process has become the program, or was denied it: its parent goes on, and it has children of its own.
pub(crate) fn rooted<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, key: Key) -> Next {
    let denied = machine.kernel.operation(key).is_some_and(|operation| operation.denied);
    let Some(process) = machine.participants.trees.processes.get_mut(&thread) else { return Next::Block };
    let fanout = match machine.lab.workload.get(process.load).map(|load| &load.kind) {
        Some(LoadKind::ExecTree(tree)) if process.levels > 0 && !denied => tree.fanout,
        _ => 0,
    };
    process.to_start = fanout;
    let parent = process.parent;
    machine.participants.threads[thread as usize].step = if fanout > 0 { Step::Grow } else { Step::Wither };
    if let Some(parent) = parent {
        machine.wake(parent);
    }
    Next::Continue
}

/// A process starts its next child and waits until that is a program; after the last it waits for their ends.
pub(crate) fn leave_grow<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let Some(process) = machine.participants.trees.processes.get_mut(&thread) else { return Next::Block };
    if process.to_start == 0 {
        if process.running > 0 {
            return Next::Block;
        }
        machine.participants.threads[thread as usize].step = Step::Wither;
        return Next::Continue;
    }
    process.to_start -= 1;
    process.running += 1;
    let levels = process.levels - 1;
    let child = Process { parent: Some(thread), levels, to_start: 0, running: 0, ..*process };
    let resting = machine.participants.trees.resting.pop();
    let number = machine.participants.threads[thread as usize].number;
    let player = resting.unwrap_or_else(|| machine.add_thread(NONE, number, Step::Begin));
    let state = &mut machine.participants.threads[player as usize];
    (state.step, state.number) = (Step::Begin, number);
    machine.participants.trees.processes.insert(player, child);
    machine.wake(player);
    Next::Block
}

/// A process has ended; `None` for the root, whose end is that of the driver's operation.
pub(crate) fn process_over<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Option<Next> {
    let key = machine.participants.threads[thread as usize].operation;
    let process = machine.participants.trees.processes.remove(&thread);
    machine.kernel.returned(key, machine.clock.now());
    let parent = process?.parent?;
    machine.participants.threads[thread as usize].operation = Key::NONE;
    machine.participants.trees.resting.push(thread);
    if let Some(operation) = machine.kernel.end(key) {
        let tail = tell_of_end(machine, &operation);
        machine.scheduler.prolong(tail);
        let error = if operation.denied { EPERM } else { 0 };
        let end = OperationEnd { ended: machine.clock.ticks(), error, status: 0, finished: None, bytes: 0 };
        machine.recorder.sink().end_operation(machine.participants.driver.actor, operation.record, &end);
        machine.recorder.sink().operation_target(
            machine.participants.driver.actor,
            operation.record,
            operation.file,
        );
        machine
            .recorder
            .tally()
            .ended_root(machine.script.phase(), machine.clock.now().saturating_sub(operation.started));
    }
    if let Some(parent_process) = machine.participants.trees.processes.get_mut(&parent) {
        parent_process.running -= 1;
        if parent_process.running == 0 && parent_process.to_start == 0 {
            machine.wake(parent);
        }
    }
    Some(Next::Block)
}
