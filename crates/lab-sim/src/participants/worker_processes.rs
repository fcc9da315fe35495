//! How helpers and daemons come to take part: their processes and threads, and the channels to them.

use std::{collections::VecDeque, ops::Range};

use lab_model::{Actor, AskedDaemon, Errand, PlannedFault, Service};
use lab_trace::{ProcessMarkKind, ThreadPurpose};

use crate::{
    hardware::NONE,
    machine::Machine,
    participants::{
        headers::outside_header,
        outside::{RequestQueue, RequestQueues, WorkerProcess, daemon_lives},
        state::Participants,
        threads::Step,
    },
    records::sink::Sink,
};

/// Makes the lab's daemons and helpers, their threads and the clients' request queues; nothing runs yet. Their numbers
/// follow the driver's.
pub(crate) fn populate_outside<S: Sink>(machine: &mut Machine<'_, S>, pid_first: u32) {
    machine.participants.next_actor = machine.participants.driver.actor.0.saturating_add(1);
    machine.participants.daemons = daemon_lives(machine.lab);
    let lab = machine.lab;
    for daemon in &lab.daemons {
        let pid = pid_first + narrow(machine.participants.worker_processes.len());
        let service = Service { errand: daemon.errand, workers: daemon.workers };
        add_outsider(machine, daemon.id.to_string(), NONE, service, pid);
    }
    for client in 0..machine.participants.clients.len() {
        add_desks(machine, client, &mut |participants| {
            pid_first + narrow(participants.worker_processes.len())
        });
    }
}

/// A client that comes back brings helpers of its own, and opens channels to the daemons again.
pub(crate) fn renew_outside<S: Sink>(machine: &mut Machine<'_, S>, client: usize) {
    let first = machine.participants.worker_processes.len();
    add_desks(machine, client, &mut Participants::new_pid);
    for place in first..machine.participants.worker_processes.len() {
        let header = outside_header(machine, place);
        machine.recorder.sink().join(&header);
        start_outsider(machine, place);
    }
}

/// Makes a client's helpers and all of its request queues. `pid` gives the next process ID.
fn add_desks<S: Sink>(
    machine: &mut Machine<'_, S>,
    client: usize,
    pid: &mut dyn FnMut(&mut Participants) -> u32,
) {
    let described = &machine.lab.clients[client];
    let first = narrow(machine.participants.worker_processes.len());
    let helpers = described.behavior.helpers;
    for number in 1..=helpers.map_or(0, |helpers| helpers.count) {
        let name = PlannedFault::helper(described.id.as_str(), number);
        let errand = helpers.map_or_else(Errand::none, |helpers| helpers.errand);
        let pid = pid(&mut machine.participants);
        add_outsider(machine, name, narrow(client), Service { errand, workers: 1 }, pid);
    }
    let request_queue = |whom, group: (u32, u32), channels: usize| {
        let free = (group.0..group.0 + group.1).cycle().take(channels).collect();
        RequestQueue { whom, group, channels, free, waiting: VecDeque::new() }
    };
    let of_daemon = |asked: &AskedDaemon| {
        let place = machine.lab.daemons.iter().position(|daemon| daemon.id == asked.daemon);
        let place = place.expect("a lab names no daemon that it does not have");
        // It has the number of its first process to its clients. One that is dead when a client comes back stays
        // lost to that.
        let (first, latest) =
            (machine.participants.worker_processes[place].actor, machine.participants.daemons[place].place);
        let workers = usize::from(machine.lab.daemons[place].workers);
        let there = latest == narrow(place) || machine.participants.worker_processes[latest as usize].listens;
        request_queue(first, (latest, 1), if there { workers } else { 0 })
    };
    let daemons = described.behavior.daemons.iter().map(of_daemon).collect();
    let of_helpers = |helpers: lab_model::Helpers| {
        let group = (first, u32::from(helpers.count));
        request_queue(machine.participants.clients[client].actor, group, usize::from(helpers.count))
    };
    machine.participants.clients[client].request_queues =
        RequestQueues { helpers: helpers.map(of_helpers), daemons };
}

pub(crate) fn add_outsider<S: Sink>(
    machine: &mut Machine<'_, S>,
    name: String,
    client: u32,
    service: Service,
    pid: u32,
) {
    let workers = service.workers;
    let (place, first) =
        (narrow(machine.participants.worker_processes.len()), narrow(machine.participants.threads.len()));
    for number in 0..workers {
        let thread = machine.add_thread(NONE, number, Step::Fetch);
        machine.participants.threads[thread as usize].outside = place;
    }
    let actor = machine.participants.new_actor();
    let idle = (first..first + u32::from(workers)).collect();
    let (threads, taken_in) = ((first, workers), VecDeque::new());
    machine.participants.worker_processes.push(WorkerProcess {
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

/// All helpers and daemons are there.
pub(crate) fn start_outside<S: Sink>(machine: &mut Machine<'_, S>) {
    for place in 0..machine.participants.worker_processes.len() {
        start_outsider(machine, place);
    }
}

fn start_outsider<S: Sink>(machine: &mut Machine<'_, S>, place: usize) {
    let worker_process = &mut machine.participants.worker_processes[place];
    (worker_process.alive, worker_process.serves) = (true, true);
    let (actor, pid) = (worker_process.actor, worker_process.pid);
    machine.recorder.mark_process(machine.clock.ticks(), actor, pid, ProcessMarkKind::Started);
    announce_outsider(machine, place);
}

/// A helper or a daemon is ready.
pub(crate) fn announce_outsider<S: Sink>(machine: &mut Machine<'_, S>, place: usize) {
    let worker_process = &mut machine.participants.worker_processes[place];
    worker_process.listens = true;
    let (actor, pid, (first, count)) = (worker_process.actor, worker_process.pid, worker_process.threads);
    machine.recorder.mark_thread(machine.clock.ticks(), actor, u64::from(pid), ThreadPurpose::Control, 0);
    mark_workers(machine, actor, first..first + u32::from(count));
    machine.recorder.mark_process(machine.clock.ticks(), actor, pid, ProcessMarkKind::Ready);
}

/// Records which threads of a process work on decisions or requests.
pub(crate) fn mark_workers<S: Sink>(machine: &mut Machine<'_, S>, actor: Actor, threads: Range<u32>) {
    for thread in threads {
        let thread = machine.participants.threads[thread as usize];
        machine.recorder.mark_thread(
            machine.clock.ticks(),
            actor,
            thread.tid,
            ThreadPurpose::Worker,
            thread.number,
        );
    }
}

fn narrow(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(NONE)
}
