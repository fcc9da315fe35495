//! Planned faults, done to the lab while the storm goes on and taken back again. When each begins and ends, and who is
//! told what, [`lab_workload::Faults`] says; this is what an operating system does for it.

use std::{collections::BTreeMap, path::Path, process::Stdio};

use lab_model::{Actor, Behavior, Effect, FaultAction, FaultStage, Lab, Service, Span, Standstill};
use lab_process::DescriptorLimit;
use lab_trace::{FaultKind, PlannedStep};
use lab_workload::{FaultStep, PendingChange, Target};
use nix::sys::signal::Signal;
use tokio::process::{Child, Command};

use super::{
    context::Context,
    ending::{end, send},
    freezer::{Freezer, Meant},
    processes::Processes,
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
    Limit(u32, DescriptorLimit),
}

/// All planned faults, and what takes those back that are in effect.
#[derive(Debug)]
pub(super) struct Faults {
    life: lab_workload::Faults,
    undo: BTreeMap<usize, Undo>,
}

/// What is left to do for a fault, once the system has been seen to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum FaultEffect {
    /// Say this to whoever watches.
    Say(String),
    /// Tell the target of the fault at this place how to work now, and have it said with [`Faults::await_change`].
    Tell { place: usize, then: FaultStage },
}

impl Faults {
    pub(super) fn of(lab: &Lab) -> Faults {
        Faults { life: lab_workload::Faults::of(lab), undo: BTreeMap::new() }
    }

    /// Whom a fault is about, by name.
    pub(super) fn on(&self, place: usize) -> &str {
        &self.life.planned(place).on
    }

    /// The storm begins: times count from now.
    pub(super) const fn storm_begins(&mut self, now: u64) {
        self.life.storm_begins(now);
    }

    /// The storm is over: what has not begun never will.
    pub(super) fn storm_ends(&mut self, context: &Context) {
        let steps = self.life.storm_ends();
        self.record_all(context, &steps);
    }

    /// When the next fault begins or ends.
    pub(super) fn next_due(&self) -> Option<u64> {
        self.life.next_due()
    }

    /// The faults whose time has come, and whether each begins: else it ends.
    pub(super) fn all_due(&self, now: u64) -> Vec<(usize, bool)> {
        self.life.all_due(now)
    }

    /// The time of a fault has come.
    pub(super) fn begin(&mut self, place: usize, now: u64, target: Target) -> Vec<FaultStep> {
        self.life.begin(place, now, target)
    }

    /// A fault is over, if it is in effect.
    pub(super) fn end(&mut self, place: usize) -> Vec<FaultStep> {
        self.life.end(place)
    }

    /// True while a fault that ends by itself is in effect.
    pub(super) fn any_active(&self) -> bool {
        self.life.any_active()
    }

    /// True while somebody stands still.
    pub(super) fn stands_still(&self, name: &str) -> bool {
        self.life.stands_still(name, None)
    }

    /// How long after its death somebody whom a fault has killed is to come back; asked once for each death.
    pub(super) fn comes_back(&mut self, name: &str) -> Option<Span> {
        self.life.comes_back(name)
    }

    /// A process has died: what was done to it is over.
    pub(super) fn target_died(&mut self, context: &Context, process: Actor) {
        let steps = self.life.target_died(process);
        self.record_all(context, &steps);
    }

    /// How a client is to behave now.
    pub(super) fn behavior_due(&self, lab: &Lab, client: usize) -> Behavior {
        self.life.behavior(lab, client).unwrap_or_else(|| lab.clients[client].behavior.clone())
    }

    /// How a helper or a daemon is to serve now; `None` for another name.
    pub(super) fn service_due(&self, lab: &Lab, worker: &str) -> Option<Service> {
        self.life.service(lab, worker)
    }

    /// Somebody was told of a change, and is still to say that it follows.
    pub(super) fn await_change(&mut self, change: PendingChange) {
        self.life.await_change(change);
    }

    /// Records who follows by now what it was told.
    pub(super) fn note_followers(&mut self, context: &Context, is_idle: impl Fn(Actor) -> bool) {
        for told in self.life.following(is_idle) {
            self.record(context, told.place, told.actor, told.then);
        }
    }

    /// Records steps and does to the system what they say; returns what is left to do, in order.
    pub(super) async fn take(
        &mut self,
        context: &Context,
        processes: &Processes,
        steps: Vec<FaultStep>,
    ) -> Result<Vec<FaultEffect>, Failure> {
        let mut left = Vec::new();
        for step in steps {
            match step {
                FaultStep::Record { place, actor, stage } => {
                    self.record(context, place, actor, stage);
                    if stage == FaultStage::Begins {
                        left.push(FaultEffect::Say(self.life.planned(place).words()));
                    }
                }
                FaultStep::Begin { place, effect, .. } => {
                    if let Some(undo) = self.begin_effect(context, processes, place, effect)? {
                        self.undo.insert(place, undo);
                    }
                }
                FaultStep::End { place, .. } => self.end_effect(place).await,
                FaultStep::Tell { place, then } => left.push(FaultEffect::Tell { place, then }),
            }
        }
        Ok(left)
    }

    /// Of faults that nothing else is to be done for. What is to take them back is gone with their target.
    fn record_all(&mut self, context: &Context, steps: &[FaultStep]) {
        for step in steps {
            if let FaultStep::Record { place, actor, stage } = *step {
                self.record(context, place, actor, stage);
                self.undo.remove(&place);
            }
        }
    }

    fn begin_effect(
        &self,
        context: &Context,
        processes: &Processes,
        place: usize,
        effect: Effect,
    ) -> Result<Option<Undo>, Failure> {
        let pid = processes.alive_by_name(self.on(place)).map(|(_, pid)| pid);
        Ok(match (effect, pid) {
            (Effect::Standstill(Standstill::Signal), Some(pid)) => {
                send(pid, Signal::SIGSTOP);
                Some(Undo::Continue(pid))
            }
            (Effect::Standstill(Standstill::Freezer), _) => {
                Some(Undo::Thaw(self.freeze(context, processes, place)?))
            }
            (Effect::Load { threads }, _) => {
                Some(Undo::Load(Box::new(start_load(&context.plan().driver, threads)?)))
            }
            (Effect::Descriptors { limit }, Some(pid)) => {
                let before = DescriptorLimit::lower(pid, limit)
                    .map_err(|error| Failure::output("cannot limit the descriptors of a process", &error))?;
                Some(Undo::Limit(pid, before))
            }
            (Effect::Death { .. }, Some(pid)) => {
                end(pid);
                None
            }
            // Nothing is done to whoever is gone; a behaviour is told.
            (_, None) | (Effect::Behavior, _) => None,
        })
    }

    async fn end_effect(&mut self, place: usize) {
        match self.undo.remove(&place) {
            None => {}
            Some(Undo::Continue(pid)) => send(pid, Signal::SIGCONT),
            Some(Undo::Thaw(freezer)) => drop(freezer),
            Some(Undo::Load(mut child)) => {
                if let Err(error) = child.kill().await {
                    tracing::debug!("the load has just ended: {error}");
                }
            }
            Some(Undo::Limit(pid, before)) => {
                if let Err(error) = before.restore(pid) {
                    tracing::debug!("the process has just ended: {error}");
                }
            }
        }
    }

    /// Makes whom a fault names stand still, with the processes that they have started; else all but the controller and
    /// the loads on the processors.
    fn freeze(&self, context: &Context, processes: &Processes, place: usize) -> Result<Freezer, Failure> {
        let FaultAction::Freeze { names, .. } = &self.life.planned(place).action else {
            unreachable!("only such a fault has this effect")
        };
        let named: Vec<u32> =
            names.iter().filter_map(|name| processes.alive_by_name(name)).map(|(_, pid)| pid).collect();
        let loads = self.undo.values().filter_map(|undo| match undo {
            Undo::Load(child) => child.id(),
            _ => None,
        });
        let loads: Vec<u32> = loads.collect();
        let meant = if names.is_empty() { Meant::AllBut(&loads) } else { Meant::Families(&named) };
        let group = context.plan().freezer.join(place.to_string());
        Freezer::freeze(&meant, group)
            .map_err(|error| Failure::output("cannot freeze processes", &error).mend(freezer::MEND))
    }

    fn record(&self, context: &Context, place: usize, actor: Actor, stage: FaultStage) {
        let kind = FaultKind::Planned(self.life.planned(place).action.kind());
        let step = PlannedStep { place: u32::try_from(place).unwrap_or(u32::MAX), stage };
        context.fault(kind, actor, step.detail());
    }
}

/// Starts a load on the processors, of this many threads.
fn start_load(driver: &Path, threads: u16) -> Result<Child, Failure> {
    Command::new(driver)
        .args(["burn", &threads.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .process_group(0)
        .spawn()
        .map_err(|error| Failure::output("cannot start the load on the processors", &error))
}
