//! The helpers of a lab's clients: what becomes of them, which are not the controller's own children.

use std::collections::BTreeMap;

use lab_model::{Actor, Helpers, Lab};
use lab_protocol::HelperReady;
use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::Pid,
};
use tokio::sync::mpsc;

use super::{
    actors::{HelperPlace, file_of, helper_name},
    ending::end,
    event::Event,
};

/// One helper, from its client's start on.
#[derive(Clone, Debug)]
pub(super) struct Helper {
    client: Actor,
    /// The client's name and its number among the client's helpers. No client or daemon can be named so.
    name: String,
    /// What its trace is called.
    file: String,
    pid: u32,
    threads: Vec<u64>,
    /// It runs, as far as anybody has said.
    alive: bool,
}

/// All helpers of a lab: numbered from the beginning, known once their client is ready.
#[derive(Clone, Debug, Default)]
pub(super) struct HelperTable {
    helpers: BTreeMap<Actor, Helper>,
    /// Those that their clients are to start again, by their number among the client's.
    expected: BTreeMap<Actor, u16>,
}

impl Helper {
    /// The client that it belongs to.
    pub(super) const fn client(&self) -> Actor {
        self.client
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What its trace is called.
    pub(super) fn file(&self) -> &str {
        &self.file
    }

    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    /// The threads that it has said are its own.
    pub(super) fn threads(&self) -> &[u64] {
        &self.threads
    }

    /// True while it runs, as far as anybody has said.
    pub(super) const fn alive(&self) -> bool {
        self.alive
    }
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

    /// Takes in what a client said of a helper, the `nth` process of its name.
    pub(super) fn ready(
        &mut self,
        lab: &Lab,
        client: Actor,
        helper: HelperPlace,
        nth: u32,
        ready: &HelperReady,
    ) {
        let name = helper_name(&lab.clients[helper.client].id, helper.number);
        let file = file_of(&name, nth);
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
    use super::*;

    fn lab() -> Lab {
        let text = "schema: 1\nname: x\nclients: { count: 3, behavior: { helpers: { count: 2 } } }\n\
                    workload: [open_storm: {}]\n";
        lab_config::parse("x", text, &lab_config::Limits::default()).unwrap()
    }

    #[test]
    fn a_helper_ends_once() {
        let (lab, mut table) = (lab(), HelperTable::default());
        let first = HelperPlace { client: 0, number: 0 };
        let ready = HelperReady { actor: Actor(7), pid: 4711, threads: vec![4711, 4712] };
        table.ready(&lab, Actor(2), first, 1, &ready);
        assert_eq!(table.get(Actor(7)).unwrap().name, "client-01.helper-1");
        let names = table.names(|actor| (actor == Actor(2)).then(|| "client-01".to_owned()));
        assert_eq!(names, [("client-01/helpers".to_owned(), Actor(7))]);
        assert!(!table.all_ended());
        assert!(table.ended(Actor(7)).is_some());
        assert!(table.ended(Actor(7)).is_none() && table.all_ended());
        assert_eq!((table.living().count(), table.names(|_| Some("x".to_owned())).len()), (0, 0));
        // Its client is back, with another process and other helpers of the same names.
        let ready = HelperReady { actor: Actor(20), pid: 4715, threads: vec![4715] };
        table.ready(&lab, Actor(19), first, 2, &ready);
        let (_, helper) = table.living().next().unwrap();
        assert_eq!(
            (helper.name.as_str(), helper.file.as_str()),
            ("client-01.helper-1", "client-01.helper-1.2")
        );
    }
}
