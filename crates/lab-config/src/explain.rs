//! What a field of a lab file means, for `lab explain`.

use std::fmt::Write;

use lab_model::{METRICS, MetricUnit, Preset};
use serde_json::Value;

use crate::{behavior::behavior_to_yaml, nearest::nearest, schema::schema};

/// The deepest path into a lab file that is followed.
const DEPTH_MAX: usize = 8;

/// Tells what a field of a lab file means: `behavior.concurrency`, `phases.storm`, `behavior.scanner` (a
/// preset, written out), `expect` (with every metric). The path may leave out its beginning, as in `storm`.
///
/// `None` when nothing has that path; [`nearest_field`] then has the nearest one.
#[must_use]
pub fn explain(path: &str) -> Option<String> {
    // A behaviour is the same wherever it stands.
    let path = path.find(".behavior").map_or(path, |at| &path[at + 1..]);
    if let Some(preset) = path.strip_prefix("behavior.").and_then(preset) {
        return Some(explain_preset(path, preset));
    }
    let schema = schema();
    let (exact, rest): (Vec<_>, Vec<_>) = fields(&schema).into_iter().partition(|field| field.path == path);
    let ending = format!(".{path}");
    let meant = if exact.is_empty() {
        rest.into_iter().filter(|field| field.path.ends_with(&ending)).collect()
    } else {
        exact
    };
    let texts: Vec<String> = meant.iter().map(|field| explain_field(&schema, field)).collect();
    if texts.is_empty() { None } else { Some(texts.join("\n")) }
}

/// The path of a field that is nearest to one that [`explain`] does not know.
#[must_use]
pub fn nearest_field(path: &str) -> Option<String> {
    let paths = field_paths();
    let last = path.rsplit('.').next().unwrap_or(path);
    let by_path = nearest(path, paths.iter().map(String::as_str));
    let by_name = || {
        let names: Vec<&str> = paths.iter().filter_map(|path| path.rsplit('.').next()).collect();
        let name = nearest(last, names.iter().copied())?;
        paths.iter().find(|path| path.rsplit('.').next() == Some(name)).map(String::as_str)
    };
    by_path.or_else(by_name).map(str::to_owned)
}

/// Every path that [`explain`] knows, in the order of the documentation.
#[must_use]
pub fn field_paths() -> Vec<String> {
    let mut paths: Vec<String> = fields(&schema()).into_iter().map(|field| field.path).collect();
    paths.extend(Preset::ALL.iter().map(|preset| format!("behavior.{}", preset.name())));
    paths
}

fn preset(name: &str) -> Option<Preset> {
    Preset::ALL.into_iter().find(|preset| preset.name() == name)
}

fn explain_preset(path: &str, preset: Preset) -> String {
    let about = choices(&schema(), &schema()["$defs"]["Preset"])
        .into_iter()
        .find(|(word, _)| word == preset.name())
        .map_or_else(String::new, |(_, about)| about);
    let fields = behavior_to_yaml(&preset.behavior(), "  ");
    format!("{path}: a preset\n\n  {about}\n\nWritten out in full:\n\nbehavior:\n{fields}")
}

/// One field of a lab file and its place in the schema.
struct FieldAt {
    path: String,
    schema: Value,
    required: bool,
}

/// All fields, found by walking the schema. `behavior` stands for itself wherever it occurs.
fn fields(root: &Value) -> Vec<FieldAt> {
    let mut found = Vec::new();
    walk(root, root, "", DEPTH_MAX, &mut found);
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|field| seen.insert(field.path.clone()));
    found
}

fn walk(root: &Value, schema: &Value, prefix: &str, depth: usize, found: &mut Vec<FieldAt>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    let schema = resolved(root, schema);
    if let Some(properties) = schema["properties"].as_object() {
        let required = |name: &str| {
            schema["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name))
        };
        for (name, property) in properties {
            let path = if name == "behavior" || prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            found.push(FieldAt { path: path.clone(), schema: property.clone(), required: required(name) });
            walk(root, property, &path, depth, found);
        }
    }
    for alternative in schema["anyOf"].as_array().into_iter().flatten() {
        walk(root, alternative, prefix, depth, found);
    }
    if schema["items"].is_object() {
        walk(root, &schema["items"], prefix, depth, found);
    }
}

/// The schema itself, or the definition that it refers to.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix("#/$defs/"));
    name.map_or(schema, |name| &root["$defs"][name])
}

fn explain_field(root: &Value, field: &FieldAt) -> String {
    let target = resolved(root, &field.schema);
    let kind = kind(root, target);
    let need = if field.required { ", required" } else { "" };
    let mut text = format!("{}: {kind}{need}\n", field.path);
    let own = field.schema["description"].as_str();
    // What a word or a length of time is needs no telling.
    let telling = target["oneOf"].is_null() || target["type"] == "object";
    let general = target["description"]
        .as_str()
        .filter(|general| telling && target["pattern"].is_null() && Some(*general) != own);
    for description in [own, general].into_iter().flatten() {
        push(&mut text, &format!("\n  {description}\n"));
    }
    if let Some(default) = field.schema.get("default") {
        let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
        push(&mut text, &format!("\n  Left out: {default}\n"));
    }
    let words = choices(root, target);
    if !words.is_empty() {
        text.push_str("\nValues:\n");
        for (word, about) in words {
            push(&mut text, &format!("  {word:<18} {about}\n"));
        }
    }
    let inner = inner_fields(root, target);
    if !inner.is_empty() {
        text.push_str("\nFields:\n");
        for (name, about) in inner {
            push(&mut text, &format!("  {name:<18} {about}\n"));
        }
    }
    if field.path == "expect" {
        text.push_str("\nMetrics (`|` stands for one of these):\n");
        for metric in &METRICS {
            let unit = match metric.unit {
                MetricUnit::Count => "a count",
                MetricUnit::Ratio => "a number",
                MetricUnit::Share => "a percentage",
                MetricUnit::Time => "a time",
                MetricUnit::Word(_) => "a word",
            };
            push(&mut text, &format!("  {}\n      {unit}: {}\n", metric.pattern, metric.about));
        }
    }
    text
}

fn push(text: &mut String, line: &str) {
    let written = text.write_str(line);
    debug_assert!(written.is_ok());
}

/// What may stand in the field, in a few words.
fn kind(root: &Value, schema: &Value) -> String {
    let schema = resolved(root, schema);
    if let Some(alternatives) = schema["anyOf"].as_array() {
        return alternatives.iter().map(|one| kind(root, one)).collect::<Vec<_>>().join(" or ");
    }
    if !schema["const"].is_null() {
        return schema["const"].as_str().map_or_else(|| schema["const"].to_string(), str::to_owned);
    }
    match schema["type"].as_str() {
        None => "a word".to_owned(),
        Some("integer") => match (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
            (Some(min), Some(max)) => format!("a whole number from {min} to {max}"),
            (Some(min), None) if min > 0 => format!("a whole number of {min} or more"),
            _ => "a whole number".to_owned(),
        },
        Some("boolean") => "true or false".to_owned(),
        Some("array") => "a list".to_owned(),
        Some("object") => "a mapping".to_owned(),
        Some(_) if schema["pattern"].as_str().is_some_and(|pattern| pattern.contains("ms|s|m|h")) => {
            "a length of time".to_owned()
        }
        Some(_) => "text".to_owned(),
    }
}

/// The words that a field may hold and what each means.
fn choices(root: &Value, schema: &Value) -> Vec<(String, String)> {
    let schema = resolved(root, schema);
    let alternatives = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array());
    let mut found = Vec::new();
    for one in alternatives.into_iter().flatten() {
        let one = resolved(root, one);
        if let Some(word) = one["const"].as_str() {
            let about = one["description"].as_str().unwrap_or_default();
            found.push((word.to_owned(), about.to_owned()));
        } else if one["oneOf"].is_array() {
            found.extend(choices(root, one));
        }
    }
    found
}

/// The names of the fields one level below, with the first sentence of their documentation.
fn inner_fields(root: &Value, schema: &Value) -> Vec<(String, String)> {
    let schema = resolved(root, schema);
    let mut found: Vec<(String, String)> = schema["properties"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, property)| {
            let description = property["description"].as_str().unwrap_or_default();
            let first = description.split_inclusive(". ").next().unwrap_or_default();
            (name.clone(), first.trim_end().to_owned())
        })
        .collect();
    for one in schema["anyOf"].as_array().into_iter().flatten() {
        let more: Vec<_> = inner_fields(root, one)
            .into_iter()
            .filter(|(name, _)| found.iter().all(|(known, _)| known != name))
            .collect();
        found.extend(more);
    }
    if schema["items"].is_object() {
        found.extend(inner_fields(root, &schema["items"]));
    }
    found
}
