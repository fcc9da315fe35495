//! Commands that try a lab in virtual time, or many times over.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    ops::RangeInclusive,
    path::PathBuf,
};

use clap::{Args, ValueEnum};
use lab_model::{BackendChoice, Kernel};
use lab_sim::EsCache;

use super::words::{backend, kernel, seeds};

/// `lab sim`.
#[derive(Debug, Args)]
#[command(
    after_help = "One run ends with the exit codes of `lab up`; many with 0, because they are only counted. With --find, the exit code is \
                        0 when a seed shows it and 1 when none does."
)]
pub(crate) struct Sim {
    /// A lab of `lab-configs`, or a path.
    pub(crate) name: String,
    /// Whose rules; by default those of this machine's kernel, or of the run of --from.
    #[arg(long, value_parser = kernel())]
    pub(crate) rules: Option<Kernel>,
    /// Takes the machine's costs from the traces of a live run. Given several times: of the runs of one lab the median
    /// of each figure, and from other labs what those show. `calibration`: all runs of the labs that are there for it.
    #[arg(long, value_name = "RUN")]
    pub(crate) from: Vec<String>,
    /// Which clients a cached AUTH result applies to; Apple does not document it.
    #[arg(long, default_value = "own")]
    pub(crate) es_cache: EsCacheOf,
    /// Another seed than the lab file names.
    #[arg(long, conflicts_with = "seeds")]
    pub(crate) seed: Option<u64>,
    /// Runs once for each seed from A to B.
    #[arg(long, value_name = "A..B", value_parser = seeds)]
    pub(crate) seeds: Option<RangeInclusive<u64>>,
    /// Stops at the lowest seed that shows this.
    #[arg(long, requires = "seeds")]
    pub(crate) find: Option<Find>,
    /// Draws every client's settings anew with each seed: concurrency, extra opens, budget, whom and when it
    /// reacts to, caching and the peer check.
    #[arg(long, requires = "find")]
    pub(crate) swarm: bool,
    /// A run of a search ends after this many decisions, and then shows nothing.
    #[arg(long, default_value_t = 2_000_000, value_name = "COUNT")]
    pub(crate) decisions_max: u64,
    /// Writes the lab of the hit to this file, as its switches were thrown.
    #[arg(long, value_name = "FILE", requires = "swarm")]
    pub(crate) output: Option<PathBuf>,
    /// Threads; by default one a processor. The result is the same with any number.
    #[arg(long, value_name = "COUNT")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Prints the whole report, as `lab up --full` does.
    #[arg(long, conflicts_with_all = ["seeds", "json"])]
    pub(crate) full: bool,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab sweep`.
#[derive(Debug, Args)]
pub(crate) struct Sweep {
    /// A lab of `lab-configs`, or a path.
    pub(crate) name: String,
    /// A setting and its values, such as clients=1..12 or concurrency=1,4,16. Settings: clients, concurrency,
    /// extra_opens, react_to, when, workers, deadline.
    #[arg(long, required = true, value_name = "SETTING=VALUES")]
    pub(crate) vary: Vec<String>,
    /// Where: the simulator (the default, on all processors), or a live kernel, one run after another.
    #[arg(long, value_parser = backend())]
    pub(crate) backend: Option<BackendChoice>,
    /// Whose rules the simulator follows; by default those of this machine's kernel.
    #[arg(long, value_parser = kernel())]
    pub(crate) rules: Option<Kernel>,
    /// Writes the matrix as jobs for this engine, each run of a cell one `lab up`, and runs nothing.
    #[arg(long)]
    pub(crate) emit: Option<Engine>,
    /// The folder for results and picture, or for what --emit writes; by default in the run store, or
    /// `sweep-LAB` here. A sweep that finds results there runs only what is missing.
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Runs of every combination, each with a seed of its own.
    #[arg(long, default_value = "3", value_name = "COUNT")]
    pub(crate) trials: NonZeroU32,
    /// Threads; by default one a processor. The result is the same with any number.
    #[arg(long, value_name = "COUNT")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab merge`.
#[derive(Debug, Args)]
#[command(after_help = "The exit code is 2 when runs are missing.")]
pub(crate) struct Merge {
    /// The folder that `lab sweep --emit` wrote, and those with the run stores of its jobs.
    #[arg(required = true, value_name = "DIR")]
    pub(crate) folders: Vec<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who runs the jobs of a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// A workflow with a job matrix.
    GithubActions,
    /// An indexed Job.
    Kubernetes,
}

/// `lab ladder`.
#[derive(Debug, Args)]
pub(crate) struct Ladder {
    /// A lab of `lab-configs`, or a path.
    pub(crate) name: String,
    /// Whose rules; by default those of this machine's kernel.
    #[arg(long, value_parser = kernel())]
    pub(crate) rules: Option<Kernel>,
    /// Runs of every rung, each with a seed of its own.
    #[arg(long, default_value = "3", value_name = "COUNT")]
    pub(crate) trials: NonZeroU32,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `lab minimize`.
#[derive(Debug, Args)]
#[command(after_help = "The exit code is 1 when the lab as it is does not show it.")]
pub(crate) struct Minimize {
    /// A lab of `lab-configs`, a path to a lab file, or a run.
    pub(crate) lab: String,
    /// What the smaller lab must still show; by default what the lab itself shows.
    #[arg(long)]
    pub(crate) find: Option<Find>,
    /// Whose rules; by default those of this machine's kernel, or of the run.
    #[arg(long, value_parser = kernel())]
    pub(crate) rules: Option<Kernel>,
    /// Another seed than the lab file names.
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// The most simulated runs.
    #[arg(long, default_value_t = 500, value_name = "COUNT")]
    pub(crate) runs_max: u32,
    /// The file for the lab; standard output without one.
    #[arg(long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// `lab conform`.
#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 the two agree and every expectation holds on both · 1 an outcome or an exact law differs, or an \
expectation failed · 2 an expectation cannot be told · 77 this machine can run no lab"
)]
pub(crate) struct Conform {
    /// Labs of `lab-configs`, or paths; all labs without one.
    pub(crate) names: Vec<String>,
    /// Phases of a second and less, and one round: the whole gallery in a few minutes.
    #[arg(long)]
    pub(crate) short: bool,
    /// Live runs of each lab.
    #[arg(long, default_value = "3", value_name = "COUNT")]
    pub(crate) rounds: NonZeroU32,
    /// Runs nothing: takes the live runs that this run store holds.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["short", "rounds"])]
    pub(crate) recorded: Option<PathBuf>,
    /// The lab from whose live runs the machine's costs are taken; by default those that are there for it, in the
    /// folder `calibration` beside the labs, which are not compared themselves.
    #[arg(long, value_name = "LAB")]
    pub(crate) from: Option<String>,
    /// Writes conformance.md and conformance.json into this folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What a search looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Find {
    /// Clients waited for each other in a circle.
    Deadlocked,
    /// A decision missed its deadline.
    Missed,
    /// The cascades feed themselves.
    Divergent,
}

/// Whom a kept answer serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EsCacheOf {
    /// The client that gave it.
    Own,
    /// Every client.
    Shared,
}

impl From<EsCacheOf> for EsCache {
    fn from(of: EsCacheOf) -> EsCache {
        match of {
            EsCacheOf::Own => EsCache::Own,
            EsCacheOf::Shared => EsCache::Shared,
        }
    }
}
