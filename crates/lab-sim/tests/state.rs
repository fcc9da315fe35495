//! Whether a run was whole: nothing that is missing from its records leaves it good.
#![allow(clippy::unwrap_used, reason = "tests make the traces that they read")]

use lab_analysis::findings::{Findings, Judgement, RunWord};
use lab_model::{Comparison, Decimal, Expectation, Expected, FaultAction, Lab, PlannedFault, Span};
use lab_sim::{Kernel, Options, TraceFile};
use lab_testing::{labs, simulated};

fn scanned() -> (Lab, Vec<TraceFile>) {
    let mut lab = labs::lab(3, &labs::scanner(), 100);
    lab.expect = vec![labs::none_of("deadline.misses"), labs::none_of("lost")];
    let files = simulated::traced(&lab, &Options::new(&lab, Kernel::Fanotify)).1;
    (lab, files)
}

fn held(findings: &Findings) -> Vec<Option<bool>> {
    findings.expectations.iter().map(|expectation| expectation.held).collect()
}

#[test]
fn a_run_of_which_all_was_recorded_is_whole() {
    let (lab, files) = scanned();
    let findings = simulated::findings(&lab, Kernel::Fanotify, &files);
    assert_eq!(findings.state.word, RunWord::Whole, "{:?}", findings.state.reasons);
    assert_eq!((held(&findings), findings.judgement()), (vec![Some(true); 2], Judgement::Good));
    let running = findings.while_running();
    assert_eq!((running.state.word, running.judgement()), (RunWord::Running, Judgement::Unknown));
}

#[test]
fn without_any_of_its_traces_it_is_incomplete_and_nothing_holds() {
    let (lab, files) = scanned();
    for missing in 0..files.len() {
        let rest: Vec<TraceFile> = files
            .iter()
            .enumerate()
            .filter(|(place, _)| *place != missing)
            .map(|(_, file)| file.clone())
            .collect();
        let findings = simulated::findings(&lab, Kernel::Fanotify, &rest);
        let name = &files[missing].name;
        assert_eq!(findings.state.word, RunWord::Incomplete, "without {name}");
        assert_ne!(findings.judgement(), Judgement::Good, "without {name}");
        assert!(!held(&findings).contains(&Some(true)), "without {name}");
    }
}

#[test]
fn a_trace_that_is_cut_off_anywhere_is_not_whole() {
    let (lab, files) = scanned();
    for cut in 0..files.len() {
        for part in [2, 3, 5] {
            let mut rest = files.clone();
            let bytes = &mut rest[cut].bytes;
            bytes.truncate(bytes.len() / part * (part - 1));
            let findings = simulated::findings(&lab, Kernel::Fanotify, &rest);
            let name = &files[cut].name;
            assert_ne!(findings.state.word, RunWord::Whole, "{name}");
            assert_ne!(findings.judgement(), Judgement::Good, "{name}");
        }
    }
}

/// A lab of a seed: settings as a swarm draws them, with or without a client that stands still past its deadline.
fn drawn(seed: u64) -> Lab {
    let mut lab = lab_sim::swarm(&labs::lab(3, &labs::scanner(), 10), seed);
    // What feeds itself would go on for as long as it may.
    (lab.phases.storm, lab.phases.drain) = (Span::from_millis(20), Span::from_millis(5));
    lab.deadline = Span::from_millis(5);
    if seed.is_multiple_of(2) {
        let stalled = FaultAction::Stall { span: Span::from_nanos(3 * lab.deadline.nanos()) };
        lab.faults = vec![PlannedFault { on: "c1".into(), at: Span::from_nanos(10_000), action: stalled }];
    }
    lab
}

/// Nobody has to expect what must not be: a missed deadline fails a run that says nothing of it.
#[test]
fn no_run_with_a_miss_is_good_unless_its_lab_speaks_of_it() {
    let mut with_misses = 0;
    for seed in 1..=40 {
        let mut lab = drawn(seed);
        let (_, findings) = simulated::analysed(&lab, Kernel::Fanotify);
        let missed: u64 = findings.clients.iter().map(|client| client.deadline_misses).sum();
        if missed == 0 {
            continue;
        }
        with_misses += 1;
        assert_eq!(findings.judgement(), Judgement::Failed, "seed {seed}: {missed} missed");
        // How it ends has to be said as well, where that is bad.
        let outcome = findings.outcome.name();
        lab.expect = vec![
            Expectation {
                text: "deadline.misses >= 1".into(),
                comparison: Comparison::AtLeast,
                value: Expected::Number(Decimal::from(1)),
                ..labs::none_of("deadline.misses")
            },
            Expectation {
                text: format!("outcome == {outcome}"),
                value: Expected::Word(outcome.into()),
                ..labs::none_of("outcome")
            },
        ];
        let (_, said) = simulated::analysed(&lab, Kernel::Fanotify);
        assert!(!held(&said).contains(&Some(false)), "seed {seed}: {:?}", said.expectations);
    }
    assert!((10..40).contains(&with_misses), "{with_misses} of 40 missed a deadline");
}
