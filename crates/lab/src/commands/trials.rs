//! Several runs of one lab as figures: what sweeps and ladders show of each.

use std::num::NonZeroU32;

use lab_model::units;
use lab_model::{Lab, Span};
use lab_sim::{Range, Trials};
use serde_json::{Value, json};

/// Baseline and control tell nothing that a sweep shows, and what is expected of the lab as it is need not hold of
/// another.
pub(super) fn storm_only(mut lab: Lab) -> Lab {
    lab.phases.baseline = Span::default();
    lab.phases.control = Span::default();
    lab.expect.clear();
    lab
}

/// The lab's own seed and those after it.
pub(super) fn seeds(lab: &Lab, trials: NonZeroU32) -> Vec<u64> {
    (0..u64::from(trials.get())).map(|more| lab.seed.wrapping_add(more)).collect()
}

pub(super) const HEADINGS: [&str; 6] =
    ["outcome", "amplification", "open p50", "open p99", "missed", "in flight"];

pub(super) fn about(lab: &Lab, rules: &str, seeds: &[u64]) -> String {
    let runs = units::counted(units::count_of(seeds.len()), "run");
    let spread = if seeds.len() > 1 { "; median, and lowest to highest where they differ" } else { "" };
    format!("{}: {rules} rules, {runs} of each{spread}\n", lab.name)
}

pub(super) fn figures(trials: &Trials) -> [String; 6] {
    let outcomes: Vec<String> = match trials.outcomes.iter().collect::<Vec<_>>().as_slice() {
        [(outcome, _)] => vec![outcome.name().to_owned()],
        several => several
            .iter()
            .map(|(outcome, count)| format!("{} {}", units::count(u64::from(**count)), outcome.name()))
            .collect(),
    };
    [
        outcomes.join(", "),
        range(trials.amplification, &units::number),
        range(trials.open_p50, &nanoseconds),
        range(trials.open_p99, &nanoseconds),
        range(trials.missed, &units::number),
        range(trials.in_flight, &units::number),
    ]
}

pub(super) fn nanoseconds(value: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates; times are positive"
    )]
    units::time(value as u64)
}

pub(super) fn range(range: Option<Range>, show: &dyn Fn(f64) -> String) -> String {
    let Some(range) = range else { return units::UNKNOWN.to_owned() };
    let (low, median, high) = (show(range.low), show(range.median), show(range.high));
    if low == high { median } else { format!("{median} ({low} to {high})") }
}

pub(super) fn trials_json(trials: &Trials) -> Value {
    let range = |range: Option<Range>| {
        range.map(|range| json!({ "low": range.low, "median": range.median, "high": range.high }))
    };
    let outcomes: serde_json::Map<String, Value> =
        trials.outcomes.iter().map(|(outcome, count)| (outcome.name().to_owned(), json!(count))).collect();
    json!({
        "outcomes": outcomes,
        "amplification": range(trials.amplification),
        "open_p50_ns": range(trials.open_p50),
        "open_p99_ns": range(trials.open_p99),
        "deadline_misses": range(trials.missed),
        "in_flight": range(trials.in_flight),
        "gain": range(trials.gain),
    })
}
