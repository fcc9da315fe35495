//! A resolved lab, written out, reads back as the same lab.
#![allow(clippy::unwrap_used, reason = "generated labs are valid by construction")]

use lab_config::{Limits, parse, to_yaml};
use lab_model::{
    ArenaKind, AskedDaemon, AuthEvent, AuthEvents, BackendChoice, Behavior, Cache, Client, Concurrency,
    Daemon, DenyRule, Distribution, Errand, ExecProgram, ExecStorm, ExecTree, External, FaultAction, FileMix,
    Helpers, Lab, LoadKind, Mute, NotifyEvents, OpenList, OpenStorm, PhaseKind, Phases, PlannedFault,
    PrivateFolder, Rate, ReactTo, Reaction, Reactions, Ready, Recognized, Run, Safety, Service, Signature,
    Span, Via, When, Workload,
};
use proptest::prelude::*;

fn span(seconds_max: u64) -> impl Strategy<Value = Span> {
    prop_oneof![
        (1..=seconds_max).prop_map(Span::from_secs),
        (1..=seconds_max * 1_000).prop_map(Span::from_millis),
        (1..=seconds_max * 1_000_000_000).prop_map(Span::from_nanos),
    ]
}

fn span_or_zero(seconds_max: u64) -> impl Strategy<Value = Span> {
    prop_oneof![1 => Just(Span::default()), 4 => span(seconds_max)]
}

fn program() -> impl Strategy<Value = ExecProgram> {
    prop_oneof![Just(ExecProgram::Static), Just(ExecProgram::Dynamic), Just(ExecProgram::Script)]
}

fn time() -> impl Strategy<Value = Distribution<Span>> {
    prop_oneof![
        2 => span_or_zero(3_600).prop_map(Distribution::Fixed),
        1 => (span_or_zero(60), span(60)).prop_map(|(a, b)| Distribution::Uniform(a.min(b), a.max(b))),
        1 => span(60).prop_map(Distribution::Exponential),
        1 => (span(60), span(60)).prop_map(|(a, b)| Distribution::HeavyTail(a.min(b), a.max(b))),
    ]
}

prop_compose! {
    fn reaction()(
        reopen in any::<bool>(),
        read in any::<bool>(),
        descriptor in any::<bool>(),
        hash in any::<bool>(),
        extra_opens in 0..=1_000_u32,
        spawn in proptest::option::of(program()),
        when in prop_oneof![Just(When::Before), Just(When::After)],
    ) -> Reaction {
        let via = if descriptor { Via::Descriptor } else { Via::Path };
        let reopen = reopen && !descriptor;
        let read = read && (reopen || descriptor);
        Reaction { reopen, read, hash: read && hash, via, extra_opens, spawn, when }
    }
}

prop_compose! {
    fn mute()(
        helpers in any::<bool>(),
        paths in proptest::collection::vec("[a-zé '\"#:&*!0-9_-]{1,8}(/[a-z.]{3,6}x){0,2}", 0..3),
        processes in proptest::collection::vec(prop_oneof![Just("c0"), Just(Mute::WORKLOAD)], 0..3),
    ) -> Mute {
        Mute { helpers, paths, processes: processes.into_iter().map(str::to_owned).collect() }
    }
}

fn events() -> impl Strategy<Value = AuthEvents> {
    prop_oneof![
        Just(AuthEvents::ALL),
        Just(AuthEvents::of(AuthEvent::Open)),
        Just(AuthEvents::of(AuthEvent::Exec))
    ]
}

prop_compose! {
    fn deny_rule()(
        path in proptest::option::of("[a-z0-9.x]{1,8}x(/[a-z.]{3,6}x){0,2}"),
        process in prop_oneof![Just("c0"), Just(Mute::WORKLOAD)],
        by_process in any::<bool>(),
        (signing_id, team_id) in (proptest::option::of("[a-z.]{1,20}x"), proptest::option::of("[A-Z0-9]{9}X")),
        on in events(),
    ) -> DenyRule {
        let signed = signing_id.is_some() || team_id.is_some();
        let signature = signed.then_some(Signature { signing_id, team_id });
        let process = (by_process || path.is_none() && !signed).then(|| process.to_owned());
        DenyRule { path, process, signature, on: if signed { AuthEvents::of(AuthEvent::Exec) } else { on } }
    }
}

prop_compose! {
    /// A worker that does nothing is refused, so this one always opens something.
    fn errand()(
        (delay, cpu) in (time(), time()),
        open in any::<bool>(),
        (read, hash) in (any::<bool>(), any::<bool>()),
        more in 0..=999_u32,
        spawn in proptest::option::of(Just(ExecProgram::Static)),
    ) -> Errand {
        let extra_opens = if open { more } else { more + 1 };
        Errand { delay, cpu, open, read: read || hash, hash, extra_opens, spawn }
    }
}

prop_compose! {
    fn helpers()(count in 1..=Helpers::COUNT_MAX, errand in errand().boxed(), on in events(), wait in any::<bool>()) -> Helpers {
        Helpers { count, errand, on, wait }
    }
}

prop_compose! {
    fn behavior()(
        concurrency in 1..=256_u16,
        on_open in reaction().boxed(),
        on_exec in reaction().boxed(),
        react_to in prop_oneof![
            Just(ReactTo::Workload), Just(ReactTo::Peers), Just(ReactTo::Own), Just(ReactTo::All)
        ],
        ignore_es_clients in any::<bool>(),
        mute in mute().boxed(),
        cache in prop_oneof![Just(Cache::Off), Just(Cache::On)],
        answer_by_percent in proptest::option::of(1..=99_u8),
        (delay, cpu) in (time(), time()),
        (subscribe, deny) in (events(), proptest::collection::vec(deny_rule(), 0..3)),
        (notify, on_notify) in (0..64_u16, reaction().boxed()),
        helpers in proptest::option::of(helpers().boxed()),
    ) -> Behavior {
        let concurrency = Concurrency::new(concurrency);
        Behavior {
            subscribe: if notify % 2 == 1 { AuthEvents::NONE } else { subscribe },
            notify: NotifyEvents::from_bits(notify),
            on_notify: if notify == 0 { Reaction::none() } else { Reaction { when: When::Before, ..on_notify } },
            concurrency,
            reactions: reactions(on_open, on_exec),
            react_to,
            ignore_es_clients,
            mute,
            cache,
            answer_by_percent,
            delay,
            cpu,
            deny,
            helpers,
            daemons: Vec::new(),
        }
    }
}

fn rate() -> impl Strategy<Value = Rate> {
    prop_oneof![
        Just(Rate::Max),
        (1..=10_000_000_u32).prop_map(Rate::PerSecond),
        (1..=1_000_000_u32, span(60)).prop_map(|(operations, every)| Rate::Burst { operations, every }),
        (0..=10_000_u32, 1..=10_000_000_u32).prop_map(|(from, to)| Rate::Ramp { from, to }),
    ]
}

fn bytes() -> impl Strategy<Value = Distribution<u32>> {
    prop_oneof![
        (0..=65_536_u32).prop_map(Distribution::Fixed),
        (0..100_u32, 100..=65_536_u32).prop_map(|(from, to)| Distribution::Uniform(from, to)),
        (1..=65_536_u32).prop_map(Distribution::Exponential),
        (1..100_u32, 100..=65_536_u32).prop_map(|(p50, p99)| Distribution::HeavyTail(p50, p99)),
    ]
}

prop_compose! {
    fn file_mix()(
        workers in 1..=256_u16,
        files in 1..=50_u32,
        directory in "[a-z]{1,5}",
        (directories, depth) in (1..=10_000_u32, 1..=8_u8),
        file_bytes in bytes(),
        extensions in proptest::collection::vec("[a-z0-9_]{1,5}", 1..4),
        (read, write, create) in (1..=1_000_000_u32, 0..=1_000_000_u32, 0..=1_000_000_u32),
        rate in rate(),
        operations_max in proptest::option::of(1..=u64::MAX),
    ) -> Workload {
        Workload { workers, rate, operations_max, ..Workload::of(LoadKind::FileMix(FileMix { files, directory, directories, depth, file_bytes, extensions, read, write, create })) }
    }
}

prop_compose! {
    fn open_list()(
        workers in 1..=256_u16,
        paths in proptest::collection::vec("[a-zé '\"#:&*!0-9_-]{1,8}x(/[a-z.]{3,6}x){0,2}", 1..5),
        file_bytes in bytes(),
        rate in rate(),
        operations_max in proptest::option::of(1..=u64::MAX),
    ) -> Workload {
        // No path may be the folder of another.
        let number = |(nth, path): (usize, String)| format!("{nth}{path}");
        let paths = paths.into_iter().enumerate().map(number).collect();
        Workload { workers, rate, operations_max, ..Workload::of(LoadKind::OpenList(OpenList { paths, directory: "list".to_owned(), file_bytes })) }
    }
}

prop_compose! {
    fn command()(
        workers in 1..=256_u16,
        command in proptest::collection::vec("[a-zé '\"#:&*!0-9_/-]{1,12}", 1..5),
        directory in proptest::option::of("[a-z]{1,5}"),
        operations_max in 1..=u64::MAX,
    ) -> Workload {
        Workload { workers, operations_max: Some(operations_max), ..Workload::of(LoadKind::Run(Run { command, directory })) }
    }
}

prop_compose! {
    fn exec_tree()(
        workers in 1..=256_u16,
        (fanout, depth) in (1..=4_u32, 0..=4_u32),
        rate in rate(),
        operations_max in proptest::option::of(1..=u64::MAX),
    ) -> Workload {
        Workload { workers, rate, operations_max, ..Workload::of(LoadKind::ExecTree(ExecTree { fanout, depth })) }
    }
}

prop_compose! {
    fn open_storm()(
        workers in 1..=256_u16,
        files in 1..=500_u32,
        directory in "[a-z]{1,5}|[a-zé '\"#:&*!0-9_-]{1,8}(/[a-z.]{3,6}x){0,2}",
        file_bytes in 0..=65_536_u32,
        rate in rate(),
        operations_max in proptest::option::of(1..=u64::MAX),
    ) -> Workload {
        let kind = LoadKind::OpenStorm(OpenStorm { files, directory, file_bytes });
        Workload { workers, rate, operations_max, ..Workload::of(kind) }
    }
}

prop_compose! {
    fn exec_storm()(
        workers in 1..=256_u16,
        program in program(),
        rate in rate(),
        operations_max in proptest::option::of(1..=u64::MAX),
    ) -> Workload {
        let kind = LoadKind::ExecStorm(ExecStorm { program });
        Workload { workers, rate, operations_max, ..Workload::of(kind) }
    }
}

fn workload() -> impl Strategy<Value = Workload> {
    let load = prop_oneof![open_storm(), exec_storm(), file_mix(), open_list(), exec_tree(), command()];
    // One load at least runs in the storm, so each does.
    (load, any::<[bool; 3]>()).prop_map(|(load, [baseline, control, external])| {
        let named = [
            (PhaseKind::Baseline, baseline),
            (PhaseKind::Control, control),
            (PhaseKind::External, external),
            (PhaseKind::Storm, true),
        ];
        let phases = named.into_iter().filter(|(_, runs)| *runs).map(|(phase, _)| phase).collect();
        Workload { phases, ..load }
    })
}

/// Expectations come from the reader itself: only it knows what a condition's text means.
fn expect_items() -> impl Strategy<Value = Vec<String>> {
    let condition = prop_oneof![
        Just("deadline.misses == 0"),
        Just("headroom.p01>50.5%"),
        Just("outcome != divergent"),
        Just("op_latency.storm.p99 <= 1.5ms"),
        Just("gain.c0.c0 < 0.25"),
    ];
    let item = (condition, 0..4_u8, span_or_zero(60)).prop_map(|(text, kind, after)| match kind {
        0 => format!("{{ sometimes: {text} }}"),
        1 => format!("{{ text: {text}, abort: true, after: {after} }}"),
        2 => format!("{{ text: {text} }}"),
        _ => text.to_owned(),
    });
    proptest::collection::vec(item, 0..4)
}

fn expectations(items: &[String]) -> Vec<lab_model::Expectation> {
    let list: String = items.iter().map(|item| format!("  - {item}\n")).collect();
    let expect = if items.is_empty() { String::new() } else { format!("expect:\n{list}") };
    let source =
        format!("schema: 1\nname: x\nclients: [{{ id: c0 }}]\nworkload: [open_storm: {{}}]\n{expect}");
    parse("x", source, &Limits::default()).unwrap().expect
}

prop_compose! {
    fn clients()(behaviors in proptest::collection::vec(behavior().boxed(), 1..5), named in any::<bool>()) -> Vec<Client> {
        let client = |(index, behavior): (usize, Behavior)| Client {
            id: format!("c{index}").parse().unwrap(),
            bundle_id: match named {
                true => format!("com.example.C{index}").parse().unwrap(),
                false => format!("org.eslab.x.c{index}").parse().unwrap(),
            },
            restart: (index % 2 == 1 && behavior.helpers.is_none()).then(|| Span::from_millis(500)),
            behavior,
        };
        behaviors.into_iter().enumerate().map(client).collect()
    }
}

/// Faults of every kind that fit the lab, from drawn numbers: kind, client, the share of the storm, a length.
fn faults(drawn: &[(u8, usize, u64, Span)], clients: &[Client], storm: Span) -> Vec<PlannedFault> {
    let fault = |&(kind, client, share, span): &(u8, usize, u64, Span)| {
        let client = &clients[client % clients.len()];
        let at = Span::from_nanos(storm.nanos() / 100 * share);
        let changed =
            Behavior { delay: client.behavior.delay.shifted(Span::from_nanos(1)), ..client.behavior.clone() };
        let on = |name: &str| name.to_owned();
        let (on, action) = match kind {
            0 => (on(client.id.as_str()), FaultAction::Stall { span }),
            1 => (on(PlannedFault::DRIVER), FaultAction::Stall { span }),
            2 => match client.behavior.helpers {
                Some(helpers) => (PlannedFault::helper(client.id.as_str(), helpers.count), FaultAction::Kill),
                None => (on(client.id.as_str()), FaultAction::Kill),
            },
            3 => match client.behavior.helpers {
                Some(_) => {
                    (PlannedFault::helper(client.id.as_str(), 1), FaultAction::Restart { after: span })
                }
                None => (on(client.id.as_str()), FaultAction::Restart { after: span }),
            },
            4 => (on(client.id.as_str()), FaultAction::Slow { by: span, span }),
            5 => (on(client.id.as_str()), FaultAction::Deny { path: Some("files/x".into()), span }),
            6 => (on(client.id.as_str()), FaultAction::Deny { path: None, span }),
            7 => (on(PlannedFault::MACHINE), FaultAction::CpuLoad { threads: 3, span }),
            8 => (on(client.id.as_str()), FaultAction::Descriptors { limit: 17, span }),
            9 if client.behavior.helpers.is_some() => {
                let name = PlannedFault::helper(client.id.as_str(), 1);
                let errand = client.behavior.helpers.map_or(Errand::none(), |helpers| helpers.errand);
                let errand = Errand { delay: errand.delay.shifted(Span::from_nanos(1)), ..errand };
                (name, FaultAction::Serve { service: Service { errand, workers: 1 }, span: Some(span) })
            }
            _ => {
                let span = (share % 2 == 0).then_some(span);
                (on(client.id.as_str()), FaultAction::Behave { behavior: Box::new(changed), span })
            }
        };
        PlannedFault { at, on, action }
    };
    let mut faults: Vec<PlannedFault> = drawn.iter().map(fault).collect();
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn texts() -> impl Strategy<Value = Vec<(String, String)>> {
    proptest::collection::btree_map("[A-Za-z_]{1,8}", "[ -<>-~é\n\t]{0,40}", 0..3)
        .prop_map(|texts| texts.into_iter().collect())
}

prop_compose! {
    fn private_folder()(
        path in "(/[a-z.]{3,6}x){1,3}",
        from in proptest::option::of("(/[a-z.]{3,6}x){1,3}"),
        folders in proptest::collection::vec("[a-z]{1,5}(/[a-z.]{3,6}x){0,2}", 0..3),
        files in texts(),
    ) -> PrivateFolder {
        PrivateFolder { path, from, folders, files }
    }
}

fn ready() -> impl Strategy<Value = Ready> {
    prop_oneof![
        Just(Ready::Mark),
        Just(Ready::Started),
        "(/[a-z.]{3,6}x){1,3}".prop_map(Ready::File),
        "[ -~]{1,20}".prop_map(Ready::Line),
    ]
}

prop_compose! {
    fn external()(
        program in "(/[a-z.]{3,6}x){1,3}",
        arguments in proptest::collection::vec("[ -~é\n]{0,12}|\\{arena\\}/x", 0..3),
        environment in texts(),
        ready in ready(),
        ready_within in span(600),
        known in (proptest::option::of("(/[a-z.]{3,6}x){1,3}"), proptest::option::of("[ -~]{0,9}")),
        private in proptest::collection::vec(private_folder(), 0..3),
    ) -> External {
        External {
            id: "product".parse().unwrap(),
            start: [program].into_iter().chain(arguments).collect(),
            environment,
            ready,
            ready_within,
            process: Recognized { path: known.0, signing_id: known.1.clone(), team_id: known.1 },
            arena: None,
            private,
        }
    }
}

prop_compose! {
    /// At most two products, that agree about the arena.
    fn externals()(
        several in proptest::collection::vec(external(), 0..3),
        arena in prop_oneof![Just(None), Just(Some(ArenaKind::Tmpfs)), Just(Some(ArenaKind::Ramfs))],
    ) -> Vec<External> {
        let named = |(place, external)| External {
            id: format!("product-{place}").parse().unwrap(), arena, ..external
        };
        several.into_iter().enumerate().map(named).collect()
    }
}

prop_compose! {
    fn lab()(
        name in "[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?|true|null|no|1e5|0x10|123",
        about in any::<String>(),
        seed in any::<u64>(),
        backend in proptest::sample::select(BackendChoice::ALL.to_vec()),
        deadline in span(60),
        mut clients in clients().boxed(),
        daemons in proptest::collection::vec((1..=Daemon::WORKERS_MAX, errand().boxed()), 0..3),
        (on, wait) in (events(), any::<bool>()),
        baseline in span_or_zero(50),
        control in span_or_zero(50),
        storm in span(50),
        drain in span_or_zero(50),
        external in externals().boxed(),
        workload in proptest::collection::vec(workload().boxed(), 1..4),
        expect in expect_items(),
        limits in (1_u64 << 20..=1 << 40, 1_u64 << 30..=1 << 40, 1..=u64::MAX),
        run_max in 300..=3_600_u64,
        drawn in proptest::collection::vec((0..11_u8, any::<usize>(), 0..100_u64, span(9)), 0..5),
    ) -> Lab {
        let (trace_bytes_max, arena_bytes_max, baseline_operations_max) = limits;
        let run_max = Span::from_secs(run_max);
        let daemons: Vec<Daemon> = daemons
            .into_iter()
            .enumerate()
            .map(|(nth, (workers, errand))| Daemon { id: format!("d{nth}").parse().unwrap(), workers, errand })
            .collect();
        // The first asks all of them, for a daemon that nobody asks is refused.
        for (nth, client) in clients.iter_mut().enumerate() {
            let asked = daemons.iter().skip(nth);
            let asked = asked.map(|daemon| AskedDaemon { daemon: daemon.id.clone(), on, wait });
            client.behavior.daemons = asked.collect();
        }
        let beside = if external.is_empty() { Span::default() } else { control };
        Lab {
            faults: faults(&drawn, &clients, storm),
            name, about, seed, backend, deadline, clients, workload,
            daemons,
            external,
            hold: Vec::new(),
            phases: Phases { baseline, control, external: beside, storm, drain },
            expect: expectations(&expect),
            safety: Safety { trace_bytes_max, arena_bytes_max, run_max, baseline_operations_max },
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_written_lab_reads_back_as_itself(lab in lab()) {
        let text = to_yaml(&lab);
        match parse("resolved.yaml", &text, &Limits::default()) {
            Ok(again) => prop_assert_eq!(again, lab, "{}", text),
            Err(report) => prop_assert!(false, "{}\n{}", report, text),
        }
    }
}

fn reactions(on_open: Reaction, on_exec: Reaction) -> Reactions {
    let mut reactions = Reactions::all(on_open);
    reactions[AuthEvent::Exec] = on_exec;
    reactions
}
