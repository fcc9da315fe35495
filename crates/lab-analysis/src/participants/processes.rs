//! Who descends from whom and who signed what, as a kernel told of it: Endpoint Security only.

use std::collections::{BTreeMap, BTreeSet};

use lab_model::{Bounded, External, LifeStep, ProcessFacts, ProcessId, SignedBy, Total};
use lab_trace::Trace;

use crate::{findings::Program, participants::roster::Roster};

/// The most generations that are looked back.
const ANCESTORS_MAX: usize = 64;

/// What is known of one execution.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    /// Its parent, or for an exec the same process before.
    from: Option<ProcessId>,
    program: Option<usize>,
    /// It came out of a fork, and so runs what its parent ran unless it is told otherwise.
    forked: bool,
}

/// What was counted about one program.
#[derive(Clone, Debug, Default)]
struct Counted {
    processes: BTreeSet<ProcessId>,
    by_column: Vec<u64>,
}

/// All processes that any client was told of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Processes {
    known: BTreeMap<ProcessId, Known>,
    programs: Vec<SignedBy>,
    /// The product beside the clients that each program is of.
    products: Vec<Option<usize>>,
    counted: BTreeMap<usize, Counted>,
    /// Decisions about processes whose program nobody told of.
    pub(crate) unsigned: u64,
}

impl Processes {
    /// Reads what the clients were told. They are told the same, so whoever is told more completes the others.
    /// Products are known by their signature; where a lab file knows one by its path too, nothing here is its.
    pub(crate) fn new(traces: &[Trace<'_>], external: &[External]) -> Processes {
        let mut processes = Processes::default();
        let mut places: BTreeMap<SignedBy, usize> = BTreeMap::new();
        for life in traces.iter().flat_map(Trace::lives) {
            if matches!(life.step, LifeStep::Ended | LifeStep::Other(_)) {
                continue;
            }
            let program = life.signed.map(|signed| {
                *places.entry(signed).or_insert_with(|| {
                    processes.programs.push(signed);
                    processes.programs.len().saturating_sub(1)
                })
            });
            let known = processes.known.entry(life.process).or_default();
            // The step that made the process says more than a later look at it: an exec's own past, not its parent.
            known.from = if life.step == LifeStep::Seen { known.from.or(life.from) } else { life.from };
            known.program = known.program.or(program);
            known.forked |= life.step == LifeStep::Forked;
        }
        let product = |signed: &SignedBy| {
            let (signing_id, team_id) = (signed.signing_id(), signed.team_id());
            let facts =
                ProcessFacts { path: None, signing_id: signing_id.as_deref(), team_id: team_id.as_deref() };
            external.iter().position(|product| product.process.fits(&facts))
        };
        processes.products = processes.programs.iter().map(product).collect();
        processes
    }

    /// The product beside the clients that a process is of, by its place in the lab's list.
    pub(crate) fn product(&self, process: ProcessId) -> Option<usize> {
        self.products[self.program(process)?]
    }

    /// True when no client was told of any process.
    pub(crate) fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// The processes that a process descends from, the nearest first; after an exec also itself before.
    pub(crate) fn ancestors(&self, process: ProcessId) -> impl Iterator<Item = ProcessId> + '_ {
        let parent = |process: &ProcessId| self.known.get(process)?.from;
        std::iter::successors(parent(&process), parent).take(ANCESTORS_MAX)
    }

    /// The program that a process runs.
    fn program(&self, process: ProcessId) -> Option<usize> {
        let known = self.known.get(&process)?;
        let inherited = || self.program_of_parent(process);
        known.program.or_else(|| if known.forked { inherited() } else { None })
    }

    fn program_of_parent(&self, process: ProcessId) -> Option<usize> {
        self.ancestors(process).find_map(|ancestor| self.known.get(&ancestor)?.program)
    }

    /// Counts a decision about a process, in the column of its cause.
    pub(crate) fn count(&mut self, process: ProcessId, column: usize) {
        if self.is_empty() {
            return;
        }
        let Some(program) = self.program(process) else {
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

    /// The programs that were asked about, those of the most decisions first. With records missing, what looks external
    /// may be the lab's, as in the cause matrix.
    pub(crate) fn finish(&self, roster: &Roster, lossy: bool) -> Vec<Program> {
        let mut programs: Vec<Program> = self
            .counted
            .iter()
            .map(|(&place, counted)| {
                let signed = &self.programs[place];
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
                    started_by: self.starters(place, counted),
                }
            })
            .collect();
        programs.sort_by(|a, b| b.decisions.cmp(&a.decisions).then_with(|| a.cdhash.cmp(&b.cdhash)));
        programs
    }

    /// The other programs whose processes started this one's.
    fn starters(&self, program: usize, counted: &Counted) -> Vec<String> {
        let starter = |process: &ProcessId| {
            let of = |ancestor: ProcessId| self.program(ancestor).filter(|&other| other != program);
            self.ancestors(*process).find_map(of)
        };
        let starters: BTreeSet<usize> = counted.processes.iter().filter_map(starter).collect();
        let name = |place: usize| self.programs[place].signing_id().unwrap_or_else(|| "unsigned".into());
        starters.into_iter().map(name).collect()
    }
}
