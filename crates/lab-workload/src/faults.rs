//! The life of planned faults, from their time to their end, for whoever brings them about.
//!
//! Time comes in as nanoseconds of the caller's own clock, what is to be done goes out as [`FaultStep`]s in the order in
//! which it is to be done. A live run and the simulator take the same steps; only the effects differ. A fault that
//! changes how somebody works is a [`FaultStep::Tell`] for both, whatever it changes.

use lab_model::{
    Actor, Behavior, Effect, FaultAction, FaultStage, Lab, PlannedFault, Service, Span, Standstill,
    behavior_under, service_under,
};

/// Whether somebody is there to be disturbed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// As this process.
    Present(Actor),
    /// It has died and is on its way back.
    Returning,
    /// It is not, and will not be.
    Gone,
}

/// One thing to do, with the fault's place in the lab's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultStep {
    /// Write down what has happened to the fault.
    Record {
        /// Which.
        place: usize,
        /// On whom; [`Actor::UNKNOWN`] when it is nobody alone.
        actor: Actor,
        /// What.
        stage: FaultStage,
    },
    /// Bring the effect about; never [`Effect::Behavior`].
    Begin {
        /// Of which fault.
        place: usize,
        /// On whom.
        actor: Actor,
        /// What.
        effect: Effect,
    },
    /// Take the effect back; never [`Effect::Behavior`].
    End {
        /// Of which fault.
        place: usize,
        /// On whom.
        actor: Actor,
        /// What.
        effect: Effect,
    },
    /// Tell the fault's target how to work now ([`Faults::behavior`], [`Faults::service`]), if it is there, and say so
    /// with [`Faults::await_change`].
    Tell {
        /// Which fault.
        place: usize,
        /// What to record once it follows.
        then: FaultStage,
    },
}

/// Somebody was told of a change, and does not follow yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingChange {
    /// The fault's place.
    pub place: usize,
    /// Whom the change is about.
    pub actor: Actor,
    /// Who is to say that it is followed: a helper's client answers for it.
    pub by: Actor,
    /// What is recorded then.
    pub then: FaultStage,
}

/// What has become of a planned fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Its time has not come.
    Waiting,
    /// It is in effect, on this process, and until then.
    Active { actor: Actor, until: Option<u64> },
    /// It is over, or was over at once.
    Over,
}

/// All planned faults of a lab.
#[derive(Clone, Debug)]
pub struct Faults {
    planned: Vec<PlannedFault>,
    states: Vec<State>,
    pending: Vec<PendingChange>,
    /// When the storm began, while it goes on.
    storm: Option<u64>,
}

impl Faults {
    /// Those of this lab, none of which has begun.
    #[must_use]
    pub fn of(lab: &Lab) -> Faults {
        let planned = lab.faults.clone();
        Faults { states: vec![State::Waiting; planned.len()], planned, pending: Vec::new(), storm: None }
    }

    /// The fault at this place in the lab's list.
    #[must_use]
    pub fn planned(&self, place: usize) -> &PlannedFault {
        &self.planned[place]
    }

    /// The storm begins: times count from now.
    pub const fn storm_begins(&mut self, now: u64) {
        self.storm = Some(now);
    }

    /// The storm is over: what has not begun never will.
    pub fn storm_ends(&mut self) -> Vec<FaultStep> {
        self.storm = None;
        let mut steps = Vec::new();
        for (place, state) in self.states.iter_mut().enumerate() {
            if *state == State::Waiting {
                *state = State::Over;
                let (actor, stage) = (Actor::UNKNOWN, FaultStage::TooLate);
                steps.push(FaultStep::Record { place, actor, stage });
            }
        }
        steps
    }

    /// When a fault begins, or ends by itself; `None` when that is past or never.
    #[must_use]
    pub fn due(&self, place: usize) -> Option<u64> {
        match self.states[place] {
            State::Waiting => Some(self.storm?.saturating_add(self.planned[place].at.nanos())),
            State::Active { until, .. } => until,
            State::Over => None,
        }
    }

    /// When the next fault begins or ends.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        (0..self.states.len()).filter_map(|place| self.due(place)).min()
    }

    /// The faults whose time has come, in the lab's order, and whether each begins: else it ends.
    #[must_use]
    pub fn all_due(&self, now: u64) -> Vec<(usize, bool)> {
        let due = (0..self.states.len()).filter(|&place| self.due(place).is_some_and(|due| due <= now));
        due.map(|place| (place, self.states[place] == State::Waiting)).collect()
    }

    /// The time of a fault has come.
    pub fn begin(&mut self, place: usize, now: u64, target: Target) -> Vec<FaultStep> {
        if self.states[place] != State::Waiting || self.storm.is_none() {
            return Vec::new();
        }
        let PlannedFault { on, action, .. } = &self.planned[place];
        let effect = action.effect();
        let actor = match target {
            _ if on == PlannedFault::MACHINE => Actor::UNKNOWN,
            Target::Present(actor) => actor,
            // Who is on its way back takes it up when it is there.
            Target::Returning if effect == Effect::Behavior => Actor::UNKNOWN,
            Target::Returning | Target::Gone => {
                self.states[place] = State::Over;
                let stage = FaultStage::NoTarget;
                return vec![FaultStep::Record { place, actor: Actor::UNKNOWN, stage }];
            }
        };
        let until = action.span().map(|span| now.saturating_add(span.nanos()));
        self.states[place] = match effect {
            Effect::Death { returns: None } => State::Over,
            _ => State::Active { actor, until },
        };
        let done = match effect {
            Effect::Behavior => FaultStep::Tell { place, then: FaultStage::InForce },
            effect => FaultStep::Begin { place, actor, effect },
        };
        vec![FaultStep::Record { place, actor, stage: FaultStage::Begins }, done]
    }

    /// A fault is over, if it is in effect.
    pub fn end(&mut self, place: usize) -> Vec<FaultStep> {
        let State::Active { actor, .. } = self.states[place] else { return Vec::new() };
        self.states[place] = State::Over;
        let done = match self.planned[place].action.effect() {
            Effect::Behavior => FaultStep::Tell { place, then: FaultStage::Over },
            effect => FaultStep::End { place, actor, effect },
        };
        vec![FaultStep::Record { place, actor, stage: FaultStage::Ends }, done]
    }

    /// A process has died: what was done to it is over, and it follows nothing any more.
    pub fn target_died(&mut self, process: Actor) -> Vec<FaultStep> {
        self.pending.retain(|change| change.actor != process && change.by != process);
        let mut steps = Vec::new();
        for (place, state) in self.states.iter_mut().enumerate() {
            let bound = self.planned[place].action.effect().ends_with_target();
            if bound && matches!(state, State::Active { actor, .. } if *actor == process) {
                *state = State::Over;
                steps.push(FaultStep::Record { place, actor: process, stage: FaultStage::Ends });
            }
        }
        steps
    }

    /// How long after its death somebody whom a fault has killed is to come back; asked once for each death.
    pub fn comes_back(&mut self, name: &str) -> Option<Span> {
        for (place, fault) in self.planned.iter().enumerate().filter(|(_, fault)| fault.on == name) {
            if let (Effect::Death { returns }, State::Active { .. }) =
                (fault.action.effect(), self.states[place])
            {
                self.states[place] = State::Over;
                return returns;
            }
        }
        None
    }

    /// Somebody was told of a change, and is still to say that it follows.
    pub fn await_change(&mut self, change: PendingChange) {
        self.pending.push(change);
    }

    /// Takes those who follow out, in the order in which they were told.
    pub fn following(&mut self, follows: impl Fn(Actor) -> bool) -> Vec<PendingChange> {
        let (follow, wait) =
            std::mem::take(&mut self.pending).into_iter().partition(|change| follows(change.by));
        self.pending = wait;
        follow
    }

    /// True while a fault is in effect.
    #[must_use]
    pub fn is_active(&self, place: usize) -> bool {
        matches!(self.states[place], State::Active { .. })
    }

    /// True while a fault that ends by itself is in effect.
    #[must_use]
    pub fn any_active(&self) -> bool {
        self.states.iter().any(|state| matches!(state, State::Active { until: Some(_), .. }))
    }

    /// True while somebody stands still by this means, or by any.
    #[must_use]
    pub fn stands_still(&self, name: &str, by: Option<Standstill>) -> bool {
        let stops = |fault: &PlannedFault| match fault.action.effect() {
            Effect::Standstill(means) => by.is_none_or(|by| by == means) && fault.covers(name),
            _ => false,
        };
        let mut faults = self.planned.iter().enumerate();
        faults.any(|(place, fault)| self.is_active(place) && stops(fault))
    }

    /// A client's behaviour under the faults that are in effect; `None` for a client that the lab does not have.
    #[must_use]
    pub fn behavior(&self, lab: &Lab, client: usize) -> Option<Behavior> {
        let client = lab.clients.get(client)?;
        Some(behavior_under(&client.behavior, self.active_on(client.id.as_str())))
    }

    /// How a helper or a daemon serves under the faults that are in effect; `None` for another name.
    #[must_use]
    pub fn service(&self, lab: &Lab, worker: &str) -> Option<Service> {
        Some(service_under(lab.service_of(worker)?, self.active_on(worker)))
    }

    /// What is in effect on this participant, in the lab's order.
    fn active_on<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a FaultAction> {
        let faults = self.planned.iter().enumerate();
        faults
            .filter(move |(place, fault)| fault.on == name && self.is_active(*place))
            .map(|(_, fault)| &fault.action)
    }
}

#[cfg(test)]
mod tests {
    use lab_model::Standstill;

    use super::*;

    const ALPHA: Actor = Actor(3);

    fn faults(planned: Vec<(&str, FaultAction)>) -> Faults {
        let fault = |(on, action): (&str, FaultAction)| PlannedFault {
            at: Span::from_nanos(10),
            on: on.to_owned(),
            action,
        };
        let planned: Vec<PlannedFault> = planned.into_iter().map(fault).collect();
        let states = vec![State::Waiting; planned.len()];
        Faults { planned, states, pending: Vec::new(), storm: Some(100) }
    }

    fn nanos(span: u64) -> Span {
        Span::from_nanos(span)
    }

    fn records(steps: &[FaultStep]) -> Vec<(Actor, FaultStage)> {
        let record = |step: &FaultStep| match step {
            FaultStep::Record { actor, stage, .. } => Some((*actor, *stage)),
            _ => None,
        };
        steps.iter().filter_map(record).collect()
    }

    #[test]
    fn a_stall_begins_lasts_and_ends() {
        let mut faults = faults(vec![("alpha", FaultAction::Stall { span: nanos(50) })]);
        assert_eq!((faults.next_due(), faults.all_due(109)), (Some(110), vec![]));
        assert_eq!(faults.all_due(110), [(0, true)]);
        let steps = faults.begin(0, 110, Target::Present(ALPHA));
        let effect = Effect::Standstill(Standstill::Signal);
        assert_eq!(records(&steps), [(ALPHA, FaultStage::Begins)]);
        assert_eq!(steps[1], FaultStep::Begin { place: 0, actor: ALPHA, effect });
        assert!(faults.stands_still("alpha", None) && !faults.stands_still("bravo", None));
        assert!(faults.begin(0, 111, Target::Present(ALPHA)).is_empty(), "it begins once");
        assert_eq!((faults.next_due(), faults.any_active()), (Some(160), true));
        assert_eq!(faults.all_due(160), [(0, false)]);
        assert_eq!(faults.end(0)[1], FaultStep::End { place: 0, actor: ALPHA, effect });
        assert!(faults.end(0).is_empty(), "and ends once");
        assert_eq!((faults.next_due(), faults.any_active()), (None, false));
    }

    #[test]
    fn what_is_done_to_a_process_ends_with_it_and_a_behavior_does_not() {
        let slow = FaultAction::Slow { by: nanos(1), span: nanos(50) };
        let stall = FaultAction::Stall { span: nanos(50) };
        let mut faults = faults(vec![("alpha", stall), ("alpha", slow)]);
        for place in [0, 1] {
            faults.begin(place, 110, Target::Present(ALPHA));
        }
        faults.await_change(PendingChange { place: 1, actor: ALPHA, by: ALPHA, then: FaultStage::InForce });
        assert_eq!(records(&faults.target_died(ALPHA)), [(ALPHA, FaultStage::Ends)]);
        assert_eq!([faults.is_active(0), faults.is_active(1)], [false, true]);
        assert!(faults.following(|_| true).is_empty(), "a dead process follows nothing");
    }

    #[test]
    fn only_a_behavior_waits_for_whom_comes_back() {
        let slow = FaultAction::Slow { by: nanos(1), span: nanos(50) };
        let mut faults = faults(vec![
            ("alpha", slow.clone()),
            ("alpha", FaultAction::Stall { span: nanos(50) }),
            ("bravo", slow),
        ]);
        let steps = faults.begin(0, 110, Target::Returning);
        assert_eq!(steps[1], FaultStep::Tell { place: 0, then: FaultStage::InForce });
        let none = [(Actor::UNKNOWN, FaultStage::NoTarget)];
        assert_eq!(records(&faults.begin(1, 110, Target::Returning)), none);
        assert_eq!(records(&faults.begin(2, 110, Target::Gone)), none);
    }

    #[test]
    fn a_death_is_over_at_once_and_a_restart_when_it_was_asked_for() {
        let restart = FaultAction::Restart { after: nanos(7) };
        let mut faults = faults(vec![("alpha", FaultAction::Kill), ("bravo", restart)]);
        for place in [0, 1] {
            faults.begin(place, 110, Target::Present(ALPHA));
        }
        assert_eq!([faults.is_active(0), faults.is_active(1)], [false, true]);
        assert_eq!(faults.comes_back("alpha"), None);
        assert_eq!([faults.comes_back("bravo"), faults.comes_back("bravo")], [Some(nanos(7)), None]);
    }

    #[test]
    fn after_the_storm_nothing_begins() {
        let mut faults = faults(vec![("alpha", FaultAction::Kill)]);
        assert_eq!(records(&faults.storm_ends()), [(Actor::UNKNOWN, FaultStage::TooLate)]);
        assert_eq!((faults.next_due(), faults.begin(0, 200, Target::Gone)), (None, vec![]));
    }
}
