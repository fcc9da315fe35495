//! Planned faults, done to the lab while the storm goes on and taken back again.

use std::{path::Path, process::Stdio};

use lab_model::{
    Actor, Behavior, Client, FaultAction, Lab, PlannedFault, Service, behavior_under, service_under,
};
use lab_process::clock;
use lab_protocol::Order;
use lab_trace::{Fault, FaultKind, FaultStage, PlannedKind, PlannedStep};
use nix::sys::signal::Signal;
use tokio::{
    process::{Child, Command},
    time::Instant,
};

use super::{
    comeback::Returning,
    conductor::Conductor,
    ending::{end, send},
    process::State,
};
use crate::Failure;

/// What has become of a planned fault.
#[derive(Debug)]
enum Course {
    /// Its time has not come.
    Waiting,
    /// It is in effect, on this process.
    Active { actor: Actor, until: Option<Instant>, undo: Undo },
    /// It is over, or was over at once.
    Over,
}

/// What takes a fault back.
#[derive(Debug)]
enum Undo {
    /// Nothing does.
    Nothing,
    /// The process goes on.
    Continue(u32),
    /// The client gets the behaviour that is then due, or the worker its service.
    Behave,
    /// The load ends.
    Load(Box<Child>),
    /// The limit is what it was.
    Limit(u32, limit::Before),
}

/// Somebody was told of a change, and has not said yet that it is followed.
#[derive(Clone, Copy, Debug)]
struct Told {
    place: usize,
    /// Whom the change is about.
    actor: Actor,
    /// Who says so: a helper's client answers for it.
    by: Actor,
    then: FaultStage,
}

/// All planned faults.
#[derive(Debug)]
pub(super) struct Faults {
    planned: Vec<PlannedFault>,
    courses: Vec<Course>,
    told: Vec<Told>,
    /// When the storm began, while it goes on.
    storm: Option<Instant>,
}

impl Faults {
    pub(super) fn of(lab: &Lab) -> Faults {
        let courses = lab.faults.iter().map(|_| Course::Waiting).collect();
        Faults { planned: lab.faults.clone(), courses, told: Vec::new(), storm: None }
    }

    /// The storm begins: times count from now.
    pub(super) fn storm_begins(&mut self) {
        self.storm = Some(Instant::now());
    }

    /// When the next fault begins or ends.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let due = |(fault, course): (&PlannedFault, &Course)| match course {
            Course::Waiting => Some(self.storm? + fault.at.duration()),
            Course::Active { until, .. } => *until,
            Course::Over => None,
        };
        self.planned.iter().zip(&self.courses).filter_map(due).min()
    }

    /// True while a fault that will end is in effect.
    pub(super) fn go_on(&self) -> bool {
        self.courses.iter().any(|course| matches!(course, Course::Active { until: Some(_), .. }))
    }

    /// True while this process is stopped on purpose.
    pub(super) fn stalls(&self, process: Actor) -> bool {
        self.courses.iter().any(|course| {
            matches!(course, Course::Active { actor, undo: Undo::Continue(_), .. } if *actor == process)
        })
    }

    /// How long after its death a process that a fault killed is to come back; asked once.
    pub(super) fn comes_back(&mut self, name: &str) -> Option<lab_model::Span> {
        let both = self.planned.iter().zip(&mut self.courses);
        both.filter(|(fault, _)| fault.on == name).find_map(|(fault, course)| {
            match (&fault.action, &*course) {
                (FaultAction::Restart { after }, Course::Active { .. }) => {
                    *course = Course::Over;
                    Some(*after)
                }
                _ => None,
            }
        })
    }

    /// A client's behaviour under the faults that are in effect.
    pub(super) fn behavior(&self, lab: &Lab, client: &Client) -> Behavior {
        behavior_under(&client.behavior, self.active(lab, client.id.as_str()))
    }

    /// How a helper or a daemon serves under the faults that are in effect.
    pub(super) fn service(&self, lab: &Lab, worker: &str) -> Option<Service> {
        Some(service_under(lab.service_of(worker)?, self.active(lab, worker)))
    }

    /// What is in effect on this participant.
    fn active<'a>(&'a self, lab: &'a Lab, on: &'a str) -> impl Iterator<Item = &'a FaultAction> {
        let both = lab.faults.iter().zip(&self.courses);
        both.filter(move |(fault, course)| matches!(course, Course::Active { .. }) && fault.on == on)
            .map(|(fault, _)| &fault.action)
    }

    fn due(&self, now: Instant) -> Vec<(usize, bool)> {
        let places = 0..self.planned.len();
        let due = |place: usize| match &self.courses[place] {
            Course::Waiting => {
                let at = self.storm? + self.planned[place].at.duration();
                (at <= now).then_some((place, true))
            }
            Course::Active { until: Some(until), .. } if *until <= now => Some((place, false)),
            Course::Active { .. } | Course::Over => None,
        };
        places.filter_map(due).collect()
    }
}

impl Conductor {
    /// Begins and ends the faults whose time has come, and notes who follows what it was told.
    pub(super) async fn disturb(&mut self) -> Result<(), Failure> {
        for (place, begins) in self.faults.due(Instant::now()) {
            if begins {
                self.begin_fault(place).await?;
            } else {
                self.end_fault(place).await?;
            }
        }
        self.note_followers();
        Ok(())
    }

    /// The storm is over: what has not begun never will.
    pub(super) fn storm_ends(&mut self) {
        self.faults.storm = None;
        for place in 0..self.faults.planned.len() {
            if matches!(self.faults.courses[place], Course::Waiting) {
                self.record(place, Actor::UNKNOWN, FaultStage::TooLate);
                self.faults.courses[place] = Course::Over;
            }
        }
    }

    /// Takes back whatever is still in effect.
    pub(super) async fn end_faults(&mut self) -> Result<(), Failure> {
        for place in 0..self.faults.planned.len() {
            self.end_fault(place).await?;
        }
        Ok(())
    }

    /// A process has died: what was done to it is over.
    pub(super) fn fault_target_died(&mut self, process: Actor) {
        self.faults.told.retain(|told| told.actor != process && told.by != process);
        for place in 0..self.faults.planned.len() {
            let bound = matches!(
                &self.faults.courses[place],
                Course::Active { actor, undo: Undo::Continue(_) | Undo::Limit(..), .. } if *actor == process
            );
            if bound {
                self.record(place, process, FaultStage::Ends);
                self.faults.courses[place] = Course::Over;
            }
        }
    }

    async fn begin_fault(&mut self, place: usize) -> Result<(), Failure> {
        let fault = self.faults.planned[place].clone();
        let target = self.alive_by_name(&fault.on);
        let returns = Returning::named(&self.plan.lab, &fault.on);
        let returns = returns.is_some_and(|whom| self.comebacks.expects(whom));
        let (actor, pid) = match target {
            Some(target) => target,
            None if fault.on == PlannedFault::MACHINE => (Actor::UNKNOWN, 0),
            // Who is on its way back gets the behaviour when it is there.
            None if fault.action.is_behavior() && returns => (Actor::UNKNOWN, 0),
            None => {
                self.record(place, Actor::UNKNOWN, FaultStage::NoTarget);
                self.faults.courses[place] = Course::Over;
                return Ok(());
            }
        };
        let began = Instant::now();
        self.record(place, actor, FaultStage::Begins);
        let undo = match &fault.action {
            FaultAction::Stall { .. } => {
                send(pid, Signal::SIGSTOP);
                Undo::Continue(pid)
            }
            FaultAction::Kill | FaultAction::Restart { .. } => {
                end(pid);
                Undo::Nothing
            }
            FaultAction::Slow { .. }
            | FaultAction::Deny { .. }
            | FaultAction::Behave { .. }
            | FaultAction::Serve { .. } => Undo::Behave,
            FaultAction::CpuLoad { threads, .. } => Undo::Load(Box::new(self.load(*threads)?)),
            FaultAction::Descriptors { limit, .. } => {
                let before = limit::lower(pid, *limit)
                    .map_err(|error| Failure::output("cannot limit the descriptors of a process", &error))?;
                Undo::Limit(pid, before)
            }
        };
        let until = fault.action.span().map(|span| began + span.duration());
        self.faults.courses[place] = match fault.action {
            FaultAction::Kill => Course::Over,
            _ => Course::Active { actor, until, undo },
        };
        if fault.action.is_behavior() {
            self.tell(place, FaultStage::InForce).await?;
        }
        self.progress.note(&said(&fault));
        Ok(())
    }

    async fn end_fault(&mut self, place: usize) -> Result<(), Failure> {
        let course = std::mem::replace(&mut self.faults.courses[place], Course::Over);
        let Course::Active { actor, undo, .. } = course else {
            self.faults.courses[place] = course;
            return Ok(());
        };
        self.record(place, actor, FaultStage::Ends);
        match undo {
            Undo::Nothing => {}
            Undo::Continue(pid) => send(pid, Signal::SIGCONT),
            Undo::Behave => self.tell(place, FaultStage::Over).await?,
            Undo::Load(mut child) => {
                if let Err(error) = child.kill().await {
                    tracing::debug!("the load has just ended: {error}");
                }
            }
            Undo::Limit(pid, before) => {
                if let Err(error) = limit::restore(pid, before) {
                    tracing::debug!("the process has just ended: {error}");
                }
            }
        }
        Ok(())
    }

    /// Tells whom a fault is about how to behave, or to serve, now.
    async fn tell(&mut self, place: usize, then: FaultStage) -> Result<(), Failure> {
        let on = self.faults.planned[place].on.clone();
        let Some((actor, _)) = self.alive_by_name(&on) else { return Ok(()) };
        let client = self.plan.lab.clients.iter().position(|client| client.id.as_str() == on);
        let by = if let Some(client) = client {
            let behavior = Box::new(self.behavior_due(client));
            self.order(actor, &Order::Behave { behavior }).await?;
            actor
        } else {
            self.order_service(actor, &on).await?
        };
        self.faults.told.push(Told { place, actor, by, then });
        Ok(())
    }

    /// Tells a helper, through its client, or a daemon how to serve now; returns who is to say that it is so.
    pub(super) async fn order_service(&mut self, actor: Actor, name: &str) -> Result<Actor, Failure> {
        let Some(service) = self.faults.service(&self.plan.lab, name) else { return Ok(actor) };
        let client = self.helpers.get(actor).map(|helper| helper.client);
        let order = Order::Work { helper: client.map(|_| actor), service };
        let by = client.unwrap_or(actor);
        self.order(by, &order).await?;
        Ok(by)
    }

    fn note_followers(&mut self) {
        let told = std::mem::take(&mut self.faults.told);
        let (follow, wait): (Vec<Told>, Vec<Told>) = told.into_iter().partition(|told| {
            self.processes.get(&told.by).is_some_and(|process| process.state == State::Idle)
        });
        for told in follow {
            self.record(told.place, told.actor, told.then);
        }
        self.faults.told = wait;
    }

    /// The living process of this name.
    fn alive_by_name(&self, name: &str) -> Option<(Actor, u32)> {
        let processes = self.processes.values().rev().filter(|process| process.alive());
        let processes = processes.map(|process| (process.name.as_str(), process.actor, process.pid));
        let helpers = self.helpers.living().map(|(actor, helper)| (helper.name.as_str(), actor, helper.pid));
        let (_, actor, pid) = processes.chain(helpers).find(|(of, ..)| *of == name)?;
        Some((actor, pid))
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
        let kind = FaultKind::Planned(PlannedKind::of(&self.faults.planned[place].action));
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
