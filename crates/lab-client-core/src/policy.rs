//! What a client does with an event: answer at once, queue, react, before the answer or after.

use std::sync::Arc;

use lab_model::{
    Actor, Approval, Behavior, Cache, EventKind, Mute, Reaction, Span, SubjectClass, Ticks, Timebase,
    Verdict, When,
};

use crate::{Asks, Budget, Judge, Task, budget, judge::Rules};

/// What a client knows of an event when it decides what to do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// When it was read.
    pub read: Ticks,
    /// What is asked.
    pub event: EventKind,
    /// Whose process acts, as far as the client can tell.
    pub class: SubjectClass,
    /// Which lab process that is, or [`Actor::UNKNOWN`].
    pub actor: Actor,
    /// The kernel's deadline, if it gives one.
    pub deadline: Option<Ticks>,
}

/// What an event sets off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Answer at once; nothing follows.
    Answer {
        /// The answer.
        verdict: Verdict,
        /// How it came about.
        approval: Approval,
    },
    /// Answer at once; the task follows.
    AnswerThenWork {
        /// The answer.
        verdict: Verdict,
        /// How it came about.
        approval: Approval,
        /// What follows.
        task: Task,
    },
    /// The task gives the answer.
    Work {
        /// The work up to the answer and beyond.
        task: Task,
        /// Answer by then, finished or not.
        answer_by: Option<Ticks>,
    },
}

/// A client's behaviour, ready to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    behavior: Behavior,
    budget: Budget,
    deadline: Span,
    timebase: Timebase,
    muted: Vec<Actor>,
    workload_muted: bool,
    rules: Arc<Rules>,
}

impl Policy {
    /// A policy. `deadline` is the lab's own, for kernels that give none.
    #[must_use]
    pub fn new(behavior: Behavior, deadline: Span, timebase: Timebase) -> Policy {
        let budget = Budget::new(behavior.answer_by_percent);
        let workload_muted = behavior.mute.processes.iter().any(|name| name == Mute::WORKLOAD);
        let rules = Arc::new(Rules::of(&behavior.deny, &[]));
        Policy { behavior, budget, deadline, timebase, muted: Vec::new(), workload_muted, rules }
    }

    /// The policy, told which processes each name stands for: mutes and rules name clients, their helpers and
    /// daemons. A name may stand for several.
    #[must_use]
    pub fn among<'a>(mut self, processes: impl IntoIterator<Item = (&'a str, Actor)>) -> Policy {
        let processes: Vec<(&str, Actor)> = processes.into_iter().collect();
        let muted = &self.behavior.mute.processes;
        let named = processes.iter().filter(|(name, _)| muted.iter().any(|muted| muted == name));
        self.muted = named.map(|(_, actor)| *actor).collect();
        self.rules = Arc::new(Rules::of(&self.behavior.deny, &processes));
        self
    }

    /// The behaviour.
    #[must_use]
    pub fn behavior(&self) -> &Behavior {
        &self.behavior
    }

    /// True when the policy may answer before a task has finished, so that somebody must watch the time.
    #[must_use]
    pub fn watches_time(&self) -> bool {
        self.behavior.answer_by_percent.is_some()
    }

    /// The deadline of an event: the kernel's, or the emulated one.
    #[must_use]
    pub fn deadline(&self, question: &Question) -> Ticks {
        question.deadline.unwrap_or_else(|| budget::emulated(question.read, self.deadline, self.timebase))
    }

    /// Decides what an event sets off. `draw` seeds what the task draws at random.
    ///
    /// Events of the client's own process are always answered at once, whatever the behaviour says: a worker
    /// of the client is blocked in that operation, and on fanotify nobody else could answer it. A reaction
    /// to them follows the answer.
    #[must_use]
    pub fn admit(&self, question: &Question, draw: u64) -> Admission {
        let (verdict, own) = (Verdict::Allow, question.class == SubjectClass::Own);
        if self.mutes(question) {
            return Admission::Answer { verdict, approval: Approval::Mute };
        }
        if self.behavior.ignore_es_clients && question.class == SubjectClass::Peer {
            return Admission::Answer { verdict, approval: Approval::Peer };
        }
        let approval = if own { Approval::OwnProcess } else { Approval::Rule };
        let reaction = self.reaction(question);
        let asks = Asks::about(&self.behavior, question.event);
        let waits = !self.behavior.delay.is_zero() || !self.behavior.cpu.is_zero();
        let idle =
            (reaction.is_none() && asks.is_none() && !waits) || !self.behavior.reacts_to(question.class);
        let (reaction, delay, cpu, asks) = if idle {
            (Reaction::none(), Span::default().into(), Span::default().into(), Asks::default())
        } else {
            (reaction, self.behavior.delay, self.behavior.cpu, asks)
        };
        let answer_by = || self.budget.answer_by(question.read, Some(self.deadline(question)));
        match self.rules.at_once(question) {
            Some(Verdict::Deny) => return Admission::Answer { verdict: Verdict::Deny, approval },
            Some(Verdict::Allow) => {}
            None => {
                let task = Task::judged(reaction, delay, draw).burning(cpu).asking(asks);
                return Admission::Work { task, answer_by: answer_by() };
            }
        }
        if idle {
            return Admission::Answer { verdict, approval };
        }
        if own || reaction.when == When::After {
            let task = Task::after_answer(reaction, delay, draw).burning(cpu).asking(asks);
            return Admission::AnswerThenWork { verdict, approval, task };
        }
        let task = Task::before_answer(reaction, delay, draw).burning(cpu).asking(asks);
        Admission::Work { task, answer_by: answer_by() }
    }

    /// The work that being told of an event sets off, if any. What is muted or another client's is passed over as in
    /// [`Policy::admit`]. `draw` seeds what the task draws.
    #[must_use]
    pub fn on_notify(&self, question: &Question, draw: u64) -> Option<Task> {
        let reaction = self.behavior.on_notify;
        let ignored = self.behavior.ignore_es_clients && question.class == SubjectClass::Peer;
        let wanted = !ignored && !self.mutes(question) && self.behavior.reacts_to(question.class);
        (wanted && !reaction.is_none()).then(|| Task::after_answer(reaction, Span::default().into(), draw))
    }

    /// Who tells the verdict on an event once its path is known. Neither allocates nor locks.
    #[must_use]
    pub fn judge(&self, question: &Question) -> Judge {
        Judge::new(Arc::clone(&self.rules), question)
    }

    /// Whether the kernel is to keep this answer. Only an allowance by the rule is kept, and not one that was
    /// given because `react_to` leaves the subject alone: a file that a peer opened first would never be
    /// looked at.
    #[must_use]
    pub fn keeps(&self, class: SubjectClass, verdict: Verdict, approval: Approval) -> bool {
        self.behavior.cache == Cache::On
            && verdict == Verdict::Allow
            && approval == Approval::Rule
            && self.behavior.reacts_to(class)
    }

    /// Whether a mute covers the subject. The own process needs none: it is answered at once anyhow.
    fn mutes(&self, question: &Question) -> bool {
        match question.class {
            SubjectClass::Own => false,
            SubjectClass::OwnHelper => self.behavior.mute.helpers || self.muted.contains(&question.actor),
            SubjectClass::Peer => self.muted.contains(&question.actor),
            // A daemon, or another's helper: only its name tells it from the workload.
            SubjectClass::Workload => self.workload_muted || self.muted.contains(&question.actor),
        }
    }

    fn reaction(&self, question: &Question) -> Reaction {
        match question.event {
            EventKind::Auth(event) => self.behavior.reactions[event],
            EventKind::Notify(_) | EventKind::Other(_) => Reaction::none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{AuthEvent, AuthEvents, DenyRule, Preset, ReactTo, Signature, Via};

    use super::*;
    use crate::Found;

    fn policy(behavior: Behavior) -> Policy {
        Policy::new(behavior, Span::from_secs(1), Timebase::NANOSECONDS)
    }

    fn question(class: SubjectClass) -> Question {
        let actor = if class == SubjectClass::Peer { Actor(3) } else { Actor::UNKNOWN };
        Question { read: Ticks(1000), event: EventKind::AUTH_OPEN, class, actor, deadline: None }
    }

    fn kind(admission: &Admission) -> &'static str {
        match admission {
            Admission::Answer { .. } => "answer",
            Admission::AnswerThenWork { .. } => "answer, then work",
            Admission::Work { .. } => "work",
        }
    }

    #[test]
    fn whose_events_set_a_reaction_off() {
        use ReactTo::{All, Own, Peers, Workload};
        use SubjectClass as Class;
        let before = [
            (Workload, Class::Workload, "work"),
            (Workload, Class::Peer, "answer"),
            (Workload, Class::Own, "answer"),
            (Workload, Class::OwnHelper, "answer"),
            (Peers, Class::Workload, "work"),
            (Peers, Class::Peer, "work"),
            (Peers, Class::Own, "answer"),
            (Own, Class::Peer, "answer"),
            (Own, Class::Own, "answer, then work"),
            (Own, Class::OwnHelper, "work"),
            (All, Class::Peer, "work"),
            (All, Class::Own, "answer, then work"),
        ];
        for (react_to, class, expected) in before {
            let policy = policy(Behavior { react_to, ..Preset::Scanner.behavior() });
            assert_eq!(kind(&policy.admit(&question(class), 1)), expected, "{react_to:?} {class:?}");
        }
    }

    #[test]
    fn own_events_are_marked_and_answered_at_once() {
        for preset in Preset::ALL {
            let behavior = preset.behavior();
            let reacts = behavior.reacts_to(SubjectClass::Own);
            let admission = policy(behavior).admit(&question(SubjectClass::Own), 1);
            assert_eq!(kind(&admission), if reacts { "answer, then work" } else { "answer" }, "{preset:?}");
            let (Admission::Answer { verdict, approval }
            | Admission::AnswerThenWork { verdict, approval, .. }) = admission
            else {
                panic!("{preset:?} keeps its own event waiting")
            };
            assert_eq!((verdict, approval), (Verdict::Allow, Approval::OwnProcess), "{preset:?}");
        }
    }

    #[test]
    fn another_client_is_allowed_at_once_when_it_is_to_be_ignored() {
        let all = Behavior { react_to: ReactTo::All, ..Preset::Scanner.behavior() };
        let ignoring = policy(Behavior { ignore_es_clients: true, ..all });
        let peer = Admission::Answer { verdict: Verdict::Allow, approval: Approval::Peer };
        assert_eq!(ignoring.admit(&question(SubjectClass::Peer), 1), peer);
        assert_eq!(kind(&ignoring.admit(&question(SubjectClass::Workload), 1)), "work");
        assert_eq!(kind(&ignoring.admit(&question(SubjectClass::Own), 1)), "answer, then work");
        assert_eq!(kind(&ignoring.admit(&question(SubjectClass::OwnHelper), 1)), "work");
        let noop = policy(Behavior { ignore_es_clients: true, ..Behavior::noop() });
        assert_eq!(noop.admit(&question(SubjectClass::Peer), 1), peer, "marked without a reaction, too");
    }

    #[test]
    fn what_is_muted_is_allowed_at_once() {
        let muting = |helpers, processes: &[&str]| {
            let processes = processes.iter().map(|&name| name.to_owned()).collect();
            let mute = Mute { helpers, paths: Vec::new(), processes };
            policy(Behavior { mute, react_to: ReactTo::All, ..Preset::Scanner.behavior() })
                .among([("alpha", Actor(2)), ("bravo", Actor(3))])
        };
        let muted = Admission::Answer { verdict: Verdict::Allow, approval: Approval::Mute };
        let is_muted = |policy: &Policy, class| policy.admit(&question(class), 1) == muted;
        use SubjectClass::{Own, OwnHelper, Peer, Workload};
        let rows = [
            (muting(false, &[]), [false, false, false, false]),
            (muting(true, &[]), [false, true, false, false]),
            (muting(false, &["alpha"]), [false, false, false, false]),
            (muting(false, &["bravo"]), [false, false, true, false]),
            (muting(true, &["workload", "bravo"]), [false, true, true, true]),
        ];
        for (policy, expected) in rows {
            let found = [Own, OwnHelper, Peer, Workload].map(|class| is_muted(&policy, class));
            assert_eq!(found, expected, "{:?}", policy.behavior().mute);
        }
        // A product under test is no client, and its threads are known all the same.
        let product = Question { actor: Actor(0xE000), ..question(Workload) };
        let naming = |name| muting(false, &[name]).among([("bravo", Actor(3)), ("product", Actor(0xE000))]);
        assert_eq!(naming("product").admit(&product, 1), muted);
        assert_ne!(naming("product").admit(&question(Workload), 1), muted);
        assert_ne!(naming("bravo").admit(&product, 1), muted);
    }

    #[test]
    fn a_daemon_is_muted_by_its_name_only() {
        let muting = |name: &str| {
            let mute = Mute { processes: vec![name.to_owned()], ..Mute::default() };
            policy(Behavior { mute, ..Preset::Scanner.behavior() }).among([
                ("indexer", Actor(3)),
                ("bravo/helpers", Actor(3)),
                ("bravo/helpers", Actor(4)),
            ])
        };
        let daemon = Question { actor: Actor(3), ..question(SubjectClass::Workload) };
        let other = Question { actor: Actor(4), ..daemon };
        assert_eq!(kind(&muting("indexer").admit(&daemon, 1)), "answer");
        assert_eq!(kind(&muting("indexer").admit(&other, 1)), "work");
        assert_eq!(kind(&muting("bravo/helpers").admit(&daemon, 1)), "answer");
        assert_eq!(
            kind(&muting("bravo/helpers").admit(&other, 1)),
            "answer",
            "a name stands for all of them"
        );
        assert_eq!(kind(&muting("alpha/helpers").admit(&other, 1)), "work");
    }

    #[test]
    fn whose_events_set_a_reaction_to_being_told_off() {
        use SubjectClass::{Own, Peer, Workload};
        let reopen = Reaction { reopen: true, ..Reaction::none() };
        let observer = |react_to, ignore_es_clients| {
            policy(Behavior { on_notify: reopen, react_to, ignore_es_clients, ..Behavior::noop() })
        };
        let rows = [
            (observer(ReactTo::Workload, false), [true, false, false]),
            (observer(ReactTo::Peers, false), [true, true, false]),
            (observer(ReactTo::All, false), [true, true, true]),
            (observer(ReactTo::All, true), [true, false, true]),
            (policy(Behavior { react_to: ReactTo::All, ..Behavior::noop() }), [false, false, false]),
        ];
        for (policy, expected) in rows {
            let found = [Workload, Peer, Own].map(|class| policy.on_notify(&question(class), 1).is_some());
            assert_eq!(found, expected, "{:?}", policy.behavior());
        }
    }

    #[test]
    fn asking_alone_is_work() {
        use lab_model::{AuthEvents, Errand, Helpers};
        let errand = Errand { open: true, ..Errand::none() };
        let helpers = Some(Helpers { count: 1, errand, on: AuthEvents::of(AuthEvent::Open), wait: true });
        let asking = policy(Behavior { helpers, ..Behavior::noop() });
        assert_eq!(kind(&asking.admit(&question(SubjectClass::Workload), 1)), "work");
        assert_eq!(kind(&asking.admit(&question(SubjectClass::OwnHelper), 1)), "answer");
        let exec = Question { event: EventKind::AUTH_EXEC, ..question(SubjectClass::Workload) };
        assert_eq!(kind(&asking.admit(&exec, 1)), "answer", "they are asked about opens only");
    }

    #[test]
    fn denied_at_once_judged_by_path_or_allowed() {
        let rule = |path: Option<&str>, process: Option<&str>, on| DenyRule {
            path: path.map(str::to_owned),
            process: process.map(str::to_owned),
            signature: None,
            on,
        };
        let denying =
            |rule| policy(Behavior { deny: vec![rule], ..Behavior::noop() }).among([("bravo", Actor(3))]);
        use SubjectClass::{Own, Peer, Workload};
        let rows = [
            (rule(None, Some("bravo"), AuthEvents::ALL), Peer, "deny"),
            (rule(None, Some("bravo"), AuthEvents::of(AuthEvent::Exec)), Peer, "answer"),
            (rule(None, Some("bravo"), AuthEvents::ALL), Workload, "answer"),
            (rule(None, Some("workload"), AuthEvents::of(AuthEvent::Open)), Workload, "deny"),
            (rule(None, Some("workload"), AuthEvents::of(AuthEvent::Open)), Peer, "answer"),
            (rule(Some("a"), None, AuthEvents::ALL), Workload, "work"),
            (rule(Some("a"), None, AuthEvents::ALL), Peer, "work"),
            (rule(Some("a"), None, AuthEvents::ALL), Own, "answer"),
            (rule(Some("a"), Some("bravo"), AuthEvents::of(AuthEvent::Open)), Workload, "answer"),
        ];
        for (rule, class, expected) in rows {
            let found = denying(rule.clone()).admit(&question(class), 1);
            let denied = matches!(found, Admission::Answer { verdict: Verdict::Deny, .. });
            assert_eq!(if denied { "deny" } else { kind(&found) }, expected, "{rule:?} {class:?}");
        }
        let judge = denying(rule(Some("a/b"), None, AuthEvents::ALL)).judge(&question(Workload));
        for (path, expected) in [("a/b", true), ("a/b/c", true), ("a/bc", false), ("a", false), ("", false)] {
            let found = Found { path: Some(path.as_bytes()), signature: None };
            assert_eq!(judge.verdict(&found) == Verdict::Deny, expected, "{path}");
        }
        assert_eq!(judge.verdict(&Found::default()), Verdict::Allow, "a path that nobody knows");
    }

    #[test]
    fn a_program_is_judged_by_who_signed_it_once_that_is_known() {
        let by = |team: &str| Signature { signing_id: None, team_id: Some(team.to_owned()) };
        let rule = DenyRule {
            path: Some("programs".to_owned()),
            process: None,
            signature: Some(by("ABCDE12345")),
            on: AuthEvents::of(AuthEvent::Exec),
        };
        let denying = policy(Behavior { deny: vec![rule], ..Behavior::noop() });
        let open = question(SubjectClass::Workload);
        let exec = Question { event: EventKind::AUTH_EXEC, ..open };
        assert_eq!(kind(&denying.admit(&open, 1)), "answer", "an open runs no program");
        assert_eq!(kind(&denying.admit(&exec, 1)), "work");
        let (theirs, others) = (by("ABCDE12345"), by("OTHERTEAM1"));
        let found = |path: &'static [u8], signature| Found { path: Some(path), signature };
        let rows = [
            (found(b"programs/tool", Some(&theirs)), Verdict::Deny),
            (found(b"programs/tool", Some(&others)), Verdict::Allow),
            (found(b"programs/tool", None), Verdict::Allow),
            (found(b"elsewhere/tool", Some(&theirs)), Verdict::Allow),
            (Found { path: None, signature: Some(&theirs) }, Verdict::Allow),
        ];
        for (found, expected) in rows {
            assert_eq!(denying.judge(&exec).verdict(&found), expected, "{found:?}");
        }
    }

    #[test]
    fn only_what_the_rule_has_looked_at_is_kept() {
        let caching = policy(Behavior { cache: Cache::On, ..Preset::Scanner.behavior() });
        let kept = |class, verdict, approval| caching.keeps(class, verdict, approval);
        assert!(kept(SubjectClass::Workload, Verdict::Allow, Approval::Rule));
        assert!(!kept(SubjectClass::Workload, Verdict::Deny, Approval::Rule));
        assert!(!kept(SubjectClass::Workload, Verdict::Allow, Approval::DeadlineFallback));
        assert!(!kept(SubjectClass::Peer, Verdict::Allow, Approval::Rule), "left alone, not looked at");
        assert!(!kept(SubjectClass::Own, Verdict::Allow, Approval::OwnProcess));
        let asked = policy(Preset::Scanner.behavior());
        assert!(!asked.keeps(SubjectClass::Workload, Verdict::Allow, Approval::Rule), "the cache is off");
    }

    #[test]
    fn reading_through_the_descriptor_alone_is_work() {
        let reaction = Reaction { read: true, via: Via::Descriptor, ..Reaction::none() };
        let policy = policy(Behavior::noop().reacting(AuthEvent::Open, reaction));
        assert_eq!(kind(&policy.admit(&question(SubjectClass::Workload), 1)), "work");
        assert_eq!(reaction.operations(), 0, "nobody is asked about it");
    }

    #[test]
    fn a_noop_never_works_and_a_delay_alone_is_work() {
        let noop = policy(Behavior::noop());
        assert_eq!(kind(&noop.admit(&question(SubjectClass::Workload), 1)), "answer");
        let slow = policy(Behavior { delay: Span::from_millis(20).into(), ..Behavior::noop() });
        assert_eq!(kind(&slow.admit(&question(SubjectClass::Workload), 1)), "work");
        assert_eq!(kind(&slow.admit(&question(SubjectClass::Peer), 1)), "answer");
        let busy = policy(Behavior { cpu: Span::from_millis(20).into(), ..Behavior::noop() });
        assert_eq!(kind(&busy.admit(&question(SubjectClass::Workload), 1)), "work");
    }

    #[test]
    fn a_reaction_after_the_answer_does_not_hold_the_subject_up() {
        let reaction =
            Reaction { when: When::After, ..Preset::Scanner.behavior().reactions[AuthEvent::Open] };
        let policy = policy(Preset::Scanner.behavior().reacting(AuthEvent::Open, reaction));
        assert_eq!(kind(&policy.admit(&question(SubjectClass::Workload), 1)), "answer, then work");
    }

    #[test]
    fn the_kernels_deadline_wins_over_the_labs() {
        let policy = policy(Behavior { answer_by_percent: Some(50), ..Preset::Scanner.behavior() });
        let mut question = question(SubjectClass::Workload);
        assert_eq!(policy.deadline(&question), Ticks(1_000_001_000));
        question.deadline = Some(Ticks(2000));
        assert_eq!(policy.deadline(&question), Ticks(2000));
        let Admission::Work { answer_by, .. } = policy.admit(&question, 1) else { panic!("works") };
        assert_eq!(answer_by, Some(Ticks(1500)));
    }

    #[test]
    fn events_without_a_reaction_are_answered() {
        let policy = policy(Preset::Scanner.behavior());
        let question = Question { event: EventKind::Other(99), ..question(SubjectClass::Workload) };
        assert_eq!(kind(&policy.admit(&question, 1)), "answer");
    }
}
