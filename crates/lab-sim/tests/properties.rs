//! Whatever the lab: the run ends, every question is accounted for, and chance does not change the bytes.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

use lab_model::{
    AskedDaemon, AuthEvent, AuthEvents, Behavior, Cache, Concurrency, Daemon, DenyRule, Distribution, Errand,
    ExecProgram, FaultAction, Helpers, Lab, Mute, NotifyEvent, NotifyEvents, PlannedFault, Rate, ReactTo,
    Reaction, Reactions, Span, When, Workload,
};
use lab_sim::{Costs, Counting, Kernel, Options, Outcome, Size, check_determinism, simulate};
use lab_testing::labs::{self, lab};
use proptest::prelude::*;

fn reaction() -> impl Strategy<Value = Reaction> {
    let spawn =
        prop::sample::select(vec![None, None, None, Some(ExecProgram::Static), Some(ExecProgram::Script)]);
    (any::<bool>(), any::<bool>(), 0_u32..4, any::<bool>(), spawn).prop_map(
        |(reopen, read, extra_opens, before, spawn)| {
            let when = if before { When::Before } else { When::After };
            Reaction { reopen, read, hash: read, extra_opens, spawn, when, ..Reaction::none() }
        },
    )
}

/// Mostly nothing hidden, denied or burned.
fn hiding() -> impl Strategy<Value = Behavior> {
    let names = |names: &'static [&'static str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        prop_oneof![3 => Just(Vec::new()), 1 => Just(names)]
    };
    let mute = (names(&["files"]), names(&["c1", Mute::WORKLOAD]));
    let deny = prop_oneof![
        4 => Just(Vec::new()),
        1 => Just(vec![DenyRule { path: Some("bin".to_owned()), process: None, signature: None, on: AuthEvents::ALL }]),
        1 => Just(vec![DenyRule { path: None, process: Some("c0".to_owned()), signature: None, on: AuthEvents::of(AuthEvent::Open) }]),
    ];
    let cache = prop_oneof![3 => Just(Cache::Off), 1 => Just(Cache::On)];
    let subscribe = prop_oneof![4 => Just(AuthEvents::ALL), 1 => Just(AuthEvents::of(AuthEvent::Open)), 1 => Just(AuthEvents::NONE)];
    let cpu = prop_oneof![3 => Just(0_u64), 1 => Just(5_000_000)];
    (mute, deny, cache, subscribe, cpu).prop_map(|((paths, processes), deny, cache, subscribe, cpu)| {
        Behavior {
            mute: Mute { helpers: false, paths, processes },
            deny,
            cache,
            subscribe,
            cpu: Span::from_nanos(cpu).into(),
            ..Behavior::noop()
        }
    })
}

fn events() -> impl Strategy<Value = AuthEvents> {
    prop::sample::select(vec![
        AuthEvents::ALL,
        AuthEvents::of(AuthEvent::Open),
        AuthEvents::of(AuthEvent::Exec),
    ])
}

fn errand() -> impl Strategy<Value = Errand> {
    let spawn = prop::sample::select(vec![None, None, None, Some(ExecProgram::Dynamic)]);
    let time = prop::sample::select(vec![Span::default(), Span::from_nanos(200_000)]);
    (any::<bool>(), 0_u32..3, spawn, time.clone(), time).prop_map(|(open, extra_opens, spawn, delay, cpu)| {
        let (delay, cpu) = (delay.into(), cpu.into());
        Errand { delay, cpu, open, read: open, hash: false, extra_opens, spawn }
    })
}

/// Mostly nobody is told of anything.
fn telling() -> impl Strategy<Value = (NotifyEvents, Reaction)> {
    let kinds = prop::sample::subsequence(NotifyEvent::ALL.to_vec(), 1..4);
    let some = (kinds, prop_oneof![1 => Just(Reaction::none()), 2 => reaction()]);
    let some = some.prop_map(|(kinds, on_notify)| (kinds.into_iter().collect(), on_notify));
    prop_oneof![2 => Just((NotifyEvents::NONE, Reaction::none())), 1 => some]
}

/// Mostly nobody outside is asked.
fn asking() -> impl Strategy<Value = (Option<Helpers>, Vec<AskedDaemon>)> {
    let helpers = (1_u16..4, errand(), events(), any::<bool>());
    let helpers = helpers.prop_map(|(count, errand, on, wait)| Helpers { count, errand, on, wait });
    let daemon = (prop::sample::select(vec!["d0", "d1"]), events(), any::<bool>());
    let daemon = daemon.prop_map(|(id, on, wait)| AskedDaemon { daemon: id.parse().unwrap(), on, wait });
    let some = prop_oneof![2 => Just(None), 1 => helpers.prop_map(Some)];
    (some, prop_oneof![2 => Just(Vec::new()), 1 => daemon.prop_map(|daemon| vec![daemon])])
}

fn behavior() -> impl Strategy<Value = Behavior> {
    let react_to = prop::sample::select(vec![ReactTo::Workload, ReactTo::Peers, ReactTo::Own, ReactTo::All]);
    let budget = prop::option::of(1_u8..100);
    let delay = prop::sample::select(vec![
        Distribution::Fixed(Span::default()),
        Distribution::Fixed(Span::from_nanos(700_000)),
        Distribution::Exponential(Span::from_nanos(3_000)),
        Distribution::HeavyTail(Span::from_nanos(3_000), Span::from_nanos(50_000)),
    ]);
    (
        1_u16..6,
        reaction(),
        reaction(),
        react_to,
        any::<bool>(),
        budget,
        (delay, hiding(), asking(), telling()),
    )
        .prop_map(
            |(
                workers,
                on_open,
                on_exec,
                react_to,
                ignore_es_clients,
                answer_by_percent,
                (delay, hiding, asking, (notify, on_notify)),
            )| {
                let (helpers, daemons) = asking;
                Behavior {
                    concurrency: Concurrency::new(workers),
                    reactions: reactions(on_open, on_exec),
                    react_to,
                    ignore_es_clients,
                    answer_by_percent,
                    delay,
                    helpers,
                    daemons,
                    notify,
                    on_notify,
                    ..hiding
                }
            },
        )
}

fn load() -> impl Strategy<Value = Workload> {
    let rate = prop::sample::select(vec![Rate::Max, Rate::PerSecond(500), Rate::PerSecond(50_000)]);
    (0_usize..3, 1_u16..5, rate, 1_u64..30).prop_map(|(kind, workers, rate, most)| match kind {
        0 => labs::open_storm(workers, rate, Some(most)),
        1 => labs::exec_storm(lab_model::ExecProgram::Static, most),
        _ => labs::exec_storm(lab_model::ExecProgram::Dynamic, most),
    })
}

fn labs() -> impl Strategy<Value = Lab> {
    let clients = prop::collection::vec(behavior(), 1..5);
    let deadline = prop::sample::select(vec![200_u64, 20_000, 1_000_000]);
    let daemons = (errand(), errand(), 1_u16..4);
    (clients, prop::collection::vec(load(), 1..3), deadline, any::<u64>(), daemons).prop_map(
        |(behaviors, workload, deadline, seed, (first, second, workers))| {
            let mut lab = lab(behaviors.len(), &Behavior::noop(), 1);
            for (client, behavior) in lab.clients.iter_mut().zip(behaviors) {
                client.behavior = behavior;
            }
            let daemon = |id: &str, errand| Daemon { id: id.parse().unwrap(), workers, errand };
            lab.daemons = vec![daemon("d0", first), daemon("d1", second)];
            lab.seed = seed;
            lab.workload = workload;
            lab.deadline = Span::from_nanos(deadline * 1000);
            lab.phases.baseline = Span::from_millis(5);
            lab.phases.control = Span::from_millis(5);
            lab.phases.storm = Span::from_millis(20);
            lab.phases.drain = Span::from_millis(20);
            lab
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn every_run_adds_up(lab in labs(), fanotify in any::<bool>(), cores in 1_u16..5) {
        let kernel = if fanotify { Kernel::Fanotify } else { Kernel::EndpointSecurity };
        let costs = Costs { cores, ..Costs::default() };
        let options = Options { costs, decisions_max: 20_000, ..Options::new(&lab, kernel) };
        let mut counting = Counting::default();
        let summary = simulate(&lab, &options, &mut counting);
        prop_assert_eq!(counting.decisions, summary.decisions);
        let answered: u64 = summary.by_approval.iter().sum();
        prop_assert_eq!(counting.decisions_ended, answered);
        prop_assert_eq!(u64::from(summary.kills), counting.faults - u64::from(summary.cut == Some(lab_sim::Cut::RunMax)));
        let mut notices = 0;
        for told in &summary.told {
            for heard in [&told.events, &told.opens] {
                let sum = heard.notices + heard.merged + heard.lost + heard.unread;
                prop_assert_eq!(heard.happened, sum, "{:?}", told);
            }
            notices += told.events.notices;
        }
        prop_assert_eq!(counting.notices, notices, "every notice is recorded");
        if summary.in_flight == 0 && summary.kills == 0 {
            prop_assert_eq!(answered, summary.decisions, "every question read was answered");
            prop_assert_eq!(counting.operations, counting.operations_ended);
            let ended: u64 = summary.phases.iter().map(|phase| phase.root_latency.count()).sum();
            prop_assert_eq!(ended, summary.roots_begun);
        }
        if let Some(cycle) = &summary.cycle {
            prop_assert_eq!(summary.outcome, Outcome::Deadlocked);
            prop_assert!(cycle.clients.iter().any(|&client| usize::from(client) < lab.clients.len()));
        }
    }

    #[test]
    fn the_same_run_twice_is_the_same(lab in labs(), fanotify in any::<bool>(), cores in 1_u16..5) {
        let kernel = if fanotify { Kernel::Fanotify } else { Kernel::EndpointSecurity };
        let costs = Costs { cores, ..Costs::default() };
        let options = Options { costs, decisions_max: 3_000, ..Options::new(&lab, kernel) };
        prop_assert!(check_determinism(&lab, &options).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Where the plan says that every cascade ends, it ends, and without a kill or a loss its size is exact.
    #[test]
    fn a_planned_size_is_the_size(lab in labs(), fanotify in any::<bool>()) {
        let kernel = if fanotify { Kernel::Fanotify } else { Kernel::EndpointSecurity };
        let mut lab = lab;
        lab.phases.baseline = Span::default();
        lab.phases.control = Span::default();
        lab.phases.storm = Span::from_secs(100);
        lab.phases.drain = Span::from_secs(100);
        lab.deadline = Span::from_secs(50);
        lab.workload.truncate(1);
        let planned = lab_sim::plan(&lab, kernel, Costs::default());
        let Size::Exact(each) = planned.roots[0].size else { return Ok(()) };
        let summary = simulate(&lab, &Options::new(&lab, kernel), &mut Counting::default());
        prop_assert_eq!(summary.cycle, None, "what ends does not lock");
        prop_assert_eq!(summary.in_flight, 0);
        let less = summary.told.iter().any(|told| told.events.merged + told.events.lost > 0);
        if less {
            prop_assert!(summary.decisions <= each * summary.roots_begun);
        } else {
            prop_assert_eq!(summary.decisions, each * summary.roots_begun);
        }
    }
}

/// Deaths of daemons and of each client's first helper, and daemons that come back.
fn deaths(lab: &Lab) -> impl Strategy<Value = Vec<PlannedFault>> + use<> {
    let helped = lab.clients.iter().filter(|client| client.behavior.helpers.is_some());
    let helpers = helped.map(|client| PlannedFault::helper(client.id.as_str(), 1));
    let daemons = lab.daemons.iter().map(|daemon| daemon.id.to_string());
    let names: Vec<String> = helpers.chain(daemons).collect();
    let death = (prop::sample::select(names), 0_u64..15, 0_u64..5, 0_u8..3);
    let death = death.prop_map(|(on, at, after, kind)| {
        let action = match kind {
            0 => FaultAction::Kill,
            1 if !on.contains('.') => FaultAction::Restart { after: Span::from_millis(after) },
            _ => FaultAction::Stall { span: Span::from_millis(after) },
        };
        PlannedFault { at: Span::from_millis(at), on, action }
    });
    prop::collection::vec(death, 1..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// Whoever dies outside, each request is over once everything has ended, and its client goes on.
    #[test]
    fn requests_to_the_dead_are_over(
        (lab, faults) in labs().prop_flat_map(|lab| (Just(lab.clone()), deaths(&lab))),
        fanotify in any::<bool>(),
    ) {
        let kernel = if fanotify { Kernel::Fanotify } else { Kernel::EndpointSecurity };
        let lab = Lab { faults, ..lab };
        let options = Options { decisions_max: 20_000, ..Options::new(&lab, kernel) };
        let mut counting = Counting::default();
        let summary = simulate(&lab, &options, &mut counting);
        if summary.in_flight == 0 && summary.kills == 0 {
            prop_assert_eq!(counting.requests, counting.requests_ended);
            prop_assert_eq!(counting.decisions, counting.decisions_ended);
        }
        let short = Options { decisions_max: 3_000, ..options };
        prop_assert!(check_determinism(&lab, &short).is_ok());
    }
}

fn reactions(on_open: Reaction, on_exec: Reaction) -> Reactions {
    let mut reactions = Reactions::all(on_open);
    reactions[AuthEvent::Exec] = on_exec;
    reactions
}
