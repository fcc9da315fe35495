//! Who is started again after its death, when, and how far it has come, for whoever starts processes.
//!
//! Time comes in as nanoseconds of the caller's own clock.

use std::collections::BTreeMap;

use lab_model::{Actor, Lab, PlannedFault, Span};

/// The processes that one client, daemon or helper may have in a run.
pub const PROCESSES_MAX: u32 = 1000;

/// Who can be started again, by its place in the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Participant {
    /// A client; its helpers come back with it.
    Client(usize),
    /// A daemon.
    Daemon(usize),
    /// A client's helper: the client's place, and the helper's number among its, from 0.
    Helper(usize, u16),
}

impl Participant {
    /// The one of this name; `None` for the driver, the machine, and whoever the lab does not have.
    #[must_use]
    pub fn named(lab: &Lab, name: &str) -> Option<Participant> {
        let client = |name: &str| lab.clients.iter().position(|client| client.id.as_str() == name);
        let daemon = || lab.daemons.iter().position(|daemon| daemon.id.as_str() == name);
        let helper = || {
            let (of, number) = PlannedFault::helper_of(name)?;
            Some(Participant::Helper(client(of)?, number.checked_sub(1)?))
        };
        client(name).map(Participant::Client).or_else(|| daemon().map(Participant::Daemon)).or_else(helper)
    }
}

/// Somebody on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    /// Who.
    pub whom: Participant,
    /// How far.
    pub stage: RestartStage,
}

/// How far somebody on its way back has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestartStage {
    /// It is started at this time.
    Due(u64),
    /// Its process sets itself up.
    Starting(Actor),
    /// The others learn of it; then it takes the behaviour that is due.
    Announced(Actor),
}

/// All who are on their way back, and how many processes each has had.
#[derive(Clone, Debug, Default)]
pub struct Restarts {
    list: Vec<Restart>,
    processes: BTreeMap<Participant, u32>,
    allowed: bool,
}

impl Restarts {
    /// All have started: from now on who dies can come back.
    pub const fn allow(&mut self) {
        self.allowed = true;
    }

    /// Nobody comes back any more.
    pub fn stop(&mut self) {
        self.allowed = false;
        self.list.clear();
    }

    /// The number, from 1, of its latest process among those that it has had.
    #[must_use]
    pub fn process(&self, whom: Participant) -> u32 {
        self.processes.get(&whom).copied().unwrap_or(1)
    }

    /// It gets one process more, the number of which is returned.
    pub fn next_process(&mut self, whom: Participant) -> u32 {
        let number = self.process(whom) + 1;
        self.processes.insert(whom, number);
        number
    }

    /// Somebody has died and comes back after a while; returns when, or `None` when it does not.
    pub fn plan(&mut self, whom: Participant, after: Span, now: u64) -> Option<u64> {
        self.is_back(whom);
        if !self.allowed || self.process(whom) >= PROCESSES_MAX {
            return None;
        }
        let due = now.saturating_add(after.nanos());
        self.list.push(Restart { whom, stage: RestartStage::Due(due) });
        Some(due)
    }

    /// It is back, or will not be: it is no longer on its way.
    pub fn is_back(&mut self, whom: Participant) {
        self.list.retain(|restart| restart.whom != whom);
    }

    /// A client has died: nobody is left to start its helpers again, and who starts it starts them all.
    pub fn client_died(&mut self, client: usize) {
        self.list.retain(|restart| !matches!(restart.whom, Participant::Helper(of, _) if of == client));
    }

    /// True when somebody is on its way back.
    #[must_use]
    pub fn expects(&self, whom: Participant) -> bool {
        self.list.iter().any(|restart| restart.whom == whom)
    }

    /// True when a client is on its way back.
    #[must_use]
    pub fn expects_a_client(&self) -> bool {
        self.list.iter().any(|restart| matches!(restart.whom, Participant::Client(_)))
    }

    /// True when nobody is on its way back.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// When the next one is started.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        let due = |restart: &Restart| match restart.stage {
            RestartStage::Due(at) => Some(at),
            RestartStage::Starting(_) | RestartStage::Announced(_) => None,
        };
        self.list.iter().filter_map(due).min()
    }

    /// Takes all out, to take each one step further and put it back with [`Restarts::put_back`].
    pub fn take(&mut self) -> Vec<Restart> {
        std::mem::take(&mut self.list)
    }

    /// Somebody is still on its way back.
    pub fn put_back(&mut self, restart: Restart) {
        self.list.push(restart);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_dies_again_on_its_way_back_starts_anew() {
        let (alpha, helper) = (Participant::Client(0), Participant::Helper(0, 1));
        let mut restarts = Restarts::default();
        assert_eq!(restarts.plan(alpha, Span::from_nanos(5), 10), None, "not before all have started");
        restarts.allow();
        assert_eq!(restarts.plan(alpha, Span::from_nanos(5), 10), Some(15));
        assert_eq!(restarts.plan(alpha, Span::from_nanos(5), 20), Some(25));
        restarts.plan(helper, Span::from_nanos(1), 20);
        assert_eq!((restarts.next_due(), restarts.take().len()), (Some(21), 2));
        restarts.plan(helper, Span::from_nanos(1), 20);
        restarts.client_died(0);
        assert!(restarts.is_empty());
    }

    #[test]
    fn nobody_has_more_processes_than_a_run_allows() {
        let whom = Participant::Daemon(0);
        let mut restarts = Restarts::default();
        restarts.allow();
        for number in 2..=PROCESSES_MAX {
            assert!(restarts.plan(whom, Span::default(), 0).is_some());
            assert_eq!(restarts.next_process(whom), number);
        }
        assert_eq!(restarts.plan(whom, Span::default(), 0), None);
    }
}
