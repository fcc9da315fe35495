//! What the workload did beside opens and execs: processes of commands, trees of programs, what never began.

use lab_analysis::findings::{Findings, Phase, Trees};

use crate::{
    page::{Block, Cell, Column, Table},
    units::{count, time},
};

/// What the workload had planned and never began, a sentence for each phase in which that happened.
pub(super) fn not_begun(findings: &Findings) -> impl Iterator<Item = String> {
    findings.phases.iter().filter_map(|phase| {
        let planned = phase.planned?;
        let missing = planned.not_begun_late.saturating_add(planned.not_begun_halted);
        let why = [
            (planned.not_begun_late, "because the driver was more than a second behind"),
            (planned.not_begun_halted, "because the phase was halted"),
        ];
        let why: Vec<String> = why
            .iter()
            .filter(|(operations, _)| *operations > 0)
            .map(|(operations, why)| format!("{} {why}", count(*operations)))
            .collect();
        (missing > 0).then(|| {
            format!(
                "Of {} operations that were planned for {}, {} never began: {}. No latency counts them.",
                count(planned.planned),
                phase.name,
                count(missing),
                why.join(", ")
            )
        })
    })
}

/// Tables of the processes and trees, where there were some.
pub(super) fn blocks(findings: &Findings) -> Vec<Block> {
    let mut blocks = Vec::new();
    if findings.phases.iter().any(|phase| phase.processes.is_some()) {
        blocks.push(Block::Table(processes(&findings.phases)));
    }
    if let Some(trees) = findings.trees.as_ref().filter(|trees| trees.trees > 0) {
        blocks.push(Block::Table(levels(trees)));
        if !trees.slowest.is_empty() {
            blocks.push(Block::Table(critical(trees)));
        }
    }
    blocks
}

/// The trees in a sentence.
pub(super) fn trees(findings: &Findings) -> Option<String> {
    let trees = findings.trees.as_ref().filter(|trees| trees.trees > 0)?;
    let root = trees.slowest.first()?;
    let text = format!(
        "{} process trees of {} programs ran in the storm; the slowest took {}, {} of it for the branch that ended \
         last.",
        count(trees.trees),
        count(trees.execs),
        time(root.lasted_ns),
        time(root.lasted_ns.saturating_sub(root.before_ns).saturating_sub(root.after_ns))
    );
    Some(text)
}

fn processes(phases: &[Phase]) -> Table {
    let columns = vec![
        Column::words("phase"),
        Column::numbers("ended"),
        Column::numbers("unfinished"),
        Column::numbers("not started"),
        Column::numbers("failed"),
        Column::numbers("p50"),
        Column::numbers("p99"),
        Column::numbers("max"),
    ];
    let mut table = Table::new("Processes and threads of commands, from birth to end", columns);
    let with = phases.iter().filter_map(|phase| Some((&phase.name, phase.processes.as_ref()?)));
    table.rows = with
        .map(|(name, processes)| {
            let measured = |value| Cell::measured(&processes.lifetime_ns, value);
            vec![
                Cell::words(name),
                Cell::count(processes.ended),
                Cell::count(processes.unfinished),
                Cell::count(processes.not_started),
                Cell::count(processes.failed),
                measured(processes.lifetime_ns.p50),
                measured(processes.lifetime_ns.p99),
                measured(processes.lifetime_ns.max),
            ]
        })
        .collect();
    table
}

fn levels(trees: &Trees) -> Table {
    let columns = vec![
        Column::numbers("level"),
        Column::numbers("programs"),
        Column::numbers("unfinished"),
        Column::numbers("failed"),
        Column::numbers("p50"),
        Column::numbers("p99"),
        Column::numbers("max"),
    ];
    let mut table = Table::new("Process trees of the storm, by level", columns);
    table.rows = trees
        .levels
        .iter()
        .map(|level| {
            let measured = |value| Cell::measured(&level.lasted_ns, value);
            vec![
                Cell::count(level.level.into()),
                Cell::count(level.execs),
                Cell::count(level.unfinished),
                Cell::count(level.failed),
                measured(level.lasted_ns.p50),
                measured(level.lasted_ns.p99),
                measured(level.lasted_ns.max),
            ]
        })
        .collect();
    table
}

fn critical(trees: &Trees) -> Table {
    let columns = vec![
        Column::numbers("level"),
        Column::numbers("process"),
        Column::numbers("record"),
        Column::numbers("took"),
        Column::numbers("before the child"),
        Column::numbers("after it"),
    ];
    let mut table = Table::new("The slowest tree: each time the child that ended last", columns);
    table.rows = trees
        .slowest
        .iter()
        .map(|step| {
            vec![
                Cell::count(step.level.into()),
                Cell::words(&step.pid.to_string()),
                Cell::words(&step.record.to_string()),
                Cell::time(step.lasted_ns),
                Cell::time(step.before_ns),
                Cell::time(step.after_ns),
            ]
        })
        .collect();
    table
}
