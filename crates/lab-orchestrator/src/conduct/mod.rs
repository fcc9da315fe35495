//! The conductor: leads a lab from its first process to its last.

mod arena;
mod comeback;
mod conductor;
mod daemon;
mod ending;
mod external;
mod family;
mod faults;
mod finishing;
mod freezer;
mod groups;
mod happening;
mod helpers;
mod private;
mod process;
mod progress;
mod signals;
mod standstill;
mod starting;
mod warden;
mod workers;

use std::{fs, path::Path};

use lab_bundle::Death;
use lab_model::Actor;
use lab_protocol::Reply;

use crate::{Failure, FailureKind, Plan};
use conductor::Conductor;

/// What happens to a lab while it is conducted. One place takes all of it, in order.
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

/// Conducts the lab of the plan at `plan`. To be called by the first process of the lab's namespaces, which
/// has one thread.
///
/// # Errors
/// [`Failure`]; the traces written so far are in the run's folder all the same.
pub fn conduct(plan: &Path) -> Result<(), Failure> {
    let bug = |message: String| Failure::new(FailureKind::Bug, message);
    let text = fs::read(plan).map_err(|error| bug(format!("cannot read {}: {error}", plan.display())))?;
    let plan: Plan =
        serde_json::from_slice(&text).map_err(|error| bug(format!("the plan is damaged: {error}")))?;
    enter(&plan)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| bug(format!("cannot start the event loop: {error}")))?;
    // A warden that is kept waiting kills late.
    if let Err(error) = lab_process::take_precedence() {
        tracing::debug!("deadlines are kept as well as the load on this machine allows: {error}");
    }
    runtime.block_on(async {
        let mut conductor = Conductor::begin(plan)?;
        conductor.run().await
    })
}

#[cfg(target_os = "linux")]
fn enter(plan: &Plan) -> Result<(), Failure> {
    let folder = crate::RunFolder::at(plan.run.clone());
    lab_backend_fanotify::confine::enter(
        &folder.arena(),
        plan.lab.arena_kind(),
        plan.lab.safety.arena_bytes_max,
    )
    .map_err(|error| Failure::new(FailureKind::Bug, format!("cannot confine the lab: {error}")))
}

/// Nothing to enter: on macOS each client confines itself to the arena, which is a folder, and standard input ends
/// with the launcher.
#[cfg(target_os = "macos")]
fn enter(_: &Plan) -> Result<(), Failure> {
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn enter(_: &Plan) -> Result<(), Failure> {
    Err(Failure::new(FailureKind::BackendMissing, "no lab can be conducted on this system"))
}
