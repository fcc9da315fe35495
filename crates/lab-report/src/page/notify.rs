//! What clients were told after it had happened. None of it is a decision.

use lab_analysis::findings::{Client, Findings, NotifySummary};
use lab_model::Total;

use super::{Block, Cell, Column, Section, Table};
use crate::visible::visible;
use lab_model::units::{count, counted};

/// All clients that are told of anything beside each other; `None` when there are none.
pub(crate) fn of_run(findings: &Findings) -> Option<Section> {
    let told: Vec<(&Client, &NotifySummary)> =
        findings.clients.iter().filter_map(|client| Some((client, client.told.as_ref()?))).collect();
    if told.is_empty() {
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
    table.rows = told
        .iter()
        .map(|(client, told)| {
            let [p50, max] = lag(told);
            vec![
                Cell::client(&client.id),
                Cell::count(told.notices),
                maybe(told.opens),
                maybe(told.opens_not_told_apart),
                p50,
                max,
                Cell::count(told.reacted),
                Cell::count(told.operations),
                Cell::count(told.inflicted),
            ]
        })
        .collect();
    let notices: u64 = told.iter().map(|(_, told)| told.notices).total();
    let inflicted: u64 = told.iter().map(|(_, told)| told.inflicted).total();
    let lead = vec![format!(
        "{} read {}. Nobody waited for that, and none of it is among the decisions; what was done because of it \
         brought {} about.",
        counted(told.len() as u64, "client"),
        counted(notices, "notice"),
        counted(inflicted, "decision"),
    )];
    Some(Section { id: "notices", title: "NOTIFY events", lead, blocks: vec![Block::Table(table)] })
}

/// One client's.
pub(crate) fn of_client(client: &Client) -> Option<Section> {
    let told = client.told.as_ref()?;
    let mut events = Table::new("What happened", vec![Column::words("event"), Column::numbers("notices")]);
    events.rows = told
        .by_event
        .iter()
        .map(|(event, count)| vec![Cell::words(&event.text()), Cell::count(*count)])
        .collect();
    let mut authors = Table::new("Who had done it", vec![Column::words("by"), Column::numbers("notices")]);
    authors.rows = told
        .by_author
        .iter()
        .map(|(name, count)| vec![Cell::words(&visible(name)), Cell::count(*count)])
        .collect();
    authors.footer = Some(vec![Cell::words("all"), Cell::count(told.notices)]);
    let tables = [events, authors].into_iter().filter(|table| !table.rows.is_empty());
    let blocks = tables.map(Block::Table).collect();
    Some(Section { id: "notices", title: "NOTIFY events that it got", lead: sentences(told), blocks })
}

fn sentences(told: &NotifySummary) -> Vec<String> {
    let mut lead = vec![format!(
        "It read {}, {} of which the kernel had merged from events of more than one kind. Nobody waited for it.",
        counted(told.notices, "notice"),
        count(told.mixed)
    )];
    if let (Some(opens), Some(not)) = (told.opens, told.opens_not_told_apart) {
        lead.push(format!(
            "Of {} by processes of the lab {} have no notice of their own: merged, unread or lost.",
            counted(opens, "open"),
            count(not)
        ));
    }
    if let (Some(execs), Some(not)) = (told.execs, told.execs_not_told) {
        lead.push(format!("Of {} it was not told of {}.", counted(execs, "exec"), count(not)));
    }
    if told.reacted > 0 {
        lead.push(format!(
            "{} set its reaction off: {} and {} about them.",
            counted(told.reacted, "notice"),
            counted(told.operations, "operation"),
            counted(told.inflicted, "decision")
        ));
    }
    match told.lost {
        None => lead.push("The kernel's queue overflowed: how many events it dropped is unknown.".to_owned()),
        Some(0) => {}
        Some(lost) => {
            lead.push(format!("{} could not be handed over by the kernel.", counted(lost, "event")))
        }
    }
    lead
}

fn lag(told: &NotifySummary) -> [Cell; 2] {
    match told.lag_ns.count {
        0 => [Cell::unknown(), Cell::unknown()],
        _ => [Cell::time(told.lag_ns.p50), Cell::time(told.lag_ns.max)],
    }
}

fn maybe(value: Option<u64>) -> Cell {
    value.map_or_else(Cell::unknown, Cell::count)
}
