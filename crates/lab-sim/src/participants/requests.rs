//! How clients ask helpers and daemons, and what becomes of a request whose channel breaks.
//!
//! As live, a channel carries one request at a time: a client has one to each of its helpers and as many to a daemon
//! as that works on at once. What finds no free channel waits with the client. The threads between asking and
//! working (a client's courier, a worker's reader) are paid for by the worker's thread and do not run themselves.
//!
//! A channel is found broken by the request that it carries when its worker dies, or by the next that is put on it. That
//! request is over, for nobody knows whether it was carried out, and none is made twice. Without any channel left
//! everything that waits is over, and what comes later fails at once. A channel to a daemon that the lab file brings back
//! is opened again once that listens. The rules are the live client's (`lab-client`'s couriers).

use lab_client_core::{Ask, REQUESTS_MAX, Task, Whom};
use lab_model::Errand;
use lab_trace::{RequestBegin, RequestEnd};

use crate::{
    hardware::{NONE, agenda::SimEvent, scheduler::Next, slab::Key},
    kernel::{
        errors::{EAGAIN, EPIPE},
        operation::Lineage,
    },
    machine::Machine,
    participants::{
        outside::Request,
        threads::{Plan, Step},
        workers::decision_finished,
    },
    records::sink::Sink,
};

/// How often a daemon that may come back is looked for, as live.
const REGAIN_EVERY: u64 = 10_000_000;

/// A client's worker finds out which file its event is about and hands it over.
pub(crate) fn enter_ask<S: Sink>(machine: &mut Machine<'_, S>, start: u64) -> u64 {
    let costs = *machine.pricing.costs();
    start + machine.pricing.draw(costs.resolve + costs.wake_up)
}

pub(crate) fn leave_ask<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let (client, key, number) = {
        let thread = &machine.participants.threads[thread as usize];
        (thread.client, thread.decision, thread.number)
    };
    let state = &mut machine.participants.clients[client as usize];
    let Some(decision) = state.decisions.get(key) else { return Next::Block };
    let Plan::Ask(Ask { whom, wait, draw }) = decision.plan else {
        unreachable!("a worker that asks has a plan to")
    };
    let own = u16::try_from(client).unwrap_or(u16::MAX);
    let by_client = decision.subject.originator() != NONE;
    let (file, decision) = (decision.file, decision.record.0);
    let request_queue = state.request_queues.get_mut(whom).expect("whoever is asked has a request queue");
    let begin = RequestBegin {
        at: machine.clock.ticks(),
        decision,
        whom: request_queue.whom,
        worker: number,
        waits: wait,
    };
    let record = machine.recorder.sink().begin_request(state.actor, &begin);
    let full = request_queue.free.is_empty() && request_queue.waiting.len() >= REQUESTS_MAX;
    if full || request_queue.channels == 0 {
        let error = if request_queue.channels == 0 { EPIPE } else { EAGAIN };
        let end = RequestEnd { at: machine.clock.ticks(), error, served: None };
        machine.recorder.sink().end_request(state.actor, record, &end);
        return decision_finished(machine, thread);
    }
    let request = machine.participants.requests.insert(Request {
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
        Some(worker_process) if machine.participants.worker_processes[worker_process as usize].alive => {
            take_in(machine, worker_process, request)
        }
        Some(_) => fail_on_channel(machine, request),
        None => request_queue.waiting.push_back(request),
    }
    if let Some(request_made) = machine.participants.requests.get_mut(request).filter(|_| wait) {
        request_made.waiter = thread;
        let state = &mut machine.participants.threads[thread as usize];
        (state.request, state.step) = (request, Step::Replied);
        return Next::Block;
    }
    decision_finished(machine, thread)
}

/// A channel brings a request to its worker process.
pub(crate) fn take_in<S: Sink>(machine: &mut Machine<'_, S>, worker_process: u32, request: Key) {
    if let Some(request) = machine.participants.requests.get_mut(request) {
        request.worker_process = worker_process;
    }
    let state = &mut machine.participants.worker_processes[worker_process as usize];
    state.taken_in.push_back(request);
    if state.serves {
        rouse(machine, worker_process as usize);
    }
}

/// A thread that rests takes up what was taken in.
pub(crate) fn rouse<S: Sink>(machine: &mut Machine<'_, S>, worker_process: usize) {
    if let Some(thread) = machine.participants.worker_processes[worker_process].idle.pop_front() {
        machine.participants.threads[thread as usize].step = Step::Fetch;
        machine.wake(thread);
    }
}

/// A request was on a channel that is broken: it is over, and the channel lost.
pub(crate) fn fail_on_channel<S: Sink>(machine: &mut Machine<'_, S>, key: Key) {
    let Some(request) = machine.participants.requests.get(key).copied() else { return };
    fail(machine, key);
    let client = request.client as usize;
    if !machine.participants.clients[client].alive || machine.participants.clients[client].actor != request.by
    {
        return;
    }
    let Some(request_queue) = machine.participants.clients[client].request_queues.get_mut(request.whom)
    else {
        return;
    };
    request_queue.channels -= 1;
    let orphans = if request_queue.channels == 0 {
        std::mem::take(&mut request_queue.waiting)
    } else {
        Default::default()
    };
    for orphan in orphans {
        fail(machine, orphan);
    }
    let Whom::Daemon(asked) = request.whom else { return };
    if daemon_asked(machine, client, asked).is_some_and(|daemon| machine.participants.daemons[daemon].returns)
    {
        let (client, by) = (request.client, request.by);
        machine.clock.enter(machine.clock.now() + REGAIN_EVERY, SimEvent::Regain { client, by, asked });
    }
}

/// A request is over without having been carried out, as far as anybody knows.
fn fail<S: Sink>(machine: &mut Machine<'_, S>, key: Key) {
    let Some(request) = machine.participants.requests.remove(key) else { return };
    let state = &machine.participants.clients[request.client as usize];
    if state.alive && state.actor == request.by {
        let end = RequestEnd { at: machine.clock.ticks(), error: EPIPE, served: None };
        machine.recorder.sink().end_request(state.actor, request.record, &end);
        if request.waiter != NONE {
            machine.wake(request.waiter);
        }
    }
}

/// The daemon at this place of a client's behaviour, by its place in the lab.
fn daemon_asked<S: Sink>(machine: &Machine<'_, S>, client: usize, asked: u8) -> Option<usize> {
    let asked = machine.lab.clients[client].behavior.daemons.get(usize::from(asked))?;
    machine.lab.daemons.iter().position(|daemon| daemon.id == asked.daemon)
}

/// A client looks whether a daemon listens again, and has a channel more if so.
pub(crate) fn regain<S: Sink>(machine: &mut Machine<'_, S>, client: u32, by: lab_model::Actor, asked: u8) {
    let place = client as usize;
    if !machine.participants.clients[place].alive || machine.participants.clients[place].actor != by {
        return;
    }
    let Some(daemon) = daemon_asked(machine, place, asked) else { return };
    let worker_process = machine.participants.daemons[daemon].place;
    if !machine.participants.worker_processes[worker_process as usize].alive
        || !machine.participants.worker_processes[worker_process as usize].listens
    {
        // It looks for as long as it lives.
        machine.clock.enter(machine.clock.now() + REGAIN_EVERY, SimEvent::Regain { client, by, asked });
        return;
    }
    if let Some(request_queue) =
        machine.participants.clients[place].request_queues.get_mut(Whom::Daemon(asked))
    {
        request_queue.channels += 1;
        request_queue.group = (worker_process, 1);
        match request_queue.waiting.pop_front() {
            Some(next) => take_in(machine, worker_process, next),
            None => request_queue.free.push_back(worker_process),
        }
    }
}

/// A client is gone: nobody hears of its requests any more. What a daemon has taken in it carries out.
pub(crate) fn forget_requests<S: Sink>(machine: &mut Machine<'_, S>, client: u32) {
    let request_queues = &mut machine.participants.clients[client as usize].request_queues;
    for request_queue in request_queues.helpers.iter_mut().chain(&mut request_queues.daemons) {
        request_queue.waiting.clear();
    }
    let gone = |request: &Request| {
        let with_helper = matches!(request.whom, Whom::Helper);
        request.client == client && (with_helper || request.worker_process == NONE)
    };
    let gone: Vec<Key> = machine
        .participants
        .requests
        .iter()
        .filter(|(_, request)| gone(request))
        .map(|(key, _)| key)
        .collect();
    for key in gone {
        machine.participants.requests.remove(key);
    }
}

/// A client's worker hears of the reply.
pub(crate) fn leave_replied<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    machine.participants.threads[thread as usize].request = Key::NONE;
    decision_finished(machine, thread)
}
