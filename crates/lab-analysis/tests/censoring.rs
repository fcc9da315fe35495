//! What was never answered counts with the time that it had lasted when its client ended, or the record.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use lab_analysis::{
    findings::{Client, Figure, Findings, HeadroomFigure},
    metric,
};
use lab_model::{Comparison, Expectation, Expected, PhaseKind, Span, SubjectClass};
use lab_testing::{
    sums::sums_hold,
    synthetic::{Builder, DEADLINE, Dec, MS, Op, Run, lab},
};
use lab_trace::{RecordId, StoredTrace};

fn builder(name: &str, clients: usize) -> Builder {
    Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), &format!("censoring-{name}"), lab(clients))
}

/// The end of the record: its traces are closed after the drain.
const END: u64 = 5000 * MS + 1;

fn analyse(mut builder: Builder) -> Findings {
    builder.phase(PhaseKind::Storm, 500, 4000 * MS);
    builder.phase(PhaseKind::Drain, 4000 * MS, 5000 * MS);
    let findings = builder.finish().analyse();
    sums_hold(&findings);
    findings
}

/// A hundred opens that client 1 answers after a millisecond each.
fn answered(builder: &mut Builder) -> u64 {
    let driver = builder.driver();
    for root in 0..100_u64 {
        let at = 1000 + root * 2 * MS;
        builder.operation(driver, Op::root(at, at + MS + 100, 900));
        builder.decision(1, Dec::worked(at + 10, 900, at + 10 + MS));
    }
    1000 + 100 * 2 * MS
}

/// An open that client 1 has read at the time given and never answers.
fn hung(builder: &mut Builder, at: u64) -> RecordId {
    let driver = builder.driver();
    builder.operation(driver, Op { end: None, ..Op::root(at, 0, 901) });
    builder.decision(1, Dec::never(at + 10, 901, SubjectClass::Workload))
}

fn bounds(client: &Client) -> (Vec<Figure>, Vec<HeadroomFigure>) {
    (client.latency_ns.at_least.clone(), client.headroom.at_most.clone())
}

#[test]
fn who_is_killed_at_the_deadline_has_no_headroom_left() {
    let mut builder = builder("killed", 2);
    let at = answered(&mut builder);
    let decision = hung(&mut builder, at);
    builder.kill(1, at + 10 + DEADLINE, decision);
    let findings = analyse(builder);
    let client = &findings.clients[0];
    assert_eq!((client.deadline_misses, client.unanswered), (1, 1));
    assert_eq!(client.headroom.min, Some(0.0));
    assert_eq!((client.latency_ns.count, client.latency_ns.censored), (100, 1));
    assert_eq!(client.latency_ns.max, DEADLINE);
    assert_eq!(
        bounds(client),
        (
            // 100 of 101 were answered: that is more than 99 of 100.
            vec![Figure::Mean, Figure::P999, Figure::Max],
            vec![HeadroomFigure::Min]
        )
    );
    assert!(client.latency_ns.p99.abs_diff(MS) < MS / 100, "{:?}", client.latency_ns);
    assert_eq!(client.spectrum_at_least_from, Some(100.0), "of 101 the spectrum tells no more than 99%");
    assert_eq!((findings.headroom.min, findings.latency_ns.max), (Some(0.0), DEADLINE));
    assert!(findings.latency_ns.is_at_least(Figure::Max));
    let call = &client.closest_calls[0];
    assert_eq!((call.took_ns, call.open_ns), (None, Some(DEADLINE)));
    assert_eq!(call.headroom, Some(0.0));
    assert!(client.blame_in[0].at_least && client.blame_in[0].total_ns >= DEADLINE + 100 * MS);
    // It had no operation of its own: queue or work, and nobody can say which.
    assert_eq!((client.untold_ns.censored, client.untold_ns.max), (1, DEADLINE));
    assert_eq!(client.blocked_ns.censored, 0);
}

#[test]
fn who_is_killed_for_an_event_that_it_had_not_read_has_none_left_either() {
    let mut builder = builder("unread", 1);
    let at = answered(&mut builder);
    builder.kill(1, at + 10, RecordId(u64::MAX));
    let findings = analyse(builder);
    let client = &findings.clients[0];
    assert_eq!((client.deadline_misses, client.unanswered), (1, 0));
    assert_eq!((client.headroom.min, client.headroom.is_at_most(HeadroomFigure::Min)), (Some(0.0), true));
    assert!(client.headroom.p01.unwrap() > 0.9, "the others were answered");
    assert_eq!(client.latency_ns.at_least, []);
}

/// The warden is late, and by then another decision has outlived its deadline as well: one kill is one miss, and how late
/// the warden was is not the client's.
#[test]
fn a_kill_is_one_miss_and_leaves_nothing_but_not_less() {
    let mut builder = builder("late", 1);
    let first = hung(&mut builder, 1000);
    let driver = builder.driver();
    builder.operation(driver, Op { end: None, ..Op::root(1100, 0, 902) });
    builder.decision(1, Dec::never(1110, 902, SubjectClass::Workload));
    builder.kill(1, 1010 + DEADLINE + 5 * MS, first);
    let findings = analyse(builder);
    let client = &findings.clients[0];
    assert_eq!((client.unanswered, client.deadline_misses), (2, 1));
    assert_eq!((client.headroom.min, client.headroom.p50), (Some(0.0), Some(0.0)));
    assert_eq!(client.closest_calls.iter().map(|call| call.headroom).collect::<Vec<_>>(), [Some(0.0); 2]);
    assert_eq!(client.latency_ns.max, DEADLINE + 5 * MS, "it lasted as long as it did");
}

#[test]
fn an_unanswered_decision_that_outlives_its_deadline_is_a_miss() {
    // Nobody killed it: the record ends 4.8 s after it was read.
    let mut outlives = builder("outlives", 1);
    let at = answered(&mut outlives);
    hung(&mut outlives, at);
    let findings = analyse(outlives);
    let client = &findings.clients[0];
    assert_eq!(client.deadline_misses, 1);
    assert!(client.headroom.min.unwrap() < -3.7, "{:?}", client.headroom);
    assert_eq!(client.latency_ns.max, END - at - 10);
    assert!(client.latency_ns.is_at_least(Figure::Max));
    let lowest = findings.series.headroom_min[0].iter().flatten().copied().fold(1.0, f64::min);
    assert_eq!(Some(lowest), client.headroom.min, "the picture shows the same");

    // One that its client's end cut short within its deadline is none, and leaves what was left by then.
    let mut cut = builder("cut", 1);
    hung(&mut cut, 1000);
    cut.ended(1, 1010 + DEADLINE / 4, 9);
    let findings = analyse(cut);
    let client = &findings.clients[0];
    assert_eq!(client.deadline_misses, 0);
    assert_eq!((client.headroom.min, client.headroom.p50), (Some(0.75), Some(0.75)));
    assert_eq!(client.headroom.at_most, [HeadroomFigure::Min, HeadroomFigure::P01, HeadroomFigure::P50]);
    assert_eq!((client.latency_ns.count, client.latency_ns.p50), (0, DEADLINE / 4));
    assert!(client.latency_ns.is_at_least(Figure::P50));
}

#[test]
fn a_longer_answer_makes_the_largest_known() {
    let mut builder = builder("longer", 2);
    let driver = builder.driver();
    builder.operation(driver, Op::root(1000, 1000 + 800 * MS, 900));
    builder.decision(1, Dec::worked(1010, 900, 1010 + 700 * MS));
    hung(&mut builder, 1000 + 900 * MS);
    builder.ended(1, 1010 + 1000 * MS, 9);
    let findings = analyse(builder);
    let client = &findings.clients[0];
    assert_eq!((client.latency_ns.max, client.latency_ns.censored), (700 * MS, 1));
    assert_eq!(client.latency_ns.at_least, [Figure::Mean]);
    assert_eq!(client.headroom.at_most, []);
    assert!((client.headroom.min.unwrap() - 0.3).abs() < 1e-9);
}

#[test]
fn the_time_of_what_was_never_answered_belongs_to_the_wait_that_it_was_in() {
    let mut builder = builder("wait", 2);
    let driver = builder.driver();
    builder.operation(driver, Op { end: None, ..Op::root(1000, 0, 900) });
    let first = builder.decision(1, Dec::never(1010, 900, SubjectClass::Workload));
    builder.operation(1, Op { end: None, ..Op::child(1110, 0, 11, 1, first) });
    builder.decision(2, Dec::never(1200, 11, SubjectClass::Peer));
    builder.kill(1, 1010 + DEADLINE, first);
    let findings = analyse(builder);
    let [first, second] = &findings.clients[..] else { panic!("two clients") };
    assert_eq!((first.untold_ns.count, first.untold_ns.max), (1, 100), "before its open");
    assert_eq!((first.blocked_ns.censored, first.blocked_ns.max), (1, DEADLINE - 100), "in its open");
    assert!(first.blocked_ns.is_at_least(Figure::Max) && first.queue_ns.is_empty());
    assert_eq!(first.peers[0].waited_ns, 1010 + DEADLINE - 1200, "until it was killed, not to the end");
    assert_eq!(second.peers[0].made_wait_ns, first.peers[0].waited_ns);
    assert_eq!(second.latency_ns.max, END - 1200);
    let storm = &findings.phases[0];
    assert_eq!((storm.root_ops, storm.op_latency_ns.censored), (0, 1));
    assert_eq!(
        (findings.cost.storm_ns, &findings.cost.at_least[..]),
        (Some(END - 1000), &[PhaseKind::Storm][..])
    );
}

#[test]
fn without_the_orchestrator_a_client_is_known_to_live_as_long_as_its_own_trace() {
    let mut builder = builder("alone", 2);
    hung(&mut builder, 1000);
    let at = 1000 + 300 * MS;
    builder.decision(1, Dec::at_once(at, 902, SubjectClass::Workload));
    builder.decision(2, Dec::at_once(3000 * MS, 903, SubjectClass::Workload));
    // Nobody closed the traces, and that of the orchestrator is not there.
    let stored = builder.files[1..].iter().map(|path| StoredTrace::open(path).unwrap()).collect();
    let findings = Run { lab: builder.lab, stored, files: builder.files }.analyse();
    let client = &findings.clients[0];
    assert_eq!(client.latency_ns.max, at + 10 - 1010);
    assert!(client.latency_ns.is_at_least(Figure::Max));
}

/// A bound decides a condition where everything beyond it does the same, and leaves the others open.
#[test]
fn a_condition_on_a_bound_is_decided_by_all_that_lies_beyond_it() {
    let mut builder = builder("expect", 1);
    hung(&mut builder, 1000);
    builder.ended(1, 1010 + DEADLINE / 4, 9);
    let condition = |metric: &str, sign: &str, comparison: Comparison, value: &str| Expectation {
        text: format!("{metric} {sign} {value}"),
        metric: metric.to_owned(),
        comparison,
        value: Expected::Number(value.parse().unwrap()),
        sometimes: false,
        abort: false,
        after: Span::from_nanos(0),
    };
    let cases = [
        ("latency.max", "<", Comparison::Below, "200000000", Some(false)),
        ("latency.max", "<", Comparison::Below, "300000000", None),
        ("latency.max", ">", Comparison::Above, "200000000", Some(true)),
        ("latency.max", ">=", Comparison::AtLeast, "250000000", Some(true)),
        ("latency.max", ">", Comparison::Above, "250000000", None),
        ("latency.max", "==", Comparison::Equal, "200000000", Some(false)),
        ("latency.max", "!=", Comparison::Unequal, "200000000", Some(true)),
        ("latency.max", "==", Comparison::Equal, "300000000", None),
        ("clients.client-1.headroom.min", ">", Comparison::Above, "0.8", Some(false)),
        ("clients.client-1.headroom.min", ">", Comparison::Above, "0.5", None),
        ("headroom.min", "<=", Comparison::AtMost, "0.75", Some(true)),
        ("headroom.p01", "<", Comparison::Below, "0.75", None),
    ];
    builder.lab.expect = cases
        .iter()
        .map(|&(name, sign, comparison, value, _)| condition(name, sign, comparison, value))
        .collect();
    let findings = analyse(builder);
    for (checked, (.., expected)) in findings.expectations.iter().zip(&cases) {
        assert_eq!(checked.held, *expected, "{}: {}", checked.text, checked.observed);
    }
    assert_eq!(findings.expectations[0].observed, "at least 250 ms");
    assert_eq!(findings.expectations[8].observed, "at most 75%");
    assert!(metric(&findings, "latency.p50").is_some(), "a bound is an answer");
}

/// A report of a version that did not say what is a bound has none.
#[test]
fn a_report_from_before_loads() {
    let mut builder = builder("old", 1);
    answered(&mut builder);
    let findings = analyse(builder);
    let mut old = serde_json::to_value(&findings).unwrap();
    strip(
        &mut old,
        &["open_ns", "at_least", "untold_ns", "spectrum_at_least_from", "control_spectrum_at_least_from"],
    );
    assert_eq!(serde_json::from_value::<Findings>(old).unwrap(), findings);
}

fn strip(value: &mut serde_json::Value, names: &[&str]) {
    match value {
        serde_json::Value::Object(fields) => {
            fields.retain(|name, _| !names.contains(&name.as_str()));
            fields.values_mut().for_each(|field| strip(field, names));
        }
        serde_json::Value::Array(items) => items.iter_mut().for_each(|item| strip(item, names)),
        _ => {}
    }
}
