//! Planned faults, done to the lab while the storm goes on and taken back again. When each begins and ends, and who is
//! told what, [`lab_workload::Faults`] says; this is what an operating system does for it.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use lab_model::{Actor, Behavior, Effect, FaultAction, FaultStage, Lab, PlannedFault, Standstill};
use lab_process::clock;
use lab_protocol::Order;
use lab_trace::{Fault, FaultKind, PlannedStep};
use lab_workload::{FaultStep, Participant, PendingChange, Target};
use nix::sys::signal::Signal;
use tokio::{
    process::{Child, Command},
    time::Instant,
};

use super::{
    controller::Controller,
    ending::{end, send},
    freezer::{Freezer, Meant},
    process::State,
};
use crate::{Failure, freezer};

/// What takes an effect back.
#[derive(Debug)]
enum Undo {
    /// The process goes on.
    Continue(u32),
    /// The processes go on.
    Thaw(Freezer),
    /// The load ends.
    Load(Box<Child>),
    /// The limit is what it was.
    Limit(u32, limit::Before),
}

/// All planned faults, and what takes those back that are in effect.
#[derive(Debug)]
pub(super) struct Faults {
    pub(super) planned: lab_workload::Faults,
    undo: BTreeMap<usize, Undo>,
}

/// The time since the controller began, in the nanoseconds of plans.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopwatch(Instant);

impl Stopwatch {
    pub(super) fn start() -> Stopwatch {
        Stopwatch(Instant::now())
    }

    pub(super) fn now(self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The instant at which it shows this.
    pub(super) fn at(self, nanos: u64) -> Instant {
        self.0 + std::time::Duration::from_nanos(nanos)
    }
}

impl Faults {
    pub(super) fn of(lab: &Lab) -> Faults {
        Faults { planned: lab_workload::Faults::of(lab), undo: BTreeMap::new() }
    }
}

impl Controller {
    /// Begins and ends the faults whose time has come, and notes who follows what it was told.
    pub(super) async fn apply_due_faults(&mut self) -> Result<(), Failure> {
        for (place, begins) in self.faults.planned.all_due(self.stopwatch.now()) {
            let steps = if begins {
                let target = self.fault_target(place);
                self.faults.planned.begin(place, self.stopwatch.now(), target)
            } else {
                self.faults.planned.end(place)
            };
            self.take_fault_steps(steps).await?;
        }
        self.note_followers();
        Ok(())
    }

    /// The storm is over: what has not begun never will.
    pub(super) fn storm_ends(&mut self) {
        let steps = self.faults.planned.storm_ends();
        self.record_fault_steps(&steps);
    }

    /// Takes back whatever is still in effect.
    pub(super) async fn end_faults(&mut self) -> Result<(), Failure> {
        for place in 0..self.plan.lab.faults.len() {
            let steps = self.faults.planned.end(place);
            self.take_fault_steps(steps).await?;
        }
        Ok(())
    }

    /// A process has died: what was done to it is over.
    pub(super) fn fault_target_died(&mut self, process: Actor) {
        let steps = self.faults.planned.target_died(process);
        self.record_fault_steps(&steps);
    }

    /// Whether the one whom a fault is about is there.
    fn fault_target(&self, place: usize) -> Target {
        let on = &self.faults.planned.planned(place).on;
        match self.alive_by_name(on) {
            Some((actor, _)) => Target::Present(actor),
            None => {
                let whom = Participant::named(&self.plan.lab, on);
                let returns = whom.is_some_and(|whom| self.restarts.expects(whom));
                if returns { Target::Returning } else { Target::Gone }
            }
        }
    }

    async fn take_fault_steps(&mut self, steps: Vec<FaultStep>) -> Result<(), Failure> {
        for step in steps {
            match step {
                FaultStep::Record { place, actor, stage } => {
                    self.record(place, actor, stage);
                    if stage == FaultStage::Begins {
                        self.progress.note(&said(self.faults.planned.planned(place)));
                    }
                }
                FaultStep::Begin { place, effect, .. } => self.begin_effect(place, effect)?,
                FaultStep::End { place, .. } => self.end_effect(place).await,
                FaultStep::Tell { place, then } => self.tell(place, then).await?,
            }
        }
        Ok(())
    }

    /// Of faults that nothing else is to be done for. What is to take them back is gone with their target.
    fn record_fault_steps(&mut self, steps: &[FaultStep]) {
        for step in steps {
            if let FaultStep::Record { place, actor, stage } = *step {
                self.record(place, actor, stage);
                self.faults.undo.remove(&place);
            }
        }
    }

    fn begin_effect(&mut self, place: usize, effect: Effect) -> Result<(), Failure> {
        let on = self.faults.planned.planned(place).on.clone();
        let pid = self.alive_by_name(&on).map(|(_, pid)| pid);
        let undo = match (effect, pid) {
            (Effect::Standstill(Standstill::Signal), Some(pid)) => {
                send(pid, Signal::SIGSTOP);
                Undo::Continue(pid)
            }
            (Effect::Standstill(Standstill::Freezer), _) => Undo::Thaw(self.freeze(place)?),
            (Effect::Load { threads }, _) => Undo::Load(Box::new(self.load(threads)?)),
            (Effect::Descriptors { limit }, Some(pid)) => {
                let before = limit::lower(pid, limit)
                    .map_err(|error| Failure::output("cannot limit the descriptors of a process", &error))?;
                Undo::Limit(pid, before)
            }
            (Effect::Death { .. }, Some(pid)) => {
                end(pid);
                return Ok(());
            }
            // Nothing is done to whoever is gone; a behaviour is told.
            (_, None) | (Effect::Behavior, _) => return Ok(()),
        };
        self.faults.undo.insert(place, undo);
        Ok(())
    }

    async fn end_effect(&mut self, place: usize) {
        match self.faults.undo.remove(&place) {
            None => {}
            Some(Undo::Continue(pid)) => send(pid, Signal::SIGCONT),
            Some(Undo::Thaw(freezer)) => drop(freezer),
            Some(Undo::Load(mut child)) => {
                if let Err(error) = child.kill().await {
                    tracing::debug!("the load has just ended: {error}");
                }
            }
            Some(Undo::Limit(pid, before)) => {
                if let Err(error) = limit::restore(pid, before) {
                    tracing::debug!("the process has just ended: {error}");
                }
            }
        }
    }

    /// Tells whom a fault is about how to behave, or to serve, now.
    async fn tell(&mut self, place: usize, then: FaultStage) -> Result<(), Failure> {
        let on = self.faults.planned.planned(place).on.clone();
        let Some((actor, _)) = self.alive_by_name(&on) else { return Ok(()) };
        let client = self.plan.lab.clients.iter().position(|client| client.id.as_str() == on);
        let by = if let Some(client) = client {
            let behavior = Box::new(self.behavior_due(client));
            self.order(actor, &Order::Behave { behavior }).await?;
            actor
        } else {
            self.order_service(actor, &on).await?
        };
        self.faults.planned.await_change(PendingChange { place, actor, by, then });
        Ok(())
    }

    /// How a client is to behave now.
    pub(super) fn behavior_due(&self, client: usize) -> Behavior {
        let base = || self.plan.lab.clients[client].behavior.clone();
        self.faults.planned.behavior(&self.plan.lab, client).unwrap_or_else(base)
    }

    /// Tells a helper, through its client, or a daemon how to serve now; returns who is to say that it is so.
    pub(super) async fn order_service(&mut self, actor: Actor, name: &str) -> Result<Actor, Failure> {
        let Some(service) = self.faults.planned.service(&self.plan.lab, name) else { return Ok(actor) };
        let client = self.helpers.get(actor).map(|helper| helper.client);
        let order = Order::Work { helper: client.map(|_| actor), service };
        let by = client.unwrap_or(actor);
        self.order(by, &order).await?;
        Ok(by)
    }

    fn note_followers(&mut self) {
        let processes = &self.processes;
        let idle = |by: Actor| processes.get(&by).is_some_and(|process| process.state == State::Idle);
        for told in self.faults.planned.following(idle) {
            self.record(told.place, told.actor, told.then);
        }
    }

    /// The living process of this name.
    fn alive_by_name(&self, name: &str) -> Option<(Actor, u32)> {
        let processes = self.processes.values().rev().filter(|process| process.alive());
        let processes = processes.map(|process| (process.name.as_str(), process.actor, process.pid));
        let helpers = self.helpers.living().map(|(actor, helper)| (helper.name.as_str(), actor, helper.pid));
        let (_, actor, pid) = processes.chain(helpers).find(|(of, ..)| *of == name)?;
        Some((actor, pid))
    }

    /// Makes whom a fault names stand still, with the processes that they have started; else all but the controller and
    /// the loads on the processors.
    fn freeze(&self, place: usize) -> Result<Freezer, Failure> {
        let fault = self.faults.planned.planned(place);
        let FaultAction::Freeze { names, .. } = &fault.action else {
            unreachable!("only such a fault has this effect")
        };
        let named: Vec<u32> =
            names.iter().filter_map(|name| self.alive_by_name(name)).map(|(_, pid)| pid).collect();
        let loads: Vec<u32> = self
            .faults
            .undo
            .values()
            .filter_map(|undo| match undo {
                Undo::Load(child) => child.id(),
                _ => None,
            })
            .collect();
        let meant = if names.is_empty() { Meant::AllBut(&loads) } else { Meant::Families(&named) };
        let group = self.plan.freezer.join(place.to_string());
        Freezer::freeze(&meant, group)
            .map_err(|error| Failure::output("cannot freeze processes", &error).mend(freezer::MEND))
    }

    fn load(&self, threads: u16) -> Result<Child, Failure> {
        let program: &Path = &self.plan.driver;
        Command::new(program)
            .args(["burn", &threads.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::output("cannot start the load on the processors", &error))
    }

    fn record(&self, place: usize, actor: Actor, stage: FaultStage) {
        let kind = FaultKind::Planned(self.faults.planned.planned(place).action.kind());
        let step = PlannedStep { place: u32::try_from(place).unwrap_or(u32::MAX), stage };
        self.trace.fault(&Fault { at: clock::now(), kind, actor, detail: step.detail() });
    }
}

/// What is done, for whoever watches.
fn said(fault: &PlannedFault) -> String {
    let mut text = format!("{} of {}", fault.action.name(), fault.on);
    let detail = fault.action.detail();
    if !detail.is_empty() {
        text = format!("{text}, {detail}");
    }
    match fault.action.span() {
        Some(span) => format!("{text}, for {span}"),
        None => text,
    }
}

#[cfg(target_os = "linux")]
mod limit {
    use std::io;

    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    /// The limit as it was.
    pub(super) type Before = Rlimit;

    /// Lowers the number of files that a process may have open. The hard limit stays: not everybody who may lower one
    /// may raise it again.
    pub(super) fn lower(pid: u32, limit: u32) -> io::Result<Before> {
        let maximum = hard_limit(pid)?;
        let lowered = Rlimit { current: Some(u64::from(limit)), maximum };
        Ok(prlimit(process(pid)?, Resource::Nofile, lowered)?)
    }

    /// The hard limit on open files; `None` when there is none.
    fn hard_limit(pid: u32) -> io::Result<Option<u64>> {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits"))?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
        let hard = line.and_then(|line| line.split_whitespace().nth(1));
        match hard {
            Some("unlimited") => Ok(None),
            Some(number) => number.parse().map(Some).map_err(io::Error::other),
            None => Err(io::Error::from(io::ErrorKind::InvalidData)),
        }
    }

    /// Sets the limit to what it was.
    pub(super) fn restore(pid: u32, before: Before) -> io::Result<()> {
        prlimit(process(pid)?, Resource::Nofile, before)?;
        Ok(())
    }

    fn process(pid: u32) -> io::Result<Option<Pid>> {
        let raw = i32::try_from(pid).ok().and_then(Pid::from_raw);
        raw.map(Some).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

#[cfg(not(target_os = "linux"))]
mod limit {
    use std::io;

    /// No system here but Linux sets another process's limits.
    #[derive(Clone, Copy, Debug)]
    pub(super) struct Before;

    pub(super) fn lower(_: u32, _: u32) -> io::Result<Before> {
        Err(io::Error::from(io::ErrorKind::Unsupported))
    }

    pub(super) fn restore(_: u32, _: Before) -> io::Result<()> {
        Ok(())
    }
}
