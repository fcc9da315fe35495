//! Distributions of times, of some of which only a bound is known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A distribution of times in nanoseconds, from a histogram with three significant digits. All zero with `count` and
/// `censored` 0.
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
    /// Further values of which only a lower bound is known: what was not over when its process ended, or the record. The
    /// other figures count them in, the percentiles by the estimator of Kaplan and Meier.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub censored: u64,
    /// The figures that are lower bounds, since what they are about was not over: the value is this or more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_least: Vec<Figure>,
}

/// True for a count of nothing, which is left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// One figure of a distribution of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Figure {
    /// The mean.
    Mean,
    /// The smallest.
    Min,
    /// The median.
    P50,
    /// What 90 % are at most.
    P90,
    /// What 99 % are at most.
    P99,
    /// What 99.9 % are at most.
    P999,
    /// The largest.
    Max,
}

impl Latency {
    /// True when nothing was measured, not even a lower bound.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.count == 0 && self.censored == 0
    }

    /// True when a figure is a lower bound.
    #[must_use]
    pub fn is_at_least(&self, figure: Figure) -> bool {
        self.at_least.contains(&figure)
    }

    /// A figure's value.
    #[must_use]
    pub const fn value(&self, figure: Figure) -> u64 {
        match figure {
            Figure::Mean => self.mean,
            Figure::Min => self.min,
            Figure::P50 => self.p50,
            Figure::P90 => self.p90,
            Figure::P99 => self.p99,
            Figure::P999 => self.p999,
            Figure::Max => self.max,
        }
    }

    /// All values together, lower bounds among them.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.mean.saturating_mul(self.count.saturating_add(self.censored))
    }
}

/// Who made the events that decisions were about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PopulationOf {
    /// The workload.
    Workload,
    /// Other clients, with their helpers and what daemons did for them.
    Peers,
    /// The client itself, in the same way.
    Itself,
    /// Anybody else, or nobody that is known.
    Others,
}

impl PopulationOf {
    /// All of them, the workload first.
    pub const ALL: [PopulationOf; 4] =
        [PopulationOf::Workload, PopulationOf::Peers, PopulationOf::Itself, PopulationOf::Others];

    /// The word in reports and conditions.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            PopulationOf::Workload => "workload",
            PopulationOf::Peers => "peers",
            PopulationOf::Itself => "itself",
            PopulationOf::Others => "others",
        }
    }
}

/// Decisions about events of the same makers, and how long they took. Over all of a client's, `count` and `censored` add up
/// to those of its `latency_ns`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Population {
    /// Who made the events.
    pub of: PopulationOf,
    /// From read to answer.
    pub latency_ns: Latency,
}
