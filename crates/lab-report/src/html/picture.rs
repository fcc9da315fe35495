//! Which drawing is drawn by what, and under which ID.

use lab_analysis::findings::Findings;

use super::{flame, gain_graph, heatmap, knee, series, spectrum, wait_cycle, waterfall};
use crate::page::Drawing;

/// The ID of a drawing in the page.
pub(super) fn id(drawing: Drawing) -> String {
    let name = match drawing {
        Drawing::CauseMatrix => "cause-matrix",
        Drawing::GainGraph => "gain-graph",
        Drawing::Flame => "flame",
        Drawing::CascadeSize => "cascade-size",
        Drawing::CascadeDepth => "cascade-depth",
        Drawing::Rate => "rate",
        Drawing::Queue => "queue",
        Drawing::Headroom => "headroom",
        Drawing::PhaseSpectrum => "phase-spectrum",
        Drawing::ClientsSpectrum => "clients-spectrum",
        Drawing::Waterfall => "waterfall",
        Drawing::SlowOperations => "slow-operations",
        Drawing::WaitCycle(place) => return format!("picture-wait-cycle-{place}"),
        Drawing::Knee => "knee",
        Drawing::Cost => "cost",
        Drawing::ClientSpectrum => "client-spectrum",
        Drawing::TimeSpent => "time-spent",
        Drawing::ClientQueue => "client-queue",
        Drawing::ClientHeadroom => "client-headroom",
    };
    format!("picture-{name}")
}

/// Draws a drawing; `client` is the place of the client that the page is about.
pub(super) fn draw(drawing: Drawing, findings: &Findings, client: Option<usize>) -> String {
    let id = id(drawing);
    let place = client.unwrap_or(0);
    let cascades = &findings.cascades;
    match drawing {
        Drawing::CauseMatrix => heatmap::draw(findings, &id),
        Drawing::GainGraph => gain_graph::draw(findings, &id),
        Drawing::Flame => flame::draw(findings, &id),
        Drawing::CascadeSize => waterfall::histogram(
            &cascades.size.histogram,
            &id,
            "How often each cascade size occurred",
            "decisions",
        ),
        Drawing::CascadeDepth => waterfall::histogram(
            &cascades.depth.histogram,
            &id,
            "How often each cascade depth occurred",
            "levels",
        ),
        Drawing::Rate => series::rate(findings, &id),
        Drawing::Queue => series::queue(findings, &id, None),
        Drawing::Headroom => series::headroom(findings, &id, None),
        Drawing::PhaseSpectrum => spectrum::phases(findings, &id),
        Drawing::ClientsSpectrum => spectrum::clients(findings, &id),
        Drawing::Waterfall => waterfall::pipeline(findings, &id),
        Drawing::SlowOperations => waterfall::slowest(findings, &id),
        Drawing::WaitCycle(cycle) => findings
            .wait_cycles
            .get(cycle)
            .map_or_else(String::new, |cycle| wait_cycle::draw(findings, cycle, &id)),
        Drawing::Knee => knee::draw(findings, &id),
        Drawing::Cost => waterfall::cost(findings, &id),
        Drawing::ClientSpectrum => spectrum::client(findings, &id, place),
        Drawing::TimeSpent => waterfall::spent(findings, &id, place),
        Drawing::ClientQueue => series::queue(findings, &id, Some(place)),
        Drawing::ClientHeadroom => series::headroom(findings, &id, Some(place)),
    }
}
