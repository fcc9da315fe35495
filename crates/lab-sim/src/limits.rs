//! What the simulator cannot do: such a lab is refused, because a run without it would be another lab.

use lab_model::{Lab, LoadKind, Workload};

use crate::scenario::strangers::is_strange_to_workers;

/// The parts of a lab that the simulator does not model, in plain words; `None` when it can run it whole.
#[must_use]
pub fn not_simulated(lab: &Lab) -> Option<String> {
    let mut parts = Vec::new();
    let mut part = |there: bool, what: &str| {
        if there {
            parts.push(what.to_owned());
        }
    };
    part(lab.judge_of_signatures().is_some(), "denials by signature (`signing_id`, `team_id`)");
    part(!lab.external.is_empty(), "external products");
    let strange = lab.faults.iter().any(is_strange_to_workers);
    part(strange, "helpers that are restarted by themselves");
    let loads = |wanted: fn(&Workload) -> bool| lab.workload.iter().any(wanted);
    part(loads(|load| matches!(load.kind, LoadKind::Run(_))), "a command of the user's (`run`)");
    match parts.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        [first @ .., last] => Some(format!("{} and {last}", first.join(", "))),
    }
}
