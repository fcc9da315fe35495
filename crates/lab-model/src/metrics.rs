//! What a run's report offers to expectations: every metric, its unit, and the measure that has it.

/// What a metric's value is: it decides how a lab file may write the other side of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MetricUnit {
    /// Whole things.
    Count,
    /// A number without a unit.
    Ratio,
    /// A part of a whole; 1 is 100%.
    Share,
    /// Nanoseconds.
    Time,
    /// One of these words.
    Word(&'static [&'static str]),
}

/// One kind of number or word that a run's report offers to expectations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The measure of the analysis that answers it, or `verdict` for what the run comes to as a whole.
    pub measure: &'static str,
    /// Its dotted path. A part is a word, words with `|` between them (any of these), `<client>` (the ID of
    /// a client of the lab) or `<phase>`.
    pub pattern: &'static str,
    /// What it counts.
    pub unit: MetricUnit,
    /// What it tells, in a few words.
    pub about: &'static str,
}

/// The outcomes of a run, as `outcome == …` names them.
pub const OUTCOMES: [&str; 5] = ["stable", "saturated", "divergent", "deadlocked", "unknown"];

/// How the kernel asks several clients about one operation, as `delivery.order == …` names it.
pub const DELIVERY_ORDERS: [&str; 3] = ["serial", "parallel", "mixed"];

/// What a denial means for a client that has not answered, as `delivery.after_deny == …` names it.
pub const AFTER_DENY: [&str; 4] = ["spared", "not-waited", "waited", "mixed"];

/// Whom a kept answer serves, as `delivery.kept_answers == …` names it.
pub const KEPT_ANSWERS: [&str; 4] = ["own", "shared", "not-kept", "mixed"];

/// Every metric that an expectation may name.
pub const METRICS: [Metric; 42] = [
    metric("verdict", "outcome", MetricUnit::Word(&OUTCOMES), "how the run ended"),
    metric("cascades", "amplification", MetricUnit::Ratio, "decisions per root operation of the storm"),
    metric("gain", "loop_gain", MetricUnit::Ratio, "spectral radius of the gain matrix"),
    metric("gain", "loop_gain.low|high", MetricUnit::Ratio, "ends of the loop gain's interval"),
    metric(
        "gain",
        "gain.<client>.<client>",
        MetricUnit::Ratio,
        "events on the first per event of the second",
    ),
    metric("clients", "deadline.misses", MetricUnit::Count, "answers after the deadline, all clients"),
    metric(
        "rules",
        "deadline.open|exec.min|max",
        MetricUnit::Time,
        "how long an answer may take, by event: the kernel's deadline, or the lab's where the kernel has none",
    ),
    metric(
        "rules",
        "delivery.order",
        MetricUnit::Word(&DELIVERY_ORDERS),
        "how the kernel asks several clients",
    ),
    metric(
        "rules",
        "delivery.after_deny",
        MetricUnit::Word(&AFTER_DENY),
        "what happens to clients that have not answered when another denies",
    ),
    metric(
        "rules",
        "delivery.kept_answers",
        MetricUnit::Word(&KEPT_ANSWERS),
        "which clients a cached result applies to",
    ),
    metric(
        "rules",
        "delivery.left.min|p01|p50",
        MetricUnit::Share,
        "share of the deadline left when an event is read",
    ),
    metric("clients", "headroom.min|p01|p50", MetricUnit::Share, "share of the deadline left at the answer"),
    metric("clients", "latency.p50|p99|p999|max", MetricUnit::Time, "time to the answer, all clients"),
    metric(
        "clients",
        "latency.workload|peers|itself.p50|p99|p999|max",
        MetricUnit::Time,
        "the same of events that the workload, other clients or the client itself made",
    ),
    metric(
        "phases",
        "op_latency.<phase>.p50|p99|max",
        MetricUnit::Time,
        "what one operation of the workload took",
    ),
    metric("totals", "root_ops", MetricUnit::Count, "operations of the workload in the storm"),
    metric("phases", "root_ops.<phase>", MetricUnit::Count, "operations of the workload in a phase"),
    metric("totals", "operations", MetricUnit::Count, "operations of the workload and of the clients"),
    metric("totals", "decisions", MetricUnit::Count, "decisions of all clients"),
    metric(
        "totals",
        "decisions.explained|unexplained",
        MetricUnit::Count,
        "decisions joined, or not, to an operation",
    ),
    metric("totals", "decisions.own_process", MetricUnit::Count, "decisions on the client's own operations"),
    metric(
        "approvals",
        "approvals.rule|own-process|peer|deadline-fallback|queue-full|mute|cache-hit|dead-client|unknown",
        MetricUnit::Count,
        "operations approved in this way, asked about or not, all clients",
    ),
    metric(
        "knee",
        "knee.rate",
        MetricUnit::Count,
        "the last rate of `find_knee` that held, operations a second",
    ),
    metric("totals", "lost", MetricUnit::Count, "records that are missing from the traces"),
    metric("cascades", "cascade.depth", MetricUnit::Count, "levels of operations in the deepest cascade"),
    metric("cascades", "cascade.size", MetricUnit::Count, "decisions in the largest cascade"),
    metric(
        "verdict",
        "ends.unplanned",
        MetricUnit::Count,
        "processes that ended before the run did, and neither as planned nor for a client's missed deadline",
    ),
    metric(
        "verdict",
        "wait_cycles",
        MetricUnit::Count,
        "times that clients waited for each other in a circle",
    ),
    metric(
        "drain",
        "drain.half_life",
        MetricUnit::Time,
        "time in which the open work halves after the storm",
    ),
    metric(
        "clients",
        "clients.<client>.decisions|own_process|operations",
        MetricUnit::Count,
        "decisions and operations of one client",
    ),
    metric(
        "approvals",
        "clients.<client>.approvals.\
         rule|own-process|peer|deadline-fallback|queue-full|mute|cache-hit|dead-client|unknown",
        MetricUnit::Count,
        "the same of one client",
    ),
    metric(
        "clients",
        "clients.<client>.restarts",
        MetricUnit::Count,
        "times that one client was started again",
    ),
    metric(
        "clients",
        "clients.<client>.deadline.misses",
        MetricUnit::Count,
        "answers of one client after the deadline",
    ),
    metric(
        "clients",
        "clients.<client>.latency.p50|p99|p999|max",
        MetricUnit::Time,
        "one client's time to the answer",
    ),
    metric(
        "clients",
        "clients.<client>.latency.workload|peers|itself.p50|p99|p999|max",
        MetricUnit::Time,
        "the same by who made the events",
    ),
    metric(
        "outside",
        "outside.denied",
        MetricUnit::Count,
        "operations denied by a product beside the clients",
    ),
    metric("outside", "outside.generated", MetricUnit::Count, "decisions about what products did themselves"),
    metric(
        "outside",
        "external.misses",
        MetricUnit::Count,
        "deadlines that products beside the clients missed: each was killed for it",
    ),
    metric(
        "outside",
        "external.ended",
        MetricUnit::Count,
        "products that ended before the lab asked them to, killed at a deadline or not",
    ),
    metric(
        "outside",
        "external.waited",
        MetricUnit::Time,
        "the longest that an operation of the lab waited for a product",
    ),
    metric(
        "outside",
        "outside.added",
        MetricUnit::Time,
        "what a median open takes longer beside the products",
    ),
    metric(
        "clients",
        "clients.<client>.headroom.min|p01|p50",
        MetricUnit::Share,
        "one client's share of deadline left",
    ),
];

const fn metric(
    measure: &'static str,
    pattern: &'static str,
    unit: MetricUnit,
    about: &'static str,
) -> Metric {
    Metric { measure, pattern, unit, about }
}
