//! Disturbances: what the lab file planned and what became of it, and what the warden did.

use lab_model::{PlannedFault, units::time};
use lab_trace::{FaultKind, FaultStage, PlannedStep};

use super::Assembly;
use crate::{
    findings::{Expectation, FaultMark, FaultMarkKind},
    participants::marks::FaultAt,
};

impl Assembly<'_> {
    /// All disturbances that took place, in the order of time.
    pub(super) fn faults(&self) -> Vec<FaultMark> {
        let faults = self.timeline.faults.iter();
        faults.filter_map(|fault| self.mark(fault)).collect()
    }

    fn mark(&self, fault: &FaultAt) -> Option<FaultMark> {
        let since = |at: u64| at.saturating_sub(self.timeline.origin);
        let actor = || self.roster.name_of(fault.actor);
        let mark = FaultMark {
            at_ns: since(fault.at),
            until_ns: None,
            kind: FaultMarkKind::from(fault.kind).into(),
            actor: actor(),
            detail: String::new(),
            planned: false,
        };
        Some(match fault.kind {
            FaultKind::Planned(_) => {
                let PlannedStep { place, stage: FaultStage::Begins } = PlannedStep::of(fault.detail) else {
                    return None;
                };
                let end = self.step(place, FaultStage::Ends).filter(|end| end.at >= fault.at);
                let planned = self.planned(place);
                FaultMark {
                    until_ns: end.map(|end| since(end.at)),
                    actor: planned.map_or_else(actor, |planned| planned.on.clone()),
                    detail: planned.map(|planned| planned.action.detail()).unwrap_or_default(),
                    planned: true,
                    ..mark
                }
            }
            _ => mark,
        })
    }

    fn planned(&self, place: u32) -> Option<&PlannedFault> {
        self.context.lab.faults.get(usize::try_from(place).ok()?)
    }

    /// The record of a step of a planned fault.
    fn step(&self, place: u32, stage: FaultStage) -> Option<&FaultAt> {
        self.timeline.faults.iter().find(|fault| {
            matches!(fault.kind, FaultKind::Planned(_))
                && PlannedStep::of(fault.detail) == PlannedStep { place, stage }
        })
    }

    /// What a run owes its lab file beside what the file expects: that every planned fault came, and that the run was
    /// not cut short.
    pub(super) fn implicit_expectations(&self) -> Vec<Expectation> {
        let faults = (0_u32..).zip(&self.context.lab.faults);
        let faults = faults.map(|(place, fault)| self.fault_happened(place, fault));
        let cut = self.timeline.faults.iter().find(|fault| fault.kind == FaultKind::RunTooLong);
        let run_max = self.context.lab.safety.run_max;
        let cut = cut.map(|cut| Expectation {
            text: format!("the run takes at most {run_max} (safety.run_max)"),
            held: Some(false),
            observed: format!("ended after {}", time(cut.at.saturating_sub(self.timeline.origin))),
        });
        faults.chain(cut).collect()
    }

    fn fault_happened(&self, place: u32, fault: &PlannedFault) -> Expectation {
        let storm = self.timeline.marked(lab_model::PhaseKind::Storm);
        let into = |at: u64| time(at.saturating_sub(storm.map_or(self.timeline.origin, |storm| storm.began)));
        let text = format!("{} of {} at {}", fault.action.name(), fault.on, fault.at);
        let (held, observed) = if let Some(begun) = self.step(place, FaultStage::Begins) {
            (Some(true), format!("came at {}", into(begun.at)))
        } else if let Some(gone) = self.step(place, FaultStage::NoTarget) {
            (Some(false), format!("never came: {} was gone at {}", fault.on, into(gone.at)))
        } else if self.step(place, FaultStage::TooLate).is_some() {
            let ended =
                self.timeline.storm_end().map_or_else(String::new, |at| format!(" after {}", into(at)));
            (Some(false), format!("never came: the storm was over{ended}"))
        } else if self.timeline.closing_is_marked() {
            (Some(false), "never came".to_owned())
        } else {
            // Without the orchestrator's trace, or with its end cut off, nobody can tell.
            (None, "not known".to_owned())
        };
        Expectation { text, held, observed }
    }
}
