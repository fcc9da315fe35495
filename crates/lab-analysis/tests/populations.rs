//! Latencies are those of somebody's events, and figures of a storm those of the time while all clients lived.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use lab_analysis::{
    Measured,
    findings::{Client, Figure, Findings, PopulationOf},
    metric,
};
use lab_model::{PhaseKind, SubjectClass};
use lab_testing::{
    sums::sums_hold,
    synthetic::{Builder, DEADLINE, Dec, MS, Op, lab},
};

fn builder(name: &str, clients: usize) -> Builder {
    Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), &format!("populations-{name}"), lab(clients))
}

fn analyse(mut builder: Builder) -> Findings {
    builder.phase(PhaseKind::Storm, 500, 4000 * MS);
    builder.phase(PhaseKind::Drain, 4000 * MS, 5000 * MS);
    let findings = builder.finish().analyse();
    sums_hold(&findings);
    findings
}

fn of(client: &Client) -> Vec<(PopulationOf, u64, u64)> {
    let rows = client.populations.iter();
    rows.map(|row| (row.of, row.latency_ns.count, row.latency_ns.max)).collect()
}

#[test]
fn each_latency_is_that_of_somebodys_events() {
    let mut builder = builder("four", 2);
    let driver = builder.driver();
    for root in 0..10_u64 {
        let at = 1000 + root * 2 * MS;
        builder.operation(driver, Op::root(at, at + MS + 100, 900));
        let first = builder.decision(1, Dec::worked(at + 10, 900, at + 10 + MS));
        builder.operation(1, Op::child(at + 100, at + 1000, 11, 1, first));
        builder.decision(1, Dec::at_once(at + 110, 11, SubjectClass::Own));
        builder.decision(2, Dec::worked(at + 120, 11, at + 620));
    }
    // A thread that nobody recorded.
    builder.decision(2, Dec::worked(3000 * MS, 77, 3000 * MS + 7000));
    let findings = analyse(builder);
    let [first, second] = &findings.clients[..] else { panic!("two clients") };
    assert_eq!(of(first), [(PopulationOf::Workload, 10, MS), (PopulationOf::Itself, 10, 10)]);
    assert_eq!(of(second), [(PopulationOf::Peers, 10, 500), (PopulationOf::Others, 1, 7000)]);
    assert_eq!(first.latency_ns.p50, 10, "mixed, the median is that of the client's own events");
    let all: Vec<(PopulationOf, u64)> =
        findings.populations.iter().map(|row| (row.of, row.latency_ns.count)).collect();
    assert_eq!(
        all,
        [
            (PopulationOf::Workload, 10),
            (PopulationOf::Peers, 10),
            (PopulationOf::Itself, 10),
            (PopulationOf::Others, 1)
        ]
    );
    assert_eq!(metric(&findings, "latency.itself.max"), Some(Measured::Time(10)));
    assert_eq!(metric(&findings, "clients.client-2.latency.peers.max"), Some(Measured::Time(500)));
    assert_eq!(metric(&findings, "clients.client-2.latency.workload.max"), None, "it was asked of none");
}

#[test]
fn what_was_never_answered_is_somebodys_too() {
    let mut builder = builder("open", 1);
    let driver = builder.driver();
    builder.operation(driver, Op { end: None, ..Op::root(1000, 0, 900) });
    let decision = builder.decision(1, Dec::never(1010, 900, SubjectClass::Workload));
    builder.kill(1, 1010 + DEADLINE, decision);
    let findings = analyse(builder);
    let rows = &findings.clients[0].populations;
    assert_eq!((rows.len(), rows[0].of, rows[0].latency_ns.censored), (1, PopulationOf::Workload, 1));
    assert!(rows[0].latency_ns.is_at_least(Figure::P50));
    assert_eq!(metric(&findings, "latency.workload.p50"), Some(Measured::TimeAtLeast(DEADLINE)));
}

/// Two opens hang until the only client is killed, and then a thousand take no time at all.
#[test]
fn the_storms_figures_are_of_the_time_while_all_clients_lived() {
    let mut builder = builder("death", 2);
    let driver = builder.driver();
    for tid in [900, 901] {
        builder.operation(driver, Op::root(1000, 1100 + DEADLINE, tid));
    }
    let decision = builder.decision(1, Dec::never(1010, 900, SubjectClass::Workload));
    builder.decision(1, Dec::never(1011, 901, SubjectClass::Workload));
    builder.kill(1, 1010 + DEADLINE, decision);
    let mut at = 2000 + DEADLINE;
    for _ in 0..1000 {
        builder.operation(driver, Op::root(at, at + 700, 900));
        builder.decision(2, Dec::at_once(at + 10, 900, SubjectClass::Workload));
        at += 1000;
    }
    let findings = analyse(builder);
    let storm = &findings.phases[0];
    assert_eq!(
        (storm.root_ops, storm.op_latency_ns.p50, storm.op_latency_ns.max),
        (2, DEADLINE + 100, DEADLINE + 100)
    );
    let after = storm.after_death.as_ref().unwrap();
    assert_eq!((after.root_ops, after.op_latency_ns.max), (1000, 700));
    let expected = (4000 * MS - 1010 - DEADLINE) as f64 / 1e9;
    assert!((after.seconds - expected).abs() < 1e-9 && storm.seconds > 3.9);
    assert!((storm.ops_per_second - 2.0 / storm.seconds_all_lived()).abs() < 1e-9);
    assert_eq!(findings.cost.storm_ns, Some(storm.op_latency_ns.p50), "one median in one report");
    assert_eq!((findings.cascades.count, findings.cascades.after_death), (2, 1000));
    assert_eq!(findings.amplification, Some(1.0));
    assert_eq!(metric(&findings, "op_latency.storm.p50"), Some(Measured::Time(DEADLINE + 100)));
    assert_eq!(metric(&findings, "root_ops.storm"), Some(Measured::Count(1002)), "a count counts all");
    assert_eq!(findings.phases[1].after_death.as_ref().map(|after| after.root_ops), Some(0), "the drain too");
}

#[test]
fn where_all_lived_to_the_end_nothing_is_counted_apart() {
    let mut builder = builder("lived", 1);
    let driver = builder.driver();
    builder.operation(driver, Op::root(1000, 2000, 900));
    builder.decision(1, Dec::at_once(1010, 900, SubjectClass::Workload));
    builder.ended(1, 6000 * MS, 0);
    let findings = analyse(builder);
    assert!(findings.phases.iter().all(|phase| phase.after_death.is_none()));
    assert_eq!((findings.cascades.count, findings.cascades.after_death), (1, 0));
}
