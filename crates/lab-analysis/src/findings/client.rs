//! What one client did, was asked, was told and might change.

use std::collections::BTreeMap;

use lab_model::{Bounded, EventKind, NotifyEvent};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ApprovalWay, BlameKind, Latency, Mitigation, Population, ProcessEnd, Word};

/// What one client was told in storm and drain, after it had happened. None of it is a decision: nobody waited.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct NotifySummary {
    /// Notices read. Where the kernel merges events before they are read (fanotify: one thread's on one file), one
    /// notice stands for several events, and how many is unknown.
    pub notices: u64,
    /// Of those, which told of what. A merged notice is counted at each of its events.
    pub by_event: BTreeMap<Word<NotifyEvent>, u64>,
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

/// What one client did, from its own trace and from what the others recorded of it. Counts and times are of storm and
/// drain where nothing else is said; times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    pub by_approval: BTreeMap<Word<ApprovalWay>, u64>,
    /// Every operation of storm and drain from its side.
    #[serde(default)]
    pub approvals: Approvals,
    /// Operations it made in storm and drain.
    pub operations: u64,
    /// What it was told after it had happened (NOTIFY); `null` for a client that is only asked.
    #[serde(default)]
    pub told: Option<NotifySummary>,
    /// What it asked of its helpers and of daemons.
    #[serde(default)]
    pub requests: Vec<Requests>,
    /// From read to answer; `count` are those that were answered, `censored` those that never were.
    pub latency_ns: Latency,
    /// The same by who made the events, the workload first; only those that there were.
    #[serde(default)]
    pub populations: Vec<Population>,
    /// The same of decisions not about its own process.
    pub latency_others_ns: Latency,
    /// The same by event kind.
    pub latency_by_event_ns: BTreeMap<Word<EventKind>, Latency>,
    /// The latency spectrum of `latency_others_ns`: (percent, nanoseconds), rising.
    pub spectrum: Vec<(f64, u64)>,
    /// From this percentage on the spectrum is a lower bound, since decisions were never answered; `null` for none.
    #[serde(default)]
    pub spectrum_at_least_from: Option<f64>,
    /// The same of the control phase.
    pub control_spectrum: Vec<(f64, u64)>,
    /// From this percentage on that is a lower bound; `null` for none.
    #[serde(default)]
    pub control_spectrum_at_least_from: Option<f64>,
    /// From read to the start of work.
    pub queue_ns: Latency,
    /// From the start of work to the answer, without `blocked_ns`. Queue, work and blocked sum up to the decision.
    pub work_ns: Latency,
    /// Waiting in its own operations, up to its own answer, or to its end where it never gave one.
    pub blocked_ns: Latency,
    /// What is left of decisions that were never answered: in the queue or at work, which cannot be told apart, because
    /// when work begins is written down with the answer.
    #[serde(default)]
    pub untold_ns: Latency,
    /// Share of the deadline left when the answer left.
    pub headroom: Headroom,
    /// Decisions answered after their deadline, or never answered and older than it. Where the warden killed the client for
    /// one, that is the only miss among those that it left unanswered.
    pub deadline_misses: u64,
    /// Further misses that cannot be ruled out, because nobody watched: events that may have lain unread past the deadline.
    #[serde(default)]
    pub deadline_misses_possible: u64,
    /// The ten decisions with the least headroom, worst first.
    pub closest_calls: Vec<Call>,
    /// Who made it decide: (subject and kind, decisions, nanoseconds of its time), the most first, at most 20.
    pub blame_in: Vec<Blame>,
    /// The files it was asked about most, at most 20.
    pub top_paths: Vec<Blame>,
    /// The extensions it was asked about most, at most 10.
    pub top_extensions: Vec<Blame>,
    /// Where the time within its own operations went.
    #[serde(default)]
    pub own_operations: OwnOperations,
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
    pub end: Word<ProcessEnd>,
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
    /// Where that time went.
    pub times: RequestTimes,
}

/// Where the time of the requests went that were carried out:
/// `total_ns = Σ total_ns of to_worker, queued, working, operating, back + not_told_ns`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RequestTimes {
    /// The requests whose worker said what became of its time.
    pub told: u64,
    /// From request to reply, all of them together.
    pub total_ns: u64,
    /// In the client's queue for a free channel, and on the channel, until the worker had read it.
    pub to_worker: Leg,
    /// In the worker's own queue, until one of its threads began it.
    pub queued: Leg,
    /// At work, operations left out: delay, processor, hashing.
    pub working: Leg,
    /// In the worker's opens and programs: there it waits for every client that is asked about them.
    pub operating: Leg,
    /// From the worker's end to the client's having heard of it.
    pub back: Leg,
    /// Of the requests whose worker said nothing, as in a simulation.
    pub not_told_ns: u64,
}

/// One part of the way of the requests that a worker accounted for, in nanoseconds. All zero without any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Leg {
    /// All of it together.
    pub total_ns: u64,
    /// The median of one request.
    pub p50_ns: u64,
    /// 99 % of the requests took at most this.
    pub p99_ns: u64,
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
    pub asked: BTreeMap<Word<ApprovalWay>, u64>,
    /// Those it was not asked about, by why: `dead-client`, `mute` (of a path), `cache-hit`, `own-process` (Endpoint
    /// Security), `not-subscribed`, `denied-before`, `out-of-scope`, `failed-before`, `exhausted` (it had no descriptor left, so
    /// the kernel denied), `unfinished`.
    pub hidden: BTreeMap<Word<ApprovalWay>, u64>,
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
        self.operations.raise(other.operations);
        for (sum, counts) in [(&mut self.asked, &other.asked), (&mut self.hidden, &other.hidden)] {
            for (way, count) in counts {
                sum.entry(way.clone()).or_default().raise(*count);
            }
        }
        self.unknown.raise(other.unknown);
        self.further.raise(other.further);
        self.elsewhere.raise(other.elsewhere);
    }

    /// Operations approved in this way, whether it was asked or not.
    #[must_use]
    pub fn by(&self, way: impl Into<Word<ApprovalWay>>) -> u64 {
        let way = way.into();
        let count = |counts: &BTreeMap<Word<ApprovalWay>, u64>| counts.get(&way).copied().unwrap_or(0);
        count(&self.asked).saturating_add(count(&self.hidden))
    }
}

/// Headroom, as shares from 0 to 1 (negative when answered after the deadline). What was never answered counts with what
/// was left when its client ended, or the record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Headroom {
    /// The lowest; `null` without any decision.
    pub min: Option<f64>,
    /// 1 % have at most this.
    pub p01: Option<f64>,
    /// The median.
    pub p50: Option<f64>,
    /// The figures that are upper bounds, since a decision was never answered: what was left is this or less.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_most: Vec<HeadroomFigure>,
}

/// One figure of a distribution of headroom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HeadroomFigure {
    /// The lowest.
    Min,
    /// What 1 % have at most.
    P01,
    /// The median.
    P50,
}

impl Headroom {
    /// True when a figure is an upper bound.
    #[must_use]
    pub fn is_at_most(&self, figure: HeadroomFigure) -> bool {
        self.at_most.contains(&figure)
    }
}

/// One decision of the ten that a ranking holds, with the chain of operations and decisions that led to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Call {
    /// Its place in the client's trace.
    pub record: u64,
    /// When it was read, from the run's origin.
    pub read_ns: u64,
    /// From read to answer; `null` when never answered.
    pub took_ns: Option<u64>,
    /// Never answered: how long it had lasted when its client ended, or the record; else `null`.
    #[serde(default)]
    pub open_ns: Option<u64>,
    /// Headroom as a share, and of one that was never answered what was left at most; `null` when not known.
    pub headroom: Option<f64>,
    /// The target relative to the arena.
    pub path: Option<String>,
    /// How it came about.
    pub approval: Word<ApprovalWay>,
    /// From the root operation to this decision, such as `driver open f7`, `alpha decides`, `alpha open f7`.
    pub chain: Vec<String>,
    /// Decisions that followed from it.
    pub inflicted: u64,
}

/// One line of a ranking: who, which file or which extension took how much of a client's decisions and time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Blame {
    /// What it is.
    pub name: String,
    /// `workload`, `client`, `own`, `unexplained`, ...
    pub kind: Word<BlameKind>,
    /// Decisions.
    pub decisions: u64,
    /// Time from read to answer, summed; of a decision that was never answered, to its client's end.
    pub total_ns: u64,
    /// One of them was never answered, so that the time is this or more.
    #[serde(default)]
    pub at_least: bool,
}

/// Decisions of storm and drain that one client's operations brought upon one other.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Inflicted {
    /// The client that had to decide.
    pub client: String,
    /// Decisions about this client's own operations.
    pub exclusive: u64,
    /// Decisions anywhere below this client's decisions.
    pub inclusive: u64,
}

/// Where the time within a client's own operations went, in storm and drain, whether one of its decisions waited for them or
/// not. The four parts sum up to `total_ns`; where several clients held an operation at once, its time is the first's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OwnOperations {
    /// How many; one that never ended counts up to its process's end, or the record's.
    pub operations: u64,
    /// All their time in nanoseconds.
    pub total_ns: u64,
    /// Until a client first read of them: the kernel's way to it, and the wait for its reader to run.
    pub handed_over_ns: u64,
    /// While other clients decided. Where clients are asked one after the other, this is the sum of `waited_ns` over `peers`.
    pub peers_ns: u64,
    /// While its own reader decided.
    pub own_reader_ns: u64,
    /// The rest, which no record explains: the kernel's way from one answer to the next read and back to the caller, the
    /// scheduler, and the operation itself.
    pub unexplained_ns: u64,
}

/// What a client and one other did to each other in storm and drain: events in both directions, and how long each waited
/// in its own operations for the other's answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Peer {
    /// The other client.
    pub client: String,
    /// Its events that this client decided on.
    pub received: u64,
    /// This client's events that it decided on.
    pub inflicted: u64,
    /// Nanoseconds this client waited for its answers; for one that never came, until one of the two ended.
    pub waited_ns: u64,
    /// Nanoseconds it waited for this client's answers.
    pub made_wait_ns: u64,
}

/// The decisions of a client that one change of it would have spared, had all else gone as it did. Changes overlap, so
/// their numbers do not add up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Avoidable {
    /// The change, in words: `cache allows`, `mute own process`, `allow other clients' events`.
    pub change: Word<Mitigation>,
    /// Decisions it would have spared this client.
    pub decisions: u64,
    /// Their share of all its decisions, 0 to 1.
    pub share: f64,
    /// What it would blind the client to.
    pub blind_spot: String,
}

/// One process of a client, from the beginning of its trace to its end; the next one is its next start. Instants in
/// nanoseconds from the run's origin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Life {
    /// When its trace began, from the run's origin.
    pub began_ns: u64,
    /// When its end was seen; `null` when nobody saw it.
    pub ended_ns: Option<u64>,
    /// How it ended, as in `Client::end`.
    pub end: Word<ProcessEnd>,
}
