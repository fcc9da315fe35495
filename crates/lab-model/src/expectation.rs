//! Conditions on a run's report, and the metrics that they may name.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::Span;

/// A condition on a number or a word of the run's report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expectation {
    /// The condition as written, such as `headroom.p01 > 50%`.
    pub text: String,
    /// The dotted path of what is measured, such as `headroom.p01`; matches one of [`METRICS`].
    pub metric: String,
    /// How the measured value has to stand to the expected one.
    pub comparison: Comparison,
    /// What it is compared with, in the metric's own unit.
    pub value: Expected,
    /// True for a condition that has to hold at some time in the run, not at its end.
    pub sometimes: bool,
    /// True when the run ends as soon as the condition no longer holds.
    pub abort: bool,
    /// How long into the storm an aborting condition is first looked at.
    pub after: Span,
}

impl Expectation {
    /// Tells whether a count meets the condition; `None` when the condition is about a word.
    #[must_use]
    pub fn holds_for_count(&self, measured: u64) -> Option<bool> {
        match &self.value {
            Expected::Number(number) => Some(self.comparison.holds(number.order_of_count(measured))),
            Expected::Word(_) => None,
        }
    }

    /// Tells whether a number in the metric's unit meets the condition; `None` when it is not a number, or
    /// when the condition is about a word.
    #[must_use]
    pub fn holds_for_number(&self, measured: f64) -> Option<bool> {
        match &self.value {
            Expected::Number(number) => number.order_of(measured).map(|order| self.comparison.holds(order)),
            Expected::Word(_) => None,
        }
    }

    /// Tells whether a word meets the condition; `None` when the condition is about a number.
    #[must_use]
    pub fn holds_for_word(&self, measured: &str) -> Option<bool> {
        match &self.value {
            Expected::Word(word) => Some(self.comparison.holds(measured.cmp(word.as_str()))),
            Expected::Number(_) => None,
        }
    }
}

/// How a measured value has to stand to the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Comparison {
    /// Smaller.
    #[serde(rename = "<")]
    Below,
    /// Smaller or equal.
    #[serde(rename = "<=")]
    AtMost,
    /// Equal.
    #[serde(rename = "==")]
    Equal,
    /// Not equal.
    #[serde(rename = "!=")]
    Unequal,
    /// Greater or equal.
    #[serde(rename = ">=")]
    AtLeast,
    /// Greater.
    #[serde(rename = ">")]
    Above,
}

impl Comparison {
    /// All comparisons; the longer signs come before their beginnings.
    pub const ALL: [Comparison; 6] = [
        Comparison::AtMost,
        Comparison::AtLeast,
        Comparison::Equal,
        Comparison::Unequal,
        Comparison::Below,
        Comparison::Above,
    ];

    /// The sign in lab files.
    #[must_use]
    pub const fn sign(self) -> &'static str {
        match self {
            Comparison::Below => "<",
            Comparison::AtMost => "<=",
            Comparison::Equal => "==",
            Comparison::Unequal => "!=",
            Comparison::AtLeast => ">=",
            Comparison::Above => ">",
        }
    }

    /// Tells whether a value that stands so to the expected one meets the condition.
    #[must_use]
    pub const fn holds(self, measured_to_expected: Ordering) -> bool {
        match self {
            Comparison::Below => measured_to_expected.is_lt(),
            Comparison::AtMost => measured_to_expected.is_le(),
            Comparison::Equal => measured_to_expected.is_eq(),
            Comparison::Unequal => measured_to_expected.is_ne(),
            Comparison::AtLeast => measured_to_expected.is_ge(),
            Comparison::Above => measured_to_expected.is_gt(),
        }
    }
}

/// What a metric is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Expected {
    /// A number in the metric's unit: a count, a ratio (50% is 0.5), or nanoseconds.
    Number(Decimal),
    /// A word, such as an outcome.
    Word(String),
}

/// A number of 0 or more, exactly as it was written in decimal: `0`, `12.5`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Decimal {
    digits: u64,
    scale: u8,
}

impl Decimal {
    /// The most places after the point.
    pub const SCALE_MAX: u8 = 18;

    /// The number `digits` / 10^`scale`, brought to its shortest form; `None` when `scale` is above
    /// [`Decimal::SCALE_MAX`] even so.
    #[must_use]
    pub const fn new(mut digits: u64, mut scale: u8) -> Option<Decimal> {
        while scale > 0 && digits.is_multiple_of(10) {
            digits /= 10;
            scale -= 1;
        }
        if scale > Decimal::SCALE_MAX { None } else { Some(Decimal { digits, scale }) }
    }

    /// This number times 10^`places`; `None` when it does not fit.
    #[must_use]
    pub fn times_power_of_ten(self, places: u8) -> Option<Decimal> {
        let from_scale = places.min(self.scale);
        let digits = self.digits.checked_mul(10u64.checked_pow(u32::from(places - from_scale))?)?;
        Decimal::new(digits, self.scale - from_scale)
    }

    /// This number divided by 10^`places`; `None` when it does not fit.
    #[must_use]
    pub fn divided_by_power_of_ten(self, places: u8) -> Option<Decimal> {
        Decimal::new(self.digits, self.scale.checked_add(places)?)
    }

    /// This number times a whole one; `None` when it does not fit.
    #[must_use]
    pub fn times(self, factor: u64) -> Option<Decimal> {
        Decimal::new(self.digits.checked_mul(factor)?, self.scale)
    }

    /// True for a number without places after the point.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.scale == 0
    }

    /// How a whole number stands to this one; exact.
    #[must_use]
    pub fn order_of_count(self, measured: u64) -> Ordering {
        let wide = u128::from(measured) * 10u128.pow(u32::from(self.scale));
        wide.cmp(&u128::from(self.digits))
    }

    /// How a measured number stands to this one; `None` when it is not a number.
    #[must_use]
    pub fn order_of(self, measured: f64) -> Option<Ordering> {
        measured.partial_cmp(&self.to_f64())
    }

    /// The nearest floating-point number.
    #[must_use]
    pub fn to_f64(self) -> f64 {
        self.to_string().parse().unwrap_or(f64::NAN)
    }
}

/// What is wrong with a text that should be a [`Decimal`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a number: write digits, and a point with digits after it if need be")]
pub struct InvalidDecimal(String);

impl FromStr for Decimal {
    type Err = InvalidDecimal;

    fn from_str(text: &str) -> Result<Decimal, InvalidDecimal> {
        let digits_only = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let read = || {
            let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
            if !digits_only(whole) || !digits_only(fraction) {
                return None;
            }
            let fraction = fraction.trim_end_matches('0');
            let scale = u8::try_from(fraction.len()).ok()?;
            Decimal::new(format!("{whole}{fraction}").parse().ok()?, scale)
        };
        read().ok_or_else(|| InvalidDecimal(text.to_owned()))
    }
}

impl TryFrom<String> for Decimal {
    type Error = InvalidDecimal;

    fn try_from(text: String) -> Result<Decimal, InvalidDecimal> {
        text.parse()
    }
}

impl From<Decimal> for String {
    fn from(number: Decimal) -> String {
        number.to_string()
    }
}

impl From<u64> for Decimal {
    fn from(digits: u64) -> Decimal {
        Decimal { digits, scale: 0 }
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = usize::from(self.scale);
        if places == 0 {
            return write!(f, "{}", self.digits);
        }
        let text = format!("{:0width$}", self.digits, width = places + 1);
        let (whole, fraction) = text.split_at(text.len() - places);
        write!(f, "{whole}.{fraction}")
    }
}

/// What a metric's number counts.
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
pub const METRICS: [Metric; 36] = [
    metric("outcome", MetricUnit::Word(&OUTCOMES), "how the run ended"),
    metric("amplification", MetricUnit::Ratio, "decisions per root operation of the storm"),
    metric("loop_gain", MetricUnit::Ratio, "spectral radius of the gain matrix"),
    metric("loop_gain.low|high", MetricUnit::Ratio, "ends of the loop gain's interval"),
    metric("gain.<client>.<client>", MetricUnit::Ratio, "events on the first per event of the second"),
    metric("deadline.misses", MetricUnit::Count, "answers after the deadline, all clients"),
    metric(
        "deadline.open|exec.min|max",
        MetricUnit::Time,
        "how long the kernel waits for an answer, by event",
    ),
    metric("delivery.order", MetricUnit::Word(&DELIVERY_ORDERS), "how the kernel asks several clients"),
    metric(
        "delivery.after_deny",
        MetricUnit::Word(&AFTER_DENY),
        "what happens to clients that have not answered when another denies",
    ),
    metric(
        "delivery.kept_answers",
        MetricUnit::Word(&KEPT_ANSWERS),
        "which clients a cached result applies to",
    ),
    metric(
        "delivery.left.min|p01|p50",
        MetricUnit::Share,
        "share of the deadline left when an event is read",
    ),
    metric("headroom.min|p01|p50", MetricUnit::Share, "share of the deadline left at the answer"),
    metric("latency.p50|p99|p999|max", MetricUnit::Time, "time to the answer, all clients"),
    metric("op_latency.<phase>.p50|p99|max", MetricUnit::Time, "what one operation of the workload took"),
    metric("root_ops", MetricUnit::Count, "operations of the workload in the storm"),
    metric("root_ops.<phase>", MetricUnit::Count, "operations of the workload in a phase"),
    metric("operations", MetricUnit::Count, "operations of the workload and of the clients"),
    metric("decisions", MetricUnit::Count, "decisions of all clients"),
    metric("decisions.explained|unexplained", MetricUnit::Count, "decisions joined, or not, to an operation"),
    metric("decisions.own_process", MetricUnit::Count, "decisions on the client's own operations"),
    metric(
        "approvals.rule|own-process|peer|deadline-fallback|queue-full|mute|cache-hit|dead-client|unknown",
        MetricUnit::Count,
        "operations approved in this way, asked about or not, all clients",
    ),
    metric("knee.rate", MetricUnit::Count, "the last rate of `find_knee` that held, operations a second"),
    metric("lost", MetricUnit::Count, "records that are missing from the traces"),
    metric("cascade.depth", MetricUnit::Count, "levels of operations in the deepest cascade"),
    metric("cascade.size", MetricUnit::Count, "decisions in the largest cascade"),
    metric("wait_cycles", MetricUnit::Count, "times that clients waited for each other in a circle"),
    metric("drain.half_life", MetricUnit::Time, "time in which the open work halves after the storm"),
    metric(
        "clients.<client>.decisions|own_process|operations",
        MetricUnit::Count,
        "decisions and operations of one client",
    ),
    metric(
        "clients.<client>.approvals.\
         rule|own-process|peer|deadline-fallback|queue-full|mute|cache-hit|dead-client|unknown",
        MetricUnit::Count,
        "the same of one client",
    ),
    metric("clients.<client>.restarts", MetricUnit::Count, "times that one client was started again"),
    metric("clients.<client>.deadline.misses", MetricUnit::Count, "answers of one client after the deadline"),
    metric("clients.<client>.latency.p50|p99|p999|max", MetricUnit::Time, "one client's time to the answer"),
    metric("outside.denied", MetricUnit::Count, "operations denied by a product beside the clients"),
    metric("outside.generated", MetricUnit::Count, "decisions about what products did themselves"),
    metric("outside.added", MetricUnit::Time, "what a median open takes longer beside the products"),
    metric("clients.<client>.headroom.min|p01|p50", MetricUnit::Share, "one client's share of deadline left"),
];

const fn metric(pattern: &'static str, unit: MetricUnit, about: &'static str) -> Metric {
    Metric { pattern, unit, about }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(digits: u64, scale: u8) -> Decimal {
        Decimal::new(digits, scale).unwrap()
    }

    #[test]
    fn decimals_print_as_written() {
        for (number, text) in [
            (decimal(0, 0), "0"),
            (decimal(50, 2), "0.5"),
            (decimal(1, 3), "0.001"),
            (decimal(1250, 2), "12.5"),
            (decimal(100, 2), "1"),
        ] {
            assert_eq!(number.to_string(), text);
        }
    }

    #[test]
    fn decimals_read_back_as_written() {
        for text in ["0", "0.5", "0.001", "12.5", "1", "18446744073709551615", "0.000000000000000001"] {
            assert_eq!(text.parse::<Decimal>().unwrap().to_string(), text);
        }
        assert_eq!("007.50".parse::<Decimal>().unwrap().to_string(), "7.5");
        let long = format!("0.{}", "1".repeat(300));
        for bad in ["", ".", "1.", ".5", "-1", "+1", "1e3", "1_000", "18446744073709551616", &long] {
            assert!(bad.parse::<Decimal>().is_err(), "{bad}");
        }
    }

    #[test]
    fn expectations_hold_for_what_they_are_about() {
        let about = |value| Expectation {
            text: String::new(),
            metric: String::new(),
            comparison: Comparison::Equal,
            value,
            sometimes: false,
            abort: false,
            after: Span::default(),
        };
        let zero = about(Expected::Number(Decimal::from(0)));
        assert_eq!([0, 1].map(|count| zero.holds_for_count(count)), [Some(true), Some(false)]);
        assert_eq!([0.0, 0.1, f64::NAN].map(|n| zero.holds_for_number(n)), [Some(true), Some(false), None]);
        assert_eq!(zero.holds_for_word("stable"), None);
        let stable = about(Expected::Word("stable".to_owned()));
        assert_eq!(
            ["stable", "divergent"].map(|word| stable.holds_for_word(word)),
            [Some(true), Some(false)]
        );
        assert_eq!((stable.holds_for_count(0), stable.holds_for_number(0.0)), (None, None));
    }

    #[test]
    fn counts_compare_exactly_where_floating_point_would_not() {
        let large = Decimal::from(u64::MAX);
        assert_eq!(large.order_of_count(u64::MAX), Ordering::Equal);
        assert_eq!(large.order_of_count(u64::MAX - 1), Ordering::Less);
        assert_eq!(decimal(25, 1).order_of_count(2), Ordering::Less);
        assert_eq!(decimal(25, 1).order_of_count(3), Ordering::Greater);
        assert_eq!(decimal(1, 18).order_of_count(u64::MAX), Ordering::Greater);
    }

    #[test]
    fn powers_of_ten_move_the_point() {
        assert_eq!(decimal(15, 1).times_power_of_ten(6), Some(Decimal::from(1_500_000)));
        assert_eq!(decimal(5, 3).times_power_of_ten(1), Some(decimal(5, 2)));
        assert_eq!(Decimal::from(50).divided_by_power_of_ten(2), Some(decimal(5, 1)));
        assert_eq!(Decimal::from(u64::MAX).times_power_of_ten(1), None);
        assert_eq!(decimal(1, 18).divided_by_power_of_ten(1), None);
    }

    #[test]
    fn comparisons_hold_as_their_signs_say() {
        for (sign, less, equal, greater) in [
            ("<", true, false, false),
            ("<=", true, true, false),
            ("==", false, true, false),
            ("!=", true, false, true),
            (">=", false, true, true),
            (">", false, false, true),
        ] {
            let comparison = Comparison::ALL.into_iter().find(|one| one.sign() == sign).unwrap();
            let answers = [Ordering::Less, Ordering::Equal, Ordering::Greater].map(|o| comparison.holds(o));
            assert_eq!(answers, [less, equal, greater], "{sign}");
        }
    }
}
