//! What a report says of whether cascades end, over random simulated labs: every sentence agrees with what was counted.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

use lab_analysis::findings::{Feeding, Findings, Outcome};
use lab_report::text::{self, Style};
use lab_testing::simulated;

/// The random labs.
const LABS: u64 = 80;

/// What says that cascades end, and what says that they do not or that nobody knows.
const ENDS: [&str; 2] = ["every cascade ends", "cascades ended"];
const GOES_ON: [&str; 4] = [
    "feed themselves",
    "fed themselves",
    "not every one was seen to end",
    "whether cascades end cannot be told",
];

/// True when something had not ended when it was last seen.
fn something_open(findings: &Findings) -> bool {
    let in_flight = findings.drain.as_ref().map_or(0, |drain| drain.in_flight);
    in_flight > 0
        || findings.cascades.unfinished > 0
        || findings.totals.unanswered > 0
        || !findings.wait_cycles.is_empty()
        || !findings.state.is_whole()
}

#[test]
fn no_cascade_is_said_to_end_where_something_was_open() {
    let (mut ended, mut open, mut divergent) = (0, 0, 0);
    for seed in 0..LABS {
        let findings = simulated::swarm(seed);
        // A sentence may be broken over lines.
        let report = text::run(&findings, &Style::plain()).replace('\n', " ");
        let words: Vec<&str> = report.split_whitespace().collect();
        let report = words.join(" ");
        let says = |sentences: &[&str]| sentences.iter().any(|sentence| report.contains(sentence));
        let ends = report.contains("every cascade ends");
        assert!(!(ends && something_open(&findings)), "seed {seed}: {report}");
        assert!(!(ends && says(&GOES_ON)), "seed {seed}: {report}");
        if findings.outcome == Outcome::Divergent {
            divergent += 1;
            assert!(!says(&ENDS) && !says(&GOES_ON[3..]), "seed {seed}: {report}");
            let feeding = findings.feeding();
            let goes_on = matches!(feeding, Feeding::FeedsItself | Feeding::OutlastsTheDrain);
            assert!(goes_on, "seed {seed}: {feeding:?}");
        }
        if findings.outcome == Outcome::Stable {
            assert!(!says(&["feed themselves", "fed themselves"]), "seed {seed}: {report}");
        }
        ended += u32::from(ends);
        open += u32::from(something_open(&findings));
    }
    assert!(ended >= 10 && open >= 10 && divergent >= 3, "{ended} ended, {open} open, {divergent} divergent");
}
