//! What the workload did in each phase, and what it cost.

use lab_model::PhaseKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Latency, Lifetimes, PlannedOps};

/// One phase that took place: what the workload did in it, by root operations that *began* in it. A phase of length zero
/// does not take place and is not listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    /// Which.
    #[serde(rename = "name")]
    pub kind: PhaseKind,
    /// When it began, in nanoseconds from the run's origin.
    pub began_ns: u64,
    /// How long it lasted.
    pub seconds: f64,
    /// Root operations (opens and execs) that began in it and completed. Processes of commands are in `processes`.
    pub root_ops: u64,
    /// Root operations that began in it and never completed.
    pub root_ops_unfinished: u64,
    /// Root operations that ended with an error.
    pub root_ops_failed: u64,
    /// Root operations completed a second.
    pub ops_per_second: f64,
    /// How long root operations took (from the planned start in an open loop); `censored` are those that never completed.
    pub op_latency_ns: Latency,
    /// The latency spectrum: (share of operations in percent, nanoseconds), rising.
    pub spectrum: Vec<(f64, u64)>,
    /// From this percentage on the spectrum is a lower bound, since operations never completed; `null` for none.
    #[serde(default)]
    pub spectrum_at_least_from: Option<f64>,
    /// What began in it while a client was dead; `null` when all lived through it. Operations, rates, latency and spectrum
    /// above are then those of the time in which all lived.
    #[serde(default)]
    pub after_death: Option<AfterDeath>,
    /// What an open loop had planned for it; `null` when nothing was planned.
    #[serde(default)]
    pub planned: Option<PlannedOps>,
    /// Processes and threads of commands (`run`) that began in it; `null` when there was none.
    #[serde(default)]
    pub processes: Option<Lifetimes>,
}

/// The part of a phase in which a client was dead: whatever it would have decided was let pass.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AfterDeath {
    /// How long that was.
    pub seconds: f64,
    /// Root operations that began in it and completed.
    pub root_ops: u64,
    /// Root operations that began in it and never completed.
    pub root_ops_unfinished: u64,
    /// Root operations that ended with an error.
    pub root_ops_failed: u64,
    /// How long they took.
    pub op_latency_ns: Latency,
}

impl Phase {
    /// How long all clients lived in it, in seconds.
    #[must_use]
    pub fn seconds_all_lived(&self) -> f64 {
        self.seconds - self.after_death.as_ref().map_or(0.0, |after| after.seconds)
    }

    /// Root operations that completed, whoever lived.
    #[must_use]
    pub fn root_ops_in_all(&self) -> u64 {
        self.root_ops.saturating_add(self.after_death.as_ref().map_or(0, |after| after.root_ops))
    }
}

/// What being asked costs the workload: the median root operation of each phase in nanoseconds, the same as in `phases`.
/// `null` for a phase that did not take place or had none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cost {
    /// Median root operation without clients.
    pub baseline_ns: Option<u64>,
    /// Median root operation with clients that answer at once.
    pub control_ns: Option<u64>,
    /// Median root operation with clients that answer at once, beside the products under test.
    #[serde(default)]
    pub external_ns: Option<u64>,
    /// Median root operation in the storm.
    pub storm_ns: Option<u64>,
    /// The phases whose median is a lower bound, since half of their operations never completed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub at_least: Vec<PhaseKind>,
}
