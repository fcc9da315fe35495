//! Times in which nobody kept the deadlines.

use lab_model::{
    PhaseKind,
    units::{agreeing, count, counted, time},
};
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

/// The times in which the whole lab stood still: the controller did not look, and no other process of the lab moved, as when
/// the machine is paused, the lab's cgroup frozen, or all of it stopped. Nobody is judged by them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StoodStill {
    /// How many there were.
    pub times: u64,
    /// All of them together.
    pub total_ns: u64,
    /// The longest.
    pub longest_ns: u64,
    /// The longest ones, at most 16, in the order of time.
    pub gaps: Vec<UnwatchedGap>,
    /// Decisions that missed their deadline only because of it. They are in no count of misses, and what they took is without
    /// that time.
    pub misses: u64,
    /// The misses together with those.
    pub misses_of: u64,
}

impl StoodStill {
    /// In one sentence: when and for how long, and what that means.
    #[must_use]
    pub fn sentence(&self) -> String {
        let longest = self.gaps.iter().max_by_key(|gap| gap.lasted_ns);
        let when = longest.map_or_else(String::new, |gap| {
            let phases: Vec<&str> = gap.phases.iter().map(|phase| phase.name()).collect();
            let phases = if phases.is_empty() { String::new() } else { format!(" ({})", phases.join(", ")) };
            let more = if self.times == 1 { "" } else { ", the longest time" };
            format!("{more} from {} on for {}{phases}", time(gap.began_ns), time(gap.lasted_ns))
        });
        let times = match self.times {
            1 => String::new(),
            times => format!(" {} for {} in all", counted(times, "time"), time(self.total_ns)),
        };
        let judged = match self.misses {
            0 => "nobody is judged by that".to_owned(),
            misses => {
                format!(
                    "{} of {} fell into it, and nobody is judged by that",
                    count(misses),
                    agreeing(self.misses_of, "miss", "misses")
                )
            }
        };
        format!(
            "The whole lab stood still{times}{when}: {judged}; what decisions and operations took is without that time."
        )
    }
}
