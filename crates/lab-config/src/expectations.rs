//! The expectations of a lab, in their short and their long form: as written, as meant, and written out.

use std::{
    borrow::Cow,
    fmt::{self, Write},
    ops::Range,
};

use lab_model::{Expectation, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    condition::condition,
    diagnostic::Diagnostic,
    read::{At, Field, List, Problems, Read, records},
    tree::{Node, Value},
    write::Scalar,
};

records! {
    /// A condition in its long form; exactly one of `text` and `sometimes`.
    #[schemars(
        rename = "LongExpectation",
        extend("oneOf" = [{ "required": ["text"] }, { "required": ["sometimes"] }])
    )]
    "an expectation" RawLongExpectation {
        /// A condition that has to hold at the end of the run.
        text [default]: String,
        /// A condition that has to hold at some time in the run, else the lab proved nothing.
        sometimes [default]: String,
        /// Ends the run as soon as the condition no longer holds.
        #[schemars(extend("default" = false))]
        abort [default]: bool,
        /// How long into the storm an aborting condition is first looked at.
        #[schemars(extend("default" = "0s"))]
        after [default]: Span,
    }
}

/// An expectation as it may be written: the condition, or its long form.
#[derive(Clone, Debug)]
pub(crate) enum RawExpectation {
    Short(String),
    Long(RawLongExpectation),
}

impl Read for RawExpectation {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<RawExpectation> {
        match &node.value {
            Value::Text(text) => Some(RawExpectation::Short(text.clone())),
            Value::Map(_) => RawLongExpectation::read(node, problems).map(RawExpectation::Long),
            _ => {
                problems.wrong_type(node, "a condition", "`deadline.misses == 0`");
                None
            }
        }
    }
}

impl JsonSchema for RawExpectation {
    fn schema_name() -> Cow<'static, str> {
        "Expectation".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let long = generator.subschema_for::<RawLongExpectation>();
        json_schema!({
            "description": "A condition on the run's report: a metric, a comparison and a value, such as \
                `headroom.p01 > 50%`; or its long form.",
            "anyOf": [{ "type": "string", "examples": ["deadline.misses == 0", "headroom.p01 > 50%"] }, long]
        })
    }
}

/// The expectations that are good; `clients` is `None` when the clients are not known.
pub(crate) fn expectations(
    field: &Field<List<RawExpectation>>,
    clients: Option<&[String]>,
    problems: &mut Problems<'_>,
) -> Vec<Expectation> {
    let Some(list) = field.value() else { return Vec::new() };
    list.items
        .iter()
        .filter_map(|at| match &at.value {
            RawExpectation::Short(text) => {
                let text = At { value: text.clone(), place: at.place.clone() };
                expectation(&text, clients, problems)
            }
            RawExpectation::Long(long) => long_expectation(long, &at.place, clients, problems),
        })
        .collect()
}

/// A plain expectation: one that has to hold at the end of the run.
pub(crate) fn expectation(
    text: &At<String>,
    clients: Option<&[String]>,
    problems: &mut Problems<'_>,
) -> Option<Expectation> {
    match condition(&text.value, clients) {
        Ok(parsed) => Some(Expectation {
            text: text.value.clone(),
            metric: parsed.metric,
            comparison: parsed.comparison,
            value: parsed.value,
            sometimes: false,
            abort: false,
            after: Span::default(),
        }),
        Err(mut diagnostic) => {
            diagnostic.place = inside(problems.source, text, &diagnostic.place);
            problems.add(*diagnostic);
            None
        }
    }
}

/// The place of a part of a text; the text's whole place when it is not written out literally.
fn inside(source: &str, text: &At<String>, part: &Range<usize>) -> Range<usize> {
    let literal = (text.place.start..=text.place.start + 1)
        .find(|start| source.get(*start..).is_some_and(|rest| rest.starts_with(&text.value)));
    match literal {
        Some(start) if !part.is_empty() => start + part.start..start + part.end,
        _ => text.place.clone(),
    }
}

fn long_expectation(
    long: &RawLongExpectation,
    place: &Range<usize>,
    clients: Option<&[String]>,
    problems: &mut Problems<'_>,
) -> Option<Expectation> {
    let (text, sometimes) = match (&long.text, &long.sometimes) {
        (Field::Given(text), Field::Absent) => (text, false),
        (Field::Absent, Field::Given(text)) => (text, true),
        (Field::Bad, _) | (_, Field::Bad) => return None,
        (given, _) => {
            let message = match given {
                Field::Absent => "an expectation needs a condition",
                _ => "an expectation has one condition: `text` or `sometimes`, not both",
            };
            let diagnostic = Diagnostic::new(place.clone(), message)
                .label("expected either `text` or `sometimes`")
                .help("write for example `- sometimes: cascade.depth >= 2`");
            problems.add(diagnostic);
            return None;
        }
    };
    let abort = long.abort.value().copied().unwrap_or(false);
    if let (true, true, Some(at)) = (abort, sometimes, long.abort.given()) {
        let message = "a condition that has to hold at some time cannot end the run early";
        let diagnostic = Diagnostic::new(at.place.clone(), message)
            .label("not with `sometimes`")
            .help("remove `abort`, or write `text` for `sometimes`");
        problems.add(diagnostic);
    }
    if let (false, Some(at)) = (abort, long.after.given()) {
        let diagnostic = Diagnostic::new(at.place.clone(), "`after` has no meaning without `abort: true`")
            .label("when an aborting condition is first looked at")
            .help("add `abort: true`, or remove `after`");
        problems.add(diagnostic);
    }
    let after = long.after.value().copied().unwrap_or_default();
    let parsed = expectation(text, clients, problems)?;
    Some(Expectation { sometimes, abort, after, ..parsed })
}

/// Writes the expectations as a section of the lab file.
pub(crate) fn write_expectations(out: &mut String, expectations: &[Expectation]) -> fmt::Result {
    if expectations.is_empty() {
        return writeln!(out, "expect: []");
    }
    writeln!(out, "expect:")?;
    expectations.iter().try_for_each(|expectation| write_expectation(out, expectation))
}

fn write_expectation(out: &mut String, expectation: &Expectation) -> fmt::Result {
    let text = Scalar(&expectation.text);
    if expectation.sometimes {
        writeln!(out, "  - sometimes: {text}")?;
    } else if expectation.abort {
        writeln!(out, "  - text: {text}")?;
    } else {
        writeln!(out, "  - {text}")?;
    }
    if expectation.abort {
        writeln!(out, "    abort: true")?;
        writeln!(out, "    after: {}", expectation.after)?;
    }
    Ok(())
}
