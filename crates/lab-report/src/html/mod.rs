//! The reports as HTML: one self-contained file each, readable without JavaScript, with nothing from a network.
//!
//! The page's content security policy allows the style sheet and the script of this crate by their hashes and
//! nothing else, so that even a name that slipped through unescaped could not run. No inline `style` attributes.

mod assets;
mod filters;
mod flame;
mod gain_graph;
mod heatmap;
mod knee;
mod palette;
mod picture;
mod plot;
mod series;
mod spectrum;
pub(crate) mod svg;
mod view;
mod wait_cycle;
mod waterfall;

use lab_analysis::findings::Findings;

use crate::page;

/// The most bytes that a report takes.
pub const BYTES_MAX: usize = 1_000_000;

/// Writes the report across all clients. It links to `clients/ID.html`, with the ID percent-encoded
/// where [`file_name`] says so.
#[must_use]
pub fn run(findings: &Findings) -> String {
    view::render(&page::run(findings), findings)
}

/// Writes one client's report; `None` when no client has this ID. It links to `../report.html` and `OTHER.html`.
#[must_use]
pub fn client(findings: &Findings, id: &str) -> Option<String> {
    Some(view::render(&page::client(findings, id)?, findings))
}

/// The name of a client's file, without a folder: what the run report links to.
#[must_use]
pub fn file_name(id: &str) -> String {
    format!("{}.html", id.chars().map(filters::file_sign).collect::<String>())
}
