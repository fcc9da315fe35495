//! What a lab changes of another, as the part of a lab file that makes it so.

use lab_model::{Behavior, Lab};

use crate::behavior::behavior_to_yaml;

/// Settings that several clients change alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BehaviorChange {
    /// The IDs of the clients, in the lab's order.
    pub clients: Vec<String>,
    /// What to write into the lab file's entry of each: `behavior:` with the fields that change, each on a line. What the
    /// entry has of other fields stays.
    pub yaml: String,
}

/// How the clients' behaviours differ between a lab and another with the same clients.
#[must_use]
pub fn behavior_changes(before: &Lab, after: &Lab) -> Vec<BehaviorChange> {
    let mut all: Vec<BehaviorChange> = Vec::new();
    for (one, other) in before.clients.iter().zip(&after.clients) {
        let fields = changed_fields(&one.behavior, &other.behavior);
        if fields.is_empty() {
            continue;
        }
        let (id, yaml) = (one.id.to_string(), format!("behavior:\n{fields}"));
        match all.iter_mut().find(|change| change.yaml == yaml) {
            Some(change) => change.clients.push(id),
            None => all.push(BehaviorChange { clients: vec![id], yaml }),
        }
    }
    all
}

/// The fields of the second behaviour that the first has not.
fn changed_fields(before: &Behavior, after: &Behavior) -> String {
    const INDENT: &str = "  ";
    let (before, after) = (behavior_to_yaml(before, INDENT), behavior_to_yaml(after, INDENT));
    let known: Vec<String> = fields(&before, INDENT);
    fields(&after, INDENT).into_iter().filter(|field| !known.contains(field)).collect()
}

/// The fields of a mapping, each with the lines that belong to it.
fn fields(mapping: &str, indent: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for line in mapping.lines() {
        let begins = line.strip_prefix(indent).is_some_and(|rest| !rest.starts_with([' ', '-']));
        match all.last_mut() {
            Some(field) if !begins => field.push_str(&format!("{line}\n")),
            _ => all.push(format!("{line}\n")),
        }
    }
    all
}
