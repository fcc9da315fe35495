//! Pipeline order, and where the slowest operations spent their time.

use lab_analysis::findings::Findings;
use lab_model::Total;

use super::rules;
use crate::page::{Block, Cell, Column, Drawing, Section, Table, picture, shown_path};
use lab_model::units::{ratio, share, time};

pub(super) fn pipeline(findings: &Findings) -> Section {
    let pipeline = &findings.pipeline;
    let mut lead = Vec::new();
    let mut blocks = Vec::new();
    if pipeline.stages.is_empty() {
        lead.push("No root operation of the storm was completed, so there is no order to show.".to_owned());
    } else {
        lead.push(match pipeline.serial_percent {
            Some(percent) => format!(
                "In {} of the operations the clients were asked one after another.",
                share(percent / 100.0)
            ),
            None => "Whether the clients were asked one after another is not known.".to_owned(),
        });
        lead.push(format!(
            "Of the operations that clients were asked about, a median one took {}; the clients' decision times sum to {}, the longest is {}.",
            time(pipeline.op_ns),
            time(pipeline.sum_ns),
            time(pipeline.max_ns)
        ));
        blocks.push(picture(
            Drawing::Waterfall,
            "Median times of one root operation, client by client",
            false,
        ));
        blocks.push(Block::Table(stages(findings)));
        if !pipeline.orders.is_empty() {
            blocks.push(Block::Table(orders(findings)));
        }
    }
    if !pipeline.slowest.is_empty() {
        blocks.push(picture(
            Drawing::SlowOperations,
            "The slowest operations and where their time went",
            true,
        ));
        blocks.push(Block::Table(slowest(findings)));
    }
    lead.extend(rules::sentences(findings));
    if !findings.rules.deadlines.is_empty() {
        blocks.push(Block::Table(rules::deadlines(findings)));
    }
    Section { id: "pipeline", title: "Pipeline order", lead, blocks }
}

fn stages(findings: &Findings) -> Table {
    let columns = vec![
        Column::words("client"),
        Column::numbers("asked after").hint("median time from the operation's start to the client's read"),
        Column::numbers("answered after"),
        Column::numbers("last to answer").hint("how often everybody waited for it"),
    ];
    let mut table = Table::new("In the order in which they were asked", columns);
    table.rows = findings
        .pipeline
        .stages
        .iter()
        .map(|stage| {
            vec![
                Cell::client(&stage.client),
                Cell::time(stage.read_ns),
                Cell::time(stage.answered_ns),
                Cell::count(stage.last),
            ]
        })
        .collect();
    table
}

fn orders(findings: &Findings) -> Table {
    let orders = &findings.pipeline.orders;
    let all: u64 = orders.iter().map(|(_, times)| times).total();
    let mut table = Table::new(
        "Orders that occurred",
        vec![Column::words("order"), Column::numbers("times"), Column::numbers("share")],
    );
    table.rows = orders
        .iter()
        .map(|(order, times)| {
            let part = ratio(*times, all);
            vec![Cell::words(&order.join(" › ")), Cell::count(*times), Cell::share(part).bar(part)]
        })
        .collect();
    table
}

fn slowest(findings: &Findings) -> Table {
    let columns = vec![
        Column::words("operation"),
        Column::words("target"),
        Column::numbers("began at").rank(4),
        Column::numbers("took").rank(8),
        Column::words("where the time went").rank(9),
    ];
    let mut table = Table::new("Slowest root operations", columns).first(3).folded();
    table.rows = findings
        .pipeline
        .slowest
        .iter()
        .map(|operation| {
            let steps: Vec<String> =
                operation.steps.iter().map(|(step, took)| format!("{step} {}", time(*took))).collect();
            vec![
                Cell::words(&operation.kind.text()),
                Cell::code(&shown_path(operation.path.as_deref())),
                Cell::time(operation.began_ns),
                Cell::time(operation.took_ns),
                Cell::words(&steps.join(" · ")),
            ]
        })
        .collect();
    table
}
