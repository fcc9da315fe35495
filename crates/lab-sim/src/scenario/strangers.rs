//! Planned faults on whoever the simulator does not model, or on whoever no longer takes part in a lab.

use lab_model::{Expectation, FaultAction, Lab, PlannedFault};

/// True for a fault on a helper or a daemon that is not modelled: a helper that comes back without its client.
pub(crate) fn is_strange_to_workers(fault: &PlannedFault) -> bool {
    PlannedFault::helper_of(&fault.on).is_some() && fault.action.brings_back()
}

/// Drops the faults on whoever no longer takes part in a lab that has lost clients, and what is expected of them.
pub(crate) fn drop_strangers(lab: &mut Lab) {
    let mut faults = std::mem::take(&mut lab.faults);
    let takes_part = |name: &str| {
        let client = PlannedFault::helper_of(name).map_or(name, |(client, _)| client);
        let daemon = lab.daemons.iter().any(|daemon| daemon.id.as_str() == name);
        let clients = lab.clients.iter().any(|one| one.id.as_str() == client);
        daemon || clients || [PlannedFault::DRIVER, PlannedFault::MACHINE].contains(&client)
    };
    faults.retain_mut(|fault| match &mut fault.action {
        // Without a name it would be everybody's.
        FaultAction::Freeze { names, .. } if !names.is_empty() => {
            names.retain(|name| takes_part(name));
            if let [one] = names.as_slice() {
                fault.on = one.clone();
            }
            !names.is_empty()
        }
        _ => takes_part(&fault.on),
    });
    lab.faults = faults;
    let clients: Vec<&str> = lab.clients.iter().map(|client| client.id.as_str()).collect();
    let there = |expectation: &Expectation| {
        let of_client = expectation.metric.strip_prefix("clients.").and_then(|rest| rest.split('.').next());
        of_client.is_none_or(|client| clients.contains(&client))
    };
    lab.expect.retain(there);
    lab.hold.retain(there);
}
