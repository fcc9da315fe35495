//! The controller itself: what it holds, and the course of a lab.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use lab_analysis::live::Standstill;
use lab_bundle::Daemons;
use lab_model::{Actor, Phase, PhaseKind, Role, Span, Ticks};
use lab_process::{clock, host_facts, process_id};
use lab_protocol::{Order, PhaseOrder};
use lab_trace::{Header, Identity, PhaseMark, ProcessMark, ProcessMarkKind, TraceWriter, WriterOptions};
use lab_workload::Restarts;
use tokio::{sync::mpsc, time::Instant};

use super::{
    Event, arena,
    ending::{describe, driver_failure},
    event_loop::WaitOutcome,
    external::Externals,
    faults::{Faults, Stopwatch},
    give_up_privileges,
    helpers::{HelperTable, first_free},
    process::{LabProcess, State},
    progress::Progress,
    signals::{listen_for_signals, listen_for_the_launcher},
    warden::Warden,
};
use crate::{Failure, FailureKind, Plan, RunFolder};

/// How long a process may take to become ready, or to follow an order that has nothing to wait for.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a process may take to close its trace before it is killed.
pub(super) const FINISH_WITHIN: Duration = Duration::from_secs(5);
/// A drain is over when nothing has happened for this long.
pub(super) const QUIET_FOR: Duration = Duration::from_millis(150);
/// The driver's number.
pub(super) const DRIVER: Actor = Actor(1);

/// Who a process is.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessSpec<'a> {
    pub(super) actor: Actor,
    /// Its name in the lab.
    pub(super) name: &'a str,
    /// What its trace and its log are called.
    pub(super) file: &'a str,
    pub(super) role: Role,
}

/// Leads one lab.
pub(super) struct Controller {
    pub(super) plan: Plan,
    pub(super) folder: RunFolder,
    pub(super) trace: TraceWriter,
    pub(super) events: mpsc::Receiver<Event>,
    pub(super) report: mpsc::Sender<Event>,
    pub(super) processes: BTreeMap<Actor, LabProcess>,
    pub(super) helpers: HelperTable,
    pub(super) warden: Warden,
    pub(super) externals: Externals,
    pub(super) progress: Progress,
    pub(super) faults: Faults,
    pub(super) restarts: Restarts,
    pub(super) stopwatch: Stopwatch,
    /// The clients behave as the lab file says, no longer as the control does.
    pub(super) behaving: bool,
    pub(super) next_actor: u16,
    /// Why the lab stands still now, as two looks agree, and what the last one has seen.
    pub(super) standstill: Option<Standstill>,
    pub(super) suspected: Option<String>,
    /// What went wrong with a fault or a restart.
    pub(super) trouble: Option<Failure>,
    pub(super) began: Ticks,
    /// When the warden last looked at clients.
    pub(super) looked: Option<Ticks>,
    pub(super) stopped: Option<FailureKind>,
    /// Everybody has been ordered to end.
    pub(super) finishing: bool,
    pub(super) salt: u32,
    pub(super) daemons: Option<Arc<Daemons>>,
    /// Clients that the controller has killed itself.
    pub(super) killed: BTreeSet<Actor>,
    /// Dead clients of which the system has not said yet why they died.
    pub(super) unexplained: BTreeSet<Actor>,
    pub(super) began_at: SystemTime,
}

impl Controller {
    /// Sets the arena up and the trace, and starts listening for signals.
    pub(super) fn begin(plan: Plan, folder: RunFolder) -> Result<Controller, Failure> {
        let began = clock::now();
        let salt = u32::try_from(began.0 & 0xffff_ffff).unwrap_or(1) | 1;
        let (report, events) = mpsc::channel(1024);
        let trace = orchestrator_trace(&plan, &folder, salt, began)?;
        arena::fill(&folder.arena(), &plan.lab, &plan.driver)
            .map_err(|error| Failure::output("cannot fill the arena", &error))?;
        let externals = Externals::prepare(&plan, &folder)?;
        give_up_privileges(&plan)?;
        listen_for_signals(&report)?;
        let daemons = plan.clients_are.daemons().map(Arc::new);
        if daemons.is_some() && cfg!(target_os = "macos") {
            listen_for_the_launcher(&report)?;
        }
        let progress = Progress::new(plan.terminal);
        let (processes, warden) = (BTreeMap::new(), Warden::default());
        let (faults, restarts) = (Faults::of(&plan.lab), Restarts::default());
        let next_actor = first_free(&plan.lab);
        Ok(Controller {
            plan,
            folder,
            trace,
            events,
            report,
            processes,
            helpers: HelperTable::default(),
            warden,
            externals,
            progress,
            faults,
            restarts,
            stopwatch: Stopwatch::start(),
            behaving: false,
            next_actor,
            standstill: None,
            suspected: None,
            trouble: None,
            began,
            looked: None,
            stopped: None,
            finishing: false,
            salt,
            daemons,
            killed: BTreeSet::new(),
            unexplained: BTreeSet::new(),
            began_at: SystemTime::now(),
        })
    }

    /// Leads the lab through all its phases and ends it, whatever happens in between.
    pub(super) async fn run(&mut self) -> Result<(), Failure> {
        let outcome = self.phases().await;
        self.finish().await;
        self.progress.clear();
        outcome?;
        if let Some(trouble) = self.trouble.take() {
            return Err(trouble);
        }
        if let Some(failure) = self.externals.failure() {
            return Err(failure);
        }
        match self.stopped {
            Some(FailureKind::Interrupted) => Err(Failure::new(FailureKind::Interrupted, "interrupted")),
            _ => Ok(()),
        }
    }

    async fn phases(&mut self) -> Result<(), Failure> {
        self.start_driver().await?;
        let phases: Vec<Phase> = self.plan.lab.phases.iter().collect();
        for phase in phases {
            if self.stopped.is_some() {
                break;
            }
            match phase.kind {
                PhaseKind::Baseline => {}
                PhaseKind::Control => self.start_clients().await?,
                PhaseKind::External => {
                    self.start_clients().await?;
                    self.start_externals().await?;
                }
                PhaseKind::Storm => {
                    self.start_clients().await?;
                    self.start_externals().await?;
                    self.behave().await?;
                }
                PhaseKind::Drain => {
                    self.drain(phase.span).await?;
                    continue;
                }
            }
            self.drive(phase).await?;
        }
        self.end_faults().await?;
        self.restarts.stop();
        self.quiesce().await
    }

    /// Runs the workload for one phase.
    async fn drive(&mut self, phase: Phase) -> Result<(), Failure> {
        if self.stopped.is_some() {
            return Ok(());
        }
        self.progress.begin(phase.kind.name(), &format!("up to {}", phase.span), self.warden.snapshot());
        let baseline = phase.kind == PhaseKind::Baseline;
        let operations_max = baseline.then_some(self.plan.lab.safety.baseline_operations_max);
        let began = clock::now();
        self.mark_phase(phase.kind, true, began);
        if phase.kind == PhaseKind::Storm {
            self.faults.planned.storm_begins(self.stopwatch.now());
        }
        let order = Order::Drive(PhaseOrder { phase: phase.kind, span: phase.span, operations_max });
        self.order(DRIVER, &order).await?;
        let idle = |controller: &Controller| !controller.driver().is_some_and(|driver| driver.driving);
        // Where every client has died, the workload alone shows nothing more.
        let over = |controller: &Controller| idle(controller) || controller.no_client_left();
        self.until(None, Some(phase.span), over).await;
        if phase.kind == PhaseKind::Storm {
            self.storm_ends();
        }
        if !idle(self) {
            self.order(DRIVER, &Order::Halt).await?;
            // The last operations end as soon as they are answered; the warden sees to that.
            self.until(Some(FINISH_WITHIN + self.plan.lab.deadline.duration()), None, idle).await;
        }
        // The driver knows when its last operation was over. When that is heard of says nothing of the phase.
        let ended = self.driver().and_then(|driver| driver.drove_until).filter(|&ended| ended >= began);
        self.mark_phase(phase.kind, false, ended.unwrap_or_else(clock::now));
        match self.driver() {
            Some(driver) if driver.alive() => Ok(()),
            driver => {
                let status = match driver.map(|driver| driver.state) {
                    Some(State::Ended(status)) => describe(status),
                    _ => "its trace is closed".to_owned(),
                };
                let why = driver.and_then(|driver| driver.failure.clone()).unwrap_or(status);
                Err(driver_failure(phase.kind, &why, &self.folder.logs().join("driver.log")))
            }
        }
    }

    /// Waits until nothing happens any more, at most for `span`.
    async fn drain(&mut self, span: Span) -> Result<(), Failure> {
        self.progress.begin("drain", &format!("up to {span}"), self.warden.snapshot());
        self.mark_phase(PhaseKind::Drain, true, clock::now());
        let until = Instant::now() + span.duration();
        loop {
            let before = self.warden.snapshot();
            let left = until.saturating_duration_since(Instant::now()).min(QUIET_FOR);
            let waited = self.until(Some(left), Some(span), |_| false).await;
            let now = self.warden.snapshot();
            // What is planned for the drain takes place in it.
            let expected = self.faults.planned.any_active() || !self.restarts.is_empty();
            let still = now.events == before.events && now.is_idle() && left == QUIET_FOR;
            let quiet = still && !expected;
            if quiet || waited == WaitOutcome::Stopped || Instant::now() >= until {
                break;
            }
        }
        self.mark_phase(PhaseKind::Drain, false, clock::now());
        Ok(())
    }

    pub(super) fn clients(&self) -> impl Iterator<Item = Actor> {
        self.processes.values().filter(|process| process.role == Role::Client).map(|process| process.actor)
    }

    /// True when there were clients and none is left.
    pub(super) fn no_client_left(&self) -> bool {
        let mut clients = self.processes.values().filter(|process| process.role == Role::Client).peekable();
        let dead = clients.peek().is_some() && clients.all(|process| !process.alive());
        dead && self.restarts.is_empty()
    }

    /// The clients that have not ended.
    pub(super) fn living_clients(&self) -> Vec<Actor> {
        let clients = self.processes.values().filter(|process| process.role == Role::Client);
        clients.filter(|process| process.alive()).map(|process| process.actor).collect()
    }

    pub(super) fn driver(&self) -> Option<&LabProcess> {
        self.processes.get(&DRIVER)
    }

    pub(super) fn mark(&self, actor: Actor, kind: ProcessMarkKind, pid: u32, status: i32) {
        self.trace.process(&ProcessMark { at: clock::now(), actor, kind, pid, status });
    }

    pub(super) fn mark_phase(&self, phase: PhaseKind, begins: bool, at: Ticks) {
        self.trace.phase(&PhaseMark { at, phase, begins });
    }
}

fn orchestrator_trace(
    plan: &Plan,
    folder: &RunFolder,
    salt: u32,
    created: Ticks,
) -> Result<TraceWriter, Failure> {
    let header = Header {
        created,
        created_unix_ns: clock::unix_nanoseconds(),
        timebase: clock::timebase(),
        actor: Actor::ORCHESTRATOR,
        role: Role::Orchestrator,
        pid: process_id(),
        salt,
        identity: Identity {
            name: "orchestrator".to_owned(),
            bundle_id: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            arena: folder.arena().display().to_string(),
            settings: serde_json::to_value(&plan.lab).unwrap_or_default(),
            host: host_facts(),
        },
    };
    let path = folder.trace("orchestrator");
    TraceWriter::create(&path, &header, WriterOptions { bytes_max: plan.lab.safety.trace_bytes_max })
        .map_err(|error| Failure::output(&format!("cannot create {}", path.display()), &error))
}
