//! What a thread does that makes an operation, and how the kernel asks about it: the two delivery rules.

use lab_client_core::PlannedTarget;
use lab_model::{Actor, Cause, OperationKind, ThreadId, Ticks};
use lab_trace::{OperationBegin, OperationEnd, RecordId};
use lab_workload::Action;

use crate::{
    Kernel, Sink,
    hardware::slab::Key,
    kernel::{
        files::Program,
        operation::{Asked, Lineage, Linkage, Operation, passes},
    },
    machine::{Machine, NONE, Next, State, Step, Thread},
    participants::client::{Client, Decision, ES_QUEUE_MAX, Plan, Subject},
};

/// `EPERM`, what a denied open fails with.
pub(crate) const EPERM: u32 = 1;

/// `EMFILE`, what an open fails with when the process may have no more files open.
const EMFILE: u32 = 24;

impl<S: Sink> Machine<'_, S> {
    pub(crate) fn enter_begin(&mut self, thread: u32, start: u64) -> u64 {
        let Thread { client, outside, .. } = self.threads[thread as usize];
        let (mut operation, entry) = match (client, outside) {
            (NONE, NONE) => match self.tree_operation(thread, start) {
                Some(of_tree) => of_tree,
                None => self.driver_operation(thread, start),
            },
            (NONE, _) => self.errand_operation(thread, start),
            _ => self.worker_operation(thread, start),
        };
        if operation.kind == OperationKind::Open && self.cannot_open(operation.subject.actor) {
            // The call fails before anybody could be asked.
            (operation.passes, operation.denied) = (&[], true);
        }
        let asking = self.asking_cost(&operation);
        // Without anybody to ask, the call goes straight on to its return.
        let rest = asking.unwrap_or_else(|| self.exit_cost(thread, &operation));
        let key = self.operations.insert(operation);
        self.threads[thread as usize].operation = key;
        start + self.cost(entry) + rest
    }

    /// The next operation of the driver's schedule, and what it costs up to the first question.
    fn driver_operation(&mut self, thread: u32, start: u64) -> (Operation, u64) {
        let state = self.threads[thread as usize];
        let planned = self.driver.workers[usize::from(state.number)].planned;
        let planned = planned.expect("a driver thread that begins has something to do");
        let (kind, linkage) = match planned.action {
            Action::Open { .. } | Action::Write { .. } | Action::Create => {
                (OperationKind::Open, Linkage::Static)
            }
            Action::Exec(program) => (OperationKind::Exec, Linkage::of(program)),
            Action::Tree | Action::Run => (OperationKind::Exec, Linkage::Static),
        };
        let subject = match kind {
            OperationKind::Open => Subject {
                pid: self.driver.pid,
                tid: state.tid,
                client: NONE,
                parent: NONE,
                behalf: NONE,
                actor: self.driver.actor,
            },
            // Labs with commands are refused before: see `not_simulated`.
            OperationKind::Exec | OperationKind::Process => self.new_program(NONE),
        };
        let at = planned.offset.map(|offset| self.script.phase_began.saturating_add(offset));
        let file = self.file_of(thread, &planned);
        self.opens_for(planned.action, file);
        let begin = OperationBegin {
            started: self.stamp(start),
            subject: self.named(subject),
            cause: Cause::Workload,
            planned: at.map(Ticks),
            kind,
            worker: state.number,
            phase: self.script.phase,
            parent: None,
        };
        let record = self.sink.begin_operation(self.driver.actor, &begin);
        self.tally.began_root();
        if planned.action == Action::Tree {
            self.plant(thread, planned.load, &begin);
        }
        let mut entry = self.entry_cost(kind, linkage);
        if kind == OperationKind::Exec {
            entry += self.costs.exec_cold_after(state.away);
        }
        if planned.action == Action::Tree {
            entry += self.costs.exec_tree;
        }
        let passes = passes(self.kernel, kind, linkage);
        let operation = Operation::begun(thread, record, &begin, subject, file, passes, Lineage::Root);
        (operation, entry)
    }

    /// A new process, started by this client or by the driver ([`NONE`]).
    pub(crate) fn new_program(&mut self, parent: u32) -> Subject {
        let pid = self.driver.new_process();
        let behalf = NONE;
        Subject { pid, tid: u64::from(pid), client: NONE, parent, behalf, actor: Actor::UNKNOWN }
    }

    /// From the call to the first question.
    pub(crate) const fn entry_cost(&self, kind: OperationKind, linkage: Linkage) -> u64 {
        match (kind, linkage) {
            (OperationKind::Open, _) => self.costs.open_entry,
            (OperationKind::Exec | OperationKind::Process, Linkage::Static) => self.costs.exec_entry,
            (OperationKind::Exec | OperationKind::Process, Linkage::Dynamic | Linkage::Script) => {
                self.costs.exec_entry + self.costs.exec_dynamic
            }
        }
    }

    /// The full name of a thread: in an operation's own record.
    pub(crate) fn named(&self, subject: Subject) -> ThreadId {
        ThreadId { pid: subject.pid, tid: subject.tid, generation: self.generation() }
    }

    const fn generation(&self) -> u32 {
        match self.kernel {
            Kernel::Fanotify => 0,
            Kernel::EndpointSecurity => 1,
        }
    }

    /// What the next questions will cost the opener; `None` when nobody is left to ask.
    fn asking_cost(&mut self, operation: &Operation) -> Option<u64> {
        let (mut asked, mut wakes) = (0, 0);
        let mut count = |client: u16| {
            asked += 1;
            wakes += u64::from(self.is_blocked(self.clients[usize::from(client)].reader));
        };
        match self.kernel {
            Kernel::Fanotify => {
                self.next_asked(operation).into_iter().for_each(|(_, _, client)| count(client))
            }
            Kernel::EndpointSecurity => {
                let pass = self.next_pass(operation)?;
                let question = operation.question_of(pass, &self.files);
                (0..self.clients_max()).filter(|&client| self.asks(client, &question)).for_each(count);
            }
        }
        (asked > 0).then(|| self.cost(asked * self.costs.ask + wakes * self.costs.wake_up))
    }

    fn clients_max(&self) -> u16 {
        u16::try_from(self.clients.len()).unwrap_or(u16::MAX)
    }

    /// True when the kernel asks a client this question.
    #[inline]
    fn asks(&self, client: u16, question: &Asked) -> bool {
        let state = &self.clients[usize::from(client)];
        let own = self.kernel == Kernel::EndpointSecurity && question.subject.client == u32::from(client);
        state.listening && !own && !state.hidden.hides(question.file, question.event)
    }

    /// fanotify: whom the kernel asks next about an operation, in which pass and at which place of the order.
    fn next_asked(&self, operation: &Operation) -> Option<(u8, u16, u16)> {
        let (mut pass, mut place) = (operation.pass, operation.place);
        while !operation.denied && usize::from(pass) < operation.passes.len() {
            let question = operation.question_of(pass, &self.files);
            while let Some(&client) = self.order.get(usize::from(place)) {
                if self.asks(client, &question) {
                    return Some((pass, place, client));
                }
                place += 1;
            }
            (pass, place) = (pass + 1, 0);
        }
        None
    }

    /// Endpoint Security: the next pass in which anybody is asked about an operation.
    fn next_pass(&self, operation: &Operation) -> Option<u8> {
        // `place` tells whether its pass was asked already.
        let first = operation.pass + u8::from(operation.place > 0);
        let last = u8::try_from(operation.passes.len()).unwrap_or(u8::MAX);
        let anybody = |pass: &u8| {
            let question = operation.question_of(*pass, &self.files);
            (0..self.clients_max()).any(|client| self.asks(client, &question))
        };
        if operation.denied { None } else { (first..last).find(anybody) }
    }

    /// What is left of a call after the last answer.
    fn exit_cost(&mut self, thread: u32, operation: &Operation) -> u64 {
        let telling = self.telling_cost(operation);
        // A process of a tree goes on, and ends with a step of its own.
        if self.trees.holds(thread) {
            return telling;
        }
        let exit = match operation.kind {
            OperationKind::Open => self.costs.open_exit,
            OperationKind::Exec | OperationKind::Process => self.costs.exec_exit,
        };
        self.cost(exit) + telling
    }

    pub(crate) fn enter_resume(&mut self, thread: u32, start: u64) -> u64 {
        let key = self.threads[thread as usize].operation;
        let Some(&operation) = self.operations.get(key) else { return start };
        let asking = self.asking_cost(&operation);
        start + asking.unwrap_or_else(|| self.exit_cost(thread, &operation))
    }

    pub(crate) fn leave_open(&mut self, thread: u32) -> Next {
        let key = self.threads[thread as usize].operation;
        self.tell_of_fork(thread, key);
        if self.ask(key) {
            self.threads[thread as usize].step = Step::Resume;
            return Next::Block;
        }
        self.opened(thread, key)
    }

    /// Puts the next questions about an operation; false when there are none.
    fn ask(&mut self, key: Key) -> bool {
        match self.kernel {
            Kernel::Fanotify => self.ask_one(key),
            Kernel::EndpointSecurity => self.ask_all(key),
        }
    }

    /// fanotify: one group after the other, pass after pass; a deny ends it all.
    fn ask_one(&mut self, key: Key) -> bool {
        let Some(&operation) = self.operations.get(key) else { return false };
        let Some((pass, place, client)) = self.next_asked(&operation) else { return false };
        if let Some(operation) = self.operations.get_mut(key) {
            (operation.pass, operation.place, operation.waiting) = (pass, place + 1, 1);
        }
        self.put(key, operation.question_of(pass, &self.files), client);
        true
    }

    /// Endpoint Security: every client but the subject's own at once; the operation waits for all of them.
    fn ask_all(&mut self, key: Key) -> bool {
        while let Some(&operation) = self.operations.get(key) {
            let Some(pass) = self.next_pass(&operation) else { return false };
            let question = operation.question_of(pass, &self.files);
            let mut asked = 0;
            for client in 0..self.clients_max() {
                if !self.asks(client, &question) {
                    continue;
                }
                let state = &mut self.clients[usize::from(client)];
                state.sequence += 1;
                if state.queue.len() >= ES_QUEUE_MAX {
                    state.dropped += 1;
                    self.tally.dropped += 1;
                    continue;
                }
                asked += 1;
                self.put(key, question, client);
            }
            // Nobody has answered yet: an answer leaves at the end of a piece of work, which this is not.
            if let Some(operation) = self.operations.get_mut(key) {
                (operation.pass, operation.place, operation.waiting) = (pass, 1, asked);
            }
            if asked > 0 {
                return true;
            }
        }
        false
    }

    /// Puts one question into a client's queue.
    fn put(&mut self, operation: Key, question: Asked, client: u16) {
        let Asked { file, event, subject, lineage } = question;
        let state = &mut self.clients[usize::from(client)];
        let due = self.now.saturating_add(self.script.deadline);
        let key = state.decisions.insert(Decision {
            operation,
            file,
            event,
            class: subject.class_for(u32::from(client)),
            subject,
            asked: self.now,
            due,
            sequence: state.sequence,
            read: None,
            started: None,
            record: RecordId::LOST,
            plan: Plan::Nothing,
            answer: None,
            answered: false,
            told: false,
            keep: false,
            settled: false,
            worker: NONE,
            budgeted: false,
        });
        state.queue.push_back(key);
        state.unanswered += 1;
        let reader = state.reader;
        self.pending += 1;
        self.tally.asked(client, lineage, self.pending);
        if matches!(lineage, Lineage::Feedback(_)) && self.script.draining() {
            self.tally.feeds_itself_late |= self.script.quarter_of(self.now) == 3;
        }
        self.wake(reader);
        self.watch_deadlines(due);
    }

    /// A client's answer reaches the kernel.
    pub(crate) fn answer_reaches(&mut self, key: Key, verdict: lab_model::Verdict) {
        let Some(operation) = self.operations.get_mut(key) else { return };
        operation.denied |= verdict == lab_model::Verdict::Deny;
        operation.waiting = operation.waiting.saturating_sub(1);
        if operation.waiting == 0 {
            let thread = operation.thread;
            self.wake(thread);
        }
    }

    /// The open has returned (or the process has ended).
    fn opened(&mut self, thread: u32, key: Key) -> Next {
        let now = self.now;
        let Some(operation) = self.operations.get_mut(key) else { return Next::Block };
        operation.ended = now;
        let operation = *operation;
        self.tell_of_files(&operation);
        if self.trees.holds(thread) {
            return self.rooted(thread, key);
        }
        if operation.read && !operation.denied {
            self.threads[thread as usize].step = Step::Content;
            return Next::Continue;
        }
        self.tail = if operation.kind == OperationKind::Open { self.costs.close } else { 0 };
        self.operation_over(thread, key, None)
    }

    pub(crate) fn enter_content(&mut self, thread: u32, start: u64) -> u64 {
        let key = self.threads[thread as usize].operation;
        let Some(operation) = self.operations.get(key) else { return start };
        let kibibytes = self.files.bytes(operation.file).div_ceil(1024);
        let hashing = if operation.hash { self.costs.hash_kibibyte } else { 0 };
        let reading = self.costs.read_content + kibibytes * (self.costs.read_kibibyte + hashing);
        start + self.cost(reading + self.costs.close)
    }

    pub(crate) fn leave_content(&mut self, thread: u32) -> Next {
        let key = self.threads[thread as usize].operation;
        self.operation_over(thread, key, Some(Ticks(self.now)))
    }

    pub(crate) fn operation_over(&mut self, thread: u32, key: Key, finished: Option<Ticks>) -> Next {
        let Some(operation) = self.operations.remove(key) else { return Next::Block };
        let bytes = finished.map_or(0, |_| self.files.bytes(operation.file));
        let error = match (operation.denied, operation.passes) {
            (false, _) => 0,
            (true, []) => EMFILE,
            (true, _) => EPERM,
        };
        let end = OperationEnd { ended: Ticks(operation.ended), error, status: 0, finished, bytes };
        let Thread { client, outside, request, .. } = self.threads[thread as usize];
        let actor = match (client, outside) {
            (NONE, NONE) => self.driver.actor,
            (NONE, outside) => self.worker_processes[outside as usize].actor,
            (client, _) => self.clients[client as usize].actor,
        };
        self.sink.end_operation(actor, operation.record, &end);
        self.sink.operation_target(actor, operation.record, operation.file);
        self.threads[thread as usize].operation = Key::NONE;
        if outside != NONE {
            self.errand_error(request, error);
        } else if client == NONE {
            self.tail += self.wrote(thread, &operation);
        }
        self.tail += self.tell_of_end(&operation);
        if outside == NONE && client == NONE {
            let began = operation.planned.unwrap_or(operation.started);
            self.tally.ended_root(self.script.phase, operation.ended.saturating_sub(began));
            return self.driver_next(thread);
        }
        self.work_finished(thread)
    }

    /// The file that a plan is about; `None` when there is none of its kind.
    pub(crate) fn planned_file(&self, same: u32, target: PlannedTarget) -> Option<u32> {
        match target {
            // What has happened to no file offers none to open.
            PlannedTarget::Same => (same != NONE).then_some(same),
            PlannedTarget::Other(number) => self.files.other(number),
            PlannedTarget::Program(program) => Some(self.files.program(Program::of(program))),
        }
    }

    /// A client's own operation, and what it costs up to the first question.
    fn worker_operation(&mut self, thread: u32, start: u64) -> (Operation, u64) {
        let state = self.threads[thread as usize];
        let client = &self.clients[state.client as usize];
        let decision = client.decisions.get(state.decision).expect("a worker that opens has a decision");
        let Plan::Operate(plan) = decision.plan else { unreachable!("a worker that opens has a plan to") };
        let file = self.planned_file(decision.file, plan.target);
        let file = file.expect("a worker does not begin to open a file that is not there");
        let (pid, actor, record) = (client.pid, client.actor, decision.record.0);
        let own = u16::try_from(state.client).unwrap_or(u16::MAX);
        let of_client = decision.subject.originator() != NONE;
        let (kind, linkage, subject) = match plan.target {
            PlannedTarget::Program(program) => {
                (OperationKind::Exec, Linkage::of(program), self.new_program(state.client))
            }
            PlannedTarget::Same | PlannedTarget::Other(_) => {
                let (client, parent, behalf) = (state.client, NONE, NONE);
                let subject = Subject { pid, tid: state.tid, client, parent, behalf, actor };
                (OperationKind::Open, Linkage::Static, subject)
            }
        };
        let lineage = if of_client { Lineage::Feedback(own) } else { Lineage::Drive(own) };
        let begin = OperationBegin {
            started: self.stamp(start),
            subject: self.named(subject),
            cause: Cause::Decision { client: actor, record },
            planned: None,
            kind,
            worker: state.number,
            // A client does not know the phase, live either.
            phase: None,
            parent: None,
        };
        let record = self.sink.begin_operation(actor, &begin);
        let operation = Operation {
            read: plan.read,
            hash: plan.hash,
            ..Operation::begun(
                thread,
                record,
                &begin,
                subject,
                file,
                passes(self.kernel, kind, linkage),
                lineage,
            )
        };
        let way = if plan.target == PlannedTarget::Same { self.costs.reopen } else { 0 };
        (operation, self.entry_cost(kind, linkage) + way)
    }

    /// Takes the operations of a killed process off the kernel: unread questions vanish, read ones remain
    /// with their readers, who answer for nobody.
    pub(crate) fn cancel(&mut self, thread: u32) {
        let key = self.threads[thread as usize].operation;
        if self.operations.remove(key).is_none() {
            return;
        }
        for client in &mut self.clients {
            let Client { queue, decisions, .. } = client;
            let before = queue.len();
            queue.retain(|&waiting| {
                let gone = decisions.get(waiting).is_some_and(|decision| decision.operation == key);
                if gone {
                    decisions.remove(waiting);
                }
                !gone
            });
            let gone = (before - queue.len()) as u64;
            client.unanswered -= gone;
            self.pending -= gone;
        }
        debug_assert!(self.threads[thread as usize].state == State::Dead, "only the dead are cancelled");
    }
}
