use std::sync::Arc;

use lab_model::{Actor, AuthEvents, DenyRule, Mute, SubjectClass, Verdict};

use crate::Question;

/// What a client denies, with every process found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    path: Option<Vec<u8>>,
    whom: Whom,
    on: AuthEvents,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Whom {
    Anyone,
    Workload,
    /// None of them as long as the name is not known: then the rule fits nobody.
    Named(Vec<Actor>),
}

impl Rules {
    pub(crate) fn of(rules: &[DenyRule], processes: &[(&str, Actor)]) -> Rules {
        let whom = |process: &str| {
            let named = || processes.iter().filter(|(name, _)| *name == process).map(|(_, actor)| *actor);
            if process == Mute::WORKLOAD { Whom::Workload } else { Whom::Named(named().collect()) }
        };
        let rule = |rule: &DenyRule| Rule {
            path: rule.path.as_ref().map(|path| path.clone().into_bytes()),
            whom: rule.process.as_deref().map_or(Whom::Anyone, whom),
            on: rule.on,
        };
        Rules(rules.iter().map(rule).collect())
    }

    /// The verdict as far as it does not depend on the path; `None` when it does.
    pub(crate) fn at_once(&self, question: &Question) -> Option<Verdict> {
        let mut verdict = Some(Verdict::Allow);
        for rule in self.fitting(question) {
            if rule.path.is_none() {
                return Some(Verdict::Deny);
            }
            verdict = None;
        }
        verdict
    }

    fn fitting(&self, question: &Question) -> impl Iterator<Item = &Rule> {
        let (event, class, actor) = (question.event, question.class, question.actor);
        self.0.iter().filter(move |rule| {
            let fits = match &rule.whom {
                Whom::Anyone => true,
                Whom::Workload => class == SubjectClass::Workload,
                Whom::Named(named) => named.contains(&actor),
            };
            // Denying its own process would fail what a worker of the client does for another decision.
            fits && class != SubjectClass::Own && rule.on.contains(event)
        })
    }
}

/// Tells the verdict on one event once its path is known.
#[derive(Clone, Debug)]
pub struct Judge {
    rules: Arc<Rules>,
    question: Question,
}

impl Judge {
    pub(crate) fn new(rules: Arc<Rules>, question: &Question) -> Judge {
        Judge { rules, question: *question }
    }

    /// The verdict on a file of this path, relative to the arena: a rule's path fits itself and all below it.
    #[must_use]
    pub fn verdict(&self, path: &[u8]) -> Verdict {
        let below = |folder: &[u8]| {
            path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        let denies = |rule: &Rule| rule.path.as_deref().is_none_or(below);
        if self.rules.fitting(&self.question).any(denies) { Verdict::Deny } else { Verdict::Allow }
    }
}
