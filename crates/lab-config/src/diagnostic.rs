use std::{error::Error, fmt, ops::Range};

use crate::render::render;

/// The most mistakes that one report keeps; the rest are counted.
pub(crate) const DIAGNOSTICS_MAX: usize = 50;

/// One mistake in a lab file, where it stands and what mends it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The line, counted from 1.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The place in the source, in bytes.
    pub place: Range<usize>,
    /// What is wrong, in one sentence without a period.
    pub message: String,
    /// What stands at the place; may be empty.
    pub label: String,
    /// Other places that matter, such as the first of two duplicates.
    pub related: Vec<Related>,
    /// What mends it, one sentence each.
    pub help: Vec<String>,
}

/// A place in the source that helps to understand a mistake elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// The place in the source, in bytes.
    pub place: Range<usize>,
    /// What stands there.
    pub label: String,
}

impl Diagnostic {
    /// A mistake at a place; line and column are filled in by [`Report::new`].
    pub(crate) fn new(place: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic {
            line: 0,
            column: 0,
            place,
            message: message.into(),
            label: String::new(),
            related: Vec::new(),
            help: Vec::new(),
        }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = label.into();
        self
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help.push(help.into());
        self
    }

    pub(crate) fn related(mut self, place: Range<usize>, label: impl Into<String>) -> Diagnostic {
        if place != self.place {
            self.related.push(Related { place, label: label.into() });
        }
        self
    }
}

/// Whether a rendered report carries terminal colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Color {
    /// Plain text.
    #[default]
    Never,
    /// ANSI escape sequences.
    Always,
}

/// Everything that is wrong with one lab file; at least one mistake.
///
/// Its `Display` is the plain rendering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The file's name as the user knows it.
    pub label: String,
    /// The text the mistakes stand in; bytes that are not UTF-8 are replaced.
    pub source: String,
    /// The mistakes in the order of the file; at most 50.
    pub diagnostics: Vec<Diagnostic>,
    /// How many mistakes were found beyond those kept.
    pub more: usize,
}

impl Report {
    pub(crate) fn new(label: &str, source: &str, mut diagnostics: Vec<Diagnostic>, more: usize) -> Report {
        for diagnostic in &mut diagnostics {
            diagnostic.place = clamped(source, &diagnostic.place);
            for related in &mut diagnostic.related {
                related.place = clamped(source, &related.place);
            }
            (diagnostic.line, diagnostic.column) = line_and_column(source, diagnostic.place.start);
        }
        diagnostics.sort_by_key(|diagnostic| (diagnostic.place.start, diagnostic.place.end));
        diagnostics.dedup();
        Report { label: label.to_owned(), source: source.to_owned(), diagnostics, more }
    }

    /// The mistakes as a reader sees them: message, file:line:column, excerpt, help.
    #[must_use]
    pub fn render(&self, color: Color) -> String {
        render(self, color)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(Color::Never))
    }
}

impl Error for Report {}

/// The first line of the place, moved onto character boundaries inside the source.
fn clamped(source: &str, place: &Range<usize>) -> Range<usize> {
    let start = source.floor_char_boundary(place.start);
    let end = source.ceil_char_boundary(place.end).max(start);
    let line = source[start..end].lines().next().unwrap_or_default();
    start..start + line.trim_end().len()
}

fn line_and_column(source: &str, at: usize) -> (usize, usize) {
    let before = &source[..at];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    (line, before[line_start..].chars().count() + 1)
}
