//! Whether what the clients do feeds itself.

use lab_analysis::findings::{Findings, Interval, Word};
use lab_model::Total;

use crate::{
    page::{Block, Cell, Column, Drawing, Section, Table, picture},
    visible::visible,
};
use lab_model::units::{number, numbered};

pub(super) fn gain(findings: &Findings) -> Section {
    let mut lead = Vec::new();
    let known = |gain: &Interval| gain.value.is_finite() && gain.low.is_finite() && gain.high.is_finite();
    match findings.loop_gain.filter(known) {
        Some(gain) => {
            lead.push(format!(
                "Loop gain {} (between {} and {} with 99% certainty): {}.",
                number(gain.value),
                number(gain.low),
                number(gain.high),
                findings.feeding().words()
            ));
        }
        None => {
            let reason = match findings.loop_gain_unknown.as_ref().map(Word::known) {
                Some(Some(reason)) => reason.reason(),
                Some(None) | None => "too few cascades",
            };
            lead.push(format!("The loop gain is not known: {reason}."));
        }
    }
    if let Some(prediction) = &findings.prediction {
        lead.push(match prediction.predicted_size {
            Some(size) => format!(
                "Predicted cascade size {}, observed {}.",
                number(size),
                number(prediction.observed_size)
            ),
            None => format!(
                "No cascade size can be predicted at this gain; completed ones had {} on average.",
                numbered(prediction.observed_size, "decision")
            ),
        });
    }
    let summaries = findings.clients.iter().filter_map(|client| client.told.as_ref());
    let on_notify = summaries.map(|summary| summary.operations).total() > 0;
    if on_notify {
        lead.push(
            "What clients do when they are told of an event (NOTIFY) counts in these; drive and gain below are about \
             decisions only."
                .to_owned(),
        );
    }
    let mut blocks = Vec::new();
    if !findings.gain.is_empty() {
        blocks.push(picture(
            Drawing::GainGraph,
            "Events that one handled event brings: grey from the workload's (drive), coloured from \
                      clients' (gain)",
            false,
        ));
        let drive = "Drive: events on the row per workload event handled by the column";
        blocks.push(Block::Table(matrix(drive, findings, &findings.drive)));
        if findings.gain.iter().flatten().all(|value| *value == 0.0) {
            lead.push(
                match on_notify {
                    true => "No client makes events when it decides about other clients' or its own.",
                    false => "No client makes events in answer to other clients' or its own: the gain is 0 everywhere.",
                }
                .to_owned(),
            );
        } else {
            let gain = "Gain: events on the row per client-caused event handled by the column";
            blocks.push(Block::Table(matrix(gain, findings, &findings.gain)));
        }
    }
    Section { id: "gain", title: "Does it feed itself", lead, blocks }
}

/// The most clients whose matrices are shown in full; of more, the strongest pairs are.
const MATRIX_CLIENTS_MAX: usize = 6;
/// The most pairs that are shown instead.
const PAIRS_MAX: usize = 12;

fn matrix(caption: &str, findings: &Findings, values: &[Vec<f64>]) -> Table {
    if findings.clients.len() > MATRIX_CLIENTS_MAX {
        return pairs(caption, findings, values);
    }
    let mut columns = vec![Column::words("lands on")];
    columns.extend(findings.clients.iter().map(|client| Column::numbers(visible(&client.id))));
    let mut table = Table { compact: true, ..Table::new(caption, columns) };
    for (client, row) in findings.clients.iter().zip(values) {
        let mut cells = vec![Cell::words(&client.id)];
        cells.extend(row.iter().map(|value| Cell::number(*value)));
        cells.resize(table.columns.len(), Cell::unknown());
        table.rows.push(cells);
    }
    table
}

fn pairs(caption: &str, findings: &Findings, values: &[Vec<f64>]) -> Table {
    let columns = vec![Column::words("lands on"), Column::words("handled by"), Column::numbers("events")];
    let mut table = Table::new(format!("{caption}; the strongest pairs"), columns);
    let mut pairs: Vec<(f64, &str, &str)> = Vec::new();
    for (target, row) in findings.clients.iter().zip(values) {
        pairs.extend(
            findings
                .clients
                .iter()
                .zip(row)
                .map(|(source, value)| (*value, target.id.as_str(), source.id.as_str())),
        );
    }
    pairs.retain(|(value, ..)| *value > 0.0);
    pairs.sort_by(|one, other| other.0.total_cmp(&one.0));
    table.rows = pairs
        .into_iter()
        .map(|(value, target, source)| vec![Cell::client(target), Cell::client(source), Cell::number(value)])
        .collect();
    table.cap(PAIRS_MAX);
    table
}
