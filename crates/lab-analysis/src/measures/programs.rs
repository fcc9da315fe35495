//! The programs that clients were asked about, by signature, where the kernel tells of it: Endpoint Security only.

use std::collections::{BTreeMap, BTreeSet};

use lab_model::{Bounded, ProcessId, Total};

use crate::{
    findings::{Findings, Program},
    measure::{Closing, Measure},
    participants::processes::Processes,
    pass::facts::{ReadDecision, Scope},
};

/// What was counted about one program.
#[derive(Clone, Debug, Default)]
struct Counted {
    processes: BTreeSet<ProcessId>,
    by_column: Vec<u64>,
}

/// Decisions by the program that they were about.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProgramsTally {
    counted: BTreeMap<usize, Counted>,
    /// Decisions about processes whose program nobody told of.
    pub(crate) unsigned: u64,
}

impl ProgramsTally {
    /// Counts a decision about a process, in the column of its cause.
    fn count(&mut self, processes: &Processes, process: ProcessId, column: usize) {
        if processes.is_empty() {
            return;
        }
        let Some(program) = processes.program(process) else {
            self.unsigned.raise(1);
            return;
        };
        let counted = self.counted.entry(program).or_default();
        counted.processes.insert(process);
        if counted.by_column.len() <= column {
            counted.by_column.resize(column.saturating_add(1), 0);
        }
        counted.by_column[column].raise(1);
    }
}

impl Measure for ProgramsTally {
    fn of(_: &Scope<'_>) -> Self {
        ProgramsTally::default()
    }

    fn decision_read(&mut self, read: &ReadDecision<'_>, scope: &Scope<'_>) {
        if read.counted {
            let subject = &read.decision.begin.subject;
            let process = ProcessId { pid: subject.pid, version: subject.generation };
            self.count(scope.processes, process, read.entry.column);
        }
    }

    /// The programs that were asked about, those of the most decisions first. With records missing, what looks external
    /// may be the lab's, as in the cause matrix.
    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        let Scope { roster, processes, .. } = closing.scope;
        let lossy = closing.losses.lost > 0;
        let mut programs: Vec<Program> = self
            .counted
            .iter()
            .map(|(&place, counted)| {
                let signed = processes.signed(place);
                let mut under: BTreeMap<usize, u64> = BTreeMap::new();
                for (column, &decisions) in counted.by_column.iter().enumerate().filter(|&(_, &n)| n > 0) {
                    let column =
                        if lossy && column == roster.external() { roster.unexplained() } else { column };
                    under.entry(column).or_default().raise(decisions);
                }
                Program {
                    signing_id: signed.signing_id(),
                    team_id: signed.team_id(),
                    cdhash: signed.cdhash.iter().map(|byte| format!("{byte:02x}")).collect(),
                    is_es_client: signed.is_es_client,
                    processes: counted.processes.len() as u64,
                    decisions: counted.by_column.iter().total(),
                    under: under
                        .into_iter()
                        .map(|(column, decisions)| (roster.columns[column].name.clone(), decisions))
                        .collect(),
                    started_by: starters(processes, place, counted),
                }
            })
            .collect();
        programs.sort_by(|a, b| b.decisions.cmp(&a.decisions).then_with(|| a.cdhash.cmp(&b.cdhash)));
        findings.programs = programs;
    }
}

/// The other programs whose processes started this one's.
fn starters(processes: &Processes, program: usize, counted: &Counted) -> Vec<String> {
    let starter = |process: &ProcessId| {
        let of = |ancestor: ProcessId| processes.program(ancestor).filter(|&other| other != program);
        processes.ancestors(*process).find_map(of)
    };
    let starters: BTreeSet<usize> = counted.processes.iter().filter_map(starter).collect();
    starters.into_iter().map(|place| processes.name(place)).collect()
}
