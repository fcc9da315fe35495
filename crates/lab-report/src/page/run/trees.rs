//! Trees of programs: a sentence, their levels, and the slowest tree.

use lab_analysis::findings::{Figure, Findings, Trees};

use crate::page::{Cell, Column, Table};
use lab_model::units::{counted, time};

/// The trees in a sentence.
pub(super) fn sentence(findings: &Findings) -> Option<String> {
    let trees = findings.trees.as_ref().filter(|trees| trees.trees > 0)?;
    let root = trees.slowest.first()?;
    let text = format!(
        "{} of {} ran in the storm; the slowest took {}, {} of it for the branch that ended \
         last.",
        counted(trees.trees, "process tree"),
        counted(trees.execs, "program"),
        time(root.lasted_ns),
        time(root.lasted_ns.saturating_sub(root.before_ns).saturating_sub(root.after_ns))
    );
    Some(text)
}

/// Tables of the levels and of the slowest tree, where there were trees.
pub(super) fn tables(findings: &Findings) -> Vec<Table> {
    let Some(trees) = findings.trees.as_ref().filter(|trees| trees.trees > 0) else { return Vec::new() };
    let mut tables = vec![levels(trees)];
    if !trees.slowest.is_empty() {
        tables.push(critical(trees));
    }
    tables
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
            let measured = |figure| Cell::measured(&level.lasted_ns, figure);
            vec![
                Cell::count(level.level.into()),
                Cell::count(level.execs),
                Cell::count(level.unfinished),
                Cell::count(level.failed),
                measured(Figure::P50),
                measured(Figure::P99),
                measured(Figure::Max),
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
