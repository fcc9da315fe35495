//! Starting what a lab is made of, and waiting until each is ready and knows of the others.

use std::time::Duration;

use lab_model::Actor;
use lab_protocol::Order;

use super::{
    actors::{FIRST_CLIENT, daemon_actors},
    channels::connect_daemon,
    controller::{Controller, WaitOutcome},
    participants::{self, watch_client, watch_daemon},
    process::LabProcess,
};
use crate::{Failure, FailureKind};

/// How long a process may take to become ready, or to follow an order that has nothing to wait for.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

pub(super) async fn start_driver(lab: &mut Controller) -> Result<(), Failure> {
    participants::start_driver(&lab.context, &mut lab.processes).await?;
    all_settled(lab, "become ready").await?;
    let trace = lab.context.folder().trace("driver");
    lab.warden.watch_driver(&trace).map_err(|error| Failure::output("cannot watch the driver", &error))
}

/// Starts all clients at once, unless they run already.
pub(super) async fn start_clients(lab: &mut Controller) -> Result<(), Failure> {
    if lab.processes.clients().next().is_some() {
        return Ok(());
    }
    start_daemons(lab).await?;
    let count = lab.context.lab().clients.len();
    let several = if count == 1 { "" } else { "s" };
    lab.progress.begin("start", &format!("{count} client{several}"), lab.snapshot());
    for (place, number) in (0..count).zip(FIRST_CLIENT..) {
        let Controller { context, processes, restarts, .. } = lab;
        participants::start_client(context, processes, restarts, place, Actor(number)).await?;
    }
    all_settled(lab, "become ready").await?;
    let clients: Vec<Actor> = lab.processes.clients().map(LabProcess::actor).collect();
    for client in clients {
        watch_client(&lab.context, &lab.processes, &mut lab.warden, client)?;
    }
    // From here on somebody watches: what keeps the next look off is a gap.
    lab.watch();
    announce(lab).await?;
    open_daemons(lab).await?;
    lab.restarts.allow();
    Ok(())
}

/// Starts the daemons: they are there before any client is.
async fn start_daemons(lab: &mut Controller) -> Result<(), Failure> {
    let daemons: Vec<Actor> = daemon_actors(lab.context.lab()).map(|(_, actor)| actor).collect();
    for (place, &actor) in daemons.iter().enumerate() {
        let Controller { context, processes, restarts, .. } = lab;
        participants::start_daemon(context, processes, restarts, place, actor).await?;
    }
    all_settled(lab, "become ready").await?;
    for (place, actor) in daemons.into_iter().enumerate() {
        watch_daemon(&lab.context, &lab.processes, &mut lab.warden, actor)?;
        connect_daemon(lab.context.lab(), &mut lab.processes, place, actor).await?;
    }
    Ok(())
}

/// Has the daemons carry out what they are asked, now that everybody knows their threads.
async fn open_daemons(lab: &mut Controller) -> Result<(), Failure> {
    let daemons = lab.processes.iter().filter(|process| process.is_daemon());
    let daemons: Vec<Actor> = daemons.map(LabProcess::actor).collect();
    for actor in daemons {
        lab.processes.order(actor, &Order::Serve).await?;
    }
    all_settled(lab, "take requests in").await
}

/// Starts the products under test, unless they run already, and waits until they take part.
pub(super) async fn start_externals(lab: &mut Controller) -> Result<(), Failure> {
    if !lab.externals.start(lab.context.trace(), lab.context.events())? {
        return Ok(());
    }
    lab.progress.begin("start", "the products beside the clients", lab.snapshot());
    let within = lab.externals.ready_within();
    lab.until(Some(within), None, |lab| lab.lifecycle.is_stopped() || lab.externals.settled()).await;
    if lab.lifecycle.is_stopped() {
        return Ok(());
    }
    lab.externals.require_ready()?;
    announce(lab).await
}

/// Gives every client the behaviour of the lab file.
pub(super) async fn behave(lab: &mut Controller) -> Result<(), Failure> {
    lab.lifecycle.behave();
    for place in 0..lab.context.lab().clients.len() {
        let name = lab.context.lab().clients[place].id.as_str();
        if let Some(actor) = lab.processes.living(name).map(LabProcess::actor) {
            lab.order_behavior(actor, place).await?;
        }
    }
    all_settled(lab, "change their behaviour").await
}

/// Tells every client which threads belong to whom, and waits until all know.
async fn announce(lab: &mut Controller) -> Result<(), Failure> {
    lab.tell_participants().await?;
    all_settled(lab, "learn of the others").await
}

/// Waits until every process has carried out its orders, which are to do `what`.
async fn all_settled(lab: &mut Controller, what: &str) -> Result<(), Failure> {
    let settled = |lab: &Controller| lab.processes.iter().all(LabProcess::is_settled);
    let waited = lab.until(Some(ANSWER_WITHIN), None, |lab| lab.lifecycle.is_stopped() || settled(lab)).await;
    let mut processes = lab.processes.iter();
    if let Some(failure) = processes.find_map(|process| Some(process.failure()?.of(process.name()))) {
        return Err(failure);
    }
    match waited {
        WaitOutcome::Met | WaitOutcome::Stopped => match lab.lifecycle.stopped() {
            Some(FailureKind::Interrupted) if !settled(lab) => {
                Err(Failure::new(FailureKind::Interrupted, "interrupted"))
            }
            Some(kind) if !settled(lab) => {
                Err(Failure::new(kind, format!("a process did not {what} in time")))
            }
            _ => Ok(()),
        },
        WaitOutcome::TimedOut => {
            let slow = lab.processes.iter().find(|process| !process.is_settled());
            let name = slow.map_or("a process", LabProcess::name);
            Err(Failure::new(FailureKind::Bug, format!("{name} did not {what} within {ANSWER_WITHIN:?}")))
        }
    }
}
