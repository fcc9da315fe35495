//! What a client does not see: muted, kept, denied before it, not subscribed to.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

mod common;

use common::{KERNELS, run, run_with};
use lab_model::{
    AuthEvent, AuthEvents, Behavior, Cache, Concurrency, DenyRule, ExecProgram, Lab, LoadKind, Mute,
    PhaseKind, Rate, Reaction, Span, Via, Workload,
};
use lab_sim::{Costs, Counting, EsCache, Kernel, Options, Outcome, Size, Summary, plan, simulate};
use lab_testing::labs::{self, exec_storm, lab, scanner};

fn storm(directory: &str, files: u32) -> Workload {
    let load = labs::open_storm(1, Rate::Max, Some(100));
    let LoadKind::OpenStorm(storm) = load.kind.clone() else { unreachable!() };
    let storm = lab_model::OpenStorm { directory: directory.to_owned(), files, ..storm };
    Workload { kind: LoadKind::OpenStorm(storm), ..load }
}

/// Decisions of each client in storm and drain.
fn seen(summary: &Summary) -> Vec<u64> {
    summary.seen.iter().map(|row| row.iter().sum()).collect()
}

fn caching(caches: &[Cache]) -> Lab {
    let mut lab = lab(caches.len(), &Behavior::noop(), 1);
    for (client, cache) in lab.clients.iter_mut().zip(caches) {
        client.behavior.cache = *cache;
    }
    lab.workload = vec![storm("files", 1)];
    lab
}

#[test]
fn a_kept_answer_is_asked_for_once() {
    for kernel in KERNELS {
        let reading = Reaction { read: true, via: Via::Descriptor, ..Reaction::none() };
        for behavior in [Behavior::noop(), Behavior::noop().reacting(AuthEvent::Open, reading)] {
            let mut lab = caching(&[Cache::On, Cache::On, Cache::Off]);
            lab.clients.iter_mut().for_each(|client| {
                client.behavior.reactions[AuthEvent::Open] = behavior.reactions[AuthEvent::Open]
            });
            let summary = run(&lab, kernel);
            assert_eq!(seen(&summary), [1, 1, 100], "{kernel:?}");
            assert_eq!(summary.phase(PhaseKind::Storm).unwrap().root_latency.count(), 100);
            assert_eq!(plan(&lab, kernel, Costs::default()).roots[0].size, Size::Varies);
        }
    }
}

#[test]
fn whether_a_cache_is_shared_is_a_switch_of_endpoint_security_only() {
    let lab = caching(&[Cache::On, Cache::Off]);
    let run = |kernel, es_cache| {
        let options = Options { es_cache, ..Options::new(&lab, kernel) };
        seen(&simulate(&lab, &options, &mut Counting::default()))
    };
    assert_eq!(run(Kernel::EndpointSecurity, EsCache::Own), [1, 100]);
    assert_eq!(run(Kernel::EndpointSecurity, EsCache::Shared), [1, 1]);
    assert_eq!(run(Kernel::Fanotify, EsCache::Shared), [1, 100]);
}

#[test]
fn opens_and_execs_are_kept_apart() {
    let mut lab = lab(1, &Behavior { cache: Cache::On, ..Behavior::noop() }, 1);
    lab.workload = vec![exec_storm(ExecProgram::Static, 50)];
    // One opener at a time: two would both ask before the first answer is kept.
    lab.workload[0].workers = 1;
    assert_eq!(seen(&run(&lab, Kernel::Fanotify)), [2]);
    assert_eq!(seen(&run(&lab, Kernel::EndpointSecurity)), [1]);
}

/// The gallery's `mute-ladder`: 200 opens, of which three scanners open all or half again.
#[test]
fn mutes_take_away_what_they_name() {
    let mute = |paths: &[&str], processes: &[&str]| Mute {
        helpers: false,
        paths: paths.iter().map(|&path| path.to_owned()).collect(),
        processes: processes.iter().map(|&process| process.to_owned()).collect(),
    };
    let mut lab = lab(4, &scanner(), 1);
    lab.workload = vec![storm("files", 10), storm("noise", 10)];
    lab.clients[1].behavior.mute = mute(&["noise"], &[]);
    lab.clients[2].behavior.mute = mute(&[], &["c0"]);
    lab.clients[3].behavior.mute = mute(&[], &[Mute::WORKLOAD]);
    for (kernel, expected, sizes) in [
        // fanotify: 200 + 200 + 100 + 200 opens, all asked of all but what lies in `noise`.
        (Kernel::Fanotify, [700, 400, 700, 700], [16, 9]),
        (Kernel::EndpointSecurity, [500, 300, 500, 700], [13, 7]),
    ] {
        let summary = run(&lab, kernel);
        assert_eq!((seen(&summary).as_slice(), summary.outcome), (expected.as_slice(), Outcome::Stable));
        let planned = plan(&lab, kernel, Costs::default()).roots;
        assert_eq!([planned[0].size, planned[1].size], sizes.map(Size::Exact), "{kernel:?}");
        assert_eq!(summary.decisions, sizes.iter().map(|size| size * 100).sum::<u64>(), "and as it ran");
    }
}

#[test]
fn a_denial_ends_the_pass_on_fanotify_only() {
    let rule = DenyRule {
        path: Some("secret".to_owned()),
        process: None,
        signature: None,
        on: AuthEvents::of(AuthEvent::Open),
    };
    let guard = Behavior { concurrency: Concurrency::new(2), deny: vec![rule], ..Behavior::noop() };
    let mut lab = lab(2, &Behavior::noop(), 1);
    lab.clients[0].behavior = guard;
    lab.workload = vec![storm("files", 10), storm("secret", 10)];
    let mut bystander = std::collections::BTreeSet::new();
    for seed in 1..20 {
        lab.seed = seed;
        let summary = run(&lab, Kernel::Fanotify);
        let seen = seen(&summary);
        assert_eq!(seen[0], 200);
        bystander.insert(seen[1]);
        assert_eq!(self::seen(&run(&lab, Kernel::EndpointSecurity)), [200, 200]);
    }
    assert_eq!(bystander, [100, 200].into(), "it depends on who is asked first");
}

#[test]
fn a_denied_open_reads_nothing_and_is_recorded_as_failed() {
    let rule = DenyRule {
        path: None,
        process: Some(Mute::WORKLOAD.to_owned()),
        signature: None,
        on: AuthEvents::ALL,
    };
    for kernel in KERNELS {
        let lab = lab(1, &Behavior { deny: vec![rule.clone()], ..Behavior::noop() }, 10);
        let mut traces = lab_sim::Traces::default();
        simulate(&lab, &Options::new(&lab, kernel), &mut traces);
        let files = traces.into_files();
        let driver = lab_trace::Trace::parse(&files.last().unwrap().bytes).unwrap();
        let errors: Vec<u32> = driver
            .entries()
            .filter_map(|entry| match entry {
                lab_trace::Entry::Record { record: lab_trace::Record::Operation(operation), .. } => {
                    operation.end.present().map(|end| end.error)
                }
                _ => None,
            })
            .collect();
        assert_eq!(errors, [1; 10], "{kernel:?}: EPERM");
    }
}

#[test]
fn what_is_not_subscribed_to_is_not_asked() {
    for (subscribe, fanotify, es) in
        [(AuthEvents::of(AuthEvent::Exec), 1, 1), (AuthEvents::of(AuthEvent::Open), 1, 0)]
    {
        let mut lab = lab(1, &Behavior { subscribe, ..Behavior::noop() }, 1);
        lab.workload = vec![exec_storm(ExecProgram::Static, 20)];
        assert_eq!(seen(&run(&lab, Kernel::Fanotify)), [20 * fanotify], "{subscribe:?}");
        assert_eq!(seen(&run(&lab, Kernel::EndpointSecurity)), [20 * es], "{subscribe:?}");
        let planned = plan(&lab, Kernel::Fanotify, Costs::default()).roots[0].size;
        assert_eq!(planned, Size::Exact(fanotify));
    }
}

/// A delay lets time pass, however many clients have one; burning needs a processor each.
#[test]
fn a_busy_client_needs_a_processor() {
    let millis = Span::from_millis(10);
    let one_core = Costs { cores: 1, ..Costs::default() };
    let took = |behavior: Behavior, cores: Costs| {
        let mut lab = lab(4, &behavior, 4);
        lab.workload = vec![labs::open_storm(1, Rate::Max, Some(4))];
        let summary = run_with(&lab, Kernel::EndpointSecurity, cores);
        summary.phase(PhaseKind::Storm).unwrap().root_latency.mean().unwrap()
    };
    let waiting = took(Behavior { delay: millis.into(), ..Behavior::noop() }, one_core);
    assert!((10_000_000..12_000_000).contains(&waiting), "{waiting}");
    let burning = took(Behavior { cpu: millis.into(), ..Behavior::noop() }, one_core);
    assert!((36_000_000..44_000_000).contains(&burning), "{burning}");
    let four = Costs { cores: 4, ..one_core };
    let spread = took(Behavior { cpu: millis.into(), ..Behavior::noop() }, four);
    assert!((9_000_000..13_000_000).contains(&spread), "{spread}");
}
