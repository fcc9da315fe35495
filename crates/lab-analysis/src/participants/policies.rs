//! What a client's policy makes of an event where no answer is on record: asked of the code that the client itself runs.

use lab_client_core::{Admission, Policy, Question};
use lab_model::{Behavior, Lab, Timebase};
use lab_trace::DecisionBegin;

use crate::participants::{
    behavior_periods::{BehaviorPeriod, regimes},
    roster::Roster,
    timeline::Timeline,
};

/// The policies of every client of the lab file, each with the time in which it was perhaps in effect.
#[derive(Debug)]
pub(crate) struct Policies {
    of_client: Vec<Vec<InForce>>,
}

#[derive(Debug)]
struct InForce {
    from: u64,
    to: u64,
    policy: Policy,
}

impl Policies {
    pub(crate) fn new(lab: &Lab, roster: &Roster, timeline: &Timeline) -> Policies {
        let names = roster.names();
        let in_force = |BehaviorPeriod { from, to, behavior }: BehaviorPeriod| {
            // Times make no difference to whether an answer has to be worked for.
            let policy = Policy::new(behavior, lab.deadline, Timebase::NANOSECONDS);
            let policy = policy.among(names.iter().map(|(name, actor)| (name.as_str(), *actor)));
            InForce { from, to, policy }
        };
        let of = |client| regimes(lab, client, timeline).into_iter().map(in_force).collect();
        Policies { of_client: (0..lab.clients.len()).map(of).collect() }
    }

    /// The behaviours that a client had at a time, as far as is known; none of one that only a trace knows.
    pub(crate) fn behaviors(&self, client: u16, at: u64) -> impl Iterator<Item = &Behavior> {
        let in_force = self.of_client.get(usize::from(client)).into_iter().flatten();
        let in_force = in_force.filter(move |InForce { from, to, .. }| (*from..=*to).contains(&at));
        in_force.map(|in_force| in_force.policy.behavior())
    }

    /// True when the client's reader answers such an event by itself, or did so perhaps; of a client that only a trace
    /// knows, nothing is known, and its answer counts as worked for.
    pub(crate) fn at_once(&self, client: u16, begin: &DecisionBegin, at: u64) -> bool {
        let question = Question {
            read: begin.read,
            event: begin.event,
            class: begin.class,
            actor: begin.actor,
            deadline: begin.deadline,
        };
        let mut in_force = self.of_client.get(usize::from(client)).into_iter().flatten();
        in_force.any(|InForce { from, to, policy }| {
            (*from..=*to).contains(&at) && !matches!(policy.admit(&question, 0), Admission::Work { .. })
        })
    }
}
