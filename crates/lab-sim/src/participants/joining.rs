//! How clients and the driver come to take part: their processes and threads, and how each client is to behave.

use lab_client_core::{ClientCore, Input, Policy, Rounds};
use lab_model::{Actor, Behavior, Cache, PhaseKind, Timebase};
use lab_trace::{PENDING_SLOTS, ProcessMarkKind, ThreadPurpose};

use crate::{
    hardware::{NONE, slab::Slab},
    kernel::hiding::Hidden,
    machine::Machine,
    participants::{
        client::{Batch, By, Client},
        deciders::{apply, let_go},
        driver::DriverWorker,
        headers::{PID_FIRST, client_header},
        notices::Notices,
        outside::RequestQueues,
        threads::Step,
        worker_processes::{mark_workers, populate_outside, renew_outside},
    },
    records::sink::Sink,
};

/// Makes the processes and their threads; nothing runs yet.
pub(crate) fn populate<S: Sink>(machine: &mut Machine<'_, S>) {
    let lab = machine.lab;
    for number in 0..u16::try_from(lab.clients.len()).unwrap_or(u16::MAX) {
        let control = lab.phases.iter().any(|phase| phase.kind == PhaseKind::Control);
        let described = &lab.clients[usize::from(number)].behavior;
        let behavior = if control { described.without_reactions() } else { described.clone() };
        let client =
            new_client(machine, number, Actor(number + 1), PID_FIRST + 2 + u32::from(number), behavior);
        machine.participants.clients.push(client);
    }
    machine.participants.driver.actor = Actor(u16::try_from(lab.clients.len()).unwrap_or(u16::MAX - 2) + 1);
    machine.participants.driver.pid = PID_FIRST + 1;
    for number in 0..u16::try_from(lab_workload::workers(&lab.workload)).unwrap_or(u16::MAX) {
        let thread = machine.add_thread(NONE, number, Step::Begin);
        machine.participants.driver.workers.push(DriverWorker { thread, schedule: None, planned: None });
    }
    let pid_first = PID_FIRST + 2 + u32::try_from(lab.clients.len()).unwrap_or(NONE - PID_FIRST - 2);
    populate_outside(machine, pid_first);
}

/// A client's process, with its threads; it does not run yet.
fn new_client<S: Sink>(
    machine: &mut Machine<'_, S>,
    number: u16,
    actor: Actor,
    pid: u32,
    behavior: Behavior,
) -> Client {
    let client = u32::from(number);
    let reader = machine.add_thread(client, 0, Step::Receive);
    let housekeeper = machine.add_thread(client, 0, Step::FallBack);
    let count = machine.lab.workers_max(&machine.lab.clients[usize::from(number)]);
    let first = u32::try_from(machine.participants.threads.len()).unwrap_or(NONE);
    for worker in 0..count {
        machine.add_thread(client, worker, Step::TakeUp);
    }
    let notices = if machine.lab.notifies(&machine.lab.clients[usize::from(number)]) {
        let observer = machine.add_thread(client, 0, Step::Hear);
        Notices::of(observer, behavior.notify)
    } else {
        Notices::default()
    };
    let mut hidden = Hidden::default();
    hidden.follow(&behavior, machine.kernel.files());
    let keeps = behavior.cache == Cache::On;
    Client {
        core: ClientCore::new(policy(machine, behavior), PENDING_SLOTS),
        actor,
        pid,
        alive: false,
        listening: false,
        dying: false,
        exhausted: Vec::new(),
        hidden,
        keeps,
        rounds: Rounds::default(),
        to_release: 0,
        round_planned: false,
        queue: std::collections::VecDeque::new(),
        decisions: Slab::default(),
        unanswered: 0,
        reader,
        housekeeper,
        notices,
        workers: (first, count),
        idle: (first..first + u32::from(count)).collect(),
        batch: Batch::default(),
        fallbacks: Batch::default(),
        commands: Batch::default(),
        reactions: Batch::default(),
        budget: std::collections::VecDeque::new(),
        sequence: 0,
        dropped: 0,
        request_queues: RequestQueues::default(),
    }
}

fn policy<S: Sink>(machine: &Machine<'_, S>, behavior: Behavior) -> Policy {
    let actor =
        |place: usize, number| machine.participants.clients.get(place).map_or(Actor(number), |one| one.actor);
    let clients = machine.lab.clients.iter().zip(1..).enumerate();
    let names = clients.map(|(place, (client, number))| (client.id.as_str(), actor(place, number)));
    let outside = machine.participants.outside_names(machine.lab);
    let outside = outside.iter().map(|(name, actor)| (name.as_str(), *actor));
    Policy::new(behavior, machine.lab.deadline, Timebase::NANOSECONDS).among(names.chain(outside))
}

/// A client has started, or reads events.
pub(crate) fn announce_client<S: Sink>(machine: &mut Machine<'_, S>, client: usize, kind: ProcessMarkKind) {
    let state = &mut machine.participants.clients[client];
    let (actor, pid) = (state.actor, state.pid);
    if kind == ProcessMarkKind::Started {
        state.alive = true;
    } else {
        state.listening = true;
        let (reader, housekeeper) = (state.reader as usize, state.housekeeper as usize);
        let (first, count) = state.workers;
        machine.recorder.mark_thread(machine.clock.ticks(), actor, u64::from(pid), ThreadPurpose::Control, 0);
        machine.recorder.mark_thread(
            machine.clock.ticks(),
            actor,
            machine.participants.threads[reader].tid,
            ThreadPurpose::Reader,
            0,
        );
        machine.recorder.mark_thread(
            machine.clock.ticks(),
            actor,
            machine.participants.threads[housekeeper].tid,
            ThreadPurpose::Housekeeper,
            0,
        );
        mark_workers(machine, actor, first..first + u32::from(count));
        if let Some(observer) = machine.participants.clients[client].notices.observer() {
            machine.recorder.mark_thread(
                machine.clock.ticks(),
                actor,
                machine.participants.threads[observer as usize].tid,
                ThreadPurpose::Observer,
                0,
            );
        }
    }
    machine.recorder.mark_process(machine.clock.ticks(), actor, pid, kind);
}

/// A new process of a client that has died, under a number of its own and with nothing kept.
pub(crate) fn renew<S: Sink>(machine: &mut Machine<'_, S>, client: usize) {
    let actor = machine.participants.new_actor();
    let number = u16::try_from(client).unwrap_or(u16::MAX);
    let pid = machine.participants.driver.new_process();
    let behavior = machine.lab.clients[client].behavior.without_reactions();
    let renewed = new_client(machine, number, actor, pid, behavior);
    machine.participants.clients[client] = renewed;
    let header = client_header(machine, client);
    machine.recorder.sink().join(&header);
    announce_client(machine, client, ProcessMarkKind::Started);
    renew_outside(machine, client);
}

/// A client takes the behaviour that is due. The kernel forgets what it kept for it.
pub(crate) fn behave<S: Sink>(machine: &mut Machine<'_, S>, client: usize, behavior: Behavior) {
    machine.participants.clients[client].hidden.follow(&behavior, machine.kernel.files());
    machine.participants.clients[client].keeps = behavior.cache == Cache::On;
    machine.participants.clients[client].notices.listen(behavior.notify);
    let policy = policy(machine, behavior);
    let now = machine.clock.ticks();
    machine.participants.clients[client].core.step(
        now,
        Input::Behave(Box::new(policy)),
        &mut machine.participants.actions,
    );
    apply(machine, client, By::Command);
    let_go(machine, client, By::Command);
}

/// Every client learns anew who takes part.
pub(crate) fn introduce_all<S: Sink>(machine: &mut Machine<'_, S>) {
    for client in 0..machine.participants.clients.len() {
        if !machine.participants.clients[client].listening {
            continue;
        }
        let behavior = machine.participants.clients[client].core.policy().behavior().clone();
        let policy = policy(machine, behavior);
        let input = Input::Behave(Box::new(policy));
        machine.participants.clients[client].core.step(
            machine.clock.ticks(),
            input,
            &mut machine.participants.actions,
        );
        apply(machine, client, By::Command);
        let_go(machine, client, By::Command);
    }
}

/// The driver has started, and is ready.
pub(crate) fn announce_driver<S: Sink>(machine: &mut Machine<'_, S>) {
    let Machine { participants, recorder, clock, .. } = machine;
    let (at, driver) = (clock.ticks(), &participants.driver);
    recorder.mark_process(at, driver.actor, driver.pid, ProcessMarkKind::Started);
    recorder.mark_thread(at, driver.actor, u64::from(driver.pid), ThreadPurpose::Control, 0);
    for worker in &driver.workers {
        let thread = participants.threads[worker.thread as usize];
        recorder.mark_thread(at, driver.actor, thread.tid, ThreadPurpose::Worker, thread.number);
    }
    recorder.mark_process(at, driver.actor, driver.pid, ProcessMarkKind::Ready);
}
