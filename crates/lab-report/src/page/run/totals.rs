//! What was recorded and what was not: counts that add up.

use lab_analysis::findings::Findings;

use crate::{
    page::{Block, Cell, Column, Section, Table},
    visible::visible,
};

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
