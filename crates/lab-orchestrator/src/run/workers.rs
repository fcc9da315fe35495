//! The workers outside the clients, as the controller starts them, connects clients with them, watches them and brings
//! them back.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use lab_model::{Actor, Client, Role};
use lab_protocol::{Assignment, HelperReady, HelpersAssignment, Order, Welcome, WorkerAssignment};
use lab_trace::ProcessMarkKind;
use lab_workload::Participant;

use super::{
    controller::{ANSWER_WITHIN, Controller, ProcessSpec},
    helpers::{asked_daemons, daemon_actors, first_helper, helper_file, helper_name},
    process::LabProcess,
};
use crate::Failure;

impl Controller {
    /// Starts the daemons: they are there before any client is.
    pub(super) async fn start_daemons(&mut self) -> Result<(), Failure> {
        let daemons: Vec<(String, Actor)> =
            daemon_actors(&self.plan.lab).map(|(daemon, actor)| (daemon.id.to_string(), actor)).collect();
        for (place, (id, actor)) in daemons.iter().enumerate() {
            self.start_daemon(place, *actor, id).await?;
        }
        self.all_settled(ANSWER_WITHIN, "become ready").await?;
        for (place, (_, actor)) in daemons.into_iter().enumerate() {
            self.watch_daemon(actor)?;
            self.connect_daemon(place, actor).await?;
        }
        Ok(())
    }

    /// Hands a client that has just been started its channels to the daemons that it asks and that run.
    pub(super) async fn connect_client(&mut self, place: usize, client: Actor) -> Result<(), Failure> {
        for asked in asked_daemons(&self.plan.lab, &self.plan.lab.clients[place]) {
            let daemon =
                self.processes.values().find(|one| one.reachable && one.alive() && one.name == asked.name);
            if let Some(daemon) = daemon.map(|daemon| daemon.actor) {
                self.connect(client, asked.actor, daemon).await?;
            }
        }
        Ok(())
    }

    /// Hands a daemon that is ready its channels, and their other ends to the clients that ask it and run.
    pub(super) async fn connect_daemon(&mut self, place: usize, daemon: Actor) -> Result<(), Failure> {
        let Some((_, first)) = daemon_actors(&self.plan.lab).nth(place) else { return Ok(()) };
        if let Some(process) = self.processes.get_mut(&daemon) {
            process.reachable = true;
        }
        let asks = |process: &LabProcess| {
            let client = self.plan.lab.clients.iter().find(|client| client.id.as_str() == process.name);
            let mut asked = client.into_iter().flat_map(|client| asked_daemons(&self.plan.lab, client));
            process.role == Role::Client && process.alive() && asked.any(|asked| asked.actor == first)
        };
        let clients = self.processes.values().filter(|process| asks(process));
        let clients: Vec<Actor> = clients.map(|process| process.actor).collect();
        for client in clients {
            self.connect(client, first, daemon).await?;
        }
        Ok(())
    }

    /// Makes channels between a client and a daemon, as many as it works on requests at once, and hands their ends
    /// over. They have no name, and nobody else ever holds one.
    async fn connect(&mut self, client: Actor, first: Actor, daemon: Actor) -> Result<(), Failure> {
        let process = self.processes.get(&daemon).map(|process| process.name.clone()).unwrap_or_default();
        let described = self.plan.lab.daemons.iter().find(|one| one.id.as_str() == process);
        let Some(channels) = described.map(|daemon| daemon.workers) else { return Ok(()) };
        let pairs = (0..channels).map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>();
        let pairs = pairs.map_err(|error| Failure::output("cannot make a channel to a daemon", &error))?;
        let (asking, asked): (Vec<OwnedFd>, Vec<OwnedFd>) =
            pairs.into_iter().map(|(asking, asked)| (OwnedFd::from(asking), OwnedFd::from(asked))).unzip();
        self.hand_over(daemon, &Order::Connect { with: client, channels }, &asked).await?;
        self.hand_over(client, &Order::Connect { with: first, channels }, &asking).await
    }

    /// Starts one process of a daemon, whose trace and log are called `file`.
    pub(super) async fn start_daemon(
        &mut self,
        place: usize,
        actor: Actor,
        file: &str,
    ) -> Result<(), Failure> {
        let daemon = self.plan.lab.daemons[place].clone();
        let assignment = Assignment::Worker(WorkerAssignment {
            client: None,
            workers: daemon.workers,
            errand: daemon.errand,
            workload: self.plan.lab.workload.clone(),
        });
        let program = self.plan.worker.clone();
        let part = ProcessSpec { actor, name: daemon.id.as_str(), file, role: Role::Daemon };
        self.start(part, &program, assignment).await
    }

    pub(super) fn watch_daemon(&mut self, actor: Actor) -> Result<(), Failure> {
        let Some(process) = self.processes.get(&actor) else { return Ok(()) };
        self.warden
            .watch_worker(actor, &self.folder.trace(&process.file))
            .map_err(|error| Failure::output(&format!("cannot watch {}", process.name), &error))
    }

    /// Has the daemons carry out what they are asked, now that everybody knows their threads.
    pub(super) async fn open_daemons(&mut self) -> Result<(), Failure> {
        let daemons: Vec<Actor> = self
            .processes
            .values()
            .filter(|process| process.role == Role::Daemon)
            .map(|one| one.actor)
            .collect();
        for actor in daemons {
            self.order(actor, &Order::Serve).await?;
        }
        self.all_settled(ANSWER_WITHIN, "take requests in").await
    }

    /// What a client is told of the helpers that it is to start.
    pub(super) fn helpers_of(&mut self, place: usize, actor: Actor) -> Option<HelpersAssignment> {
        let client = self.plan.lab.clients[place].clone();
        let helpers = client.behavior.helpers?;
        let (_, program) = self.plan.helpers.iter().find(|(id, _)| *id == client.id)?;
        let program = program.display().to_string();
        let first = self.restarts.process(Participant::Client(place)) == 1;
        let first = first.then(|| first_helper(&self.plan.lab, &client.id).0);
        let welcome = |number: u16| {
            // Those that come back with their client have numbers that nobody has had.
            let helper = match first {
                Some(first) => Actor(first + number),
                None => {
                    self.restarts.next_process(Participant::Helper(place, number));
                    self.new_actor()
                }
            };
            self.helper_welcome((place, number), helper, actor)
        };
        Some(HelpersAssignment { program, welcomes: (0..helpers.count).filter_map(welcome).collect() })
    }

    /// What the latest process of a client's helper is told first.
    fn helper_welcome(&self, (place, number): (usize, u16), helper: Actor, client: Actor) -> Option<Welcome> {
        let Client { id, behavior, .. } = &self.plan.lab.clients[place];
        let assignment = Assignment::Worker(WorkerAssignment {
            client: Some(client),
            workers: 1,
            errand: behavior.helpers?.errand,
            workload: self.plan.lab.workload.clone(),
        });
        let nth = self.restarts.process(Participant::Helper(place, number));
        let (name, file) = (helper_name(id, number), helper_file(id, number, nth));
        let part = ProcessSpec { actor: helper, name: &name, file: &file, role: Role::Helper };
        Some(self.welcome(part, assignment))
    }

    /// Has a client start one of its helpers again.
    pub(super) async fn start_helper(
        &mut self,
        place: usize,
        number: u16,
        actor: Actor,
    ) -> Result<(), Failure> {
        let id = self.plan.lab.clients[place].id.clone();
        self.progress.note(&format!("{} is started again", helper_name(&id, number)));
        let alive = |process: &&LabProcess| process.name == id.as_str() && process.alive();
        let Some(client) = self.processes.values().find(alive).map(|process| process.actor) else {
            return Ok(());
        };
        let Some(welcome) = self.helper_welcome((place, number), actor, client) else { return Ok(()) };
        self.helpers.expect(actor, number);
        self.order(client, &Order::StartHelper { welcome: Box::new(welcome) }).await
    }

    /// Takes in what a client says of helpers that it has started.
    pub(super) fn helpers_ready(&mut self, client: Actor, ready: &[HelperReady]) {
        for (helper, number) in ready.iter().zip(0..) {
            self.helper_ready(client, number, helper);
        }
    }

    /// A client has started a helper again.
    pub(super) fn helper_started(&mut self, client: Actor, helper: &HelperReady) {
        if let Some(number) = self.helpers.expected(helper.actor) {
            self.helper_ready(client, number, helper);
        }
    }

    fn helper_ready(&mut self, client: Actor, number: u16, ready: &HelperReady) {
        let Some(process) = self.processes.get(&client) else { return };
        let Some(Participant::Client(place)) = Participant::named(&self.plan.lab, &process.name) else {
            return;
        };
        let nth = self.restarts.process(Participant::Helper(place, number));
        self.helpers.ready(client, &self.plan.lab.clients[place].id, (number, nth), ready);
        self.mark(ready.actor, ProcessMarkKind::Started, ready.pid, 0);
        self.mark(ready.actor, ProcessMarkKind::Ready, ready.pid, 0);
    }

    /// Watches the helpers of a client that is ready.
    pub(super) fn watch_helpers(&mut self, client: Actor) -> Result<(), Failure> {
        let helpers = self.helpers.living().filter(|(_, helper)| helper.client == client);
        let helpers: Vec<Actor> = helpers.map(|(actor, _)| actor).collect();
        helpers.into_iter().try_for_each(|helper| self.watch_helper(helper))
    }

    pub(super) fn watch_helper(&mut self, actor: Actor) -> Result<(), Failure> {
        let Some(helper) = self.helpers.get(actor) else { return Ok(()) };
        self.warden
            .watch_worker(actor, &self.folder.trace(&helper.file))
            .map_err(|error| Failure::output(&format!("cannot watch {}", helper.name), &error))
    }
}
