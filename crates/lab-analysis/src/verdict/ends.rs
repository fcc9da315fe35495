//! Which processes ended before the run did, and not because the lab file or a deadline of the lab's ended them.

use lab_model::{FIRST_EXTERNAL, Lab, PlannedKind, Role};
use lab_trace::{FaultKind, FaultStage, PlannedStep};

use crate::{
    findings::UnplannedEnd,
    participants::{
        marks::{EndAt, FaultAt, MARK_SLACK_NS},
        roster::Roster,
        timeline::Timeline,
    },
};

/// A helper whose client has ended is gone after this many nanoseconds, on a busy machine, too.
const AFTER_CLIENT_NS: u64 = 1_000_000_000;

/// The ends that nothing accounts for, in the order of time.
pub(crate) fn unplanned(lab: &Lab, roster: &Roster, timeline: &Timeline) -> Vec<UnplannedEnd> {
    let horizon = timeline.teardown();
    let mut kills: Vec<(String, u64)> = timeline.faults.iter().filter_map(|fault| kill(lab, fault)).collect();
    let mut ends = Vec::new();
    for end in timeline.ends.iter().filter(|end| end.at < horizon) {
        let name = roster.name_of(end.actor);
        // One planned kill accounts for one end.
        if let Some(place) = kills.iter().position(|(on, at)| *on == name && *at <= end.at) {
            kills.swap_remove(place);
        } else if is_of_note(end, roster, timeline) {
            ends.push(UnplannedEnd {
                name,
                at_ns: end.at.saturating_sub(timeline.origin),
                end: timeline.end_of(end.actor, Some(end.status)).into(),
            });
        }
    }
    ends
}

/// On whom a planned kill was, and when.
fn kill(lab: &Lab, fault: &FaultAt) -> Option<(String, u64)> {
    let FaultKind::Planned(PlannedKind::Kill | PlannedKind::Restart) = fault.kind else { return None };
    let PlannedStep { place, stage: FaultStage::Begins } = PlannedStep::of(fault.detail) else { return None };
    let planned = lab.faults.get(usize::try_from(place).ok()?)?;
    Some((planned.on.clone(), fault.at))
}

/// Whether the end of this process, before the run's, is one that nobody would expect.
fn is_of_note(end: &EndAt, roster: &Roster, timeline: &Timeline) -> bool {
    let at_deadline = timeline.killed_at_deadline(end.actor);
    if end.actor >= FIRST_EXTERNAL {
        // What was killed at the deadline has missed it, and what starts a product may leave it to others and end well.
        let gone = end.status != 0 || timeline.products.left_nobody(end.actor, timeline.teardown());
        return !at_deadline && gone;
    }
    let Some(participant) = roster.trace_of(end.actor).map(|trace| &roster.participants[usize::from(trace)])
    else {
        return false;
    };
    match participant.role {
        Role::Orchestrator => false,
        // It ends when the load does.
        Role::Driver => end.status != 0,
        // A helper ends with its client.
        _ if participant.serves.is_some_and(|client| ended_with(end, client, roster, timeline)) => false,
        _ => !at_deadline,
    }
}

/// Whether a process of a client ended at that time, as far apart as the orchestrator may write the two down.
fn ended_with(helper: &EndAt, client: u16, roster: &Roster, timeline: &Timeline) -> bool {
    let times = helper.at.saturating_sub(AFTER_CLIENT_NS)..=helper.at.saturating_add(MARK_SLACK_NS);
    timeline.ends.iter().filter(|end| times.contains(&end.at)).any(|end| {
        let trace = roster.trace_of(end.actor);
        trace.is_some_and(|trace| roster.participants[usize::from(trace)].client == Some(client))
    })
}
