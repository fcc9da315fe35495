//! What each client did.

use lab_analysis::findings::{Client, Findings, Leg};

use super::verdict::{end_mood, headroom_mood};
use crate::{
    page::{Block, Cell, Column, Drawing, Mood, Section, Table, picture},
    units::{count_of, counted, float, number},
    visible::visible,
};

/// The clients whose restarts are told one by one.
const RESTARTED_MAX: usize = 5;

fn bad_above_zero(value: u64) -> Cell {
    Cell::count(value).mood(if value > 0 { Mood::Bad } else { Mood::Plain })
}

pub(super) fn clients(findings: &Findings) -> Section {
    let columns = vec![
        Column::words("client"),
        Column::numbers("decisions").hint("in storm and drain"),
        Column::numbers("own").hint("of those, about its own process"),
        Column::numbers("p50").hint("median time from read to answer"),
        Column::numbers("p99"),
        Column::numbers("max"),
        Column::numbers("queue p99").hint("from read to the start of work").wide(),
        Column::numbers("ops").hint("operations it made itself"),
        Column::numbers("headroom").hint("the lowest share of the deadline left when an answer left"),
        Column::numbers("misses").hint("deadlines missed"),
        Column::numbers("unanswered").wide(),
        Column::numbers("lost").hint("records lost or damaged").wide(),
        Column::words("end"),
    ];
    let mut table = Table::new("What each client did, in storm and drain", columns);
    table.rows = findings.clients.iter().map(client_row).collect();
    if findings.clients.len() > 1 && findings.latency_ns.count > 0 {
        table.footer = Some(all_clients(findings));
    }
    let mut lead = Vec::new();
    if let Some(amplification) = findings.amplification.filter(|amplification| amplification.is_finite()) {
        lead.push(format!(
            "Each of the workload's {} led to {} decisions of {}.",
            counted(findings.storm.root_ops, "operation"),
            number(amplification),
            counted(count_of(findings.clients.len()), "client")
        ));
    }
    for client in findings.clients.iter().filter(|client| client.lives.len() > 1).take(RESTARTED_MAX) {
        let ends: Vec<String> = client.lives.iter().map(|life| visible(&life.end)).collect();
        let again = client.lives.len().saturating_sub(1);
        let times = if again == 1 { "once".to_owned() } else { format!("{again} times") };
        lead.push(format!(
            "{} was started again {times}; its processes ended like this: {}.",
            visible(&client.id),
            ends.join(", ")
        ));
    }
    if findings.clients.is_empty() {
        lead.push("No client took part.".to_owned());
    }
    let blocks = if findings.clients.is_empty() {
        Vec::new()
    } else {
        let mut blocks = vec![Block::Table(table)];
        blocks.extend(requests(&findings.clients).map(Block::Table));
        blocks.extend(request_times(&findings.clients).map(Block::Table));
        blocks.push(picture(
            Drawing::ClientsSpectrum,
            "Time from read to answer, decisions about own processes left out",
            false,
        ));
        blocks
    };
    Section { id: "clients", title: "Clients", lead, blocks }
}

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
                Cell::measured(latency, latency.p50),
                Cell::measured(latency, latency.p99),
            ]
        }));
    }
    (!table.rows.is_empty()).then_some(table)
}

/// Where the time of requests went; `None` when no worker said so.
pub(in crate::page) fn request_times<'a>(clients: impl IntoIterator<Item = &'a Client>) -> Option<Table> {
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

fn client_row(client: &Client) -> Vec<Cell> {
    vec![
        Cell::client(&client.id),
        Cell::count(client.decisions),
        Cell::count(client.own_process),
        Cell::measured(&client.latency_ns, client.latency_ns.p50),
        Cell::measured(&client.latency_ns, client.latency_ns.p99),
        Cell::measured(&client.latency_ns, client.latency_ns.max),
        Cell::measured(&client.queue_ns, client.queue_ns.p99),
        Cell::count(client.operations),
        Cell::maybe_share(client.headroom.min).mood(headroom_mood(client.headroom.min)),
        bad_above_zero(client.deadline_misses),
        bad_above_zero(client.unanswered),
        bad_above_zero(client.lost),
        Cell::words(&client.end).mood(end_mood(&client.end)),
    ]
}

/// The row below the clients: all of them together.
fn all_clients(findings: &Findings) -> Vec<Cell> {
    let sum = |of: fn(&Client) -> u64| {
        Cell::count(findings.clients.iter().fold(0_u64, |sum, client| sum.saturating_add(of(client))))
    };
    let latency = &findings.latency_ns;
    vec![
        Cell::words("all"),
        sum(|client| client.decisions),
        sum(|client| client.own_process),
        Cell::measured(latency, latency.p50),
        Cell::measured(latency, latency.p99),
        Cell::measured(latency, latency.max),
        Cell::words(""),
        sum(|client| client.operations),
        Cell::maybe_share(findings.headroom.min),
        sum(|client| client.deadline_misses),
        sum(|client| client.unanswered),
        sum(|client| client.lost),
        Cell::words(""),
    ]
}
