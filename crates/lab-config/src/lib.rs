//! Lab files: YAML in, a validated [`lab_model::Lab`] out.
//!
//! A mistake never stops the reading where it can be helped: a [`Report`] holds all mistakes of a file, each
//! with its line and column, the place underlined, and what mends it.
//!
//! This crate must not read files, look at the machine or print: the text and the machine's [`Limits`] come
//! in as arguments. It holds no meaning of its own beside the rules of a lab file.
#![forbid(unsafe_code)]

mod behavior;
mod changes;
mod checks;
mod clients;
mod condition;
mod daemons;
mod diagnostic;
mod distribution;
mod errand;
mod expectations;
mod explain;
mod external;
mod faults;
mod heading;
mod helpers;
mod lab;
mod limits;
mod lines;
mod loads;
mod mute;
mod nearest;
mod phases;
mod rate;
mod reaction;
mod read;
mod render;
mod safety;
mod scalar;
mod schema;
mod sizes;
mod tree;
mod verdict;
mod write;

use lab_model::Lab;

pub use changes::{BehaviorChange, behavior_changes};
pub use diagnostic::{Color, Diagnostic, Related, Report};
pub use explain::{explain, field_paths, nearest_field};
pub use heading::{Heading, heading};
pub use lab::to_yaml;
pub use limits::{Beside, Limits, SOURCE_BYTES_MAX};
pub use nearest::nearest;
pub use schema::{schema, schema_text};

use crate::{
    lab::RawLab,
    read::{Problems, Read},
    tree::Value,
};

/// Reads a lab file; `label` is the file's name as the user knows it. The lab names no file beside it.
///
/// # Errors
///
/// All mistakes of the file, when there is at least one.
pub fn parse(label: &str, source: impl AsRef<[u8]>, limits: &Limits) -> Result<Lab, Report> {
    parse_beside(label, source, limits, &|_| Err("no other file is read here".to_owned()))
}

/// The same, with the files that the lab file names.
///
/// # Errors
///
/// All mistakes of the file, when there is at least one.
pub fn parse_beside(
    label: &str,
    source: impl AsRef<[u8]>,
    limits: &Limits,
    beside: &Beside<'_>,
) -> Result<Lab, Report> {
    let source = source.as_ref();
    let text = text_of(source).map_err(|unreadable| {
        let (text, diagnostic) = *unreadable;
        Report::new(label, &text, vec![diagnostic], 0)
    })?;
    let mut problems = Problems::new(text);
    let lab =
        match tree::parse(text) {
            Ok(node) if matches!(node.value, Value::Null) => {
                problems.add(Diagnostic::new(0..0, "the lab file is empty").help(
                    "begin with `schema: 1`; `lab explain schema` and the labs that ship show the rest",
                ));
                None
            }
            Ok(node) => RawLab::read(&node, &mut problems)
                .and_then(|raw| lab::resolve(&raw, limits, beside, &mut problems)),
            Err(diagnostic) => {
                problems.add(*diagnostic);
                None
            }
        };
    match lab {
        Some(lab) if problems.found.is_empty() => Ok(lab),
        _ => Err(Report::new(label, text, problems.found, problems.more)),
    }
}

/// The source as text without a byte order mark, when it is short enough and UTF-8.
fn text_of(source: &[u8]) -> Result<&str, Box<(String, Diagnostic)>> {
    if source.len() > SOURCE_BYTES_MAX {
        let message = format!("the file has {} bytes, a lab file at most {SOURCE_BYTES_MAX}", source.len());
        return Err(Box::new((String::new(), Diagnostic::new(0..0, message))));
    }
    let source = source.strip_prefix("\u{feff}".as_bytes()).unwrap_or(source);
    std::str::from_utf8(source).map_err(|error| {
        let (good, bad) = source.split_at(error.valid_up_to());
        let lossy = String::from_utf8_lossy(source).into_owned();
        let place = good.len()..good.len() + char::REPLACEMENT_CHARACTER.len_utf8();
        let byte = bad.first().copied().unwrap_or_default();
        let diagnostic = Diagnostic::new(place, format!("the byte 0x{byte:02x} is not UTF-8"))
            .label("not text")
            .help("save the file as UTF-8");
        Box::new((lossy, diagnostic))
    })
}
