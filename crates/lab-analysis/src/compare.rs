//! Two runs side by side: which settings differ, and which numbers do by more than chance.
//!
//! Where a report holds a distribution, a number comes with an interval that holds it in 95 of 100 runs of the
//! same lab if its samples were independent: for quantiles by rank (binomial), from the latency spectrum; for
//! means from the spread of the cascades' sizes; the loop gain's is the bootstrap interval of the report. Samples
//! that follow each other are not independent, so the intervals are rather too narrow: a difference counts only
//! when the intervals do not overlap *and* it is larger than [`BAND`].

use std::collections::{BTreeMap, BTreeSet};

use lab_model::Total;
use serde::Serialize;

use crate::findings::{Client, Distribution, Findings, HeadroomFigure, Interval, Phase};

/// A difference smaller than this share of the larger value is no change.
pub const BAND: f64 = 0.05;
/// The half width of a normal distribution's middle 95 %, in standard deviations.
const NORMAL_95: f64 = 1.96;

/// One of the two runs: its findings, and its settings as the stored `lab.yaml` has them. Both may be of different labs.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// What it showed.
    pub findings: &'a Findings,
    /// The lab as it ran: each setting by its path, as text.
    pub settings: &'a BTreeMap<String, String>,
}

/// What differs between a first and a second run: settings as text, outcomes, and every number that either of them has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Settings that differ.
    pub settings: Vec<SettingChange>,
    /// How both ended up.
    pub outcomes: [String; 2],
    /// Numbers of both.
    pub numbers: Vec<NumberChange>,
}

/// A setting that the two labs do not share, by its path in the lab file as it was resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingChange {
    /// Its path.
    pub path: String,
    /// Its value in the first run; `None` where it has none.
    pub before: Option<String>,
    /// Its value in the second run.
    pub after: Option<String>,
}

/// One number of a report in both runs, each with the interval that holds it in 95 of 100 runs; the interval is a point
/// where the report has no spread. `None` where a run does not know the number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NumberChange {
    /// What it measures.
    pub name: String,
    /// What it counts in.
    pub unit: Unit,
    /// The first run's.
    pub before: Option<Interval>,
    /// The second run's.
    pub after: Option<Interval>,
    /// The second less the first, as a share of the first; `None` where that says nothing.
    pub relative: Option<f64>,
    /// What became of it.
    pub change: Change,
}

/// What a number counts in, and so how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Nanoseconds.
    Nanoseconds,
    /// A plain number.
    Number,
    /// A share from 0 to 1.
    Share,
}

/// Whether the second run's number is another by more than chance: the intervals are apart, and the difference is larger
/// than [`BAND`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Nothing that chance would not do.
    None,
    /// It rose.
    Higher,
    /// It fell.
    Lower,
    /// One of the runs does not know it.
    Unknown,
}

/// Puts two runs side by side. Numbers are in the order of the first report, then those that only the second has.
#[must_use]
pub fn compare(before: &Run<'_>, after: &Run<'_>) -> Comparison {
    let (one, other) = (numbers(before.findings), numbers(after.findings));
    let mut order: Vec<&(String, Unit)> = one.iter().map(|(key, _)| key).collect();
    order.extend(other.iter().map(|(key, _)| key).filter(|key| !one.iter().any(|(known, _)| known == *key)));
    let value = |numbers: &[((String, Unit), Option<Interval>)], key: &(String, Unit)| {
        numbers.iter().find(|(known, _)| known == key).and_then(|(_, value)| *value)
    };
    Comparison {
        settings: settings(before.settings, after.settings),
        outcomes: [before, after].map(|run| run.findings.outcome.name().to_owned()),
        numbers: order
            .into_iter()
            .map(|key| number(key.0.clone(), key.1, value(&one, key), value(&other, key)))
            .collect(),
    }
}

fn settings(before: &BTreeMap<String, String>, after: &BTreeMap<String, String>) -> Vec<SettingChange> {
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changed = paths.into_iter().filter(|path| before.get(*path) != after.get(*path));
    changed
        .map(|path| SettingChange {
            path: path.clone(),
            before: before.get(path).cloned(),
            after: after.get(path).cloned(),
        })
        .collect()
}

fn number(name: String, unit: Unit, before: Option<Interval>, after: Option<Interval>) -> NumberChange {
    let (relative, change) = match (before, after) {
        (Some(before), Some(after)) => {
            let by = after.value - before.value;
            let relative = (before.value != 0.0).then(|| by / before.value.abs());
            (relative, change(before, after))
        }
        _ => (None, Change::Unknown),
    };
    NumberChange { name, unit, before, after, relative, change }
}

fn change(before: Interval, after: Interval) -> Change {
    let by = after.value - before.value;
    let overlap = before.low <= after.high && after.low <= before.high;
    let within_band = by.abs() <= BAND * before.value.abs().max(after.value.abs());
    if overlap || within_band {
        Change::None
    } else if by > 0.0 {
        Change::Higher
    } else {
        Change::Lower
    }
}

type Named = ((String, Unit), Option<Interval>);

fn numbers(findings: &Findings) -> Vec<Named> {
    let mut numbers: Vec<Named> = Vec::new();
    let mut add = |name: String, unit, value| numbers.push(((name, unit), value));
    add("amplification".to_owned(), Unit::Number, amplification(findings));
    add("loop gain".to_owned(), Unit::Number, findings.loop_gain);
    for phase in &findings.phases {
        let name = phase.kind.name();
        if phase.root_ops == 0 {
            continue;
        }
        add(format!("{name}: operations a second"), Unit::Number, rate(phase));
        for (percent, label) in [(50.0, "p50"), (99.0, "p99")] {
            let known = phase.spectrum_at_least_from.is_none_or(|from| percent < from);
            let all = phase.op_latency_ns.count.saturating_add(phase.op_latency_ns.censored);
            let value = quantile(&phase.spectrum, all, percent).filter(|_| known);
            add(format!("{name}: operation {label}"), Unit::Nanoseconds, value);
        }
    }
    for client in &findings.clients {
        of_client(client, &mut add);
    }
    let exact = |count: u64| Some(exactly(float(count)));
    // A deadline that was missed without an answer leaves nothing, or less: how much less is no number of the lab's.
    let bound = findings.headroom.is_at_most(HeadroomFigure::Min);
    let lowest = findings.headroom.min.map(|least| if bound { least.max(0.0) } else { least });
    add("headroom min".to_owned(), Unit::Share, lowest.map(exactly));
    let missed: u64 = findings.clients.iter().map(|client| client.deadline_misses).total();
    add("deadline misses".to_owned(), Unit::Number, exact(missed));
    add("wait cycles".to_owned(), Unit::Number, exact(float_len(findings.wait_cycles.len())));
    add("records lost".to_owned(), Unit::Number, exact(findings.totals.lost));
    numbers
}

fn of_client(client: &Client, add: &mut impl FnMut(String, Unit, Option<Interval>)) {
    for (percent, label) in [(50.0, "p50"), (99.0, "p99")] {
        // Where it is only known what a percentile is at least, two runs cannot be told apart by it.
        let known = client.spectrum_at_least_from.is_none_or(|from| percent < from);
        let latency = &client.latency_others_ns;
        let all = latency.count.saturating_add(latency.censored);
        let value = quantile(&client.spectrum, all, percent).filter(|_| known);
        add(format!("{}: decision {label}", client.id), Unit::Nanoseconds, value);
    }
}

const fn exactly(value: f64) -> Interval {
    Interval { value, low: value, high: value }
}

/// Operations a second; they come by chance.
fn rate(phase: &Phase) -> Option<Interval> {
    let count = float(phase.root_ops);
    let spread = NORMAL_95 * count.sqrt() / count;
    let value = phase.ops_per_second;
    (phase.seconds > 0.0).then_some(Interval {
        value,
        low: value * (1.0 - spread),
        high: value * (1.0 + spread),
    })
}

/// The mean size of the storm's cascades, with the interval that their spread gives it.
fn amplification(findings: &Findings) -> Option<Interval> {
    let value = findings.amplification?;
    let size: &Distribution = &findings.cascades.size;
    let count: f64 = size.histogram.iter().map(|(_, count)| float(*count)).sum();
    if count < 2.0 {
        return Some(exactly(value));
    }
    let squares = size.histogram.iter().map(|(size, count)| (float(*size) - value).powi(2) * float(*count));
    let half = NORMAL_95 * (squares.sum::<f64>() / (count - 1.0)).sqrt() / count.sqrt();
    Some(Interval { value, low: value - half, high: value + half })
}

/// A quantile with its interval by rank: of `count` independent values, the rank of the quantile is binomial.
fn quantile(spectrum: &[(f64, u64)], count: u64, percent: f64) -> Option<Interval> {
    if count == 0 {
        return None;
    }
    let share = percent / 100.0;
    let half = NORMAL_95 * (share * (1.0 - share) / float(count)).sqrt() * 100.0;
    let low = at(spectrum, (percent - half).max(0.0))?;
    let high = at(spectrum, (percent + half).min(100.0))?;
    Some(Interval { value: at(spectrum, percent)?, low, high })
}

/// The value at a percentage, between the points of the spectrum along a straight line.
fn at(spectrum: &[(f64, u64)], percent: f64) -> Option<f64> {
    let Some(after) = spectrum.iter().position(|(point, _)| *point >= percent) else {
        return spectrum.last().map(|(_, value)| float(*value));
    };
    let (right, high) = spectrum[after];
    let Some(before) = after.checked_sub(1) else { return Some(float(high)) };
    let (left, low) = spectrum[before];
    let part = if right > left { (percent - left) / (right - left) } else { 1.0 };
    Some(float(low) + part * (float(high) - float(low)))
}

#[expect(clippy::cast_precision_loss, reason = "numbers for people")]
fn float(value: u64) -> f64 {
    value as f64
}

fn float_len(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interval(low: f64, value: f64, high: f64) -> Interval {
        Interval { value, low, high }
    }

    #[test]
    fn a_change_is_outside_of_both_intervals_and_of_the_band() {
        let one = interval(9.0, 10.0, 11.0);
        assert_eq!(change(one, interval(10.5, 12.0, 13.0)), Change::None);
        assert_eq!(change(one, interval(11.5, 12.0, 13.0)), Change::Higher);
        assert_eq!(change(one, interval(5.0, 6.0, 7.0)), Change::Lower);
        assert_eq!(change(exactly(100.0), exactly(104.0)), Change::None);
        assert_eq!(change(exactly(100.0), exactly(106.0)), Change::Higher);
        assert_eq!(change(exactly(0.0), exactly(1.0)), Change::Higher);
        assert_eq!(change(exactly(0.0), exactly(0.0)), Change::None);
    }

    #[test]
    fn a_quantile_of_more_values_is_known_better() {
        let spectrum: Vec<(f64, u64)> =
            (0..=100).map(|percent| (f64::from(percent), u64::try_from(percent).unwrap() * 10)).collect();
        let few = quantile(&spectrum, 100, 50.0).unwrap();
        let many = quantile(&spectrum, 10_000, 50.0).unwrap();
        assert!((few.value - 500.0).abs() < 1e-9);
        // 1.96 · √(0.25 / 100) = 9.8 percentage points, of 10 each.
        assert!((few.low - 402.0).abs() < 1e-6 && (few.high - 598.0).abs() < 1e-6, "{few:?}");
        assert!((many.high - 509.8).abs() < 1e-6, "{many:?}");
        assert_eq!(quantile(&spectrum, 0, 50.0), None);
        assert_eq!(quantile(&[], 10, 50.0), None);
    }

    #[test]
    fn settings_of_one_run_only_are_shown() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect()
        };
        let found =
            settings(&map(&[("seed", "1"), ("a", "x"), ("gone", "y")]), &map(&[("seed", "2"), ("a", "x")]));
        let expected =
            [("gone", Some("y"), None), ("seed", Some("1"), Some("2"))].map(|(path, before, after)| {
                SettingChange {
                    path: path.to_owned(),
                    before: before.map(str::to_owned),
                    after: after.map(str::to_owned),
                }
            });
        assert_eq!(found, expected);
    }
}
