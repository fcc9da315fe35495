//! The loads: what each kind opens or runs ([`LoadKind`]), and what all of them have in common ([`Workload`]).
//!
//! A kind is a struct of its own numbers and a line in [`LoadKind`]; its word in lab files and reports, and its form in
//! what is handed to processes and kept in traces, follow from that line.

use serde::{Deserialize, Serialize};
use strum::{IntoStaticStr, VariantNames};

use crate::{Distribution, PhaseKind, Span};

/// One load on the lab: what it does, with how many workers, how fast, how often and in which phases.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Workload {
    /// Threads that make its operations, each one at a time: 1 to 256.
    pub workers: u16,
    /// Closed loop or planned schedule. A command ([`LoadKind::Run`]) is always a closed loop.
    pub rate: Rate,
    /// Stops after this many operations in a phase; `None` goes on until the phase ends.
    pub operations_max: Option<u64>,
    /// The phases in which it runs.
    pub phases: LoadPhases,
    /// What it does.
    pub kind: LoadKind,
}

/// Declares the kinds of loads, and how each is written with what all have in common.
macro_rules! kinds {
    ($( $(#[$meta:meta])* $kind:ident, )*) => {
        /// What a load does.
        #[derive(Clone, Debug, PartialEq, Eq, IntoStaticStr, VariantNames)]
        #[strum(serialize_all = "snake_case")]
        pub enum LoadKind {
            $( $(#[$meta])* $kind($kind), )*
        }

        /// A load as processes are told of it and as traces keep it: the numbers of its kind among the common ones.
        #[derive(Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Written {
            $( $kind(WrittenLoad<$kind>), )*
        }

        impl From<Workload> for Written {
            fn from(load: Workload) -> Written {
                let Workload { workers, rate, operations_max, phases, kind } = load;
                match kind {
                    $( LoadKind::$kind(own) => {
                        let rate = own.has_rate().then_some(rate);
                        Written::$kind(WrittenLoad { workers, own, rate, operations_max, phases })
                    } )*
                }
            }
        }

        impl From<Written> for Workload {
            fn from(written: Written) -> Workload {
                match written {
                    $( Written::$kind(WrittenLoad { workers, own, rate, operations_max, phases }) => {
                        let (rate, kind) = (rate.unwrap_or(Rate::Max), LoadKind::$kind(own));
                        Workload { workers, rate, operations_max, phases, kind }
                    } )*
                }
            }
        }
    };
}

#[derive(Serialize, Deserialize)]
struct WrittenLoad<T> {
    workers: u16,
    #[serde(flatten)]
    own: T,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rate: Option<Rate>,
    operations_max: Option<u64>,
    #[serde(default, skip_serializing_if = "LoadPhases::is_all")]
    phases: LoadPhases,
}

kinds! {
    /// Opens files that are all alike.
    OpenStorm,
    /// Opens, writes to and creates files of many kinds.
    FileMix,
    /// Opens the files of a recorded list, in its order.
    OpenList,
    /// Runs programs.
    ExecStorm,
    /// Runs programs that run programs.
    ExecTree,
    /// Runs a command of the user's.
    Run,
}

/// What the kinds of loads tell of themselves. What is not said holds for all but a few.
trait Load {
    /// True unless its pace is its own.
    fn has_rate(&self) -> bool {
        true
    }
}

impl Load for OpenStorm {}
impl Load for FileMix {}
impl Load for OpenList {}
impl Load for ExecStorm {}
impl Load for ExecTree {}
impl Load for Run {
    fn has_rate(&self) -> bool {
        false
    }
}

/// The phases in which a load runs: all but the drain, or some of them. The drain has no workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<PhaseKind>", into = "Vec<PhaseKind>")]
pub struct LoadPhases(u8);

impl LoadPhases {
    /// Every phase that has a workload.
    pub const ALL: LoadPhases = LoadPhases(0b1111);

    /// True when it is every phase that has a workload.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.0 == LoadPhases::ALL.0
    }

    /// True when the load runs in this phase.
    #[must_use]
    pub const fn contains(self, phase: PhaseKind) -> bool {
        LoadPhases::ALL.0 & self.0 & 1 << phase.place() != 0
    }

    /// The phases, in the order of a run.
    pub fn iter(self) -> impl Iterator<Item = PhaseKind> {
        PhaseKind::ALL.into_iter().filter(move |phase| self.contains(*phase))
    }
}

impl Default for LoadPhases {
    fn default() -> LoadPhases {
        LoadPhases::ALL
    }
}

impl FromIterator<PhaseKind> for LoadPhases {
    fn from_iter<I: IntoIterator<Item = PhaseKind>>(phases: I) -> LoadPhases {
        let bits = phases.into_iter().fold(0, |bits, phase| bits | 1 << phase.place());
        LoadPhases(bits & LoadPhases::ALL.0)
    }
}

impl From<Vec<PhaseKind>> for LoadPhases {
    fn from(phases: Vec<PhaseKind>) -> LoadPhases {
        phases.into_iter().collect()
    }
}

impl From<LoadPhases> for Vec<PhaseKind> {
    fn from(phases: LoadPhases) -> Vec<PhaseKind> {
        phases.iter().collect()
    }
}

/// Opens and closes files of the arena.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenStorm {
    /// Files in the arena: 1 to 1,000,000.
    pub files: u32,
    /// The folder below the arena that holds them; relative, without `..`.
    pub directory: String,
    /// Bytes in each file.
    pub file_bytes: u32,
}

/// Opens files of a tree of folders: to read, to write, or to create a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMix {
    /// Files in the arena: 1 to 1,000,000.
    pub files: u32,
    /// The folder below the arena that holds them all; relative, without `..`.
    pub directory: String,
    /// Folders that hold the files: 1 to 10,000.
    pub directories: u32,
    /// How deep these lie below `directory`: 1 to 8.
    pub depth: u8,
    /// Bytes in a file, drawn for each; at most 1 GiB.
    pub file_bytes: Distribution<u32>,
    /// The endings of the files' names, without the dot, one after the other; at least one.
    pub extensions: Vec<String>,
    /// How many of all opens only read.
    pub read: u32,
    /// How many open a file to write to it, and write.
    pub write: u32,
    /// How many create a new file, which is removed again at once.
    pub create: u32,
}

/// Opens files one after the other as a list has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenList {
    /// The paths, relative, in the order in which they are opened; at least one, and one may come again.
    pub paths: Vec<String>,
    /// The folder below the arena in which they are made again; relative, without `..`.
    pub directory: String,
    /// Bytes in a file, drawn for each; at most 1 GiB.
    pub file_bytes: Distribution<u32>,
}

/// Runs programs from the arena.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecStorm {
    /// The program to run.
    pub program: ExecProgram,
}

/// Runs trees of processes: each runs `fanout` more, `depth` levels deep, and waits for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecTree {
    /// Programs that each program runs: 1 to 100.
    pub fanout: u32,
    /// Levels below the root: 0 to 8.
    pub depth: u32,
}

impl ExecTree {
    /// The most programs one tree may consist of.
    pub const EXECS_MAX: u64 = 10_000;

    /// The programs that one tree consists of.
    #[must_use]
    pub fn execs(&self) -> u64 {
        let levels = (0..=self.depth).map(|level| u64::from(self.fanout).saturating_pow(level));
        levels.fold(0, u64::saturating_add)
    }
}

/// Runs a command of the user's own inside the lab's namespaces. Linux only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The program, found as a shell finds it, and its arguments; at least the program.
    pub command: Vec<String>,
    /// Its working directory below the arena, made before anything watches it; `None` for the arena itself.
    pub directory: Option<String>,
}

impl LoadKind {
    /// The words of all kinds, in the order of the documentation.
    pub const NAMES: &'static [&'static str] = LoadKind::VARIANTS;

    /// The word in lab files and reports.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.into()
    }
}

impl Workload {
    /// The threads of all loads of a lab together: what the board of the driver's trace has room for.
    pub const WORKERS_MAX: usize = 1024;

    /// A load of one worker in a closed loop that goes on until each phase ends.
    #[must_use]
    pub const fn of(kind: LoadKind) -> Workload {
        Workload { workers: 1, rate: Rate::Max, operations_max: None, phases: LoadPhases::ALL, kind }
    }

    /// Files that it opens, by their place; 0 for a load that runs programs.
    #[must_use]
    pub fn files(&self) -> u32 {
        match &self.kind {
            LoadKind::OpenStorm(storm) => storm.files,
            LoadKind::FileMix(mix) => mix.files,
            LoadKind::OpenList(list) => u32::try_from(list.paths.len()).unwrap_or(u32::MAX),
            LoadKind::ExecStorm(_) | LoadKind::ExecTree(_) | LoadKind::Run(_) => 0,
        }
    }

    /// The folder that its files lie in, relative to the arena; `None` for a load that opens none.
    #[must_use]
    pub fn directory(&self) -> Option<&str> {
        match &self.kind {
            LoadKind::OpenStorm(storm) => Some(&storm.directory),
            LoadKind::FileMix(mix) => Some(&mix.directory),
            LoadKind::OpenList(list) => Some(&list.directory),
            LoadKind::ExecStorm(_) | LoadKind::ExecTree(_) | LoadKind::Run(_) => None,
        }
    }

    /// True for a load that runs programs.
    #[must_use]
    pub const fn runs_programs(&self) -> bool {
        matches!(self.kind, LoadKind::ExecStorm(_) | LoadKind::ExecTree(_) | LoadKind::Run(_))
    }
}

/// The programs the lab can run; all of them end at once with status 0.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ExecProgram {
    /// Statically linked, a few hundred bytes: two AUTH events a client on fanotify.
    Static,
    /// Dynamically linked against the machine's C library: five AUTH events a client on fanotify.
    Dynamic,
    /// A script (`#!`) whose interpreter is dynamically linked and opens it: eight AUTH events a client on
    /// fanotify.
    Script,
}

/// How fast a load runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rate {
    /// Closed loop: the next operation starts when the last one ended.
    Max,
    /// Open loop: this many operations a second over all workers, on a planned schedule; latency counts from
    /// the planned start.
    PerSecond(u32),
    /// Open loop: this many operations at once, again and again.
    Burst {
        /// Operations with the same planned start.
        operations: u32,
        /// From one burst to the next.
        every: Span,
    },
    /// Open loop: the rate grows (or shrinks) evenly over the phase.
    Ramp {
        /// Operations a second at the phase's start.
        from: u32,
        /// Operations a second at its end.
        to: u32,
    },
    /// Open loop, step by step: each lasts the same part of the phase at a rate of its own.
    Knee(Knee),
}

/// Rates to be tried one after the other, each a constant factor above the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knee {
    /// Operations a second in the first step.
    pub from: u32,
    /// Operations a second in the last one; more than in the first.
    pub to: u32,
    /// How many steps: 2 to [`Knee::STEPS_MAX`].
    pub steps: u16,
}

impl Knee {
    /// The most steps.
    pub const STEPS_MAX: u16 = 64;

    /// Operations a second in this step, the first of which is 0.
    #[must_use]
    pub fn rate(&self, step: u16) -> u32 {
        let (from, last) = (f64::from(self.from.max(1)), self.steps.max(2) - 1);
        if step >= last {
            return self.to;
        }
        let share = f64::from(step) / f64::from(last);
        let rate = from * libm::exp(share * libm::log(f64::from(self.to.max(1)) / from));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast saturates")]
        let rate = rate.round() as u32;
        rate
    }

    /// How long each step lasts in a phase of this length.
    #[must_use]
    pub fn step(&self, phase: Span) -> Span {
        Span::from_nanos(phase.nanos() / u64::from(self.steps.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_steps_of_a_knee_grow_by_one_factor() {
        let knee = Knee { from: 500, to: 8000, steps: 5 };
        let rates: Vec<u32> = (0..5).map(|step| knee.rate(step)).collect();
        assert_eq!(rates, [500, 1000, 2000, 4000, 8000]);
        assert_eq!(knee.step(Span::from_secs(10)), Span::from_secs(2));
    }

    #[test]
    fn a_tree_is_the_sum_of_its_levels() {
        let tree = |fanout, depth| ExecTree { fanout, depth }.execs();
        assert_eq!([tree(3, 0), tree(3, 2), tree(1, 4), tree(2, 3)], [1, 13, 5, 15]);
        assert!(tree(100, 8) > ExecTree::EXECS_MAX);
    }

    #[test]
    fn a_load_is_kept_as_it_always_was() {
        let tree = |load: Workload| Workload { workers: 3, operations_max: Some(7), ..load };
        let load = tree(Workload::of(LoadKind::ExecTree(ExecTree { fanout: 2, depth: 1 })));
        let kept = r#"{"exec_tree":{"workers":3,"fanout":2,"depth":1,"rate":"max","operations_max":7}}"#;
        assert_eq!(serde_json::to_string(&load).unwrap(), kept);
        assert_eq!(serde_json::from_str::<Workload>(kept).unwrap(), load);
        let run = Run { command: vec!["true".to_owned()], directory: None };
        let kept = r#"{"run":{"workers":1,"command":["true"],"directory":null,"operations_max":null}}"#;
        assert_eq!(serde_json::to_string(&Workload::of(LoadKind::Run(run))).unwrap(), kept);
    }

    #[test]
    fn a_load_runs_in_the_phases_that_it_names_and_never_in_the_drain() {
        let phases: LoadPhases =
            [PhaseKind::Storm, PhaseKind::Control, PhaseKind::Drain].into_iter().collect();
        let named: Vec<PhaseKind> = phases.iter().collect();
        assert_eq!(named, [PhaseKind::Control, PhaseKind::Storm]);
        assert!(!LoadPhases::ALL.contains(PhaseKind::Drain) && !phases.is_all());
        let kind = LoadKind::ExecTree(ExecTree { fanout: 2, depth: 1 });
        let text = serde_json::to_string(&Workload { phases, ..Workload::of(kind) }).unwrap();
        assert!(text.ends_with(r#""phases":["control","storm"]}}"#), "{text}");
        assert_eq!(serde_json::from_str::<Workload>(&text).unwrap().phases, phases);
    }
}
