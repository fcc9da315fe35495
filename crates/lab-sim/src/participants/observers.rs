//! What clients are told of after it has happened (NOTIFY): how the two kernels tell of it, and what a client's observer
//! makes of it. Nobody waits for an observer; what its client does then is work for its workers like any other.
//!
//! fanotify merges what lies unread of one thread and one file into one event, and tells of no process. Endpoint
//! Security tells of everything by itself, numbers each kind, and drops what finds its queue full. Both tell a client of
//! its own doings as of any other's, and nobody of an open that was denied (`docs/decisions/0008`).

use std::collections::{BTreeMap, VecDeque};

use lab_client_core::{Input, Question, Task};
use lab_model::{EventKind, NotifyEvent, NotifyEvents, OperationKind, SubjectClass, ThreadId, Ticks};
use lab_trace::{Loss, LossKind, Notice, RecordId};

use crate::{
    Kernel, Sink,
    hardware::slab::Key,
    kernel::operation::{Operation, Pass},
    machine::{Machine, NONE, Next, Step},
    participants::{
        client::{Decision, ES_QUEUE_MAX, Plan, Subject},
        deciders::By,
    },
};

/// What it costs whoever acts to raise one event for one client, in nanoseconds. By hand, one run: 0.55 µs an open.
const TELL: u64 = 550;

/// Sets an observer's draws apart from its reader's.
const DRAW: u64 = 0x6e6f_7469_6365;

/// What one client is told of.
#[derive(Debug, Default)]
pub(crate) struct Notices {
    /// The thread that listens, if any ever does.
    observer: Option<u32>,
    wanted: NotifyEvents,
    unread: VecDeque<Happened>,
    /// Events that have left the queue, so that a place in it has a number that stays.
    left: u64,
    /// fanotify: the latest unread event of a thread on a file, by its number.
    latest: BTreeMap<(u64, u32, bool), u64>,
    /// Endpoint Security: messages so far of each kind, dropped ones included.
    sequence: [u64; NotifyEvent::ALL.len()],
    /// Dropped messages that the trace does not tell of yet.
    dropped: u64,
    /// Notices read so far.
    read: u64,
}

/// Something that has happened and that a client is to be told of.
#[derive(Clone, Copy, Debug)]
struct Happened {
    at: u64,
    events: NotifyEvents,
    /// The file; [`NONE`] for what happens to a process.
    file: u32,
    subject: Subject,
    sequence: u64,
    /// Endpoint Security says of a close whether the file had been written to.
    modified: Option<bool>,
    /// The events and the opens that it stands for.
    count: (u64, u64),
}

/// What fanotify merges by: thread and file, and the group, for names that come and go have one of their own.
fn key(happened: &Happened) -> (u64, u32, bool) {
    (happened.subject.tid, happened.file, happened.events.has_names())
}

impl Notices {
    pub(crate) fn of(observer: u32, wanted: NotifyEvents) -> Notices {
        Notices { observer: Some(observer), wanted, ..Notices::default() }
    }

    pub(crate) const fn observer(&self) -> Option<u32> {
        self.observer
    }

    /// Is told of these from now on.
    pub(crate) fn listen(&mut self, wanted: NotifyEvents) {
        self.wanted = wanted;
    }

    /// Adds to the unread event of the same thread on the same file; false when there is none.
    fn merge(&mut self, happened: &Happened) -> bool {
        let key = key(happened);
        let Some(number) = self.latest.get(&key) else { return false };
        let place = usize::try_from(number - self.left).unwrap_or(usize::MAX);
        let Some(before) = self.unread.get_mut(place) else { return false };
        before.events = before.events.iter().chain(happened.events.iter()).collect();
        before.count = both(before.count, happened.count);
        before.subject = happened.subject;
        true
    }

    fn push(&mut self, happened: Happened) {
        let number = self.left + self.unread.len() as u64;
        self.latest.insert(key(&happened), number);
        self.unread.push_back(happened);
    }

    fn pop(&mut self) -> Option<Happened> {
        let happened = self.unread.pop_front()?;
        let key = key(&happened);
        if self.latest.get(&key) == Some(&self.left) {
            self.latest.remove(&key);
        }
        self.left += 1;
        Some(happened)
    }

    /// Takes away all that lies unread: how many notices it would have been, and the events and opens
    /// that they stand for.
    fn clear(&mut self) -> (u64, (u64, u64)) {
        let (mut notices, mut count) = (0, (0, 0));
        while let Some(happened) = self.pop() {
            notices += 1;
            count = both(count, happened.count);
        }
        (notices, count)
    }
}

const fn both(one: (u64, u64), other: (u64, u64)) -> (u64, u64) {
    (one.0 + other.0, one.1 + other.1)
}

/// What is told of one pass of an operation that got through; nothing of a pass that opens or runs nothing by itself.
pub(crate) fn notified_of(kernel: Kernel, passes: &[Pass], place: usize) -> NotifyEvents {
    let none = NotifyEvents::NONE;
    match (kernel, passes[place].event) {
        (Kernel::Fanotify, EventKind::AUTH_OPEN) => {
            let before = place.checked_sub(1).map(|before| passes[before].event);
            // An exec is one event that says both.
            let run = before == Some(EventKind::AUTH_EXEC);
            let open = none.with(NotifyEvent::Open);
            if run { open.with(NotifyEvent::Exec) } else { open }
        }
        (Kernel::EndpointSecurity, EventKind::AUTH_OPEN) => none.with(NotifyEvent::Open),
        (Kernel::EndpointSecurity, EventKind::AUTH_EXEC) => none.with(NotifyEvent::Exec),
        _ => none,
    }
}

impl<S: Sink> Machine<'_, S> {
    /// The files that an operation has opened or run, with what is told of each.
    fn files_of(&self, operation: &Operation) -> Vec<(NotifyEvents, u32)> {
        let through = if operation.denied { usize::from(operation.pass) } else { operation.passes.len() };
        let passes = &operation.passes[..through.min(operation.passes.len())];
        let of = |place: usize| {
            let file = passes[place].program.map_or(operation.file, |program| self.files.program(program));
            (notified_of(self.kernel, passes, place), file)
        };
        (0..passes.len()).map(of).filter(|(events, _)| !events.is_empty()).collect()
    }

    /// What of these events on this file a client is told of.
    fn hears(&self, client: usize, events: NotifyEvents, file: u32) -> NotifyEvents {
        let state = &self.clients[client];
        let wanted = || events.iter().filter(|&event| state.notices.wanted.contains(event)).collect();
        let deaf = !state.alive || !state.listening || state.hidden.mutes(file);
        if deaf { NotifyEvents::NONE } else { wanted() }
    }

    /// What raising the events of an operation that returns now costs whoever made it.
    pub(crate) fn telling_cost(&mut self, operation: &Operation) -> u64 {
        if !self.tells {
            return 0;
        }
        let files = self.files_of(operation);
        let cost = (0..self.clients.len()).map(|client| {
            let heard =
                |&&(events, file): &&(NotifyEvents, u32)| !self.hears(client, events, file).is_empty();
            self.raising(client, files.iter().filter(heard).count() as u64)
        });
        let cost = cost.sum();
        self.cost(cost)
    }

    /// What it costs to raise so many events for a client, and to wake its observer if that sleeps.
    fn raising(&self, client: usize, events: u64) -> u64 {
        let sleeps = self.clients[client].notices.observer.is_some_and(|observer| self.is_blocked(observer));
        events * TELL + if sleeps && events > 0 { self.costs.wake_up } else { 0 }
    }

    /// An operation has returned: tells of what it has opened and run.
    pub(crate) fn tell_of_files(&mut self, operation: &Operation) {
        if !self.tells {
            return;
        }
        let (creates, _) = self.makes(operation.thread);
        for (events, file) in self.files_of(operation) {
            if creates {
                self.notify(NotifyEvents::of(NotifyEvent::Create), file, operation.subject);
            }
            self.notify(events, file, operation.subject);
        }
    }

    /// An operation is over: tells that its files were closed, or its process has ended. Returns what that costs.
    pub(crate) fn tell_of_end(&mut self, operation: &Operation) -> u64 {
        if !self.tells {
            return 0;
        }
        let none = NotifyEvents::NONE;
        if self.kernel == Kernel::EndpointSecurity && operation.kind != OperationKind::Open {
            return self.notify(none.with(NotifyEvent::Exit), NONE, operation.subject);
        }
        let (_, writes) = self.makes(operation.thread);
        let modified = (self.kernel == Kernel::EndpointSecurity).then_some(writes);
        let (at, events) = (self.now, none.with(NotifyEvent::Close));
        let files = self.files_of(operation).into_iter();
        files
            .map(|(_, file)| {
                let subject = operation.subject;
                self.raise(&Happened { at, events, file, subject, sequence: 0, modified, count: (0, 0) })
            })
            .sum()
    }

    /// A process begins an operation: one that runs a program was forked for it. fanotify does not tell of that.
    pub(crate) fn tell_of_fork(&mut self, thread: u32, key: Key) {
        if !self.tells || self.kernel == Kernel::Fanotify || self.threads[thread as usize].step != Step::Begin
        {
            return;
        }
        let forks = self.operations.get(key).is_some_and(|operation| operation.kind != OperationKind::Open);
        if let Some(parent) = self.parent_of(thread).filter(|_| forks) {
            self.notify(NotifyEvents::of(NotifyEvent::Fork), NONE, parent);
        }
    }

    /// Who starts the program that a thread plays or waits for.
    fn parent_of(&self, thread: u32) -> Option<Subject> {
        let state = &self.threads[thread as usize];
        let (client, outside, tid) = (state.client, state.outside, state.tid);
        if let Some(parent) = self.trees.parent(thread) {
            let of_tree = self.operations.get(self.threads[parent as usize].operation)?;
            return Some(of_tree.subject);
        }
        let driver = Subject {
            pid: self.driver.pid,
            tid,
            client: NONE,
            parent: NONE,
            behalf: NONE,
            actor: self.driver.actor,
        };
        Some(match (client, outside) {
            (NONE, NONE) => driver,
            (NONE, outside) => {
                let worker_process = &self.worker_processes[outside as usize];
                let behalf = self.requests.get(state.request).map_or(NONE, |request| request.client);
                let (pid, actor, parent) = (worker_process.pid, worker_process.actor, worker_process.client);
                Subject { pid, tid, client: NONE, parent, behalf, actor }
            }
            (client, _) => {
                let own = &self.clients[client as usize];
                Subject { pid: own.pid, client, actor: own.actor, ..driver }
            }
        })
    }

    /// Tells whoever listens of what has just happened to a file or, with [`NONE`], to a process. Returns what that
    /// costs whoever has acted.
    pub(crate) fn notify(&mut self, events: NotifyEvents, file: u32, subject: Subject) -> u64 {
        let happened =
            Happened { at: self.now, events, file, subject, sequence: 0, modified: None, count: (0, 0) };
        self.raise(&happened)
    }

    fn raise(&mut self, happened: &Happened) -> u64 {
        let mut cost = 0;
        for client in 0..if self.tells { self.clients.len() } else { 0 } {
            let heard = self.hears(client, happened.events, happened.file);
            if heard.is_empty() {
                continue;
            }
            cost += self.raising(client, 1);
            let count = (1, u64::from(heard.contains(NotifyEvent::Open)));
            self.tally.told[client].note(|heard| &mut heard.happened, count);
            let happened = Happened { events: heard, count, ..*happened };
            match self.kernel {
                Kernel::Fanotify => self.tell_merged(client, happened),
                Kernel::EndpointSecurity => self.tell_each(client, happened),
            }
            if let Some(observer) = self.clients[client].notices.observer {
                self.wake(observer);
            }
        }
        self.cost(cost)
    }

    /// fanotify: what lies unread of this thread on this file says the rest, too.
    fn tell_merged(&mut self, client: usize, happened: Happened) {
        let notices = &mut self.clients[client].notices;
        if !notices.merge(&happened) {
            notices.push(happened);
            self.unread += 1;
        }
    }

    /// Endpoint Security: a message of its own, as long as there is room for it.
    fn tell_each(&mut self, client: usize, happened: Happened) {
        let notices = &mut self.clients[client].notices;
        // Nothing there is raised with another event in one.
        let Some(event) = happened.events.iter().next() else { return };
        let sequence = &mut notices.sequence[event as usize];
        *sequence += 1;
        let message = Happened { sequence: *sequence, ..happened };
        if notices.unread.len() >= ES_QUEUE_MAX {
            notices.dropped += 1;
            self.tally.told[client].note(|heard| &mut heard.lost, message.count);
        } else {
            notices.push(message);
            self.unread += 1;
        }
    }

    /// An observer takes in what lies unread: on fanotify a batch at a time.
    pub(crate) fn enter_hear(&mut self, thread: u32, start: u64) -> u64 {
        let client = self.client_of(thread);
        let most = match self.kernel {
            Kernel::Fanotify => usize::from(self.costs.batch_max),
            Kernel::EndpointSecurity => 1,
        };
        let count = self.clients[client].notices.unread.len().min(most);
        let read = start + self.cost(self.costs.read_call + count as u64 * self.costs.read_event);
        let dropped = std::mem::take(&mut self.clients[client].notices.dropped);
        self.lose(client, read, LossKind::Notices, dropped);
        for _ in 0..count {
            if let Some(happened) = self.clients[client].notices.pop() {
                self.unread -= 1;
                self.hear(client, read, &happened);
            }
        }
        let wakes = self.clients[client].reactions.wakes.len() as u64;
        // It finds out which file each is about and closes it again.
        let each = self.costs.decide + self.costs.release;
        read + self.cost(count as u64 * each + wakes * self.costs.wake_up)
    }

    pub(crate) fn leave_hear(&mut self, thread: u32) -> Next {
        let client = self.client_of(thread);
        self.let_go(client, By::Observer);
        if self.clients[client].notices.unread.is_empty() { Next::Block } else { Next::Continue }
    }

    fn lose(&mut self, client: usize, at: u64, kind: LossKind, count: u64) {
        if count > 0 {
            let actor = self.clients[client].actor;
            self.sink.loss(actor, &Loss { at: Ticks(at), kind, count });
        }
    }

    /// A client is told of this, and its policy says what follows.
    fn hear(&mut self, client: usize, read: u64, happened: &Happened) {
        if self.cannot_read(client) {
            // The kernel has no descriptor to hand it over by, and drops it.
            self.tally.told[client].note(|heard| &mut heard.lost, happened.count);
            return self.lose(client, read, LossKind::Notices, 1);
        }
        // Of what was merged one stands for all.
        let (events, opens) = happened.count;
        let one = (1, u64::from(opens > 0));
        self.tally.told[client].note(|heard| &mut heard.notices, one);
        self.tally.told[client].note(|heard| &mut heard.merged, (events - one.0, opens - one.1));
        let by_kernel = self.kernel == Kernel::EndpointSecurity;
        let subject = happened.subject;
        let class = subject.class_for(u32::try_from(client).unwrap_or(NONE));
        let event = happened.events.iter().next().map_or(EventKind::Other(0), EventKind::Notify);
        let question = Question { read: Ticks(read), event, class, actor: subject.actor, deadline: None };
        let state = &mut self.clients[client];
        state.notices.read += 1;
        let draw = (self.seed ^ (u64::from(state.actor.0) << 48) ^ DRAW).wrapping_add(state.notices.read);
        let task = state.core.policy().on_notify(&question, draw);
        let notice = Notice {
            read: Ticks(read),
            subject: ThreadId {
                pid: if by_kernel { subject.pid } else { 0 },
                tid: subject.tid,
                generation: u32::from(by_kernel),
            },
            kernel: by_kernel.then_some(Ticks(happened.at)),
            sequence: happened.sequence,
            events: happened.events,
            class,
            actor: subject.actor,
            reacts: task.is_some(),
            modified: happened.modified,
            target: None,
        };
        let file = (happened.file != NONE).then_some(happened.file);
        let record = self.sink.notice(state.actor, &notice, file);
        if let Some(task) = task {
            self.react(client, read, happened, (event, class, record), task);
        }
    }

    /// What follows from a notice is work for the client's workers, and settled at once when its queue is full.
    fn react(
        &mut self,
        client: usize,
        read: u64,
        happened: &Happened,
        (event, class, record): (EventKind, SubjectClass, RecordId),
        task: Task,
    ) {
        let subject = happened.subject;
        let state = &mut self.clients[client];
        let key = state.decisions.insert(Decision {
            operation: Key::NONE,
            file: happened.file,
            event,
            class,
            subject,
            asked: happened.at,
            due: u64::MAX,
            sequence: happened.sequence,
            read: Some(read),
            started: None,
            record,
            plan: Plan::Nothing,
            answer: None,
            answered: true,
            told: true,
            keep: false,
            settled: false,
            worker: NONE,
            budgeted: false,
        });
        self.pending += 1;
        if subject.originator() != NONE && self.script.draining() {
            self.tally.feeds_itself_late |= self.script.quarter_of(read) == 3;
        }
        let input = Input::Notify { id: u64::from(key.place), class, task };
        state.core.step(Ticks(read), input, &mut self.actions);
        self.apply(client, By::Observer);
        let refused = |decision: &Decision| decision.settled && decision.worker == NONE;
        if self.clients[client].decisions.get(key).is_some_and(refused) {
            self.retire(client, key);
            self.lose(client, read, LossKind::Reactions, 1);
        }
    }

    /// The run ends: what still lies unread is said.
    pub(crate) fn tell_of_unread(&mut self, client: usize) {
        let (notices, count) = self.clients[client].notices.clear();
        self.tally.told[client].note(|heard| &mut heard.unread, count);
        self.lose(client, self.now, LossKind::NoticesUnread, notices);
    }

    /// A client has died: nobody is told of what it has not read.
    pub(crate) fn forget_unread(&mut self, client: usize) {
        let (notices, count) = self.clients[client].notices.clear();
        self.unread -= notices;
        self.tally.told[client].note(|heard| &mut heard.lost, count);
    }
}
