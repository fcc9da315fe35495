//! Clients that are started again after their death: a new process, number and trace under the same ID.
//!
//! A new process answers everything at once until every other client knows its threads: what it opened before
//! that would look like the workload's to them. Then it takes the behaviour that is due.

use lab_model::{Actor, Behavior, Role, Span};
use lab_protocol::Order;
use tokio::time::Instant;

use super::{
    conductor::{Conductor, Part},
    process::State,
};
use crate::Failure;

/// The processes that one client may have in a run.
const INCARNATIONS_MAX: u32 = 1000;

/// A client on its way back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comeback {
    /// Its place in the lab.
    client: usize,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It is started at this time.
    Due(Instant),
    /// Its process sets itself up.
    Starting(Actor),
    /// The others learn of it.
    Announced(Actor),
}

/// All clients on their way back, and how many processes each has had.
#[derive(Debug, Default)]
pub(super) struct Comebacks {
    list: Vec<Comeback>,
    incarnations: Vec<u32>,
    /// Whether a client that dies comes back at all: not before all have started, and not at the end.
    pub(super) allowed: bool,
}

impl Comebacks {
    pub(super) fn of(clients: usize) -> Comebacks {
        Comebacks { list: Vec::new(), incarnations: vec![1; clients], allowed: false }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// When the next one is started.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = |comeback: &Comeback| match comeback.stage {
            Stage::Due(at) => Some(at),
            Stage::Starting(_) | Stage::Announced(_) => None,
        };
        self.list.iter().filter_map(due).min()
    }

    /// A client has died; it comes back after a while.
    pub(super) fn plan(&mut self, client: usize, after: Span) {
        self.list.retain(|comeback| comeback.client != client);
        if self.allowed && self.incarnations[client] < INCARNATIONS_MAX {
            let stage = Stage::Due(Instant::now() + after.duration());
            self.list.push(Comeback { client, stage });
        }
    }

    /// True when a client is on its way back.
    pub(super) fn expects(&self, client: usize) -> bool {
        self.list.iter().any(|comeback| comeback.client == client)
    }

    /// Nobody comes back any more.
    pub(super) fn stop(&mut self) {
        self.allowed = false;
        self.list.clear();
    }
}

impl Conductor {
    /// Takes each client that is on its way back one step further, as far as that is possible now.
    pub(super) async fn bring_back(&mut self) -> Result<(), Failure> {
        for comeback in std::mem::take(&mut self.comebacks.list) {
            let stage = match comeback.stage {
                Stage::Due(at) if Instant::now() < at => Some(comeback.stage),
                Stage::Due(_) => Some(Stage::Starting(self.start_again(comeback.client).await?)),
                Stage::Starting(actor) => self.announce_again(actor).await?,
                Stage::Announced(actor) => self.behave_again(comeback.client, actor).await?,
            };
            if let Some(stage) = stage {
                self.comebacks.list.push(Comeback { stage, ..comeback });
            }
        }
        Ok(())
    }

    async fn start_again(&mut self, client: usize) -> Result<Actor, Failure> {
        let id = self.plan.lab.clients[client].id.clone();
        self.comebacks.incarnations[client] += 1;
        let nth = self.comebacks.incarnations[client];
        let actor = self.new_actor();
        let (assignment, program) = self.client_assignment(client, actor)?;
        let file = format!("{id}.{nth}");
        self.progress.note(&format!("{id} is started again"));
        let part = Part { actor, name: id.as_str(), file: &file, role: Role::Client };
        self.start(part, &program, assignment).await?;
        Ok(actor)
    }

    /// Once it is ready, the warden watches it and everybody is told of its threads.
    async fn announce_again(&mut self, actor: Actor) -> Result<Option<Stage>, Failure> {
        match self.processes.get(&actor).map(|process| process.state) {
            Some(State::Starting) => return Ok(Some(Stage::Starting(actor))),
            Some(State::Idle | State::Ordered) => {}
            // It died in the attempt, and will not do better the next time.
            Some(State::Closed | State::Ended(_)) | None => return Ok(None),
        }
        self.watch_client(actor)?;
        self.tell_participants().await?;
        Ok(Some(Stage::Announced(actor)))
    }

    /// Once everybody knows it, it takes the behaviour that is due. Who is stopped hears of it before it goes on.
    async fn behave_again(&mut self, client: usize, actor: Actor) -> Result<Option<Stage>, Failure> {
        let told = |process: &super::process::LabProcess| {
            process.state != State::Ordered || self.faults.stalls(process.actor)
        };
        if !self.processes.values().all(told) {
            return Ok(Some(Stage::Announced(actor)));
        }
        if self.behaving {
            let behavior = Box::new(self.behavior_due(client));
            self.order(actor, &Order::Behave { behavior }).await?;
        }
        Ok(None)
    }

    /// How a client is to behave now.
    pub(super) fn behavior_due(&self, client: usize) -> Behavior {
        let client = &self.plan.lab.clients[client];
        self.faults.behavior(&self.plan.lab, client)
    }
}
