//! The kernel's own rules, as far as a run shows them.

use std::collections::BTreeMap;

use lab_model::EventKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AfterDeny, DeliveryOrder, Headroom, KeptAnswers, Word};

/// The kernel's own rules, as far as the storm's root operations show them; `null` where nothing tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct KernelRules {
    /// How several clients are asked about one operation: `serial` (one after the other), `parallel` (at once),
    /// `mixed`. Operations tell it that two clients held for a tenth of their time or longer.
    pub delivery: Option<DeliveryOrder>,
    /// Operations that several clients held one after the other.
    pub serial: u64,
    /// Operations that several clients held at once.
    pub parallel: u64,
    /// What a denial means for a client that has not answered yet: `spared` (it is not asked any more), `not-waited`
    /// (it is asked, and the operation ends without its answer), `waited` (its answer is waited for), `mixed`.
    pub after_deny: Option<AfterDeny>,
    /// Times that a client was not asked, after another's denial.
    pub spared: u64,
    /// Times that a client's answer came after the operation had ended with another's denial.
    pub not_waited: u64,
    /// Times that a client's answer was waited for although another's denial had been given.
    pub waited: u64,
    /// Whom a kept answer serves: `own` (the client that gave it), `shared` (others too), `not-kept` (nobody), `mixed`.
    /// Only a lab tells it in which some clients keep answers and others do not.
    pub kept_answers: Option<KeptAnswers>,
    /// By event, how long an answer may take: Endpoint Security's deadline; the lab's own on fanotify, which has none.
    pub deadlines: BTreeMap<Word<EventKind>, DeadlineLength>,
}

/// How long a client has to answer one kind of event, in nanoseconds from the event to its deadline, over the decisions
/// that have a deadline in the traces.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeadlineLength {
    /// Decisions of storm and drain with a deadline.
    pub decisions: u64,
    /// The shortest, from the event, or from its being read where the kernel does not say when it was made.
    pub min_ns: u64,
    /// The longest.
    pub max_ns: u64,
    /// The share of it that was left when the client read the event; `null` where the kernel does not say when the
    /// event was made.
    pub left_at_read: Headroom,
}
