//! Who made what each client had to approve.

use lab_analysis::findings::{CauseColumn, ColumnKind, Findings};
use lab_model::{Bounded, Total};

use crate::{
    page::{Block, Cell, Column, Drawing, Section, Table, picture},
    visible::visible,
};
use lab_model::units::{counted, ratio, share};

/// Decisions of the cause matrix by kind of column: workload, own, peers, daemons, everything else.
fn by_kind(findings: &Findings) -> [u64; 5] {
    let causes = &findings.causes;
    let [mut workload, mut own, mut peers, mut daemons, mut other] = [0_u64; 5];
    for (row, counts) in causes.rows.iter().zip(&causes.decisions) {
        for (column, decisions) in causes.columns.iter().zip(counts) {
            let sum = match column.kind {
                ColumnKind::Workload => &mut workload,
                ColumnKind::Client | ColumnKind::Helper if column.client.as_ref() == Some(row) => &mut own,
                ColumnKind::Client | ColumnKind::Helper => &mut peers,
                ColumnKind::Daemon => &mut daemons,
                ColumnKind::External | ColumnKind::Unexplained => &mut other,
            };
            *sum = sum.saturating_add(*decisions);
        }
    }
    [workload, own, peers, daemons, other]
}

pub(super) fn causes(findings: &Findings) -> Section {
    let causes = &findings.causes;
    let mut lead = Vec::new();
    if causes.total == 0 {
        lead.push("Nothing was approved in storm and drain.".to_owned());
    } else {
        let [workload, own, peers, daemons, other] = by_kind(findings);
        let part = |value: u64| share(ratio(value, causes.total));
        let mut sentence = format!(
            "Of {}, {} were about the workload, {} about the approver's own operations and {} about other clients'",
            counted(causes.total, "decision"),
            part(workload),
            part(own),
            part(peers)
        );
        if daemons > 0 {
            sentence.push_str(&format!("; {} about what daemons did for clients", part(daemons)));
        }
        if other > 0 {
            sentence.push_str(&format!("; {} came from elsewhere", part(other)));
        }
        sentence.push('.');
        lead.push(sentence);
        lead.push(match causes.misattributed {
            0 => "None of the clients' own events looked like the workload's to its approver.".to_owned(),
            missed => format!(
                "{} ({}) came from clients and looked like the workload: a check of the subject cannot see them.",
                counted(missed, "decision"),
                part(missed)
            ),
        });
    }
    let blocks = if causes.rows.is_empty() {
        Vec::new()
    } else {
        vec![
            picture(Drawing::CauseMatrix, "Rows approve, columns cause; share of all decisions", true),
            Block::Table(cause_table(findings)),
        ]
        .into_iter()
        .chain(brought_about(findings).map(Block::Table))
        .collect()
    };
    Section { id: "causes", title: "Who made what each client had to approve", lead, blocks }
}

/// A column's heading: a daemon's name says nothing about what it is.
fn heading(column: &CauseColumn) -> String {
    let name = visible(&column.name);
    if column.kind == ColumnKind::Daemon { format!("{name} (daemon)") } else { name }
}

/// What each client brought about, where some of it cannot be told from the workload.
fn brought_about(findings: &Findings) -> Option<Table> {
    let causes = &findings.causes;
    if causes.misattributed == 0 || causes.brought_about.len() != causes.rows.len() {
        return None;
    }
    let columns = vec![
        Column::words("client"),
        Column::numbers("brought about"),
        Column::numbers("as the approver"),
        Column::numbers("as its helper"),
        Column::numbers("as a client"),
        Column::numbers("as the workload"),
        Column::numbers("cannot be told"),
    ];
    let caption =
        "What each client brought about, with helpers and daemons, and how it looked to its approvers";
    let mut table = Table::new(caption, columns);
    let cells = |looks: &[u64; 4]| {
        let all: u64 = looks.iter().total();
        let unseen = share(ratio(looks[3], all));
        std::iter::once(all).chain(*looks).map(Cell::count).chain([Cell::words(&unseen)]).collect::<Vec<_>>()
    };
    let mut sums = [0_u64; 4];
    for (client, looks) in causes.rows.iter().zip(&causes.brought_about) {
        sums.iter_mut().zip(looks).for_each(|(sum, decisions)| sum.raise(*decisions));
        table.rows.push([Cell::client(client)].into_iter().chain(cells(looks)).collect());
    }
    table.footer = Some([Cell::words("all")].into_iter().chain(cells(&sums)).collect());
    Some(table)
}

fn cause_table(findings: &Findings) -> Table {
    let causes = &findings.causes;
    let mut columns = vec![Column::words("approver")];
    columns.extend(causes.columns.iter().map(|column| Column::numbers(heading(column))));
    columns.push(Column::numbers("sum").rank(9));
    let mut table = Table::new("Decisions by approver (row) and cause (column)", columns).folded();
    let mut sums = vec![0_u64; causes.columns.len()];
    for (row, counts) in causes.rows.iter().zip(&causes.decisions) {
        let mut cells = vec![Cell::client(row)];
        for (sum, decisions) in sums.iter_mut().zip(counts) {
            *sum = sum.saturating_add(*decisions);
            cells.push(Cell::count(*decisions));
        }
        cells.push(Cell::count(counts.iter().total()));
        table.rows.push(cells);
    }
    let mut footer = vec![Cell::words("sum")];
    footer.extend(sums.into_iter().map(Cell::count));
    footer.push(Cell::count(causes.total));
    table.footer = Some(footer);
    table
}
