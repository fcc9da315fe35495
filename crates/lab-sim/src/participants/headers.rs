//! What the trace of each process says of it at its beginning.

use lab_model::{Actor, Role, Timebase};
use lab_trace::{Header, HostFacts, Identity};
use serde_json::json;

use crate::{hardware::NONE, machine::Machine, records::sink::Sink};

/// The process IDs of the lab: the orchestrator, the driver behind it, the clients behind that.
pub(crate) const PID_FIRST: u32 = 100;
/// The arena as the processes of a live run see it.
const ARENA: &str = "/arena";

pub(crate) fn headers<S: Sink>(machine: &Machine<'_, S>) -> Vec<Header> {
    let mut headers = vec![header(
        machine,
        Actor::ORCHESTRATOR,
        Role::Orchestrator,
        PID_FIRST,
        identity(machine, "orchestrator", None, serde_json::to_value(machine.lab).unwrap_or_default()),
    )];
    headers.extend((0..machine.participants.clients.len()).map(|client| client_header(machine, client)));
    let identity = identity(machine, "driver", None, serde_json::Value::Null);
    headers.push(header(
        machine,
        machine.participants.driver.actor,
        Role::Driver,
        machine.participants.driver.pid,
        identity,
    ));
    headers
        .extend((0..machine.participants.worker_processes.len()).map(|place| outside_header(machine, place)));
    headers
}

pub(crate) fn client_header<S: Sink>(machine: &Machine<'_, S>, client: usize) -> Header {
    let (state, described) = (&machine.participants.clients[client], &machine.lab.clients[client]);
    let settings = serde_json::to_value(&described.behavior).unwrap_or_default();
    let bundle_id = Some(described.bundle_id.to_string());
    let identity = identity(machine, described.id.as_str(), bundle_id, settings);
    header(machine, state.actor, Role::Client, state.pid, identity)
}

pub(crate) fn outside_header<S: Sink>(machine: &Machine<'_, S>, place: usize) -> Header {
    let worker_process = &machine.participants.worker_processes[place];
    let (role, client) = match worker_process.client {
        NONE => (Role::Daemon, None),
        client => (Role::Helper, Some(machine.participants.clients[client as usize].actor.0)),
    };
    let settings = json!({ "client": client, "workers": worker_process.threads.1, "errand": worker_process.service.errand });
    let identity = identity(machine, &worker_process.name, None, settings);
    header(machine, worker_process.actor, role, worker_process.pid, identity)
}

fn header<S: Sink>(
    machine: &Machine<'_, S>,
    actor: Actor,
    role: Role,
    pid: u32,
    identity: Identity,
) -> Header {
    Header {
        created: machine.clock.ticks(),
        created_unix_ns: 0,
        timebase: Timebase::NANOSECONDS,
        actor,
        role,
        pid,
        salt: salt(machine.seed, actor),
        identity,
    }
}

fn identity<S: Sink>(
    machine: &Machine<'_, S>,
    name: &str,
    bundle_id: Option<String>,
    settings: serde_json::Value,
) -> Identity {
    Identity {
        name: name.to_owned(),
        bundle_id,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        arena: ARENA.to_owned(),
        settings,
        host: HostFacts {
            kernel: lab_model::simulated_kernel_name(machine.kernel.rules()),
            machine: format!("{} simulated processors", machine.pricing.costs().cores),
            cpus: (0..u32::from(machine.pricing.costs().cores)).collect(),
        },
    }
}
/// The seed of a trace's checks.
fn salt(seed: u64, Actor(actor): Actor) -> u32 {
    let word = crate::hardware::random::Random::new(seed, 0x5A17 + u64::from(actor)).word();
    u32::try_from(word >> 32).unwrap_or(0)
}
