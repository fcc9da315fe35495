//! What clients asked of workers outside themselves, and what became of it.

use std::collections::BTreeMap;

use lab_trace::{Part, Request};

use crate::{findings::Requests, latency::Times};

/// The error of a request whose channel broke, or that had none (`EPIPE`): the same number on all systems.
const GONE: u32 = 32;

/// The errors of a request for which the queue had no room: `EAGAIN` of Linux and of macOS.
const NO_ROOM: [u32; 2] = [11, 35];

/// Requests to one helper's or daemon's desk.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    carried_out: Times,
    failed: u64,
    refused: u64,
    unheard: u64,
}

impl Tally {
    /// Counts a request whose times have been converted to nanoseconds.
    pub(crate) fn count(&mut self, request: &Request) {
        match &request.end {
            Part::Present(end) if end.error == GONE => self.failed += 1,
            Part::Present(end) if NO_ROOM.contains(&end.error) => self.refused += 1,
            Part::Present(end) => self.carried_out.record(end.at.since(request.begin.at)),
            Part::Absent | Part::Damaged => self.unheard += 1,
        }
    }

    fn add(&mut self, other: &Tally) {
        self.carried_out.add(&other.carried_out);
        self.failed += other.failed;
        self.refused += other.refused;
        self.unheard += other.unheard;
    }
}

/// The requests of one client by whom it asked: its helpers first, then daemons by name.
pub(crate) fn rows<'a>(tallies: impl Iterator<Item = (Option<String>, &'a Tally)>) -> Vec<Requests> {
    let mut all: BTreeMap<Option<String>, Tally> = BTreeMap::new();
    for (daemon, tally) in tallies {
        all.entry(daemon).or_default().add(tally);
    }
    let row = |(daemon, tally): (Option<String>, Tally)| Requests {
        made: tally.carried_out.count() + tally.failed + tally.refused + tally.unheard,
        carried_out: tally.carried_out.count(),
        failed: tally.failed,
        refused: tally.refused,
        unheard: tally.unheard,
        latency_ns: tally.carried_out.summary(),
        daemon,
    };
    all.into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use lab_model::{Actor, Ticks};
    use lab_trace::{RequestBegin, RequestEnd};

    use super::*;

    #[test]
    fn each_request_has_one_end() {
        let begin = RequestBegin { at: Ticks(100), decision: 1, whom: Actor(2), worker: 0, waits: true };
        let ended = |error| Part::Present(RequestEnd { at: Ticks(350), error });
        let mut tally = Tally::default();
        for end in [ended(0), ended(2), ended(GONE), ended(11), ended(35), Part::Absent, Part::Damaged] {
            tally.count(&Request { begin, end });
        }
        let indexer = || Some("indexer".to_owned());
        let rows = rows([(indexer(), &tally), (None, &Tally::default()), (indexer(), &tally)].into_iter());
        assert_eq!((rows[0].daemon.as_deref(), rows[0].made), (None, 0));
        let Requests { daemon, made, carried_out, failed, refused, unheard, latency_ns } = &rows[1];
        assert_eq!((daemon.as_deref(), latency_ns.max), (Some("indexer"), 250));
        assert_eq!([*made, *carried_out, *failed, *refused, *unheard], [14, 4, 2, 4, 4]);
    }
}
