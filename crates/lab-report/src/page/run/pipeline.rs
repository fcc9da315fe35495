//! Pipeline order, and where the slowest operations spent their time.

use lab_analysis::findings::Findings;
use lab_model::Total;

use crate::{
    page::{Block, Cell, Column, Drawing, Section, Table, picture, shown_path},
    units::{count, ratio, share, time},
};

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
            "A median operation took {}; the clients' decision times sum to {}, the longest is {}.",
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
    lead.extend(rules(findings));
    if !findings.rules.deadlines.is_empty() {
        blocks.push(Block::Table(deadlines(findings)));
    }
    Section { id: "pipeline", title: "Pipeline order", lead, blocks }
}

/// What the run shows of the kernel's own rules, a sentence each; nothing where nothing tells.
fn rules(findings: &Findings) -> Vec<String> {
    let rules = &findings.rules;
    let mut sentences = Vec::new();
    if let Some(delivery) = &rules.delivery {
        let how = match delivery.as_str() {
            "serial" => "one client after the other",
            "parallel" => "all clients at once",
            _ => "sometimes one client after the other, sometimes several at once",
        };
        sentences.push(format!(
            "The kernel asks {how}: {} operations held by several clients in turn, {} at once.",
            count(rules.serial),
            count(rules.parallel)
        ));
    }
    if let Some(after) = &rules.after_deny {
        let what = match after.as_str() {
            "spared" => "is not asked any more",
            "not-waited" => "is asked, and nobody waits for its answer",
            "waited" => "is asked, and its answer is waited for",
            _ => "is handled in more than one way",
        };
        sentences.push(format!(
            "After a denial a client that has not answered {what}: {} times not asked, {} not waited for, {} waited for.",
            count(rules.spared),
            count(rules.not_waited),
            count(rules.waited)
        ));
    }
    if let Some(kept) = &rules.kept_answers {
        sentences.push(
            match kept.as_str() {
                "own" => "A kept answer serves only the client that gave it.",
                "shared" => "A kept answer also serves clients that keep none.",
                "not-kept" => "No answer was kept, although a client asked for it.",
                _ => "Kept answers served other clients at times.",
            }
            .to_owned(),
        );
    }
    sentences
}

fn deadlines(findings: &Findings) -> Table {
    let columns = vec![
        Column::words("event"),
        Column::numbers("decisions"),
        Column::numbers("shortest"),
        Column::numbers("longest"),
        Column::numbers("left when read")
            .hint("the median share of it; unknown where the kernel gives an event no time"),
    ];
    let mut table = Table::new("How long the kernel waits for an answer", columns);
    table.rows = findings
        .rules
        .deadlines
        .iter()
        .map(|(event, length)| {
            vec![
                Cell::words(event),
                Cell::count(length.decisions),
                Cell::time(length.min_ns),
                Cell::time(length.max_ns),
                length.left_at_read.p50.map_or_else(Cell::unknown, |left| Cell::words(&share(left))),
            ]
        })
        .collect();
    table
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
        Column::numbers("began at"),
        Column::numbers("took"),
        Column::words("where the time went"),
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
                Cell::words(&operation.kind),
                Cell::code(&shown_path(operation.path.as_deref())),
                Cell::time(operation.began_ns),
                Cell::time(operation.took_ns),
                Cell::words(&steps.join(" · ")),
            ]
        })
        .collect();
    table
}
