//! What clients were told of after it had happened (NOTIFY): counted apart from decisions, for nobody waited.

use lab_model::{Bounded, Lab, NotifyEvent, Total};

use crate::{
    findings::{Findings, NotifySummary},
    measure::{Closing, Measure},
    measures::latency::Times,
    pass::{
        facts::{BegunOperation, Noticeable, Noticed, ReadDecision, Scope, bit},
        merge::Side,
        slots::NEVER,
    },
};

/// One client's counts over storm and drain.
#[derive(Clone, Debug, Default)]
struct NotifyTally {
    /// Some behaviour of the client has it told of something.
    listens: bool,
    notices: u64,
    by_event: [u64; NotifyEvent::ALL.len()],
    /// Notices of more than one kind of event, which the kernel had merged.
    mixed: u64,
    /// By column of the cause matrix.
    by_author: Vec<u64>,
    /// Notices that set the client's reaction off.
    reacted: u64,
    /// Operations made because of them, in storm and drain.
    operations: u64,
    /// Decisions, anybody's, about those operations.
    inflicted: u64,
    /// From the operation's end to the read; nothing when it was read before that.
    lag: Times,
    opens: Coverage,
    execs: Coverage,
}

/// Operations that succeeded, and what a client was told of them.
#[derive(Clone, Copy, Debug, Default)]
struct Coverage {
    /// The client listens to these.
    wanted: bool,
    operations: u64,
    /// Opens: notices of one, each of which stands for at least one. Execs: those of which there was a notice.
    notified: u64,
}

impl NotifyTally {
    /// One for each client of the lab, then one for each that only a trace knows.
    fn of(lab: &Lab, clients: usize, columns: usize) -> Vec<NotifyTally> {
        let of_lab = lab.clients.iter().map(|client| {
            let wants = |event| lab.behaviors_of(client).any(|behavior| behavior.notify.contains(event));
            NotifyTally {
                listens: lab.notifies(client),
                opens: Coverage { wanted: wants(NotifyEvent::Open), ..Coverage::default() },
                execs: Coverage { wanted: wants(NotifyEvent::Exec), ..Coverage::default() },
                ..NotifyTally::default()
            }
        });
        let all = of_lab.chain(std::iter::repeat_with(NotifyTally::default)).take(clients);
        all.map(|tally| NotifyTally { by_author: vec![0; columns], ..tally }).collect()
    }

    /// The part of one client; `None` for a client that is only asked.
    fn section(&self, place: usize, closing: &Closing<'_>) -> Option<NotifySummary> {
        if !self.listens && self.notices == 0 {
            return None;
        }
        let roster = closing.scope.roster;
        let sides = closing.show.merge.sides();
        let sum = |count: fn(&Side) -> u64| roster.traces_of(place).map(|trace| count(sides[trace])).total();
        let wanted = |coverage: Coverage, count: u64| coverage.wanted.then_some(count);
        let (opens, execs) = (self.opens, self.execs);
        let events = NotifyEvent::ALL.iter().zip(self.by_event).filter(|(_, count)| *count > 0);
        let authors = roster.columns.iter().zip(&self.by_author).filter(|(_, count)| **count > 0);
        let mut by_author: Vec<(String, u64)> =
            authors.map(|(column, &count)| (column.name.clone(), count)).collect();
        by_author.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Some(NotifySummary {
            notices: self.notices,
            by_event: events.map(|(event, count)| ((*event).into(), count)).collect(),
            mixed: self.mixed,
            by_author,
            opens: wanted(opens, opens.operations),
            opens_not_told_apart: wanted(opens, opens.operations.saturating_sub(opens.notified)),
            execs: wanted(execs, execs.operations),
            execs_not_told: wanted(execs, execs.operations.saturating_sub(execs.notified)),
            lag_ns: self.lag.summary(),
            reacted: self.reacted,
            reactions_dropped: sum(|side| side.reactions_dropped),
            operations: self.operations,
            inflicted: self.inflicted,
            lost: (sum(|side| side.notices_overflowed) == 0).then(|| sum(|side| side.notices_lost)),
            unread: sum(|side| side.notices_unread),
        })
    }
}

/// What every client was told.
#[derive(Clone, Debug)]
pub(crate) struct NotifyTallies(Vec<NotifyTally>);

impl Measure for NotifyTallies {
    fn of(scope: &Scope<'_>) -> Self {
        let roster = scope.roster;
        NotifyTallies(NotifyTally::of(scope.lab, roster.clients.len(), roster.columns.len()))
    }

    fn operation_begun(&mut self, begun: &BegunOperation<'_>, _: &Scope<'_>) {
        if let Some(by) = begun.by.filter(|by| by.is_notice() && begun.counted()) {
            self.0[usize::from(by.client)].operations.raise(1);
        }
    }

    fn decision_read(&mut self, read: &ReadDecision<'_>, _: &Scope<'_>) {
        let by = read.op.and_then(|op| op.by).filter(|by| by.is_notice() && read.counted);
        if let Some(tally) = by.and_then(|by| self.0.get_mut(usize::from(by.client))) {
            tally.inflicted.raise(1);
        }
    }

    fn noticed(&mut self, noticed: &Noticed<'_>, _: &Scope<'_>) {
        let Some(tally) = self.0.get_mut(usize::from(noticed.client)) else { return };
        let events = noticed.notice.events;
        if noticed.counted {
            tally.notices.raise(1);
            for (place, event) in NotifyEvent::ALL.iter().copied().enumerate() {
                tally.by_event[place].raise(u64::from(events.contains(event)));
            }
            tally.mixed.raise(u64::from(events.bits().count_ones() > 1));
            tally.by_author[noticed.column].raise(1);
            tally.reacted.raise(u64::from(noticed.notice.reacts));
            if let Some(op) = noticed.op.filter(|op| op.ended != NEVER) {
                tally.lag.record(noticed.at.saturating_sub(op.ended));
            }
        }
        if noticed.op.is_some_and(|op| !op.exec && op.counted) && events.contains(NotifyEvent::Open) {
            tally.opens.notified.raise(1);
        }
    }

    fn notices_over(&mut self, op: &Noticeable, _: &Scope<'_>) {
        if !op.counted || !op.succeeded {
            return;
        }
        for (client, tally) in (0_u16..).zip(&mut self.0) {
            let coverage = if op.exec { &mut tally.execs } else { &mut tally.opens };
            coverage.operations.raise(1);
            coverage.notified.raise(u64::from(op.notified & bit(client) != 0));
        }
    }

    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        for ((place, client), tally) in findings.clients.iter_mut().enumerate().zip(&self.0) {
            client.told = tally.section(place, closing);
        }
    }
}
