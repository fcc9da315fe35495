//! What the controller may do once everything is mounted: no more than leading the lab takes.

use lab_model::LoadKind;
use lab_process::privileges::{self, Capability, Kept, Programs};

use crate::{Failure, FailureKind, Plan};

/// Gives up what leading the lab does not need. To be called when everything is mounted and the products' folders are
/// filled, before there is another thread.
pub(super) fn give_up_privileges(plan: &Plan) -> Result<(), Failure> {
    let commands = plan.lab.workload.iter().any(|load| matches!(load.kind, LoadKind::Run(_)));
    let mut used =
        privileges::needed_to_reach(&[&plan.run], &[]).map_err(|error| privileges_failure(&error))?;
    // Where a client waits, and what waits for it.
    used.push(Capability::Trace);
    if !plan.lab.external.is_empty() {
        // A product may be another user's by now.
        used.extend([Capability::Kill, Capability::ReadSearch]);
    }
    let kept = Kept {
        used: &used,
        // Each client makes its group and raises its limit before it gives up as well.
        reserve: &[Capability::Administer, Capability::Resource, Capability::SetCapabilities],
        programs: if commands || !plan.lab.external.is_empty() { Programs::AsBefore } else { Programs::Kept },
    };
    privileges::keep(&kept).map_err(|error| privileges_failure(&error))
}

fn privileges_failure(error: &std::io::Error) -> Failure {
    let message = format!("cannot give up what the controller does not need: {error}");
    Failure::new(FailureKind::Privilege, message).mend("allow the lab the calls prctl and capset")
}
