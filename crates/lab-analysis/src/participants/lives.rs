//! When each client was there to be asked: from which moment its processes certainly read events, and from
//! which on they certainly no longer did.

use lab_model::Role;
use lab_trace::{
    Entry, FaultKind, FaultStage, PlannedKind, PlannedStep, Record, RecordPart, ThreadPurpose, Trace,
};

use crate::{
    participants::{
        roster::Roster,
        timeline::{Timeline, begins},
    },
    pass::slots::NEVER,
};

/// The places at a trace's start among which the reader's thread is looked for: every thread of a client
/// registers before the first event.
const HEAD_PLACES: u64 = 2048;

/// The places at a trace's end among which the last sign of life is looked for.
const TAIL_PLACES: u64 = 64;

/// One process of a client. Times are nanoseconds of the shared clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// Its trace.
    pub(crate) trace: u16,
    /// Before this it was certainly not asked.
    pub(crate) created: u64,
    /// From here on it certainly was.
    pub(crate) from: u64,
    /// Its last sign of life.
    pub(crate) until: u64,
    /// From here on it is certainly gone; [`NEVER`] when nobody saw its end.
    pub(crate) gone: u64,
}

/// How much of a stretch of time a client was there for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Presence {
    /// All of it.
    Whole,
    /// Perhaps a part of it.
    Partly,
    /// Nothing of it.
    Absent,
    /// It left no trace that would tell.
    Unknown,
}

/// The processes of each client, in the order of time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lives(Vec<Vec<Life>>);

impl Lives {
    pub(crate) fn new(roster: &Roster, timeline: &Timeline, traces: &[Trace<'_>]) -> Lives {
        let mut lives = vec![Vec::new(); roster.clients.len()];
        for ((trace, bytes), participant) in (0_u16..).zip(traces).zip(&roster.participants) {
            if let Some(client) = participant.client {
                lives[usize::from(client)].push(life(trace, bytes, timeline));
            }
        }
        for of_one in &mut lives {
            of_one.sort_by_key(|life| (life.created, life.trace));
        }
        Lives(lives)
    }

    /// One client's processes.
    pub(crate) fn of(&self, client: usize) -> &[Life] {
        self.0.get(client).map_or(&[], Vec::as_slice)
    }

    /// Whether a client was there between two moments.
    pub(crate) fn presence(&self, client: usize, began: u64, ended: u64) -> Presence {
        let Some(lives) = self.0.get(client).filter(|lives| !lives.is_empty()) else {
            return Presence::Unknown;
        };
        let mut presence = Presence::Absent;
        for life in lives {
            if life.from <= began && ended <= life.until {
                return Presence::Whole;
            }
            if life.created <= ended && began < life.gone {
                presence = Presence::Partly;
            }
        }
        presence
    }

    /// True when the process with this trace was perhaps there between two moments.
    pub(crate) fn overlaps(&self, client: usize, trace: u16, began: u64, ended: u64) -> bool {
        let mine = self.0.get(client).into_iter().flatten().find(|life| life.trace == trace);
        mine.is_some_and(|life| life.created <= ended && began < life.gone)
    }
}

/// By trace, until when its process was there. The orchestrator would have seen the end of a process that left before the
/// rest; where there is no trace of it, a process is only known to have been there as long as its own says.
pub(crate) fn seen_until(timeline: &Timeline, roster: &Roster, traces: &[Trace<'_>]) -> Vec<u64> {
    let watched = roster.participants.iter().any(|participant| participant.role == Role::Orchestrator);
    let until = |(trace, bytes)| {
        let life = life(trace, bytes, timeline);
        match (life.gone, killed(bytes.header.actor.0, timeline)) {
            (NEVER, _) if watched => timeline.last,
            (NEVER, _) => life.until,
            // Who was killed did not live for as long as it took to see that.
            (gone, Some(killed)) => killed.min(gone),
            (gone, None) => gone,
        }
    };
    (0_u16..).zip(traces).map(until).collect()
}

fn life(trace: u16, bytes: &Trace<'_>, timeline: &Timeline) -> Life {
    let nanoseconds = |ticks: u64| bytes.header.timebase.nanoseconds(ticks);
    let actor = bytes.header.actor.0;
    let created = nanoseconds(bytes.header.created.0);
    let places = bytes.entries().remaining() as u64;
    let reads = (0..places.min(HEAD_PLACES)).find_map(|place| match bytes.entry(place)? {
        Entry::Record { record: Record::Thread(mark), .. } if mark.purpose == ThreadPurpose::Reader => {
            Some(nanoseconds(mark.at.0))
        }
        _ => None,
    });
    let ready = timeline.readies.iter().find(|ready| ready.actor == actor).map(|ready| ready.at);
    // Neither is there in a simulated run, whose clients are there as long as their traces.
    let from = reads.or(ready).unwrap_or(created);
    let tail = places.saturating_sub(TAIL_PLACES)..places;
    let signs = tail.filter_map(|place| match bytes.entry(place)? {
        Entry::Record { record, .. } => latest(&record),
        Entry::Damaged { .. } => None,
    });
    let last = signs.max().into_iter().chain(bytes.closed.map(|closed| closed.0)).max();
    let end = timeline.ends.iter().find(|end| end.actor == actor);
    let gone = end.map_or(NEVER, |end| end.at);
    let killed = end.filter(|end| end.status & SIGNAL == KILLED).and_then(|_| killed(actor, timeline));
    let until = last.map_or(from, nanoseconds).max(from).max(killed.unwrap_or(0)).min(gone);
    Life { trace, created, from, until, gone }
}

/// When the orchestrator wrote down that it kills a process, which it then did: until there the process lived, also
/// when it had nothing to record.
fn killed(actor: u16, timeline: &Timeline) -> Option<u64> {
    let kills = |kind: FaultKind, detail: u64| match kind {
        FaultKind::DeadlineKill => true,
        FaultKind::Planned(PlannedKind::Kill | PlannedKind::Restart) => {
            PlannedStep::of(detail).stage == FaultStage::Begins
        }
        _ => false,
    };
    let mut faults = timeline.faults.iter();
    faults.find(|fault| fault.actor == actor && kills(fault.kind, fault.detail)).map(|fault| fault.at)
}

/// The bits of a wait status that hold the signal.
const SIGNAL: i32 = 0x7f;

/// `SIGKILL`.
const KILLED: i32 = 9;

/// The latest moment that a record tells of, in raw ticks.
fn latest(record: &Record) -> Option<u64> {
    let began = begins(record)?;
    let ended = match record {
        Record::Decision(decision) => match &decision.end {
            RecordPart::Present(end) => end.answered.0,
            RecordPart::Absent | RecordPart::Damaged => began,
        },
        Record::Operation(operation) => match &operation.end {
            RecordPart::Present(end) => end.ended.0,
            RecordPart::Absent | RecordPart::Damaged => began,
        },
        _ => began,
    };
    Some(began.max(ended))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_is_certain_or_not_claimed() {
        let first = Life { trace: 1, created: 100, from: 150, until: 900, gone: 1000 };
        let second = Life { trace: 4, created: 2000, from: 2100, until: 5000, gone: NEVER };
        let lives = Lives(vec![vec![first, second], Vec::new()]);
        let check = |began, ended, expected| {
            assert_eq!(lives.presence(0, began, ended), expected, "{began} to {ended}");
        };
        check(10, 99, Presence::Absent);
        check(10, 100, Presence::Partly);
        check(149, 200, Presence::Partly);
        check(150, 900, Presence::Whole);
        check(150, 901, Presence::Partly);
        check(950, 990, Presence::Partly);
        check(999, 1999, Presence::Partly);
        check(1000, 1999, Presence::Absent);
        check(1000, 2000, Presence::Partly);
        check(2100, 5000, Presence::Whole);
        check(6000, 7000, Presence::Partly);
        assert_eq!(lives.presence(1, 150, 200), Presence::Unknown, "no trace, no claim");
        assert!(lives.overlaps(0, 1, 950, 990) && !lives.overlaps(0, 4, 950, 990));
    }
}
