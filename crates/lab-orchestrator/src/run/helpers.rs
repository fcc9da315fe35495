//! The workers outside the clients: who they are, and what becomes of the helpers, which are not the controller's
//! own children.

use std::collections::BTreeMap;

use lab_model::{Actor, Client, ClientId, Daemon, Helpers, Lab, PlannedFault};
use lab_protocol::{AskedDaemon, HelperReady};
use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::Pid,
};
use tokio::sync::mpsc;

use super::{Event, ending::end};

/// The number of the first client.
pub(super) const FIRST_CLIENT: u16 = 2;

/// One helper, from its client's start on.
#[derive(Clone, Debug)]
pub(super) struct Helper {
    pub(super) client: Actor,
    /// The client's name and its number among the client's helpers. No client or daemon can be named so.
    pub(super) name: String,
    /// What its trace is called.
    pub(super) file: String,
    pub(super) pid: u32,
    pub(super) threads: Vec<u64>,
    /// It runs, as far as anybody has said.
    pub(super) alive: bool,
}

/// All helpers of a lab: numbered from the beginning, known once their client is ready.
#[derive(Clone, Debug, Default)]
pub(super) struct HelperTable {
    helpers: BTreeMap<Actor, Helper>,
    /// Those that their clients are to start again, by their number among the client's.
    expected: BTreeMap<Actor, u16>,
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

/// What the trace of a helper is called, by the number of the process among those of that name, from 1.
pub(super) fn helper_file(client: &ClientId, number: u16, nth: u32) -> String {
    let name = helper_name(client, number);
    if nth == 1 { name } else { format!("{name}.{nth}") }
}

/// The daemons that a client asks, in the order of its behaviour's.
pub(super) fn asked_daemons(lab: &Lab, client: &Client) -> Vec<AskedDaemon> {
    let asked = |id: &ClientId| {
        let (_, actor) = daemon_actors(lab).find(|(daemon, _)| daemon.id == *id)?;
        Some(AskedDaemon { actor, name: id.to_string() })
    };
    client.behavior.daemons.iter().filter_map(|one| asked(&one.daemon)).collect()
}

impl HelperTable {
    /// A client is told to start a helper again.
    pub(super) fn expect(&mut self, helper: Actor, number: u16) {
        self.expected.insert(helper, number);
    }

    /// The number among its client's of a helper that was to be started again; asked once.
    pub(super) fn expected(&mut self, helper: Actor) -> Option<u16> {
        self.expected.remove(&helper)
    }

    /// Takes in what a client said of a helper: its number among the client's, and the which of that name it is, from 1.
    pub(super) fn ready(
        &mut self,
        client: Actor,
        id: &ClientId,
        (number, nth): (u16, u32),
        ready: &HelperReady,
    ) {
        let (name, file) = (helper_name(id, number), helper_file(id, number, nth));
        let (pid, threads) = (ready.pid, ready.threads.clone());
        self.helpers.insert(ready.actor, Helper { client, name, file, pid, threads, alive: true });
    }

    /// Those that run.
    pub(super) fn living(&self) -> impl Iterator<Item = (Actor, &Helper)> {
        self.helpers.iter().filter(|(_, helper)| helper.alive).map(|(&actor, helper)| (actor, helper))
    }

    pub(super) fn get(&self, actor: Actor) -> Option<&Helper> {
        self.helpers.get(&actor)
    }

    /// A helper has ended; returns it unless that was known.
    pub(super) fn ended(&mut self, actor: Actor) -> Option<&Helper> {
        let helper = self.helpers.get_mut(&actor).filter(|helper| helper.alive)?;
        helper.alive = false;
        Some(helper)
    }

    pub(super) fn all_ended(&self) -> bool {
        self.helpers.values().all(|helper| !helper.alive)
    }

    /// A client is gone, and with it whoever could tell of its helpers: ends those that are left, and has their
    /// end told as an event. They became this process's children when their client died.
    pub(super) fn end_of(&self, client: Actor, report: &mpsc::Sender<Event>) {
        for (&actor, helper) in
            self.helpers.iter().filter(|(_, helper)| helper.client == client && helper.alive)
        {
            end(helper.pid);
            let (pid, report) = (helper.pid, report.clone());
            tokio::task::spawn_blocking(move || {
                // The controller may have ended first, and then nobody asks.
                drop(report.blocking_send(Event::Ended(actor, wait_status(pid))));
            });
        }
    }

    /// The names by which mutes and rules call the helpers.
    pub(super) fn names(&self, name_of: impl Fn(Actor) -> Option<String>) -> Vec<(String, Actor)> {
        let named = |(actor, helper): (Actor, &Helper)| {
            Some((format!("{}{}", name_of(helper.client)?, Helpers::SUFFIX), actor))
        };
        self.living().filter_map(named).collect()
    }
}

/// Waits for a child's end and returns its wait status; that of a clean end when it is nobody's child any more.
fn wait_status(pid: u32) -> i32 {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX));
    loop {
        match waitpid(pid, None) {
            Ok(WaitStatus::Exited(_, code)) => return code << 8,
            Ok(WaitStatus::Signaled(_, signal, _)) => return signal as i32,
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{AuthEvents, Errand};

    use super::*;

    fn lab() -> Lab {
        let text = "schema: 1\nname: x\nclients: { count: 3, behavior: { helpers: { count: 2 } } }\n\
                    workload: [open_storm: {}]\n";
        lab_config::parse("x", text, &lab_config::Limits::default()).unwrap()
    }

    #[test]
    fn everybody_has_a_number_of_its_own() {
        let mut lab = lab();
        let errand = Errand { open: true, ..Errand::none() };
        lab.daemons =
            ["indexer", "logger"].map(|id| Daemon { id: id.parse().unwrap(), workers: 1, errand }).into();
        lab.clients[1].behavior.helpers = None;
        let daemons: Vec<u16> = daemon_actors(&lab).map(|(_, actor)| actor.0).collect();
        assert_eq!(daemons, [5, 6]);
        let first: Vec<u16> = lab.clients.iter().map(|client| first_helper(&lab, &client.id).0).collect();
        assert_eq!(first, [7, 9, 9], "the second has none");
        let asked =
            lab_model::AskedDaemon { daemon: "logger".parse().unwrap(), on: AuthEvents::ALL, wait: true };
        lab.clients[0].behavior.daemons = vec![asked];
        let asked = asked_daemons(&lab, &lab.clients[0]);
        assert_eq!(asked, [AskedDaemon { actor: Actor(6), name: "logger".to_owned() }]);
    }

    #[test]
    fn a_helper_ends_once() {
        let (lab, mut table) = (lab(), HelperTable::default());
        let ready = HelperReady { actor: Actor(7), pid: 4711, threads: vec![4711, 4712] };
        table.ready(Actor(2), &lab.clients[0].id, (0, 1), &ready);
        assert_eq!(table.get(Actor(7)).unwrap().name, "client-01.helper-1");
        let names = table.names(|actor| (actor == Actor(2)).then(|| "client-01".to_owned()));
        assert_eq!(names, [("client-01/helpers".to_owned(), Actor(7))]);
        assert!(!table.all_ended());
        assert!(table.ended(Actor(7)).is_some());
        assert!(table.ended(Actor(7)).is_none() && table.all_ended());
        assert_eq!((table.living().count(), table.names(|_| Some("x".to_owned())).len()), (0, 0));
        // Its client is back, with another process and other helpers of the same names.
        let ready = HelperReady { actor: Actor(20), pid: 4715, threads: vec![4715] };
        table.ready(Actor(19), &lab.clients[0].id, (0, 2), &ready);
        let (_, helper) = table.living().next().unwrap();
        assert_eq!(
            (helper.name.as_str(), helper.file.as_str()),
            ("client-01.helper-1", "client-01.helper-1.2")
        );
    }
}
