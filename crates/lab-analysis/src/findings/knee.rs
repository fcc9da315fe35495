//! A load whose rate was raised: what each step achieved, and which condition failed with which value.

use lab_model::units::{at_least, count, number, share, share_at_most, time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Headroom, Latency, LoadWord, Word, words::vocabulary};

/// A load whose rate was raised step by step, and the last rate that held.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Knee {
    /// Which load, as the lab file names it: `open_storm`.
    pub load: Word<LoadWord>,
    /// The last rate before the first step that did not hold, in operations a second; `null` when the first step
    /// did not.
    pub held: Option<u32>,
    /// The first rate that did not hold; `null` when all that were tried did.
    pub broke: Option<u32>,
    /// Every step, in the order of the rates.
    pub steps: Vec<KneeStep>,
}

/// One step: a part of the storm at a rate of its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KneeStep {
    /// Operations a second, as planned.
    pub rate: u32,
    /// When it began, in nanoseconds from the run's origin.
    pub began_ns: u64,
    /// How long it lasted.
    pub seconds: f64,
    /// Operations planned in it.
    pub planned: u64,
    /// Of those, begun, then or later.
    pub begun: u64,
    /// Of those, ended, then or later.
    pub completed: u64,
    /// Operations of this load that ended while it lasted, a second.
    pub ops_per_second: f64,
    /// How long its operations took, from the planned start.
    pub op_latency_ns: Latency,
    /// Share of the deadline left, over all decisions read while it lasted.
    pub headroom: Headroom,
    /// Of those, answers after the deadline.
    pub deadline_misses: u64,
    /// What did not hold.
    pub broken: Vec<Broken>,
    /// Whether it held; `null` when none of its operations was begun.
    pub held: Option<bool>,
}

/// Something that a step did not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Broken {
    /// A condition, and what was observed.
    Condition(BrokenCondition),
    /// In words: in reports of before conditions had values.
    Words(String),
}

/// A condition that did not hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BrokenCondition {
    /// The condition as the lab file has it; `null` for keeping up with the step's own rate, which every step must.
    pub condition: Option<String>,
    /// What was measured: a metric of the step, `ops_per_second` for keeping up.
    pub metric: String,
    /// The value, in its unit.
    pub observed: f64,
    /// The unit.
    pub unit: Word<ObservedUnit>,
    /// Only a bound is known: a time is at least this, a share at most.
    pub bound: bool,
}

vocabulary! {
    "The unit of an observed value."
    ObservedUnit {
        /// Nanoseconds.
        Nanoseconds = "ns",
        /// A share from 0 to 1.
        Share = "share",
        /// A count.
        Count = "count",
        /// Operations a second.
        PerSecond = "per-second",
    }
}

impl BrokenCondition {
    /// The value as a person reads it.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    pub fn value(&self) -> String {
        let whole = self.observed.round() as u64;
        match (self.unit.known(), self.bound) {
            (Some(ObservedUnit::Nanoseconds), true) => at_least(&time(whole)),
            (Some(ObservedUnit::Nanoseconds), false) => time(whole),
            (Some(ObservedUnit::Share), true) => share_at_most(self.observed),
            (Some(ObservedUnit::Share), false) => share(self.observed),
            (Some(ObservedUnit::Count), _) => count(whole),
            (Some(ObservedUnit::PerSecond), _) => format!("{} a second", number(self.observed.round())),
            (None, _) => number(self.observed),
        }
    }
}

impl Broken {
    /// What did not hold, as a part of a sentence.
    #[must_use]
    pub fn words(&self) -> String {
        match self {
            Broken::Words(words) => words.clone(),
            Broken::Condition(broken) => match &broken.condition {
                Some(condition) => format!("`{condition}` failed: {}", broken.value()),
                None => format!("it did not keep up: {}", broken.value()),
            },
        }
    }

    /// True when the step did not keep up with its rate.
    #[must_use]
    pub fn fell_behind(&self) -> bool {
        match self {
            Broken::Words(words) => words.starts_with("kept up with "),
            Broken::Condition(broken) => broken.condition.is_none(),
        }
    }
}

impl KneeStep {
    /// Everything that it did not hold, as a part of a sentence.
    #[must_use]
    pub fn why(&self) -> String {
        let words: Vec<String> = self.broken.iter().map(Broken::words).collect();
        words.join(", ")
    }
}

impl Knee {
    /// The first step that did not keep up with its rate.
    #[must_use]
    pub fn fell_behind(&self) -> Option<&KneeStep> {
        self.steps.iter().find(|step| step.broken.iter().any(Broken::fell_behind))
    }

    /// The first step that did not hold.
    #[must_use]
    pub fn broke_at(&self) -> Option<&KneeStep> {
        self.steps.iter().find(|step| step.held == Some(false))
    }

    /// What the search came to, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        let rate = |rate: u32| format!("{} operations a second", count(rate.into()));
        let broke = self.broke_at().filter(|_| self.broke.is_some());
        match (self.held, broke) {
            (Some(held), Some(broke)) => {
                let at = count(broke.rate.into());
                format!("Up to {} every condition held; at {at} {}.", rate(held), broke.why())
            }
            (Some(held), None) => {
                format!("Every rate that was tried held, up to {}: the knee is higher.", rate(held))
            }
            (None, Some(broke)) => format!("Not even {} held: {}.", rate(broke.rate), broke.why()),
            (None, None) => "No step of the search for a knee was begun.".to_owned(),
        }
    }
}
