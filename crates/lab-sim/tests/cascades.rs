//! Deadlock, divergence and calm, as the kernels were seen to behave.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

mod common;

use common::{KERNELS, run, run_with};
use lab_model::{Approval, AuthEvent, Behavior, PhaseKind, ReactTo, Span, When};
use lab_sim::{Costs, Kernel, Outcome};
use lab_testing::labs::{self, lab, peer_scanner, scanner};

#[test]
fn clients_that_scan_each_other_before_they_answer_deadlock_with_any_number_of_workers() {
    for kernel in KERNELS {
        for workers in [1, 4, 32] {
            let mut lab = lab(2, &peer_scanner(workers, When::Before), 50);
            lab.deadline = Span::from_millis(200);
            let summary = run(&lab, kernel);
            assert_eq!(summary.outcome, Outcome::Deadlocked, "{kernel:?} {workers}");
            let cycle = summary.cycle.unwrap();
            assert_eq!(cycle.clients, [0, 1], "{kernel:?} {workers}");
            assert!(summary.kills > 0, "the kill at the deadline ends it");
            assert_eq!(summary.in_flight, 0);
            // The workload goes on, unless nobody is left to be asked.
            assert!(summary.kills == 2 || summary.roots_begun == 50, "{}", summary.roots_begun);
            let storm = summary.phases.iter().find(|phase| phase.phase == PhaseKind::Storm).unwrap();
            assert!(storm.root_latency.max().unwrap() >= 200_000_000, "somebody waited for the kill");
        }
    }
}

#[test]
fn a_deadlock_without_a_deadline_lasts_to_the_end() {
    for kernel in KERNELS {
        let mut lab = lab(2, &peer_scanner(1, When::Before), 50);
        lab.deadline = Span::from_secs(3600);
        lab.phases.storm = Span::from_secs(1);
        lab.phases.drain = Span::from_secs(1);
        let summary = run(&lab, kernel);
        assert_eq!((summary.outcome, summary.kills), (Outcome::Deadlocked, 0), "{kernel:?}");
        assert!(summary.in_flight > 0 && summary.roots_begun < 50);
    }
}

#[test]
fn one_client_alone_never_deadlocks() {
    for kernel in KERNELS {
        for react_to in [ReactTo::Workload, ReactTo::Peers] {
            let behavior = Behavior { react_to, ..peer_scanner(1, When::Before) };
            let summary = run(&lab(1, &behavior, 20), kernel);
            assert_eq!(summary.outcome, Outcome::Stable, "{kernel:?} {react_to:?}");
        }
    }
}

#[test]
fn a_client_that_reacts_to_itself_feeds_itself_where_it_sees_itself() {
    let behavior = Behavior { react_to: ReactTo::Own, ..peer_scanner(1, When::Before) };
    let lab = lab(1, &behavior, 20);
    assert_eq!(run(&lab, Kernel::Fanotify).outcome, Outcome::Divergent);
    assert_eq!(run(&lab, Kernel::EndpointSecurity).outcome, Outcome::Stable);
}

#[test]
fn reacting_after_the_answer_never_deadlocks_and_never_goes_quiet() {
    for kernel in KERNELS {
        for (clients, workers) in [(2, 1), (2, 4), (3, 2)] {
            let mut lab = lab(clients, &peer_scanner(workers, When::After), 3);
            lab.phases.storm = Span::from_secs(1);
            lab.phases.drain = Span::from_secs(1);
            let summary = run(&lab, kernel);
            assert_eq!(summary.outcome, Outcome::Divergent, "{kernel:?} {clients} {workers}");
            assert_eq!((summary.kills, summary.cycle.is_none()), (0, true), "{kernel:?} {clients}");
            assert!(summary.in_flight > 0);
        }
    }
}

#[test]
fn reacting_to_the_workload_only_ends_at_the_law_before_or_after_the_answer() {
    let mut behavior = scanner();
    behavior.reactions[AuthEvent::Open].when = When::After;
    for (kernel, expected) in [(Kernel::Fanotify, 12), (Kernel::EndpointSecurity, 9)] {
        let summary = run(&lab(3, &behavior, 10), kernel);
        assert_eq!((summary.outcome, summary.decisions), (Outcome::Stable, 10 * expected), "{kernel:?}");
    }
}

#[test]
fn a_late_client_is_killed_and_what_waited_for_it_goes_on() {
    for kernel in KERNELS {
        let slow = Behavior { delay: Span::from_secs(2).into(), ..Behavior::noop() };
        let mut lab = lab(2, &Behavior::noop(), 10);
        lab.clients[1].behavior = slow;
        let summary = run(&lab, kernel);
        assert_eq!((summary.kills, summary.outcome), (1, Outcome::Stable), "{kernel:?}");
        assert_eq!(summary.missed(), 1);
        let storm = summary.phase(PhaseKind::Storm).unwrap();
        assert_eq!(storm.root_latency.count(), 10, "every open returned");
        let longest = storm.root_latency.max().unwrap();
        assert!((1_000_000_000..1_040_000_000).contains(&longest), "{longest}");
    }
}

#[test]
fn a_budget_answers_before_the_deadline() {
    for kernel in KERNELS {
        let slow =
            Behavior { delay: Span::from_secs(2).into(), answer_by_percent: Some(50), ..Behavior::noop() };
        let mut lab = lab(2, &slow, 10);
        lab.phases.drain = Span::from_secs(60);
        let summary = run(&lab, kernel);
        assert_eq!((summary.kills, summary.missed()), (0, 0), "{kernel:?}");
        assert!(summary.approvals(Approval::DeadlineFallback) > 0, "{kernel:?}");
        assert_eq!(summary.in_flight, 0);
        assert_eq!(summary.phase(PhaseKind::Storm).map(|storm| storm.root_latency.count()), Some(10));
    }
}

#[test]
fn a_budget_dissolves_a_deadlock() {
    for kernel in KERNELS {
        let behavior = Behavior { answer_by_percent: Some(50), ..peer_scanner(1, When::Before) };
        let mut lab = lab(2, &behavior, 5);
        lab.deadline = Span::from_millis(100);
        let summary = run(&lab, kernel);
        assert_eq!((summary.cycle, summary.kills), (None, 0), "{kernel:?}");
        assert!(summary.decision_latency.max().unwrap() < 100_000_000);
    }
}

#[test]
fn a_workload_that_asks_for_too_much_falls_behind() {
    let slow = Behavior { delay: Span::from_millis(2).into(), ..Behavior::noop() };
    let mut lab = lab(3, &slow, 1);
    lab.phases.storm = Span::from_secs(4);
    let rate = |per_second| vec![labs::open_storm(1, lab_model::Rate::PerSecond(per_second), None)];
    lab.workload = rate(1000);
    assert_eq!(run(&lab, Kernel::Fanotify).outcome, Outcome::Saturated);
    lab.workload = rate(10);
    let calm = run(&lab, Kernel::Fanotify);
    assert_eq!((calm.outcome, calm.roots_begun), (Outcome::Stable, 40));
}

/// More openers than Endpoint Security queues for one client, and a client that is busy for good.
#[test]
fn a_full_queue_lets_questions_through_on_endpoint_security() {
    let slow = Behavior { delay: Span::from_secs(100).into(), ..Behavior::noop() };
    let mut lab = lab(1, &slow, 1);
    lab.deadline = Span::from_secs(3600);
    lab.phases.storm = Span::from_secs(2);
    lab.phases.drain = Span::from_secs(1);
    lab.workload = vec![labs::open_storm(256, lab_model::Rate::Max, None); 30];
    let costs = Costs { read_call: 50_000, ..Costs::default() };
    let summary = run_with(&lab, Kernel::EndpointSecurity, costs);
    assert!(summary.dropped > 0, "{}", summary.pending_max);
    let summary = run_with(&lab, Kernel::Fanotify, costs);
    assert_eq!(summary.dropped, 0);
    assert!(summary.approvals(Approval::QueueFull) > 0, "the client's own limit remains");
}
