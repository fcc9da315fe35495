//! Clients, daemons and helpers that are started again after their death: a new process, number and trace under the same
//! name.
//!
//! A new process answers everything at once until every other client knows its threads: what it opened before
//! that would look like the workload's to them. Then it takes the behaviour that is due. A daemon takes no request in
//! until then, and a helper, which its client starts, is asked nothing.

use std::collections::BTreeMap;

use lab_model::{Actor, Behavior, Lab, PlannedFault, Role, Span};
use lab_protocol::Order;
use tokio::time::Instant;

use super::{
    conductor::{Conductor, Part},
    helpers::helper_name,
    process::State,
};
use crate::Failure;

/// The processes that one client, daemon or helper may have in a run.
const INCARNATIONS_MAX: u32 = 1000;

/// Who can come back, by its place in the lab. Helpers come back with their client, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Returning {
    Client(usize),
    Daemon(usize),
    /// The client's place, and the number of the helper among its, from 0.
    Helper(usize, u16),
}

impl Returning {
    /// The one of this name.
    pub(super) fn named(lab: &Lab, name: &str) -> Option<Returning> {
        let client = |name: &str| lab.clients.iter().position(|client| client.id.as_str() == name);
        let daemon = || lab.daemons.iter().position(|daemon| daemon.id.as_str() == name);
        let helper = || {
            let (of, number) = PlannedFault::helper_of(name)?;
            Some(Returning::Helper(client(of)?, number.checked_sub(1)?))
        };
        client(name).map(Returning::Client).or_else(|| daemon().map(Returning::Daemon)).or_else(helper)
    }
}

/// Somebody on its way back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Comeback {
    whom: Returning,
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

/// All who are on their way back, and how many processes each has had.
#[derive(Debug, Default)]
pub(super) struct Comebacks {
    list: Vec<Comeback>,
    incarnations: BTreeMap<Returning, u32>,
    /// Whether somebody that dies comes back at all: not before all have started, and not at the end.
    pub(super) allowed: bool,
}

impl Comebacks {
    /// The how manieth process the latest is.
    pub(super) fn incarnation(&self, whom: Returning) -> u32 {
        self.incarnations.get(&whom).copied().unwrap_or(1)
    }

    /// It gets one process more, the how manieth of which is returned.
    pub(super) fn count_one_more(&mut self, whom: Returning) -> u32 {
        let nth = self.incarnation(whom) + 1;
        self.incarnations.insert(whom, nth);
        nth
    }

    /// A client has died: nobody is left to start its helpers again, and who starts it starts them all.
    pub(super) fn client_died(&mut self, client: usize) {
        self.list.retain(|comeback| !matches!(comeback.whom, Returning::Helper(of, _) if of == client));
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

    /// Somebody has died; it comes back after a while.
    pub(super) fn plan(&mut self, whom: Returning, after: Span) {
        self.list.retain(|comeback| comeback.whom != whom);
        if self.allowed && self.incarnation(whom) < INCARNATIONS_MAX {
            let stage = Stage::Due(Instant::now() + after.duration());
            self.list.push(Comeback { whom, stage });
        }
    }

    /// True when somebody is on its way back.
    pub(super) fn expects(&self, whom: Returning) -> bool {
        self.list.iter().any(|comeback| comeback.whom == whom)
    }

    /// Nobody comes back any more.
    pub(super) fn stop(&mut self) {
        self.allowed = false;
        self.list.clear();
    }
}

impl Conductor {
    /// Takes each who is on its way back one step further, as far as that is possible now.
    pub(super) async fn bring_back(&mut self) -> Result<(), Failure> {
        for comeback in std::mem::take(&mut self.comebacks.list) {
            let stage = match comeback.stage {
                Stage::Due(at) if Instant::now() < at => Some(comeback.stage),
                Stage::Due(_) => Some(Stage::Starting(self.start_again(comeback.whom).await?)),
                Stage::Starting(actor) => self.announce_again(comeback.whom, actor).await?,
                Stage::Announced(actor) => self.behave_again(comeback.whom, actor).await?,
            };
            if let Some(stage) = stage {
                self.comebacks.list.push(Comeback { stage, ..comeback });
            }
        }
        Ok(())
    }

    async fn start_again(&mut self, whom: Returning) -> Result<Actor, Failure> {
        let nth = self.comebacks.count_one_more(whom);
        let actor = self.new_actor();
        match whom {
            Returning::Client(place) => {
                let id = self.plan.lab.clients[place].id.clone();
                self.progress.note(&format!("{id} is started again"));
                let (assignment, program) = self.client_assignment(place, actor)?;
                let part =
                    Part { actor, name: id.as_str(), file: &format!("{id}.{nth}"), role: Role::Client };
                self.start(part, &program, assignment).await?;
                self.connect_client(place, actor).await?;
            }
            Returning::Daemon(place) => {
                let id = self.plan.lab.daemons[place].id.clone();
                self.progress.note(&format!("{id} is started again"));
                self.start_daemon(place, actor, &format!("{id}.{nth}")).await?;
            }
            Returning::Helper(client, number) => self.start_helper(client, number, actor).await?,
        }
        Ok(actor)
    }

    /// Once it is ready, the warden watches it and everybody is told of its threads.
    async fn announce_again(&mut self, whom: Returning, actor: Actor) -> Result<Option<Stage>, Failure> {
        let ready = match whom {
            // Its client is at it, and a client that dies takes this comeback with it.
            Returning::Helper(..) => self.helpers.get(actor).map(|helper| helper.alive),
            Returning::Client(_) | Returning::Daemon(_) => {
                match self.processes.get(&actor).map(|process| process.state) {
                    Some(State::Starting) => None,
                    Some(State::Idle | State::Ordered) => Some(true),
                    Some(State::Closed | State::Ended(_)) | None => Some(false),
                }
            }
        };
        match ready {
            None => return Ok(Some(Stage::Starting(actor))),
            Some(true) => {}
            // It died in the attempt, and will not do better the next time.
            Some(false) => return Ok(None),
        }
        match whom {
            Returning::Client(_) => self.watch_client(actor)?,
            Returning::Daemon(place) => {
                self.watch_daemon(actor)?;
                self.connect_daemon(place, actor).await?;
            }
            Returning::Helper(..) => self.watch_helper(actor)?,
        }
        self.tell_participants().await?;
        Ok(Some(Stage::Announced(actor)))
    }

    /// Once everybody knows it, it takes the behaviour that is due. Who is stopped hears of it before it goes on.
    async fn behave_again(&mut self, whom: Returning, actor: Actor) -> Result<Option<Stage>, Failure> {
        let told = |process: &super::process::LabProcess| {
            process.state != State::Ordered || self.faults.stalls(process.actor)
        };
        if !self.processes.values().all(told) {
            return Ok(Some(Stage::Announced(actor)));
        }
        match whom {
            Returning::Client(place) if self.behaving => {
                let behavior = Box::new(self.behavior_due(place));
                self.order(actor, &Order::Behave { behavior }).await?;
                let helpers = self.helpers.living().filter(|(_, helper)| helper.client == actor);
                let helpers: Vec<_> = helpers.map(|(actor, helper)| (actor, helper.name.clone())).collect();
                for (helper, name) in helpers {
                    self.order_service(helper, &name).await?;
                }
            }
            Returning::Client(_) => {}
            Returning::Daemon(place) => {
                let name = self.plan.lab.daemons[place].id.to_string();
                self.order_service(actor, &name).await?;
                self.order(actor, &Order::Serve).await?;
            }
            Returning::Helper(client, number) => {
                let name = helper_name(&self.plan.lab.clients[client].id, number);
                let client = self.order_service(actor, &name).await?;
                self.order(client, &Order::Engage { helper: actor }).await?;
            }
        }
        Ok(None)
    }

    /// How a client is to behave now.
    pub(super) fn behavior_due(&self, client: usize) -> Behavior {
        let client = &self.plan.lab.clients[client];
        self.faults.behavior(&self.plan.lab, client)
    }
}
