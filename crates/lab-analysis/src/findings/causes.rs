//! Who made what each client had to approve, and the cascades that come of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{CascadeNodeKind, ColumnKind, Latency, WhyShown, Word};

/// The mean size of a cascade in decisions: what drive and gain predict, and what was seen. They differ when clients do
/// not answer each event of a kind alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prediction {
    /// First decisions plus drive times (I - G) inverse; `null` when the gain may be 1 or more.
    pub predicted_size: Option<f64>,
    /// The mean number of decisions in a completed cascade.
    pub observed_size: f64,
}

/// The cause matrix of storm and drain: for each client, who made the operations that it had to decide about. Counts of
/// decisions; every row sums to its client's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Causes {
    /// The approving clients.
    pub rows: Vec<String>,
    /// Who made the events.
    pub columns: Vec<CauseColumn>,
    /// `decisions[row][column]`. A row sums to the client's decisions in the storm and drain.
    pub decisions: Vec<Vec<u64>>,
    /// Decisions of all rows: `Σ decisions`.
    pub total: u64,
    /// How a client could have told, from what the kernel showed it: the same rows, columns `own`, `own-helper`,
    /// `peer`, `workload`.
    pub observed: Vec<[u64; 4]>,
    /// What each client of `rows` really brought about, itself or through helpers and daemons: decisions of all
    /// approvers, by how they looked to the approver, in the columns of `observed`.
    #[serde(default)]
    pub brought_about: Vec<[u64; 4]>,
    /// Decisions really caused by clients (by whatever process) that looked like the workload to the approver: the sum
    /// of the last column of `brought_about`.
    pub misattributed: u64,
}

/// A column of the cause matrix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct CauseColumn {
    /// The heading: `workload`, a client's ID, `alpha's helpers`, a daemon's name, `external`, `unexplained`.
    pub name: String,
    /// Whose operations it has.
    pub kind: ColumnKind,
    /// The client whose process it is, or whose helpers these are.
    #[serde(default)]
    pub client: Option<String>,
}

impl CauseColumn {
    /// A column of this name and kind that belongs to no client.
    #[must_use]
    pub fn new(name: &str, kind: ColumnKind) -> CauseColumn {
        CauseColumn { name: name.to_owned(), kind, client: None }
    }
}

/// The trees of operations and decisions below the storm's root operations, one a root. Sizes in decisions, times in
/// nanoseconds; only completed cascades count in the distributions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cascades {
    /// Completed cascades looked at: those that began while all clients lived.
    pub count: u64,
    /// Further completed ones that began while a client was dead; no other figure has them, nor has `amplification`.
    #[serde(default)]
    pub after_death: u64,
    /// Cascades still going on when the run ended.
    pub unfinished: u64,
    /// Levels of operations: the root operation is 1.
    pub depth: Distribution,
    /// Decisions in a cascade.
    pub size: Distribution,
    /// From the root's start to the last answer below it.
    pub duration_ns: Latency,
    /// The largest, the deepest and the longest, as trees; one that is several of these is there once.
    pub worst: Vec<CascadeTree>,
    /// Cause chains over all cascades, as a flame graph: path of frames from the root, decisions below it (inclusive).
    pub flame: Vec<FlameFrame>,
}

/// A distribution of whole numbers (decisions, levels), exact but for the last entry of a full histogram. All zero without
/// any value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Distribution {
    /// The smallest.
    pub min: u64,
    /// The median.
    pub p50: u64,
    /// 99 % are at most this.
    pub p99: u64,
    /// The largest.
    pub max: u64,
    /// The mean.
    pub mean: f64,
    /// How often each value occurred: (value, count), rising, at most 64 entries (the last takes the rest).
    pub histogram: Vec<(u64, u64)>,
}

/// One of the at most three cascades that are shown in full, up to 200 nodes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CascadeTree {
    /// Why it is shown: `largest`, `deepest`, `longest`, or several of these with commas between.
    pub why: Word<WhyShown>,
    /// Its decisions.
    pub size: u64,
    /// Its levels of operations.
    pub depth: u64,
    /// From the root's start to the last answer.
    pub duration_ns: u64,
    /// Its nodes in depth-first order, at most 200.
    pub nodes: Vec<CascadeNode>,
    /// Nodes left out.
    pub omitted: u64,
}

/// An operation, a decision or a notice in a cascade that is shown. Times in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CascadeNode {
    /// Levels below the root, which is 0; an operation's decisions are one further, their operations two.
    pub level: u32,
    /// `open`, `exec`, `decision`, or `notice` for what a client was told and reacted to.
    pub kind: Word<CascadeNodeKind>,
    /// The process that made it or decided: `driver` or a client's ID.
    pub actor: String,
    /// The target's path relative to the arena; `null` when unknown.
    pub path: Option<String>,
    /// When it began, from the cascade's start.
    pub began_ns: u64,
    /// How long it took; `null` when it never ended.
    pub took_ns: Option<u64>,
    /// A decision's approval, or an operation's error.
    pub note: String,
}

/// One frame of the flame graph: a chain of causes and the decisions of storm and drain that it led to, over all cascades.
/// Chains that are too deep or too many count at an ancestor; `not_observed` says how many.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlameFrame {
    /// Frames from the root, such as `["workload open", "alpha", "bravo"]`.
    pub stack: Vec<String>,
    /// Decisions at or below this frame.
    pub decisions: u64,
    /// Decisions at this frame itself.
    pub own: u64,
}
