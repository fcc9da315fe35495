//! `report.json` and its schema. Says what the findings say and nothing else: no rounding, no wording.

use lab_analysis::findings::Findings;
use lab_model::Visible;

/// Writes findings as pretty JSON with the keys in the order of the structure, ending with a newline.
///
/// A number that JSON cannot express (infinite, not a number) becomes `null`.
#[must_use]
pub fn to_string(findings: &Findings) -> String {
    // The structure has string keys only, so that writing it into memory has no way to fail.
    let mut text = serde_json::to_string_pretty(findings).unwrap_or_default();
    text.push('\n');
    Visible::json(&text).to_string()
}

/// Writes the JSON Schema of `report.json`, ending with a newline.
#[must_use]
pub fn schema() -> String {
    let mut schema = schemars::schema_for!(Findings);
    schema.insert("title".to_owned(), "report.json".into());
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}
