//! Opens that write or create: what they clear of the answers that a kernel keeps.
//!
//! fanotify forgets what it keeps about a file at the first write to it, and keeps nothing about a file that
//! somebody has open for writing: not even the answer about that very open. On Endpoint Security a modification
//! invalidates. A created file is a new one: nothing was ever kept about it.

use lab_model::{NotifyEvent, NotifyEvents};
use lab_workload::{Action, Planned};

use crate::{
    Kernel, Sink,
    kernel::operation::Operation,
    machine::{Machine, NONE},
};

impl<S: Sink> Machine<'_, S> {
    /// True when this thread makes a file, or opens one that it writes to.
    pub(crate) fn makes(&self, thread: u32) -> (bool, bool) {
        match self.planned_by(thread).map(|planned| planned.action) {
            Some(Action::Create) => (true, false),
            Some(Action::Write { .. }) => (false, true),
            _ => (false, false),
        }
    }

    /// What a driver's thread does now.
    fn planned_by(&self, thread: u32) -> Option<Planned> {
        let state = self.threads[thread as usize];
        let worker = self.driver.workers.get(usize::from(state.number));
        worker.filter(|worker| state.client == NONE && worker.thread == thread)?.planned
    }

    /// The file of a driver's next operation.
    pub(crate) fn file_of(&self, thread: u32, planned: &Planned) -> u32 {
        if planned.action != Action::Create {
            return self.files.of(planned.load, planned.action);
        }
        let before = lab_workload::workers(&self.lab.workload[..planned.load]);
        let number = usize::from(self.threads[thread as usize].number);
        self.files.created(planned.load, number.saturating_sub(before))
    }

    /// A file is about to be opened for this.
    pub(crate) fn opens_for(&mut self, action: Action, file: u32) {
        if matches!(action, Action::Write { .. } | Action::Create) {
            self.writing.push(file);
        }
        if action == Action::Create {
            self.forget(file);
        }
    }

    /// The driver's thread has the file open, or was denied it: writes to it, or removes it, and closes it.
    /// Returns what that costs.
    pub(crate) fn wrote(&mut self, thread: u32, operation: &Operation) -> u64 {
        let file = operation.file;
        let Some(planned) = self.planned_by(thread) else { return 0 };
        if !matches!(planned.action, Action::Write { .. } | Action::Create) {
            return 0;
        }
        if let Some(place) = self.writing.iter().position(|&other| other == file) {
            self.writing.swap_remove(place);
        }
        if operation.denied {
            return 0;
        }
        if matches!(planned.action, Action::Write { .. }) {
            self.forget(file);
        }
        let told = match planned.action {
            Action::Create => NotifyEvent::Unlink,
            _ => NotifyEvent::Write,
        };
        self.tail += self.notify(NotifyEvents::of(told), file, operation.subject);
        // One more call, as long as reading a little.
        self.costs.read_content
    }

    /// True when the kernel may keep an answer about this file now.
    pub(crate) fn may_keep(&self, file: u32) -> bool {
        self.kernel == Kernel::EndpointSecurity || !self.writing.contains(&file)
    }

    /// What was kept about a file is no longer.
    fn forget(&mut self, file: u32) {
        self.clients.iter_mut().for_each(|client| client.hidden.forget_file(file));
    }
}
