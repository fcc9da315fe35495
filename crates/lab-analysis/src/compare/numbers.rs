//! The numbers of a run that are compared with those of others, each with the interval that its own samples give it.
//!
//! Where a report holds a distribution, a number comes with an interval that holds it in 95 of 100 runs if its samples were
//! independent: for quantiles by rank (binomial), from the latency spectrum; for means from the spread of the cascades'
//! sizes; the loop gain's is that of the report, for 99 of 100. Samples that follow each other in one run share its
//! luck, so this says how well the run knows its number, and nothing of how far the next run's will be from it.

use lab_model::{
    Total,
    units::{count_of, float},
};
use serde::Serialize;

use crate::findings::{Client, Distribution, Findings, HeadroomFigure, Interval, Phase};

/// The half width of a normal distribution's middle 95 %, in standard deviations.
const NORMAL_95: f64 = 1.96;

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

/// Which way a number goes when it becomes worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Worse {
    /// Up: times, events for an operation, misses.
    Higher,
    /// Down: rates of operations, headroom.
    Lower,
}

/// One number of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Number {
    /// What it measures; the same words in every run.
    pub name: String,
    /// What it counts in.
    pub unit: Unit,
    /// Which way is worse.
    pub worse: Worse,
    /// It is one client's, not the whole lab's.
    pub of_client: bool,
    /// It depends on how fast the machine was: a time, a rate, headroom, misses.
    pub of_time: bool,
    /// The value with the interval of its samples, which is a point where the report has no spread; `None` where the run
    /// does not know it.
    pub value: Option<Interval>,
}

/// The numbers of a run, in the order of its report.
#[must_use]
pub fn numbers(findings: &Findings) -> Vec<Number> {
    let of_lab = |name: String, unit, worse, value| {
        let of_time = !COUNTS.contains(&name.as_str());
        Number { name, unit, worse, of_client: false, of_time, value }
    };
    let mut numbers = vec![
        of_lab("amplification".to_owned(), Unit::Number, Worse::Higher, amplification(findings)),
        of_lab("loop gain".to_owned(), Unit::Number, Worse::Higher, findings.loop_gain),
    ];
    for phase in findings.phases.iter().filter(|phase| phase.root_ops > 0) {
        let name = phase.kind.name();
        numbers.push(of_lab(format!("{name}: operations a second"), Unit::Number, Worse::Lower, rate(phase)));
        for (percent, label) in QUANTILES {
            let known = phase.spectrum_at_least_from.is_none_or(|from| percent < from);
            let all = phase.op_latency_ns.count.saturating_add(phase.op_latency_ns.censored);
            let value = quantile(&phase.spectrum, all, percent).filter(|_| known);
            let name = format!("{name}: operation {label}");
            numbers.push(of_lab(name, Unit::Nanoseconds, Worse::Higher, value));
        }
    }
    numbers.extend(findings.clients.iter().flat_map(of_client));
    let exact = |count: u64| Some(exactly(float(count)));
    // A deadline that was missed without an answer leaves nothing, or less: how much less is no number of the lab's.
    let bound = findings.headroom.is_at_most(HeadroomFigure::Min);
    let lowest = findings.headroom.min.map(|least| if bound { least.max(0.0) } else { least });
    let missed: u64 = findings.clients.iter().map(|client| client.deadline_misses).total();
    numbers.push(of_lab("headroom min".to_owned(), Unit::Share, Worse::Lower, lowest.map(exactly)));
    for (name, count) in [
        ("deadline misses", missed),
        ("wait cycles", count_of(findings.wait_cycles.len())),
        ("records lost", findings.totals.lost),
    ] {
        numbers.push(of_lab(name.to_owned(), Unit::Number, Worse::Higher, exact(count)));
    }
    numbers
}

/// What does not depend on how fast the machine was, or hardly.
const COUNTS: [&str; 4] = ["amplification", "loop gain", "wait cycles", "records lost"];

/// The quantiles that are compared: in percent, and their names.
const QUANTILES: [(f64, &str); 2] = [(50.0, "p50"), (99.0, "p99")];

fn of_client(client: &Client) -> [Number; 2] {
    QUANTILES.map(|(percent, label)| {
        // Where it is only known what a percentile is at least, runs cannot be told apart by it.
        let known = client.spectrum_at_least_from.is_none_or(|from| percent < from);
        let latency = &client.latency_others_ns;
        let all = latency.count.saturating_add(latency.censored);
        Number {
            name: format!("{}: decision {label}", client.id),
            unit: Unit::Nanoseconds,
            worse: Worse::Higher,
            of_client: true,
            of_time: true,
            value: quantile(&client.spectrum, all, percent).filter(|_| known),
        }
    })
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
