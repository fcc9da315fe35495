//! The requests of one trace, counted while it is read.

use std::collections::BTreeMap;

use lab_model::{Bounded, Total};
use lab_trace::{RecordPart, Request, RequestEnd};

use crate::{
    findings::{Leg, RequestTimes, Requests},
    measures::latency::Times,
};

/// The error of a request whose channel broke, or that had none (`EPIPE`): the same number on all systems.
const GONE: u32 = 32;

/// The errors of a request for which the queue had no room: `EAGAIN` of Linux and of macOS.
const NO_ROOM: [u32; 2] = [11, 35];

/// Where the time of the requests went whose worker said so: each moment between asking and hearing is in one of
/// these.
#[derive(Clone, Debug, Default)]
struct Legs {
    /// To the worker, in its queue, at work, in operations, back.
    legs: [Times; 5],
}

impl Legs {
    /// Counts a request that was asked at `at`, unless the worker's times do not lie within it.
    fn count(&mut self, at: u64, end: &RequestEnd) {
        let Some(served) = &end.served else { return };
        let moments = [at, served.read.0, served.begun.0, served.ended.0, end.at.0];
        if !moments.is_sorted() {
            return;
        }
        let [asked, read, begun, ended, back] = moments;
        let [sent, queued, busy, back] = [
            read.saturating_sub(asked),
            begun.saturating_sub(read),
            ended.saturating_sub(begun),
            back.saturating_sub(ended),
        ];
        // The clock is read once more around each operation than around all of them.
        let operations = served.operations.min(busy);
        for (leg, took) in
            self.legs.iter_mut().zip([sent, queued, busy.saturating_sub(operations), operations, back])
        {
            leg.record(took);
        }
    }

    fn add(&mut self, other: &Legs) {
        self.legs.iter_mut().zip(&other.legs).for_each(|(mine, theirs)| mine.add(theirs));
    }

    fn times(&self, all: &Times) -> RequestTimes {
        let leg = |times: &Times| {
            let summary = times.summary();
            Leg { total_ns: times.total(), p50_ns: summary.p50, p99_ns: summary.p99 }
        };
        let [to_worker, queued, working, operating, back] = self.legs.each_ref().map(leg);
        let known: u64 = self.legs.iter().map(Times::total).total();
        let not_told_ns = all.total().saturating_sub(known);
        let (notified, total_ns) = (self.legs[0].count(), all.total());
        RequestTimes { told: notified, total_ns, to_worker, queued, working, operating, back, not_told_ns }
    }
}

/// Requests to one helper's or daemon's desk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    carried_out: Times,
    legs: Legs,
    failed: u64,
    refused: u64,
    unheard: u64,
}

impl Tally {
    /// Counts a request whose times have been converted to nanoseconds.
    pub(crate) fn count(&mut self, request: &Request) {
        match &request.end {
            RecordPart::Present(end) if end.error == GONE => self.failed.raise(1),
            RecordPart::Present(end) if NO_ROOM.contains(&end.error) => self.refused.raise(1),
            RecordPart::Present(end) => {
                self.carried_out.record(end.at.since(request.begin.at));
                self.legs.count(request.begin.at.0, end);
            }
            RecordPart::Absent | RecordPart::Damaged => self.unheard.raise(1),
        }
    }

    fn add(&mut self, other: &Tally) {
        self.carried_out.add(&other.carried_out);
        self.legs.add(&other.legs);
        self.failed.raise(other.failed);
        self.refused.raise(other.refused);
        self.unheard.raise(other.unheard);
    }
}

/// The requests of one client by whom it asked: its helpers first, then daemons by name.
pub(crate) fn rows<'a>(tallies: impl Iterator<Item = (Option<String>, &'a Tally)>) -> Vec<Requests> {
    let mut all: BTreeMap<Option<String>, Tally> = BTreeMap::new();
    for (daemon, tally) in tallies {
        all.entry(daemon).or_default().add(tally);
    }
    let row = |(daemon, tally): (Option<String>, Tally)| Requests {
        made: tally
            .carried_out
            .count()
            .saturating_add(tally.failed)
            .saturating_add(tally.refused)
            .saturating_add(tally.unheard),
        carried_out: tally.carried_out.count(),
        failed: tally.failed,
        refused: tally.refused,
        unheard: tally.unheard,
        latency_ns: tally.carried_out.summary(),
        times: tally.legs.times(&tally.carried_out),
        daemon,
    };
    all.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use lab_model::{Actor, Ticks};
    use lab_trace::{RequestBegin, Served};

    use super::*;

    #[test]
    fn each_request_has_one_end() {
        let begin = RequestBegin { at: Ticks(100), decision: 1, whom: Actor(2), worker: 0, waits: true };
        let ended = |error| RecordPart::Present(RequestEnd { at: Ticks(350), error, served: None });
        let mut tally = Tally::default();
        for end in
            [ended(0), ended(2), ended(GONE), ended(11), ended(35), RecordPart::Absent, RecordPart::Damaged]
        {
            tally.count(&Request { begin, end });
        }
        let indexer = || Some("indexer".to_owned());
        let rows = rows([(indexer(), &tally), (None, &Tally::default()), (indexer(), &tally)].into_iter());
        assert_eq!((rows[0].daemon.as_deref(), rows[0].made), (None, 0));
        let Requests { daemon, made, carried_out, failed, refused, unheard, latency_ns, times } = &rows[1];
        assert_eq!(
            (times.told, times.total_ns, times.not_told_ns),
            (0, 1000, 1000),
            "no worker said anything"
        );
        assert_eq!((daemon.as_deref(), latency_ns.max), (Some("indexer"), 250));
        assert_eq!([*made, *carried_out, *failed, *refused, *unheard], [14, 4, 2, 4, 4]);
    }

    #[test]
    fn the_legs_of_a_request_are_its_latency() {
        let request = |moments: [u64; 5], operations: u64| {
            let [at, read, begun, ended, heard] = moments;
            let begin = RequestBegin { at: Ticks(at), decision: 1, whom: Actor(2), worker: 0, waits: true };
            let served = Served { read: Ticks(read), begun: Ticks(begun), ended: Ticks(ended), operations };
            let end = RequestEnd { at: Ticks(heard), error: 0, served: Some(served) };
            Request { begin, end: RecordPart::Present(end) }
        };
        let mut tally = Tally::default();
        tally.count(&request([100, 110, 130, 190, 200], 40));
        tally.count(&request([200, 200, 200, 200, 200], 0));
        // More time in operations than in the whole, and a worker that read before anybody asked.
        tally.count(&request([300, 310, 310, 320, 330], 99));
        tally.count(&request([400, 390, 400, 410, 450], 5));
        let rows = rows([(None, &tally)].into_iter());
        let times = &rows[0].times;
        let legs = [&times.to_worker, &times.queued, &times.working, &times.operating, &times.back];
        assert_eq!(legs.map(|leg| leg.total_ns), [20, 20, 20, 50, 20]);
        assert_eq!((times.told, times.total_ns, times.not_told_ns), (3, 180, 50));
        let sum: u64 = legs.iter().map(|leg| leg.total_ns).sum();
        assert_eq!(sum + times.not_told_ns, times.total_ns);
    }
}
