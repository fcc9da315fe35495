//! `report.json` and its schema. Says what the findings say and nothing else: no rounding, no wording.

use lab_analysis::findings::{Answers, Findings};
use lab_model::Visible;
use schemars::JsonSchema;
use serde::Serialize;

/// Everything that a run showed.
#[derive(Debug, Serialize, JsonSchema)]
struct Report<'a> {
    #[serde(flatten)]
    findings: &'a Findings,
    /// What the run comes to: the answers of the first screen. Derived from the rest.
    answers: Answers,
}

/// Writes findings as pretty JSON with the keys in the order of the structure, ending with a newline.
///
/// A number that JSON cannot express (infinite, not a number) becomes `null`.
#[must_use]
pub fn to_string(findings: &Findings) -> String {
    // The structure has string keys only, so that writing it into memory has no way to fail.
    let report = Report { findings, answers: findings.answers() };
    let mut text = serde_json::to_string_pretty(&report).unwrap_or_default();
    text.push('\n');
    Visible::json(&text).to_string()
}

/// Writes the JSON Schema of `report.json`, ending with a newline.
#[must_use]
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(Report<'_>);
    schema.insert("title".to_owned(), "report.json".into());
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
