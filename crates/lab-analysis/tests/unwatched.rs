//! Runs in which nobody watched for a while: what is known stays known, and what is not is not called good.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use lab_analysis::findings::{Findings, Judgement, Outcome, RunWord};
use lab_model::{Comparison, Decimal, Expectation, Expected, Kernel, PhaseKind, Span, SubjectClass};
use lab_testing::sums::sums_hold;
use lab_testing::synthetic::{Builder, DEADLINE, Dec, MS, Op, analyse_on, lab};

/// The moment of the open that the tests are about; the gap begins a little later.
const AT: u64 = 100 * MS;

fn misses(comparison: Comparison, sign: &str, bound: u32) -> Expectation {
    Expectation {
        text: format!("deadline.misses {sign} {bound}"),
        metric: "deadline.misses".into(),
        comparison,
        value: Expected::Number(Decimal::from(u64::from(bound))),
        sometimes: false,
        abort: false,
        after: Span::default(),
    }
}

/// A storm of 40 quick opens before and behind one open by thread 901, of which `decision` is the answer.
fn builder(name: &str, decision: Option<Dec>) -> Builder {
    let mut lab = lab(1);
    lab.expect = vec![
        misses(Comparison::Equal, "==", 0),
        misses(Comparison::AtMost, "<=", 10),
        misses(Comparison::Unequal, "!=", 5),
    ];
    let mut builder = Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), name, lab);
    for root in 0..20 {
        builder.scanned_open(1000 + root * MS, 900, 100);
    }
    if let Some(decision) = decision {
        let end = decision.answered.unwrap() + 50;
        builder.operation(2, Op::root(AT, end, 901));
        builder.decision(1, decision);
    }
    for root in 0..20 {
        builder.scanned_open(5000 * MS + root * MS, 900, 100);
    }
    builder.phase(PhaseKind::Storm, 500, 5100 * MS);
    builder.phase(PhaseKind::Drain, 5100 * MS, 5200 * MS);
    builder.ended(1, 5300 * MS, 0);
    builder
}

fn held(findings: &Findings) -> Vec<Option<bool>> {
    findings.expectations.iter().take(3).map(|expectation| expectation.held).collect()
}

fn analyse(builder: Builder) -> Findings {
    let findings = builder.finish().analyse();
    sums_hold(&findings);
    findings
}

#[test]
fn a_gap_in_which_nothing_happened_is_said_and_changes_nothing_else() {
    let mut builder = builder("unwatched-nothing", None);
    builder.unwatched(200 * MS, 3200 * MS);
    let findings = analyse(builder);
    let unwatched = findings.unwatched.as_ref().unwrap();
    assert_eq!((unwatched.times, unwatched.total_ns, unwatched.longest_ns), (1, 3000 * MS, 3000 * MS));
    assert_eq!(unwatched.gaps[0].phases, [PhaseKind::Storm]);
    assert_eq!((unwatched.late, unwatched.doubtful), (0, 0));
    assert_eq!(findings.outcome, Outcome::Stable, "{}", findings.outcome_rule);
    assert_eq!(held(&findings), [Some(true); 3]);
    for text in [&findings.outcome_rule, &findings.findings[0].text, &findings.not_observed[0]] {
        assert!(text.contains("Nobody watched the clients for 3.00 s"), "{text}");
        assert!(
            text.contains("was not enforced then, and the traces show that nobody was past it"),
            "{text}"
        );
    }
    assert_eq!(findings.findings[0].weight.name(), "bad");
}

#[test]
fn without_a_gap_nothing_is_said() {
    let findings = analyse(builder("unwatched-never", None));
    assert_eq!(findings.unwatched, None);
    assert!(!findings.outcome_rule.contains("watched"), "{}", findings.outcome_rule);
    assert!(findings.not_observed.iter().all(|note| !note.contains("watched")));
}

#[test]
fn a_late_answer_that_nobody_punished_is_a_known_miss_and_no_stable_run() {
    let late = Dec::worked(AT + 100, 901, AT + DEADLINE + 500 * MS);
    let mut builder = builder("unwatched-late", Some(late));
    builder.unwatched(AT + MS, AT + 3000 * MS);
    let findings = analyse(builder);
    assert_eq!(findings.clients[0].deadline_misses, 1);
    assert_eq!(findings.clients[0].deadline_misses_possible, 0);
    assert_eq!(findings.unwatched.as_ref().unwrap().late, 1);
    assert_eq!(held(&findings), [Some(false), Some(true), Some(true)], "it is known");
    assert_eq!(findings.outcome, Outcome::Unknown, "{}", findings.outcome_rule);
    assert!(findings.outcome_rule.contains("1 answer came after it, and nobody was killed"));
}

#[test]
fn an_event_that_may_have_lain_unread_leaves_the_misses_unknown() {
    let read = AT + DEADLINE + 500 * MS;
    let unread = Dec::at_once(read, 901, SubjectClass::Workload);
    let mut watchless = builder("unwatched-unread", Some(unread));
    watchless.unwatched(AT + MS, AT + 3000 * MS);
    let run = watchless.finish();
    let findings = run.analyse();
    assert_eq!(findings.clients[0].deadline_misses, 0);
    assert_eq!(findings.clients[0].deadline_misses_possible, 1);
    assert_eq!(held(&findings), [None, Some(true), Some(true)], "0 or 1: at most 10, not 5");
    assert!(findings.expectations[0].observed.contains("up to 1 more"), "{:?}", findings.expectations[0]);
    assert_eq!(findings.outcome, Outcome::Unknown, "{}", findings.outcome_rule);
    // Endpoint Security keeps its deadlines itself, whoever watches.
    let kept = analyse_on(&run, Kernel::EndpointSecurity);
    assert_eq!((kept.outcome, held(&kept)), (Outcome::Stable, vec![Some(true); 3]));
    assert!(kept.findings[0].text.contains("the kernel kept the deadlines meanwhile"), "{:?}", kept.findings);

    // Read within the deadline: nothing could have been missed.
    let quick = Dec::at_once(AT + DEADLINE - MS, 901, SubjectClass::Workload);
    let mut builder = builder("unwatched-quick", Some(quick));
    builder.unwatched(AT + MS, AT + 3000 * MS);
    let findings = analyse(builder);
    assert_eq!(findings.clients[0].deadline_misses_possible, 0);
    assert_eq!((findings.outcome, held(&findings)), (Outcome::Stable, vec![Some(true); 3]));
}

#[test]
fn a_client_that_ended_while_nobody_watched_may_have_missed_a_deadline() {
    let mut builder = builder("unwatched-end", None);
    builder.unwatched(200 * MS, 3200 * MS);
    builder.ended(1, 3201 * MS, 9);
    let findings = analyse(builder);
    assert_eq!(findings.clients[0].deadline_misses_possible, 1);
    assert_eq!(held(&findings)[0], None);
}

#[test]
fn gaps_that_cannot_be_are_no_gaps() {
    let mut builder = builder("unwatched-hostile", None);
    builder.unwatched(3200 * MS, 200 * MS);
    builder.unwatched(7, 7);
    assert_eq!(analyse(builder).unwatched, None);
    let mut builder = self::builder("unwatched-endless", None);
    builder.unwatched(0, u64::MAX);
    builder.unwatched(1, u64::MAX - 1);
    let unwatched = analyse(builder).unwatched.unwrap();
    assert_eq!((unwatched.times, unwatched.total_ns), (1, u64::MAX));
}

/// The controller, the driver and the client all stop with an event in hand, and go on together.
#[test]
fn a_miss_while_the_whole_lab_stood_still_is_told_and_judges_nobody() {
    let until = AT + MS + DEADLINE * 3 / 2;
    let held_up = Dec::worked(AT + 100, 901, until + MS);
    let mut builder = builder("stood-still", Some(held_up));
    builder.unwatched(AT + MS, until);
    let findings = analyse(builder);
    let still = findings.stood_still.as_ref().unwrap();
    assert_eq!((still.times, still.total_ns), (1, DEADLINE * 3 / 2));
    assert_eq!(still.gaps[0].phases, [PhaseKind::Storm]);
    assert_eq!((still.misses, still.misses_of), (1, 1));
    assert_eq!(findings.clients[0].deadline_misses, 0);
    assert!(findings.clients[0].headroom.min.unwrap() > 0.9, "{:?}", findings.clients[0].headroom);
    // What a frozen lab's decisions and operations took is what they took while it moved.
    let client = &findings.clients[0];
    let storm = findings.phases.iter().find(|phase| phase.kind == PhaseKind::Storm).unwrap();
    let longest = [
        client.latency_ns.max,
        client.queue_ns.p99,
        findings.latency_ns.max,
        storm.op_latency_ns.max,
        findings.cascades.duration_ns.max,
        findings.pipeline.slowest[0].took_ns,
    ];
    assert!(longest.iter().all(|&time| time < 3 * MS), "{longest:?}");
    assert_eq!(client.latency_ns.max, 2 * MS - 100, "a moment before it, and one after it");
    let steps: u64 = findings.pipeline.slowest[0].steps.iter().map(|step| step.1).sum();
    assert_eq!(steps, findings.pipeline.slowest[0].took_ns);
    assert_eq!((findings.state.word, held(&findings)), (RunWord::Disturbed, vec![Some(true); 3]));
    assert_eq!((findings.outcome, findings.judgement()), (Outcome::Stable, Judgement::Good));
    let said = "The whole lab stood still from ";
    let misses = "1 of 1 miss fell into it, and nobody is judged by that; what decisions and operations took is \
                  without that time.";
    for text in [&findings.state.reasons[0].text, &findings.outcome_rule] {
        assert!(text.contains(said) && text.contains(misses), "{text}");
    }
}

/// A client that takes long by itself is late, whoever else stood still: the time that the lab did is all that is taken off.
#[test]
fn who_is_late_beside_the_stand_still_stays_late() {
    let until = AT + MS + DEADLINE * 3 / 2;
    let late = Dec::worked(AT + 100, 901, until + DEADLINE + MS);
    let mut builder = builder("stood-still-late", Some(late));
    // Somebody goes on at once, so that it is known to have been over.
    builder.scanned_open(until + MS, 900, 100);
    builder.unwatched(AT + MS, until);
    let findings = analyse(builder);
    assert_eq!(findings.stood_still.as_ref().map(|still| still.misses), Some(0));
    assert_eq!(findings.clients[0].deadline_misses, 1);
}

/// The client answers in the middle of it: only the controller stood still.
#[test]
fn where_anybody_moved_the_lab_did_not_stand_still() {
    let until = AT + MS + DEADLINE * 3 / 2;
    let mut builder = builder("moved", Some(Dec::worked(AT + 100, 901, AT + DEADLINE / 2)));
    builder.scanned_open(until + MS, 900, 100);
    builder.unwatched(AT + MS, until);
    let findings = analyse(builder);
    assert!(findings.unwatched.is_some());
    assert_eq!((findings.stood_still, findings.state.word), (None, RunWord::Whole));
}
