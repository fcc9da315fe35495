//! Distributions of times and of whole numbers. Keeps no single value.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;
use lab_model::{Bounded, Total};

use super::survival::{Estimate, Step, Survival};
use crate::findings::{Distribution, Figure, Headroom, HeadroomFigure, Latency};

/// Longer times count as this long: one hour.
const TIME_MAX_NS: u64 = 3_600_000_000_000;

/// Three significant digits.
const DIGITS: u8 = 3;

/// The shares (percent) at which a spectrum is drawn: finer towards the slow end, as people read it.
const SPECTRUM_PERCENT: [f64; 24] = [
    0.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 75.0, 80.0, 85.0, 90.0, 92.5, 95.0, 97.5, 99.0, 99.5,
    99.75, 99.9, 99.95, 99.99, 99.999, 100.0,
];

/// Lengths of time, and how many of each.
#[derive(Clone, Debug)]
struct Lengths {
    histogram: Option<Box<Histogram<u64>>>,
    count: u64,
    sum: u128,
    min: u64,
    max: u64,
}

impl Default for Lengths {
    fn default() -> Lengths {
        Lengths { histogram: None, count: 0, sum: 0, min: u64::MAX, max: 0 }
    }
}

impl Lengths {
    fn record(&mut self, nanoseconds: u64) {
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

    fn add(&mut self, other: &Lengths) {
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

    /// The value at a quantile from 0 to 1, between the exact smallest and largest; 0 when empty.
    fn quantile(&self, quantile: f64) -> u64 {
        match &self.histogram {
            Some(histogram) if self.count > 0 => {
                histogram.value_at_quantile(quantile).clamp(self.min, self.max)
            }
            _ => 0,
        }
    }

    /// Each length that was recorded, as exact as the histogram has it, and how often.
    fn steps(&self) -> impl Iterator<Item = (u64, u64)> {
        let recorded = self.histogram.iter().flat_map(|histogram| histogram.iter_recorded());
        recorded.map(|step| {
            (step.value_iterated_to().clamp(self.min, self.max), step.count_since_last_iteration())
        })
    }
}

/// A distribution of times in nanoseconds, of some of which only a lower bound is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Times {
    ended: Lengths,
    /// How long those had lasted that were not over when they were last seen.
    open: Option<Box<Lengths>>,
}

impl Times {
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.ended.record(nanoseconds);
    }

    /// Records something that was not over after this time.
    pub(crate) fn record_open(&mut self, nanoseconds: u64) {
        self.open.get_or_insert_default().record(nanoseconds);
    }

    /// Adds another distribution to this one.
    pub(crate) fn add(&mut self, other: &Times) {
        self.ended.add(&other.ended);
        if let Some(theirs) = &other.open {
            self.open.get_or_insert_default().add(theirs);
        }
    }

    /// How many were seen to end.
    pub(crate) const fn count(&self) -> u64 {
        self.ended.count
    }

    fn is_empty(&self) -> bool {
        self.count() == 0 && self.open.is_none()
    }

    /// The value at a quantile from 0 to 1, between the exact smallest and largest; 0 when empty.
    pub(crate) fn quantile(&self, quantile: f64) -> u64 {
        self.quantiles()(quantile).value
    }

    /// What tells any quantile.
    fn quantiles(&self) -> impl Fn(f64) -> Estimate {
        let survival = self.open.as_ref().map(|open| {
            let mut steps: BTreeMap<u64, Step> = BTreeMap::new();
            let step = |at| Step { at, ended: 0, open: 0 };
            for (at, count) in self.ended.steps() {
                steps.entry(at).or_insert_with(|| step(at)).ended.raise(count);
            }
            for (at, count) in open.steps() {
                steps.entry(at).or_insert_with(|| step(at)).open.raise(count);
            }
            Survival::of(steps.into_values())
        });
        move |quantile| match &survival {
            Some(survival) => survival.quantile(quantile),
            None => Estimate { value: self.ended.quantile(quantile), at_least: false },
        }
    }

    /// All of them together.
    pub(crate) fn total(&self) -> u64 {
        u64::try_from(self.ended.sum).unwrap_or(u64::MAX)
    }

    /// The median of what was seen to end.
    pub(crate) fn median(&self) -> Option<u64> {
        (self.count() > 0).then(|| self.ended.quantile(0.5))
    }

    pub(crate) fn summary(&self) -> Latency {
        if self.is_empty() {
            return Latency::default();
        }
        let (ended, quantile) = (&self.ended, self.quantiles());
        let open = self.open.as_deref();
        let all = ended.count.saturating_add(open.map_or(0, |open| open.count));
        let sum = ended.sum.saturating_add(open.map_or(0, |open| open.sum));
        let mean = u64::try_from(sum.checked_div(u128::from(all)).unwrap_or(0)).unwrap_or(u64::MAX);
        let longest = open.map_or(0, |open| open.max);
        let figures = [
            (Figure::Mean, Estimate { value: mean, at_least: open.is_some() }),
            (
                Figure::Min,
                match open {
                    Some(open) if ended.count == 0 => Estimate { value: open.min, at_least: true },
                    _ => Estimate { value: ended.min, at_least: false },
                },
            ),
            (Figure::P50, quantile(0.5)),
            (Figure::P90, quantile(0.9)),
            (Figure::P99, quantile(0.99)),
            (Figure::P999, quantile(0.999)),
            (
                Figure::Max,
                Estimate { value: ended.max.max(longest), at_least: open.is_some() && longest >= ended.max },
            ),
        ];
        let [mean, min, p50, p90, p99, p999, max] = figures.map(|(_, estimate)| estimate.value);
        Latency {
            count: ended.count,
            mean,
            min,
            p50,
            p90,
            p99,
            p999,
            max,
            censored: open.map_or(0, |open| open.count),
            at_least: figures.iter().filter(|(_, estimate)| estimate.at_least).map(|&(of, _)| of).collect(),
        }
    }

    /// The spectrum: (percent, nanoseconds), both rising; empty when nothing was recorded.
    pub(crate) fn spectrum(&self) -> Spectrum {
        let mut spectrum = Spectrum::default();
        if self.is_empty() {
            return spectrum;
        }
        let quantile = self.quantiles();
        let smallest = match &self.open {
            Some(open) if self.ended.count == 0 => Estimate { value: open.min, at_least: true },
            _ => Estimate { value: self.ended.min, at_least: false },
        };
        // Beyond that, one of so many values is the largest already.
        let count = self.ended.count.saturating_add(self.open.as_ref().map_or(0, |open| open.count));
        let told = 100.0 - 100.0 / count as f64;
        for percent in SPECTRUM_PERCENT.into_iter().filter(|&percent| percent <= told || percent >= 100.0) {
            let estimate = if percent == 0.0 { smallest } else { quantile(percent / 100.0) };
            if estimate.at_least && spectrum.at_least_from.is_none() {
                spectrum.at_least_from = Some(percent);
            }
            let before = spectrum.points.last().map_or(0, |&(_, before)| before);
            spectrum.points.push((percent, estimate.value.max(before)));
        }
        spectrum
    }
}

/// A spectrum as it stands in a report.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spectrum {
    /// (percent, nanoseconds), both rising.
    pub(crate) points: Vec<(f64, u64)>,
    /// From this percentage on they are lower bounds.
    pub(crate) at_least_from: Option<f64>,
}

/// How much of a deadline a decision has used up, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UsedUp {
    pub(crate) took: u64,
    pub(crate) budget: u64,
    /// It was never answered: it has used up at least this.
    pub(crate) open: bool,
}

impl UsedUp {
    /// The share that was left, at most that where it is open.
    pub(crate) fn headroom(self) -> f64 {
        headroom(self.took, self.budget)
    }
}

/// Shares of the deadline that were used up, kept as parts per million so that a histogram can hold them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Used {
    parts: Times,
    /// The least that was left, and whether it was at most that.
    worst: Option<(f64, bool)>,
}

const PARTS: f64 = 1_000_000.0;

impl Used {
    /// Records a decision and returns its headroom.
    pub(crate) fn record(&mut self, used: UsedUp) -> f64 {
        let parts = u128::from(used.took)
            .saturating_mul(1_000_000)
            .checked_div(u128::from(used.budget.max(1)))
            .unwrap_or(0);
        let parts = u64::try_from(parts).unwrap_or(u64::MAX);
        if used.open {
            self.parts.record_open(parts)
        } else {
            self.parts.record(parts)
        }
        self.least(used.headroom(), used.open);
        used.headroom()
    }

    /// Records that a deadline was missed and no decision was read that would show it: nothing was left, or less.
    pub(crate) fn missed_unread(&mut self) {
        self.least(0.0, true);
    }

    fn least(&mut self, headroom: f64, at_most: bool) {
        let lower = self
            .worst
            .is_none_or(|(worst, bound)| headroom < worst || (headroom <= worst && at_most && !bound));
        if lower {
            self.worst = Some((headroom, at_most));
        }
    }

    /// Adds another distribution to this one.
    pub(crate) fn add(&mut self, other: &Used) {
        self.parts.add(&other.parts);
        if let Some((headroom, at_most)) = other.worst {
            self.least(headroom, at_most);
        }
    }

    pub(crate) fn headroom(&self) -> Headroom {
        // What 1 % have at most is what 99 % used at most.
        let quantile = self.parts.quantiles();
        let at = |share: f64| (!self.parts.is_empty()).then(|| quantile(share));
        let left = |used: Estimate| 1.0 - used.value as f64 / PARTS;
        let (p01, p50) = (at(0.99), at(0.5));
        let bounds = [
            (HeadroomFigure::Min, self.worst.is_some_and(|(_, at_most)| at_most)),
            (HeadroomFigure::P01, p01.is_some_and(|used| used.at_least)),
            (HeadroomFigure::P50, p50.is_some_and(|used| used.at_least)),
        ];
        Headroom {
            min: self.worst.map(|(worst, _)| worst),
            p01: p01.map(left),
            p50: p50.map(left),
            at_most: bounds.iter().filter(|(_, bound)| *bound).map(|&(of, _)| of).collect(),
        }
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
            times.spectrum().points
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
        assert!(
            times.spectrum().points.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1)
        );
        times.record(u64::MAX);
        assert_eq!(times.summary().max, TIME_MAX_NS, "longer than an hour counts as an hour");
    }

    #[test]
    fn headroom_of_a_late_answer_is_negative() {
        let mut used = Used::default();
        assert_eq!(used.headroom(), Headroom::default());
        assert_eq!(used.record(UsedUp { took: 250, budget: 1000, open: false }), 0.75);
        assert_eq!(used.record(UsedUp { took: 1500, budget: 1000, open: false }), -0.5);
        assert_eq!((used.headroom().min, used.headroom().at_most), (Some(-0.5), Vec::new()));
    }

    #[test]
    fn what_was_never_answered_bounds_every_figure_that_it_reaches() {
        let mut times = Times::default();
        for _ in 0..98 {
            times.record(1000);
        }
        times.record_open(2_000_000_000);
        times.record_open(2_000_000_000);
        let summary = times.summary();
        assert_eq!((summary.count, summary.censored, summary.max), (98, 2, 2_000_000_000));
        assert_eq!((summary.p50, summary.p90, summary.p99), (1000, 1000, 2_000_000_000));
        assert_eq!(summary.at_least, [Figure::Mean, Figure::P99, Figure::P999, Figure::Max]);
        assert_eq!(summary.mean, (98 * 1000 + 2 * 2_000_000_000_u64) / 100);
        let spectrum = times.spectrum();
        assert_eq!(spectrum.at_least_from, Some(99.0));
        assert_eq!(spectrum.points.last(), Some(&(100.0, 2_000_000_000)));
        let mut others = Times::default();
        others.add(&times);
        others.record(3_000_000_000);
        assert_eq!(others.summary().max, 3_000_000_000);
        assert!(!others.summary().is_at_least(Figure::Max), "a longer one has ended");

        let mut used = Used::default();
        used.record(UsedUp { took: 250, budget: 1000, open: false });
        used.record(UsedUp { took: 500, budget: 1000, open: true });
        let headroom = used.headroom();
        assert_eq!((headroom.min, headroom.p50), (Some(0.5), Some(0.75)));
        assert_eq!(headroom.at_most, [HeadroomFigure::Min, HeadroomFigure::P01]);
        used.missed_unread();
        assert_eq!(used.headroom().min, Some(0.0), "it was killed for an event that it had not read");
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
