//! Starting one client, daemon or helper, and having the warden watch it.

use lab_model::{Actor, Role};
use lab_protocol::{
    Assignment, ClientAssignment, DriverAssignment, HelpersAssignment, Welcome, WorkerAssignment,
};
use lab_workload::Participant;

use super::{
    actors::{DRIVER, HelperPlace, asked_daemons, file_of, first_helper, helper_name},
    channels::connect_client,
    context::Context,
    helpers::Helper,
    process::{LabProcess, ProcessSpec},
    processes::Processes,
    restarts::Restarts,
    warden::Warden,
};
use crate::{Failure, FailureKind};

/// Starts the driver.
pub(super) async fn start_driver(context: &Context, processes: &mut Processes) -> Result<(), Failure> {
    let assignment = Assignment::Driver(DriverAssignment { workload: context.lab().workload.clone() });
    let driver = ProcessSpec { actor: DRIVER, name: "driver", file: "driver", role: Role::Driver };
    processes.start(context, driver, &context.plan().driver, assignment).await
}

/// Starts a client's latest process, and connects it with the daemons that run.
pub(super) async fn start_client(
    context: &Context,
    processes: &mut Processes,
    restarts: &mut Restarts,
    place: usize,
    actor: Actor,
) -> Result<(), Failure> {
    let lab = context.lab();
    let client = &lab.clients[place];
    let mut programs = context.plan().clients.iter();
    let program = programs.find(|(id, _)| *id == client.id).map(|(_, program)| program);
    let program = program.ok_or_else(|| {
        Failure::new(FailureKind::Bug, format!("the plan has no program for {}", client.id))
    })?;
    let assignment = ClientAssignment {
        bundle_id: client.bundle_id.to_string(),
        // What it subscribes to is part of what being asked costs.
        behavior: Box::new(client.behavior.without_reactions()),
        workers_max: lab.workers_max(client),
        notifies: lab.notify_events_of(client),
        deadline: lab.deadline,
        workload: lab.workload.clone(),
        helpers: helpers_of(context, restarts, place, actor),
        daemons: asked_daemons(lab, client),
    };
    let name = client.id.as_str();
    let file = file_of(name, restarts.process(Participant::Client(place)));
    let spec = ProcessSpec { actor, name, file: &file, role: Role::Client };
    processes.start(context, spec, program, Assignment::Client(Box::new(assignment))).await?;
    connect_client(lab, processes, place, actor).await
}

/// Starts a daemon's latest process.
pub(super) async fn start_daemon(
    context: &Context,
    processes: &mut Processes,
    restarts: &Restarts,
    place: usize,
    actor: Actor,
) -> Result<(), Failure> {
    let daemon = &context.lab().daemons[place];
    let assignment = Assignment::Worker(WorkerAssignment {
        client: None,
        workers: daemon.workers,
        errand: daemon.errand,
        workload: context.lab().workload.clone(),
    });
    let name = daemon.id.as_str();
    let file = file_of(name, restarts.process(Participant::Daemon(place)));
    let spec = ProcessSpec { actor, name, file: &file, role: Role::Daemon };
    processes.start(context, spec, &context.plan().worker, assignment).await
}

/// Has a client start the latest process of one of its helpers; nothing where the client is gone.
pub(super) async fn start_helper(
    context: &Context,
    processes: &mut Processes,
    restarts: &Restarts,
    helper: HelperPlace,
    actor: Actor,
) -> Result<(), Failure> {
    let id = &context.lab().clients[helper.client].id;
    let Some(client) = processes.living(id.as_str()).map(LabProcess::actor) else { return Ok(()) };
    let Some(welcome) = helper_welcome(context, restarts, helper, actor, client) else { return Ok(()) };
    processes.start_helper(client, helper.number, welcome).await
}

/// What a client is told of the helpers that it is to start.
fn helpers_of(
    context: &Context,
    restarts: &mut Restarts,
    place: usize,
    actor: Actor,
) -> Option<HelpersAssignment> {
    let client = &context.lab().clients[place];
    let helpers = client.behavior.helpers?;
    let (_, program) = context.plan().helpers.iter().find(|(id, _)| *id == client.id)?;
    let program = program.display().to_string();
    let first = restarts.process(Participant::Client(place)) == 1;
    let first = first.then(|| first_helper(context.lab(), &client.id).0);
    let welcome = |number: u16| {
        // Those that come back with their client have numbers that nobody has had.
        let helper = match first {
            Some(first) => Actor(first + number),
            None => restarts.next_process(Participant::Helper(place, number)),
        };
        helper_welcome(context, restarts, HelperPlace { client: place, number }, helper, actor)
    };
    Some(HelpersAssignment { program, welcomes: (0..helpers.count).filter_map(welcome).collect() })
}

/// What the latest process of a client's helper is told first.
fn helper_welcome(
    context: &Context,
    restarts: &Restarts,
    helper: HelperPlace,
    actor: Actor,
    client: Actor,
) -> Option<Welcome> {
    let HelperPlace { client: place, number } = helper;
    let described = &context.lab().clients[place];
    let assignment = Assignment::Worker(WorkerAssignment {
        client: Some(client),
        workers: 1,
        errand: described.behavior.helpers?.errand,
        workload: context.lab().workload.clone(),
    });
    let name = helper_name(&described.id, number);
    let file = file_of(&name, restarts.process(Participant::Helper(place, number)));
    let spec = ProcessSpec { actor, name: &name, file: &file, role: Role::Helper };
    Some(context.welcome(spec, assignment))
}

/// Has the warden watch a client that is ready, and its helpers.
pub(super) fn watch_client(
    context: &Context,
    processes: &Processes,
    warden: &mut Warden,
    actor: Actor,
) -> Result<(), Failure> {
    let Some(process) = processes.get(actor) else { return Ok(()) };
    let spec = process.spec();
    warden
        .watch_client(actor, &context.folder().trace(spec.file), process.pid(), process.queue())
        .map_err(|error| Failure::output(&format!("cannot watch {}", spec.name), &error))?;
    let mut helpers = processes.living_helpers().filter(|(_, helper)| helper.client() == actor);
    helpers
        .try_for_each(|(number, helper)| watch_worker(context, warden, number, helper.file(), helper.name()))
}

/// Has the warden watch a daemon that is ready.
pub(super) fn watch_daemon(
    context: &Context,
    processes: &Processes,
    warden: &mut Warden,
    actor: Actor,
) -> Result<(), Failure> {
    let Some(process) = processes.get(actor) else { return Ok(()) };
    let spec = process.spec();
    watch_worker(context, warden, actor, spec.file, spec.name)
}

/// Has the warden watch a helper that is ready.
pub(super) fn watch_helper(
    context: &Context,
    processes: &Processes,
    warden: &mut Warden,
    actor: Actor,
) -> Result<(), Failure> {
    let watch = |helper: &Helper| watch_worker(context, warden, actor, helper.file(), helper.name());
    processes.helper(actor).map_or(Ok(()), watch)
}

/// Has the warden watch a worker process by its trace, which is called `file`.
fn watch_worker(
    context: &Context,
    warden: &mut Warden,
    actor: Actor,
    file: &str,
    name: &str,
) -> Result<(), Failure> {
    warden
        .watch_worker(actor, &context.folder().trace(file))
        .map_err(|error| Failure::output(&format!("cannot watch {name}"), &error))
}
