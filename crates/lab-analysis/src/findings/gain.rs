//! How many events one event of a client brings, and why that may not be known.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Findings, Outcome, words::vocabulary};

/// A value with an interval: that of a loop gain holds the true one with 99 % certainty; of any other its field says which
/// it is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Interval {
    /// The estimate.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

vocabulary! {
    "Why a loop gain is not known."
    GainUnknown {
        /// No client was asked about anything in the storm.
        NoEvents = "no-events",
        /// Nothing began in the storm while all clients lived.
        ClientsDied = "clients-died",
        /// Of too many events it was not seen what they set off: they were not taken up, or that was still to come.
        NotReacted = "not-reacted",
    }
}

impl GainUnknown {
    /// The reason as a part of a sentence, after "not known:".
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            GainUnknown::NoEvents => "no client was asked about anything in the storm",
            GainUnknown::ClientsDied => "nothing began in the storm while all clients lived",
            GainUnknown::NotReacted => {
                "too many events had not been taken up, or what they set off was still to come"
            }
        }
    }
}

/// What a run shows of whether cascades end: judged here once, for every sentence that speaks of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feeding {
    /// Every cascade of the storm was seen to end, and the loop gain says that others would.
    Ends,
    /// All that was seen has ended, and the interval of the loop gain reaches 1.
    EndedSoFar,
    /// The loop gain is below 1, and something was still open, or may have been.
    NotSeenToEnd,
    /// Something was still open, and the interval of the loop gain reaches 1.
    Open,
    /// Each event brings at least one more, or the cascades went on until the drain ended.
    FeedsItself,
    /// The cascades went on until the drain ended, although the loop gain is below 1.
    OutlastsTheDrain,
    /// Clients waited for each other.
    Circle,
    /// The loop gain is not known.
    Unknown,
}

impl Feeding {
    /// The judgement as a part of a sentence about the loop gain.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Feeding::Ends => "below 1, so every cascade ends",
            Feeding::EndedSoFar => {
                "all that began has ended, but the interval holds 1, so that others need not"
            }
            Feeding::NotSeenToEnd => {
                "below 1, so cascades do not feed themselves, and yet not every one was seen to end"
            }
            Feeding::Open => "the interval holds 1, and not every cascade was seen to end",
            Feeding::FeedsItself => "so cascades feed themselves",
            Feeding::OutlastsTheDrain => {
                "below 1 by so little that cascades had not ended when the drain did"
            }
            Feeding::Circle => {
                "but clients waited in a circle, so what they would have set off is not all here"
            }
            Feeding::Unknown => "so whether cascades end cannot be told",
        }
    }
}

impl Findings {
    /// Whether cascades end, from the outcome, the loop gain, and what was still open.
    #[must_use]
    pub fn feeding(&self) -> Feeding {
        if !self.wait_cycles.is_empty() {
            return Feeding::Circle;
        }
        let Some(gain) = self.loop_gain.filter(|gain| gain.low.is_finite() && gain.high.is_finite()) else {
            return Feeding::Unknown;
        };
        if gain.low >= 1.0 || (self.outcome == Outcome::Divergent && gain.high >= 1.0) {
            return Feeding::FeedsItself;
        }
        if self.outcome == Outcome::Divergent {
            return Feeding::OutlastsTheDrain;
        }
        let drained = self.drain.as_ref().is_none_or(|drain| drain.in_flight == 0);
        let all_ended = drained && self.cascades.unfinished == 0 && self.totals.unanswered == 0;
        match (all_ended && self.state.is_whole(), gain.high < 1.0) {
            (true, true) => Feeding::Ends,
            (true, false) => Feeding::EndedSoFar,
            (false, true) => Feeding::NotSeenToEnd,
            (false, false) => Feeding::Open,
        }
    }
}
