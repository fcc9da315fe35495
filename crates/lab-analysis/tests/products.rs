//! Products beside the clients in runs that never took place: what they miss counts as what a client misses.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use lab_analysis::{
    Measured,
    findings::{Findings, Judgement, Outcome, ProductEnd},
    metric,
};
use lab_model::{
    Actor, Comparison, Expectation, Expected, External, OperationKind, PhaseKind, Ready, Recognized, Span,
    SubjectClass, Ticks,
};
use lab_testing::synthetic::{Builder, DEADLINE, Dec, MS, Op, lab};
use lab_trace::{Fault, FaultKind, Loss, LossKind, ProcessMark, ProcessMarkKind, QueueSample, ThreadSeen};

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

/// So many opens of ten files begin at once and end one after another; so many of them fail.
fn crowd(builder: &mut Builder, at: u64, opens: u64, denied: u64) {
    let driver = builder.driver();
    for nth in 0..opens {
        let error = if nth + denied >= opens { 1 } else { 0 };
        // Who is denied is denied while all others wait.
        let end = at + MS + if error == 1 { nth } else { MS + nth };
        let inode = 100 + nth % 10;
        builder.operation(driver, Op { inode, error, ..Op::root(at + nth, end, 1000 + nth) });
    }
}

#[test]
fn a_full_queue_is_told_from_a_rule() {
    let mut builder = calm("products-full-queue");
    for nth in 0..20 {
        crowd(&mut builder, (500 + nth * 10) * MS, 20, 6);
        crowd(&mut builder, (1000 + nth * 10) * MS, 10, 0);
    }
    let findings = analysed(builder, &[]);
    let denials = &findings.outside.as_ref().unwrap().denials;
    assert!(denials.queue_was_full, "{denials:?}");
    assert_eq!(denials.operations, 120);
    let waiting = denials.waiting.unwrap();
    assert!((15..=20).contains(&waiting.least) && waiting.most == 20, "{waiting:?}");
    let kind = &denials.kinds[0];
    let found = (kind.kind.as_str(), kind.error.as_str(), kind.questions_read, kind.operations, kind.of);
    assert_eq!(found, ("open", "EPERM", 0, 120, 640));
    let said = findings.findings.iter().map(|finding| finding.text.clone()).collect::<Vec<_>>().join(" ");
    let sentence = format!(
        "denied 120 of 640 opens, none while fewer than {} waited: a full queue, not a rule.",
        waiting.least
    );
    assert!(said.contains(&sentence), "{said}");
    // The same number, always of the same file.
    let mut builder = calm("products-rule");
    let driver = builder.driver();
    for nth in 0..120 {
        let at = (500 + nth * 10) * MS;
        builder.operation(driver, Op { inode: 200, error: 1, ..Op::root(at, at + MS, 50) });
    }
    let findings = analysed(builder, &[]);
    let denials = &findings.outside.as_ref().unwrap().denials;
    assert!(!denials.queue_was_full, "{denials:?}");
    let file = &denials.files[0];
    assert_eq!((denials.files.len(), file.operations, file.of), (1, 120, 120));
    let said = findings.findings.iter().any(|finding| finding.text.contains("nothing passed: a rule."));
    assert!(said, "{:?}", findings.findings);
}

#[test]
fn what_could_not_be_handed_over_is_denied_by_the_kernel_with_its_reason() {
    let builder = calm("products-kernel");
    for (error, count) in [(24, 3), (103, 1)] {
        let kind = LossKind::NotHandedOver(error);
        builder.writers[1].loss(&Loss { at: Ticks(600 * MS), kind, count });
    }
    let mut builder = builder;
    let driver = builder.driver();
    for nth in 0..5 {
        let at = (500 + nth * 10) * MS;
        builder.operation(driver, Op { inode: 7, error: 1, ..Op::root(at, at + MS, 50) });
    }
    let findings = analysed(builder, &[]);
    let denials = &findings.outside.as_ref().unwrap().denials;
    let by: Vec<_> = denials
        .by_kernel
        .iter()
        .map(|one| (one.client.as_str(), one.error.as_str(), one.operations))
        .collect();
    assert_eq!(by, [("client-1", "EMFILE", 3), ("client-1", "ECONNABORTED", 1)]);
    assert_eq!((denials.operations, denials.of_kernel()), (5, 4));
    let said = findings.not_observed.join(" ");
    assert!(
        said.contains("3 events could not be handed over (EMFILE), and the kernel denied their operations"),
        "{said}"
    );
    assert!(said.contains("1 event could not be handed over (ECONNABORTED)"), "{said}");
}

#[test]
fn what_a_worker_of_an_io_uring_opens_is_its_processs() {
    let worker = |name: &str, known: bool| {
        let mut builder = calm(name);
        let driver = builder.driver();
        let program = Op { kind: OperationKind::Process, pid: 60, ..Op::root(500 * MS, 900 * MS, 60) };
        builder.operation(driver, program);
        if known {
            let seen =
                ThreadSeen { at: Ticks(610 * MS), actor: Actor::UNKNOWN, pid: 60, tid: 61, there: true };
            builder.writers[0].thread_seen(&seen);
        }
        let read = 600 * MS;
        builder.decision(1, Dec { inode: 9, ..Dec::at_once(read, 61, SubjectClass::Workload) });
        analysed(builder, &[]).totals.unexplained
    };
    assert_eq!((worker("products-worker", true), worker("products-unseen", false)), (0, 1));
}
