//! How the two kernels tell clients of what has happened (NOTIFY), and what that costs whoever has acted.
//!
//! fanotify merges what lies unread of one thread and one file into one event, and tells of no process. Endpoint
//! Security tells of everything by itself, numbers each kind, and drops what finds its queue full. Both tell a client of
//! its own doings as of any other's, and nobody of an open that was denied (`docs/decisions/0008`).

use lab_model::{NotifyEvent, NotifyEvents, OperationKind};

use crate::{
    hardware::{NONE, slab::Key},
    kernel::{operation::Operation, subject::Subject, virtual_kernel::VirtualKernel},
    machine::Machine,
    participants::{
        client::{Client, ES_QUEUE_MAX},
        notices::Happened,
        state::Participants,
        threads::Step,
    },
    records::sink::Sink,
};

/// What it costs whoever acts to raise one event for one client, in nanoseconds. By hand, one run: 0.55 µs an open.
const TELL: u64 = 550;

/// What of these events on this file a client is told of.
fn hears(client: &Client, events: NotifyEvents, file: u32) -> NotifyEvents {
    let wanted = || events.iter().filter(|&event| client.notices.wanted.contains(event)).collect();
    let deaf = !client.alive || !client.listening || client.hidden.mutes(file);
    if deaf { NotifyEvents::NONE } else { wanted() }
}

/// What raising the events of an operation that returns now costs whoever made it.
pub(crate) fn telling_cost<S: Sink>(machine: &mut Machine<'_, S>, operation: &Operation) -> u64 {
    if !machine.kernel.tells() {
        return 0;
    }
    let files = machine.kernel.files_of(operation);
    let cost = (0..machine.participants.clients.len()).map(|client| {
        let heard = |&&(events, file): &&(NotifyEvents, u32)| {
            !hears(&machine.participants.clients[client], events, file).is_empty()
        };
        raising(machine, client, files.iter().filter(heard).count() as u64)
    });
    let cost = cost.sum();
    machine.pricing.draw(cost)
}

/// What it costs to raise so many events for a client, and to wake its observer if that sleeps.
fn raising<S: Sink>(machine: &Machine<'_, S>, client: usize, events: u64) -> u64 {
    let sleeps = machine.participants.clients[client]
        .notices
        .observer
        .is_some_and(|observer| machine.scheduler.is_blocked(observer));
    events * TELL + if sleeps && events > 0 { machine.pricing.costs().wake_up } else { 0 }
}

/// An operation has returned: tells of what it has opened and run.
pub(crate) fn tell_of_files<S: Sink>(machine: &mut Machine<'_, S>, operation: &Operation) {
    if !machine.kernel.tells() {
        return;
    }
    let (creates, _) = machine.participants.makes(operation.thread);
    for (events, file) in machine.kernel.files_of(operation) {
        if creates {
            notify(machine, NotifyEvents::of(NotifyEvent::Create), file, operation.subject);
        }
        notify(machine, events, file, operation.subject);
    }
}

/// An operation is over: tells that its files were closed, or its process has ended. Returns what that costs.
pub(crate) fn tell_of_end<S: Sink>(machine: &mut Machine<'_, S>, operation: &Operation) -> u64 {
    if !machine.kernel.tells() {
        return 0;
    }
    let none = NotifyEvents::NONE;
    if machine.kernel.rules().tells_of_processes() && operation.kind != OperationKind::Open {
        return notify(machine, none.with(NotifyEvent::Exit), NONE, operation.subject);
    }
    let (_, writes) = machine.participants.makes(operation.thread);
    let modified = machine.kernel.rules().says_whether_written().then_some(writes);
    let (at, events) = (machine.clock.now(), none.with(NotifyEvent::Close));
    let files = machine.kernel.files_of(operation).into_iter();
    files
        .map(|(_, file)| {
            let subject = operation.subject;
            raise(machine, &Happened { at, events, file, subject, sequence: 0, modified, count: (0, 0) })
        })
        .sum()
}

/// A process begins an operation: one that runs a program was forked for it. fanotify does not tell of that.
pub(crate) fn tell_of_fork<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, key: Key) {
    if !machine.kernel.tells()
        || !machine.kernel.rules().tells_of_processes()
        || machine.participants.threads[thread as usize].step != Step::Begin
    {
        return;
    }
    let forks = machine.kernel.operation(key).is_some_and(|operation| operation.kind != OperationKind::Open);
    if let Some(parent) = parent_of(&machine.participants, &machine.kernel, thread).filter(|_| forks) {
        notify(machine, NotifyEvents::of(NotifyEvent::Fork), NONE, parent);
    }
}

/// Who starts the program that a thread plays or waits for.
fn parent_of(participants: &Participants, kernel: &VirtualKernel, thread: u32) -> Option<Subject> {
    let state = &participants.threads[thread as usize];
    let (client, outside, tid) = (state.client, state.outside, state.tid);
    if let Some(parent) = participants.trees.parent(thread) {
        let of_tree = kernel.operation(participants.threads[parent as usize].operation)?;
        return Some(of_tree.subject);
    }
    let driver = Subject {
        pid: participants.driver.pid,
        tid,
        client: NONE,
        parent: NONE,
        behalf: NONE,
        actor: participants.driver.actor,
    };
    Some(match (client, outside) {
        (NONE, NONE) => driver,
        (NONE, outside) => {
            let worker_process = &participants.worker_processes[outside as usize];
            let behalf = participants.requests.get(state.request).map_or(NONE, |request| request.client);
            let (pid, actor, parent) = (worker_process.pid, worker_process.actor, worker_process.client);
            Subject { pid, tid, client: NONE, parent, behalf, actor }
        }
        (client, _) => {
            let own = &participants.clients[client as usize];
            Subject { pid: own.pid, client, actor: own.actor, ..driver }
        }
    })
}

/// Tells whoever listens of what has just happened to a file or, with [`NONE`], to a process. Returns what that
/// costs whoever has acted.
pub(crate) fn notify<S: Sink>(
    machine: &mut Machine<'_, S>,
    events: NotifyEvents,
    file: u32,
    subject: Subject,
) -> u64 {
    let happened = Happened {
        at: machine.clock.now(),
        events,
        file,
        subject,
        sequence: 0,
        modified: None,
        count: (0, 0),
    };
    raise(machine, &happened)
}

fn raise<S: Sink>(machine: &mut Machine<'_, S>, happened: &Happened) -> u64 {
    let mut cost = 0;
    for client in 0..if machine.kernel.tells() { machine.participants.clients.len() } else { 0 } {
        let heard = hears(&machine.participants.clients[client], happened.events, happened.file);
        if heard.is_empty() {
            continue;
        }
        cost += raising(machine, client, 1);
        let count = (1, u64::from(heard.contains(NotifyEvent::Open)));
        machine.recorder.tally().notify(client, |heard| &mut heard.happened, count);
        let happened = Happened { events: heard, count, ..*happened };
        if machine.kernel.rules().merges_notices() {
            tell_merged(machine, client, happened);
        } else {
            tell_each(machine, client, happened);
        }
        if let Some(observer) = machine.participants.clients[client].notices.observer {
            machine.wake(observer);
        }
    }
    machine.pricing.draw(cost)
}

/// fanotify: what lies unread of this thread on this file says the rest, too.
fn tell_merged<S: Sink>(machine: &mut Machine<'_, S>, client: usize, happened: Happened) {
    let notices = &mut machine.participants.clients[client].notices;
    if !notices.merge(&happened) {
        notices.push(happened);
        machine.participants.unread += 1;
    }
}

/// Endpoint Security: a message of its own, as long as there is room for it.
fn tell_each<S: Sink>(machine: &mut Machine<'_, S>, client: usize, happened: Happened) {
    let notices = &mut machine.participants.clients[client].notices;
    // Nothing there is raised with another event in one.
    let Some(event) = happened.events.iter().next() else { return };
    let sequence = &mut notices.sequence[event as usize];
    *sequence += 1;
    let message = Happened { sequence: *sequence, ..happened };
    if notices.unread.len() >= ES_QUEUE_MAX {
        notices.dropped += 1;
        machine.recorder.tally().notify(client, |heard| &mut heard.lost, message.count);
    } else {
        notices.push(message);
        machine.participants.unread += 1;
    }
}
