//! Clients, daemons and helpers that are started again after their death: a new process, number and trace under the same
//! name.
//!
//! A new process answers everything at once until every other client knows its threads: what it opened before
//! that would look like the workload's to them. Then it takes the behaviour that is due. A daemon takes no request in
//! until then, and a helper, which its client starts, is asked nothing.

use lab_model::{Actor, Role};
use lab_protocol::Order;
use lab_workload::{Participant, Restart, RestartStage};

use super::{
    controller::{Controller, ProcessSpec},
    helpers::helper_name,
    process::State,
};
use crate::Failure;

impl Controller {
    /// Takes each who is on its way back one step further, as far as that is possible now.
    pub(super) async fn advance_restarts(&mut self) -> Result<(), Failure> {
        for Restart { whom, stage } in self.restarts.take() {
            let stage = match stage {
                RestartStage::Due(at) if self.stopwatch.now() < at => Some(stage),
                RestartStage::Due(_) => Some(RestartStage::Starting(self.start_again(whom).await?)),
                RestartStage::Starting(actor) => self.announce_again(whom, actor).await?,
                RestartStage::Announced(actor) => self.behave_again(whom, actor).await?,
            };
            if let Some(stage) = stage {
                self.restarts.put_back(Restart { whom, stage });
            }
        }
        Ok(())
    }

    async fn start_again(&mut self, whom: Participant) -> Result<Actor, Failure> {
        let nth = self.restarts.next_process(whom);
        let actor = self.new_actor();
        match whom {
            Participant::Client(place) => {
                let id = self.plan.lab.clients[place].id.clone();
                self.progress.note(&format!("{id} is started again"));
                let (assignment, program) = self.client_assignment(place, actor)?;
                let part = ProcessSpec {
                    actor,
                    name: id.as_str(),
                    file: &format!("{id}.{nth}"),
                    role: Role::Client,
                };
                self.start(part, &program, assignment).await?;
                self.connect_client(place, actor).await?;
            }
            Participant::Daemon(place) => {
                let id = self.plan.lab.daemons[place].id.clone();
                self.progress.note(&format!("{id} is started again"));
                self.start_daemon(place, actor, &format!("{id}.{nth}")).await?;
            }
            Participant::Helper(client, number) => self.start_helper(client, number, actor).await?,
        }
        Ok(actor)
    }

    /// Once it is ready, the warden watches it and everybody is told of its threads.
    async fn announce_again(
        &mut self,
        whom: Participant,
        actor: Actor,
    ) -> Result<Option<RestartStage>, Failure> {
        let ready = match whom {
            // Its client is at it, and a client that dies takes this restart with it.
            Participant::Helper(..) => self.helpers.get(actor).map(|helper| helper.alive),
            Participant::Client(_) | Participant::Daemon(_) => {
                match self.processes.get(&actor).map(|process| process.state) {
                    Some(State::Starting) => None,
                    Some(State::Idle | State::Ordered) => Some(true),
                    Some(State::Closed | State::Ended(_)) | None => Some(false),
                }
            }
        };
        match ready {
            None => return Ok(Some(RestartStage::Starting(actor))),
            Some(true) => {}
            // It died in the attempt, and will not do better the next time.
            Some(false) => return Ok(None),
        }
        match whom {
            Participant::Client(_) => self.watch_client(actor)?,
            Participant::Daemon(place) => {
                self.watch_daemon(actor)?;
                self.connect_daemon(place, actor).await?;
            }
            Participant::Helper(..) => self.watch_helper(actor)?,
        }
        self.tell_participants().await?;
        Ok(Some(RestartStage::Announced(actor)))
    }

    /// Once everybody knows it, it takes the behaviour that is due. Who is stopped hears of it before it goes on.
    async fn behave_again(
        &mut self,
        whom: Participant,
        actor: Actor,
    ) -> Result<Option<RestartStage>, Failure> {
        let told = |process: &super::process::LabProcess| {
            process.state != State::Ordered || self.faults.planned.stands_still(&process.name, None)
        };
        if !self.processes.values().all(told) {
            return Ok(Some(RestartStage::Announced(actor)));
        }
        match whom {
            Participant::Client(place) if self.behaving => {
                let behavior = Box::new(self.behavior_due(place));
                self.order(actor, &Order::Behave { behavior }).await?;
                let helpers = self.helpers.living().filter(|(_, helper)| helper.client == actor);
                let helpers: Vec<_> = helpers.map(|(actor, helper)| (actor, helper.name.clone())).collect();
                for (helper, name) in helpers {
                    self.order_service(helper, &name).await?;
                }
            }
            Participant::Client(_) => {}
            Participant::Daemon(place) => {
                let name = self.plan.lab.daemons[place].id.to_string();
                self.order_service(actor, &name).await?;
                self.order(actor, &Order::Serve).await?;
            }
            Participant::Helper(client, number) => {
                let name = helper_name(&self.plan.lab.clients[client].id, number);
                let client = self.order_service(actor, &name).await?;
                self.order(client, &Order::Engage { helper: actor }).await?;
            }
        }
        Ok(None)
    }
}
