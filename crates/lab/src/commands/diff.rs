//! `lab diff`: two runs side by side.

use std::collections::BTreeMap;

use lab_analysis::compare::{Run, compare};
use lab_model::Lab;
use lab_orchestrator::{Review, RunFolder};
use serde_json::{Value, json};

use super::{ExitError, report, sim::simulated_rules};
use crate::{arguments::Diff, labs::Places, terminal};

pub(super) fn diff(places: &Places, arguments: &Diff) -> Result<u8, ExitError> {
    let names = [&arguments.before, &arguments.after];
    let [before, after] = names.map(|name| report::find(places, Some(name)));
    let (before, after) = (before?, after?);
    lab_orchestrator::give_up_to_read(&[&before, &after], &[])?;
    let (one, other) = (lab_orchestrator::review(&before)?, lab_orchestrator::review(&after)?);
    let settings = [settings_of(&before, &one)?, settings_of(&after, &other)?];
    let comparison = compare(
        &Run { findings: &one.findings, settings: &settings[0] },
        &Run { findings: &other.findings, settings: &settings[1] },
    );
    let [name, other_name] = [title(&one), title(&other)];
    if arguments.json {
        let whole = json!({ "schema": 1, "before": name, "after": other_name, "comparison": comparison });
        terminal::print_json(&whole)?;
    } else {
        let names = [name.as_str(), other_name.as_str()];
        terminal::print_painted(&lab_report::text::comparison(&comparison, names, &terminal::style()))?;
    }
    Ok(0)
}

fn title(review: &Review) -> String {
    format!("{}/{}", review.findings.lab, review.findings.run)
}

/// Every setting of a run by its path, as text: the lab's, the kernel's and the machine's.
fn settings_of(folder: &RunFolder, review: &Review) -> Result<BTreeMap<String, String>, ExitError> {
    let mut settings = lab_settings(&review.lab);
    if let Some(rules) = simulated_rules(folder)? {
        settings.insert("rules".to_owned(), rules.name().to_owned());
    }
    let machine = &review.findings.machine;
    settings.insert("machine.kernel".to_owned(), machine.kernel.clone());
    settings.insert("machine.processors".to_owned(), machine.cpus.to_string());
    settings.insert("machine.lab_version".to_owned(), machine.version.clone());
    Ok(settings)
}

fn lab_settings(lab: &Lab) -> BTreeMap<String, String> {
    let mut settings = BTreeMap::new();
    let value = serde_json::to_value(lab).unwrap_or_default();
    flatten("", &value, &mut settings);
    settings
}

/// Writes the leaves of a value by their paths. Entries of a list go by their ID where they have one.
fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Object(entries) => {
            for (key, entry) in entries {
                flatten(&below(key), entry, into);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                let id = item.get("id").and_then(Value::as_str).map(str::to_owned);
                flatten(&below(&id.unwrap_or_else(|| (place + 1).to_string())), item, into);
            }
        }
        Value::String(text) => drop(into.insert(path.to_owned(), text.clone())),
        other => drop(into.insert(path.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_go_by_the_id_of_what_they_belong_to() {
        let mut found = BTreeMap::new();
        flatten("", &json!({ "seed": 1, "clients": [{ "id": "a", "x": null }], "list": ["y"] }), &mut found);
        let found: Vec<String> = found.into_iter().map(|(path, value)| format!("{path}={value}")).collect();
        assert_eq!(found, ["clients.a.id=a", "clients.a.x=null", "list.1=y", "seed=1"]);
    }
}
