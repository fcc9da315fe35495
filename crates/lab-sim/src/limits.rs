//! What the simulator cannot do: such a lab is refused, because a run without it would be another lab.

use lab_model::{Lab, NotifyEvent, Workload};

use crate::faults::{changes_a_worker, ends_a_worker};

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
    let mut behaviors = lab.clients.iter().flat_map(|client| lab.behaviors_of(client));
    let names = behaviors.any(|behavior| behavior.notify.iter().any(NotifyEvent::is_of_names));
    part(names, "NOTIFY events of names (`create`, `rename`, `unlink`)");
    part(!lab.external.is_empty(), "external products");
    let ends = lab.faults.iter().any(|fault| ends_a_worker(lab, fault));
    part(ends, "helpers and daemons that are killed or restarted by themselves");
    let changes = lab.faults.iter().any(|fault| changes_a_worker(lab, fault));
    part(changes, "`slow` and `behave` of helpers and daemons");
    let loads = |wanted: fn(&Workload) -> bool| lab.workload.iter().any(wanted);
    part(loads(|load| matches!(load, Workload::Run(_))), "a command of the user's (`run`)");
    match parts.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        [first @ .., last] => Some(format!("{} and {last}", first.join(", "))),
    }
}
