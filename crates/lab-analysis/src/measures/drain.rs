//! Calm after the storm.

use lab_model::{Bounded, Total};

use crate::{
    findings::{Drain, Findings},
    measure::{Closing, Measure, Measured},
    measures::latency::Times,
    participants::timeline::Timeline,
    pass::facts::{
        Answered, BegunOperation, EndedOperation, Noticed, OrphanedOperation, ReadDecision, Scope,
    },
};

/// The decisions after the storm that a half-life takes.
const DECISIONS_MIN: u64 = 20;

/// The part of the drain, counted from its end, in which nothing may be read any more for it to be quiet.
const QUIET_SHARE: u64 = 10;

/// The events that a client works on or keeps for its workers at most (`PENDING_MAX` of `lab-client`).
const QUEUED_MAX: u64 = 4096;

/// Counts of what was read after the storm.
#[derive(Clone, Debug, Default)]
pub(crate) struct DrainTally {
    storm_end: u64,
    closing: u64,
    times: Times,
    last: u64,
    /// Decisions read in the last part of the drain or after it.
    late: u64,
    /// Operations of the storm's cascades that are open now.
    open: u64,
    /// Operations that were caused and are still to come.
    reactions: u64,
    /// By client: events whose reactions had not begun when the record ended.
    to_come: Vec<u64>,
    /// What was open when the drain ended.
    in_flight: u64,
}

impl DrainTally {
    fn new(storm_end: u64, closing: u64, clients: usize) -> DrainTally {
        DrainTally { storm_end, closing, to_come: vec![0; clients], ..DrainTally::default() }
    }

    fn length(&self) -> u64 {
        self.closing.saturating_sub(self.storm_end)
    }

    fn read(&mut self, at: u64) {
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
    fn quiet(&self) -> bool {
        self.in_flight == 0 && self.late == 0
    }

    fn section(&self, timeline: &Timeline) -> Option<Drain> {
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

impl Measure for DrainTally {
    fn of(scope: &Scope<'_>) -> Self {
        let timeline = scope.timeline;
        let clients = scope.roster.clients.len();
        DrainTally::new(timeline.storm_end().unwrap_or(timeline.last), timeline.closing, clients)
    }

    fn operation_begun(&mut self, begun: &BegunOperation<'_>, _: &Scope<'_>) {
        self.reactions.lower(u64::from(begun.awaited));
        self.open.raise(u64::from(begun.in_storm));
    }

    fn operation_orphaned(&mut self, orphaned: &OrphanedOperation, _: &Scope<'_>) {
        self.open.lower(u64::from(orphaned.in_storm));
    }

    fn operation_ended(&mut self, ended: &EndedOperation<'_>, _: &Scope<'_>) {
        self.open.lower(u64::from(ended.in_storm && ended.op.orphaned.is_none()));
    }

    fn decision_read(&mut self, read: &ReadDecision<'_>, _: &Scope<'_>) {
        if read.counted {
            self.read(read.at);
        }
        let to_come = read.hung.is_some_and(|hung| hung.to_come && hung.cascade.in_storm());
        self.to_come[usize::from(read.client)].raise(u64::from(to_come));
    }

    fn decision_answered(&mut self, answered: &Answered<'_>, _: &Scope<'_>) {
        self.reactions.raise(answered.reactions);
    }

    fn noticed(&mut self, noticed: &Noticed<'_>, _: &Scope<'_>) {
        if noticed.reactions > 0 {
            self.reactions.raise(noticed.reactions);
            self.read(noticed.at);
        }
    }

    fn drain_over(&mut self, _: &Scope<'_>) {
        // Of more than its queue holds, a client has dropped the rest.
        let to_come = self.to_come.iter().map(|&events| events.min(QUEUED_MAX)).total();
        self.in_flight = self.open.saturating_add(self.reactions).saturating_add(to_come);
    }

    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        findings.drain = self.section(closing.scope.timeline);
    }

    fn metric(findings: &Findings, parts: &[&str]) -> Option<Measured> {
        match parts {
            ["drain", "half_life"] => Some(Measured::Time(findings.drain.as_ref()?.half_life_ns?)),
            _ => None,
        }
    }
}
