//! Helpers and daemons: what they multiply, who waits for whom through them, and that nothing of it depends on chance.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

mod common;

use common::{KERNELS, run};
use lab_analysis::{Context, analyse, findings::Findings};
use lab_model::{
    AskedDaemon, AuthEvent, AuthEvents, BackendChoice, Behavior, Daemon, Errand, FaultAction, Helpers, Lab,
    Mute, PlannedFault, Rate, Reaction, Span, When,
};
use lab_sim::{Costs, Kernel, Options, Outcome, Size, Summary, Traces, minimize, plan, simulate};
use lab_testing::labs::{self, lab, scanner};
use lab_trace::{Entry, Record, Request, Trace};

const OPENS: Errand = Errand { open: true, ..Errand::none() };

/// N scanners, of which the first has its helpers open instead of itself.
fn with_helpers(clients: usize, count: u16, wait: bool, operations: u64) -> Lab {
    let mut lab = lab(clients, &scanner(), operations);
    lab.clients[0].behavior = Behavior {
        reactions: lab_model::Reactions::all(Reaction::none()),
        helpers: Some(Helpers { count, errand: OPENS, on: AuthEvents::of(AuthEvent::Open), wait }),
        ..scanner()
    };
    lab
}

/// N clients that do nothing themselves and ask one daemon about every open.
fn with_daemon(clients: usize, workers: u16, wait: bool, operations: u64) -> Lab {
    let id: lab_model::ClientId = "indexer".parse().unwrap();
    let asked = AskedDaemon { daemon: id.clone(), on: AuthEvents::of(AuthEvent::Open), wait };
    let idle = Behavior { reactions: lab_model::Reactions::all(Reaction::none()), ..scanner() };
    let mut lab = lab(clients, &Behavior { daemons: vec![asked], ..idle }, operations);
    lab.daemons = vec![Daemon { id, workers, errand: OPENS }];
    lab
}

fn files(lab: &Lab, kernel: Kernel) -> (Summary, Vec<lab_sim::TraceFile>) {
    let mut traces = Traces::new(lab.safety.trace_bytes_max);
    let summary = simulate(lab, &Options::new(lab, kernel), &mut traces);
    (summary, traces.into_files())
}

fn analysed(lab: &Lab, kernel: Kernel) -> (Summary, Findings) {
    let (summary, files) = files(lab, kernel);
    let traces: Vec<Trace<'_>> = files.iter().map(|file| Trace::parse(&file.bytes).unwrap()).collect();
    let context = Context {
        lab,
        run: "run",
        backend: BackendChoice::Live(kernel),
        replay: "replay",
        unreadable: &[],
        waits: None,
    };
    (summary, analyse(&traces, &context))
}

#[test]
fn a_helper_is_the_workload_to_everybody_else() {
    // Root, N - 1 scanners; the helper's open and the scanners once more for that: 2N operations.
    for n in [1, 2, 3, 8, 33] {
        for kernel in KERNELS {
            let expected = match kernel {
                Kernel::Fanotify => 2 * n * n,
                // Nobody is asked about its own process, but about its helpers.
                Kernel::EndpointSecurity => 2 * n + 2 * (n - 1) * (n - 1),
            };
            for (count, wait) in [(1, true), (3, true), (2, false)] {
                let lab = with_helpers(usize::try_from(n).unwrap(), count, wait, 20);
                let summary = run(&lab, kernel);
                assert_eq!(summary.outcome, Outcome::Stable, "{kernel:?} {n}");
                assert_eq!(summary.decisions, 20 * expected, "{kernel:?} {n} clients, {count} helpers");
            }
        }
    }
}

#[test]
fn a_helper_that_is_muted_costs_its_client_nothing_more() {
    for kernel in KERNELS {
        let mut lab = with_helpers(2, 2, true, 20);
        for client in &mut lab.clients {
            client.behavior.mute = Mute { processes: vec!["c0/helpers".to_owned()], ..Mute::default() };
        }
        // Root, the scanner's open and the helper's; nobody reacts to the last.
        let expected = if kernel == Kernel::Fanotify { 6 } else { 5 };
        assert_eq!(run(&lab, kernel).decisions, 20 * expected, "{kernel:?}");
    }
}

#[test]
fn one_client_with_a_daemon_that_opens_feeds_itself() {
    for kernel in KERNELS {
        for clients in [1, 2] {
            let mut lab = with_daemon(clients, 2, false, 5);
            (lab.phases.storm, lab.phases.drain) = (Span::from_millis(20), Span::from_millis(200));
            for client in &mut lab.clients {
                client.behavior.reactions[AuthEvent::Open].when = When::After;
            }
            let summary = run(&lab, kernel);
            assert_eq!(summary.outcome, Outcome::Divergent, "{kernel:?} {clients}");
            let (fed, own): (u64, u64) = (summary.fed_back.iter().flatten().sum(), summary.decisions);
            assert!(fed > own / 2, "{kernel:?}: {fed} of {own}");
        }
    }
}

#[test]
fn whoever_waits_for_somebody_who_needs_its_answer_is_deadlocked_with_any_number_of_workers() {
    for kernel in KERNELS {
        for workers in [1, 4, 32] {
            let through_helper = {
                let mut lab = with_helpers(1, workers, true, 40);
                lab.clients[0].behavior.react_to = lab_model::ReactTo::All;
                lab
            };
            let through_daemon = with_daemon(1, workers, true, 40);
            for (name, mut lab) in [("helper", through_helper), ("daemon", through_daemon)] {
                lab.deadline = Span::from_millis(200);
                (lab.phases.storm, lab.phases.drain) = (Span::from_secs(1), Span::from_secs(1));
                lab.clients[0].behavior.concurrency = lab_model::Concurrency::new(workers);
                let (summary, findings) = analysed(&lab, kernel);
                assert_eq!(summary.outcome, Outcome::Deadlocked, "{kernel:?} {name} {workers}");
                assert_eq!(summary.cycle.unwrap().clients, [0]);
                let found = serde_json::to_value(findings.outcome).unwrap();
                assert_eq!(found, "deadlocked", "{kernel:?} {name} {workers}: {}", findings.outcome_rule);
            }
        }
    }
}

#[test]
fn labs_with_workers_outside_are_planned_as_they_run() {
    for kernel in KERNELS {
        for n in [1, 3] {
            let lab = with_helpers(n, 2, true, 20);
            let planned = plan(&lab, kernel, Costs::default());
            assert_eq!(
                planned.roots[0].size,
                Size::Exact(run(&lab, kernel).decisions / 20),
                "{kernel:?} {n}"
            );
            assert_eq!((planned.originators.len(), planned.originators[n].as_str()), (n + 1, "c0/helpers"));
        }
        let planned = plan(&with_daemon(2, 2, true, 5), kernel, Costs::default());
        assert_eq!(planned.circle, ["indexer"]);
        assert!((planned.loop_gain - 2.0).abs() < 1e-6, "each open of the daemon makes two");
    }
}

#[test]
fn the_smallest_lab_keeps_the_worker_that_matters_and_no_other() {
    let mut lab = with_daemon(3, 4, true, 40);
    lab.deadline = Span::from_millis(100);
    (lab.phases.storm, lab.phases.drain) = (Span::from_millis(400), Span::from_millis(400));
    lab.clients[1].behavior.daemons.clear();
    lab.clients[2].behavior.daemons.clear();
    lab.clients[2].behavior.mute.processes = vec!["indexer".to_owned(), "c1".to_owned()];
    let helpers = Helpers { count: 3, errand: OPENS, on: AuthEvents::of(AuthEvent::Exec), wait: true };
    lab.clients[1].behavior.helpers = Some(helpers);
    let options = Options::new(&lab, Kernel::Fanotify);
    let found = minimize(&lab, &options, |summary| summary.outcome == Outcome::Deadlocked, 500).unwrap();
    assert_eq!((found.lab.clients.len(), found.lab.daemons.len()), (1, 1), "{:?}", found.steps);
    assert!(found.lab.clients[0].behavior.helpers.is_none());
    assert_eq!(found.lab.clients[0].behavior.mute, Mute::default());
}

#[test]
fn a_client_comes_back_with_helpers_of_its_own() {
    for kernel in KERNELS {
        let mut lab = with_helpers(2, 2, true, 4000);
        (lab.phases.storm, lab.phases.drain) = (Span::from_millis(300), Span::from_secs(1));
        lab.workload = vec![labs::open_storm(2, Rate::PerSecond(5_000), None)];
        lab.daemons = with_daemon(1, 1, true, 1).daemons;
        lab.clients[0].behavior.daemons = vec![AskedDaemon {
            daemon: lab.daemons[0].id.clone(),
            on: AuthEvents::of(AuthEvent::Exec),
            wait: true,
        }];
        lab.faults = vec![PlannedFault {
            at: Span::from_millis(100),
            on: "c0".to_owned(),
            action: FaultAction::Restart { after: Span::from_millis(50) },
        }];
        let (summary, findings) = analysed(&lab, kernel);
        assert_eq!((summary.outcome, summary.in_flight), (Outcome::Stable, 0), "{kernel:?}");
        assert_eq!((findings.totals.unexplained, findings.totals.lost), (0, 0), "{kernel:?}");
        assert_eq!(findings.clients[0].lives.len(), 2);
        let (_, files) = files(&lab, kernel);
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).skip(7).collect();
        assert_eq!(names, ["c0.2", "c0.helper-1.2", "c0.helper-2.2"]);
        for again in &files[8..] {
            assert!(Trace::parse(&again.bytes).unwrap().entries().count() > 100, "{}", again.name);
        }
    }
}

#[test]
fn every_request_and_its_reply_is_in_the_traces_and_explained() {
    for kernel in KERNELS {
        let lab = with_helpers(3, 2, true, 50);
        let (summary, files) = files(&lab, kernel);
        let names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["orchestrator", "c0", "c1", "c2", "driver", "c0.helper-1", "c0.helper-2"]);
        let trace = Trace::parse(&files[1].bytes).unwrap();
        let requests: Vec<Request> = trace
            .entries()
            .filter_map(|entry| match entry {
                Entry::Record { record: Record::Request(request), .. } => Some(request),
                _ => None,
            })
            .collect();
        assert!(requests.iter().all(|request| request.end.present().is_some_and(|end| end.error == 0)));
        assert_eq!(requests.len(), 50, "one for each open of the workload");
        let (_, findings) = analysed(&lab, kernel);
        assert_eq!(findings.totals.decisions, summary.decisions);
        assert_eq!((findings.totals.unexplained, findings.totals.lost), (0, 0));
        assert!(findings.causes.misattributed > 0, "to its peers a helper looks like the workload");
        assert_eq!(self::files(&lab, kernel).1, files, "the same bytes every time");
    }
}
