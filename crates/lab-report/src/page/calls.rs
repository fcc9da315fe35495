//! Decisions as lines: what both the client report's rankings and its closest calls show.

use lab_analysis::findings::{Blame, Call};

use super::{Cell, Column, Table, shown_path};
use crate::units;

/// Decisions with the chain behind each.
pub(crate) fn calls(caption: &str, calls: &[Call]) -> Table {
    let columns = vec![
        Column::numbers("record").hint("its place in the client's trace"),
        Column::numbers("read at").hint("from the run's first record"),
        Column::numbers("took").hint("from read to answer"),
        Column::numbers("headroom").hint("share of the deadline left when the answer left"),
        Column::words("target").wide(),
        Column::words("approval"),
        Column::words("chain from the root operation"),
        Column::numbers("inflicted").hint("decisions that followed from it").wide(),
    ];
    let mut table = Table::new(caption, columns);
    table.rows = calls
        .iter()
        .map(|call| {
            let took = match call.took_ns {
                Some(took) => Cell::time(took),
                None => Cell { sort: Some(f64::MAX), ..Cell::words("never answered") },
            };
            vec![
                Cell::count(call.record),
                Cell::time(call.read_ns),
                took,
                Cell::maybe_share(call.headroom),
                Cell::code(&shown_path(call.path.as_deref())),
                Cell::words(&call.approval),
                Cell::code(&call.chain.join(" › ")),
                Cell::count(call.inflicted),
            ]
        })
        .collect();
    table
}

/// A ranking of who or what took decisions and time.
pub(crate) fn blame(caption: &str, name: &'static str, ranking: &[Blame], all: u64) -> Table {
    let columns = vec![
        Column::words(name),
        Column::words("kind"),
        Column::numbers("decisions"),
        Column::numbers("share").hint("of all this client's decisions"),
        Column::numbers("time").hint("from read to answer, summed"),
    ];
    let mut table = Table::new(caption, columns);
    table.rows = ranking
        .iter()
        .map(|line| {
            let share = units::ratio(line.decisions, all);
            vec![
                Cell::code(&line.name),
                Cell::words(&line.kind),
                Cell::count(line.decisions),
                Cell::share(share).bar(share),
                Cell::time(line.total_ns),
            ]
        })
        .collect();
    table
}
