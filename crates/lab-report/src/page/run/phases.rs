//! Root operations by phase: how long they took, the processes of commands, and what never began.

use lab_analysis::findings::{AfterDeath, Figure, Findings, Latency, Phase};

use crate::page::{Cell, Column, Table};
use lab_model::units::{agreeing, count, float};

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
                "Of {} planned for {}, {} never began: {}. No latency counts them.",
                agreeing(planned.planned, "operation that was", "operations that were"),
                phase.kind.name(),
                count(missing),
                why.join(", ")
            )
        })
    })
}

/// Root operations, a row for each phase.
pub(super) fn operations(findings: &Findings) -> Table {
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
        .flat_map(|phase| {
            let name = phase.kind.name();
            let counts = [phase.root_ops, phase.root_ops_unfinished, phase.root_ops_failed];
            let begun_dead =
                |after: &&AfterDeath| after.root_ops.saturating_add(after.root_ops_unfinished) > 0;
            let Some(after) = phase.after_death.as_ref().filter(begun_dead) else {
                return vec![row(name, phase.seconds, counts, &phase.op_latency_ns)];
            };
            let lived = phase.seconds_all_lived();
            let dead = [after.root_ops, after.root_ops_unfinished, after.root_ops_failed];
            vec![
                row(&format!("{name}, all lived"), lived, counts, &phase.op_latency_ns),
                row(&format!("{name}, one dead"), after.seconds, dead, &after.op_latency_ns),
            ]
        })
        .collect();
    table
}

/// One stretch of a phase: its operations that completed, never did, and failed.
fn row(name: &str, seconds: f64, [completed, unfinished, failed]: [u64; 3], latency: &Latency) -> Vec<Cell> {
    let rate = if seconds > 0.0 { float(completed) / seconds } else { 0.0 };
    let mut row = vec![
        Cell::words(name),
        Cell::number(seconds),
        Cell::count(completed),
        Cell::count(unfinished),
        Cell::count(failed),
        Cell::number(rate.round()),
    ];
    row.extend(
        [Figure::P50, Figure::P99, Figure::P999, Figure::Max].map(|figure| Cell::measured(latency, figure)),
    );
    row
}

/// Processes and threads of commands, a row for each phase that has some; `None` when none has.
pub(super) fn processes(phases: &[Phase]) -> Option<Table> {
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
    let with = phases.iter().filter_map(|phase| Some((phase.kind.name(), phase.processes.as_ref()?)));
    table.rows = with
        .map(|(name, processes)| {
            let measured = |figure| Cell::measured(&processes.lifetime_ns, figure);
            vec![
                Cell::words(name),
                Cell::count(processes.ended),
                Cell::count(processes.unfinished),
                Cell::count(processes.not_started),
                Cell::count(processes.failed),
                measured(Figure::P50),
                measured(Figure::P99),
                measured(Figure::Max),
            ]
        })
        .collect();
    (!table.rows.is_empty()).then_some(table)
}
