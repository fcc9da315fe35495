//! The run over time, and what was done to it.

use lab_analysis::findings::{FaultMark, Findings};

use crate::page::{Block, Cell, Column, Drawing, Section, Table, picture};
use lab_model::units::{count, count_of, counted, time};

/// The most disturbances that are listed.
const DISTURBANCES_MAX: usize = 100;

pub(super) fn over_time(findings: &Findings) -> Section {
    let series = &findings.series;
    if series.bucket_ns == 0 {
        let lead = vec!["No time series: nothing was recorded.".to_owned()];
        return Section { id: "time", title: "Over time", lead, blocks: Vec::new() };
    }
    let mut lead = vec![format!("Each point stands for {}.", time(series.bucket_ns))];
    if !findings.faults.is_empty() {
        let planned = findings.faults.iter().filter(|fault| fault.planned).count();
        lead.push(format!(
            "{} took place, {} of them planned by the lab file.",
            counted(findings.faults.len() as u64, "disturbance"),
            planned
        ));
    }
    let mut blocks = vec![
        picture(Drawing::Rate, "Decisions a second by cause", true),
        picture(Drawing::Queue, "Decisions pending at once, by client", true),
        picture(Drawing::Headroom, "Lowest headroom, by client", true),
    ];
    if !findings.faults.is_empty() {
        blocks.push(Block::Table(disturbances(findings)));
    }
    Section { id: "time", title: "Over time", lead, blocks }
}

fn disturbances(findings: &Findings) -> Table {
    let columns = vec![
        Column::words("what"),
        Column::words("of"),
        Column::numbers("at"),
        Column::numbers("for"),
        Column::words("detail"),
    ];
    let mut table = Table::new("What was done to the lab", columns);
    let row = |fault: &FaultMark| {
        let lasted = fault.until_ns.map(|until| until.saturating_sub(fault.at_ns));
        vec![
            Cell::words(&fault.kind.text()),
            Cell::words(&fault.actor),
            Cell::time(fault.at_ns),
            lasted.map_or_else(|| Cell::words(""), Cell::time),
            Cell::words(&fault.detail),
        ]
    };
    table.rows = findings.faults.iter().take(DISTURBANCES_MAX).map(row).collect();
    if findings.faults.len() > DISTURBANCES_MAX {
        table.note = Some(format!(
            "{} more left out.",
            count(count_of(findings.faults.len().saturating_sub(DISTURBANCES_MAX)))
        ));
    }
    table
}
