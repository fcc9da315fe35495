//! The reports as text for a terminal. Writes nowhere: the caller prints, and decides whether there is colour.

mod compare;
mod painted;
mod render;
mod spark;
mod style;
mod table;

pub use painted::Painted;
pub use style::Style;

use lab_analysis::{compare::Comparison, findings::Findings};

use crate::page;

/// Writes the report across all clients.
#[must_use]
pub fn run(findings: &Findings, style: &Style) -> Painted {
    Painted::new(render::render(&page::run(findings), findings, style))
}

/// Writes what a run ends with: its verdict, findings, clients, causes and cost. The rest is in [`run`].
#[must_use]
pub fn summary(findings: &Findings, style: &Style) -> Painted {
    Painted::new(render::render(&page::summary(findings), findings, style))
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

/// Writes two runs side by side; `names` are those of the runs.
#[must_use]
pub fn comparison(comparison: &Comparison, names: [&str; 2], style: &Style) -> Painted {
    Painted::new(compare::render(comparison, names, style))
}
