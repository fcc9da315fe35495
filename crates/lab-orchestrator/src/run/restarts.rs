//! Clients, daemons and helpers that are started again after their death: a new process, number and trace under the same
//! name. Who comes back when, [`lab_workload::Restarts`] says; this is how far each has come and what is to be done
//! next, which the event loop does.
//!
//! A new process answers everything at once until every other client knows its threads: what it opened before
//! that would look like the workload's to them. Then it takes the behaviour that is due. A daemon takes no request in
//! until then, and a helper, which its client starts, is asked nothing.

use lab_model::{Actor, Lab, Span};
use lab_workload::{Participant, Restart, RestartStage};

use super::actors::first_free;

/// All who are on their way back, and the numbers that processes get on it.
#[derive(Debug)]
pub(super) struct Restarts {
    life: lab_workload::Restarts,
    /// The first number that no process of this run has had.
    next_actor: u16,
}

/// What is to be done for somebody on its way back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RestartStep {
    /// Start its latest process, with this number.
    Start(Participant, Actor),
    /// It is ready: have it watched, and everybody told of its threads.
    Announce(Participant, Actor),
    /// Everybody knows it: have it behave as is due.
    Behave(Participant, Actor),
}

impl Restarts {
    pub(super) fn of(lab: &Lab) -> Restarts {
        Restarts { life: lab_workload::Restarts::default(), next_actor: first_free(lab) }
    }

    /// All have started: from now on who dies can come back.
    pub(super) const fn allow(&mut self) {
        self.life.allow();
    }

    /// Nobody comes back any more.
    pub(super) fn stop(&mut self) {
        self.life.stop();
    }

    /// The number, from 1, of the latest process of this participant among those that it has had.
    pub(super) fn process(&self, whom: Participant) -> u32 {
        self.life.process(whom)
    }

    /// A participant gets one process more, whose number in the lab is returned.
    pub(super) fn next_process(&mut self, whom: Participant) -> Actor {
        self.life.next_process(whom);
        let actor = Actor(self.next_actor);
        self.next_actor += 1;
        actor
    }

    /// Somebody has died and comes back after a while, if anybody does.
    pub(super) fn plan(&mut self, whom: Participant, after: Span, now: u64) {
        self.life.plan(whom, after, now);
    }

    /// A client has died: whoever starts it starts its helpers as well.
    pub(super) fn client_died(&mut self, client: usize) {
        self.life.client_died(client);
    }

    /// True when somebody is on its way back.
    pub(super) fn expects(&self, whom: Participant) -> bool {
        self.life.expects(whom)
    }

    /// True when nobody is on its way back.
    pub(super) fn is_empty(&self) -> bool {
        self.life.is_empty()
    }

    /// When the next one is started.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.life.next_due()
    }

    /// Takes all out who are on their way, to take each one step further with [`Restarts::advance`].
    pub(super) fn take(&mut self) -> Vec<Restart> {
        self.life.take()
    }

    /// Takes somebody one step further, if that is possible now; returns what is to be done for it.
    ///
    /// `ready` says whether a process that was started is; `None` while that is open. `all_told` says whether everybody
    /// has heard what there was to tell.
    pub(super) fn advance(
        &mut self,
        restart: Restart,
        now: u64,
        ready: impl FnOnce(Participant, Actor) -> Option<bool>,
        all_told: impl FnOnce() -> bool,
    ) -> Option<RestartStep> {
        let Restart { whom, stage } = restart;
        let (stage, step) = match stage {
            RestartStage::Due(at) if now < at => (Some(stage), None),
            RestartStage::Due(_) => {
                let actor = self.next_process(whom);
                (Some(RestartStage::Starting(actor)), Some(RestartStep::Start(whom, actor)))
            }
            RestartStage::Starting(actor) => match ready(whom, actor) {
                None => (Some(stage), None),
                Some(true) => {
                    (Some(RestartStage::Announced(actor)), Some(RestartStep::Announce(whom, actor)))
                }
                // It died in the attempt, and will not do better the next time.
                Some(false) => (None, None),
            },
            RestartStage::Announced(actor) if all_told() => (None, Some(RestartStep::Behave(whom, actor))),
            RestartStage::Announced(_) => (Some(stage), None),
        };
        if let Some(stage) = stage {
            self.life.put_back(Restart { whom, stage });
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALPHA: Participant = Participant::Client(0);

    fn restarts() -> Restarts {
        let mut life = lab_workload::Restarts::default();
        life.allow();
        Restarts { life, next_actor: 9 }
    }

    /// Takes the only one on its way a step further.
    fn step(restarts: &mut Restarts, now: u64, ready: Option<bool>, told: bool) -> Option<RestartStep> {
        let all = restarts.take();
        assert_eq!(all.len(), 1);
        restarts.advance(all[0], now, |_, _| ready, || told)
    }

    #[test]
    fn somebody_comes_back_step_by_step() {
        let mut restarts = restarts();
        restarts.plan(ALPHA, Span::from_nanos(5), 10);
        let actor = Actor(9);
        assert_eq!(step(&mut restarts, 14, None, true), None);
        assert_eq!(step(&mut restarts, 15, None, true), Some(RestartStep::Start(ALPHA, actor)));
        assert_eq!(restarts.process(ALPHA), 2);
        assert_eq!(step(&mut restarts, 16, None, true), None, "it sets itself up");
        assert_eq!(step(&mut restarts, 17, Some(true), true), Some(RestartStep::Announce(ALPHA, actor)));
        assert_eq!(step(&mut restarts, 18, Some(true), false), None, "not everybody knows it");
        assert!(restarts.expects(ALPHA));
        assert_eq!(step(&mut restarts, 19, Some(true), true), Some(RestartStep::Behave(ALPHA, actor)));
        assert!(restarts.is_empty());
        assert_eq!(restarts.next_process(ALPHA), Actor(10), "a number is given once");
    }

    #[test]
    fn who_dies_in_the_attempt_stays_away() {
        let mut restarts = restarts();
        restarts.plan(ALPHA, Span::default(), 0);
        assert!(step(&mut restarts, 0, None, true).is_some());
        assert_eq!(step(&mut restarts, 1, Some(false), true), None);
        assert!(restarts.is_empty());
    }
}
