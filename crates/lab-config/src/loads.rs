//! Loads as they are written: the list of kinds, a file each, and what all of them have in common: workers, rate, an end,
//! and the phases in which they run.
//!
//! A kind is a file below this folder, a line in the list here, and a line and a struct in `lab_model::LoadKind`.

use std::{
    borrow::Cow,
    fmt::{self, Write},
};

use lab_model::{Expectation, LoadKind, LoadPhases, PhaseKind, Rate, Safety, Workload, file_bytes};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    diagnostic::Diagnostic,
    limits::Beside,
    rate::{RawKnee, RawRate, hold, rate, write_rate},
    read::{At, Field, List, Problems, Read, listed, records},
    scalar::{Bounded, Choice, read_choice},
    tree::{Node, Value},
};

/// The bytes a file takes up in the arena at least, and is rounded up to.
const ARENA_PAGE_BYTES: u64 = 4096;

/// The common fields of a load, as they are written.
struct Common<'a> {
    workers: &'a Field<Bounded<1, 256>>,
    /// The rate and its knee; `None` for a load that has a pace of its own.
    rate: Option<(&'a Field<RawRate>, &'a Field<RawKnee>)>,
    operations_max: &'a Field<Bounded<1, { u64::MAX }>>,
    phases: &'a Field<List<LoadPhase>>,
}

/// What every kind of load has; [`load!`] writes it.
trait Fields {
    fn common(&self) -> Common<'_>;
}

/// One kind of load.
trait Kind: Fields + Sized {
    /// Its workers when nothing is written.
    const WORKERS: u16;
    /// Its operations in a phase when nothing is written; `None` for no end.
    const OPERATIONS_MAX: Option<u64> = None;

    /// What it does, from its own fields; `None` when they are so wrong that nothing is left of it. `beside` reads a file
    /// that it names.
    fn resolve(at: &At<Self>, beside: &Beside<'_>, problems: &mut Problems<'_>) -> Option<LoadKind>;

    /// Writes its own fields, each on a line, so that they read back as the same load.
    fn write(kind: &LoadKind, out: &mut String) -> fmt::Result;
}

/// Declares the mapping of one kind of load: its own fields, and the common ones with what they mean to it.
macro_rules! load {
    (
        $(#[$meta:meta])* $what:literal $name:ident { $($own:tt)* }
        $(#[$workers:meta])* workers;
        $(#[$rate:meta])* rate;
        $(#[$most:meta])* operations_max;
    ) => {
        $crate::read::records! {
            $(#[$meta])*
            $what $name {
                $(#[$workers])*
                workers [default]: $crate::scalar::Bounded<1, 256>,
                $($own)*
                $(#[$rate])*
                #[schemars(extend("default" = "max"))]
                rate [default]: $crate::rate::RawRate,
                /// Raises the rate step by step over the phase, in place of `rate`.
                find_knee [default]: $crate::rate::RawKnee,
                $(#[$most])*
                operations_max [default]: $crate::scalar::Bounded<1, { u64::MAX }>,
                /// The phases in which it runs. Left out, all but the drain. Figures of two phases compare like with like
                /// only where the same loads run in both.
                #[schemars(extend("minItems" = 1))]
                phases [default]: $crate::read::List<$crate::loads::LoadPhase>,
            }
        }
        load! { @fields $name self Some((&self.rate, &self.find_knee)) }
    };
    (
        $(#[$meta:meta])* $what:literal $name:ident { $($own:tt)* }
        $(#[$workers:meta])* workers;
        $(#[$most:meta])* operations_max;
    ) => {
        $crate::read::records! {
            $(#[$meta])*
            $what $name {
                $($own)*
                $(#[$workers])*
                workers [default]: $crate::scalar::Bounded<1, 256>,
                $(#[$most])*
                operations_max [default]: $crate::scalar::Bounded<1, { u64::MAX }>,
                /// The phases in which it runs. Left out, all but the drain. Figures of two phases compare like with like
                /// only where the same loads run in both.
                #[schemars(extend("minItems" = 1))]
                phases [default]: $crate::read::List<$crate::loads::LoadPhase>,
            }
        }
        load! { @fields $name self None }
    };
    (@fields $name:ident $self:ident $rate:expr) => {
        impl $crate::loads::Fields for $name {
            fn common(&$self) -> $crate::loads::Common<'_> {
                $crate::loads::Common {
                    workers: &$self.workers,
                    rate: $rate,
                    operations_max: &$self.operations_max,
                    phases: &$self.phases,
                }
            }
        }
    };
}

/// Declares the list of the kinds: the mapping that has exactly one of them, and how each is read and written.
macro_rules! kinds {
    ($( $(#[$meta:meta])* $word:ident $kind:ident, )*) => {
        records! {
            /// One load; exactly one of its keys.
            #[schemars(rename = "Workload", extend("minProperties" = 1, "maxProperties" = 1))]
            "a load" RawWorkload {
                $( $(#[$meta])* $word [default]: $word::$kind, )*
            }
        }

        impl RawWorkload {
            /// Whether each kind is there, in the order of the list; `None` for one that is wrong.
            fn given(&self) -> Vec<Option<bool>> {
                vec![$(match &self.$word {
                    Field::Absent => Some(false),
                    Field::Bad => None,
                    Field::Given(_) => Some(true),
                }),*]
            }

            fn common(&self) -> Option<Common<'_>> {
                $( if let Some(load) = self.$word.value() {
                    return Some(Fields::common(load));
                } )*
                None
            }

            fn resolve(&self, beside: &Beside<'_>, problems: &mut Problems<'_>) -> Option<Workload> {
                $( if let Some(at) = self.$word.given() {
                    return resolve(at, beside, problems);
                } )*
                None
            }
        }

        fn write_own(kind: &LoadKind, out: &mut String) -> fmt::Result {
            match kind {
                $( LoadKind::$kind(_) => <$word::$kind as Kind>::write(kind, out), )*
            }
        }
    };
}

mod exec_storm;
mod exec_tree;
mod file_mix;
mod open_list;
mod open_storm;
mod run;

kinds! {
    /// Opens and closes files of the arena.
    open_storm OpenStorm,
    /// Opens files of many folders, sizes and endings: to read, to write, or to create.
    file_mix FileMix,
    /// Opens the files of a recorded list, in its order.
    open_list OpenList,
    /// Runs programs from the arena.
    exec_storm ExecStorm,
    /// Runs programs that run programs.
    exec_tree ExecTree,
    /// Runs a command of your own.
    run Run,
}

/// A phase in which a load can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LoadPhase(PhaseKind);

impl Choice for LoadPhase {
    const WHAT: &'static str = "a phase with a workload";

    fn words() -> Vec<(&'static str, LoadPhase)> {
        LoadPhases::ALL.iter().map(|phase| (phase.name(), LoadPhase(phase))).collect()
    }
}

impl Read for LoadPhase {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<LoadPhase> {
        let words: Vec<&str> = LoadPhases::ALL.iter().map(PhaseKind::name).collect();
        if let Value::Text(text) = &node.value
            && text == PhaseKind::Drain.name()
        {
            let diagnostic = Diagnostic::new(node.place.clone(), "no load runs in the drain")
                .label("it waits for what is under way")
                .help(format!("write one or more of {}", listed(&words)));
            problems.add(diagnostic);
            return None;
        }
        read_choice(node, problems)
    }
}

impl JsonSchema for LoadPhase {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "LoadPhase".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words: Vec<&str> = LoadPhases::ALL.iter().map(PhaseKind::name).collect();
        json_schema!({ "type": "string", "enum": words })
    }
}

/// The loads of a lab.
pub(crate) fn workloads(
    field: &Field<List<RawWorkload>>,
    safety: &Safety,
    beside: &Beside<'_>,
    problems: &mut Problems<'_>,
) -> Vec<Workload> {
    let Some(list) = field.given() else { return Vec::new() };
    if list.value.items.is_empty() {
        let diagnostic = Diagnostic::new(list.place.clone(), "a lab has at least one load")
            .label("nothing drives the lab")
            .help("add for example `- open_storm: {}`");
        problems.add(diagnostic);
    }
    let workload: Vec<Workload> =
        list.value.items.iter().filter_map(|at| one(at, beside, problems)).collect();
    let knees = workload.iter().filter(|load| matches!(load.rate, Rate::Knee(_))).count();
    if knees > 1 {
        let diagnostic = Diagnostic::new(list.place.clone(), "one lab looks for one knee")
            .label("two loads have `find_knee`")
            .help("give the others a fixed `rate`");
        problems.add(diagnostic);
    }
    if !workload.is_empty() && !workload.iter().any(|load| load.phases.contains(PhaseKind::Storm)) {
        let diagnostic = Diagnostic::new(list.place.clone(), "the storm has no load")
            .label("none of the loads runs in it")
            .help("add `storm` to the `phases` of a load, or leave them out");
        problems.add(diagnostic);
    }
    let bytes = workload.iter().map(arena_bytes).fold(0, u64::saturating_add);
    if bytes > safety.arena_bytes_max {
        let message = format!("the files take {bytes} bytes, the arena holds {}", safety.arena_bytes_max);
        let diagnostic = Diagnostic::new(list.place.clone(), message)
            .label("more than `safety.arena_bytes_max`")
            .help("fewer or smaller files, or raise `arena_bytes_max` under `safety`");
        problems.add(diagnostic);
    }
    workload
}

fn arena_bytes(workload: &Workload) -> u64 {
    (0..workload.files())
        .map(|file| u64::from(file_bytes(workload, file)).next_multiple_of(ARENA_PAGE_BYTES))
        .fold(0, u64::saturating_add)
}

fn one(at: &At<RawWorkload>, beside: &Beside<'_>, problems: &mut Problems<'_>) -> Option<Workload> {
    let given: Option<Vec<bool>> = at.value.given().into_iter().collect();
    let message = match given?.into_iter().filter(|given| *given).count() {
        0 => "a load names what it does",
        1 => return at.value.resolve(beside, problems),
        _ => "one load cannot be two",
    };
    let (last, others) = LoadKind::NAMES.split_last()?;
    let diagnostic = Diagnostic::new(at.place.clone(), message)
        .label(format!("expected one of {} and `{last}`", listed(others)))
        .help("give each load an item of its own: `- open_storm: {}`");
    problems.add(diagnostic);
    None
}

fn resolve<K: Kind>(at: &At<K>, beside: &Beside<'_>, problems: &mut Problems<'_>) -> Option<Workload> {
    let kind = K::resolve(at, beside, problems)?;
    let common = at.value.common();
    let most = common.operations_max.value().map(|most| most.0);
    Some(Workload {
        workers: common.workers.value().map_or(K::WORKERS, |workers| workers.get()),
        rate: common.rate.map_or(Rate::Max, |(written, knee)| rate(written, knee, problems)),
        operations_max: most.or(K::OPERATIONS_MAX),
        phases: phases(&common, problems),
        kind,
    })
}

fn phases(common: &Common<'_>, problems: &mut Problems<'_>) -> LoadPhases {
    let Some(list) = common.phases.given() else { return LoadPhases::ALL };
    if !list.value.complete {
        // What is misspelt in it is a mistake already; what it leaves out is not known.
        return LoadPhases::ALL;
    }
    let phases: LoadPhases = list.value.items.iter().map(|at| at.value.0).collect();
    if list.value.items.is_empty() {
        let diagnostic = Diagnostic::new(list.place.clone(), "a load that runs in no phase does nothing")
            .label("expected at least one phase")
            .help("write for example `[storm]`, or leave it out");
        problems.add(diagnostic);
    }
    let knee = common.rate.and_then(|(_, knee)| knee.given());
    if let (Some(knee), false) = (knee, phases.contains(PhaseKind::Storm)) {
        let diagnostic = Diagnostic::new(list.place.clone(), "a knee is looked for in the storm")
            .label("the load does not run in it")
            .related(knee.place.clone(), "looked for here")
            .help("add `storm`, or leave `phases` out");
        problems.add(diagnostic);
    }
    phases
}

/// What the steps of the knee must hold that the lab looks for.
pub(crate) fn knee_holds(
    field: &Field<List<RawWorkload>>,
    clients: Option<&[String]>,
    problems: &mut Problems<'_>,
) -> Vec<Expectation> {
    let loads = field.value().into_iter().flat_map(|list| &list.items);
    let mut knees = loads.filter_map(|load| load.value.common()?.rate?.1.value());
    knees.next().map_or_else(Vec::new, |knee| hold(knee, clients, problems))
}

/// Writes a load as an item of the list.
pub(crate) fn write_workload(out: &mut String, load: &Workload, hold: &[Expectation]) -> fmt::Result {
    writeln!(out, "  - {}:", load.kind.name())?;
    writeln!(out, "      workers: {}", load.workers)?;
    write_own(&load.kind, out)?;
    if !matches!(load.kind, LoadKind::Run(_)) {
        write_rate(out, load.rate, hold)?;
    }
    if let Some(max) = load.operations_max {
        writeln!(out, "      operations_max: {max}")?;
    }
    if load.phases.is_all() {
        return Ok(());
    }
    let phases: Vec<&str> = load.phases.iter().map(PhaseKind::name).collect();
    writeln!(out, "      phases: [{}]", phases.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Limits, parse, to_yaml};

    fn lab(load: &str) -> String {
        format!("{{schema: 1, name: l, clients: [{{id: a}}], workload: [{{{load}}}]}}")
    }

    /// Checks what a load means, and that it means the same when it is written out.
    pub(super) fn check(written: &str, expected: &Workload) {
        let read = parse("l.yaml", lab(written), &Limits::default()).unwrap();
        assert_eq!(read.workload.as_slice(), std::slice::from_ref(expected), "{written}");
        let again = parse("l.yaml", to_yaml(&read), &Limits::default()).unwrap();
        assert_eq!(again.workload, read.workload, "{written}");
    }

    fn refused(loads: &str, why: &str) {
        let report = parse("l.yaml", lab(loads), &Limits::default()).unwrap_err();
        let found: Vec<&str> = report.diagnostics.iter().map(|found| found.message.as_str()).collect();
        assert_eq!(found, [why], "{loads}");
    }

    #[test]
    fn a_load_runs_in_the_phases_that_it_names() {
        let named = |loads: &str| {
            let lab = parse("l.yaml", lab(loads), &Limits::default()).unwrap();
            lab.workload.iter().map(|load| load.phases.iter().collect()).collect::<Vec<Vec<PhaseKind>>>()
        };
        let storm = vec![PhaseKind::Storm];
        assert_eq!(named("run: {command: [make], phases: [storm]}"), std::slice::from_ref(&storm));
        let both = "exec_storm: {phases: [storm]}}, {open_storm: {phases: [storm, baseline]}";
        assert_eq!(named(both), [storm, vec![PhaseKind::Baseline, PhaseKind::Storm]]);
    }

    #[test]
    fn phases_that_mean_nothing_are_refused() {
        refused("open_storm: {phases: [storm, drain]}", "no load runs in the drain");
        refused("open_storm: {phases: [baseline]}", "the storm has no load");
        refused(
            "open_storm: {}}, {open_list: {paths: [a], phases: []}",
            "a load that runs in no phase does nothing",
        );
        let knee = "open_storm: {}}, {open_storm: {find_knee: {from: 1, to: 9}, phases: [control]}";
        refused(knee, "a knee is looked for in the storm");
        refused("open_storm: {phases: [strom]}", "`strom` is not a phase with a workload");
    }
}
