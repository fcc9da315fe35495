//! Coming to rest, and the end of every process.

use std::time::Duration;

use lab_model::{Actor, Behavior};
use lab_process::clock;
use lab_protocol::Order;
use tokio::time::Instant;

use super::{
    controller::Controller,
    process::{LabProcess, State},
};
use crate::Failure;

/// How long a process may take to close its trace before it is killed.
pub(super) const FINISH_WITHIN: Duration = Duration::from_secs(5);
/// A lab is at rest when nothing has happened for this long.
pub(super) const QUIET_FOR: Duration = Duration::from_millis(150);
/// How long the end of a run waits to hear why its daemons died.
const EXPLAINED_WITHIN: Duration = Duration::from_secs(10);
/// How long clients may take to come to rest at the end.
const QUIESCE_WITHIN: Duration = Duration::from_secs(1);
/// How long events are waited for before it is asked again whether the wait is over.
const PUMP_WITHIN: Duration = Duration::from_millis(20);

/// Ends all reactions, so that clients which feed each other come to rest before their traces are closed.
pub(super) async fn quiesce(lab: &mut Controller) -> Result<(), Failure> {
    let clients: Vec<(Actor, Behavior)> = lab
        .processes
        .clients()
        .map(|process| {
            let mut clients = lab.context.lab().clients.iter();
            let client = clients.find(|client| client.id.as_str() == process.name());
            let behavior = client.map_or_else(Behavior::noop, |client| client.behavior.without_reactions());
            (process.actor(), behavior)
        })
        .collect();
    for (actor, behavior) in clients {
        lab.processes.order(actor, &Order::Behave { behavior: Box::new(behavior) }).await?;
    }
    lab.until(Some(QUIESCE_WITHIN), None, |lab| {
        let settled = lab.processes.iter().all(|process| process.state() != State::Ordered);
        settled && lab.snapshot().is_idle()
    })
    .await;
    lab.until(Some(QUIET_FOR), None, |_| false).await;
    Ok(())
}

/// Lets every process close its trace and end; kills who does not.
pub(super) async fn finish(lab: &mut Controller) {
    lab.progress.begin("finish", "closing the traces", lab.snapshot());
    lab.end_looks();
    lab.end_waits();
    finish_externals(lab).await;
    lab.lifecycle.finish();
    let actors: Vec<Actor> = lab.processes.iter().map(LabProcess::actor).collect();
    for actor in actors {
        // Whoever cannot be told is killed below.
        drop(lab.processes.order(actor, &Order::Finish).await);
    }
    let until = Instant::now() + FINISH_WITHIN;
    while !lab.processes.all_ended() && Instant::now() < until {
        lab.lifecycle.forget_all_but_interruption();
        lab.pump(PUMP_WITHIN).await;
    }
    lab.processes.kill_all();
    pump_until(lab, FINISH_WITHIN, |lab| lab.processes.all_ended()).await;
    pump_until(lab, EXPLAINED_WITHIN, |lab| lab.processes.all_explained()).await;
    lab.processes.take_daemons_away(&lab.context);
    if let Err(error) = lab.context.trace().close(clock::now()) {
        tracing::warn!("the orchestrator's trace keeps its unused end: {error}");
    }
}

/// Lets the products end while the clients still answer, and kills what does not.
async fn finish_externals(lab: &mut Controller) {
    if lab.externals.is_empty() {
        return;
    }
    lab.externals.ask_to_end();
    pump_until(lab, FINISH_WITHIN, |lab| lab.externals.gone()).await;
    for name in lab.externals.end() {
        lab.progress.note(&format!("{name} did not end when asked and is killed"));
    }
    pump_until(lab, FINISH_WITHIN, |lab| lab.externals.gone()).await;
}

/// Takes events in until the condition holds, at most for this long. Nobody is watched any more.
async fn pump_until(lab: &mut Controller, within: Duration, condition: impl Fn(&Controller) -> bool) {
    let until = Instant::now() + within;
    while !condition(lab) && Instant::now() < until {
        lab.pump(PUMP_WITHIN).await;
    }
}
