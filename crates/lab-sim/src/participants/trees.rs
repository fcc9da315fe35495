//! Trees of processes: each runs as many more as it is told and waits for all of them, as the driver's own program
//! does.
//!
//! A process starts one child after the other and waits until that has become a program, as `vfork` does; children
//! that have, run beside it. The tree's root is played by the driver's thread that wants the tree; every other
//! process is a thread of its own, taken up again by the next tree.

use std::collections::BTreeMap;

use lab_model::{Cause, LoadKind, OperationKind, Ticks};
use lab_trace::{OperationBegin, OperationEnd};

use crate::{
    Sink,
    hardware::slab::Key,
    kernel::{
        openers::EPERM,
        operation::{Lineage, Linkage, Operation, passes},
    },
    machine::{Machine, NONE, Next, Step},
};

/// A process of a tree.
#[derive(Clone, Copy, Debug)]
struct Process {
    /// The thread that plays its parent; none for the root.
    parent: Option<u32>,
    /// What it is a process of: the load and the phase's record.
    load: usize,
    begin: OperationBegin,
    /// Levels below it.
    levels: u32,
    /// Children that it has still to start, and those that run.
    to_start: u32,
    running: u32,
}

/// All trees that grow.
#[derive(Debug, Default)]
pub(crate) struct Trees {
    /// The processes by the threads that play them.
    processes: BTreeMap<u32, Process>,
    /// Threads that played one.
    resting: Vec<u32>,
}

impl Trees {
    /// True when this thread plays a process of a tree.
    #[inline]
    pub(crate) fn holds(&self, thread: u32) -> bool {
        !self.processes.is_empty() && self.processes.contains_key(&thread)
    }

    /// The thread that plays the parent of the process that this one plays.
    pub(crate) fn parent(&self, thread: u32) -> Option<u32> {
        self.processes.get(&thread)?.parent
    }
}

impl<S: Sink> Machine<'_, S> {
    /// A driver's thread begins a tree of this load.
    pub(crate) fn plant(&mut self, thread: u32, load: usize, begin: &OperationBegin) {
        let Some(LoadKind::ExecTree(tree)) = self.lab.workload.get(load).map(|load| &load.kind) else {
            return;
        };
        let begin = OperationBegin { planned: None, ..*begin };
        let root = Process { parent: None, load, begin, levels: tree.depth, to_start: 0, running: 0 };
        self.trees.processes.insert(thread, root);
    }

    /// The operation of a process that its parent has started; `None` for any other thread.
    pub(crate) fn tree_operation(&mut self, thread: u32, start: u64) -> Option<(Operation, u64)> {
        let process = *self.trees.processes.get(&thread).filter(|process| process.parent.is_some())?;
        let subject = self.new_program(NONE);
        let kind = OperationKind::Exec;
        let begin = OperationBegin {
            started: Ticks(start),
            subject: self.named(subject),
            cause: Cause::Workload,
            parent: self.record_of(process.parent),
            ..process.begin
        };
        let record = self.sink.begin_operation(self.driver.actor, &begin);
        self.tally.began_root();
        let operation = Operation::begun(
            thread,
            record,
            &begin,
            subject,
            self.files.of(process.load, lab_workload::Action::Tree),
            passes(self.kernel, kind, Linkage::Static),
            Lineage::Root,
        );
        Some((operation, self.entry_cost(kind, Linkage::Static) + self.costs.exec_tree))
    }

    /// The record of the exec that this thread plays.
    fn record_of(&self, player: Option<u32>) -> Option<u64> {
        let operation = self.operations.get(self.threads[player? as usize].operation)?;
        Some(operation.record.0)
    }

    /// A process has become the program, or was denied it: its parent goes on, and it has children of its own.
    pub(crate) fn rooted(&mut self, thread: u32, key: Key) -> Next {
        let denied = self.operations.get(key).is_some_and(|operation| operation.denied);
        let Some(process) = self.trees.processes.get_mut(&thread) else { return Next::Block };
        let fanout = match self.lab.workload.get(process.load).map(|load| &load.kind) {
            Some(LoadKind::ExecTree(tree)) if process.levels > 0 && !denied => tree.fanout,
            _ => 0,
        };
        process.to_start = fanout;
        let parent = process.parent;
        self.threads[thread as usize].step = if fanout > 0 { Step::Grow } else { Step::Wither };
        if let Some(parent) = parent {
            self.wake(parent);
        }
        Next::Continue
    }

    /// A process starts its next child and waits until that is a program; after the last it waits for their ends.
    pub(crate) fn leave_grow(&mut self, thread: u32) -> Next {
        let Some(process) = self.trees.processes.get_mut(&thread) else { return Next::Block };
        if process.to_start == 0 {
            if process.running > 0 {
                return Next::Block;
            }
            self.threads[thread as usize].step = Step::Wither;
            return Next::Continue;
        }
        process.to_start -= 1;
        process.running += 1;
        let levels = process.levels - 1;
        let child = Process { parent: Some(thread), levels, to_start: 0, running: 0, ..*process };
        let resting = self.trees.resting.pop();
        let number = self.threads[thread as usize].number;
        let player = resting.unwrap_or_else(|| self.add_thread(NONE, number, Step::Begin, self.new_tid()));
        (self.threads[player as usize].step, self.threads[player as usize].number) = (Step::Begin, number);
        self.trees.processes.insert(player, child);
        self.wake(player);
        Next::Block
    }

    /// A process has ended. The root's end is that of the driver's operation.
    pub(crate) fn leave_wither(&mut self, thread: u32) -> Next {
        let key = self.threads[thread as usize].operation;
        let process = self.trees.processes.remove(&thread);
        if let Some(operation) = self.operations.get_mut(key) {
            operation.ended = self.now;
        }
        let Some(parent) = process.and_then(|process| process.parent) else {
            return self.operation_over(thread, key, None);
        };
        self.threads[thread as usize].operation = Key::NONE;
        self.trees.resting.push(thread);
        if let Some(operation) = self.operations.remove(key) {
            self.tail += self.tell_of_end(&operation);
            let error = if operation.denied { EPERM } else { 0 };
            let end = OperationEnd { ended: Ticks(self.now), error, status: 0, finished: None, bytes: 0 };
            self.sink.end_operation(self.driver.actor, operation.record, &end);
            self.sink.operation_target(self.driver.actor, operation.record, operation.file);
            self.tally.ended_root(self.script.phase, self.now.saturating_sub(operation.started));
        }
        if let Some(parent_process) = self.trees.processes.get_mut(&parent) {
            parent_process.running -= 1;
            if parent_process.running == 0 && parent_process.to_start == 0 {
                self.wake(parent);
            }
        }
        Next::Block
    }
}
