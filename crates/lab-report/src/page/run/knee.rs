//! The steps of a load whose rate was raised, and the last rate that held.

use lab_analysis::findings::{Figure, HeadroomFigure, Knee};

use crate::page::{Cell, Column, Table};
use lab_model::units::count;

/// The last rate that held, in a sentence.
pub(super) fn sentence(knee: &Knee) -> String {
    let rate = |rate: u32| format!("{} operations a second", count(rate.into()));
    let broke = knee.steps.iter().find(|step| step.held == Some(false));
    let why = broke.map_or_else(String::new, |step| step.broken.join(", "));
    match (knee.held, knee.broke) {
        (Some(held), Some(broke)) => {
            format!("The last rate that held was {}; {} did not: {why}.", rate(held), rate(broke))
        }
        (Some(held), None) => {
            format!("Every rate that was tried held, up to {}: the knee is higher.", rate(held))
        }
        (None, Some(broke)) => format!("Not even {} held: {why}.", rate(broke)),
        (None, None) => "No step of the search for a knee was begun.".to_owned(),
    }
}

/// Every step in a row.
pub(super) fn steps(knee: &Knee) -> Table {
    let columns = vec![
        Column::numbers("rate"),
        Column::numbers("achieved"),
        Column::numbers("begun"),
        Column::numbers("p50"),
        Column::numbers("p99"),
        Column::numbers("max").wide(),
        Column::numbers("headroom"),
        Column::numbers("misses").wide(),
        Column::words("held"),
    ];
    let mut table = Table::new(format!("The rate of {}, step by step", knee.load), columns);
    table.rows = knee
        .steps
        .iter()
        .map(|step| {
            let measured = |figure| Cell::measured(&step.op_latency_ns, figure);
            let held = match step.held {
                Some(true) => "yes".to_owned(),
                Some(false) => format!("no: {}", step.broken.join(", ")),
                None => "not begun".to_owned(),
            };
            vec![
                Cell::count(step.rate.into()),
                Cell::number(step.ops_per_second.round()),
                Cell::count(step.begun),
                measured(Figure::P50),
                measured(Figure::P99),
                measured(Figure::Max),
                Cell::left(&step.headroom, HeadroomFigure::Min),
                Cell::count(step.deadline_misses),
                Cell::words(&held),
            ]
        })
        .collect();
    table
}
