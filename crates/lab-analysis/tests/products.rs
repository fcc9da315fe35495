//! Products beside the clients in runs that never took place: what they miss counts as what a client misses.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use lab_analysis::{
    Measured,
    findings::{Findings, Judgement, Outcome, ProductEnd},
    metric,
};
use lab_model::{
    Actor, Comparison, Expectation, Expected, External, PhaseKind, Ready, Recognized, Span, Ticks,
};
use lab_testing::synthetic::{Builder, DEADLINE, Dec, MS, Op, lab};
use lab_trace::{Fault, FaultKind, ProcessMark, ProcessMarkKind, QueueSample, ThreadSeen};

fn product(id: &str) -> External {
    External {
        id: id.parse().unwrap(),
        start: vec!["/bin/true".to_owned()],
        environment: Vec::new(),
        ready: Ready::Started,
        ready_within: Span::from_secs(1),
        process: Recognized::default(),
        arena: None,
        private: Vec::new(),
    }
}

/// A calm storm of 40 opens with one client beside two products.
fn calm(name: &str) -> Builder {
    let mut lab = lab(1);
    lab.external = vec![product("first"), product("second")];
    let mut builder = Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), name, lab);
    builder.phase(PhaseKind::Storm, 10 * MS, 3000 * MS);
    for place in 0..2 {
        mark(&builder, place, ProcessMarkKind::Started, 5 * MS, 0);
    }
    let driver = builder.driver();
    for nth in 0..40 {
        let at = (20 + nth * 10) * MS;
        builder.operation(driver, Op { inode: 7, ..Op::root(at, at + MS, 50) });
        builder.decision(1, Dec { inode: 7, ..Dec::worked(at + MS / 4, 50, at + MS / 2) });
    }
    builder
}

fn mark(builder: &Builder, place: usize, kind: ProcessMarkKind, at: u64, status: i32) {
    let actor = External::actor(place);
    builder.writers[0].process(&ProcessMark { at: Ticks(at), actor, kind, pid: 90, status });
}

fn waits(builder: &Builder, actor: Actor, from: u64, at: u64) {
    let since = Some(Ticks(from));
    builder.writers[0].queue_sample(&QueueSample { at: Ticks(at), actor, unread: None, waiting: 2, since });
}

fn kill(builder: &Builder, place: usize, at: u64) {
    let (kind, actor) = (FaultKind::DeadlineKill, External::actor(place));
    builder.writers[0].fault(&Fault { at: Ticks(at), kind, actor, detail: u64::MAX });
    mark(builder, place, ProcessMarkKind::Ended, at + MS, 9);
}

fn seen(builder: &Builder, place: usize, at: u64, there: bool) {
    let actor = External::actor(place);
    builder.writers[0].thread_seen(&ThreadSeen { at: Ticks(at), actor, pid: 90, tid: 90, there });
}

fn equals(metric: &str, value: &str) -> Expectation {
    Expectation {
        text: format!("{metric} == {value}"),
        metric: metric.to_owned(),
        comparison: Comparison::Equal,
        value: Expected::Number(value.parse().unwrap()),
        sometimes: false,
        abort: false,
        after: Span::default(),
    }
}

fn analysed(mut builder: Builder, expect: &[(&str, &str)]) -> Findings {
    builder.phase(PhaseKind::Drain, 3000 * MS, 3500 * MS);
    builder.lab.expect = expect.iter().map(|&(metric, value)| equals(metric, value)).collect();
    builder.finish().analyse()
}

fn failed(findings: &Findings) -> Vec<String> {
    let failed = findings.expectations.iter().filter(|checked| checked.held == Some(false));
    failed.map(|checked| format!("{}: {}", checked.text, checked.observed)).collect()
}

#[test]
fn a_deadline_that_a_product_missed_counts_as_a_clients_does() {
    let killed = |name: &str| {
        let builder = calm(name);
        waits(&builder, External::actor(1), 500 * MS, 1500 * MS);
        kill(&builder, 1, 1500 * MS);
        builder
    };
    let findings = analysed(killed("products-missed"), &[]);
    assert_eq!(failed(&findings), ["external.misses == 0 (`expect` says nothing of it): second 1"]);
    assert_eq!(findings.judgement(), Judgement::Failed);
    assert_eq!(findings.outcome, Outcome::Unknown, "{}", findings.outcome_rule);
    let rule = "second missed the deadline: operations waited for up to 1.00 s; the lab went on only because it was killed.";
    assert!(findings.outcome_rule.starts_with(rule), "{}", findings.outcome_rule);
    let missed = findings.answers().missed.unwrap();
    assert_eq!((missed.deadlines, missed.by), (1, vec![("second".to_owned(), 1)]));
    let metrics =
        ["external.misses", "external.ended", "external.waited"].map(|path| metric(&findings, path));
    assert_eq!(metrics, [Some(Measured::Count(1)), Some(Measured::Count(1)), Some(Measured::Time(DEADLINE))]);
    // Who speaks of it has planned it, and the outcome is that of the load.
    let findings = analysed(killed("products-said"), &[("external.misses", "1"), ("external.ended", "1")]);
    assert_eq!((failed(&findings), findings.outcome), (Vec::new(), Outcome::Stable));
    assert_eq!(findings.judgement(), Judgement::Good);
}

#[test]
fn what_waited_for_one_of_two_counts_without_a_name() {
    let builder = calm("products-untold");
    waits(&builder, Actor::UNKNOWN, 500 * MS, 1600 * MS);
    let findings = analysed(builder, &[]);
    assert_eq!(
        failed(&findings),
        ["external.misses == 0 (`expect` says nothing of it): one of first, second 1"]
    );
    let outside = findings.outside.as_ref().unwrap();
    assert_eq!((outside.waiting_for_one_of_them, outside.waited_longest_ns), (2, Some(1100 * MS)));
    let said = |text: &str| findings.findings.iter().any(|finding| finding.text.contains(text));
    assert!(said("2 operations waited for one of first, second, which cannot be told, for up to 1.10 s"));
}

#[test]
fn a_product_that_ends_before_the_run_does_is_an_unplanned_end_however_it_ends() {
    for (status, words) in [(4 << 8, "exit 4"), (0, "clean")] {
        let builder = calm("products-ended");
        seen(&builder, 0, 6 * MS, true);
        seen(&builder, 0, 800 * MS, false);
        mark(&builder, 0, ProcessMarkKind::Ended, 800 * MS, status);
        let findings = analysed(builder, &[]);
        let expected = format!("ends.unplanned == 0 (`expect` says nothing of it): first: {words}");
        assert_eq!(failed(&findings), [expected]);
        assert_eq!(metric(&findings, "external.ended"), Some(Measured::Count(1)));
        assert!(
            findings.outcome_rule.contains("from then on this is a run without it"),
            "{}",
            findings.outcome_rule
        );
        assert_eq!(findings.outside.unwrap().products[1].end, ProductEnd::NotKnown);
    }
    // What starts a product leaves it to another process.
    let builder = calm("products-left");
    seen(&builder, 0, 6 * MS, true);
    mark(&builder, 0, ProcessMarkKind::Ended, 800 * MS, 0);
    let findings = analysed(builder, &[]);
    assert_eq!(failed(&findings), Vec::<String>::new());
    assert_eq!(metric(&findings, "external.ended"), Some(Measured::Count(0)));
}
