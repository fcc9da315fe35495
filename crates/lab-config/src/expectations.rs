//! The expectations of a lab, in their short and their long form.

use std::ops::Range;

use lab_model::{Expectation, Span};

use crate::{
    Diagnostic,
    condition::condition,
    raw::{RawExpectation, RawLongExpectation},
    read::{At, Field, List, Problems},
};

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
