use std::{
    collections::{BTreeMap, BTreeSet},
    os::fd::AsFd,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use lab_analysis::live::Standstill;
use lab_bundle::{Daemons, Death};
use lab_model::{Actor, Behavior, Phase, PhaseKind, Role, Span, Ticks};
use lab_process::{clock, host_facts, process_id};
use lab_protocol::{
    Assignment, ClientAssignment, DriverAssignment, Order, PROTOCOL, PhaseOrder, Reply, TraceAssignment,
    Welcome,
};
use lab_trace::{
    Fault, FaultKind, Header, Identity, PhaseMark, ProcessMark, ProcessMarkKind, TraceWriter, WriterOptions,
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe,
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    Event, arena,
    comeback::{Comebacks, Returning},
    daemon::Daemon,
    ending::{describe, end, last_line, process_failure},
    external::{Externals, Sight},
    faults::Faults,
    helpers::{FIRST_CLIENT, HelperTable, addresses, first_free},
    process::{LabProcess, State},
    progress::Progress,
    warden::Warden,
};
use crate::{Failure, FailureKind, Plan, RunFolder};

/// How often the warden looks.
const WATCH_EVERY: Duration = Duration::from_millis(5);
/// How long a process may take to become ready, or to follow an order that has nothing to wait for.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a process may take to close its trace before it is killed.
const FINISH_WITHIN: Duration = Duration::from_secs(5);
/// A drain is over when nothing has happened for this long.
const QUIET_FOR: Duration = Duration::from_millis(150);
/// How long the end of a run waits to hear why its daemons died.
const EXPLAINED_WITHIN: Duration = Duration::from_secs(10);
/// How long clients may take to come to rest at the end.
const CALM_WITHIN: Duration = Duration::from_secs(1);
/// The driver's number.
const DRIVER: Actor = Actor(1);

/// Why waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waited {
    /// What was waited for has come.
    Met,
    /// The time was over.
    TimedOut,
    /// The user or the warden wants the run to end.
    Stopped,
}

/// Who a process is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    pub(super) actor: Actor,
    /// Its name in the lab.
    pub(super) name: &'a str,
    /// What its trace and its log are called.
    pub(super) file: &'a str,
    pub(super) role: Role,
}

/// Leads one lab.
pub(super) struct Conductor {
    pub(super) plan: Plan,
    pub(super) folder: RunFolder,
    pub(super) trace: TraceWriter,
    events: mpsc::Receiver<Event>,
    report: mpsc::Sender<Event>,
    pub(super) processes: BTreeMap<Actor, LabProcess>,
    pub(super) helpers: HelperTable,
    pub(super) warden: Warden,
    externals: Externals,
    pub(super) progress: Progress,
    pub(super) faults: Faults,
    pub(super) comebacks: Comebacks,
    /// The clients behave as the lab file says, no longer as the control does.
    pub(super) behaving: bool,
    next_actor: u16,
    /// Why the lab stands still now, as two looks agree, and what the last one has seen.
    pub(super) standstill: Option<Standstill>,
    pub(super) suspected: Option<String>,
    /// What went wrong with a fault or a comeback.
    trouble: Option<Failure>,
    pub(super) began: Ticks,
    stopped: Option<FailureKind>,
    /// Everybody has been ordered to end.
    finishing: bool,
    pub(super) salt: u32,
    daemons: Option<Arc<Daemons>>,
    /// Clients that the conductor has killed itself.
    killed: BTreeSet<Actor>,
    /// Dead clients of which the system has not said yet why they died.
    unexplained: BTreeSet<Actor>,
    began_at: SystemTime,
}

impl Conductor {
    /// Sets the arena up and the trace, and starts listening for signals.
    pub(super) fn begin(plan: Plan) -> Result<Conductor, Failure> {
        let folder = RunFolder::at(plan.run.clone());
        let began = clock::now();
        let salt = u32::try_from(began.0 & 0xffff_ffff).unwrap_or(1) | 1;
        let (report, events) = mpsc::channel(1024);
        let trace = orchestrator_trace(&plan, &folder, salt, began)?;
        arena::fill(&folder.arena(), &plan.lab, &plan.driver)
            .map_err(|error| Failure::output("cannot fill the arena", &error))?;
        let externals = Externals::prepare(&plan, &folder)?;
        listen_for_signals(&report)?;
        let daemons = plan.clients_are.daemons().map(Arc::new);
        if daemons.is_some() && cfg!(target_os = "macos") {
            listen_for_the_launcher(&report)?;
        }
        let progress = Progress::new(plan.terminal);
        let (processes, warden) = (BTreeMap::new(), Warden::default());
        let (faults, comebacks) = (Faults::of(&plan.lab), Comebacks::default());
        let next_actor = first_free(&plan.lab);
        Ok(Conductor {
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
            comebacks,
            behaving: false,
            next_actor,
            standstill: None,
            suspected: None,
            trouble: None,
            began,
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
        self.comebacks.stop();
        self.calm().await
    }

    /// Ends all reactions, so that clients which feed each other come to rest before their traces are closed.
    async fn calm(&mut self) -> Result<(), Failure> {
        for actor in self.clients().collect::<Vec<_>>() {
            let name = self.processes.get(&actor).map(|process| process.name.as_str());
            let client = self.plan.lab.clients.iter().find(|client| Some(client.id.as_str()) == name);
            let behavior = client.map_or_else(Behavior::noop, |client| client.behavior.without_reactions());
            self.order(actor, &Order::Behave { behavior: Box::new(behavior) }).await?;
        }
        self.until(Some(CALM_WITHIN), None, |conductor| {
            let settled = conductor.processes.values().all(|process| process.state != State::Ordered);
            settled && conductor.warden.glance().is_idle()
        })
        .await;
        self.until(Some(QUIET_FOR), None, |_| false).await;
        Ok(())
    }

    async fn start_driver(&mut self) -> Result<(), Failure> {
        let assignment = Assignment::Driver(DriverAssignment { workload: self.plan.lab.workload.clone() });
        let program = self.plan.driver.clone();
        let driver = Part { actor: DRIVER, name: "driver", file: "driver", role: Role::Driver };
        self.start(driver, &program, assignment).await?;
        self.all_settled(ANSWER_WITHIN, "become ready").await?;
        let trace = self.folder.trace("driver");
        self.warden.watch_driver(&trace).map_err(|error| Failure::output("cannot watch the driver", &error))
    }

    /// Starts all clients at once, unless they run already.
    async fn start_clients(&mut self) -> Result<(), Failure> {
        if self.clients().next().is_some() {
            return Ok(());
        }
        self.start_daemons().await?;
        let lab = self.plan.lab.clone();
        let several = if lab.clients.len() == 1 { "" } else { "s" };
        let what = format!("{} client{several}", lab.clients.len());
        self.progress.begin("start", &what, self.warden.glance());
        for (place, (client, number)) in lab.clients.iter().zip(FIRST_CLIENT..).enumerate() {
            let actor = Actor(number);
            let (assignment, program) = self.client_assignment(place, actor)?;
            let id = client.id.as_str();
            let part = Part { actor, name: id, file: id, role: Role::Client };
            self.start(part, &program, assignment).await?;
        }
        self.all_settled(ANSWER_WITHIN, "become ready").await?;
        for client in self.clients().collect::<Vec<_>>() {
            self.watch_client(client)?;
        }
        self.announce().await?;
        self.open_daemons().await?;
        self.comebacks.allowed = true;
        Ok(())
    }

    /// Starts the products under test, unless they run already, and waits until they take part.
    async fn start_externals(&mut self) -> Result<(), Failure> {
        if !self.externals.start(&self.trace, &self.report)? {
            return Ok(());
        }
        self.progress.begin("start", "the products beside the clients", self.warden.glance());
        let within = self.externals.ready_within();
        let settled = |conductor: &Conductor| conductor.stopped.is_some() || conductor.externals.settled();
        self.until(Some(within), None, settled).await;
        if self.stopped.is_some() {
            return Ok(());
        }
        self.externals.require_ready()?;
        self.announce().await
    }

    /// What a client's new process is told, and its program.
    pub(super) fn client_assignment(
        &mut self,
        place: usize,
        actor: Actor,
    ) -> Result<(Assignment, PathBuf), Failure> {
        let helpers = self.helpers_of(place, actor);
        let lab = &self.plan.lab;
        let client = &lab.clients[place];
        let mut programs = self.plan.clients.iter();
        let (_, program) = programs.find(|(id, _)| *id == client.id).ok_or_else(|| {
            Failure::new(FailureKind::Bug, format!("the plan has no program for {}", client.id))
        })?;
        let assignment = ClientAssignment {
            bundle_id: client.bundle_id.to_string(),
            // What it subscribes to is part of what being asked costs.
            behavior: Box::new(client.behavior.without_reactions()),
            workers_max: lab.workers_max(client),
            notifies: lab.notifies(client),
            deadline: lab.deadline,
            workload: lab.workload.clone(),
            helpers,
            daemons: addresses(lab, client, &self.socket_salt()),
        };
        Ok((Assignment::Client(Box::new(assignment)), program.clone()))
    }

    /// A number that no process of this run has had.
    pub(super) fn new_actor(&mut self) -> Actor {
        let actor = Actor(self.next_actor);
        self.next_actor += 1;
        actor
    }

    pub(super) fn watch_client(&mut self, actor: Actor) -> Result<(), Failure> {
        let Some(process) = self.processes.get(&actor) else { return Ok(()) };
        let trace = self.folder.trace(&process.file);
        self.warden
            .watch_client(actor, &trace, process.pid, process.queue)
            .map_err(|error| Failure::output(&format!("cannot watch {}", process.name), &error))?;
        self.watch_helpers(actor)
    }

    /// Tells every client which threads belong to whom, and waits until all know.
    async fn announce(&mut self) -> Result<(), Failure> {
        self.tell_participants().await?;
        self.all_settled(ANSWER_WITHIN, "learn of the others").await
    }

    /// Tells every client which threads belong to whom.
    pub(super) async fn tell_participants(&mut self) -> Result<(), Failure> {
        let alive = || self.processes.values().filter(|process| process.alive());
        let threads =
            alive().flat_map(|process| process.threads.iter().map(move |&thread| (thread, process.actor)));
        let of_helpers = self
            .helpers
            .living()
            .flat_map(|(actor, helper)| helper.threads.iter().map(move |&tid| (tid, actor)));
        let threads = threads.chain(of_helpers).chain(self.externals.threads());
        let threads: Vec<(u64, Actor)> = threads.collect();
        let clients: Vec<Actor> = self.living_clients();
        let name_of = |actor: Actor| Some(self.processes.get(&actor)?.name.clone());
        let nameable = alive().filter(|process| matches!(process.role, Role::Client | Role::Daemon));
        let names = nameable.map(|process| (process.name.clone(), process.actor));
        let names = names.chain(self.helpers.names(name_of)).chain(self.externals.names());
        let names: Vec<(String, Actor)> = names.collect();
        for actor in clients.clone() {
            let (threads, clients, names) = (threads.clone(), clients.clone(), names.clone());
            let order = Order::Participants { threads, clients, names };
            self.order(actor, &order).await?;
        }
        Ok(())
    }

    /// Gives every client the behaviour of the lab file.
    async fn behave(&mut self) -> Result<(), Failure> {
        self.behaving = true;
        for place in 0..self.plan.lab.clients.len() {
            let id = self.plan.lab.clients[place].id.clone();
            let mut processes = self.processes.values();
            let process = processes.find(|process| process.name == id.as_str() && process.alive());
            let Some(actor) = process.map(|process| process.actor) else { continue };
            let behavior = Box::new(self.behavior_due(place));
            self.order(actor, &Order::Behave { behavior }).await?;
        }
        self.all_settled(ANSWER_WITHIN, "change their behaviour").await
    }

    pub(super) async fn start(
        &mut self,
        part: Part<'_>,
        program: &std::path::Path,
        assignment: Assignment,
    ) -> Result<(), Failure> {
        let Part { actor, name, file, role } = part;
        let log = self.folder.logs().join(format!("{file}.log"));
        let mut process = match self.daemon(name, role) {
            None => LabProcess::start(program, part, &log, &self.report)
                .map_err(|error| Failure::output(&format!("cannot start {}", program.display()), &error))?,
            Some(daemon) => LabProcess::start_daemon(daemon, part, &self.report).await.map_err(|error| {
                let words = last_line(&log_of(self.daemons.as_deref(), &self.folder, part))
                    .map(|line| format!(": {line}"));
                process_failure(name, &format!("{error}{}", words.unwrap_or_default()))
            })?,
        };
        self.mark(actor, ProcessMarkKind::Started, process.pid, 0);
        let welcome = self.welcome(part, assignment);
        let sent = process.order(&Order::Welcome(Box::new(welcome))).await;
        self.processes.insert(actor, process);
        sent.map_err(|error| Failure::new(FailureKind::Bug, format!("cannot talk to {name}: {error}")))
    }

    pub(super) fn welcome(&self, part: Part<'_>, assignment: Assignment) -> Welcome {
        let Part { actor, name, file, .. } = part;
        Welcome {
            protocol: PROTOCOL,
            actor,
            name: name.to_owned(),
            seed: self.plan.lab.seed,
            arena: self.folder.arena().display().to_string(),
            trace: TraceAssignment {
                path: self.folder.trace(file).display().to_string(),
                salt: self.salt.wrapping_add(u32::from(actor.0)),
                bytes_max: self.plan.lab.safety.trace_bytes_max,
            },
            assignment,
        }
    }

    /// The launchd daemon that a client is; `None` for a child.
    fn daemon(&self, name: &str, role: Role) -> Option<Daemon> {
        let mut clients = self.plan.lab.clients.iter();
        let client = clients.find(|client| role == Role::Client && client.id.as_str() == name)?;
        Some(Daemon::new(self.daemons.as_ref()?, &client.id, &client.bundle_id))
    }

    pub(super) async fn order(&mut self, actor: Actor, order: &Order) -> Result<(), Failure> {
        let Some(process) = self.processes.get_mut(&actor) else { return Ok(()) };
        let name = process.name.clone();
        let sent = process.order(order).await;
        sent.map_err(|error| Failure::new(FailureKind::Bug, format!("cannot talk to {name}: {error}")))
    }

    /// Runs the workload for one phase.
    async fn drive(&mut self, phase: Phase) -> Result<(), Failure> {
        if self.stopped.is_some() {
            return Ok(());
        }
        self.progress.begin(phase.kind.name(), &format!("up to {}", phase.span), self.warden.glance());
        let baseline = phase.kind == PhaseKind::Baseline;
        let operations_max = baseline.then_some(self.plan.lab.safety.baseline_operations_max);
        self.mark_phase(phase.kind, true);
        if phase.kind == PhaseKind::Storm {
            self.faults.storm_begins();
        }
        let order = Order::Drive(PhaseOrder { phase: phase.kind, span: phase.span, operations_max });
        self.order(DRIVER, &order).await?;
        let idle = |conductor: &Conductor| !conductor.driver().is_some_and(|driver| driver.driving);
        // Where every client has died, the workload alone shows nothing more.
        let over = |conductor: &Conductor| idle(conductor) || conductor.deserted();
        self.until(None, Some(phase.span), over).await;
        if phase.kind == PhaseKind::Storm {
            self.storm_ends();
        }
        if !idle(self) {
            self.order(DRIVER, &Order::Halt).await?;
            // The last operations end as soon as they are answered; the warden sees to that.
            self.until(Some(FINISH_WITHIN + self.plan.lab.deadline.duration()), None, idle).await;
        }
        self.mark_phase(phase.kind, false);
        match self.driver() {
            Some(driver) if driver.alive() => Ok(()),
            driver => {
                let status = match driver.map(|driver| driver.state) {
                    Some(State::Ended(status)) => describe(status),
                    _ => "its trace is closed".to_owned(),
                };
                let why = driver.and_then(|driver| driver.failure.clone()).unwrap_or(status);
                let message = format!("the driver ended in the {}: {why}", phase.kind.name());
                let log = self.folder.logs().join("driver.log");
                Err(Failure::new(FailureKind::Bug, message)
                    .mend(format!("what was recorded until then is kept; {} may say more", log.display())))
            }
        }
    }

    /// Waits until nothing happens any more, at most for `span`.
    async fn drain(&mut self, span: Span) -> Result<(), Failure> {
        self.progress.begin("drain", &format!("up to {span}"), self.warden.glance());
        self.mark_phase(PhaseKind::Drain, true);
        let until = Instant::now() + span.duration();
        loop {
            let before = self.warden.glance();
            let left = until.saturating_duration_since(Instant::now()).min(QUIET_FOR);
            let waited = self.until(Some(left), Some(span), |_| false).await;
            let now = self.warden.glance();
            // What is planned for the drain takes place in it.
            let expected = self.faults.go_on() || !self.comebacks.is_empty();
            let still = now.events == before.events && now.is_idle() && left == QUIET_FOR;
            let quiet = still && !expected;
            if quiet || waited == Waited::Stopped || Instant::now() >= until {
                break;
            }
        }
        self.mark_phase(PhaseKind::Drain, false);
        Ok(())
    }

    /// Lets every process close its trace and end; kills who does not.
    async fn finish(&mut self) {
        self.progress.begin("finish", "closing the traces", self.warden.glance());
        self.finish_externals().await;
        self.finishing = true;
        let actors: Vec<Actor> = self.processes.keys().copied().collect();
        for actor in actors {
            // Whoever cannot be told is killed below.
            drop(self.order(actor, &Order::Finish).await);
        }
        let gone = |conductor: &Conductor| {
            let ended = conductor.processes.values().all(|process| matches!(process.state, State::Ended(_)));
            ended && conductor.helpers.all_ended()
        };
        let until = Instant::now() + FINISH_WITHIN;
        while !gone(self) && Instant::now() < until {
            self.stopped = self.stopped.filter(|kind| *kind == FailureKind::Interrupted);
            self.pump(Duration::from_millis(20)).await;
        }
        for process in self.processes.values().filter(|process| !matches!(process.state, State::Ended(_))) {
            end(process.pid);
            self.killed.insert(process.actor);
        }
        let until = Instant::now() + FINISH_WITHIN;
        while !gone(self) && Instant::now() < until {
            self.pump(Duration::from_millis(20)).await;
        }
        self.take_daemons_away().await;
        if let Err(error) = self.trace.close(clock::now()) {
            tracing::warn!("the orchestrator's trace keeps its unused end: {error}");
        }
    }

    /// Lets the products end while the clients still answer, and kills what does not.
    async fn finish_externals(&mut self) {
        if self.externals.is_empty() {
            return;
        }
        self.externals.ask_to_end();
        let until = Instant::now() + FINISH_WITHIN;
        while !self.externals.gone() && Instant::now() < until {
            self.pump(Duration::from_millis(20)).await;
        }
        for name in self.externals.end() {
            self.progress.note(&format!("{name} did not end when asked and is killed"));
        }
        let until = Instant::now() + FINISH_WITHIN;
        while !self.externals.gone() && Instant::now() < until {
            self.pump(Duration::from_millis(20)).await;
        }
    }

    /// Hears why daemons died, keeps what they said, and takes them away, whatever state they are in.
    async fn take_daemons_away(&mut self) {
        let Some(daemons) = self.daemons.clone() else { return };
        let until = Instant::now() + EXPLAINED_WITHIN;
        while !self.unexplained.is_empty() && Instant::now() < until {
            self.pump(Duration::from_millis(20)).await;
        }
        for client in &self.plan.lab.clients {
            let log = self.folder.logs().join(format!("{}.log", client.id));
            if let Err(error) = daemons.keep_log(&client.id, &log) {
                tracing::warn!("the log of {} is not kept: {error}", client.id);
            }
        }
        if let Err(error) = daemons.uninstall() {
            tracing::warn!("`lab down` has to take the clients away: {error}");
        }
    }

    /// Waits until every process has carried out its orders.
    pub(super) async fn all_settled(&mut self, within: Duration, what: &str) -> Result<(), Failure> {
        let settled = |conductor: &Conductor| {
            conductor
                .processes
                .values()
                .all(|process| !matches!(process.state, State::Starting | State::Ordered))
        };
        let settled_or_stopped = |conductor: &Conductor| conductor.stopped.is_some() || settled(conductor);
        let waited = self.until(Some(within), None, settled_or_stopped).await;
        if let Some(process) = self.processes.values().find(|process| process.failure.is_some()) {
            let message = process.failure.clone().unwrap_or_default();
            return Err(process_failure(&process.name, &message));
        }
        match waited {
            Waited::Met | Waited::Stopped => match self.stopped {
                Some(FailureKind::Interrupted) if !settled(self) => {
                    Err(Failure::new(FailureKind::Interrupted, "interrupted"))
                }
                Some(kind) if !settled(self) => {
                    Err(Failure::new(kind, format!("a process did not {what} in time")))
                }
                _ => Ok(()),
            },
            Waited::TimedOut => {
                let slow =
                    self.processes.values().find(|p| matches!(p.state, State::Starting | State::Ordered));
                let name = slow.map_or("a process", |process| process.name.as_str());
                Err(Failure::new(FailureKind::Bug, format!("{name} did not {what} within {within:?}")))
            }
        }
    }

    /// Takes events in and lets the warden watch, until the condition holds.
    async fn until(
        &mut self,
        within: Option<Duration>,
        shown: Option<Span>,
        condition: impl Fn(&Conductor) -> bool,
    ) -> Waited {
        let (began, deadline) = (Instant::now(), self.plan.lab.deadline);
        let deadline_ticks = clock::timebase().ticks(deadline.nanos());
        let mut watch = interval(WATCH_EVERY);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if condition(self) {
                return Waited::Met;
            }
            if self.stopped.is_some() && within.is_none() {
                return Waited::Stopped;
            }
            if within.is_some_and(|within| began.elapsed() >= within) {
                return Waited::TimedOut;
            }
            let due = [self.faults.next_due(), self.comebacks.next_due()].into_iter().flatten().min();
            tokio::select! {
                event = self.events.recv() => self.take(event),
                () = sleep_until(due.unwrap_or(began)), if due.is_some() => {}
                _ = watch.tick() => {
                    self.watch(deadline_ticks);
                    if self.externals.has_news() {
                        // Whoever cannot be told is gone, and its end arrives as an event.
                        drop(self.tell_participants().await);
                    }
                    if let Some(span) = shown {
                        let (glance, standstill) = (self.warden.glance(), self.standstill.as_ref());
                        self.progress.show(began.elapsed(), span.duration(), glance, standstill);
                    }
                }
            }
            self.carry_on().await;
        }
    }

    /// Does what is planned for now. What cannot be done ends the run.
    async fn carry_on(&mut self) {
        let mut done = self.disturb().await;
        if done.is_ok() {
            done = self.bring_back().await;
        }
        if let Err(failure) = done {
            self.stopped = self.stopped.or(Some(failure.kind));
            self.trouble = self.trouble.take().or(Some(failure));
        }
    }

    /// Takes in what comes within this time.
    async fn pump(&mut self, within: Duration) {
        if let Ok(event) = tokio::time::timeout(within, self.events.recv()).await {
            self.take(event);
        }
    }

    fn take(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Reply(_, Reply::HelperEnded { actor, status })) => self.helper_ended(actor, status),
            Some(Event::Reply(actor, reply)) => {
                if let Reply::Ready { helpers, .. } = &reply {
                    self.helpers_ready(actor, helpers);
                }
                if let Some(process) = self.processes.get_mut(&actor) {
                    let ready = matches!(reply, Reply::Ready { .. });
                    process.heard(reply);
                    let pid = process.pid;
                    if ready {
                        self.mark(actor, ProcessMarkKind::Ready, pid, 0);
                    }
                }
            }
            Some(Event::Ended(actor, status)) => self.ended(actor, status),
            Some(Event::Explained(actor, death)) => self.explained(actor, death.as_ref()),
            Some(Event::Interrupted) => self.stop(FailureKind::Interrupted, FaultKind::Interrupted),
            Some(Event::Aborted) => self.stop(FailureKind::Bug, FaultKind::Aborted),
            None => {}
        }
    }

    fn helper_ended(&mut self, actor: Actor, status: i32) {
        self.warden.forget(actor);
        let Some((pid, name, client)) =
            self.helpers.ended(actor).map(|helper| (helper.pid, helper.name.clone(), helper.client))
        else {
            return;
        };
        // With its client, or on its client's order, a helper ends in order.
        let alone = self.processes.get(&client).is_some_and(LabProcess::alive);
        if alone && !self.finishing {
            self.progress.note(&format!("{name} ended: {}", describe(status)));
        }
        self.mark(actor, ProcessMarkKind::Ended, pid, status);
        self.fault_target_died(actor);
    }

    fn ended(&mut self, actor: Actor, status: i32) {
        if let Some(words) = self.externals.ended(actor, status, &self.trace) {
            if !words.is_empty() {
                self.progress.note(&words);
            }
            return;
        }
        if self.helpers.get(actor).is_some() {
            return self.helper_ended(actor, status);
        }
        self.warden.forget(actor);
        self.helpers.end_of(actor, &self.report);
        let Some(process) = self.processes.get_mut(&actor) else { return };
        let (pid, orderly) = (process.pid, process.state == State::Closed && status == 0);
        if matches!(process.state, State::Starting) && process.failure.is_none() {
            let log = log_of(self.daemons.as_deref(), &self.folder, process.part());
            let words = last_line(&log).map(|line| format!(": {line}")).unwrap_or_default();
            process.failure = Some(format!("it ended at once, {}{words}", describe(status)));
        }
        // What a process says of itself is said once, as the run's failure.
        let explained = process.failure.is_some();
        process.ended(status);
        if !orderly && !explained {
            let text = format!("{} ended: {}", process.name, describe(status));
            self.progress.note(&text);
        }
        let (name, role) = (process.name.clone(), process.role);
        self.mark(actor, ProcessMarkKind::Ended, pid, status);
        if !orderly
            && !self.killed.contains(&actor)
            && let Some(daemon) = self.daemon(&name, role)
        {
            self.ask_why(actor, daemon, pid);
        }
        self.fault_target_died(actor);
        let Some(whom) = Returning::named(&self.plan.lab, &name) else { return };
        let of_itself = match whom {
            Returning::Client(place) => self.plan.lab.clients[place].restart,
            Returning::Daemon(_) => None,
        };
        if let Some(after) = self.faults.comes_back(&name).or(of_itself) {
            self.comebacks.plan(whom, after);
        }
    }

    /// Has the system's reason for a daemon's end looked up, while the lab goes on.
    fn ask_why(&mut self, actor: Actor, daemon: Daemon, pid: u32) {
        self.unexplained.insert(actor);
        let (report, since) = (self.report.clone(), self.began_at);
        tokio::spawn(async move {
            let death = daemon.death(pid, since).await;
            // The conductor may have ended first, and then nobody asks.
            drop(report.send(Event::Explained(actor, death)).await);
        });
    }

    /// Records a deadline kill that was the kernel's own act; any other reason is said.
    fn explained(&mut self, actor: Actor, death: Option<&Death>) {
        self.unexplained.remove(&actor);
        let name = self.processes.get(&actor).map(|process| process.name.clone()).unwrap_or_default();
        match death {
            Some(Death::DeadlineMissed) => {
                // Which decision it was the system does not say; the trace shows those that were pending.
                let (at, detail) = (clock::now(), u64::MAX);
                self.trace.fault(&Fault { at, kind: FaultKind::DeadlineKill, actor, detail });
                self.progress.note(&format!("{name} missed the kernel's deadline and was killed for it"));
            }
            Some(Death::Other { namespace, code }) => {
                self.progress.note(&format!("{name} was ended by the system: {namespace}, code {code}"));
            }
            None => {}
        }
    }

    /// Kills who is past the deadline, and ends a run that takes too long.
    fn watch(&mut self, deadline_ticks: u64) {
        let now = clock::now();
        for overdue in self.warden.overdue(now, deadline_ticks) {
            let detail = overdue.record.unwrap_or(u64::MAX);
            let fault = Fault { at: now, kind: FaultKind::DeadlineKill, actor: overdue.actor, detail };
            self.trace.fault(&fault);
            end(overdue.pid);
            self.killed.insert(overdue.actor);
            self.warden.forget(overdue.actor);
            if let Some(process) = self.processes.get(&overdue.actor) {
                let deadline = self.plan.lab.deadline;
                self.progress
                    .note(&format!("{} missed its deadline of {deadline} and is killed", process.name));
            }
        }
        if self.warden.looks_closely() {
            self.look_for_standstill(now);
        }
        let sight = Sight { now, deadline_ticks, trace: &self.trace, warden: &self.warden };
        for words in self.externals.look(&sight) {
            self.progress.note(&words);
        }
        if self.externals.has_failed() && self.stopped.is_none() {
            self.stop(FailureKind::Product, FaultKind::Aborted);
        }
        let run_max = clock::timebase().ticks(self.plan.lab.safety.run_max.nanos());
        if now.since(self.began) > run_max && self.stopped.is_none() {
            self.stop(FailureKind::Bug, FaultKind::RunTooLong);
            self.progress.note("the run takes longer than safety.run_max allows and is ended");
        }
        if let Err(error) = self.trace.grow() {
            tracing::debug!("the orchestrator's trace cannot grow: {error}");
        }
    }

    fn stop(&mut self, kind: FailureKind, fault: FaultKind) {
        // Whoever asks again has been heard.
        if self.stopped.is_some() {
            return;
        }
        self.stopped = Some(kind);
        self.trace.fault(&Fault { at: clock::now(), kind: fault, actor: Actor::ORCHESTRATOR, detail: 0 });
    }

    fn clients(&self) -> impl Iterator<Item = Actor> {
        self.processes.values().filter(|process| process.role == Role::Client).map(|process| process.actor)
    }

    /// True when there were clients and none is left.
    fn deserted(&self) -> bool {
        let mut clients = self.processes.values().filter(|process| process.role == Role::Client).peekable();
        let dead = clients.peek().is_some() && clients.all(|process| !process.alive());
        dead && self.comebacks.is_empty()
    }

    /// The clients that have not ended.
    fn living_clients(&self) -> Vec<Actor> {
        let clients = self.processes.values().filter(|process| process.role == Role::Client);
        clients.filter(|process| process.alive()).map(|process| process.actor).collect()
    }

    fn driver(&self) -> Option<&LabProcess> {
        self.processes.get(&DRIVER)
    }

    pub(super) fn mark(&self, actor: Actor, kind: ProcessMarkKind, pid: u32, status: i32) {
        self.trace.process(&ProcessMark { at: clock::now(), actor, kind, pid, status });
    }

    fn mark_phase(&self, phase: PhaseKind, begins: bool) {
        self.trace.phase(&PhaseMark { at: clock::now(), phase, begins });
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

/// Where a process writes what it says while it runs: a daemon's log is launchd's until the end.
fn log_of(daemons: Option<&Daemons>, folder: &RunFolder, part: Part<'_>) -> PathBuf {
    match (daemons, part.name.parse()) {
        (Some(daemons), Ok(client)) if part.role == Role::Client => daemons.places().log(&client),
        _ => folder.logs().join(format!("{}.log", part.file)),
    }
}

fn listen_for_signals(report: &mpsc::Sender<Event>) -> Result<(), Failure> {
    let ending: [(SignalKind, fn() -> Event); 4] = [
        (SignalKind::interrupt(), || Event::Interrupted),
        (SignalKind::terminate(), || Event::Interrupted),
        (SignalKind::hangup(), || Event::Interrupted),
        (SignalKind::user_defined1(), || Event::Aborted),
    ];
    for (kind, event) in ending {
        let mut signals = signal(kind)
            .map_err(|error| Failure::new(FailureKind::Bug, format!("cannot listen for signals: {error}")))?;
        let report = report.clone();
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                if report.send(event()).await.is_err() {
                    return;
                }
            }
        });
    }
    Ok(())
}

/// Ends the run when the launcher is gone: it holds the other end of the pipe that is standard input. On Linux the
/// kernel does that, and standard input is no pipe.
fn listen_for_the_launcher(report: &mpsc::Sender<Event>) -> Result<(), Failure> {
    let input = std::io::stdin().as_fd().try_clone_to_owned();
    let mut input = input.and_then(pipe::Receiver::from_owned_fd).map_err(|error| {
        Failure::new(FailureKind::Bug, format!("the launcher's end would go unnoticed: {error}"))
    })?;
    let report = report.clone();
    tokio::spawn(async move {
        // Nothing is ever written: this returns at the end, or with an error that means the same.
        drop(input.read_u8().await);
        drop(report.send(Event::Interrupted).await);
    });
    Ok(())
}
