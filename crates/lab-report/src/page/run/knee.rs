//! The steps of a load whose rate was raised, and the last rate that held.

use lab_analysis::findings::{Figure, HeadroomFigure, Knee};

use crate::{
    page::{Cell, Column, Table},
    visible::visible,
};

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
                Some(false) => format!("no: {}", visible(&step.why())),
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
