//! Decisions as lines: what both the client report's rankings and its closest calls show.

use lab_analysis::findings::{Blame, Call};

use super::{Cell, Column, Table, shown_path};
use lab_model::units;

/// Decisions with the chain behind each.
pub(crate) fn calls(caption: &str, calls: &[Call]) -> Table {
    let columns = vec![
        Column::numbers("record").hint("its place in the client's trace").rank(3),
        Column::numbers("read at").hint("from the run's first record").rank(4),
        Column::numbers("took").hint("from read to answer; without one, to its client's end").rank(8),
        Column::numbers("headroom").hint("share of the deadline left when the answer left"),
        Column::words("approval"),
        Column::words("chain from the root operation").rank(9),
        Column::numbers("inflicted").hint("decisions that followed from it").wide(),
    ];
    let mut table = Table::new(caption, columns);
    table.rows = calls
        .iter()
        .map(|call| {
            let took = match call.took_ns {
                Some(took) => Cell::time(took),
                None => match call.open_ns {
                    Some(open) => Cell::time_at_least(open),
                    None => Cell { sort: Some(f64::MAX), ..Cell::words("never answered") },
                },
            };
            let left = match call.headroom {
                Some(left) if call.took_ns.is_none() => {
                    Cell { text: units::share_at_most(left), ..Cell::share(left) }
                }
                left => Cell::maybe_share(left),
            };
            vec![
                Cell::count(call.record),
                Cell::time(call.read_ns),
                took,
                left,
                Cell::words(&call.approval.text()),
                Cell::code(&chain(call)),
                Cell::count(call.inflicted),
            ]
        })
        .collect();
    table
}

/// The chain that led to a decision; its file when nothing led to it.
fn chain(call: &Call) -> String {
    if call.chain.is_empty() {
        format!("{} (cause not known)", shown_path(call.path.as_deref()))
    } else {
        call.chain.join(" › ")
    }
}

/// A ranking of who or what took decisions and time; the kind is left out where it only repeats the name.
pub(crate) fn blame(caption: &str, name: &'static str, ranking: &[Blame], all: u64) -> Table {
    let kinds = ranking.iter().any(|line| line.kind.text() != name);
    let mut columns = vec![Column::words(name)];
    if kinds {
        columns.push(Column::words("kind"));
    }
    columns.extend([
        Column::numbers("decisions"),
        Column::numbers("share").hint("of all this client's decisions"),
        Column::numbers("time").hint("from read to answer, summed"),
    ]);
    let mut table = Table::new(caption, columns);
    table.rows = ranking
        .iter()
        .map(|line| {
            let share = units::ratio(line.decisions, all);
            let mut row = vec![Cell::code(&line.name)];
            if kinds {
                row.push(Cell::words(&line.kind.text()));
            }
            row.extend([
                Cell::count(line.decisions),
                Cell::share(share).bar(share),
                if line.at_least { Cell::time_at_least(line.total_ns) } else { Cell::time(line.total_ns) },
            ]);
            row
        })
        .collect();
    table
}
