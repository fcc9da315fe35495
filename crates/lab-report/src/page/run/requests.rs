//! What clients asked of their helpers and of daemons, and where the time went.

use lab_analysis::findings::{Client, Figure, Leg};

use super::verdict::bad_above_zero;
use crate::page::{Cell, Column, Table};
use lab_model::units::float;

/// What clients asked of workers outside themselves; `None` when they asked nothing.
pub(in crate::page) fn requests<'a>(clients: impl IntoIterator<Item = &'a Client>) -> Option<Table> {
    let columns = vec![
        Column::words("client"),
        Column::words("asked"),
        Column::numbers("requests"),
        Column::numbers("carried out").hint("replied to"),
        Column::numbers("failed").hint("who was asked was gone, or went before replying"),
        Column::numbers("refused").hint("too many waited already"),
        Column::numbers("unheard").hint("the client died, or the run ended, before the reply"),
        Column::numbers("p50").hint("median time from request to reply"),
        Column::numbers("p99"),
    ];
    let mut table = Table::new("What clients asked of their helpers and of daemons", columns);
    for client in clients {
        table.rows.extend(client.requests.iter().map(|row| {
            let latency = &row.latency_ns;
            vec![
                Cell::client(&client.id),
                Cell::words(row.daemon.as_deref().unwrap_or("its helpers")),
                Cell::count(row.made),
                Cell::count(row.carried_out),
                bad_above_zero(row.failed),
                bad_above_zero(row.refused),
                bad_above_zero(row.unheard),
                Cell::measured(latency, Figure::P50),
                Cell::measured(latency, Figure::P99),
            ]
        }));
    }
    (!table.rows.is_empty()).then_some(table)
}

/// Where the time of requests went; `None` when no worker said so.
pub(in crate::page) fn times<'a>(clients: impl IntoIterator<Item = &'a Client>) -> Option<Table> {
    let columns = vec![
        Column::words("client"),
        Column::words("asked"),
        Column::words("time"),
        Column::numbers("in all"),
        Column::numbers("share"),
        Column::numbers("p50").hint("median of one request"),
        Column::numbers("p99"),
    ];
    let mut table = Table::new("Where the time from request to reply went", columns);
    for client in clients {
        for row in client.requests.iter().filter(|row| row.times.told > 0) {
            let times = &row.times;
            let line = |name: &str, total: u64, leg: Option<&Leg>| {
                vec![
                    Cell::client(&client.id),
                    Cell::words(row.daemon.as_deref().unwrap_or("its helpers")),
                    Cell::words(name),
                    Cell::time(total),
                    Cell::share(float(total) / float(times.total_ns.max(1))),
                    leg.map_or_else(Cell::unknown, |leg| Cell::time(leg.p50_ns)),
                    leg.map_or_else(Cell::unknown, |leg| Cell::time(leg.p99_ns)),
                ]
            };
            let legs = [
                ("on the way to it", &times.to_worker),
                ("in its queue", &times.queued),
                ("at work", &times.working),
                ("in its operations", &times.operating),
                ("on the way back", &times.back),
            ];
            table.rows.extend(legs.map(|(name, leg)| line(name, leg.total_ns, Some(leg))));
            table.rows.push(line("not told", times.not_told_ns, None));
            let latency = &row.latency_ns;
            let all = Leg { total_ns: times.total_ns, p50_ns: latency.p50, p99_ns: latency.p99 };
            table.rows.push(line("all", all.total_ns, Some(&all)));
        }
    }
    (!table.rows.is_empty()).then_some(table)
}
