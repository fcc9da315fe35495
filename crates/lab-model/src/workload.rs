use serde::{Deserialize, Serialize};

use crate::{Distribution, Span};

/// One load on the lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workload {
    /// Opens files that are all alike.
    OpenStorm(OpenStorm),
    /// Opens, writes to and creates files of many kinds.
    FileMix(FileMix),
    /// Opens the files of a recorded list, in its order.
    OpenList(OpenList),
    /// Runs programs.
    ExecStorm(ExecStorm),
    /// Runs programs that run programs.
    ExecTree(ExecTree),
    /// Runs a command of the user's.
    Run(Run),
}

/// Opens and closes files of the arena.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenStorm {
    /// Threads that open, each one file at a time: 1 to 256.
    pub workers: u16,
    /// Files in the arena: 1 to 1,000,000.
    pub files: u32,
    /// The folder below the arena that holds them; relative, without `..`.
    pub directory: String,
    /// Bytes in each file.
    pub file_bytes: u32,
    /// Closed loop or planned schedule.
    pub rate: Rate,
    /// Stops after this many operations in a phase; `None` goes on until the phase ends.
    pub operations_max: Option<u64>,
}

/// Opens files of a tree of folders: to read, to write, or to create a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMix {
    /// Threads that open, each one file at a time: 1 to 256.
    pub workers: u16,
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
    /// Closed loop or planned schedule.
    pub rate: Rate,
    /// Stops after this many operations in a phase; `None` goes on until the phase ends.
    pub operations_max: Option<u64>,
}

/// Opens files one after the other as a list has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenList {
    /// Threads that open; they take turns in the list: 1 to 256.
    pub workers: u16,
    /// The paths, relative, in the order in which they are opened; at least one, and one may come again.
    pub paths: Vec<String>,
    /// The folder below the arena in which they are made again; relative, without `..`.
    pub directory: String,
    /// Bytes in a file, drawn for each; at most 1 GiB.
    pub file_bytes: Distribution<u32>,
    /// Closed loop or planned schedule.
    pub rate: Rate,
    /// Stops after this many operations in a phase; `None` goes on until the phase ends.
    pub operations_max: Option<u64>,
}

/// Runs programs from the arena.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecStorm {
    /// Threads that run programs, each one at a time: 1 to 256.
    pub workers: u16,
    /// The program to run.
    pub program: ExecProgram,
    /// Closed loop or planned schedule.
    pub rate: Rate,
    /// Stops after this many operations in a phase; `None` goes on until the phase ends.
    pub operations_max: Option<u64>,
}

/// Runs trees of processes: each runs `fanout` more, `depth` levels deep, and waits for them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecTree {
    /// Threads that run trees, each one at a time: 1 to 256.
    pub workers: u16,
    /// Programs that each program runs: 1 to 100.
    pub fanout: u32,
    /// Levels below the root: 0 to 8.
    pub depth: u32,
    /// Closed loop or planned schedule, of trees.
    pub rate: Rate,
    /// Stops after this many trees in a phase; `None` goes on until the phase ends.
    pub operations_max: Option<u64>,
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
    /// Threads that run it, each once at a time: 1 to 256.
    pub workers: u16,
    /// The program, found as a shell finds it, and its arguments; at least the program.
    pub command: Vec<String>,
    /// Its working directory below the arena, made before anything watches it; `None` for the arena itself.
    pub directory: Option<String>,
    /// Runs it this many times in a phase; `None` goes on until the phase ends.
    pub operations_max: Option<u64>,
}

impl Workload {
    /// The threads of all loads of a lab together: what the board of the driver's trace has room for.
    pub const WORKERS_MAX: usize = 1024;

    /// Threads that make its operations.
    #[must_use]
    pub const fn workers(&self) -> u16 {
        match self {
            Workload::OpenStorm(storm) => storm.workers,
            Workload::FileMix(mix) => mix.workers,
            Workload::OpenList(list) => list.workers,
            Workload::ExecStorm(storm) => storm.workers,
            Workload::ExecTree(tree) => tree.workers,
            Workload::Run(run) => run.workers,
        }
    }

    /// The same, to be changed.
    pub const fn workers_mut(&mut self) -> &mut u16 {
        match self {
            Workload::OpenStorm(storm) => &mut storm.workers,
            Workload::FileMix(mix) => &mut mix.workers,
            Workload::OpenList(list) => &mut list.workers,
            Workload::ExecStorm(storm) => &mut storm.workers,
            Workload::ExecTree(tree) => &mut tree.workers,
            Workload::Run(run) => &mut run.workers,
        }
    }

    /// How fast it runs.
    #[must_use]
    pub const fn rate(&self) -> Rate {
        match self {
            Workload::OpenStorm(storm) => storm.rate,
            Workload::FileMix(mix) => mix.rate,
            Workload::OpenList(list) => list.rate,
            Workload::ExecStorm(storm) => storm.rate,
            Workload::ExecTree(tree) => tree.rate,
            Workload::Run(_) => Rate::Max,
        }
    }

    /// Its limit on operations in a phase.
    #[must_use]
    pub const fn operations_max(&self) -> Option<u64> {
        match self {
            Workload::OpenStorm(storm) => storm.operations_max,
            Workload::FileMix(mix) => mix.operations_max,
            Workload::OpenList(list) => list.operations_max,
            Workload::ExecStorm(storm) => storm.operations_max,
            Workload::ExecTree(tree) => tree.operations_max,
            Workload::Run(run) => run.operations_max,
        }
    }

    /// The same, to be changed.
    pub const fn operations_max_mut(&mut self) -> &mut Option<u64> {
        match self {
            Workload::OpenStorm(storm) => &mut storm.operations_max,
            Workload::FileMix(mix) => &mut mix.operations_max,
            Workload::OpenList(list) => &mut list.operations_max,
            Workload::ExecStorm(storm) => &mut storm.operations_max,
            Workload::ExecTree(tree) => &mut tree.operations_max,
            Workload::Run(run) => &mut run.operations_max,
        }
    }

    /// Files that it opens, by their place; 0 for a load that runs programs.
    #[must_use]
    pub fn files(&self) -> u32 {
        match self {
            Workload::OpenStorm(storm) => storm.files,
            Workload::FileMix(mix) => mix.files,
            Workload::OpenList(list) => u32::try_from(list.paths.len()).unwrap_or(u32::MAX),
            Workload::ExecStorm(_) | Workload::ExecTree(_) | Workload::Run(_) => 0,
        }
    }

    /// True for a load that runs programs.
    #[must_use]
    pub const fn runs_programs(&self) -> bool {
        matches!(self, Workload::ExecStorm(_) | Workload::ExecTree(_) | Workload::Run(_))
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
        let tree = |fanout, depth| {
            ExecTree { workers: 1, fanout, depth, rate: Rate::Max, operations_max: None }.execs()
        };
        assert_eq!([tree(3, 0), tree(3, 2), tree(1, 4), tree(2, 3)], [1, 13, 5, 15]);
        assert!(tree(100, 8) > ExecTree::EXECS_MAX);
    }
}
