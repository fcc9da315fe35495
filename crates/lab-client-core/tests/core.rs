//! The whole client against its contract: every event is answered exactly once, whatever happens.

use std::collections::BTreeMap;

use lab_client_core::{Action, ClientCore, Input, Policy, Question, Whom};
use lab_model::{
    Actor, Approval, AskedDaemon, AuthEvent, AuthEvents, Behavior, Cache, Concurrency, Errand, EventKind,
    Helpers, Mute, Preset, ReactTo, Span, SubjectClass, Ticks, Timebase, Verdict, Via,
};
use proptest::prelude::*;

fn policy(behavior: Behavior) -> Policy {
    Policy::new(behavior, Span::from_nanos(1000), Timebase::NANOSECONDS)
}

fn question(class: SubjectClass) -> Question {
    let actor = Actor::UNKNOWN;
    Question { read: Ticks(1), event: EventKind::AUTH_OPEN, class, actor, deadline: None }
}

fn event(id: u64) -> Input {
    Input::Event { id, question: question(SubjectClass::Workload), draw: id }
}

fn step(core: &mut ClientCore, input: Input) -> Vec<Action> {
    let mut actions = Vec::new();
    core.step(Ticks(1), input, &mut actions);
    actions
}

#[test]
fn one_event_at_a_time_means_the_second_waits() {
    let behavior = Behavior { concurrency: Concurrency::new(1), ..Preset::Scanner.behavior() };
    let mut core = ClientCore::new(policy(behavior), 16);
    assert!(matches!(
        step(&mut core, event(1))[..],
        [Action::Start { id: 1 }, Action::Operate { id: 1, .. }]
    ));
    assert!(step(&mut core, event(2)).is_empty(), "nobody is free");
    let actions = step(&mut core, Input::Finished { id: 1 });
    let [Action::Answer { id: 1, worker: true, .. }, Action::Settled { id: 1 }, Action::Start { id: 2 }, ..] =
        actions[..]
    else {
        panic!("{actions:?}")
    };
    assert_eq!((core.pending(), core.busy()), (1, 1));
}

#[test]
fn the_timer_and_the_worker_race_once() {
    let behavior = Behavior { answer_by_percent: Some(50), ..Preset::Scanner.behavior() };
    let mut core = ClientCore::new(policy(behavior), 16);
    let actions = step(&mut core, event(1));
    assert_eq!(actions[0], Action::Arm { id: 1, at: Ticks(501) });
    let [Action::Answer { approval: Approval::DeadlineFallback, .. }] =
        step(&mut core, Input::Timer { id: 1 })[..]
    else {
        panic!("the timer answers")
    };
    assert!(step(&mut core, Input::Timer { id: 1 }).is_empty(), "the loser does nothing");
    assert_eq!(step(&mut core, Input::Finished { id: 1 }), [Action::Settled { id: 1 }]);
}

#[test]
fn a_helper_that_is_waited_for_takes_up_its_worker() {
    let errand = Errand { open: true, ..Errand::none() };
    for wait in [true, false] {
        let helpers = Some(Helpers { count: 1, errand, on: AuthEvents::ALL, wait });
        let mut core = ClientCore::new(policy(Behavior { helpers, ..Behavior::noop() }), 16);
        let [Action::Start { id: 1 }, Action::Ask { id: 1, ask }] = step(&mut core, event(1))[..] else {
            panic!("the helper is asked")
        };
        assert_eq!((ask.whom, ask.wait), (Whom::Helper, wait));
        assert_eq!((core.busy(), core.pending()), (1, 1));
        let actions = step(&mut core, Input::Finished { id: 1 });
        assert!(matches!(
            actions[..],
            [Action::Answer { id: 1, worker: true, .. }, Action::Settled { id: 1 }]
        ));
    }
}

#[test]
fn a_full_queue_allows_and_says_so() {
    let mut core = ClientCore::new(policy(Preset::Pathological.behavior()), 1);
    step(&mut core, event(1));
    let [Action::Answer { id: 2, approval: Approval::QueueFull, .. }, Action::Settled { id: 2 }] =
        step(&mut core, event(2))[..]
    else {
        panic!("the queue is full")
    };
}

proptest! {
    #[test]
    fn every_event_is_answered_exactly_once(
        classes in prop::collection::vec(0_usize..4, 1..60),
        schedule in prop::collection::vec((0_usize..3, any::<prop::sample::Index>()), 0..400),
        concurrency in 1_u16..5,
        react in 0_usize..4,
        after in any::<bool>(),
        descriptor in any::<bool>(),
        ignore_es_clients in any::<bool>(),
        helpers in any::<bool>(),
        asks in prop::option::of((any::<bool>(), prop::collection::vec(any::<bool>(), 0..4))),
        (denies, denied) in (any::<bool>(), any::<bool>()),
        budget in prop::option::of(1_u8..100),
        queue_max in 1_usize..20,
    ) {
        let class = |n: usize| [SubjectClass::Workload, SubjectClass::Own, SubjectClass::OwnHelper, SubjectClass::Peer][n];
        let mut behavior = Behavior {
            concurrency: Concurrency::new(concurrency),
            react_to: [ReactTo::Workload, ReactTo::Peers, ReactTo::Own, ReactTo::All][react],
            ignore_es_clients,
            mute: Mute { helpers, ..Mute::default() },
            cache: Cache::On,
            cpu: Span::from_nanos(u64::from(helpers)).into(),
            deny: if denies { Preset::Sample.behavior().deny } else { Vec::new() },
            answer_by_percent: budget,
            ..Preset::Pathological.behavior()
        };
        if let Some((wait, daemons)) = asks {
            let errand = Errand { open: true, ..Errand::none() };
            behavior.helpers = Some(Helpers { count: 2, errand, on: AuthEvents::ALL, wait });
            let asked = |wait| AskedDaemon { daemon: "indexer".parse().unwrap(), on: AuthEvents::ALL, wait };
            behavior.daemons = daemons.into_iter().map(asked).collect();
        }
        if after {
            behavior.reactions[AuthEvent::Open].when = lab_model::When::After;
        }
        if descriptor {
            behavior.reactions[AuthEvent::Open] = lab_model::Reaction { reopen: false, via: Via::Descriptor, ..behavior.reactions[AuthEvent::Open] };
        }
        let mut core = ClientCore::new(policy(behavior), queue_max);
        let (mut waiting, mut answers, mut settled) = (Vec::new(), BTreeMap::<u64, u32>::new(), 0);
        let mut note = |actions: Vec<Action>, waiting: &mut Vec<u64>, settled: &mut usize| {
            for action in actions {
                match action {
                    Action::Answer { id, keep, approval, .. } => {
                        assert!(!keep || approval == Approval::Rule, "only the rule's answers are kept");
                        *answers.entry(id).or_default() += 1;
                    }
                    Action::Wait { id, .. } | Action::Burn { id, .. } | Action::Inspect { id, .. } | Action::Judge { id } | Action::Operate { id, .. } | Action::Ask { id, .. } => waiting.push(id),
                    Action::Settled { .. } => *settled += 1,
                    Action::Start { .. } | Action::Arm { .. } => {}
                }
            }
        };
        let mut next = 0;
        for (what, index) in schedule {
            let input = match what {
                0 if next < classes.len() => {
                    next += 1;
                    Input::Event { id: next as u64, question: question(class(classes[next - 1])), draw: 1 }
                }
                1 if next > 0 => Input::Timer { id: index.index(next) as u64 + 1 },
                _ if !waiting.is_empty() => {
                    let id = waiting.swap_remove(index.index(waiting.len()));
                    // A verdict that nobody asked for is as good as any other end of a step.
                    let verdict = if denied { Verdict::Deny } else { Verdict::Allow };
                    if denies { Input::Judged { id, verdict } } else { Input::Finished { id } }
                }
                _ => continue,
            };
            note(step(&mut core, input), &mut waiting, &mut settled);
            prop_assert!(core.busy() <= concurrency);
        }
        while let Some(id) = waiting.pop() {
            note(step(&mut core, Input::Finished { id }), &mut waiting, &mut settled);
        }
        prop_assert_eq!((core.pending(), core.busy(), settled), (0, 0, next));
        prop_assert_eq!(answers.len(), next);
        prop_assert!(answers.values().all(|&count| count == 1));
    }
}
