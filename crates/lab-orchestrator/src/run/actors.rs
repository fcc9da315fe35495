//! Who has which number in a lab, and what each is called.

use lab_model::{Actor, Client, ClientId, Daemon, Lab, PlannedFault};
use lab_protocol::AskedDaemon;
use lab_workload::Participant;

/// The driver's number.
pub(super) const DRIVER: Actor = Actor(1);
/// The number of the first client.
pub(super) const FIRST_CLIENT: u16 = 2;

/// A client's helper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HelperPlace {
    /// The client's place in the lab.
    pub(super) client: usize,
    /// The helper's number among the client's, from 0.
    pub(super) number: u16,
}

/// The numbers of a lab's daemons: they follow the clients'.
pub(super) fn daemon_actors(lab: &Lab) -> impl Iterator<Item = (&Daemon, Actor)> {
    let first = FIRST_CLIENT + u16::try_from(lab.clients.len()).unwrap_or(u16::MAX);
    lab.daemons.iter().zip(first..).map(|(daemon, number)| (daemon, Actor(number)))
}

/// The number of a client's first helper: they follow the daemons', in the order of the clients.
pub(super) fn first_helper(lab: &Lab, id: &ClientId) -> Actor {
    let count = |client: &Client| client.behavior.helpers.map_or(0, |helpers| helpers.count);
    let before: u16 = lab.clients.iter().take_while(|client| client.id != *id).map(count).sum();
    let others = u16::try_from(lab.clients.len() + lab.daemons.len()).unwrap_or(u16::MAX);
    Actor(FIRST_CLIENT + others + before)
}

/// The first number that nobody has who is there from the beginning.
pub(super) fn first_free(lab: &Lab) -> u16 {
    let count = |client: &Client| client.behavior.helpers.map_or(0, |helpers| helpers.count);
    let helpers: u16 = lab.clients.iter().map(count).sum();
    let others = u16::try_from(lab.clients.len() + lab.daemons.len()).unwrap_or(u16::MAX);
    FIRST_CLIENT.saturating_add(others).saturating_add(helpers)
}

/// A helper's name in logs, traces and reports.
pub(super) fn helper_name(client: &ClientId, number: u16) -> String {
    PlannedFault::helper(client.as_str(), number + 1)
}

/// The name of whoever can be started again.
pub(super) fn participant_name(lab: &Lab, whom: Participant) -> String {
    match whom {
        Participant::Client(place) => lab.clients[place].id.to_string(),
        Participant::Daemon(place) => lab.daemons[place].id.to_string(),
        Participant::Helper(client, number) => helper_name(&lab.clients[client].id, number),
    }
}

/// What the trace and the log of a process are called, by its number among those of its name, from 1.
pub(super) fn file_of(name: &str, nth: u32) -> String {
    if nth == 1 { name.to_owned() } else { format!("{name}.{nth}") }
}

/// The daemons that a client asks, in the order of its behaviour's.
pub(super) fn asked_daemons(lab: &Lab, client: &Client) -> Vec<AskedDaemon> {
    let asked = |id: &ClientId| {
        let (_, actor) = daemon_actors(lab).find(|(daemon, _)| daemon.id == *id)?;
        Some(AskedDaemon { actor, name: id.to_string() })
    };
    client.behavior.daemons.iter().filter_map(|one| asked(&one.daemon)).collect()
}

#[cfg(test)]
mod tests {
    use lab_model::{AuthEvents, Errand};

    use super::*;

    #[test]
    fn everybody_has_a_number_of_its_own() {
        let text = "schema: 1\nname: x\nclients: { count: 3, behavior: { helpers: { count: 2 } } }\n\
                    workload: [open_storm: {}]\n";
        let mut lab = lab_config::parse("x", text, &lab_config::Limits::default()).unwrap();
        let errand = Errand { open: true, ..Errand::none() };
        lab.daemons =
            ["indexer", "logger"].map(|id| Daemon { id: id.parse().unwrap(), workers: 1, errand }).into();
        lab.clients[1].behavior.helpers = None;
        let daemons: Vec<u16> = daemon_actors(&lab).map(|(_, actor)| actor.0).collect();
        assert_eq!(daemons, [5, 6]);
        let first: Vec<u16> = lab.clients.iter().map(|client| first_helper(&lab, &client.id).0).collect();
        assert_eq!(first, [7, 9, 9], "the second has none");
        assert_eq!(first_free(&lab), 11);
        let asked =
            lab_model::AskedDaemon { daemon: "logger".parse().unwrap(), on: AuthEvents::ALL, wait: true };
        lab.clients[0].behavior.daemons = vec![asked];
        let asked = asked_daemons(&lab, &lab.clients[0]);
        assert_eq!(asked, [AskedDaemon { actor: Actor(6), name: "logger".to_owned() }]);
        let called = |whom, nth| file_of(&participant_name(&lab, whom), nth);
        assert_eq!(called(Participant::Daemon(1), 1), "logger");
        assert_eq!(called(Participant::Helper(2, 0), 2), "client-03.helper-1.2");
    }
}
