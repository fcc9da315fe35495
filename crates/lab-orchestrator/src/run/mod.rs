//! The controller: leads a lab from its first process to its last.

mod arena;
mod controller;
mod daemon;
mod ending;
mod event_loop;
mod external;
mod family;
mod faults;
mod finishing;
mod freezer;
mod groups;
mod helpers;
mod private;
mod process;
mod progress;
mod restarts;
mod signals;
mod standstill;
mod starting;
mod warden;
mod workers;

use std::{io, os::fd::AsFd};

use lab_bundle::Death;
use lab_files::{PassError, Trusted};
use lab_model::{Actor, LoadKind};
use lab_process::privileges::{self, Capability, Kept, Programs};
use lab_protocol::Reply;

use crate::{Failure, FailureKind, Plan, RunFolder};
use controller::Controller;

/// What happens to a lab while it is controlled. One place takes all of it, in order.
#[derive(Debug)]
enum Event {
    /// A process replied.
    Reply(Actor, Reply),
    /// A process ended with this wait status.
    Ended(Actor, i32),
    /// The system has said why a process was ended, or never will.
    Explained(Actor, Option<Death>),
    /// The user wants it to end.
    Interrupted,
    /// An expectation that ends the run no longer holds.
    Aborted,
}

/// The largest plan that is taken, in bytes: the largest lab is a tenth of it.
const PLAN_BYTES_MAX: u64 = 64 << 20;

/// Conducts the lab of the plan that the launcher handed over as standard input. To be called by the first process of
/// the lab's namespaces, which has one thread.
///
/// # Errors
/// [`Failure`]; the traces written so far are in the run's folder all the same.
pub fn control() -> Result<(), Failure> {
    require_own_namespaces()?;
    let bug = |message: String| Failure::new(FailureKind::Bug, message);
    let text = lab_files::receive(io::stdin().as_fd(), PLAN_BYTES_MAX).map_err(|error| match error {
        PassError::NotSealed => Failure::new(
            FailureKind::Usage,
            "a lab is controlled by what `lab up` starts, and by nobody else",
        )
        .mend("run `lab up NAME`"),
        PassError::Io(error) => Failure::system("cannot read the plan", &error),
        error => bug(format!("cannot read the plan: {error}")),
    })?;
    let plan: Plan =
        serde_json::from_slice(&text).map_err(|error| bug(format!("the plan is damaged: {error}")))?;
    // What the driver and the products make in the arena is for other users to read as well; the run's own files say
    // who may read them.
    lab_files::mask_modes(0o022);
    let folder = RunFolder::at(&plan.run, &Trusted::of_this_process(plan.caller))?;
    enter(&plan, &folder)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::system("cannot start the event loop", &error))?;
    // A warden that is kept waiting kills late.
    if let Err(error) = lab_process::take_precedence() {
        tracing::debug!("deadlines are kept as well as the load on this machine allows: {error}");
    }
    runtime.block_on(async {
        let mut controller = Controller::begin(plan, folder)?;
        controller.run().await
    })
}

/// Refuses to touch the mounts of whoever started this program by hand.
#[cfg(target_os = "linux")]
fn require_own_namespaces() -> Result<(), Failure> {
    if lab_backend_fanotify::confine::is_first_process() {
        return Ok(());
    }
    let message = "a lab is controlled in namespaces of its own only, which `lab up` makes, and this is not one of them";
    Err(Failure::new(FailureKind::Usage, message).mend("run `lab up NAME`"))
}

/// Elsewhere there is nothing of the machine's that controlling a lab would change.
#[cfg(not(target_os = "linux"))]
fn require_own_namespaces() -> Result<(), Failure> {
    Ok(())
}

/// Gives up what leading the lab does not need. To be called when everything is mounted and the products' folders are
/// filled, before there is another thread.
fn give_up_privileges(plan: &Plan) -> Result<(), Failure> {
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

#[cfg(target_os = "linux")]
fn enter(plan: &Plan, folder: &RunFolder) -> Result<(), Failure> {
    lab_backend_fanotify::confine::enter(
        &folder.arena(),
        plan.lab.arena_kind(),
        plan.lab.safety.arena_bytes_max,
    )
    .map_err(|error| Failure::system(&format!("cannot confine the lab: {}", error.what), &error.source))
}

/// Nothing to enter: on macOS each client confines itself to the arena, which is a folder, and standard input ends
/// with the launcher.
#[cfg(target_os = "macos")]
fn enter(_: &Plan, _: &RunFolder) -> Result<(), Failure> {
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn enter(_: &Plan, _: &RunFolder) -> Result<(), Failure> {
    Err(Failure::new(FailureKind::BackendMissing, "no lab can be controlled on this system"))
}
