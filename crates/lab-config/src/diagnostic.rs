//! One mistake in a lab file: where it stands, and what fixes it.

use std::ops::Range;

use crate::lines::Lines;

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
        let lines = Lines::of(source);
        for diagnostic in &mut diagnostics {
            diagnostic.place = lines.clamped(&diagnostic.place);
            for related in &mut diagnostic.related {
                related.place = lines.clamped(&related.place);
            }
            (diagnostic.line, diagnostic.column) = lines.line_and_column(diagnostic.place.start);
        }
        diagnostics.sort_by_key(|diagnostic| (diagnostic.place.start, diagnostic.place.end));
        diagnostics.dedup();
        Report { label: label.to_owned(), source: source.to_owned(), diagnostics, more }
    }
}
