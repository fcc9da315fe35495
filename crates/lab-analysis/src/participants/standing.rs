//! When the whole lab stood still: the controller did not look, and no other process of the lab moved either.
//!
//! A paused machine, a frozen cgroup or a stop signal to all look alike from inside. What tells it from clients that merely
//! take long is that nobody moved in between, and that somebody did just before and just after.

use lab_model::Role;
use lab_trace::{Entry, Record, Trace};

use crate::participants::{gaps::Gaps, roster::Roster, timeline::begins};

/// How close to the gap's ends somebody must have moved, in nanoseconds: a lab that had nothing to do shows nothing.
const NEAR_NS: u64 = 100_000_000;

/// Not all stop and go on at one moment: what is so close to an end of the gap is no motion in it, in nanoseconds, and at
/// most this part of the gap.
const EDGE_NS: u64 = 20_000_000;
const EDGE_PART: u64 = 10;

/// What was seen of one gap.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    before: bool,
    inside: bool,
    after: bool,
}

/// The gaps in which nobody moved.
pub(crate) fn stood_still(gaps: &Gaps, roster: &Roster, traces: &[Trace<'_>]) -> Gaps {
    if gaps.is_empty() {
        return Gaps::default();
    }
    let mut seen = vec![Seen::default(); gaps.list().len()];
    for (trace, participant) in traces.iter().zip(&roster.participants) {
        if participant.role == Role::Orchestrator {
            continue;
        }
        let timebase = trace.header.timebase;
        for entry in trace.entries() {
            let Entry::Record { record, .. } = entry else { continue };
            for ticks in [begins(&record), ends(&record)].into_iter().flatten() {
                look(&mut seen, gaps, timebase.nanoseconds(ticks));
            }
        }
    }
    let still = gaps.list().iter().zip(&seen).filter(|(_, seen)| seen.before && !seen.inside && seen.after);
    Gaps::new(still.map(|(gap, _)| *gap).collect())
}

/// When what a record is about was over, in raw ticks.
fn ends(record: &Record) -> Option<u64> {
    match record {
        Record::Decision(decision) => decision.end.present().map(|end| end.answered.0),
        Record::Operation(operation) => operation.end.present().map(|end| end.ended.0),
        _ => None,
    }
}

/// Notes that somebody moved.
fn look(seen: &mut [Seen], gaps: &Gaps, at: u64) {
    // Only the last gap that began before then, and the one behind it, can be so close.
    let behind = gaps.list().partition_point(|gap| gap.0 <= at);
    for place in [behind.checked_sub(1), Some(behind)].into_iter().flatten() {
        let (Some(&(from, until)), Some(seen)) = (gaps.list().get(place), seen.get_mut(place)) else {
            continue;
        };
        let edge = EDGE_NS.min(until.saturating_sub(from) / EDGE_PART);
        let (from, until) = (from.saturating_add(edge), until.saturating_sub(edge));
        seen.before |= at < from && at.saturating_add(NEAR_NS) >= from;
        seen.inside |= (from..=until).contains(&at);
        seen.after |= at > until && at <= until.saturating_add(NEAR_NS);
    }
}
