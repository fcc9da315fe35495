//! The workers outside the clients, as the conductor starts them, watches them and brings them back.

use lab_model::{Actor, Role};
use lab_protocol::{Assignment, HelperReady, HelpersAssignment, Order, WorkerAssignment};
use lab_trace::ProcessMarkKind;

use super::{
    comeback::Returning,
    conductor::{ANSWER_WITHIN, Conductor, Part},
    helpers::{daemon_actors, first_helper, helper_file, helper_name, socket},
};
use crate::Failure;

impl Conductor {
    /// Starts the daemons: they can be connected to before any client is there.
    pub(super) async fn start_daemons(&mut self) -> Result<(), Failure> {
        let daemons: Vec<(String, Actor)> =
            daemon_actors(&self.plan.lab).map(|(daemon, actor)| (daemon.id.to_string(), actor)).collect();
        for (place, (id, actor)) in daemons.iter().enumerate() {
            self.start_daemon(place, *actor, id).await?;
        }
        self.all_settled(ANSWER_WITHIN, "become ready").await?;
        for (_, actor) in daemons {
            self.watch_daemon(actor)?;
        }
        Ok(())
    }

    /// Starts one process of a daemon, whose trace and log are called `file`.
    pub(super) async fn start_daemon(
        &mut self,
        place: usize,
        actor: Actor,
        file: &str,
    ) -> Result<(), Failure> {
        let daemon = self.plan.lab.daemons[place].clone();
        // Where the clients look for it, whichever of its processes it is.
        let address = daemon_actors(&self.plan.lab).nth(place).map(|(_, first)| first);
        let assignment = Assignment::Worker(WorkerAssignment {
            client: None,
            listen: address.map(|first| socket(&self.socket_salt(), first)),
            workers: daemon.workers,
            errand: daemon.errand,
            workload: self.plan.lab.workload.clone(),
        });
        let program = self.plan.worker.clone();
        let part = Part { actor, name: daemon.id.as_str(), file, role: Role::Daemon };
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
        let nth = self.comebacks.incarnation(Returning::Client(place));
        let first = first_helper(&self.plan.lab, &client.id).0;
        let welcome = |number: u16| {
            let assignment = Assignment::Worker(WorkerAssignment {
                client: Some(actor),
                listen: None,
                workers: 1,
                errand: helpers.errand,
                workload: self.plan.lab.workload.clone(),
            });
            // Those that come back with their client have numbers that nobody has had.
            let helper = if nth == 1 { Actor(first + number) } else { self.new_actor() };
            let (name, file) = (helper_name(&client.id, number), helper_file(&client.id, number, nth));
            let part = Part { actor: helper, name: &name, file: &file, role: Role::Helper };
            self.welcome(part, assignment)
        };
        Some(HelpersAssignment { program, welcomes: (0..helpers.count).map(welcome).collect() })
    }

    pub(super) fn helpers_ready(&mut self, client: Actor, ready: &[HelperReady]) {
        let Some(process) = self.processes.get(&client) else { return };
        let Some(Returning::Client(place)) = Returning::named(&self.plan.lab, &process.name) else { return };
        let nth = self.comebacks.incarnation(Returning::Client(place));
        self.helpers.ready(client, &self.plan.lab.clients[place].id, nth, ready);
        for helper in ready {
            self.mark(helper.actor, ProcessMarkKind::Started, helper.pid, 0);
            self.mark(helper.actor, ProcessMarkKind::Ready, helper.pid, 0);
        }
    }

    /// Watches the helpers of a client that is ready.
    pub(super) fn watch_helpers(&mut self, client: Actor) -> Result<(), Failure> {
        for (actor, helper) in self.helpers.living().filter(|(_, helper)| helper.client == client) {
            self.warden
                .watch_worker(actor, &self.folder.trace(&helper.file))
                .map_err(|error| Failure::output(&format!("cannot watch {}", helper.name), &error))?;
        }
        Ok(())
    }

    /// What tells the sockets of this run from those of any other on the machine.
    pub(super) fn socket_salt(&self) -> String {
        format!("{:x}-{:x}", self.began.0, self.salt)
    }
}
