//! Calm after the storm.

use lab_model::Bounded;

use crate::{findings::Drain, measures::latency::Times, participants::timeline::Timeline};

/// The decisions after the storm that a half-life takes.
const DECISIONS_MIN: u64 = 20;

/// The part of the drain, counted from its end, in which nothing may be read any more for it to be quiet.
const QUIET_SHARE: u64 = 10;

/// Counts of what was read after the storm.
#[derive(Clone, Debug, Default)]
pub(crate) struct DrainTally {
    storm_end: u64,
    closing: u64,
    times: Times,
    last: u64,
    /// Decisions read in the last part of the drain or after it.
    pub(crate) late: u64,
    /// What was open when the drain ended.
    pub(crate) in_flight: u64,
}

impl DrainTally {
    pub(crate) fn new(storm_end: u64, closing: u64) -> DrainTally {
        DrainTally { storm_end, closing, ..DrainTally::default() }
    }

    fn length(&self) -> u64 {
        self.closing.saturating_sub(self.storm_end)
    }

    pub(crate) fn read(&mut self, at: u64) {
        if at <= self.storm_end {
            return;
        }
        self.times.record(at.saturating_sub(self.storm_end));
        self.last = self.last.max(at.saturating_sub(self.storm_end));
        if at.saturating_add(self.length() / QUIET_SHARE) > self.closing {
            self.late.raise(1);
        }
    }

    /// Whether nothing was open at the drain's end and nothing was read in its last part.
    pub(crate) fn quiet(&self) -> bool {
        self.in_flight == 0 && self.late == 0
    }

    pub(crate) fn finish(&self, timeline: &Timeline) -> Option<Drain> {
        timeline.storm_end()?;
        let count = self.times.count();
        let notified = count >= DECISIONS_MIN && self.quiet();
        Some(Drain {
            decisions: count,
            last_ns: (count > 0).then_some(self.last),
            half_life_ns: notified.then(|| self.times.quantile(0.5)),
            in_flight: self.in_flight,
            quiet: self.quiet(),
        })
    }
}
