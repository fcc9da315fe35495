//! Clients and daemons that come back after their death: a new process under a number of its own, as a live run's
//! controller brings it.

use lab_model::{Service, Verdict};
use lab_trace::ProcessMarkKind;
use lab_workload::Participant;

use crate::{
    hardware::{NONE, agenda::SimEvent},
    kernel::{asking::answer_reaches, errors::KILLED},
    machine::Machine,
    participants::{
        client::Client,
        deciders::client_connected,
        driving::halt,
        headers::outside_header,
        joining::{announce_client, behave, introduce_all, renew},
        lives::ProcessNumbers,
        observers::forget_unread,
        worker_processes::{add_outsider, announce_outsider},
    },
    records::sink::Sink,
    scenario::faults::{serve_as_due, target_gone},
};

/// From a client's first read to its behaviour: the controller tells everybody of it first. Nanoseconds. Measured, on
/// a busy machine: three opens at 500 a second.
const GETTING_KNOWN: u64 = 5_000_000;

/// A killed client has gone, and may come back.
fn client_gone<S: Sink>(machine: &mut Machine<'_, S>, client: usize) {
    let actor = machine.participants.clients()[client].actor();
    target_gone(machine, actor);
    let described = &machine.lab.clients[client];
    let after = machine.faults.comes_back(described.id.as_str()).or(described.restart);
    let whom = Participant::Client(client);
    machine.faults.restarts.is_back(whom);
    let due = after.and_then(|after| machine.faults.restarts.plan(whom, after, machine.clock.now()));
    if let Some(due) = due {
        let client = u32::try_from(client).unwrap_or(NONE);
        machine.clock.enter(due, SimEvent::StartAgain { client });
    }
    let no_client_left = !machine.participants.clients().iter().any(Client::is_alive);
    if no_client_left && !machine.faults.restarts.expects_a_client() {
        halt(machine);
    }
}

/// A new process of a client begins: it sets itself up, and nothing is asked of it yet.
pub(crate) fn start_again<S: Sink>(machine: &mut Machine<'_, S>, client: usize) {
    if !machine.faults.restarts.expects(Participant::Client(client)) {
        return;
    }
    let process = machine.faults.restarts.next_process(Participant::Client(client));
    renew(machine, client);
    let number = u32::try_from(client).unwrap_or(NONE);
    let ready = machine.clock.now().saturating_add(machine.pricing.costs().start_client);
    machine.clock.enter(ready, SimEvent::BackAgain { client: number, process });
}

fn is_current<S: Sink>(machine: &Machine<'_, S>, client: usize, process: u32) -> bool {
    let (whom, restarts) = (Participant::Client(client), &machine.faults.restarts);
    restarts.process(whom) == process
        && machine.participants.clients()[client].is_alive()
        && restarts.expects(whom)
}

/// It reads events, and answers them at once until the others know it: what it opened before that would look
/// like the workload's to them.
pub(crate) fn back_again<S: Sink>(machine: &mut Machine<'_, S>, client: usize, process: u32) {
    if !is_current(machine, client, process) {
        return;
    }
    announce_client(machine, client, ProcessMarkKind::Ready);
    client_connected(machine);
    let number = u32::try_from(client).unwrap_or(NONE);
    machine
        .clock
        .enter(machine.clock.now() + GETTING_KNOWN, SimEvent::KnownAgain { client: number, process });
}

/// It takes the behaviour that is due.
pub(crate) fn known_again<S: Sink>(machine: &mut Machine<'_, S>, client: usize, process: u32) {
    if !is_current(machine, client, process) {
        return;
    }
    machine.faults.restarts.is_back(Participant::Client(client));
    introduce_all(machine);
    if machine.faults.behaving {
        let behavior = machine.faults.behavior_due(machine.lab, client);
        behave(machine, client, behavior);
        let number = u32::try_from(client).unwrap_or(NONE);
        for helper in machine.participants.helpers_of(number) {
            serve_as_due(machine, helper);
        }
    }
}

/// A daemon that has died is started again, under a number of its own.
pub(crate) fn daemon_again<S: Sink>(machine: &mut Machine<'_, S>, daemon: usize) {
    if !machine.faults.restarts.expects(Participant::Daemon(daemon)) {
        return;
    }
    let described = &machine.lab.daemons[daemon];
    let (name, place) = (described.id.to_string(), machine.participants.worker_processes());
    let pid = machine.participants.new_pid();
    let service = Service { errand: described.errand, workers: described.workers };
    add_outsider(machine, name, NONE, service, pid);
    machine.faults.restarts.next_process(Participant::Daemon(daemon));
    let header = outside_header(machine, place);
    machine.recorder.sink().join(&header);
    let worker_process = u32::try_from(place).unwrap_or(NONE);
    let ProcessNumbers { actor, pid } = machine.participants.renew_daemon(daemon, worker_process);
    machine.recorder.mark_process(machine.clock.ticks(), actor, pid, ProcessMarkKind::Started);
    let ready = machine.clock.now().saturating_add(machine.pricing.costs().start_client);
    machine.clock.enter(ready, SimEvent::DaemonListens { worker_process });
}

/// A daemon that came back can be connected to. It carries nothing out before everybody knows its threads.
pub(crate) fn daemon_listens<S: Sink>(machine: &mut Machine<'_, S>, worker_process: u32) {
    if !machine.participants.is_worker_process_alive(worker_process as usize) {
        return;
    }
    announce_outsider(machine, worker_process as usize);
    machine.clock.enter(machine.clock.now() + GETTING_KNOWN, SimEvent::DaemonServes { worker_process });
}

/// It does now.
pub(crate) fn daemon_serves<S: Sink>(machine: &mut Machine<'_, S>, worker_process: u32) {
    let Some(daemon) = machine.participants.daemon_at(worker_process as usize) else { return };
    let whom = Participant::Daemon(daemon);
    let returns = machine.faults.restarts.expects(whom);
    machine.faults.restarts.is_back(whom);
    if !returns || !machine.participants.is_worker_process_alive(worker_process as usize) {
        return;
    }
    introduce_all(machine);
    machine.participants.begin_to_serve(worker_process as usize);
    serve_as_due(machine, worker_process as usize);
}

/// The last descriptor of a killed client has gone: the kernel allows what waited for it.
pub(crate) fn release_waiting<S: Sink>(machine: &mut Machine<'_, S>, client: u32) {
    let (ProcessNumbers { actor, pid }, waiting) = machine.participants.release_client(client as usize);
    forget_unread(machine, client as usize);
    for operation in waiting {
        answer_reaches(machine, operation, Verdict::Allow);
    }
    machine.recorder.mark_end(machine.clock.ticks(), actor, pid, KILLED);
    client_gone(machine, client as usize);
}
