//! Products beside the lab's clients, as far as they can be seen from outside.

use lab_model::{PhaseKind, units::time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DeniedCrowd, DeniedFile, DeniedKind, GroupClass, KernelDenial, Latency, ProductEnd, Word};

/// Products under test beside the lab's clients. They have no trace: all of this was seen from outside.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Outside {
    /// The products, in the lab file's order.
    pub products: Vec<Product>,
    /// The part of an operation's time in which no client of the lab had its question, by phase (`control`,
    /// `external`, `storm`): the kernel's own way, and, in `external` and `storm`, the products' time. Over opens of
    /// the workload that succeeded and whose clients were asked one after another.
    pub unaccounted: Vec<Unaccounted>,
    /// What the products add to an open: by how much the gap at their place is larger in `external` than it would be
    /// had it changed since `control` like the other gaps. An estimate with its interval (95 % of resampled parts of
    /// the phases), not a measured time of service. `null` when either phase is missing or no gap stands out.
    pub added_ns: Option<TimeInterval>,
    /// Where in the pipeline the products are asked, from the gap that is larger beside them; `null` when no gap
    /// stands out or when it is not known.
    pub place: Option<String>,
    /// The gaps between the clients, in the order in which they are usually asked beside the products.
    pub gaps: Vec<Gap>,
    /// Operations that somebody denied, and it was no client of the lab.
    pub denials: Denials,
    /// Deadlines that products missed: each that was killed for it. One, too, when operations waited for longer than the
    /// deadline and nobody was killed.
    #[serde(default)]
    pub misses: u64,
    /// The most operations that waited at one look for a product, when it could not be told for which of several.
    #[serde(default)]
    pub waiting_for_one_of_them: u64,
    /// The longest that an operation had waited for any of the products when it was looked at, whether it could be told for
    /// which or not; `null` when none did.
    #[serde(default)]
    pub waited_longest_ns: Option<u64>,
}

/// A difference of times in nanoseconds, with the interval that holds 95 % of its bootstrap samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TimeInterval {
    /// The estimate.
    pub value: i64,
    /// The lower end.
    pub low: i64,
    /// The upper end.
    pub high: i64,
}

/// One product under test, as it was seen from outside: by `/proc` and by what its processes did to the lab. It leaves no
/// trace, so what it was asked and answered is not known.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Product {
    /// Its name in the lab file.
    pub id: String,
    /// How it was started.
    pub command: String,
    /// From its start until it took part; `null` when it never did.
    pub ready_ns: Option<u64>,
    /// Processes of it that were seen.
    pub processes: u64,
    /// Threads of it that were seen. One that lives shorter than a few milliseconds may be missed.
    pub threads: u64,
    /// True when it has a group with a mark for permission events on the arena: the kernel asks it.
    pub asked: bool,
    /// Its fanotify groups, as `/proc` showed them.
    pub groups: Vec<ProductGroup>,
    /// Decisions of the lab's clients, in storm and drain, about what its threads did.
    pub generated: u64,
    /// The most events in its groups' queues that it had not read; `null` when they could not be looked at.
    pub unread_max: Option<u64>,
    /// The most operations of lab processes that waited for an answer at one look and that no client held.
    pub waiting_max: u64,
    /// The longest that such an operation had waited when it was looked at; `null` when there was none. Looks are
    /// about 100 ms apart.
    pub waited_longest_ns: Option<u64>,
    /// When it ended before the lab asked it to, in nanoseconds from the run's first moment; `null` when it did not.
    #[serde(default)]
    pub ended_early_ns: Option<u64>,
    /// How it ended: `clean`, `exit N`, `signal N`, `deadline kill`, `never started`, `not known`.
    pub end: Word<ProductEnd>,
}

/// One fanotify group of a product, as `/proc/PID/fdinfo` shows it: when the kernel asks it, and about what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProductGroup {
    /// `notify`, `content` or `pre-content`: groups of a later class are asked first.
    pub class: Word<GroupClass>,
    /// What it has marked and which events it is asked about or told.
    pub marks: Vec<String>,
}

/// How much of an open's time passed while no client of the lab had its question, in one phase: the kernel's own way and,
/// where products take part, theirs. Nanoseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Unaccounted {
    /// The phase.
    pub phase: PhaseKind,
    /// Its distribution.
    pub time_ns: Latency,
    /// Its share of all the time of these operations, 0 to 1.
    pub share: Option<f64>,
}

/// The time between two clients of the lab in one operation: medians by phase.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Gap {
    /// The client whose answer begins it; `null`: the operation's start does.
    pub after: Option<String>,
    /// The client whose read ends it; `null`: the operation's end does.
    pub before: Option<String>,
    /// Without the products.
    pub control_ns: Option<u64>,
    /// Beside them.
    pub external_ns: Option<u64>,
    /// In the storm.
    pub storm_ns: Option<u64>,
}

/// Operations of storm and drain that failed with `EPERM` and that no client of the lab had denied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Denials {
    /// Operations, roots included.
    pub operations: u64,
    /// Operations of the workload.
    pub root_ops: u64,
    /// How many of them each client was asked about: those that the kernel asks before who denied.
    pub asked: Vec<(String, u64)>,
    /// How many of them each client was never asked about: a denial ends the pass.
    pub not_asked: Vec<(String, u64)>,
    /// Those that the kernel itself denied, because it could not hand the event over to a client of the lab. A lower bound:
    /// of several events that are read together it tells the first error.
    #[serde(default)]
    pub by_kernel: Vec<KernelDenial>,
    /// What was denied, with which error, and how far the kernel had come with asking.
    #[serde(default)]
    pub kinds: Vec<DeniedKind>,
    /// The files of which most operations were denied, at most 8; without those that no process of the lab could name.
    #[serde(default)]
    pub files: Vec<DeniedFile>,
    /// How many operations of the lab were under way at once when one was denied; `null` when none was.
    #[serde(default)]
    pub waiting: Option<DeniedCrowd>,
    /// Only a full queue explains them: none was denied while fewer waited than that, and each file passed at other times.
    #[serde(default)]
    pub queue_was_full: bool,
}

impl Outside {
    /// The products that ended before the lab asked them to, killed at a deadline or not.
    pub fn ended(&self) -> impl Iterator<Item = &Product> {
        self.products.iter().filter(|product| product.ended_early_ns.is_some())
    }

    /// Who missed how many deadlines; their sum is [`Outside::misses`].
    #[must_use]
    pub fn missed_by(&self) -> Vec<(String, u64)> {
        let killed = self.products.iter().filter(|product| product.end == ProductEnd::DeadlineKill);
        let mut by: Vec<(String, u64)> = killed.map(|product| (product.id.clone(), 1)).collect();
        if by.is_empty() && self.misses > 0 {
            let longest = self.products.iter().max_by_key(|product| product.waited_longest_ns);
            let told = longest.filter(|product| product.waited_longest_ns == self.waited_longest_ns);
            by.push((told.map_or_else(|| self.one_of_them(), |product| product.id.clone()), self.misses));
        }
        by
    }

    /// The products when it cannot be told which.
    #[must_use]
    pub fn one_of_them(&self) -> String {
        let names: Vec<&str> = self.products.iter().map(|product| product.id.as_str()).collect();
        format!("one of {}", names.join(", "))
    }

    /// The product, or the products when it cannot be told which.
    #[must_use]
    pub fn whoever(&self) -> String {
        match self.products.as_slice() {
            [only] => only.id.clone(),
            _ => self.one_of_them(),
        }
    }

    /// What the products did to the run as a whole: one sentence for each that missed a deadline or ended early; none when
    /// they did neither.
    #[must_use]
    pub fn failings(&self) -> Vec<String> {
        let missed = self.missed_by().into_iter().map(|(name, _)| {
            let product = self.products.iter().find(|product| product.id == name);
            let waited = product.and_then(|product| product.waited_longest_ns).or(self.waited_longest_ns);
            let killed = product.is_some_and(|product| product.end == ProductEnd::DeadlineKill);
            let end = if killed { "; the lab went on only because it was killed" } else { "" };
            let waited = waited
                .map_or_else(String::new, |waited| format!(": operations waited for up to {}", time(waited)));
            format!("{name} missed the deadline{waited}{end}.")
        });
        let ended = self.ended().filter(|product| product.end != ProductEnd::DeadlineKill).map(|product| {
            let at = time(product.ended_early_ns.unwrap_or(0));
            format!(
                "{} ended after {at} ({}): from then on this is a run without it.",
                product.id, product.end
            )
        });
        missed.chain(ended).collect()
    }
}
