//! Looks the lab file's conditions up in the findings.
//!
//! Whether a condition is well formed was decided when the lab file was read; here a name that the findings do
//! not offer, or a value that is not known, leaves the condition undecided.

use lab_model::{
    Comparison, Expectation, Expected, METRICS, Metric,
    units::{at_least, count, number, share, share_at_most, time},
};

use crate::{
    findings::{Expectation as Checked, Findings, Outcome},
    measure::{Measured, holds},
    measures::{MEASURES, Measures},
};

/// Looks a metric up by its dotted path, such as `clients.alpha.latency.p99`; `None` when the findings do not
/// know it.
#[must_use]
pub fn metric(findings: &Findings, path: &str) -> Option<Measured> {
    let owners = MEASURES.iter().map(|measure| measure.name);
    owners.chain([VERDICT]).find_map(|owner| metric_of(owner, findings, path))
}

/// The owner of the metrics that no single measure has: what the run comes to as a whole.
pub const VERDICT: &str = "verdict";

/// Looks a metric up in the one measure that should have it, or in the [`VERDICT`].
#[must_use]
pub fn metric_of(owner: &str, findings: &Findings, path: &str) -> Option<Measured> {
    let parts: Vec<&str> = path.split('.').collect();
    match (owner, &parts[..]) {
        (VERDICT, ["outcome"]) => Some(Measured::Word(findings.outcome.name().into())),
        (VERDICT, ["ends", "unplanned"]) => Some(Measured::Count(findings.unplanned_ends.len() as u64)),
        (VERDICT, ["wait_cycles"]) => Some(Measured::Count(findings.wait_cycles.len() as u64)),
        _ => Measures::metric_of(owner, findings, &parts),
    }
}

/// Checks the conditions of a lab.
pub(crate) fn check(expectations: &[Expectation], findings: &Findings) -> Vec<Checked> {
    expectations.iter().map(|expectation| one(expectation, findings)).collect()
}

/// Of a run that was not whole only that is said to hold which no more of it could change.
fn one(expectation: &Expectation, findings: &Findings) -> Checked {
    let checked = as_recorded(expectation, findings);
    let lasts = expectation.sometimes
        || match (expectation.comparison, metric(findings, &expectation.metric)) {
            (Comparison::AtLeast | Comparison::Above, Some(Measured::Count(_))) => true,
            (Comparison::Equal, Some(Measured::Word(_))) => {
                expectation.metric == "outcome" && findings.outcome == Outcome::Deadlocked
            }
            _ => false,
        };
    if findings.state.is_whole() || checked.held != Some(true) || lasts {
        return checked;
    }
    let observed = format!("{} as far as recorded", checked.observed);
    Checked { held: None, observed, ..checked }
}

fn as_recorded(expectation: &Expectation, findings: &Findings) -> Checked {
    let prefix = if expectation.sometimes { "sometimes: " } else { "" };
    let text = format!("{prefix}{}", expectation.text);
    let Some(measured) = metric(findings, &expectation.metric) else {
        return Checked { text, held: None, observed: "not known".into() };
    };
    let at_end = holds(expectation, &measured);
    let observed = show(&expectation.metric, &measured);
    let possible = possible_misses(findings, &expectation.metric);
    if let (Measured::Count(sure), 1..) = (&measured, possible) {
        let observed = format!("{observed}, and up to {} more that nobody would have seen", count(possible));
        return Checked { text, held: holds_within(expectation, *sure, possible), observed };
    }
    if !expectation.sometimes || at_end != Some(false) {
        return Checked { text, held: at_end, observed };
    }
    // A count began at 0, so what held for 0 held at some time. An extreme tells of the whole run. Of all else
    // only the value at the end is known.
    match measured {
        Measured::Count(_) => Checked { text, held: holds(expectation, &Measured::Count(0)), observed },
        _ if is_extreme(&expectation.metric) => Checked { text, held: Some(false), observed },
        _ => Checked { text, held: None, observed: format!("{observed} at the end; not known in between") },
    }
}

/// How many more deadlines may have been missed than the traces show, because nobody watched.
fn possible_misses(findings: &Findings, path: &str) -> u64 {
    let clients = findings.clients.iter();
    let named = path.strip_prefix("clients.").and_then(|rest| rest.strip_suffix(".deadline.misses"));
    match (path, named) {
        ("deadline.misses", _) => {
            clients.map(|client| client.deadline_misses_possible).fold(0, u64::saturating_add)
        }
        (_, Some(id)) => clients
            .filter(|client| client.id == id)
            .map(|client| client.deadline_misses_possible)
            .fold(0, u64::saturating_add),
        _ => 0,
    }
}

/// Whether a condition on a count holds that lies between `sure` and `sure + possible`: known only where it is the same
/// for all of them.
fn holds_within(expectation: &Expectation, sure: u64, possible: u64) -> Option<bool> {
    let Expected::Number(number) = expectation.value else { return None };
    let most = sure.saturating_add(possible);
    let (least, greatest) = (number.order_of_count(sure), number.order_of_count(most));
    let held = expectation.comparison.holds(least);
    // One number may lie in between, and to be equal to it or not is no matter of the ends alone.
    let exact = matches!(expectation.comparison, Comparison::Equal | Comparison::Unequal);
    let same = if exact { least == greatest } else { expectation.comparison.holds(greatest) == held };
    same.then_some(held)
}

fn is_extreme(metric: &str) -> bool {
    metric.ends_with(".max") || metric.ends_with("headroom.min")
}

fn show(path: &str, measured: &Measured) -> String {
    match measured {
        Measured::TimeAtLeast(nanoseconds) => at_least(&time(*nanoseconds)),
        Measured::NumberAtMost(bound) => share_at_most(*bound),
        Measured::Count(value) => count(*value),
        Measured::Word(word) => word.clone(),
        Measured::Time(nanoseconds) => time(*nanoseconds),
        Measured::Number(number) if path.contains("headroom") || path.starts_with("delivery.left") => {
            share(*number)
        }
        Measured::Number(number) if number.abs() < 1000.0 => format!("{number:.3}"),
        Measured::Number(value) => number(*value),
    }
}

/// One concrete path for each alternative of every metric that lab files may name: what a test looks up.
#[must_use]
pub fn metric_paths(client: &str, phase: &str) -> Vec<(String, &'static Metric)> {
    let mut paths = Vec::new();
    static ALL: [Metric; METRICS.len()] = METRICS;
    for metric in &ALL {
        let mut prefixes = vec![String::new()];
        for part in metric.pattern.split('.') {
            let words: Vec<&str> = match part {
                "<client>" => vec![client],
                "<phase>" => vec![phase],
                words => words.split('|').collect(),
            };
            let join = |prefix: &String, word: &str| match prefix.as_str() {
                "" => word.to_owned(),
                prefix => format!("{prefix}.{word}"),
            };
            prefixes =
                prefixes.iter().flat_map(|prefix| words.iter().map(move |word| join(prefix, word))).collect();
        }
        paths.extend(prefixes.into_iter().map(|path| (path, metric)));
    }
    paths
}
