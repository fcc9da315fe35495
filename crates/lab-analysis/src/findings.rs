//! What a run showed: the content of `report.json`, and what every report renders.
//!
//! Times are nanoseconds; instants count from the run's first record (`origin`). An absent value is `null`
//! and means *not known*, never zero. Lists that were capped say so beside themselves.

mod advice;
mod answers;
mod causes;
mod client;
mod denials;
mod ends;
mod external;
mod fault;
mod gain;
mod knee;
mod latency;
mod load;
mod machine_load;
mod phase;
mod rules;
mod state;
mod unwatched;
mod ways;
mod word;
mod words;

use std::collections::BTreeMap;

use lab_model::{Kernel, OperationKind, simulated_rules, units};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use advice::{Advice, ChangedSettings, Effect, TriedMitigation};
pub use answers::{Answers, Closest, Events, Missed, RunAnswer, Waiting};
pub use causes::{
    CascadeNode, CascadeTree, Cascades, CauseColumn, Causes, Distribution, FlameFrame, Prediction,
};
pub use client::{
    Approvals, Avoidable, Blame, Call, Client, Headroom, HeadroomFigure, Inflicted, Leg, Life, NotifySummary,
    OwnOperations, Peer, RequestTimes, Requests,
};
pub use denials::{DeniedCrowd, DeniedFile, DeniedKind, KernelDenial};
pub use ends::{ProcessEnd, ProductEnd, UnplannedEnd};
pub use external::{Denials, Gap, Outside, Product, ProductGroup, TimeInterval, Unaccounted};
pub use fault::{FaultMark, FaultMarkKind};
pub use gain::{Feeding, GainUnknown, Interval};
pub use knee::{Broken, BrokenCondition, Knee, KneeStep, ObservedUnit};
pub use latency::{Figure, Latency, Population, PopulationOf};
pub use load::{Lifetimes, PlannedOps, TreeLevel, TreeStep, Trees};
pub use machine_load::{MachineLoad, PhaseLoad, Stalled};
pub use phase::{AfterDeath, Cost, Phase};
pub use rules::{DeadlineLength, KernelRules};
pub use state::{Judgement, RunState, RunWord, StateReason};
pub use unwatched::{StoodStill, Unwatched, UnwatchedGap};
pub use ways::{ApprovalWay, LoadWord, ReportBackend, WhyShown};
pub use word::{Vocabulary, Word};
pub use words::{
    AfterDeny, BlameKind, CascadeNodeKind, ColumnKind, CycleEnd, DeliveryOrder, GroupClass, KeptAnswers,
    Mitigation, ReportSection, Weight,
};

/// The version of this structure. A reader refuses a higher one.
pub const SCHEMA: u32 = 1;

/// Everything that a run showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Findings {
    /// The version of this structure: 1.
    pub schema: u32,
    /// The lab's name.
    pub lab: String,
    /// What the lab is about, from the lab file.
    pub about: String,
    /// The run's folder name (its time).
    pub run: String,
    /// True when the lab still ran while its traces were read: all the rest is about what it had recorded by then.
    #[serde(default)]
    pub still_running: bool,
    /// Whether the run was whole; `whole` in reports of before this was said.
    #[serde(default)]
    pub state: RunState,
    /// The line that runs the same lab again.
    pub replay: String,
    /// The kernel it ran on: `fanotify`, `endpoint-security` or `sim`; `eslogger` for an import, in which a decision
    /// stands for an event that was told.
    pub backend: Word<ReportBackend>,
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
    /// What would mend it, where that was looked for: changes of settings, tried on the simulator; `null` where it was not.
    #[serde(default)]
    pub advice: Option<Advice>,
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
    /// How operations of clients multiply from one level of a cascade to the next: the spectral radius of the matrix that says
    /// how many operations of each type (who makes them, opens or execs) one of each type sets off. Events that were not
    /// taken up, and what was still to come when the record ends, are left out; the interval says how far they matter.
    pub loop_gain: Option<Interval>,
    /// Why there is no loop gain; `null` where there is one.
    #[serde(default)]
    pub loop_gain_unknown: Option<Word<GainUnknown>>,
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
    /// Processes that ended before the run did, in the order of time, and that neither a planned fault nor a client's
    /// missed deadline accounts for.
    #[serde(default)]
    pub unplanned_ends: Vec<UnplannedEnd>,
    /// Clients, products and whoever they wait for that waited for each other in a circle.
    pub wait_cycles: Vec<WaitCycle>,
    /// The threads that were seen waiting longest in the middle of something, whoever they belong to; empty where nobody looked.
    #[serde(default)]
    pub long_waits: Vec<LongWait>,
    /// Calm after the storm.
    pub drain: Option<Drain>,
    /// From read to answer, over all clients, in storm and drain.
    #[serde(default)]
    pub latency_ns: Latency,
    /// The same by who made the events; only those that there were.
    #[serde(default)]
    pub populations: Vec<Population>,
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
    /// The process trees of the storm; `null` in a lab that grows none.
    #[serde(default)]
    pub trees: Option<Trees>,
    /// Times in which nobody watched the clients; `null` when the warden looked all the time, in a simulation, and in
    /// runs whose format does not say (before 1.1).
    #[serde(default)]
    pub unwatched: Option<Unwatched>,
    /// Times in which the whole lab stood still, of those in which nobody watched; `null` when it never did.
    #[serde(default)]
    pub stood_still: Option<StoodStill>,
    /// The price of being asked, in nanoseconds of a median operation.
    pub cost: Cost,
    /// What was not observed, in sentences.
    pub not_observed: Vec<String>,
}

impl Findings {
    /// The kernel that it ran on, or whose rules the simulator followed; `None` where neither is known.
    #[must_use]
    pub fn kernel(&self) -> Option<Kernel> {
        simulated_rules(&self.machine.kernel).or_else(|| self.backend.text().parse().ok())
    }
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

/// The machine a run took place on, as the trace that frames the run says: the orchestrator's, or else the first. Empty and 0
/// where a trace does not say.
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

/// How a storm ended up, by the first rule that fits: deadlocked, divergent, too little evidence, saturated, and stable if
/// nothing is still in flight. `outcome_rule` says the rule with its numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
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
    #[default]
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

/// One of the at most three sentences that open a report: what is bad comes first, then what came close, then what is
/// remarkable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// One sentence in plain words with its numbers.
    pub text: String,
    /// What would mend it, if anything needs mending.
    pub advice: Option<String>,
    /// The report section that shows it.
    pub section: ReportSection,
    /// How bad it is.
    pub weight: Weight,
}

/// One condition of the lab file, or of the run itself (each planned fault came, the run was not cut short), and whether
/// it held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Expectation {
    /// The condition as written in the lab file.
    pub text: String,
    /// Whether it held; `null` when the run cannot say.
    pub held: Option<bool>,
    /// The value that was seen, as text.
    pub observed: String,
}

/// Counts that add up: `decisions = explained + unexplained`, and `decisions = sum(by_approval) + unanswered`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Totals {
    /// Operations made by the workload: opens, execs, and the processes and threads of its commands.
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
    pub by_approval: BTreeMap<Word<ApprovalWay>, u64>,
    /// Records that did not fit a trace or were damaged.
    pub lost: u64,
    /// Places in a trace that hold damage.
    pub damaged: u64,
    /// Decisions whose file was not resolved.
    pub targets_unknown: u64,
    /// Notices recorded: NOTIFY events that clients were told of, as the kernel handed them over. They are no decisions.
    #[serde(default)]
    pub notices: u64,
    /// Of these, the ones joined to the operation that they tell of.
    #[serde(default)]
    pub notices_explained: u64,
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

/// One client's part in the root operations of the storm that were completed and that it was asked about. Medians in
/// nanoseconds over these alone, so the stages of clients that are asked about different operations do not add up.
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

/// One of the slowest root operations of the storm, and on whom it waited, step by step. Times in nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SlowOperation {
    /// `open` or `exec`.
    pub kind: Word<OperationKind>,
    /// The target relative to the arena; `null` when unknown.
    pub path: Option<String>,
    /// When it began, from the run's origin.
    pub began_ns: u64,
    /// How long it took.
    pub took_ns: u64,
    /// Where the time went, in order: (who and what, nanoseconds). Sums to `took_ns`.
    pub steps: Vec<(String, u64)>,
}

/// Clients of which each waited for the next one's answer and the last for the first one's, with no worker left to give
/// one. Instants and lengths in nanoseconds.
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
    /// What ended it.
    pub ended_by: CycleEnd,
    /// The records that prove it, one sentence each, naming trace and record; of a circle that was `seen`, what each thread
    /// of it was in.
    pub evidence: Vec<String>,
    /// It was seen by looking at threads; otherwise the clients' own records show it.
    #[serde(default)]
    pub seen: bool,
}

/// A thread that was seen waiting long in the middle of something. Instants and lengths in nanoseconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LongWait {
    /// Whose thread: a participant by its name, any other process as it calls itself.
    pub who: String,
    /// The thread.
    pub tid: u32,
    /// What it was in, in words.
    pub words: String,
    /// Who could have ended it, the likeliest first; any one of them could.
    pub waits_for: Vec<String>,
    /// It had taken an event whose file the kernel could not hand over: its decision had not begun.
    pub hand_over: bool,
    /// Since when at least, from the run's origin.
    pub began_ns: u64,
    /// How long at least.
    pub lasted_ns: u64,
    /// It was seen to the end of the record.
    pub to_the_end: bool,
}

impl WaitCycle {
    /// For how long it lasted; `None` when it never ended. Of one that was seen, the last look came before its end.
    #[must_use]
    pub fn lasted(&self) -> Option<String> {
        let lasted = units::time(self.lasted_ns?);
        Some(if self.seen { units::at_least(&lasted) } else { lasted })
    }
}

/// What was still asked after the load had stopped: from the storm's end to the end of the run, in nanoseconds and
/// decisions.
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

/// Rates, queues and headroom over time, in at most 240 equal buckets over the whole run. Every list has one entry a
/// bucket; rows are in the order of the cause matrix's columns, or of the clients.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Series {
    /// The length of one bucket.
    pub bucket_ns: u64,
    /// Decisions read in each bucket, for each column of the cause matrix.
    pub decisions_by_cause: Vec<Vec<u64>>,
    /// The most decisions pending at once in each bucket, for each client.
    pub pending_max: Vec<Vec<u64>>,
    /// The lowest headroom in each bucket, for each client; `null` where nothing was answered or its
    /// client ended. What was never answered counts with what was left at that end, at most.
    pub headroom_min: Vec<Vec<Option<f64>>>,
    /// Root operations completed in each bucket.
    pub root_ops: Vec<u64>,
}
