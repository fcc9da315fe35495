//! What is planned to happen to the participants, and what of it is in effect.

use std::{collections::BTreeMap, ops::Range};

use lab_model::{Behavior, Lab};
use lab_workload::Restarts;

/// All planned faults, the clients and daemons on their way back, and what the faults do to the machine.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(super) planned: lab_workload::Faults,
    pub(super) restarts: Restarts,
    /// The threads of the loads on the processors, by the fault that they are.
    pub(super) loads: BTreeMap<usize, Range<u32>>,
    /// The clients behave as the lab file says, no longer as the control does.
    pub(super) behaving: bool,
}

impl Faults {
    pub(crate) fn of(lab: &Lab) -> Faults {
        let mut restarts = Restarts::default();
        restarts.allow();
        Faults { planned: lab_workload::Faults::of(lab), restarts, loads: BTreeMap::new(), behaving: false }
    }

    /// How long after its death somebody whom a fault has killed is to come back; asked once.
    pub(crate) fn comes_back(&mut self, name: &str) -> Option<lab_model::Span> {
        self.planned.comes_back(name)
    }

    /// True while something is still planned to happen: a fault's end, or somebody's return.
    pub(crate) fn more_is_planned(&self) -> bool {
        self.planned.any_active() || !self.restarts.is_empty()
    }

    /// How a client is to behave now.
    pub(crate) fn behavior_due(&self, lab: &Lab, client: usize) -> Behavior {
        let base = || lab.clients[client].behavior.clone();
        self.planned.behavior(lab, client).unwrap_or_else(base)
    }

    /// The clients behave as the lab file says from now on.
    pub(crate) fn behave(&mut self) {
        self.behaving = true;
    }
}
