//! Which behaviour a client had when: that of the lab file, and those that planned faults gave it for a while.

use lab_model::{Behavior, Effect, FaultAction, Lab, behavior_under};
use lab_trace::{FaultKind, FaultStage, PlannedStep};

use crate::participants::timeline::Timeline;

/// A behaviour and when it was perhaps in effect, in nanoseconds. While a client changes over, both the old and the
/// new one are.
#[derive(Clone, Debug)]
pub(crate) struct BehaviorPeriod {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) behavior: Behavior,
}

/// A client's behaviours, one after the other.
pub(crate) fn regimes(lab: &Lab, client: usize, timeline: &Timeline) -> Vec<BehaviorPeriod> {
    let client = &lab.clients[client];
    let mut regimes = vec![BehaviorPeriod { from: 0, to: u64::MAX, behavior: client.behavior.clone() }];
    let mut active: Vec<(u32, &FaultAction)> = Vec::new();
    // Those that were left, and by which fault's word from the client they are left for good.
    let mut leaving: Vec<(usize, u32, FaultStage)> = Vec::new();
    for fault in timeline.faults.iter().filter(|fault| matches!(fault.kind, FaultKind::Planned(_))) {
        let step = PlannedStep::of(fault.detail);
        let planned = usize::try_from(step.place).ok().and_then(|place| lab.faults.get(place));
        let Some(planned) =
            planned.filter(|fault| fault.on == client.id.as_str() && fault.action.is_behavior())
        else {
            continue;
        };
        let settled = match step.stage {
            FaultStage::Begins => {
                active.push((step.place, &planned.action));
                FaultStage::InForce
            }
            FaultStage::Ends => {
                active.retain(|(place, _)| *place != step.place);
                FaultStage::Over
            }
            word => {
                leaving.retain(|&(regime, place, awaited)| {
                    let left = place == step.place && awaited == word;
                    if left {
                        regimes[regime].to = fault.at;
                    }
                    !left
                });
                continue;
            }
        };
        leaving.push((regimes.len().saturating_sub(1), step.place, settled));
        active.sort_by_key(|(place, _)| *place);
        let behavior = behavior_under(&client.behavior, active.iter().map(|(_, action)| *action));
        regimes.push(BehaviorPeriod { from: fault.at, to: u64::MAX, behavior });
    }
    regimes
}

/// When a client's descriptors were limited, from and to.
pub(crate) fn limited(lab: &Lab, client: usize, timeline: &Timeline) -> Vec<(u64, u64)> {
    let id = lab.clients[client].id.as_str();
    let faults = (0_u32..).zip(&lab.faults);
    let mine = faults
        .filter(|(_, fault)| fault.on == id && matches!(fault.action.effect(), Effect::Descriptors { .. }));
    let at = |place: u32, stage: FaultStage| {
        let step = PlannedStep { place, stage };
        let mut faults = timeline.faults.iter();
        let found = faults.find(|fault| {
            matches!(fault.kind, FaultKind::Planned(_)) && PlannedStep::of(fault.detail) == step
        });
        found.map(|fault| fault.at)
    };
    mine.filter_map(|(place, _)| {
        Some((at(place, FaultStage::Begins)?, at(place, FaultStage::Ends).unwrap_or(u64::MAX)))
    })
    .collect()
}
