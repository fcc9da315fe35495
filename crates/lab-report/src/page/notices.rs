//! What clients were told after it had happened. None of it is a decision.

use lab_analysis::findings::{Client, Findings, NotifySummary};
use lab_model::Total;

use super::{Block, Cell, Column, Section, Table};
use crate::{
    units::{count, counted},
    visible::visible,
};

/// All clients that are told of anything beside each other; `None` when there are none.
pub(crate) fn of_run(findings: &Findings) -> Option<Section> {
    let summary: Vec<(&Client, &NotifySummary)> =
        findings.clients.iter().filter_map(|client| Some((client, client.told.as_ref()?))).collect();
    if summary.is_empty() {
        return None;
    }
    let columns = vec![
        Column::words("client"),
        Column::numbers("notices")
            .hint("NOTIFY events read, each of which may stand for several that were merged"),
        Column::numbers("opens").hint("opens by processes of the lab that succeeded"),
        Column::numbers("not told apart").hint("opens beyond its notices of opens: merged, unread or lost"),
        Column::numbers("lag p50").hint("from an operation's end to the reading of its notice"),
        Column::numbers("lag max"),
        Column::numbers("reactions").hint("notices that set its reaction off"),
        Column::numbers("operations").hint("what it made because of them"),
        Column::numbers("decisions").hint("anybody's, about those operations"),
    ];
    let mut table = Table::new("NOTIFY events of the clients in storm and drain", columns);
    table.rows = summary
        .iter()
        .map(|(client, summary)| {
            let [p50, max] = lag(summary);
            vec![
                Cell::client(&client.id),
                Cell::count(summary.notices),
                maybe(summary.opens),
                maybe(summary.opens_not_told_apart),
                p50,
                max,
                Cell::count(summary.reacted),
                Cell::count(summary.operations),
                Cell::count(summary.inflicted),
            ]
        })
        .collect();
    let notices: u64 = summary.iter().map(|(_, summary)| summary.notices).total();
    let inflicted: u64 = summary.iter().map(|(_, summary)| summary.inflicted).total();
    let lead = vec![format!(
        "{} read {}. Nobody waited for that, and none of it is among the decisions; what was done because of it \
         brought {} about.",
        counted(summary.len() as u64, "client"),
        counted(notices, "notice"),
        counted(inflicted, "decision"),
    )];
    Some(Section { id: "notices", title: "NOTIFY events", lead, blocks: vec![Block::Table(table)] })
}

/// One client's.
pub(crate) fn of_client(client: &Client) -> Option<Section> {
    let summary = client.told.as_ref()?;
    let mut events = Table::new("What happened", vec![Column::words("event"), Column::numbers("notices")]);
    events.rows =
        summary.by_event.iter().map(|(event, count)| vec![Cell::words(event), Cell::count(*count)]).collect();
    let mut authors = Table::new("Who had done it", vec![Column::words("by"), Column::numbers("notices")]);
    authors.rows = summary
        .by_author
        .iter()
        .map(|(name, count)| vec![Cell::words(&visible(name)), Cell::count(*count)])
        .collect();
    authors.footer = Some(vec![Cell::words("all"), Cell::count(summary.notices)]);
    let tables = [events, authors].into_iter().filter(|table| !table.rows.is_empty());
    let blocks = tables.map(Block::Table).collect();
    Some(Section { id: "notices", title: "NOTIFY events that it got", lead: sentences(summary), blocks })
}

fn sentences(summary: &NotifySummary) -> Vec<String> {
    let mut lead = vec![format!(
        "It read {}, {} of which the kernel had merged from events of more than one kind. Nobody waited for it.",
        counted(summary.notices, "notice"),
        count(summary.mixed)
    )];
    if let (Some(opens), Some(not)) = (summary.opens, summary.opens_not_told_apart) {
        lead.push(format!(
            "Of {} by processes of the lab {} have no notice of their own: merged, unread or lost.",
            counted(opens, "open"),
            count(not)
        ));
    }
    if let (Some(execs), Some(not)) = (summary.execs, summary.execs_not_told) {
        lead.push(format!("Of {} it was not told of {}.", counted(execs, "exec"), count(not)));
    }
    if summary.reacted > 0 {
        lead.push(format!(
            "{} set its reaction off: {} and {} about them.",
            counted(summary.reacted, "notice"),
            counted(summary.operations, "operation"),
            counted(summary.inflicted, "decision")
        ));
    }
    match summary.lost {
        None => lead.push("The kernel's queue overflowed: how many events it dropped is unknown.".to_owned()),
        Some(0) => {}
        Some(lost) => {
            lead.push(format!("{} could not be handed over by the kernel.", counted(lost, "event")))
        }
    }
    lead
}

fn lag(summary: &NotifySummary) -> [Cell; 2] {
    match summary.lag_ns.count {
        0 => [Cell::unknown(), Cell::unknown()],
        _ => [Cell::time(summary.lag_ns.p50), Cell::time(summary.lag_ns.max)],
    }
}

fn maybe(value: Option<u64>) -> Cell {
    value.map_or_else(Cell::unknown, Cell::count)
}
