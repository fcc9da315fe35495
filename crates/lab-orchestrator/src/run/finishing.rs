//! Coming to rest, and the end of every process.

use std::time::Duration;

use lab_model::{Actor, Behavior};
use lab_process::clock;
use lab_protocol::Order;
use tokio::time::Instant;

use super::{
    controller::{Controller, FINISH_WITHIN, QUIET_FOR},
    ending::end,
    process::State,
};
use crate::{Failure, FailureKind};

/// How long the end of a run waits to hear why its daemons died.
const EXPLAINED_WITHIN: Duration = Duration::from_secs(10);
/// How long clients may take to come to rest at the end.
const QUIESCE_WITHIN: Duration = Duration::from_secs(1);

impl Controller {
    /// Ends all reactions, so that clients which feed each other come to rest before their traces are closed.
    pub(super) async fn quiesce(&mut self) -> Result<(), Failure> {
        for actor in self.clients().collect::<Vec<_>>() {
            let name = self.processes.get(&actor).map(|process| process.name.as_str());
            let client = self.plan.lab.clients.iter().find(|client| Some(client.id.as_str()) == name);
            let behavior = client.map_or_else(Behavior::noop, |client| client.behavior.without_reactions());
            self.order(actor, &Order::Behave { behavior: Box::new(behavior) }).await?;
        }
        self.until(Some(QUIESCE_WITHIN), None, |controller| {
            let settled = controller.processes.values().all(|process| process.state != State::Ordered);
            settled && controller.warden.snapshot().is_idle()
        })
        .await;
        self.until(Some(QUIET_FOR), None, |_| false).await;
        Ok(())
    }

    /// Lets every process close its trace and end; kills who does not.
    pub(super) async fn finish(&mut self) {
        self.progress.begin("finish", "closing the traces", self.warden.snapshot());
        self.note_gap(clock::now());
        self.looked = None;
        self.finish_externals().await;
        self.finishing = true;
        let actors: Vec<Actor> = self.processes.keys().copied().collect();
        for actor in actors {
            // Whoever cannot be told is killed below.
            drop(self.order(actor, &Order::Finish).await);
        }
        let gone = |controller: &Controller| {
            let ended = controller.processes.values().all(|process| matches!(process.state, State::Ended(_)));
            ended && controller.helpers.all_ended()
        };
        let until = Instant::now() + FINISH_WITHIN;
        while !gone(self) && Instant::now() < until {
            self.stopped = self.stopped.filter(|kind| *kind == FailureKind::Interrupted);
            self.pump(Duration::from_millis(20)).await;
        }
        for process in self.processes.values().filter(|process| !matches!(process.state, State::Ended(_))) {
            end(process.pid);
            self.killed.insert(process.actor);
        }
        let until = Instant::now() + FINISH_WITHIN;
        while !gone(self) && Instant::now() < until {
            self.pump(Duration::from_millis(20)).await;
        }
        self.take_daemons_away().await;
        if let Err(error) = self.trace.close(clock::now()) {
            tracing::warn!("the orchestrator's trace keeps its unused end: {error}");
        }
    }

    /// Lets the products end while the clients still answer, and kills what does not.
    pub(super) async fn finish_externals(&mut self) {
        if self.externals.is_empty() {
            return;
        }
        self.externals.ask_to_end();
        let until = Instant::now() + FINISH_WITHIN;
        while !self.externals.gone() && Instant::now() < until {
            self.pump(Duration::from_millis(20)).await;
        }
        for name in self.externals.end() {
            self.progress.note(&format!("{name} did not end when asked and is killed"));
        }
        let until = Instant::now() + FINISH_WITHIN;
        while !self.externals.gone() && Instant::now() < until {
            self.pump(Duration::from_millis(20)).await;
        }
    }

    /// Hears why daemons died, keeps what they said, and takes them away, whatever state they are in.
    pub(super) async fn take_daemons_away(&mut self) {
        let Some(daemons) = self.daemons.clone() else { return };
        let until = Instant::now() + EXPLAINED_WITHIN;
        while !self.unexplained.is_empty() && Instant::now() < until {
            self.pump(Duration::from_millis(20)).await;
        }
        for client in &self.plan.lab.clients {
            let log = self.folder.logs().join(format!("{}.log", client.id));
            if let Err(error) = daemons.keep_log(&client.id, &log) {
                tracing::warn!("the log of {} is not kept: {error}", client.id);
            }
        }
        if let Err(error) = daemons.uninstall() {
            tracing::warn!("`lab down` has to take the clients away: {error}");
        }
    }
}
