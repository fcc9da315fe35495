//! The reports as text for a terminal. Writes nowhere: the caller prints, and decides whether there is colour.

mod compare;
mod knee;
mod painted;
mod render;
mod spark;
mod style;
mod table;

pub use painted::Painted;
pub use style::Style;

use lab_analysis::{
    compare::{Comparison, NumberSpread},
    findings::Findings,
};

use crate::page;

/// Writes the report across all clients.
#[must_use]
pub fn run(findings: &Findings, style: &Style) -> Painted {
    Painted::new(render::render(&page::run(findings), findings, style))
}

/// Writes what a run ends with: what did not hold, findings, clients, and last the answers. The rest is in [`run`], which
/// ends with the same answers.
#[must_use]
pub fn screen(findings: &Findings, style: &Style) -> Painted {
    Painted::new(render::render(&page::screen(findings), findings, style))
}

/// Writes where the report lies, as the last of the answers of [`screen`] and [`run`]: `page` is the file, `more` says how
/// to read on.
#[must_use]
pub fn whereabouts(page: &str, more: &[&str], style: &Style) -> Painted {
    Painted::new(render::whereabouts(page, more, style))
}

/// Lays out rows of words below headings, indented by `indent`. The first column stands left, of the others those at the
/// places in `words`; where the width does not hold all, the last columns go and a line says which.
#[must_use]
pub fn table(
    headings: &[String],
    rows: &[Vec<String>],
    words: &[usize],
    style: &Style,
    indent: usize,
) -> String {
    table::bare(headings, rows, words, style, indent)
}

/// Writes one client's report; `None` when no client has this ID.
#[must_use]
pub fn client(findings: &Findings, id: &str, style: &Style) -> Option<Painted> {
    Some(Painted::new(render::render(&page::client(findings, id)?, findings, style)))
}

/// Writes a paragraph behind a lead-in; further lines stand below its first word.
#[must_use]
pub fn paragraph(lead: &str, text: &str, style: &Style) -> String {
    render::paragraph(lead, text, style)
}

/// Writes two sets of runs side by side; `names` are those of the sets.
#[must_use]
pub fn comparison(comparison: &Comparison, names: [&str; 2], style: &Style) -> Painted {
    Painted::new(compare::render(comparison, names, style))
}

/// Writes how so many runs of one lab spread: the numbers of the whole lab, and with `clients` those of each client too.
#[must_use]
pub fn spread(numbers: &[NumberSpread], runs: usize, clients: bool, style: &Style) -> Painted {
    Painted::new(compare::spread(numbers, runs, clients, style))
}
