//! How operations came to be approved: decided on, or without asking.

use lab_analysis::findings::{ApprovalWay, Approvals, Client, Findings, Word};
use lab_model::{Approval, Total};

use super::{Block, Cell, Column, Section, Table};
use lab_model::units::{count, counted, ratio, share};

/// The ways by which a client decides, in the order of reports.
const ASKED: [ApprovalWay; 10] = [
    ApprovalWay::By(Approval::Rule),
    ApprovalWay::By(Approval::OwnProcess),
    ApprovalWay::By(Approval::Peer),
    ApprovalWay::By(Approval::DeadlineFallback),
    ApprovalWay::By(Approval::QueueFull),
    ApprovalWay::By(Approval::Mute),
    ApprovalWay::By(Approval::CacheHit),
    ApprovalWay::By(Approval::DeadClient),
    ApprovalWay::Unanswered,
    OTHER,
];

/// The ways by which it is not asked, in the order of reports.
const HIDDEN: [ApprovalWay; 11] = [
    ApprovalWay::By(Approval::DeadClient),
    ApprovalWay::By(Approval::Mute),
    ApprovalWay::By(Approval::CacheHit),
    ApprovalWay::By(Approval::OwnProcess),
    ApprovalWay::NotSubscribed,
    ApprovalWay::DeniedBefore,
    ApprovalWay::OutOfScope,
    ApprovalWay::FailedBefore,
    ApprovalWay::Exhausted,
    ApprovalWay::Unfinished,
    OTHER,
];

/// Stands for every way that is not among the ones with a name here, such as those of a newer version's report: a row adds
/// up all the same.
const OTHER: ApprovalWay = ApprovalWay::Damaged;

/// A way in words, asked first.
const fn words(way: ApprovalWay, asked: bool) -> &'static str {
    match (way, asked) {
        (ApprovalWay::By(Approval::Rule), _) => "by its rule",
        (ApprovalWay::By(Approval::OwnProcess), true) => "own process, at once",
        (ApprovalWay::By(Approval::OwnProcess), false) => "own process",
        (ApprovalWay::By(Approval::Peer), _) => "other client, at once",
        (ApprovalWay::By(Approval::DeadlineFallback), _) => "deadline ran out",
        (ApprovalWay::By(Approval::QueueFull), _) => "queue full",
        (ApprovalWay::By(Approval::Mute), true) => "muted process",
        (ApprovalWay::By(Approval::Mute), false) => "muted path",
        (ApprovalWay::By(Approval::CacheHit), _) => "kept answer",
        (ApprovalWay::By(Approval::DeadClient), true) => "died before it answered",
        (ApprovalWay::By(Approval::DeadClient), false) => "dead client",
        (ApprovalWay::Unanswered, _) => "never answered",
        (ApprovalWay::NotSubscribed, _) => "not subscribed",
        (ApprovalWay::DeniedBefore, _) => "denied by another",
        (ApprovalWay::OutOfScope, _) => "outside the arena",
        (ApprovalWay::FailedBefore, _) => "failed by itself",
        (ApprovalWay::Exhausted, _) => "no descriptor left",
        (ApprovalWay::Unfinished, _) => "never finished",
        (ApprovalWay::Damaged | ApprovalWay::Told, _) => "another way",
    }
}

/// One way that occurs.
#[derive(Clone, Copy)]
struct Occurring {
    way: ApprovalWay,
    asked: bool,
    operations: u64,
}

/// How many operations of a client were approved in a way, by whether it was asked.
fn operations(approvals: &Approvals, way: ApprovalWay, asked: bool) -> u64 {
    let counts = if asked { &approvals.asked } else { &approvals.hidden };
    let of = |way: ApprovalWay| counts.get(&Word::Known(way)).copied().unwrap_or(0);
    if way != OTHER {
        return of(way);
    }
    let named: &[ApprovalWay] = if asked { &ASKED } else { &HIDDEN };
    let named: u64 = named.iter().filter(|way| **way != OTHER).map(|way| of(*way)).total();
    counts.values().total().saturating_sub(named)
}

/// The ways that occur.
fn ways(approvals: &Approvals) -> Vec<Occurring> {
    let asked = ASKED.into_iter().map(|way| (way, true));
    let all = asked.chain(HIDDEN.into_iter().map(|way| (way, false)));
    let counted =
        all.map(|(way, asked)| Occurring { way, asked, operations: operations(approvals, way, asked) });
    counted.filter(|occurring| occurring.operations > 0).collect()
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
    columns.extend(ways.iter().map(|&Occurring { way, asked, .. }| {
        let hint = if asked { "it was asked" } else { "it was not asked" };
        Column::numbers(words(way, asked)).hint(hint)
    }));
    columns.push(Column::numbers("unknown").hint("it was not asked, and the traces cannot tell why"));
    let mut table = Table::new("Every operation of storm and drain, from each client's side", columns);
    let row = |first: Cell, approvals: &Approvals| {
        let mut row = vec![first, Cell::count(approvals.operations)];
        row.extend(
            ways.iter().map(|&Occurring { way, asked, .. }| Cell::count(operations(approvals, way, asked))),
        );
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
    for Occurring { way, asked, operations } in ways(approvals) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_of_a_newer_version_is_counted() {
        let mut approvals = Approvals { operations: 5, ..Approvals::default() };
        approvals.asked.insert(Word::Known(ApprovalWay::By(Approval::Rule)), 2);
        approvals.asked.insert(Word::Other("by-oracle".to_owned()), 3);
        let shown: Vec<(&str, u64)> =
            ways(&approvals).iter().map(|one| (words(one.way, one.asked), one.operations)).collect();
        assert_eq!(shown, [("by its rule", 2), ("another way", 3)]);
    }
}
