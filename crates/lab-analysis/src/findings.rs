//! What a run showed: the content of `report.json`, and what every report renders.
//!
//! Times are nanoseconds; instants count from the run's first record (`origin`). An absent value is `null`
//! and means *not known*, never zero. Lists that were capped say so beside themselves.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of this structure. A reader refuses a higher one.
pub const SCHEMA: u32 = 1;

/// Everything that a run showed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Findings {
    /// The version of this structure: 1.
    pub schema: u32,
    /// The lab's name.
    pub lab: String,
    /// What the lab is about, from the lab file.
    pub about: String,
    /// The run's folder name (its time).
    pub run: String,
    /// The line that runs the same lab again.
    pub replay: String,
    /// The kernel it ran on: `fanotify`, `endpoint-security` or `sim`; `eslogger` for an import, in which a decision
    /// stands for an event that was told.
    pub backend: String,
    /// The seed.
    pub seed: u64,
    /// The deadline the clients had, in nanoseconds.
    pub deadline_ns: u64,
    /// The machine it ran on.
    pub machine: Machine,
    /// How the storm ended up.
    pub outcome: Outcome,
    /// The rule that decided the outcome, with its numbers, in one sentence.
    pub outcome_rule: String,
    /// At most three findings, the weightiest first.
    pub findings: Vec<Finding>,
    /// The lab file's expectations.
    pub expectations: Vec<Expectation>,
    /// The phases that took place, in order.
    pub phases: Vec<Phase>,
    /// Counts over the whole run, which add up.
    pub totals: Totals,
    /// Counts over the storm only, which add up.
    pub storm: Totals,
    /// Decisions in cascades of the storm's completed root operations, for each of those operations.
    pub amplification: Option<f64>,
    /// The spectral radius of `gain`, with a bootstrap interval over cascades.
    pub loop_gain: Option<Interval>,
    /// `gain[i][j]`: events that land on client i for each client-caused event handled by client j.
    pub gain: Vec<Vec<f64>>,
    /// `drive[i][j]`: events that land on client i for each workload event handled by client j.
    pub drive: Vec<Vec<f64>>,
    /// Cascade sizes: what the gain predicts and what was seen.
    pub prediction: Option<Prediction>,
    /// Who made what each client had to approve, in the storm and after it.
    pub causes: Causes,
    /// The trees of operations and decisions below the root operations.
    pub cascades: Cascades,
    /// In which order the clients were asked and for how long: one line a client, over root operations.
    pub pipeline: Pipeline,
    /// The kernel's own rules, as far as the run shows them.
    #[serde(default)]
    pub rules: KernelRules,
    /// Clients that waited for each other.
    pub wait_cycles: Vec<WaitCycle>,
    /// Calm after the storm.
    pub drain: Option<Drain>,
    /// From read to answer, over all clients, in storm and drain.
    #[serde(default)]
    pub latency_ns: Latency,
    /// Share of the deadline left, over all clients, in storm and drain.
    #[serde(default)]
    pub headroom: Headroom,
    /// What each client did, in the lab file's order.
    pub clients: Vec<Client>,
    /// Every operation of storm and drain from every client's side, all clients together.
    #[serde(default)]
    pub approvals: Approvals,
    /// Rates, queues and headroom over time.
    pub series: Series,
    /// Disturbances, planned or not.
    pub faults: Vec<FaultMark>,
    /// Products under test beside the clients, as far as they can be seen from outside; `null` in a lab without any.
    #[serde(default)]
    pub outside: Option<Outside>,
    /// The programs that the clients were asked about, by signature, where the kernel tells of it (Endpoint Security);
    /// those of the most decisions first. Empty elsewhere.
    #[serde(default)]
    pub programs: Vec<Program>,
    /// The steps of the load whose rate was raised; `null` in a lab that looks for no knee.
    #[serde(default)]
    pub knee: Option<Knee>,
    /// The price of being asked, in nanoseconds of a median operation.
    pub cost: Cost,
    /// What was not observed, in sentences.
    pub not_observed: Vec<String>,
}

/// A program that clients were asked about, as the kernel told of its signature.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Program {
    /// Its signing ID, with `…` where the trace has cut it; `null` for a program without a signature.
    pub signing_id: Option<String>,
    /// Its team; `null` for ad hoc and platform code.
    pub team_id: Option<String>,
    /// The hash of its code directory, in hexadecimal.
    pub cdhash: String,
    /// It has the Endpoint Security entitlement, connected or not.
    pub is_es_client: bool,
    /// Executions of it that were asked about.
    pub processes: u64,
    /// Decisions about it in storm and drain, over all clients.
    pub decisions: u64,
    /// These decisions by the columns of the cause matrix: name and count; their sum is `decisions`.
    pub under: Vec<(String, u64)>,
    /// The signing IDs of the programs that started it, as far as they were told; `unsigned` for one without.
    pub started_by: Vec<String>,
}

/// The machine a run took place on.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Machine {
    /// Kernel name and release.
    pub kernel: String,
    /// Machine type.
    pub machine: String,
    /// Processors.
    pub cpus: u32,
    /// Version of the lab that ran.
    pub version: String,
}

/// How a storm ended up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Every cascade ended and the queues stayed bounded.
    Stable,
    /// Every cascade ended, but the queues grew for the whole storm.
    Saturated,
    /// The cascades feed themselves.
    Divergent,
    /// Clients waited for each other in a circle.
    Deadlocked,
    /// Too little evidence.
    Unknown,
}

impl Outcome {
    /// The word in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Stable => "stable",
            Outcome::Saturated => "saturated",
            Outcome::Divergent => "divergent",
            Outcome::Deadlocked => "deadlocked",
            Outcome::Unknown => "unknown",
        }
    }
}

/// One thing worth knowing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// One sentence in plain words with its numbers.
    pub text: String,
    /// What would mend it, if anything needs mending.
    pub advice: Option<String>,
    /// The report section that shows it: `clients`, `causes`, `cascades`, `waiting`, `drain`, `cost`, `pipeline`,
    /// `outside`.
    pub section: String,
    /// How bad: `bad`, `warn`, `info`.
    pub weight: String,
}

/// One expectation and what became of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Expectation {
    /// The condition as written in the lab file.
    pub text: String,
    /// Whether it held; `null` when the run cannot say.
    pub held: Option<bool>,
    /// The value that was seen, as text.
    pub observed: String,
}

/// A value with the interval that holds 95 % of its bootstrap samples.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// A distribution of times in nanoseconds, from a histogram with three significant digits. All zero with `count` 0.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Latency {
    /// How many values.
    pub count: u64,
    /// The mean.
    pub mean: u64,
    /// The smallest.
    pub min: u64,
    /// The median.
    pub p50: u64,
    /// 90 % are at most this.
    pub p90: u64,
    /// 99 % are at most this.
    pub p99: u64,
    /// 99.9 % are at most this.
    pub p999: u64,
    /// The largest.
    pub max: u64,
}

/// One phase that took place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// `baseline`, `control`, `external`, `storm` or `drain`.
    pub name: String,
    /// When it began, in nanoseconds from the run's origin.
    pub began_ns: u64,
    /// How long it lasted.
    pub seconds: f64,
    /// Root operations that began in it and completed.
    pub root_ops: u64,
    /// Root operations that began in it and never completed.
    pub root_ops_unfinished: u64,
    /// Root operations that ended with an error.
    pub root_ops_failed: u64,
    /// Root operations completed a second.
    pub ops_per_second: f64,
    /// How long root operations took (from the planned start in an open loop).
    pub op_latency_ns: Latency,
    /// The latency spectrum: (share of operations in percent, nanoseconds), rising.
    pub spectrum: Vec<(f64, u64)>,
}

/// A load whose rate was raised step by step, and the last rate that held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Knee {
    /// Which load, as the lab file names it: `open_storm`.
    pub load: String,
    /// The last rate before the first step that did not hold, in operations a second; `null` when the first step
    /// did not.
    pub held: Option<u32>,
    /// The first rate that did not hold; `null` when all that were tried did.
    pub broke: Option<u32>,
    /// Every step, in the order of the rates.
    pub steps: Vec<KneeStep>,
}

/// One step: a part of the storm at a rate of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KneeStep {
    /// Operations a second, as planned.
    pub rate: u32,
    /// When it began, in nanoseconds from the run's origin.
    pub began_ns: u64,
    /// How long it lasted.
    pub seconds: f64,
    /// Operations planned in it.
    pub planned: u64,
    /// Of those, begun, then or later.
    pub begun: u64,
    /// Of those, ended, then or later.
    pub completed: u64,
    /// Operations of this load that ended while it lasted, a second.
    pub ops_per_second: f64,
    /// How long its operations took, from the planned start.
    pub op_latency_ns: Latency,
    /// Share of the deadline left, over all decisions read while it lasted.
    pub headroom: Headroom,
    /// Of those, answers after the deadline.
    pub deadline_misses: u64,
    /// What did not hold, in words.
    pub broken: Vec<String>,
    /// Whether it held; `null` when none of its operations was begun.
    pub held: Option<bool>,
}

/// Counts that add up: `decisions = explained + unexplained`, and `decisions = sum(by_approval) + unanswered`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Operations made by the workload.
    pub root_ops: u64,
    /// Operations made by lab processes, roots included.
    pub operations: u64,
    /// Operations that did not end before their process did.
    pub operations_unfinished: u64,
    /// Decisions recorded.
    pub decisions: u64,
    /// Decisions joined to the operation that caused them.
    pub explained: u64,
    /// Decisions that no recorded operation accounts for.
    pub unexplained: u64,
    /// Decisions about the client's own process.
    pub own_process: u64,
    /// Decisions read and never answered: the client died, or the run ended.
    pub unanswered: u64,
    /// Decisions answered with a denial.
    pub denied: u64,
    /// Answered decisions by how they came about (`rule`, `own-process`, `peer`, ...); zero counts are left out.
    pub by_approval: BTreeMap<String, u64>,
    /// Records that did not fit a trace or were damaged.
    pub lost: u64,
    /// Places in a trace that hold damage.
    pub damaged: u64,
    /// Decisions whose file was not resolved.
    pub targets_unknown: u64,
}

/// Cascade sizes: what the gain predicts and what was seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Prediction {
    /// First decisions plus drive times (I - G) inverse; `null` when the gain may be 1 or more.
    pub predicted_size: Option<f64>,
    /// The mean number of decisions in a completed cascade.
    pub observed_size: f64,
}

/// The cause matrix.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// `workload`, `client`, `helper`, `daemon`, `external` or `unexplained`.
    pub kind: String,
    /// The client whose process it is, or whose helpers these are.
    #[serde(default)]
    pub client: Option<String>,
}

impl CauseColumn {
    /// A column of this name and kind that belongs to no client.
    #[must_use]
    pub fn new(name: &str, kind: &str) -> CauseColumn {
        CauseColumn { name: name.to_owned(), kind: kind.to_owned(), client: None }
    }
}

/// The trees below the storm's root operations.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cascades {
    /// Completed cascades looked at.
    pub count: u64,
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

/// A distribution of whole numbers.
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

/// One cascade as a tree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CascadeTree {
    /// Why it is shown: `largest`, `deepest`, `longest`, or several of these with commas between.
    pub why: String,
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

/// An operation or decision in a cascade.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CascadeNode {
    /// Levels below the root, which is 0; an operation's decisions are one further, their operations two.
    pub level: u32,
    /// `open`, `exec`, `decision`, or `notice` for what a client was told and reacted to.
    pub kind: String,
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

/// One frame of the flame graph.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FlameFrame {
    /// Frames from the root, such as `["workload open", "alpha", "bravo"]`.
    pub stack: Vec<String>,
    /// Decisions at or below this frame.
    pub decisions: u64,
    /// Decisions at this frame itself.
    pub own: u64,
}

/// The order and the sums of the pipeline, over completed root operations of the storm.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pipeline {
    /// One stage a client, in the order in which they were asked most often.
    pub stages: Vec<Stage>,
    /// Root operations whose clients were asked one after another without overlap, in percent.
    pub serial_percent: Option<f64>,
    /// The orders that occurred: client IDs and how often, the most frequent first, at most 8.
    pub orders: Vec<(Vec<String>, u64)>,
    /// Median over root operations of the sum of the clients' decision times.
    pub sum_ns: u64,
    /// Median over root operations of the longest of the clients' decision times.
    pub max_ns: u64,
    /// Median over root operations of the time the operation took.
    pub op_ns: u64,
    /// The slowest root operations of the storm and where their time went, at most 10.
    pub slowest: Vec<SlowOperation>,
}

/// One client's part in the root operations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Stage {
    /// The client.
    pub client: String,
    /// Median time from the operation's start to the client's read.
    pub read_ns: u64,
    /// Median time from the operation's start to the client's answer.
    pub answered_ns: u64,
    /// How often it was the last to answer.
    pub last: u64,
}

/// A slow operation and its critical path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlowOperation {
    /// `open` or `exec`.
    pub kind: String,
    /// The target relative to the arena; `null` when unknown.
    pub path: Option<String>,
    /// When it began, from the run's origin.
    pub began_ns: u64,
    /// How long it took.
    pub took_ns: u64,
    /// Where the time went, in order: (who and what, nanoseconds). Sums to `took_ns`.
    pub steps: Vec<(String, u64)>,
}

/// Clients that waited for each other in a circle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WaitCycle {
    /// The clients, each waiting for the next, the last for the first.
    pub members: Vec<String>,
    /// The helpers and daemons in whose operations a client waited.
    pub through: Vec<String>,
    /// When the circle closed, from the run's origin.
    pub began_ns: u64,
    /// How long it lasted; `null` when it never ended.
    pub lasted_ns: Option<u64>,
    /// What ended it: `deadline kill`, `answer`, `process end`, `end of run`.
    pub ended_by: String,
    /// The records that prove it, one sentence each, naming trace and record.
    pub evidence: Vec<String>,
}

/// Calm after the storm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Drain {
    /// Decisions read after the storm's end.
    pub decisions: u64,
    /// From the storm's end to the last decision read; `null` when there was none.
    pub last_ns: Option<u64>,
    /// The time in which the rate of decisions halved; `null` when it cannot be told.
    pub half_life_ns: Option<u64>,
    /// Events still in flight when the run ended.
    pub in_flight: u64,
    /// Whether it fell quiet before the drain ended.
    pub quiet: bool,
}

/// What one client was told in storm and drain, after it had happened. None of it is a decision: nobody waited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Told {
    /// Notices read. Where the kernel merges events before they are read (fanotify: one thread's on one file), one
    /// notice stands for several events, and how many is unknown.
    pub notices: u64,
    /// Of those, which told of what. A merged notice is counted at each of its events.
    pub by_event: BTreeMap<String, u64>,
    /// Of those, merged from events of more than one kind.
    pub mixed: u64,
    /// Of those, by who had acted, as in the cause matrix: names and counts, the most first; they add up to `notices`.
    pub by_author: Vec<(String, u64)>,
    /// Opens by processes of the lab that succeeded; `null` when the client does not listen to opens.
    pub opens: Option<u64>,
    /// Of those, opens beyond what the notices of an open can stand for one by one: merged into another's notice,
    /// unread at the end, or lost.
    pub opens_not_told_apart: Option<u64>,
    /// Execs by processes of the lab that succeeded; `null` when the client does not listen to execs.
    pub execs: Option<u64>,
    /// Of those, execs of which there was no notice.
    pub execs_not_told: Option<u64>,
    /// From an operation's end to the reading of its notice: how far behind the client is.
    pub lag_ns: Latency,
    /// Notices that set its reaction off.
    pub reacted: u64,
    /// Reactions that were not begun, because its queue of work was full; over the whole run.
    pub reactions_dropped: u64,
    /// Operations that it made because of notices.
    pub operations: u64,
    /// Decisions, anybody's, about those operations.
    pub inflicted: u64,
    /// Events that the kernel could not hand over, over the whole run; `null` when its queue overflowed, for it does
    /// not say how many it dropped then.
    pub lost: Option<u64>,
    /// Events that lay unread when the run ended.
    pub unread: u64,
}

/// What one client did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Client {
    /// Its ID.
    pub id: String,
    /// Its bundle ID.
    pub bundle_id: String,
    /// Its switches, by name, as text.
    pub behavior: BTreeMap<String, String>,
    /// Decisions in storm and drain.
    pub decisions: u64,
    /// Of those, about its own process.
    pub own_process: u64,
    /// Of those, never answered.
    pub unanswered: u64,
    /// Of those, how they came about.
    pub by_approval: BTreeMap<String, u64>,
    /// Every operation of storm and drain from its side.
    #[serde(default)]
    pub approvals: Approvals,
    /// Operations it made in storm and drain.
    pub operations: u64,
    /// What it was told after it had happened (NOTIFY); `null` for a client that is only asked.
    #[serde(default)]
    pub told: Option<Told>,
    /// What it asked of its helpers and of daemons.
    #[serde(default)]
    pub requests: Vec<Requests>,
    /// From read to answer.
    pub latency_ns: Latency,
    /// The same of decisions not about its own process.
    pub latency_others_ns: Latency,
    /// The same by event kind.
    pub latency_by_event_ns: BTreeMap<String, Latency>,
    /// The latency spectrum of `latency_others_ns`: (percent, nanoseconds), rising.
    pub spectrum: Vec<(f64, u64)>,
    /// The same of the control phase.
    pub control_spectrum: Vec<(f64, u64)>,
    /// From read to the start of work.
    pub queue_ns: Latency,
    /// From the start of work to the answer, without `blocked_ns`. Queue, work and blocked sum up to the decision.
    pub work_ns: Latency,
    /// Waiting in its own operations, up to its own answer.
    pub blocked_ns: Latency,
    /// Share of the deadline left when the answer left.
    pub headroom: Headroom,
    /// Decisions answered after their deadline, or unanswered because the warden killed the client for them.
    pub deadline_misses: u64,
    /// The ten decisions with the least headroom, worst first.
    pub closest_calls: Vec<Call>,
    /// Who made it decide: (subject and kind, decisions, nanoseconds of its time), the most first, at most 20.
    pub blame_in: Vec<Blame>,
    /// The files it was asked about most, at most 20.
    pub top_paths: Vec<Blame>,
    /// The extensions it was asked about most, at most 10.
    pub top_extensions: Vec<Blame>,
    /// Decisions that its own operations brought upon others, each client by itself: direct and with all that followed.
    pub blame_out: Vec<Inflicted>,
    /// Its ten decisions that inflicted most on others.
    pub costliest: Vec<Call>,
    /// What it and each other client did to each other.
    pub peers: Vec<Peer>,
    /// Decisions a mitigation would have spared it.
    pub avoidable: Vec<Avoidable>,
    /// Records of its trace that were lost or damaged.
    pub lost: u64,
    /// Its processes, in the order of time; more than one when it was started again.
    #[serde(default)]
    pub lives: Vec<Life>,
    /// How its last process ended: `clean`, `deadline kill`, `killed (signal 9)`, `exit 3`, `unknown`.
    pub end: String,
}

/// What one client asked of its helpers, or of one daemon: `made = carried_out + failed + refused + unheard`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Requests {
    /// The daemon; `null` for its own helpers.
    pub daemon: Option<String>,
    /// All requests.
    pub made: u64,
    /// Those that were replied to, whether what was to be opened could be opened or not.
    pub carried_out: u64,
    /// Those whose helper or daemon was gone, or went before it replied. Never made a second time.
    pub failed: u64,
    /// Those that were not made, because too many waited already.
    pub refused: u64,
    /// Those whose reply the client did not live to hear, or that were under way when the run ended.
    pub unheard: u64,
    /// From the request to the reply, waiting for a free helper included.
    pub latency_ns: Latency,
}

/// How operations came to be approved, or denied, as far as one client is concerned: by its decision, or without
/// asking it. Counted by operation, over storm and drain:
/// `operations = Σ asked + Σ hidden + unknown`, and `decisions = Σ asked + further + elsewhere`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Approvals {
    /// Operations of all lab processes, times the clients looked at.
    pub operations: u64,
    /// Those it decided on, by how the first decision about each came about: `rule`, `own-process`, `peer`,
    /// `deadline-fallback`, `queue-full`, `mute` (of a process), `dead-client` (it died before it answered),
    /// `unanswered` (the run ended first). Zero counts are left out.
    pub asked: BTreeMap<String, u64>,
    /// Those it was not asked about, by why: `dead-client`, `mute` (of a path), `cache-hit`, `own-process` (Endpoint
    /// Security), `not-subscribed`, `denied-before`, `out-of-scope`, `failed-before`, `exhausted` (it had no descriptor left, so
    /// the kernel denied), `unfinished`.
    pub hidden: BTreeMap<String, u64>,
    /// Those it did not decide on for a reason that the traces cannot tell.
    pub unknown: u64,
    /// Decisions beyond the first about the same operation; an exec raises several events.
    pub further: u64,
    /// Decisions about what is no recorded operation.
    pub elsewhere: u64,
}

impl Approvals {
    /// Adds another client's.
    pub fn add(&mut self, other: &Approvals) {
        self.operations += other.operations;
        for (sum, counts) in [(&mut self.asked, &other.asked), (&mut self.hidden, &other.hidden)] {
            for (name, count) in counts {
                *sum.entry(name.clone()).or_default() += count;
            }
        }
        self.unknown += other.unknown;
        self.further += other.further;
        self.elsewhere += other.elsewhere;
    }

    /// Operations approved in this way, whether it was asked or not.
    #[must_use]
    pub fn by(&self, name: &str) -> u64 {
        let count = |counts: &BTreeMap<String, u64>| counts.get(name).copied().unwrap_or(0);
        count(&self.asked) + count(&self.hidden)
    }
}

/// Headroom, as shares from 0 to 1 (negative when answered after the deadline).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Headroom {
    /// The lowest; `null` without any answered decision.
    pub min: Option<f64>,
    /// 1 % have at most this.
    pub p01: Option<f64>,
    /// The median.
    pub p50: Option<f64>,
}

/// The kernel's own rules, as far as the storm's root operations show them; `null` where nothing tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KernelRules {
    /// How several clients are asked about one operation: `serial` (one after the other), `parallel` (at once),
    /// `mixed`. Operations tell it that two clients held for a tenth of their time or longer.
    pub delivery: Option<String>,
    /// Operations that several clients held one after the other.
    pub serial: u64,
    /// Operations that several clients held at once.
    pub parallel: u64,
    /// What a denial means for a client that has not answered yet: `spared` (it is not asked any more), `not-waited`
    /// (it is asked, and the operation ends without its answer), `waited` (its answer is waited for), `mixed`.
    pub after_deny: Option<String>,
    /// Times that a client was not asked, after another's denial.
    pub spared: u64,
    /// Times that a client's answer came after the operation had ended with another's denial.
    pub not_waited: u64,
    /// Times that a client's answer was waited for although another's denial had been given.
    pub waited: u64,
    /// Whom a kept answer serves: `own` (the client that gave it), `shared` (others too), `not-kept` (nobody), `mixed`.
    /// Only a lab tells it in which some clients keep answers and others do not.
    pub kept_answers: Option<String>,
    /// By event, how long the kernel waits for an answer.
    pub deadlines: BTreeMap<String, DeadlineLength>,
}

/// How long the kernel waits for an answer about one kind of event.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeadlineLength {
    /// Decisions of storm and drain with a deadline.
    pub decisions: u64,
    /// The shortest, from the event, or from its being read where the kernel does not say when it was made.
    pub min_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// The share of it that was left when the client read the event; `null` where the kernel does not say when the
    /// event was made.
    pub left_at_read: Headroom,
}

/// One decision with the chain that led to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Call {
    /// Its place in the client's trace.
    pub record: u64,
    /// When it was read, from the run's origin.
    pub read_ns: u64,
    /// From read to answer; `null` when never answered.
    pub took_ns: Option<u64>,
    /// Headroom as a share; `null` when unanswered.
    pub headroom: Option<f64>,
    /// The target relative to the arena.
    pub path: Option<String>,
    /// How it came about.
    pub approval: String,
    /// From the root operation to this decision, such as `driver open f7`, `alpha decides`, `alpha open f7`.
    pub chain: Vec<String>,
    /// Decisions that followed from it.
    pub inflicted: u64,
}

/// One line of a ranking.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Blame {
    /// What it is.
    pub name: String,
    /// `workload`, `client`, `own`, `unexplained`, ...
    pub kind: String,
    /// Decisions.
    pub decisions: u64,
    /// Time from read to answer, summed.
    pub total_ns: u64,
}

/// What one client's operations brought upon another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Inflicted {
    /// The client that had to decide.
    pub client: String,
    /// Decisions about this client's own operations.
    pub exclusive: u64,
    /// Decisions anywhere below this client's decisions.
    pub inclusive: u64,
}

/// What two clients did to each other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    /// The other client.
    pub client: String,
    /// Its events that this client decided on.
    pub received: u64,
    /// This client's events that it decided on.
    pub inflicted: u64,
    /// Nanoseconds this client waited for its answers.
    pub waited_ns: u64,
    /// Nanoseconds it waited for this client's answers.
    pub made_wait_ns: u64,
}

/// Decisions that one change would have spared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Avoidable {
    /// The change, in words: `cache allows`, `mute own process`, `allow other clients' events`.
    pub change: String,
    /// Decisions it would have spared this client.
    pub decisions: u64,
    /// Their share of all its decisions, 0 to 1.
    pub share: f64,
    /// What it would blind the client to.
    pub blind_spot: String,
}

/// One process of a client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Life {
    /// When its trace began, from the run's origin.
    pub began_ns: u64,
    /// When its end was seen; `null` when nobody saw it.
    pub ended_ns: Option<u64>,
    /// How it ended, as in `Client::end`.
    pub end: String,
}

/// A disturbance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FaultMark {
    /// When, from the run's origin.
    pub at_ns: u64,
    /// When it was over, from the run's origin; `null` for what was over at once or lasted to the end.
    #[serde(default)]
    pub until_ns: Option<u64>,
    /// What: `deadline kill`, `run too long`, `interrupted`, ..., or a planned fault's name: `stall`, `kill`, `restart`,
    /// `slow`, `deny`, `behave`, `cpu_load`, `descriptors`.
    pub kind: String,
    /// On whom.
    pub actor: String,
    /// A planned fault's numbers, such as `by 5ms`; else empty.
    #[serde(default)]
    pub detail: String,
    /// Whether the lab file planned it.
    #[serde(default)]
    pub planned: bool,
}

/// Rates, queues and headroom over time, in equal buckets over the whole run (at most 240).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// The length of one bucket.
    pub bucket_ns: u64,
    /// Decisions read in each bucket, for each column of the cause matrix.
    pub decisions_by_cause: Vec<Vec<u64>>,
    /// The most decisions pending at once in each bucket, for each client.
    pub pending_max: Vec<Vec<u64>>,
    /// The lowest headroom in each bucket, for each client; `null` where nothing was answered.
    pub headroom_min: Vec<Vec<Option<f64>>>,
    /// Root operations completed in each bucket.
    pub root_ops: Vec<u64>,
}

/// The price of being asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Median root operation without clients.
    pub baseline_ns: Option<u64>,
    /// Median root operation with clients that answer at once.
    pub control_ns: Option<u64>,
    /// Median root operation with clients that answer at once, beside the products under test.
    #[serde(default)]
    pub external_ns: Option<u64>,
    /// Median root operation in the storm.
    pub storm_ns: Option<u64>,
}

/// Products under test beside the lab's clients. They have no trace: all of this was seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outside {
    /// The products, in the lab file's order.
    pub products: Vec<Product>,
    /// The part of an operation's time in which no client of the lab had its question, by phase (`control`,
    /// `external`, `storm`): the kernel's own way, and, in `external` and `storm`, the products' time. Over opens of
    /// the workload that succeeded and whose clients were asked one after another.
    pub unaccounted: Vec<Unaccounted>,
    /// What the products add to an open: by how much the gap at their place is larger in `external` than it would be
    /// had it changed since `control` like the other gaps. An estimate with its interval (95 % of resampled parts of
    /// the phases), not a measured time of service. `null` when either phase is missing or no gap stands out.
    pub added_ns: Option<TimeInterval>,
    /// Where in the pipeline the products are asked, from the gap that is larger beside them; `null` when no gap
    /// stands out or when it is not known.
    pub place: Option<String>,
    /// The gaps between the clients, in the order in which they are usually asked beside the products.
    pub gaps: Vec<Gap>,
    /// Operations that somebody denied, and it was no client of the lab.
    pub denials: Denials,
}

/// A difference of times in nanoseconds, with the interval that holds 95 % of its bootstrap samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimeInterval {
    /// The estimate.
    pub value: i64,
    /// The lower end.
    pub low: i64,
    /// The upper end.
    pub high: i64,
}

/// One product.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Product {
    /// Its name in the lab file.
    pub id: String,
    /// How it was started.
    pub command: String,
    /// From its start until it took part; `null` when it never did.
    pub ready_ns: Option<u64>,
    /// Processes of it that were seen.
    pub processes: u64,
    /// Threads of it that were seen. One that lives shorter than a few milliseconds may be missed.
    pub threads: u64,
    /// True when it has a group with a mark for permission events on the arena: the kernel asks it.
    pub asked: bool,
    /// Its fanotify groups, as `/proc` showed them.
    pub groups: Vec<ProductGroup>,
    /// Decisions of the lab's clients, in storm and drain, about what its threads did.
    pub generated: u64,
    /// The most events in its groups' queues that it had not read; `null` when they could not be looked at.
    pub unread_max: Option<u64>,
    /// The most operations of lab processes that waited for an answer at one look and that no client held.
    pub waiting_max: u64,
    /// The longest that such an operation had waited when it was looked at; `null` when there was none. Looks are
    /// about 100 ms apart.
    pub waited_longest_ns: Option<u64>,
    /// How it ended: `clean`, `exit N`, `signal N`, `deadline kill`, `never started`, `not known`.
    pub end: String,
}

/// A product's fanotify group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProductGroup {
    /// `notify`, `content` or `pre-content`: groups of a later class are asked first.
    pub class: String,
    /// What it has marked and which events it is asked about or told.
    pub marks: Vec<String>,
}

/// The part of an operation's time that the lab's clients do not account for.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unaccounted {
    /// The phase.
    pub phase: String,
    /// Its distribution.
    pub time_ns: Latency,
    /// Its share of all the time of these operations, 0 to 1.
    pub share: Option<f64>,
}

/// The time between two clients of the lab in one operation: medians by phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// The client whose answer begins it; `null`: the operation's start does.
    pub after: Option<String>,
    /// The client whose read ends it; `null`: the operation's end does.
    pub before: Option<String>,
    /// Without the products.
    pub control_ns: Option<u64>,
    /// Beside them.
    pub external_ns: Option<u64>,
    /// In the storm.
    pub storm_ns: Option<u64>,
}

/// Operations of storm and drain that failed with `EPERM` and that no client of the lab had denied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Denials {
    /// Operations, roots included.
    pub operations: u64,
    /// Operations of the workload.
    pub root_ops: u64,
    /// How many of them each client was asked about: those that the kernel asks before who denied.
    pub asked: Vec<(String, u64)>,
    /// How many of them each client was never asked about: a denial ends the pass.
    pub not_asked: Vec<(String, u64)>,
}
