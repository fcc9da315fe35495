//! How operations came to be approved: decided on, or without asking.

use lab_analysis::findings::{Approvals, Client, Findings};
use lab_model::Total;

use super::{Block, Cell, Column, Section, Table};
use lab_model::units::{count, counted, ratio, share};

/// The ways by which a client decides, in the order of reports.
const ASKED: [&str; 9] = [
    "rule",
    "own-process",
    "peer",
    "deadline-fallback",
    "queue-full",
    "mute",
    "cache-hit",
    "dead-client",
    "unanswered",
];

/// The ways by which it is not asked, in the order of reports.
const HIDDEN: [&str; 10] = [
    "dead-client",
    "mute",
    "cache-hit",
    "own-process",
    "not-subscribed",
    "denied-before",
    "out-of-scope",
    "failed-before",
    "exhausted",
    "unfinished",
];

/// A way in words, asked first.
fn words(way: &str, asked: bool) -> &'static str {
    match (way, asked) {
        ("rule", _) => "by its rule",
        ("own-process", true) => "own process, at once",
        ("own-process", false) => "own process",
        ("peer", _) => "other client, at once",
        ("deadline-fallback", _) => "deadline ran out",
        ("queue-full", _) => "queue full",
        ("mute", true) => "muted process",
        ("mute", false) => "muted path",
        ("cache-hit", _) => "kept answer",
        ("dead-client", true) => "died before it answered",
        ("dead-client", false) => "dead client",
        ("unanswered", _) => "never answered",
        ("not-subscribed", _) => "not subscribed",
        ("denied-before", _) => "denied by another",
        ("out-of-scope", _) => "outside the arena",
        ("failed-before", _) => "failed by itself",
        ("exhausted", _) => "no descriptor left",
        ("unfinished", _) => "never finished",
        _ => "another way",
    }
}

/// The ways that occur: name, whether it was asked, and how often.
fn ways(approvals: &Approvals) -> Vec<(&'static str, bool, u64)> {
    let of = |names: &[&'static str], asked: bool| {
        let counts = if asked { &approvals.asked } else { &approvals.hidden };
        let found = names.iter().map(|&name| (name, asked, counts.get(name).copied().unwrap_or(0)));
        found.filter(|&(_, _, count)| count > 0).collect::<Vec<_>>()
    };
    [of(&ASKED, true), of(&HIDDEN, false)].concat()
}

/// The operations that it was not asked about, for whatever known reason.
pub(crate) fn hidden(approvals: &Approvals) -> u64 {
    approvals.hidden.values().total()
}

/// All clients beside each other.
pub(crate) fn of_run(findings: &Findings) -> Section {
    let all = &findings.approvals;
    let ways = ways(all);
    let mut columns = vec![Column::words("client"), Column::numbers("operations")];
    columns.extend(ways.iter().map(|&(way, asked, _)| {
        let hint = if asked { "it was asked" } else { "it was not asked" };
        Column::numbers(words(way, asked)).hint(hint)
    }));
    columns.push(Column::numbers("unknown").hint("it was not asked, and the traces cannot tell why"));
    let mut table = Table::new("Every operation of storm and drain, from each client's side", columns);
    let row = |first: Cell, approvals: &Approvals| {
        let mut row = vec![first, Cell::count(approvals.operations)];
        row.extend(ways.iter().map(|&(way, asked, _)| {
            let counts = if asked { &approvals.asked } else { &approvals.hidden };
            Cell::count(counts.get(way).copied().unwrap_or(0))
        }));
        row.push(Cell::count(approvals.unknown));
        row
    };
    table.rows =
        findings.clients.iter().map(|client| row(Cell::client(&client.id), &client.approvals)).collect();
    if findings.clients.len() > 1 {
        table.footer = Some(row(Cell::words("all"), all));
    }
    let blocks = if all.operations == 0 { Vec::new() } else { vec![Block::Table(table)] };
    Section { id: "approvals", title: "How each operation was approved", lead: vec![sentence(all)], blocks }
}

/// One client's.
pub(crate) fn of_client(client: &Client) -> Section {
    let approvals = &client.approvals;
    let columns = vec![Column::words("way"), Column::words("asked"), Column::numbers("operations")];
    let mut table = Table::new("Every operation of storm and drain, from its side", columns);
    for (way, asked, operations) in ways(approvals) {
        let asked_word = if asked { "yes" } else { "no" };
        table.rows.push(vec![
            Cell::words(words(way, asked)),
            Cell::words(asked_word),
            Cell::count(operations),
        ]);
    }
    if approvals.unknown > 0 {
        table.rows.push(vec![Cell::words("unknown"), Cell::words("no"), Cell::count(approvals.unknown)]);
    }
    table.footer = Some(vec![Cell::words("all"), Cell::words(""), Cell::count(approvals.operations)]);
    let mut lead = vec![sentence(approvals)];
    if approvals.further.saturating_add(approvals.elsewhere) > 0 {
        lead.push(format!(
            "Its {} are those, {} more about the same operations (an exec raises several events) and {} about what no \
             lab process recorded.",
            counted(client.decisions, "decision"),
            count(approvals.further),
            count(approvals.elsewhere)
        ));
    }
    let blocks = if approvals.operations == 0 { Vec::new() } else { vec![Block::Table(table)] };
    Section { id: "approvals", title: "How each operation was approved", lead, blocks }
}

fn sentence(approvals: &Approvals) -> String {
    let operations = approvals.operations;
    if operations == 0 {
        return "No operation was recorded that anybody could have been asked about.".to_owned();
    }
    let (asked, hidden) = (approvals.asked.values().total(), hidden(approvals));
    let unknown = match approvals.unknown {
        0 => String::new(),
        unknown => format!(", and of {} the traces cannot tell why", count(unknown)),
    };
    format!(
        "Of {} that these operations could have put to clients, {} ({}) were decided on and {} ({}) were never put{unknown}.",
        counted(operations, "question"),
        count(asked),
        share(ratio(asked, operations)),
        count(hidden),
        share(ratio(hidden, operations)),
    )
}
