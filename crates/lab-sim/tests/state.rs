//! Whether a run was whole: nothing that is missing from its records leaves it good.
#![allow(clippy::unwrap_used, reason = "tests make the traces that they read")]

use lab_analysis::findings::{Findings, Judgement, RunWord};
use lab_model::{Comparison, Decimal, Expectation, Expected, Lab, Span};
use lab_sim::{Kernel, Options, TraceFile};
use lab_testing::{labs, simulated};

fn none_of(metric: &str) -> Expectation {
    Expectation {
        text: format!("{metric} == 0"),
        metric: metric.into(),
        comparison: Comparison::Equal,
        value: Expected::Number(Decimal::from(0)),
        sometimes: false,
        abort: false,
        after: Span::default(),
    }
}

fn scanned() -> (Lab, Vec<TraceFile>) {
    let mut lab = labs::lab(3, &labs::scanner(), 100);
    lab.expect = vec![none_of("deadline.misses"), none_of("lost")];
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
