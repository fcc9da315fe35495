//! The controller: leads a lab from its first process to its last.

mod actors;
mod arena;
mod channels;
mod context;
mod controller;
mod daemon;
mod ending;
mod event;
mod external;
mod family;
mod faults;
mod finishing;
mod freezer;
mod groups;
mod helpers;
mod kernel_threads;
mod launchd;
mod lifecycle;
mod load;
mod looks;
mod overdue;
mod participants;
mod phases;
pub(crate) mod private;
mod privileges;
mod process;
mod processes;
mod product;
mod progress;
mod questions;
mod restarts;
mod signals;
mod standstill;
mod starting;
mod stopwatch;
mod waits;
mod warden;

use std::{io, os::fd::AsFd};

use lab_backend_fanotify::confine;
use lab_files::{PassError, Trusted};
use lab_process::platform::KERNEL;

use crate::{Failure, FailureKind, Plan, RunFolder};
use controller::Controller;

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
        phases::run(&mut controller).await
    })
}

/// Refuses to touch the mounts of whoever started this program by hand. Where a lab has no namespaces there is nothing of
/// the machine's that controlling it would change.
fn require_own_namespaces() -> Result<(), Failure> {
    if !KERNEL.confines_by_namespaces() || confine::is_first_process() {
        return Ok(());
    }
    let message = "a lab is controlled in namespaces of its own only, which `lab up` makes, and this is not one of them";
    Err(Failure::new(FailureKind::Usage, message).mend("run `lab up NAME`"))
}

fn enter(plan: &Plan, folder: &RunFolder) -> Result<(), Failure> {
    if !KERNEL.confines_by_namespaces() {
        // Nothing to enter: each client confines itself to the arena, which is a folder, and standard input ends with the
        // launcher.
        return Ok(());
    }
    let bytes_max = plan.lab.safety.arena_bytes_max;
    confine::enter(&folder.arena(), plan.lab.arena_kind(), bytes_max)
        .map_err(|error| Failure::system(&format!("cannot confine the lab: {}", error.what), &error.source))
}
