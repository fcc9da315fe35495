//! A client's deny rules, and the verdict that they give on one event.

use std::sync::Arc;

use lab_model::{Actor, AuthEvents, DenyRule, Mute, Signature, SubjectClass, Verdict};

use crate::Question;

/// What a client denies, with every process found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    path: Option<Vec<u8>>,
    whom: Whom,
    signature: Option<Signature>,
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
            signature: rule.signature.clone(),
            on: rule.on,
        };
        Rules(rules.iter().map(rule).collect())
    }

    /// The verdict as far as it does not depend on the file; `None` when it does.
    pub(crate) fn at_once(&self, question: &Question) -> Option<Verdict> {
        let mut verdict = Some(Verdict::Allow);
        for rule in self.fitting(question) {
            if rule.path.is_none() && rule.signature.is_none() {
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

/// What was found out about an event's file; what is not known of it fits no rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found<'a> {
    /// Its path, relative to the arena.
    pub path: Option<&'a [u8]>,
    /// What its signature says, if it is the program that an exec runs.
    pub signature: Option<&'a Signature>,
}

/// Tells the verdict on one event once its file is found out about.
#[derive(Clone, Debug)]
pub struct Judge {
    rules: Arc<Rules>,
    question: Question,
}

impl Judge {
    pub(crate) fn new(rules: Arc<Rules>, question: &Question) -> Judge {
        Judge { rules, question: *question }
    }

    /// The verdict on this file. A rule's path fits itself and all below it.
    #[must_use]
    pub fn verdict(&self, found: &Found<'_>) -> Verdict {
        let below = |folder: &[u8]| {
            let rest = found.path.and_then(|path| path.strip_prefix(folder));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
        };
        let signed = |wanted: &Signature| found.signature.is_some_and(|signature| wanted.fits(signature));
        let denies = |rule: &Rule| {
            rule.path.as_deref().is_none_or(below) && rule.signature.as_ref().is_none_or(signed)
        };
        if self.rules.fitting(&self.question).any(denies) { Verdict::Deny } else { Verdict::Allow }
    }
}
