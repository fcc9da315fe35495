//! The programs that the clients were asked about, by their signatures.

use lab_analysis::findings::{Findings, Program};
use lab_model::Total;

use crate::{
    page::{Block, Cell, Column, Section, Table},
    visible::visible,
};
use lab_model::units::{count, counted};

/// The programs that a printed report shows.
const SHOWN: usize = 12;

/// `None` where the kernel tells of no signature.
pub(super) fn programs(findings: &Findings) -> Option<Section> {
    let programs = &findings.programs;
    let first = programs.first()?;
    let decisions: u64 = programs.iter().map(|program| program.decisions).total();
    let entitled: u64 =
        programs.iter().filter(|program| program.is_es_client).map(|program| program.decisions).total();
    let lead = vec![format!(
        "{} were about {}, most of them about {}; {} of them about programs with the Endpoint Security entitlement.",
        counted(decisions, "decision"),
        counted(programs.len() as u64, "program"),
        name(first),
        count(entitled),
    )];
    Some(Section {
        id: "programs",
        title: "Whose programs asked",
        lead,
        blocks: vec![Block::Table(table(programs))],
    })
}

fn name(program: &Program) -> String {
    program.signing_id.as_deref().map_or_else(|| "one without a signature".to_owned(), visible)
}

fn table(programs: &[Program]) -> Table {
    let columns = vec![
        Column::words("signing ID"),
        Column::words("team"),
        Column::words("ES client").hint("has the entitlement, connected or not").wide(),
        Column::numbers("processes").hint("executions that were asked about"),
        Column::numbers("decisions").hint("in storm and drain, over all clients"),
        Column::words("caused by").hint("the decisions by the columns of the cause matrix"),
        Column::words("started by").hint("the programs that started it, as far as they were told"),
    ];
    let mut table = Table::new("Programs by their signature", columns);
    let row = |program: &Program| {
        let under: Vec<String> = program
            .under
            .iter()
            .map(|(column, times)| format!("{} {}", visible(column), count(*times)))
            .collect();
        vec![
            Cell::code(&program.signing_id.as_deref().map_or_else(|| "unsigned".to_owned(), visible)),
            Cell::code(&program.team_id.as_deref().map_or_else(|| "none".to_owned(), visible)),
            Cell::words(if program.is_es_client { "yes" } else { "no" }),
            Cell::count(program.processes),
            Cell::count(program.decisions),
            Cell::words(&under.join(", ")),
            match program.started_by.as_slice() {
                [] => Cell::unknown(),
                starters => Cell::code(&starters.iter().map(|id| visible(id)).collect::<Vec<_>>().join(", ")),
            },
        ]
    };
    table.rows = programs.iter().map(row).collect();
    table.first(SHOWN)
}
