//! How often the housekeeper of a client gets up: as often as there is something to do.

use lab_model::Span;

/// The shortest nap: a housekeeper that has much to do, or that watches a deadline.
const NAP_MIN: Span = Span::from_millis(1);
/// The longest nap while there is anything to do. A client killed then leaves that much without a target.
const NAP_MAX: Span = Span::from_millis(8);
/// The longest nap while there is nothing to do.
const NAP_IDLE_MAX: Span = Span::from_millis(16);
/// More answered events than this in one round: rounds become shorter, so that none of them takes long.
const MANY: usize = 128;
/// Fewer than this: rounds become rarer, because getting up costs more than the work.
const FEW: usize = 32;

/// When a client's housekeeper makes its rounds.
///
/// A round costs a timer, two switches and often the waking of a processor, however little there is to do. With
/// dozens of clients and a round every millisecond that was half of a small machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rounds {
    nap: Span,
}

impl Default for Rounds {
    fn default() -> Rounds {
        Rounds { nap: NAP_MIN }
    }
}

impl Rounds {
    /// How long to nap after a round that has let go of so many answered events; `urgent` when something else must
    /// not wait: a deadline to watch, or a trace that grows.
    pub fn nap_after(&mut self, events: usize, urgent: bool) -> Span {
        let twice = Span::from_nanos(self.nap.nanos() * 2);
        self.nap = if urgent {
            NAP_MIN
        } else if events == 0 {
            twice.min(NAP_IDLE_MAX)
        } else if events < FEW {
            twice.min(NAP_MAX)
        } else if events > MANY {
            Span::from_nanos(self.nap.nanos() / 2).max(NAP_MIN)
        } else {
            self.nap.min(NAP_MAX)
        };
        self.nap
    }

    /// How long it naps at present.
    #[must_use]
    pub const fn nap(&self) -> Span {
        self.nap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn naps(rounds: &mut Rounds, events: usize) -> Vec<u64> {
        (0..6).map(|_| rounds.nap_after(events, false).nanos() / 1_000_000).collect()
    }

    #[test]
    fn naps_follow_what_there_is_to_do() {
        let mut rounds = Rounds::default();
        assert_eq!(naps(&mut rounds, 3), [2, 4, 8, 8, 8, 8], "little to do");
        assert_eq!(naps(&mut rounds, 0), [16; 6], "nothing");
        assert_eq!(naps(&mut rounds, 1), [8; 6], "something again");
        assert_eq!(naps(&mut rounds, 64), [8; 6], "enough to be worth it, not so much that it takes long");
        assert_eq!(naps(&mut rounds, 500), [4, 2, 1, 1, 1, 1], "much");
        rounds.nap_after(0, false);
        assert_eq!(rounds.nap_after(0, true), NAP_MIN, "what must not wait is looked at every millisecond");
    }
}
