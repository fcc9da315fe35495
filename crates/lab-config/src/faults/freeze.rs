use std::{
    borrow::Cow,
    fmt::{self, Write},
    ops::Range,
};

use lab_model::{FaultAction, PlannedFault};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Kind, Planned, Reader, Targets};
use crate::{
    diagnostic::Diagnostic,
    read::{At, Field, List, Problems, Read},
    tree::{Node, Value},
    write::Names,
};

fault! {
    /// Makes participants stand still at once, with all the processes that they have started, by the freezer of Linux's
    /// control groups (cgroup v2). Deadlines go on: the warden kills a client that owes an answer past one.
    #[schemars(rename = "Freeze")]
    "`freeze`" Freeze on machine {
        /// Whom: one name or a list of them, each a client or a daemon by its ID, a client's helper (`alpha.helper-1`), or
        /// `driver`. Left out, everything that takes part, products of `external` included.
        on [default]: Whom,
    } for span
}

/// One name, or several.
#[derive(Clone, Debug)]
pub(crate) struct Whom(Vec<At<String>>);

impl Read for Whom {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Whom> {
        match &node.value {
            Value::Text(_) => At::read(node, problems).map(|name| Whom(vec![name])),
            Value::List(nodes) if !nodes.is_empty() => {
                let list: List<String> = List::read(node, problems)?;
                list.complete.then_some(Whom(list.items))
            }
            _ => {
                problems.wrong_type(node, "a name or a list of names", "`alpha`, or `[alpha, driver]`");
                None
            }
        }
    }
}

impl JsonSchema for Whom {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Whom".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut names = <List<String>>::json_schema(generator);
        names.insert("minItems".to_owned(), 1.into());
        json_schema!({ "anyOf": [{ "type": "string" }, names] })
    }
}

impl Kind for Freeze {
    fn action(&self, planned: &mut Planned, reader: &mut Reader<'_, '_, '_>) -> Option<FaultAction> {
        let named: &[At<String>] = match &self.on {
            Field::Absent => &[],
            Field::Bad => return None,
            Field::Given(whom) => &whom.value.0,
        };
        let mut names: Vec<String> = Vec::new();
        for name in named {
            reader.knows(name, Targets::Processes).then_some(())?;
            if !names.contains(&name.value) {
                names.push(name.value.clone());
            }
        }
        if let [one] = names.as_slice() {
            planned.on.clone_from(one);
        }
        Some(FaultAction::Freeze { names, span: planned.span? })
    }

    fn write(action: &FaultAction, out: &mut String) -> fmt::Result {
        match action {
            FaultAction::Freeze { names, .. } if !names.is_empty() => {
                writeln!(out, "      on: {}", Names(names))
            }
            _ => Ok(()),
        }
    }
}

/// A process is in one freezer at a time, and whoever is let go on goes on.
pub(super) fn check_overlaps(faults: &[(PlannedFault, Range<usize>)], problems: &mut Problems<'_>) {
    for (nth, (later, place)) in faults.iter().enumerate() {
        let overlapping = faults[..nth].iter().find(|(earlier, _)| overlap(earlier, later));
        if let Some((_, other)) = overlapping {
            let diagnostic = Diagnostic::new(place.clone(), "what is frozen cannot be frozen again")
                .label("begins before the other has ended")
                .related(other.clone(), "frozen here")
                .help("make one longer freeze of the two, or name other participants");
            problems.add(diagnostic);
        }
    }
}

/// True when two faults freeze one participant at one time.
fn overlap(one: &PlannedFault, other: &PlannedFault) -> bool {
    let (FaultAction::Freeze { names, span }, FaultAction::Freeze { names: others, span: length }) =
        (&one.action, &other.action)
    else {
        return false;
    };
    let ends = |at: lab_model::Span, span: &lab_model::Span| at.nanos().saturating_add(span.nanos());
    let at_one_time = one.at.nanos() <= ends(other.at, length) && other.at.nanos() <= ends(one.at, span);
    let shared = names.is_empty() || others.is_empty() || names.iter().any(|name| others.contains(name));
    at_one_time && shared
}

#[cfg(test)]
mod tests {
    use lab_model::{FaultAction, PlannedFault, Span};

    use crate::faults::tests::{check, refused};

    fn freeze(names: &[&str]) -> FaultAction {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        FaultAction::Freeze { names, span: Span::from_millis(300) }
    }

    #[test]
    fn one_some_or_all_stand_still() {
        check("freeze: {at: 1s, for: 300ms}", PlannedFault::MACHINE, &freeze(&[]));
        check("freeze: {on: alpha, at: 1s, for: 300ms}", "alpha", &freeze(&["alpha"]));
        let some = "freeze: {on: [alpha, driver, alpha], at: 1s, for: 300ms}";
        check(some, PlannedFault::MACHINE, &freeze(&["alpha", "driver"]));
    }

    #[test]
    fn nobody_is_frozen_twice_at_a_time() {
        let twice = "what is frozen cannot be frozen again";
        refused("freeze: {at: 1s, for: 1s}}, {freeze: {on: alpha, at: 1500ms, for: 1s}", twice);
        refused(
            "freeze: {on: alpha, at: 1s, for: 1s}}, {freeze: {on: [driver, alpha], at: 1s, for: 1s}",
            twice,
        );
        refused(
            "freeze: {on: nobody, at: 1s, for: 1s}",
            "`nobody` is no client, helper or daemon of this lab",
        );
        let apart = "{on: alpha, at: 1s, for: 300ms}";
        check(&format!("freeze: {apart}"), "alpha", &freeze(&["alpha"]));
    }
}
