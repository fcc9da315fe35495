//! Distributions of times and of whole numbers. Keeps no single value.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use lab_model::{Bounded, Total};

use crate::findings::{Distribution, Headroom, Latency};

/// Longer times count as this long: one hour.
const TIME_MAX_NS: u64 = 3_600_000_000_000;

/// Three significant digits.
const DIGITS: u8 = 3;

/// The shares (percent) at which a spectrum is drawn: finer towards the slow end, as people read it.
const SPECTRUM_PERCENT: [f64; 24] = [
    0.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 92.5, 95.0, 97.5, 99.0, 99.5,
    99.75, 99.9, 99.95, 99.99, 99.999, 100.0,
];

/// A distribution of times in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    histogram: Option<Box<Histogram<u64>>>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Default for Times {
    fn default() -> Times {
        Times { histogram: None, count: 0, sum: 0, min: u64::MAX, max: 0 }
    }
}

impl Times {
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        let value = nanoseconds.min(TIME_MAX_NS);
        if self.histogram.is_none() {
            // Three digits is a precision that the crate accepts, so the error arm is never taken.
            self.histogram = Histogram::new(DIGITS).ok().map(Box::new);
        }
        if let Some(histogram) = &mut self.histogram
            && histogram.record(value).is_err()
        {
            // It cannot grow to an hour only when there is no memory; then the value counts as its largest.
            histogram.saturating_record(value);
        }
        self.count.raise(1);
        self.sum.raise(u128::from(value));
        self.min = self.min.min(value);
        self.max = self.max.max(value);
    }

    /// Adds another distribution to this one.
    pub(crate) fn add(&mut self, other: &Times) {
        if let Some(theirs) = &other.histogram {
            match &mut self.histogram {
                // Both resize, so adding cannot fail for want of range.
                Some(mine) => drop(mine.add(&**theirs)),
                None => self.histogram = Some(theirs.clone()),
            }
        }
        self.count.raise(other.count);
        self.sum.raise(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }

    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    /// The value at a quantile from 0 to 1, between the exact smallest and largest; 0 when empty.
    pub(crate) fn quantile(&self, quantile: f64) -> u64 {
        match &self.histogram {
            Some(histogram) if self.count > 0 => {
                histogram.value_at_quantile(quantile).clamp(self.min, self.max)
            }
            _ => 0,
        }
    }

    /// All of them together.
    pub(crate) fn total(&self) -> u64 {
        u64::try_from(self.sum).unwrap_or(u64::MAX)
    }

    pub(crate) fn median(&self) -> Option<u64> {
        (self.count > 0).then(|| self.quantile(0.5))
    }

    pub(crate) fn summary(&self) -> Latency {
        if self.count == 0 {
            return Latency::default();
        }
        Latency {
            count: self.count,
            mean: u64::try_from(self.sum.checked_div(u128::from(self.count)).unwrap_or(0))
                .unwrap_or(u64::MAX),
            min: self.min,
            p50: self.quantile(0.5),
            p90: self.quantile(0.9),
            p99: self.quantile(0.99),
            p999: self.quantile(0.999),
            max: self.max,
        }
    }

    /// The spectrum: (percent, nanoseconds), both rising; empty when nothing was recorded.
    pub(crate) fn spectrum(&self) -> Vec<(f64, u64)> {
        if self.count == 0 {
            return Vec::new();
        }
        let mut points: Vec<(f64, u64)> = Vec::with_capacity(SPECTRUM_PERCENT.len());
        // Beyond that, one of so many values is the largest already.
        let told = 100.0 - 100.0 / self.count as f64;
        for percent in SPECTRUM_PERCENT.into_iter().filter(|&percent| percent <= told || percent >= 100.0) {
            let value = if percent == 0.0 { self.min } else { self.quantile(percent / 100.0) };
            points.push((percent, value.max(points.last().map_or(0, |&(_, before)| before))));
        }
        points
    }
}

/// Shares of the deadline that were used up, kept as parts per million so that a histogram can hold them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Used {
    parts: Times,
    worst: Option<f64>,
}

const PARTS: f64 = 1_000_000.0;

impl Used {
    /// Records an answer that took `took` of a `budget`, both in nanoseconds, and returns its headroom.
    pub(crate) fn record(&mut self, took: u64, budget: u64) -> f64 {
        let headroom = headroom(took, budget);
        let parts =
            u128::from(took).saturating_mul(1_000_000).checked_div(u128::from(budget.max(1))).unwrap_or(0);
        self.parts.record(u64::try_from(parts).unwrap_or(u64::MAX));
        self.worst = Some(self.worst.map_or(headroom, |worst| worst.min(headroom)));
        headroom
    }

    /// Adds another distribution to this one.
    pub(crate) fn add(&mut self, other: &Used) {
        self.parts.add(&other.parts);
        self.worst = self.worst.into_iter().chain(other.worst).reduce(f64::min);
    }

    pub(crate) fn headroom(&self) -> Headroom {
        // What 1 % have at most is what 99 % used at most.
        let at = |quantile: f64| {
            (self.parts.count() > 0).then(|| 1.0 - self.parts.quantile(quantile) as f64 / PARTS)
        };
        Headroom { min: self.worst, p01: at(0.99), p50: at(0.5) }
    }
}

/// The share of a budget that was left: 1 for an immediate answer, below 0 for a late one.
pub(crate) fn headroom(took: u64, budget: u64) -> f64 {
    1.0 - took as f64 / budget.max(1) as f64
}

/// The most distinct values of a [`Whole`] that are counted one by one.
const VALUES_MAX: usize = 65_536;

/// The entries of a distribution in a report.
const ENTRIES_MAX: usize = 64;

/// A distribution of whole numbers, exact up to 65,536 distinct values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Whole {
    counts: BTreeMap<u64, u64>,
    count: u64,
    sum: u128,
}

impl Whole {
    pub(crate) fn record(&mut self, value: u64) {
        self.count.raise(1);
        self.sum.raise(u128::from(value));
        if self.counts.len() < VALUES_MAX || self.counts.contains_key(&value) {
            self.counts.entry(value).or_default().raise(1);
        } else if let Some((_, count)) = self.counts.range_mut(..=value).next_back() {
            count.raise(1);
        } else if let Some((_, count)) = self.counts.iter_mut().next() {
            count.raise(1);
        }
    }

    pub(crate) fn mean(&self) -> Option<f64> {
        (self.count > 0).then(|| self.sum as f64 / self.count as f64)
    }

    fn at(&self, share: f64) -> u64 {
        let rank = (self.count as f64 * share).ceil().max(1.0);
        let mut below = 0_u64;
        for (&value, &count) in &self.counts {
            below.raise(count);
            if below as f64 >= rank {
                return value;
            }
        }
        0
    }

    pub(crate) fn summary(&self) -> Distribution {
        let mut histogram: Vec<(u64, u64)> =
            self.counts.iter().map(|(&value, &count)| (value, count)).collect();
        if histogram.len() > ENTRIES_MAX {
            let rest = histogram.split_off(ENTRIES_MAX - 1);
            let first = rest.first().map_or(0, |&(value, _)| value);
            histogram.push((first, rest.iter().map(|&(_, count)| count).total()));
        }
        Distribution {
            min: self.counts.keys().next().copied().unwrap_or(0),
            p50: self.at(0.5),
            p99: self.at(0.99),
            max: self.counts.keys().next_back().copied().unwrap_or(0),
            mean: self.mean().unwrap_or(0.0),
            histogram,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spectrum_goes_no_further_than_its_count_tells() {
        let spectrum = |count: u64| {
            let mut times = Times::default();
            (1..=count).for_each(|value| times.record(value * 1000));
            times.spectrum()
        };
        let last = |count| spectrum(count).iter().rev().nth(1).map(|point| point.0);
        assert_eq!([6, 100, 1000].map(last), [80.0, 99.0, 99.9].map(Some));
        assert_eq!(spectrum(1).iter().map(|point| point.0).collect::<Vec<_>>(), [0.0, 100.0]);
        assert_eq!(spectrum(6).last(), Some(&(100.0, 6000)));
    }

    #[test]
    fn quantiles_lie_between_the_exact_ends() {
        let mut times = Times::default();
        assert_eq!(times.summary(), Latency::default());
        for value in 1..=1000 {
            times.record(value * 1000);
        }
        let summary = times.summary();
        assert_eq!((summary.count, summary.min, summary.max, summary.mean), (1000, 1000, 1_000_000, 500_500));
        assert!(summary.p50.abs_diff(500_000) <= 500, "{summary:?}");
        assert!(summary.p99.abs_diff(990_000) <= 990, "{summary:?}");
        assert!(times.spectrum().windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
        times.record(u64::MAX);
        assert_eq!(times.summary().max, TIME_MAX_NS, "longer than an hour counts as an hour");
    }

    #[test]
    fn headroom_of_a_late_answer_is_negative() {
        let mut used = Used::default();
        assert_eq!(used.headroom(), Headroom { min: None, p01: None, p50: None });
        assert_eq!(used.record(250, 1000), 0.75);
        assert_eq!(used.record(1500, 1000), -0.5);
        assert_eq!(used.headroom().min, Some(-0.5));
    }

    #[test]
    fn a_long_distribution_keeps_its_counts() {
        let mut whole = Whole::default();
        for value in 0..1000 {
            whole.record(value);
        }
        let summary = whole.summary();
        assert_eq!(summary.histogram.len(), ENTRIES_MAX);
        assert_eq!(summary.histogram.iter().map(|&(_, count)| count).sum::<u64>(), 1000);
        assert_eq!((summary.min, summary.p50, summary.p99, summary.max), (0, 499, 989, 999));
    }
}
