//! What the workload did beside opens and execs of its own, and what it had planned and did not.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Latency;

/// The planned operations of an open loop: `planned = begun + not_begun_late + not_begun_halted`, as far as the driver
/// lived to say so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlannedOps {
    /// Begun and not begun together.
    pub planned: u64,
    /// Begun, however late: these are among `root_ops` and `root_ops_unfinished`.
    pub begun: u64,
    /// Never begun, because the driver was more than a second behind when the phase was over.
    pub not_begun_late: u64,
    /// Never begun, because the phase was halted.
    pub not_begun_halted: u64,
}

/// Processes and threads of commands (`run`), from birth to end. The lab did not write them: how long they last is no
/// latency of an open or an exec, so that it is counted apart.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Lifetimes {
    /// Those that began in the phase and ended.
    pub ended: u64,
    /// Those that began in it and whose end is not recorded.
    pub unfinished: u64,
    /// Of those that ended, the ones that could not be started.
    pub not_started: u64,
    /// Of those that ended, the ones with another wait status than 0: killed, or with another exit code.
    pub failed: u64,
    /// From birth to end.
    pub lifetime_ns: Latency,
}

/// The process trees of the storm (`exec_tree`): roots below which at least one process began.
///
/// Every process said itself who had started it. `execs` is the sum over `levels`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Trees {
    /// How many.
    pub trees: u64,
    /// Trees whose root has not ended.
    pub unfinished: u64,
    /// Processes in them, roots included.
    pub execs: u64,
    /// Processes whose parent's record is missing; they are in no tree here.
    pub detached: u64,
    /// How long whole trees took, from the root's beginning to its end.
    pub lasted_ns: Latency,
    /// By level, the roots first.
    pub levels: Vec<TreeLevel>,
    /// The critical path of the slowest tree that ended: from its root, each time the child that ended last. The sum
    /// of all `before_ns` and `after_ns` is what the tree took.
    pub slowest: Vec<TreeStep>,
}

/// The processes of the storm's trees that lie equally far from their roots. Times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TreeLevel {
    /// 1 for roots.
    pub level: u32,
    /// Processes that began.
    pub execs: u64,
    /// Of these, the ones whose end is not recorded.
    pub unfinished: u64,
    /// Of these, the ones that could not become the program: denied, for example.
    pub failed: u64,
    /// From just before the exec to the end of the process, and so of all below it.
    pub lasted_ns: Latency,
}

/// One process on a tree's critical path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TreeStep {
    /// 1 for the root.
    pub level: u32,
    /// Its place in the driver's trace.
    pub record: u64,
    /// Its process ID; 0 when it is not known.
    pub pid: u32,
    /// When it began, in nanoseconds from the run's origin.
    pub began_ns: u64,
    /// From there to its end.
    pub lasted_ns: u64,
    /// From its beginning to that of the child that ended last; of the last step, all that it took.
    pub before_ns: u64,
    /// From that child's end to its own.
    pub after_ns: u64,
}
