//! The knee in pages: the steps, and the condition that failed with its value; and reports of before it had one.
#![allow(clippy::unwrap_used, reason = "a test that finds nothing has failed")]

use lab_analysis::findings::{Broken, BrokenCondition, Findings, ObservedUnit};
use lab_report::{
    html,
    text::{self, Style},
};
use lab_testing::reports;

fn broken() -> Findings {
    let mut findings = reports::knee();
    let knee = findings.knee.as_mut().unwrap();
    let last = knee.steps.last_mut().unwrap();
    (knee.held, knee.broke) = (Some(last.rate / 2), Some(last.rate));
    last.held = Some(false);
    last.broken = vec![Broken::Condition(BrokenCondition {
        condition: Some("op_latency.storm.p99 < 250ms".to_owned()),
        metric: "op_latency.storm.p99".to_owned(),
        observed: 1.3e9,
        unit: ObservedUnit::Nanoseconds.into(),
        bound: false,
    })];
    findings
}

#[test]
fn the_condition_that_failed_is_shown_with_its_value() {
    let findings = broken();
    let report = text::run(&findings, &Style::plain());
    let words: Vec<&str> = report.split_whitespace().collect();
    let sentence = "Up to 8,000 operations a second every condition held; at 16,000 `op_latency.storm.p99 < 250ms` \
                    failed: 1.30 s.";
    assert!(words.join(" ").contains(sentence), "{report}");
    let bar = |line: &&str| line.contains("16,000/s  #") && line.ends_with("did not hold");
    assert_eq!(report.lines().filter(bar).count(), 1, "{report}");
    assert_eq!(
        report.lines().filter(|line| line.contains("/s  #")).count(),
        6,
        "a bar for each step: {report}"
    );
    let page = html::run(&findings);
    assert!(page.contains("picture-knee"));
    assert!(page.contains("at 16,000 a second: `op_latency.storm.p99 &lt; 250ms` failed: 1.30 s"));
}

#[test]
fn a_report_that_says_it_in_words_is_still_read() {
    let mut json = serde_json::to_value(broken()).unwrap();
    let steps = json["knee"]["steps"].as_array_mut().unwrap();
    steps.last_mut().unwrap()["broken"] = serde_json::json!(["kept up with 6,120 of 16,000 a second"]);
    let findings: Findings = serde_json::from_value(json).unwrap();
    let knee = findings.knee.as_ref().unwrap();
    assert_eq!(knee.fell_behind().map(|step| step.rate), Some(16_000));
    let report = text::run(&findings, &Style::plain());
    let words: Vec<&str> = report.split_whitespace().collect();
    assert!(words.join(" ").contains("at 16,000 kept up with 6,120 of 16,000 a second."), "{report}");
}
