//! Planned faults and clients that come back: what each does to a run, and that the analysis of live runs accounts
//! for it as it does for a live one.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

mod common;

use common::KERNELS;
use lab_analysis::findings::{ApprovalWay, FaultMarkKind, Findings, ProcessEnd, Requests};
use lab_model::{
    Approval, AskedDaemon, AuthEvent, AuthEvents, Behavior, Cache, Daemon, Errand, FaultAction, Helpers, Lab,
    LoadKind, Mute, PhaseKind, PlannedFault, PlannedKind, Rate, ReactTo, Service, Span,
};
use lab_sim::{Kernel, Options, Summary, check_determinism, not_simulated};
use lab_testing::{
    found::{approved, ends, expected, lasted_ns, storm, the_fault},
    labs::{lab, open_storm, scanner},
    simulated::analysed,
};

const fn ms(milliseconds: u64) -> Span {
    Span::from_millis(milliseconds)
}

/// Two clients that answer at once, a second to do it in, and so many opens at 500 a second.
fn noops(operations: u64, faults: Vec<PlannedFault>) -> Lab {
    let mut lab = lab(2, &Behavior::noop(), 1);
    lab.phases.storm = Span::from_secs(20);
    lab.phases.drain = Span::from_secs(2);
    lab.workload = vec![open_storm(1, Rate::PerSecond(500), Some(operations))];
    lab.faults = faults;
    lab
}

fn fault(on: &str, at: u64, action: FaultAction) -> PlannedFault {
    PlannedFault { at: ms(at), on: on.to_owned(), action }
}

fn run(lab: &Lab, kernel: Kernel) -> (Summary, Findings) {
    let (summary, findings) = analysed(lab, kernel);
    let totals = &findings.totals;
    assert_eq!(totals.explained, totals.decisions, "{kernel:?}");
    check_determinism(lab, &Options::new(lab, kernel)).unwrap();
    (summary, findings)
}

#[test]
fn a_client_that_crashes_comes_back_as_itself() {
    for kernel in KERNELS {
        let mut lab = noops(1000, vec![fault("c1", 500, FaultAction::Kill)]);
        lab.clients[1].restart = Some(ms(300));
        let (summary, report) = run(&lab, kernel);
        assert_eq!(report.clients.len(), 2, "both processes are one client");
        assert_eq!(ends(&report, 1), [ProcessEnd::Signal(9), ProcessEnd::Clean]);
        assert_eq!((approved(&report, 0, Approval::Rule), report.approvals.unknown), (1000, 0));
        let (decided, dead) =
            (approved(&report, 1, Approval::Rule), approved(&report, 1, Approval::DeadClient));
        assert_eq!(decided + dead, 1000, "asked, or approved by its death");
        // 300 ms and what a process needs to start, at 500 a second.
        assert!((150..160).contains(&dead), "{kernel:?}: {dead} while it was away");
        assert_eq!(summary.decisions, 1000 + decided);
        assert_eq!((summary.kills, summary.in_flight), (0, 0), "no deadline was missed");
        assert_eq!(the_fault(&report, PlannedKind::Kill).actor, "c1");
    }
}

#[test]
fn a_client_stopped_past_its_deadline_is_killed_and_may_come_back() {
    for kernel in KERNELS {
        for restart in [None, Some(ms(100))] {
            let mut lab = noops(1500, vec![fault("c1", 300, FaultAction::Stall { span: ms(10_000) })]);
            lab.clients[1].restart = restart;
            let (summary, report) = run(&lab, kernel);
            let expected: &[ProcessEnd] = if restart.is_some() {
                &[ProcessEnd::DeadlineKill, ProcessEnd::Clean]
            } else {
                &[ProcessEnd::DeadlineKill]
            };
            assert_eq!(ends(&report, 1), expected);
            assert_eq!((report.clients[1].deadline_misses, summary.kills), (1, 1));
            assert_eq!(
                approved(&report, 1, Approval::Rule) + approved(&report, 1, Approval::DeadClient),
                1500
            );
            assert_eq!(report.approvals.unknown, 0);
            let kill = the_fault(&report, FaultMarkKind::DeadlineKill).at_ns;
            let stall = the_fault(&report, PlannedKind::Stall);
            let waited = kill - stall.at_ns;
            // The first open after the stall began waits for the whole deadline: opens come every 2 ms.
            assert!((1_000_000_000..1_003_000_000).contains(&waited), "{kernel:?}: {waited}");
            assert!((waited..waited + 2_000_000).contains(&lasted_ns(stall)), "its end is the stall's");
            assert!(storm(&report).op_latency_ns.max >= 1_000_000_000);
        }
    }
}

#[test]
fn a_restart_needs_no_setting_of_the_client_and_costs_a_cache() {
    for kernel in KERNELS {
        let restart = |at| fault("c1", at, FaultAction::Restart { after: ms(50) });
        let mut lab = noops(800, vec![restart(300), restart(900)]);
        for client in &mut lab.clients {
            client.behavior.cache = Cache::On;
        }
        let (summary, report) = run(&lab, kernel);
        assert_eq!(ends(&report, 1), [ProcessEnd::Signal(9), ProcessEnd::Signal(9), ProcessEnd::Clean]);
        // 50 files: each is asked about once by each process of the client. On Endpoint Security a new client
        // empties the cache of the others, too.
        let asked: Vec<u64> = summary.seen.iter().map(|row| row.iter().sum()).collect();
        let others = match kernel {
            Kernel::Fanotify => 50,
            Kernel::EndpointSecurity => 150,
        };
        assert_eq!(asked[0], others, "{kernel:?}");
        // Until it is known again, a process keeps nothing: two or three opens.
        assert!((150 + 4..=150 + 6).contains(&asked[1]), "{kernel:?}: {}", asked[1]);
        let all = ["rule", "dead-client", "cache-hit"].map(|way| approved(&report, 1, way));
        let unknown = report.clients[1].approvals.unknown;
        assert_eq!(all.iter().sum::<u64>() + unknown, 800, "{all:?}");
    }
}

#[test]
fn a_stall_shorter_than_the_deadline_costs_no_client() {
    for kernel in KERNELS {
        let lab = noops(800, vec![fault("c1", 300, FaultAction::Stall { span: ms(700) })]);
        let (_, report) = run(&lab, kernel);
        assert_eq!(
            (approved(&report, 0, Approval::Rule), approved(&report, 1, Approval::Rule)),
            (800, 800),
            "nobody was killed"
        );
        assert_eq!(ends(&report, 1), [ProcessEnd::Clean]);
        assert_eq!(lasted_ns(the_fault(&report, PlannedKind::Stall)), 700_000_000);
        let slowest = storm(&report).op_latency_ns.max;
        assert!((690_000_000..710_000_000).contains(&slowest), "the workload waited for it: {slowest}");
    }
}

#[test]
fn a_frozen_lab_stands_still_and_goes_on() {
    let all = FaultAction::Freeze { names: Vec::new(), span: ms(500) };
    let some = FaultAction::Freeze { names: vec!["driver".into(), "c1".into()], span: ms(500) };
    for (kernel, action) in
        KERNELS.into_iter().flat_map(|kernel| [(kernel, all.clone()), (kernel, some.clone())])
    {
        let lab = noops(600, vec![fault(PlannedFault::MACHINE, 300, action)]);
        let (_, report) = run(&lab, kernel);
        assert_eq!(
            (approved(&report, 0, Approval::Rule), approved(&report, 1, Approval::Rule)),
            (600, 600),
            "nobody was killed"
        );
        assert_eq!(lasted_ns(the_fault(&report, PlannedKind::Freeze)), 500_000_000);
        let slowest = storm(&report).op_latency_ns.max;
        assert!((490_000_000..510_000_000).contains(&slowest), "planned opens came late: {slowest}");
    }
}

#[test]
fn what_is_stalled_and_frozen_goes_on_after_the_longer_of_the_two() {
    for (kernel, (stall, freeze)) in
        KERNELS.into_iter().flat_map(|kernel| [(kernel, (600, 200)), (kernel, (200, 600))])
    {
        let freeze = FaultAction::Freeze { names: vec!["c1".into()], span: ms(freeze) };
        let faults = vec![fault("c1", 300, FaultAction::Stall { span: ms(stall) }), fault("c1", 300, freeze)];
        let (_, report) = run(&noops(600, faults), kernel);
        let slowest = storm(&report).op_latency_ns.max;
        assert!((590_000_000..610_000_000).contains(&slowest), "{kernel:?}: {slowest}");
    }
}

#[test]
fn a_client_that_is_frozen_past_the_deadline_is_killed() {
    for kernel in KERNELS {
        let freeze = FaultAction::Freeze { names: vec!["c1".into()], span: ms(10_000) };
        let lab = noops(1500, vec![fault("c1", 300, freeze)]);
        let (_, report) = run(&lab, kernel);
        assert_eq!(ends(&report, 0), [ProcessEnd::Clean]);
        assert_ne!(ends(&report, 1), [ProcessEnd::Clean], "{kernel:?}");
    }
}

#[test]
fn a_stalled_driver_makes_no_operations() {
    for kernel in KERNELS {
        let lab = noops(600, vec![fault("driver", 300, FaultAction::Stall { span: ms(500) })]);
        let (_, report) = run(&lab, kernel);
        assert_eq!(approved(&report, 1, Approval::Rule), 600);
        let slowest = storm(&report).op_latency_ns.max;
        assert!((490_000_000..510_000_000).contains(&slowest), "planned opens came late: {slowest}");
    }
}

#[test]
fn a_client_denies_slows_down_or_keeps_answers_for_a_while() {
    for kernel in KERNELS {
        let deny = FaultAction::Deny { path: None, span: ms(400) };
        let (_, report) = run(&noops(700, vec![fault("c1", 300, deny)]), kernel);
        let denied = report.storm.denied;
        assert_eq!(denied, 200, "{kernel:?}: 400 ms at 500 a second");
        assert_eq!(storm(&report).root_ops_failed, denied);
        assert_eq!(approved(&report, 1, Approval::Rule), 700, "it was asked each time");
        let before = approved(&report, 0, ApprovalWay::DeniedBefore);
        assert!(before == 0 || (before == denied && kernel == Kernel::Fanotify), "{before} of {denied}");
        assert_eq!(approved(&report, 0, Approval::Rule), 700 - before);

        let slow = FaultAction::Slow { by: ms(5), span: ms(400) };
        let (_, report) = run(&noops(800, vec![fault("c1", 300, slow)]), kernel);
        assert!(report.clients[1].latency_ns.max >= 5_000_000);
        assert!(report.clients[1].latency_ns.p50 < 5_000_000, "before and after it is as it was");
        assert_eq!(approved(&report, 1, Approval::Rule), 800);

        let caching = Box::new(Behavior { cache: Cache::On, ..Behavior::noop() });
        let behave = FaultAction::Behave { behavior: caching, span: Some(ms(500)) };
        let (_, report) = run(&noops(800, vec![fault("c1", 300, behave)]), kernel);
        let (rule, kept) = (approved(&report, 1, Approval::Rule), approved(&report, 1, Approval::CacheHit));
        assert_eq!((rule + kept, report.approvals.unknown), (800, 0));
        assert_eq!(
            kept,
            250 - 50,
            "{kernel:?}: 500 ms at 500 a second, but for one question for each of 50 files"
        );
    }
}

#[test]
fn a_client_without_descriptors_denies_by_exhaustion() {
    let limit = FaultAction::Descriptors { limit: 0, span: ms(400) };
    let (_, report) = run(&noops(700, vec![fault("c1", 300, limit.clone())]), Kernel::Fanotify);
    assert_eq!(approved(&report, 1, ApprovalWay::Exhausted), 200);
    assert_eq!((storm(&report).root_ops_failed, report.storm.denied), (200, 0));
    assert_eq!(approved(&report, 1, Approval::Rule), 500);
    assert_eq!(report.totals.lost, 200, "its own trace says what is missing");
    let before = approved(&report, 0, ApprovalWay::DeniedBefore);
    assert!(before == 0 || before == 200, "{before}");
    // Endpoint Security hands no descriptor over.
    let (_, report) = run(&noops(700, vec![fault("c1", 300, limit.clone())]), Kernel::EndpointSecurity);
    assert_eq!(approved(&report, 1, Approval::Rule), 700);
    // Without any, the driver's own opens fail before anybody is asked.
    for kernel in KERNELS {
        let (_, report) = run(&noops(700, vec![fault("driver", 300, limit.clone())]), kernel);
        assert_eq!(
            (approved(&report, 0, ApprovalWay::FailedBefore), approved(&report, 1, Approval::Rule)),
            (200, 500),
            "{kernel:?}"
        );
    }
}

#[test]
fn a_load_on_the_processors_slows_everybody_and_ends() {
    for kernel in KERNELS {
        let load = FaultAction::CpuLoad { threads: 4, span: ms(300) };
        let (summary, report) = run(&noops(400, vec![fault("machine", 200, load)]), kernel);
        let load = the_fault(&report, PlannedKind::CpuLoad);
        assert_eq!(
            (lasted_ns(load), load.actor.as_str(), load.detail.as_str()),
            (300_000_000, "machine", "4 threads")
        );
        let (quiet, _) = run(&noops(400, Vec::new()), kernel);
        let p99 = |summary: &Summary| summary.phase(PhaseKind::Storm).unwrap().root_latency.at(990).unwrap();
        assert!(p99(&summary) > 10 * p99(&quiet), "{kernel:?}: {} {}", p99(&summary), p99(&quiet));
        assert_eq!(summary.decisions, quiet.decisions);
    }
}

#[test]
fn a_fault_that_never_came_fails_the_run() {
    for kernel in KERNELS {
        let (_, report) = run(&noops(100, vec![fault("c1", 15_000, FaultAction::Kill)]), kernel);
        assert!(
            matches!(expected(&report).as_slice(), [(Some(false), said)] if said.starts_with("never came: the storm was over"))
        );
        assert_eq!(report.faults, []);
        let dead = vec![
            fault("c1", 200, FaultAction::Kill),
            fault("c1", 500, FaultAction::Stall { span: ms(1000) }),
        ];
        let (_, report) = run(&noops(500, dead), kernel);
        assert!(
            matches!(expected(&report).last(), Some((Some(false), said)) if said.starts_with("never came: c1 was gone at"))
        );
    }
}

#[test]
fn a_lab_without_any_client_left_ends_its_storm() {
    for kernel in KERNELS {
        let kills = vec![fault("c0", 201, FaultAction::Kill), fault("c1", 301, FaultAction::Kill)];
        let (summary, report) = run(&noops(5000, kills), kernel);
        assert!(summary.phase(PhaseKind::Storm).unwrap().span < 310_000_000, "{kernel:?}");
        assert_eq!(approved(&report, 0, Approval::DeadClient), 50, "from 201 to 301 ms");
    }
}

#[test]
fn whoever_comes_back_is_known_to_the_others_again() {
    for kernel in KERNELS {
        let mut lab = noops(500, vec![fault("c1", 300, FaultAction::Restart { after: ms(10) })]);
        lab.clients[1].behavior = scanner();
        lab.clients[0].behavior.mute.processes = vec!["c1".to_owned()];
        let (_, report) = run(&lab, kernel);
        let (muted, dead) =
            (approved(&report, 0, Approval::Mute), approved(&report, 1, Approval::DeadClient));
        // Each open that it looks at, it opens again, and c0 knows whose that is.
        assert!(dead < 12 && muted >= 500 - 12, "{kernel:?}: {muted} {dead}");
        assert_eq!(approved(&report, 0, Approval::Rule), 500);
    }
}

#[test]
fn whoever_comes_back_answers_at_once_until_it_is_known() {
    for kernel in KERNELS {
        let mut lab = noops(800, vec![fault("c1", 300, FaultAction::Restart { after: ms(50) })]);
        lab.clients[1].behavior = Behavior { cache: Cache::On, ..Behavior::noop() };
        let LoadKind::OpenStorm(storm) = &mut lab.workload[0].kind else { unreachable!() };
        storm.files = 1;
        let (summary, _) = run(&lab, kernel);
        let asked: u64 = summary.seen[1].iter().sum();
        // Once by each process, and what is opened in 5 ms at 500 a second of a client that keeps nothing yet.
        assert!((2 + 2..=2 + 3).contains(&asked), "{kernel:?}: {asked}");
    }
}

/// The two clients, of which c0 waits for one helper that opens what c0 is asked about; c1 does nothing.
fn with_a_helper(operations: u64, faults: Vec<PlannedFault>) -> Lab {
    let mut lab = noops(operations, faults);
    let errand = Errand { open: true, ..Errand::none() };
    let helpers = Helpers { count: 1, errand, on: AuthEvents::of(AuthEvent::Open), wait: true };
    lab.clients[0].behavior = Behavior {
        helpers: Some(helpers),
        react_to: ReactTo::Workload,
        mute: Mute { helpers: true, ..Mute::default() },
        ..Behavior::noop()
    };
    lab
}

#[test]
fn a_stalled_helper_is_a_client_that_waits() {
    for kernel in KERNELS {
        let short = with_a_helper(500, vec![fault("c0.helper-1", 300, FaultAction::Stall { span: ms(400) })]);
        let (summary, report) = run(&short, kernel);
        assert_eq!((summary.kills, approved(&report, 0, Approval::Rule)), (0, 500), "{kernel:?}");
        let stall = the_fault(&report, PlannedKind::Stall);
        assert_eq!((lasted_ns(stall), stall.actor.as_str()), (400_000_000, "c0.helper-1"));
        let slowest = storm(&report).op_latency_ns.max;
        assert!((390_000_000..410_000_000).contains(&slowest), "{kernel:?}: {slowest}");
        // Beyond the deadline it costs its client, and the stall ends with the helper, which goes with the client.
        let long =
            with_a_helper(1500, vec![fault("c0.helper-1", 300, FaultAction::Stall { span: ms(5000) })]);
        let (summary, report) = run(&long, kernel);
        assert_eq!((summary.kills, ends(&report, 0)), (1, vec![ProcessEnd::DeadlineKill]), "{kernel:?}");
        let waited = lasted_ns(the_fault(&report, PlannedKind::Stall));
        assert!((1_000_000_000..1_003_000_000).contains(&waited), "{kernel:?}: {waited}");
    }
}

#[test]
fn a_helper_without_descriptors_opens_nothing() {
    for kernel in KERNELS {
        let limit = FaultAction::Descriptors { limit: 0, span: ms(400) };
        let (quiet, _) = run(&with_a_helper(700, Vec::new()), kernel);
        let (summary, report) = run(&with_a_helper(700, vec![fault("c0.helper-1", 300, limit)]), kernel);
        assert_eq!(
            (approved(&report, 0, Approval::Rule), summary.kills),
            (700, 0),
            "{kernel:?}: it answers all the same"
        );
        // Each of the 200 opens that the helper could not make was a question to both clients.
        assert_eq!(summary.decisions, quiet.decisions - 2 * 200, "{kernel:?}");
        assert_eq!(approved(&report, 1, ApprovalWay::FailedBefore), 200);
    }
}

/// Requests to helpers and daemons, of all clients: carried out, failed, refused, unheard.
fn asked(report: &Findings) -> [u64; 4] {
    let rows = || report.clients.iter().flat_map(|client| &client.requests);
    let sum = |end: fn(&Requests) -> u64| rows().map(end).sum::<u64>();
    let all =
        [sum(|row| row.carried_out), sum(|row| row.failed), sum(|row| row.refused), sum(|row| row.unheard)];
    assert_eq!(all.iter().sum::<u64>(), sum(|row| row.made));
    all
}

#[test]
fn a_helper_that_is_killed_costs_the_request_that_it_had() {
    for kernel in KERNELS {
        let killed = with_a_helper(600, vec![fault("c0.helper-1", 400, FaultAction::Kill)]);
        let (summary, report) = run(&killed, kernel);
        assert_eq!(
            (summary.kills, ends(&report, 0)),
            (0, vec![ProcessEnd::Clean]),
            "{kernel:?}: its client goes on"
        );
        assert_eq!(approved(&report, 0, Approval::Rule), 600);
        assert_eq!(the_fault(&report, PlannedKind::Kill).actor, "c0.helper-1");
        // 400 of 600 opens come after the kill: at 500 a second the first 200 take 400 ms.
        let [carried_out, failed, refused, unheard] = asked(&report);
        assert_eq!((carried_out + failed, refused, unheard), (600, 0, 0), "each request is over");
        assert!((199..=201).contains(&carried_out), "{kernel:?}: {carried_out}");
        // With a second one it goes on as before, but for the request that the first had.
        let mut two = killed;
        two.clients[0].behavior.helpers.as_mut().unwrap().count = 2;
        let (_, report) = run(&two, kernel);
        let [carried_out, failed, ..] = asked(&report);
        assert_eq!(carried_out + failed, 600);
        assert!(failed <= 1, "{kernel:?}: {failed} failed");
    }
}

/// A dead helper is found by whoever hands it something, also if nothing was under way when it died.
#[test]
fn an_idle_channel_is_found_broken_by_the_next_request() {
    let mut lab = with_a_helper(100, vec![fault("c0.helper-1", 1000, FaultAction::Kill)]);
    lab.clients[0].behavior.helpers.as_mut().unwrap().count = 2;
    lab.workload = vec![open_storm(1, Rate::PerSecond(20), Some(100))];
    for kernel in KERNELS {
        let (_, report) = run(&lab, kernel);
        assert_eq!(asked(&report), [99, 1, 0, 0], "{kernel:?}: every other request would have gone there");
    }
}

/// Two clients that have a daemon open what the workload opens, and wait for it.
fn with_a_daemon(faults: Vec<PlannedFault>) -> Lab {
    let mut lab = noops(600, faults);
    let errand = Errand { open: true, ..Errand::none() };
    lab.daemons = vec![Daemon { id: "indexer".parse().unwrap(), workers: 2, errand }];
    for client in &mut lab.clients {
        let daemon = "indexer".parse().unwrap();
        client.behavior.daemons = vec![AskedDaemon { daemon, on: AuthEvents::ALL, wait: true }];
        client.behavior.mute.processes = vec!["indexer".to_owned()];
    }
    lab
}

#[test]
fn a_daemon_that_is_killed_stays_lost_and_one_that_is_restarted_comes_back() {
    for kernel in KERNELS {
        let (_, report) = run(&with_a_daemon(vec![fault("indexer", 400, FaultAction::Kill)]), kernel);
        assert_eq!(
            (approved(&report, 0, Approval::Rule), approved(&report, 1, Approval::Rule)),
            (600, 600),
            "{kernel:?}"
        );
        let [carried_out, failed, refused, unheard] = asked(&report);
        assert_eq!((carried_out + failed, refused, unheard), (1200, 0, 0));
        assert!((399..=401).contains(&carried_out), "{kernel:?}: {carried_out}");

        let again = FaultAction::Restart { after: ms(200) };
        let (_, report) = run(&with_a_daemon(vec![fault("indexer", 400, again)]), kernel);
        assert_eq!(
            (approved(&report, 0, Approval::Rule), approved(&report, 1, Approval::Rule)),
            (600, 600),
            "{kernel:?}"
        );
        let [carried_out, failed, refused, unheard] = asked(&report);
        assert_eq!((carried_out + failed, refused, unheard), (1200, 0, 0));
        // 100 opens in 200 ms, and its start; two clients ask about each.
        assert!((195..230).contains(&failed), "{kernel:?}: {failed}");
        assert_eq!(the_fault(&report, PlannedKind::Restart).actor, "indexer");
        // What it opens is the muted daemon's again, under its new number.
        assert!(approved(&report, 0, Approval::Mute) >= carried_out, "{kernel:?}");
    }
}

#[test]
fn a_slow_helper_is_waited_for_and_slows_down_no_longer() {
    let slow = FaultAction::Slow { by: ms(20), span: ms(400) };
    for kernel in KERNELS {
        let (summary, report) =
            run(&with_a_helper(600, vec![fault("c0.helper-1", 200, slow.clone())]), kernel);
        assert_eq!((summary.kills, asked(&report)), (0, [600, 0, 0, 0]), "{kernel:?}");
        assert_eq!(the_fault(&report, PlannedKind::Slow).actor, "c0.helper-1");
        assert_eq!(lasted_ns(the_fault(&report, PlannedKind::Slow)), 400_000_000);
        let slowest = storm(&report).op_latency_ns.max;
        // One every 20 ms while 200 are planned: the last of them begins 380 ms late.
        assert!((300_000_000..500_000_000).contains(&slowest), "{kernel:?}: {slowest}");
    }
}

/// A daemon that does more for each request, and for one at a time: from the next request on, until it ends.
#[test]
fn a_daemon_that_serves_otherwise_does_so_from_the_next_request_on() {
    let service = Service { errand: Errand { open: true, extra_opens: 2, ..Errand::none() }, workers: 1 };
    let serve = |span| vec![fault("indexer", 400, FaultAction::Serve { service, span })];
    for kernel in KERNELS {
        let muted = |faults| {
            let (summary, report) = run(&with_a_daemon(faults), kernel);
            assert_eq!((asked(&report), summary.in_flight), ([1200, 0, 0, 0], 0), "{kernel:?}");
            approved(&report, 0, Approval::Mute)
        };
        let (plain, more, back) = (muted(Vec::new()), muted(serve(None)), muted(serve(Some(ms(400)))));
        assert_eq!(plain, 1200);
        // Two requests for each of 400 opens of 600, and of 200: at 500 a second.
        assert!((2 * 2 * 398..=2 * 2 * 402).contains(&(more - plain)), "{kernel:?}: {more}");
        assert!((2 * 2 * 198..=2 * 2 * 202).contains(&(back - plain)), "{kernel:?}: {back}");
    }
    // Who comes back meanwhile serves as is due.
    let mut faults = serve(None);
    faults.insert(0, fault("indexer", 300, FaultAction::Restart { after: ms(300) }));
    let (_, report) = run(&with_a_daemon(faults), Kernel::Fanotify);
    let [carried_out, failed, ..] = asked(&report);
    assert!(
        failed > 250 && approved(&report, 0, Approval::Mute) >= carried_out + 2 * 550,
        "{carried_out} {failed}"
    );
}

#[test]
fn what_is_not_modelled_of_workers_is_refused() {
    let action = FaultAction::Restart { after: ms(10) };
    let said = not_simulated(&with_a_helper(10, vec![fault("c0.helper-1", 1, action)]));
    assert_eq!(said.as_deref(), Some("helpers that are restarted by themselves"));
}
