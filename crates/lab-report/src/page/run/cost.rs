//! What it costs the user, and what was recorded and what was not.

use lab_analysis::findings::{Findings, Knee};

use super::load;
use crate::{
    page::{Block, Cell, Column, Drawing, Section, Table, picture},
    units::{count, number, ratio, time},
    visible::visible,
};

pub(super) fn cost(findings: &Findings) -> Section {
    let cost = &findings.cost;
    let mut lead = Vec::new();
    if let (Some(baseline), Some(storm)) = (cost.baseline_ns, cost.storm_ns) {
        let mut sentence = format!("A median operation took {} without clients", time(baseline));
        if let Some(control) = cost.control_ns {
            sentence.push_str(&format!(
                ", {} ({}) with clients that answer at once",
                time(control),
                times_of(control, baseline)
            ));
        }
        if let Some(external) = cost.external_ns {
            sentence.push_str(&format!(
                ", {} ({}) with these beside the products under test",
                time(external),
                times_of(external, baseline)
            ));
        }
        sentence.push_str(&format!(" and {} ({}) in the storm.", time(storm), times_of(storm, baseline)));
        lead.push(sentence);
    } else {
        lead.push("Without both a baseline and a storm the price is not known.".to_owned());
    }
    let mut blocks = Vec::new();
    if cost.baseline_ns.or(cost.control_ns).or(cost.external_ns).or(cost.storm_ns).is_some() {
        blocks.push(picture(Drawing::Cost, "Median root operation", false));
    }
    if findings.phases.iter().any(|phase| !phase.spectrum.is_empty()) {
        blocks.push(picture(Drawing::PhaseSpectrum, "Latency of root operations, by phase", false));
    }
    if !findings.phases.is_empty() {
        blocks.push(Block::Table(phases(findings)));
    }
    lead.extend(load::not_begun(findings));
    lead.extend(load::trees(findings));
    blocks.extend(load::blocks(findings));
    if let Some(knee) = &findings.knee {
        lead.push(sentence(knee));
        blocks.push(Block::Table(steps(knee)));
    }
    Section { id: "cost", title: "What it costs the user", lead, blocks }
}

/// The last rate that held, in a sentence.
fn sentence(knee: &Knee) -> String {
    let rate = |rate: u32| format!("{} operations a second", count(rate.into()));
    let broke = knee.steps.iter().find(|step| step.held == Some(false));
    let why = broke.map_or_else(String::new, |step| step.broken.join(", "));
    match (knee.held, knee.broke) {
        (Some(held), Some(broke)) => {
            format!("The last rate that held was {}; {} did not: {why}.", rate(held), rate(broke))
        }
        (Some(held), None) => {
            format!("Every rate that was tried held, up to {}: the knee is higher.", rate(held))
        }
        (None, Some(broke)) => format!("Not even {} held: {why}.", rate(broke)),
        (None, None) => "No step of the search for a knee was begun.".to_owned(),
    }
}

fn steps(knee: &Knee) -> Table {
    let columns = vec![
        Column::numbers("rate"),
        Column::numbers("achieved"),
        Column::numbers("begun"),
        Column::numbers("p50"),
        Column::numbers("p99"),
        Column::numbers("max").wide(),
        Column::numbers("headroom"),
        Column::numbers("misses").wide(),
        Column::words("held"),
    ];
    let mut table = Table::new(format!("The rate of {}, step by step", knee.load), columns);
    table.rows = knee
        .steps
        .iter()
        .map(|step| {
            let measured = |value| Cell::measured(&step.op_latency_ns, value);
            let held = match step.held {
                Some(true) => "yes".to_owned(),
                Some(false) => format!("no: {}", step.broken.join(", ")),
                None => "not begun".to_owned(),
            };
            vec![
                Cell::count(step.rate.into()),
                Cell::number(step.ops_per_second.round()),
                Cell::count(step.begun),
                measured(step.op_latency_ns.p50),
                measured(step.op_latency_ns.p99),
                measured(step.op_latency_ns.max),
                Cell::maybe_share(step.headroom.min),
                Cell::count(step.deadline_misses),
                Cell::words(&held),
            ]
        })
        .collect();
    table
}

fn times_of(value: u64, base: u64) -> String {
    if base == 0 { "×–".to_owned() } else { format!("×{}", number(ratio(value, base))) }
}

fn phases(findings: &Findings) -> Table {
    let columns = vec![
        Column::words("phase"),
        Column::numbers("seconds"),
        Column::numbers("root ops"),
        Column::numbers("unfinished"),
        Column::numbers("failed"),
        Column::numbers("ops/s"),
        Column::numbers("p50"),
        Column::numbers("p99"),
        Column::numbers("p99.9").wide(),
        Column::numbers("max"),
    ];
    let mut table = Table::new("Root operations by phase", columns);
    table.rows = findings
        .phases
        .iter()
        .map(|phase| {
            let measured = |value| Cell::measured(&phase.op_latency_ns, value);
            vec![
                Cell::words(&phase.name),
                Cell::number(phase.seconds),
                Cell::count(phase.root_ops),
                Cell::count(phase.root_ops_unfinished),
                Cell::count(phase.root_ops_failed),
                Cell::number(phase.ops_per_second.round()),
                measured(phase.op_latency_ns.p50),
                measured(phase.op_latency_ns.p99),
                measured(phase.op_latency_ns.p999),
                measured(phase.op_latency_ns.max),
            ]
        })
        .collect();
    table
}

pub(super) fn record(findings: &Findings) -> Section {
    let columns = vec![Column::words("count"), Column::numbers("storm"), Column::numbers("whole run")];
    let mut table = Table::new("Counts that add up", columns);
    let (storm, run) = (&findings.storm, &findings.totals);
    let mut line = |name: &str, storm: u64, run: u64| {
        table.rows.push(vec![Cell::words(name), Cell::count(storm), Cell::count(run)]);
    };
    line("root operations", storm.root_ops, run.root_ops);
    line("operations, roots included", storm.operations, run.operations);
    line("operations that never ended", storm.operations_unfinished, run.operations_unfinished);
    line("decisions", storm.decisions, run.decisions);
    line("  explained", storm.explained, run.explained);
    line("  unexplained", storm.unexplained, run.unexplained);
    for (approval, decisions) in &run.by_approval {
        let in_storm = storm.by_approval.get(approval).copied().unwrap_or(0);
        line(&format!("  answered: {approval}"), in_storm, *decisions);
    }
    line("  unanswered", storm.unanswered, run.unanswered);
    line("decisions about the own process", storm.own_process, run.own_process);
    line("denied", storm.denied, run.denied);
    line("targets not resolved", storm.targets_unknown, run.targets_unknown);
    line("records lost", storm.lost, run.lost);
    line("damaged places", storm.damaged, run.damaged);
    let lead = if findings.not_observed.is_empty() {
        vec!["Nothing is known to be missing.".to_owned()]
    } else {
        vec!["What was not observed:".to_owned()]
    };
    let missing = findings.not_observed.iter().map(|line| visible(line)).collect();
    Section {
        id: "record",
        title: "What was recorded and what was not",
        lead,
        blocks: vec![Block::List(missing), Block::Table(table)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_a_multiple_of_nothing() {
        assert_eq!(times_of(3, 0), "×–");
        assert_eq!(times_of(3, 2), "×1.50");
    }
}
