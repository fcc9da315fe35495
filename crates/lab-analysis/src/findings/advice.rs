//! What would mend a run's lab: changes that were tried on the simulator, each with what it showed there.

use lab_model::units::{count_of, counted, more_or_less, number, time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Outcome;
use crate::verdict::outcome::list;

/// What was tried, under which conditions, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Advice {
    /// Why nothing was tried; then all the rest is empty.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub untried: Option<String>,
    /// The rules that the simulator followed: `fanotify` or `endpoint-security`.
    pub rules: String,
    /// Simulated runs of each: as many seeds, the same for all.
    pub runs: u64,
    /// How many clients the lab has.
    pub clients: u64,
    /// The storm of these runs in nanoseconds: the lab's own, or the beginning of it.
    pub storm_ns: u64,
    /// How the worst of the simulated runs of the lab as it is ended up.
    pub outcome: Outcome,
    /// Deadlines that one of them missed: the median.
    pub missed: f64,
    /// What helps, the best first: what ends best and misses least, then what has fewer blind spots, then the shorter tail.
    pub helps: Vec<TriedMitigation>,
    /// What was tried and does not help.
    pub idle: Vec<TriedMitigation>,
}

/// A change of settings, and what the simulated runs with it showed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TriedMitigation {
    /// What it is; several belong together.
    pub names: Vec<String>,
    /// The settings to write into a lab file; empty where it does not help.
    pub settings: Vec<ChangedSettings>,
    /// How the worst of the runs ended up.
    pub outcome: Outcome,
    /// Deadlines that a run missed: the median.
    pub missed: f64,
    /// Decisions for each operation of the workload; `null` where no operation ended.
    pub decisions: Option<Effect>,
    /// The median time of the workload's operations in the storm, in nanoseconds; `null` where none ended.
    pub p50_ns: Option<Effect>,
    /// What 99 % of the workload's operations in the storm took at most, in nanoseconds; `null` where none ended.
    pub p99_ns: Option<Effect>,
    /// What a client no longer sees with it; empty for nothing.
    pub blind_spots: Vec<String>,
}

/// Settings of some clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChangedSettings {
    /// Whose.
    pub clients: Vec<String>,
    /// A part of a lab file, for the entry of each of them.
    pub yaml: String,
}

/// A figure without and with a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Effect {
    /// The median without it.
    pub before: f64,
    /// The median with it.
    pub after: f64,
    /// The change as a share of what it was without, -1 and up: lowest, median and highest of the runs, pair by pair; `null`
    /// where it was nothing before.
    pub change: Option<[f64; 3]>,
}

impl Effect {
    /// The median change in words; `None` where it is less than half a percent in all.
    #[must_use]
    pub fn median(&self) -> Option<String> {
        self.text()?;
        self.change.map(|[_, median, _]| more_or_less(median))
    }

    /// The change in words, with its range where the runs differ; `None` where it is less than half a percent in all.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        let [low, median, high] = self.change?;
        if [low, high].iter().all(|share| share.abs() < 0.005) {
            return None;
        }
        let [low, median, high] = [low, median, high].map(more_or_less);
        Some(if low == high { median } else { format!("{median} ({low} to {high})") })
    }
}

impl TriedMitigation {
    /// What it is, in words.
    #[must_use]
    pub fn name(&self) -> String {
        list(&self.names)
    }

    /// Whose settings it changes.
    #[must_use]
    pub fn clients(&self) -> Vec<String> {
        self.settings.iter().flat_map(|settings| settings.clients.iter().cloned()).collect()
    }
}

impl Advice {
    /// What to change, in one sentence.
    #[must_use]
    pub fn sentence(&self) -> String {
        if let Some(why) = &self.untried {
            return format!("not known: no change was tried, because {why}");
        }
        let Some(best) = self.helps.first() else {
            return match self.idle.len() {
                0 => "nothing: the lab has made every change already that can be tried".to_owned(),
                tried => {
                    format!("nothing that was tried helps: {}, simulated", counted(count_of(tried), "change"))
                }
            };
        };
        let effects = self.effects(best, Effect::text);
        let blind = match best.blind_spots.as_slice() {
            [] => "no blind spot".to_owned(),
            [one] => format!("blind spot: {one}"),
            several => format!("blind spots: {}", several.join(", and ")),
        };
        format!("{} (simulated: {}; {blind})", self.change(best), effects.join(", "))
    }

    /// What a change that helps is, and whose settings it changes.
    #[must_use]
    pub fn change(&self, of: &TriedMitigation) -> String {
        let clients = of.clients();
        let whose = if self.clients > 1 && count_of(clients.len()) == self.clients {
            "every client".to_owned()
        } else {
            list(&clients)
        };
        format!("{}, in {whose}", of.name())
    }

    /// What the simulated runs with a change showed; `show` writes what became of a figure, [`Effect::text`] with its range.
    #[must_use]
    pub fn effects(&self, of: &TriedMitigation, show: fn(&Effect) -> Option<String>) -> Vec<String> {
        let mut effects = Vec::new();
        if of.outcome != self.outcome {
            effects.push(format!("{} instead of {}", of.outcome.name(), self.outcome.name()));
        }
        if of.missed.total_cmp(&self.missed).is_ne() {
            effects.push(format!("{} missed instead of {}", number(of.missed), number(self.missed)));
        }
        let mut change = |what: &str, effect: Option<Effect>| {
            effects.extend(effect.and_then(|effect| show(&effect)).map(|text| format!("{what} {text}")));
        };
        change("decisions", of.decisions);
        change("p99", of.p99_ns);
        effects
    }

    /// How it was tried, in one sentence.
    #[must_use]
    pub fn method(&self) -> String {
        format!(
            "Each was tried in {} of {} of the storm, simulated with {} rules and the same seeds; changes are pair by pair.",
            counted(self.runs, "run"),
            time(self.storm_ns),
            self.rules
        )
    }
}
