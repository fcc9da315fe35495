//! Times in which nobody kept the deadlines.

use lab_model::PhaseKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The times in which the warden did not look at the clients, although they ran: it was stopped, starved, or the whole
/// machine stood still.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unwatched {
    /// How many there were.
    pub times: u64,
    /// All of them together.
    pub total_ns: u64,
    /// The longest.
    pub longest_ns: u64,
    /// The longest ones, at most 16, in the order of time.
    pub gaps: Vec<UnwatchedGap>,
    /// The kernel itself kept the deadlines meanwhile (Endpoint Security).
    pub kept_by_kernel: bool,
    /// Answers that came after their deadline, and whose client nobody killed for them: they count as misses.
    pub late: u64,
    /// Events that may have lain unread past the deadline, whose client might have been killed for them, and clients
    /// that may have ended so. Whether they are misses is not known.
    pub doubtful: u64,
}

impl Unwatched {
    /// True when somebody may have gone on who would have been killed under watch.
    #[must_use]
    pub const fn let_pass(&self) -> bool {
        self.late > 0 || self.doubtful > 0
    }
}

/// One stretch between two looks of the warden that was too long, in nanoseconds from the run's origin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UnwatchedGap {
    /// The last look before it, from the run's origin.
    pub began_ns: u64,
    /// Until the next look.
    pub lasted_ns: u64,
    /// The phases that it touched, in their order.
    pub phases: Vec<PhaseKind>,
}
