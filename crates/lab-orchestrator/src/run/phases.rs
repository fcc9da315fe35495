//! The course of a run: its phases in their order, and then its end.

use lab_model::{Phase, PhaseKind, Span};
use lab_process::clock;
use lab_protocol::{Order, PhaseOrder};
use tokio::time::Instant;

use super::{
    actors::DRIVER,
    controller::{Controller, WaitOutcome},
    ending::driver_failure,
    finishing::{FINISH_WITHIN, QUIET_FOR, finish, quiesce},
    load::MachineSample,
    process::{LabProcess, State},
    starting::{behave, start_clients, start_driver, start_externals},
};
use crate::{Failure, FailureKind};

/// Leads a lab through all its phases and ends it, whatever happens in between.
pub(super) async fn run(lab: &mut Controller) -> Result<(), Failure> {
    let outcome = phases(lab).await;
    finish(lab).await;
    lab.load.keep(&lab.context);
    lab.progress.clear();
    outcome?;
    if let Some(trouble) = lab.lifecycle.trouble() {
        return Err(trouble);
    }
    if let Some(failure) = lab.externals.failure() {
        return Err(failure);
    }
    match lab.lifecycle.stopped() {
        Some(FailureKind::Interrupted) => Err(Failure::new(FailureKind::Interrupted, "interrupted")),
        _ => Ok(()),
    }
}

async fn phases(lab: &mut Controller) -> Result<(), Failure> {
    start_driver(lab).await?;
    let phases: Vec<Phase> = lab.context.lab().phases.iter().collect();
    for phase in phases {
        if lab.lifecycle.is_stopped() {
            break;
        }
        match phase.kind {
            PhaseKind::Baseline => {}
            PhaseKind::Control => start_clients(lab).await?,
            PhaseKind::External => {
                start_clients(lab).await?;
                start_externals(lab).await?;
            }
            PhaseKind::Storm => {
                start_clients(lab).await?;
                start_externals(lab).await?;
                behave(lab).await?;
            }
            PhaseKind::Drain => {
                drain(lab, phase.span).await;
                continue;
            }
        }
        drive(lab, phase).await?;
    }
    lab.end_faults().await?;
    lab.restarts.stop();
    quiesce(lab).await
}

/// Runs the workload for one phase.
async fn drive(lab: &mut Controller, phase: Phase) -> Result<(), Failure> {
    if lab.lifecycle.is_stopped() {
        return Ok(());
    }
    lab.progress.begin(phase.kind.name(), &format!("up to {}", phase.span), lab.snapshot());
    let baseline = phase.kind == PhaseKind::Baseline;
    let operations_max = baseline.then_some(lab.context.lab().safety.baseline_operations_max);
    let before = MachineSample::take();
    let began = clock::now();
    lab.context.mark_phase(phase.kind, true, began);
    if phase.kind == PhaseKind::Storm {
        lab.storm_begins();
    }
    let order = Order::Drive(PhaseOrder { phase: phase.kind, span: phase.span, operations_max });
    lab.processes.order(DRIVER, &order).await?;
    let idle = |lab: &Controller| !lab.processes.driver().is_some_and(LabProcess::is_driving);
    // Where every client has died and none comes back, the workload alone shows nothing more.
    let deserted = |lab: &Controller| lab.processes.no_client_left() && lab.restarts.is_empty();
    lab.until(None, Some(phase.span), |lab| idle(lab) || deserted(lab)).await;
    if phase.kind == PhaseKind::Storm {
        lab.faults.storm_ends(&lab.context);
    }
    if !idle(lab) {
        lab.processes.order(DRIVER, &Order::Halt).await?;
        // The last operations end as soon as they are answered; the warden sees to that.
        let within = FINISH_WITHIN + lab.context.lab().deadline.duration();
        lab.until(Some(within), None, idle).await;
    }
    // The driver knows when its last operation was over. When that is heard of says nothing of the phase.
    let driver = lab.processes.driver();
    let ended = driver.and_then(LabProcess::drove_until).filter(|&ended| ended >= began);
    lab.context.mark_phase(phase.kind, false, ended.unwrap_or_else(clock::now));
    lab.load.phase(phase.kind, before.as_ref());
    match driver {
        Some(driver) if driver.alive() => Ok(()),
        driver => {
            let status = match driver.map(LabProcess::state) {
                Some(State::Ended(status)) => Some(status),
                _ => None,
            };
            let said = driver.and_then(LabProcess::failure);
            Err(driver_failure(phase.kind, said, status, &lab.context.folder().logs().join("driver.log")))
        }
    }
}

/// Waits until nothing happens any more, at most for `span`.
async fn drain(lab: &mut Controller, span: Span) {
    lab.progress.begin("drain", &format!("up to {span}"), lab.snapshot());
    lab.context.mark_phase(PhaseKind::Drain, true, clock::now());
    let until = Instant::now() + span.duration();
    loop {
        let before = lab.snapshot();
        let left = until.saturating_duration_since(Instant::now()).min(QUIET_FOR);
        let waited = lab.until(Some(left), Some(span), |_| false).await;
        let now = lab.snapshot();
        // What is planned for the drain takes place in it.
        let expected = lab.faults.any_active() || !lab.restarts.is_empty();
        let still = now.events == before.events && now.is_idle() && left == QUIET_FOR;
        let quiet = still && !expected;
        if quiet || waited == WaitOutcome::Stopped || Instant::now() >= until {
            break;
        }
    }
    lab.context.mark_phase(PhaseKind::Drain, false, clock::now());
}
