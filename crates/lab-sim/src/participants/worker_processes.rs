//! The workers outside the clients, helpers and daemons: how they are asked, and what they do for a request.
//!
//! As live, a channel carries one request at a time: a client has one to each of its helpers and as many to a daemon
//! as that works on at once. What finds no free channel waits with the client. The threads between asking and
//! working (a client's courier, a worker's reader) are paid for by the worker's thread and do not run themselves.

use std::collections::VecDeque;

use lab_client_core::{Ask, Outcome, REQUESTS_MAX, Step as Stage, Task, Whom};
use lab_model::{Actor, AskedDaemon, Cause, Errand, OperationKind, PlannedFault, Role, Service, Ticks};
use lab_trace::{Header, OperationBegin, ProcessMarkKind, RecordId, RequestBegin, RequestEnd, ThreadPurpose};
use serde_json::json;

use crate::{
    Sink,
    hardware::slab::Key,
    kernel::operation::{Lineage, Linkage, Operation, passes},
    machine::{Machine, NONE, Next, State, Step},
    participants::{
        channels::EPIPE,
        client::{Plan, Subject},
    },
};

/// `ENOENT`: there is no such file in the arena.
const ENOENT: u32 = 2;
/// `EAGAIN`: too many requests wait already.
const EAGAIN: u32 = 11;

/// A process that works for clients: a helper or a daemon.
#[derive(Debug)]
pub(crate) struct WorkerProcess {
    pub(crate) name: String,
    pub(crate) actor: Actor,
    pub(crate) pid: u32,
    /// The client whose helper it is; [`NONE`] for a daemon.
    pub(crate) client: u32,
    pub(crate) alive: bool,
    /// It can be connected to, and carries out what it is asked.
    pub(crate) listens: bool,
    pub(crate) serves: bool,
    /// What it does for a request that it begins now, and for how many at once.
    pub(crate) service: Service,
    /// Requests under way.
    running: u16,
    /// Its first thread and how many.
    pub(crate) threads: (u32, u16),
    /// Threads without a request, the longest idle first.
    idle: VecDeque<u32>,
    /// Requests that no thread has begun.
    pub(crate) taken_in: VecDeque<Key>,
}

/// Where a client's requests for one group of worker processes wait: its helpers, or one daemon.
#[derive(Debug)]
pub(crate) struct RequestQueue {
    /// Who is asked, as the trace has it.
    whom: Actor,
    /// The group: its first worker process and how many.
    pub(crate) group: (u32, u32),
    /// Channels that work, as far as anybody has found out.
    pub(crate) channels: usize,
    /// Channels without a request, the longest idle first, each by the worker process at its other end.
    pub(crate) free: VecDeque<u32>,
    pub(crate) waiting: VecDeque<Key>,
}

/// A client's request queues.
#[derive(Debug, Default)]
pub(crate) struct RequestQueues {
    helpers: Option<RequestQueue>,
    daemons: Vec<RequestQueue>,
}

impl RequestQueues {
    pub(crate) fn get_mut(&mut self, whom: Whom) -> Option<&mut RequestQueue> {
        match whom {
            Whom::Helper => self.helpers.as_mut(),
            Whom::Daemon(place) => self.daemons.get_mut(usize::from(place)),
        }
    }

    fn get(&self, whom: Whom) -> Option<&RequestQueue> {
        match whom {
            Whom::Helper => self.helpers.as_ref(),
            Whom::Daemon(place) => self.daemons.get(usize::from(place)),
        }
    }
}

/// A request from its making to its reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) client: u32,
    /// That client's process: another may have come after it.
    pub(crate) by: Actor,
    pub(crate) whom: Whom,
    /// Whose channel carries it; [`NONE`] while it waits for one.
    pub(crate) worker_process: u32,
    /// Its place in the client's trace, and that of the decision it was made for.
    pub(crate) record: RecordId,
    decision: u64,
    /// The decision's file.
    file: u32,
    lineage: Lineage,
    draw: u64,
    task: Task,
    /// What the task does next.
    plan: Plan,
    /// The client's thread that waits for the reply; [`NONE`] if none does.
    pub(crate) waiter: u32,
    /// 0, or the `errno` of an operation that failed.
    error: u32,
}

impl<S: Sink> Machine<'_, S> {
    /// Makes the lab's daemons and helpers, their threads and the clients' request queues; nothing runs yet. Their numbers
    /// follow the driver's.
    pub(crate) fn populate_outside(&mut self, pid_first: u32) {
        self.next_actor = self.driver.actor.0.saturating_add(1);
        self.daemons = self.daemon_lives();
        let lab = self.lab;
        let pid = |machine: &Self| pid_first + narrow(machine.worker_processes.len());
        for daemon in &lab.daemons {
            let pid = pid(self);
            let service = Service { errand: daemon.errand, workers: daemon.workers };
            self.add_outsider(daemon.id.to_string(), NONE, service, pid);
        }
        for client in 0..self.clients.len() {
            self.add_desks(client, &mut |machine| pid(machine));
        }
    }

    /// A client that comes back brings helpers of its own, and opens channels to the daemons again.
    pub(crate) fn renew_outside(&mut self, client: usize) {
        let first = self.worker_processes.len();
        self.add_desks(client, &mut |machine| machine.driver.new_process());
        for place in first..self.worker_processes.len() {
            let header = self.outside_header(place);
            self.sink.join(&header);
            self.start_outsider(place);
        }
    }

    /// Makes a client's helpers and all of its request queues. `pid` gives the next process ID.
    fn add_desks(&mut self, client: usize, pid: &mut dyn FnMut(&mut Self) -> u32) {
        let described = &self.lab.clients[client];
        let first = narrow(self.worker_processes.len());
        let helpers = described.behavior.helpers;
        for number in 1..=helpers.map_or(0, |helpers| helpers.count) {
            let name = PlannedFault::helper(described.id.as_str(), number);
            let errand = helpers.map_or_else(Errand::none, |helpers| helpers.errand);
            let pid = pid(self);
            self.add_outsider(name, narrow(client), Service { errand, workers: 1 }, pid);
        }
        let request_queue = |whom, group: (u32, u32), channels: usize| {
            let free = (group.0..group.0 + group.1).cycle().take(channels).collect();
            RequestQueue { whom, group, channels, free, waiting: VecDeque::new() }
        };
        let of_daemon = |asked: &AskedDaemon| {
            let place = self.lab.daemons.iter().position(|daemon| daemon.id == asked.daemon);
            let place = place.expect("a lab names no daemon that it does not have");
            // It has the number of its first process to its clients. One that is dead when a client comes back stays
            // lost to that.
            let (first, latest) = (self.worker_processes[place].actor, self.daemons[place].place);
            let workers = usize::from(self.lab.daemons[place].workers);
            let there = latest == narrow(place) || self.worker_processes[latest as usize].listens;
            request_queue(first, (latest, 1), if there { workers } else { 0 })
        };
        let daemons = described.behavior.daemons.iter().map(of_daemon).collect();
        let of_helpers = |helpers: lab_model::Helpers| {
            let group = (first, u32::from(helpers.count));
            request_queue(self.clients[client].actor, group, usize::from(helpers.count))
        };
        self.clients[client].request_queues = RequestQueues { helpers: helpers.map(of_helpers), daemons };
    }

    pub(crate) fn add_outsider(&mut self, name: String, client: u32, service: Service, pid: u32) {
        let workers = service.workers;
        let (place, first) = (narrow(self.worker_processes.len()), narrow(self.threads.len()));
        for number in 0..workers {
            let thread = self.add_thread(NONE, number, Step::Fetch, self.new_tid());
            self.threads[thread as usize].outside = place;
        }
        let actor = self.new_actor();
        let idle = (first..first + u32::from(workers)).collect();
        let (threads, taken_in) = ((first, workers), VecDeque::new());
        self.worker_processes.push(WorkerProcess {
            name,
            actor,
            pid,
            client,
            alive: false,
            listens: false,
            serves: false,
            service,
            running: 0,
            threads,
            idle,
            taken_in,
        });
    }

    pub(crate) fn outside_header(&self, place: usize) -> Header {
        let worker_process = &self.worker_processes[place];
        let (role, client) = match worker_process.client {
            NONE => (Role::Daemon, None),
            client => (Role::Helper, Some(self.clients[client as usize].actor.0)),
        };
        let settings = json!({ "client": client, "workers": worker_process.threads.1, "errand": worker_process.service.errand });
        let identity = self.identity(&worker_process.name, None, settings);
        self.header(worker_process.actor, role, worker_process.pid, identity)
    }

    /// Names by which mutes and rules call helpers and daemons.
    pub(crate) fn outside_names(&self) -> Vec<(String, Actor)> {
        let name = |worker_process: &WorkerProcess| match worker_process.client {
            NONE => worker_process.name.clone(),
            client => {
                format!("{}{}", self.lab.clients[client as usize].id, lab_model::Helpers::SUFFIX)
            }
        };
        self.worker_processes
            .iter()
            .map(|worker_process| (name(worker_process), worker_process.actor))
            .collect()
    }

    /// All helpers and daemons are there.
    pub(crate) fn start_outside(&mut self) {
        for place in 0..self.worker_processes.len() {
            self.start_outsider(place);
        }
    }

    fn start_outsider(&mut self, place: usize) {
        let worker_process = &mut self.worker_processes[place];
        (worker_process.alive, worker_process.serves) = (true, true);
        let (actor, pid) = (worker_process.actor, worker_process.pid);
        self.mark_process(actor, pid, ProcessMarkKind::Started, 0);
        self.announce_outsider(place);
    }

    /// A helper or a daemon is ready.
    pub(crate) fn announce_outsider(&mut self, place: usize) {
        let worker_process = &mut self.worker_processes[place];
        worker_process.listens = true;
        let (actor, pid, (first, count)) = (worker_process.actor, worker_process.pid, worker_process.threads);
        self.mark_thread(actor, u64::from(pid), ThreadPurpose::Control, 0);
        for thread in first..first + u32::from(count) {
            let thread = self.threads[thread as usize];
            self.mark_thread(actor, thread.tid, ThreadPurpose::Worker, thread.number);
        }
        self.mark_process(actor, pid, ProcessMarkKind::Ready, 0);
    }

    /// Ends the worker processes that still run; with a client only its helpers, whose channels break with it.
    pub(crate) fn end_outside(&mut self, of_client: Option<u32>) {
        for place in 0..self.worker_processes.len() {
            let worker_process = &mut self.worker_processes[place];
            let meant = of_client.is_none_or(|client| client == worker_process.client);
            if !meant || !std::mem::take(&mut worker_process.alive) {
                continue;
            }
            let (actor, pid, (first, count)) =
                (worker_process.actor, worker_process.pid, worker_process.threads);
            if of_client.is_some() {
                for thread in first..first + u32::from(count) {
                    self.threads[thread as usize].state = State::Dead;
                    self.cancel(thread);
                }
            }
            self.sink.close(actor, Ticks(self.now));
            self.mark_end(actor, pid, 0);
            self.target_gone(actor);
        }
    }

    /// A client is gone: nobody hears of its requests any more. What a daemon has taken in it carries out.
    pub(crate) fn forget_requests(&mut self, client: u32) {
        let request_queues = &mut self.clients[client as usize].request_queues;
        for request_queue in request_queues.helpers.iter_mut().chain(&mut request_queues.daemons) {
            request_queue.waiting.clear();
        }
        let gone = |request: &Request| {
            let with_helper = matches!(request.whom, Whom::Helper);
            request.client == client && (with_helper || request.worker_process == NONE)
        };
        let gone: Vec<Key> =
            self.requests.iter().filter(|(_, request)| gone(request)).map(|(key, _)| key).collect();
        for key in gone {
            self.requests.remove(key);
        }
    }

    /// A client's worker finds out which file its event is about and hands it over.
    pub(crate) fn enter_ask(&mut self, start: u64) -> u64 {
        let costs = self.costs;
        start + self.cost(costs.resolve + costs.wake_up)
    }

    pub(crate) fn leave_ask(&mut self, thread: u32) -> Next {
        let (client, key, number) = {
            let thread = &self.threads[thread as usize];
            (thread.client, thread.decision, thread.number)
        };
        let state = &mut self.clients[client as usize];
        let Some(decision) = state.decisions.get(key) else { return Next::Block };
        let Plan::Ask(Ask { whom, wait, draw }) = decision.plan else {
            unreachable!("a worker that asks has a plan to")
        };
        let own = u16::try_from(client).unwrap_or(u16::MAX);
        let by_client = decision.subject.originator() != NONE;
        let (file, decision) = (decision.file, decision.record.0);
        let request_queue = state.request_queues.get_mut(whom).expect("whoever is asked has a request queue");
        let begin = RequestBegin {
            at: Ticks(self.now),
            decision,
            whom: request_queue.whom,
            worker: number,
            waits: wait,
        };
        let record = self.sink.begin_request(state.actor, &begin);
        let full = request_queue.free.is_empty() && request_queue.waiting.len() >= REQUESTS_MAX;
        if full || request_queue.channels == 0 {
            let error = if request_queue.channels == 0 { EPIPE } else { EAGAIN };
            let end = RequestEnd { at: Ticks(self.now), error, served: None };
            self.sink.end_request(state.actor, record, &end);
            return self.work_finished(thread);
        }
        let request = self.requests.insert(Request {
            client,
            by: state.actor,
            whom,
            worker_process: NONE,
            record,
            decision,
            file,
            lineage: if by_client { Lineage::Feedback(own) } else { Lineage::Drive(own) },
            // What is done is said when it begins.
            task: Task::errand(&Errand::none(), draw),
            draw,
            plan: Plan::Nothing,
            waiter: NONE,
            error: 0,
        });
        match request_queue.free.pop_front() {
            Some(worker_process) if self.worker_processes[worker_process as usize].alive => {
                self.take_in(worker_process, request)
            }
            Some(_) => self.fail_on_channel(request),
            None => request_queue.waiting.push_back(request),
        }
        if let Some(request_made) = self.requests.get_mut(request).filter(|_| wait) {
            request_made.waiter = thread;
            let state = &mut self.threads[thread as usize];
            (state.request, state.step) = (request, Step::Replied);
            return Next::Block;
        }
        self.work_finished(thread)
    }

    /// A channel brings a request to its worker process.
    pub(crate) fn take_in(&mut self, worker_process: u32, request: Key) {
        if let Some(request) = self.requests.get_mut(request) {
            request.worker_process = worker_process;
        }
        let state = &mut self.worker_processes[worker_process as usize];
        state.taken_in.push_back(request);
        if state.serves {
            self.rouse(worker_process as usize);
        }
    }

    /// A thread that rests takes up what was taken in.
    pub(crate) fn rouse(&mut self, worker_process: usize) {
        if let Some(thread) = self.worker_processes[worker_process].idle.pop_front() {
            self.threads[thread as usize].step = Step::Fetch;
            self.wake(thread);
        }
    }

    /// A worker process's thread takes a request up. Two threads in between have been woken for it: the client's courier
    /// and the worker process's reader.
    pub(crate) fn enter_fetch(&mut self, start: u64) -> u64 {
        let costs = self.costs;
        start + self.cost(2 * (costs.context_switch + costs.wake_up) + costs.hand_over)
    }

    pub(crate) fn leave_fetch(&mut self, thread: u32) -> Next {
        let place = self.threads[thread as usize].outside as usize;
        if self.worker_processes[place].running >= self.worker_processes[place].service.workers {
            return self.outsider_rests(thread);
        }
        let Some(key) = self.worker_processes[place].taken_in.pop_front() else {
            return self.outsider_rests(thread);
        };
        self.worker_processes[place].running += 1;
        let errand = self.worker_processes[place].service.errand;
        if let Some(request) = self.requests.get_mut(key) {
            request.task = Task::errand(&errand, request.draw);
        }
        self.threads[thread as usize].request = key;
        self.errand_next(thread, Outcome::Begin)
    }

    /// What a worker process's thread does next for its request.
    pub(crate) fn errand_next(&mut self, thread: u32, mut last: Outcome) -> Next {
        let key = self.threads[thread as usize].request;
        loop {
            let Some(request) = self.requests.get_mut(key) else { return self.outsider_rests(thread) };
            let stage = request.task.step(std::mem::replace(&mut last, Outcome::Finished));
            let step = match stage {
                Stage::Wait(span) => {
                    self.threads[thread as usize].step = Step::Waited;
                    self.sleep(thread, self.now.saturating_add(span.nanos()));
                    return Next::Block;
                }
                Stage::Burn(span) => {
                    request.plan = Plan::Work(span.nanos());
                    Step::Work
                }
                Stage::Operate(plan) => {
                    request.plan = Plan::Operate(plan);
                    let file = request.file;
                    if self.planned_file(file, plan.target).is_none() {
                        self.errand_error(key, ENOENT);
                        continue;
                    }
                    Step::Begin
                }
                Stage::Done => Step::Reply,
                // An errand has no event: nothing of it is judged, inspected, answered or passed on.
                Stage::Judge | Stage::Inspect { .. } | Stage::Ask(_) | Stage::Answer { .. } => continue,
            };
            self.threads[thread as usize].step = step;
            return Next::Continue;
        }
    }

    /// Takes note of how an operation of an errand ended.
    pub(crate) fn errand_error(&mut self, request: Key, error: u32) {
        if let Some(request) = self.requests.get_mut(request) {
            request.error = request.error.max(error);
        }
    }

    /// What a worker process's thread burns next, a time slice at the most.
    pub(crate) fn enter_errand_work(&mut self, thread: u32, start: u64) -> u64 {
        let (slice, key) = (self.costs.time_slice.max(1), self.threads[thread as usize].request);
        let Some(Plan::Work(left)) = self.requests.get_mut(key).map(|request| &mut request.plan) else {
            return start;
        };
        let piece = slice.min(*left);
        *left -= piece;
        start + self.cost(piece)
    }

    pub(crate) fn leave_errand_work(&mut self, thread: u32) -> Next {
        let key = self.threads[thread as usize].request;
        match self.requests.get(key).map(|request| request.plan) {
            Some(Plan::Work(left)) if left > 0 => Next::Continue,
            _ => self.errand_next(thread, Outcome::Finished),
        }
    }

    /// An operation that is part of an errand, and what it costs up to the first question.
    pub(crate) fn errand_operation(&mut self, thread: u32, start: u64) -> (Operation, u64) {
        let state = self.threads[thread as usize];
        let request = self.requests.get(state.request).expect("a worker process that opens has a request");
        let Plan::Operate(plan) = request.plan else {
            unreachable!("a worker process that opens has a plan to")
        };
        let Request { client, by, decision, lineage, .. } = *request;
        let file = self.planned_file(request.file, plan.target);
        let file = file.expect("a worker process does not begin to open a file that is not there");
        let worker_process = &self.worker_processes[state.outside as usize];
        let (pid, actor, parent) = (worker_process.pid, worker_process.actor, worker_process.client);
        let (kind, linkage, subject) = match plan.target {
            lab_client_core::PlannedTarget::Program(program) => {
                // Nobody but the worker process knows its child.
                let subject = Subject { behalf: client, ..self.new_program(NONE) };
                (OperationKind::Exec, Linkage::of(program), subject)
            }
            _ => {
                let subject = Subject { pid, tid: state.tid, client: NONE, parent, behalf: client, actor };
                (OperationKind::Open, Linkage::Static, subject)
            }
        };
        let begin = OperationBegin {
            started: self.stamp(start),
            subject: self.named(subject),
            cause: Cause::Decision { client: by, record: decision },
            planned: None,
            kind,
            worker: state.number,
            phase: None,
            parent: None,
        };
        let record = self.sink.begin_operation(actor, &begin);
        let passes = passes(self.kernel, kind, linkage);
        let operation = Operation {
            read: plan.read,
            hash: plan.hash,
            ..Operation::begun(thread, record, &begin, subject, file, passes, lineage)
        };
        (operation, self.entry_cost(kind, linkage))
    }

    /// The reply leaves, past the client's courier.
    pub(crate) fn enter_reply(&mut self, start: u64) -> u64 {
        let costs = self.costs;
        start + self.cost(2 * costs.wake_up + costs.context_switch)
    }

    pub(crate) fn leave_reply(&mut self, thread: u32) -> Next {
        let key = std::mem::replace(&mut self.threads[thread as usize].request, Key::NONE);
        let worker_process = self.threads[thread as usize].outside as usize;
        self.worker_processes[worker_process].running -= 1;
        if let Some(request) = self.requests.remove(key) {
            self.reply(&request);
        }
        self.outsider_rests(thread)
    }

    fn reply(&mut self, request: &Request) {
        let state = &mut self.clients[request.client as usize];
        if !state.alive || state.actor != request.by {
            return;
        }
        let end = RequestEnd { at: Ticks(self.now), error: request.error, served: None };
        self.sink.end_request(state.actor, request.record, &end);
        if let Some(request_queue) = state.request_queues.get_mut(request.whom) {
            match request_queue.waiting.pop_front() {
                Some(next) => self.take_in(request.worker_process, next),
                None => request_queue.free.push_back(request.worker_process),
            }
        }
        if request.waiter != NONE {
            self.wake(request.waiter);
        }
    }

    /// A client's worker hears of the reply.
    pub(crate) fn leave_replied(&mut self, thread: u32) -> Next {
        self.threads[thread as usize].request = Key::NONE;
        self.work_finished(thread)
    }

    fn outsider_rests(&mut self, thread: u32) -> Next {
        let worker_process = &mut self.worker_processes[self.threads[thread as usize].outside as usize];
        if worker_process.taken_in.is_empty() || worker_process.running >= worker_process.service.workers {
            worker_process.idle.push_back(thread);
            return Next::Block;
        }
        self.threads[thread as usize].step = Step::Fetch;
        Next::Continue
    }

    /// True when a request that a client's worker waits for can still be carried out, as far as `goes` knows of
    /// threads: by the thread that has it, or by any of those whom it is put to.
    pub(crate) fn request_goes(&self, key: Key, goes: &dyn Fn(u32) -> bool) -> bool {
        let Some(request) = self.requests.get(key) else { return true };
        let threads = |worker_process: u32| {
            let (first, count) = self.worker_processes[worker_process as usize].threads;
            first..first + u32::from(count)
        };
        if request.worker_process != NONE {
            let own = threads(request.worker_process);
            let busy = own.clone().find(|&thread| self.threads[thread as usize].request == key);
            return busy.map_or_else(|| own.clone().any(goes), goes);
        }
        let request_queue = self.clients[request.client as usize].request_queues.get(request.whom);
        let Some((first, count)) = request_queue.map(|request_queue| request_queue.group) else {
            return true;
        };
        (first..first + count).flat_map(threads).any(goes)
    }
}

fn narrow(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(NONE)
}
