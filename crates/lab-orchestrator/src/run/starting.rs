//! Starting what a lab is made of, and telling each of the others.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use lab_bundle::Daemons;
use lab_model::{Actor, Role};
use lab_protocol::{
    Assignment, ClientAssignment, DriverAssignment, FrameError, Order, PROTOCOL, TraceAssignment, Welcome,
};
use lab_trace::ProcessMarkKind;

use super::{
    controller::{ANSWER_WITHIN, Controller, DRIVER, ProcessSpec},
    daemon::Daemon,
    ending::{last_line, process_failure},
    helpers::{FIRST_CLIENT, asked_daemons},
    process::LabProcess,
};
use crate::{Failure, FailureKind, RunFolder};

impl Controller {
    pub(super) async fn start_driver(&mut self) -> Result<(), Failure> {
        let assignment = Assignment::Driver(DriverAssignment { workload: self.plan.lab.workload.clone() });
        let program = self.plan.driver.clone();
        let driver = ProcessSpec { actor: DRIVER, name: "driver", file: "driver", role: Role::Driver };
        self.start(driver, &program, assignment).await?;
        self.all_settled(ANSWER_WITHIN, "become ready").await?;
        let trace = self.folder.trace("driver");
        self.warden.watch_driver(&trace).map_err(|error| Failure::output("cannot watch the driver", &error))
    }

    /// Starts all clients at once, unless they run already.
    pub(super) async fn start_clients(&mut self) -> Result<(), Failure> {
        if self.clients().next().is_some() {
            return Ok(());
        }
        self.start_daemons().await?;
        let lab = self.plan.lab.clone();
        let several = if lab.clients.len() == 1 { "" } else { "s" };
        let what = format!("{} client{several}", lab.clients.len());
        self.progress.begin("start", &what, self.warden.snapshot());
        for (place, (client, number)) in lab.clients.iter().zip(FIRST_CLIENT..).enumerate() {
            let actor = Actor(number);
            let (assignment, program) = self.client_assignment(place, actor)?;
            let id = client.id.as_str();
            let part = ProcessSpec { actor, name: id, file: id, role: Role::Client };
            self.start(part, &program, assignment).await?;
            self.connect_client(place, actor).await?;
        }
        self.all_settled(ANSWER_WITHIN, "become ready").await?;
        for client in self.clients().collect::<Vec<_>>() {
            self.watch_client(client)?;
        }
        self.announce().await?;
        self.open_daemons().await?;
        self.restarts.allow();
        Ok(())
    }

    /// Starts the products under test, unless they run already, and waits until they take part.
    pub(super) async fn start_externals(&mut self) -> Result<(), Failure> {
        if !self.externals.start(&self.trace, &self.report)? {
            return Ok(());
        }
        self.progress.begin("start", "the products beside the clients", self.warden.snapshot());
        let within = self.externals.ready_within();
        let settled =
            |controller: &Controller| controller.stopped.is_some() || controller.externals.settled();
        self.until(Some(within), None, settled).await;
        if self.stopped.is_some() {
            return Ok(());
        }
        self.externals.require_ready()?;
        self.announce().await
    }

    /// What a client's new process is told, and its program.
    pub(super) fn client_assignment(
        &mut self,
        place: usize,
        actor: Actor,
    ) -> Result<(Assignment, PathBuf), Failure> {
        let helpers = self.helpers_of(place, actor);
        let lab = &self.plan.lab;
        let client = &lab.clients[place];
        let mut programs = self.plan.clients.iter();
        let (_, program) = programs.find(|(id, _)| *id == client.id).ok_or_else(|| {
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
            helpers,
            daemons: asked_daemons(lab, client),
        };
        Ok((Assignment::Client(Box::new(assignment)), program.clone()))
    }

    /// A number that no process of this run has had.
    pub(super) fn new_actor(&mut self) -> Actor {
        let actor = Actor(self.next_actor);
        self.next_actor += 1;
        actor
    }

    pub(super) fn watch_client(&mut self, actor: Actor) -> Result<(), Failure> {
        let Some(process) = self.processes.get(&actor) else { return Ok(()) };
        let trace = self.folder.trace(&process.file);
        self.warden
            .watch_client(actor, &trace, process.pid, process.queue)
            .map_err(|error| Failure::output(&format!("cannot watch {}", process.name), &error))?;
        self.watch_helpers(actor)
    }

    /// Tells every client which threads belong to whom, and waits until all know.
    pub(super) async fn announce(&mut self) -> Result<(), Failure> {
        self.tell_participants().await?;
        self.all_settled(ANSWER_WITHIN, "learn of the others").await
    }

    /// Tells every client which threads belong to whom.
    pub(super) async fn tell_participants(&mut self) -> Result<(), Failure> {
        let alive = || self.processes.values().filter(|process| process.alive());
        let threads =
            alive().flat_map(|process| process.threads.iter().map(move |&thread| (thread, process.actor)));
        let of_helpers = self
            .helpers
            .living()
            .flat_map(|(actor, helper)| helper.threads.iter().map(move |&tid| (tid, actor)));
        let threads = threads.chain(of_helpers).chain(self.externals.threads());
        let threads: Vec<(u64, Actor)> = threads.collect();
        let clients: Vec<Actor> = self.living_clients();
        let name_of = |actor: Actor| Some(self.processes.get(&actor)?.name.clone());
        let nameable = alive().filter(|process| matches!(process.role, Role::Client | Role::Daemon));
        let names = nameable.map(|process| (process.name.clone(), process.actor));
        let names = names.chain(self.helpers.names(name_of)).chain(self.externals.names());
        let names: Vec<(String, Actor)> = names.collect();
        for actor in clients.clone() {
            let (threads, clients, names) = (threads.clone(), clients.clone(), names.clone());
            let order = Order::Participants { threads, clients, names };
            self.order(actor, &order).await?;
        }
        Ok(())
    }

    /// Gives every client the behaviour of the lab file.
    pub(super) async fn behave(&mut self) -> Result<(), Failure> {
        self.behaving = true;
        for place in 0..self.plan.lab.clients.len() {
            let id = self.plan.lab.clients[place].id.clone();
            let mut processes = self.processes.values();
            let process = processes.find(|process| process.name == id.as_str() && process.alive());
            let Some(actor) = process.map(|process| process.actor) else { continue };
            let behavior = Box::new(self.behavior_due(place));
            self.order(actor, &Order::Behave { behavior }).await?;
        }
        self.all_settled(ANSWER_WITHIN, "change their behaviour").await
    }

    pub(super) async fn start(
        &mut self,
        part: ProcessSpec<'_>,
        program: &Path,
        assignment: Assignment,
    ) -> Result<(), Failure> {
        let ProcessSpec { actor, name, file, role } = part;
        let log = self.folder.logs().join(format!("{file}.log"));
        let mut process = match self.daemon(name, role) {
            None => LabProcess::start(program, part, &log, &self.report)
                .map_err(|error| Failure::output(&format!("cannot start {}", program.display()), &error))?,
            Some(daemon) => LabProcess::start_daemon(daemon, part, &self.report).await.map_err(|error| {
                let words = last_line(&log_of(self.daemons.as_deref(), &self.folder, part))
                    .map(|line| format!(": {line}"));
                process_failure(name, &format!("{error}{}", words.unwrap_or_default()))
            })?,
        };
        self.mark(actor, ProcessMarkKind::Started, process.pid, 0);
        let welcome = self.welcome(part, assignment);
        let sent = process.order(&Order::Welcome(Box::new(welcome))).await;
        self.processes.insert(actor, process);
        sent.map_err(|error| unsupported_notify(name, &error))
    }

    pub(super) fn welcome(&self, part: ProcessSpec<'_>, assignment: Assignment) -> Welcome {
        let ProcessSpec { actor, name, file, .. } = part;
        Welcome {
            protocol: PROTOCOL,
            actor,
            name: name.to_owned(),
            seed: self.plan.lab.seed,
            arena: self.folder.arena().display().to_string(),
            trace: TraceAssignment {
                path: self.folder.trace(file).display().to_string(),
                salt: self.salt.wrapping_add(u32::from(actor.0)),
                bytes_max: self.plan.lab.safety.trace_bytes_max,
            },
            assignment,
        }
    }

    /// The launchd daemon that a client is; `None` for a child.
    pub(super) fn daemon(&self, name: &str, role: Role) -> Option<Daemon> {
        let mut clients = self.plan.lab.clients.iter();
        let client = clients.find(|client| role == Role::Client && client.id.as_str() == name)?;
        Some(Daemon::new(self.daemons.as_ref()?, &client.id, &client.bundle_id))
    }

    pub(super) async fn order(&mut self, actor: Actor, order: &Order) -> Result<(), Failure> {
        self.hand_over(actor, order, &[]).await
    }

    /// Gives an order, and descriptors with it.
    pub(super) async fn hand_over(
        &mut self,
        actor: Actor,
        order: &Order,
        descriptors: &[OwnedFd],
    ) -> Result<(), Failure> {
        let Some(process) = self.processes.get_mut(&actor) else { return Ok(()) };
        let name = process.name.clone();
        let sent = process.hand_over(order, descriptors).await;
        sent.map_err(|error| unsupported_notify(&name, &error))
    }
}

/// An order that could not be given.
fn unsupported_notify(name: &str, error: &FrameError) -> Failure {
    let what = format!("cannot talk to {name}");
    match error {
        FrameError::Io(error) => Failure::system(&what, error),
        error => Failure::new(FailureKind::Bug, format!("{what}: {error}")),
    }
}

/// Where a process writes what it says while it runs: a daemon's log is launchd's until the end.
pub(super) fn log_of(daemons: Option<&Daemons>, folder: &RunFolder, part: ProcessSpec<'_>) -> PathBuf {
    match (daemons, part.name.parse()) {
        (Some(daemons), Ok(client)) if part.role == Role::Client => daemons.places().log(&client),
        _ => folder.logs().join(format!("{}.log", part.file)),
    }
}
