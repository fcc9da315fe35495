//! What a client denies: as written, as meant, and written out.

use std::fmt::{self, Write};

use lab_model::{AuthEvent, AuthEvents, DenyRule, Signature};

use crate::{
    checks::{auth_events, check_path},
    diagnostic::Diagnostic,
    read::{At, Field, List, Problems, records},
    tree::shortened,
    write::{Scalar, word},
};

records! {
    /// What a client denies. It allows everything else.
    #[schemars(rename = "Verdict")]
    "`verdict`" RawVerdict {
        /// The rules; one that fits is enough. A list that is written replaces the one it overrides.
        deny [default]: List<RawDenyRule>,
    }

    /// Denies an event that fits everything the rule names, and it names something. Never anything of the client's
    /// own process.
    #[schemars(rename = "DenyRule", extend("anyOf" = [
        { "required": ["path"] },
        { "required": ["process"] },
        { "required": ["signing_id"] },
        { "required": ["team_id"] },
    ]))]
    "a rule" RawDenyRule {
        /// A file, or a folder with all below it, relative to the arena. A worker finds the path out before the
        /// answer; one that cannot be told is allowed.
        path [default]: String,
        /// A client by its ID, its helpers as `ID/helpers`, a daemon or a product of `external` by its ID, or
        /// `workload` for all that is no client's. Without a path, denied at once.
        process [default]: String,
        /// The signing ID of the program that an exec runs, whole. Endpoint Security only: no other kernel says who
        /// signed a program. A worker looks before the answer.
        #[schemars(length(min = 1, max = 255))]
        signing_id [default]: String,
        /// The team ID of that program's signature. Ad hoc and platform code has none, and fits no team.
        #[schemars(length(min = 1, max = 255))]
        team_id [default]: String,
        /// Which events. With `signing_id` or `team_id` it is `exec`, and need not be written.
        #[schemars(extend("default" = "all"))]
        on [default]: AuthEvents,
    }
}

/// The rules: `base`, or those that are written in its place.
pub(crate) fn deny(
    field: &Field<RawVerdict>,
    base: Vec<DenyRule>,
    problems: &mut Problems<'_>,
) -> Vec<DenyRule> {
    match field.value().and_then(|verdict| verdict.deny.value()) {
        Some(rules) => rules.items.iter().filter_map(|rule| deny_rule(rule, problems)).collect(),
        None => base,
    }
}

fn deny_rule(rule: &At<RawDenyRule>, problems: &mut Problems<'_>) -> Option<DenyRule> {
    let RawDenyRule { path, process, signing_id, team_id, on } = &rule.value;
    if [path, process, signing_id, team_id].iter().all(|field| matches!(field, Field::Absent)) {
        let diagnostic = Diagnostic::new(rule.place.clone(), "a rule names what it denies")
            .label("expected `path`, `process`, `signing_id` or `team_id`")
            .help("write for example `{ path: files }`");
        problems.add(diagnostic);
        return None;
    }
    if let Some(at) = path.given() {
        check_path(at, problems);
    }
    let signature = signature(signing_id, team_id, problems);
    let every = if signature.is_some() { AuthEvents::of(AuthEvent::Exec) } else { AuthEvents::ALL };
    if let Some(at) =
        on.given().filter(|at| signature.is_some() && at.value != AuthEvents::of(AuthEvent::Exec))
    {
        let diagnostic = Diagnostic::new(at.place.clone(), "a rule about a signature fits execs only")
            .label("an open runs no program")
            .help("write `on: exec`, or leave it out");
        problems.add(diagnostic);
        return None;
    }
    let on = auth_events(on, every, problems);
    Some(DenyRule { path: path.value().cloned(), process: process.value().cloned(), signature, on })
}

fn signature(
    signing_id: &Field<String>,
    team_id: &Field<String>,
    problems: &mut Problems<'_>,
) -> Option<Signature> {
    const BYTES_MAX: usize = 255;
    let mut name = |field: &Field<String>, what: &str| {
        let at = field.given()?;
        if at.value.is_empty() || at.value.len() > BYTES_MAX || at.value.contains(char::is_control) {
            let message = format!("`{}` is no {what}", shortened(&at.value));
            let label = format!("expected 1 to {BYTES_MAX} bytes, none of them a control character");
            problems.add(Diagnostic::new(at.place.clone(), message).label(label));
        }
        Some(at.value.clone())
    };
    let signing_id = name(signing_id, "signing ID");
    let team_id = name(team_id, "team ID");
    (signing_id.is_some() || team_id.is_some()).then_some(Signature { signing_id, team_id })
}

/// Writes the rules as the field of a behaviour.
pub(crate) fn write_verdict(out: &mut String, rules: &[DenyRule], indent: &str) -> fmt::Result {
    if rules.is_empty() {
        return writeln!(out, "{indent}verdict: {{ deny: [] }}");
    }
    writeln!(out, "{indent}verdict:")?;
    writeln!(out, "{indent}  deny:")?;
    rules.iter().try_for_each(|rule| write_rule(out, rule, indent))
}

fn write_rule(out: &mut String, rule: &DenyRule, indent: &str) -> fmt::Result {
    write!(out, "{indent}    - {{ ")?;
    let signature = rule.signature.as_ref();
    let names = [
        ("path", rule.path.as_ref()),
        ("process", rule.process.as_ref()),
        ("signing_id", signature.and_then(|signature| signature.signing_id.as_ref())),
        ("team_id", signature.and_then(|signature| signature.team_id.as_ref())),
    ];
    for (key, name) in names {
        if let Some(name) = name {
            write!(out, "{key}: {}, ", Scalar(name))?;
        }
    }
    writeln!(out, "on: {} }}", word(rule.on))
}
