//! The channels between clients and the daemons that they ask.

use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use lab_model::{Actor, Lab};
use lab_protocol::Order;

use super::{
    actors::{asked_daemons, daemon_actors},
    process::LabProcess,
    processes::Processes,
};
use crate::Failure;

/// Hands a client that has just been started its channels to the daemons that it asks and that run.
pub(super) async fn connect_client(
    lab: &Lab,
    processes: &mut Processes,
    place: usize,
    client: Actor,
) -> Result<(), Failure> {
    for asked in asked_daemons(lab, &lab.clients[place]) {
        let daemon = processes.living(&asked.name).filter(|process| process.is_reachable());
        if let Some(daemon) = daemon.map(LabProcess::actor) {
            connect(lab, processes, Channel { client, called: asked.actor, daemon }).await?;
        }
    }
    Ok(())
}

/// Hands a daemon that is ready its channels, and their other ends to the clients that ask it and run.
pub(super) async fn connect_daemon(
    lab: &Lab,
    processes: &mut Processes,
    place: usize,
    daemon: Actor,
) -> Result<(), Failure> {
    let Some((_, called)) = daemon_actors(lab).nth(place) else { return Ok(()) };
    processes.make_reachable(daemon);
    let asks = |process: &&LabProcess| {
        let client = lab.clients.iter().find(|client| client.id.as_str() == process.name());
        let mut asked = client.into_iter().flat_map(|client| asked_daemons(lab, client));
        process.alive() && asked.any(|asked| asked.actor == called)
    };
    let clients: Vec<Actor> = processes.clients().filter(asks).map(LabProcess::actor).collect();
    for client in clients {
        connect(lab, processes, Channel { client, called, daemon }).await?;
    }
    Ok(())
}

/// Whom to connect.
#[derive(Clone, Copy, Debug)]
struct Channel {
    client: Actor,
    /// The daemon's first number: clients go on calling by it one that has come back.
    called: Actor,
    /// The daemon's process.
    daemon: Actor,
}

/// Makes channels between a client and a daemon, as many as it works on requests at once, and hands their ends
/// over. They have no name, and nobody else ever holds one.
async fn connect(lab: &Lab, processes: &mut Processes, channel: Channel) -> Result<(), Failure> {
    let Channel { client, called, daemon } = channel;
    let name = processes.get(daemon).map_or("", LabProcess::name);
    let described = lab.daemons.iter().find(|one| one.id.as_str() == name);
    let Some(channels) = described.map(|daemon| daemon.workers) else { return Ok(()) };
    let pairs = (0..channels).map(|_| UnixStream::pair()).collect::<io::Result<Vec<_>>>();
    let pairs = pairs.map_err(|error| Failure::output("cannot make a channel to a daemon", &error))?;
    let (asking, asked): (Vec<OwnedFd>, Vec<OwnedFd>) =
        pairs.into_iter().map(|(asking, asked)| (OwnedFd::from(asking), OwnedFd::from(asked))).unzip();
    processes.hand_over(daemon, &Order::Connect { with: client, channels }, &asked).await?;
    processes.hand_over(client, &Order::Connect { with: called, channels }, &asking).await
}
