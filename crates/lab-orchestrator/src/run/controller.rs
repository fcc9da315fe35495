//! The controller: the event loop of a run. It has every part of the run, takes in what happens in order, lets the warden
//! watch, and does what the parts say is due. Each part keeps its own state; nothing below this file knows it.

use std::time::Duration;

use lab_bundle::Death;
use lab_model::{Actor, FaultStage, Span};
use lab_process::clock;
use lab_protocol::{HelperReady, Order, Reply};
use lab_trace::{FaultKind, Unwatched};
use lab_workload::{FaultStep, Participant, PendingChange, Target};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    actors::{HelperPlace, participant_name},
    arena,
    channels::connect_daemon,
    context::Context,
    ending::{ProcessFailure, describe},
    event::Event,
    external::{Externals, PollContext},
    faults::{FaultEffect, Faults},
    kernel_threads::KernelThreads,
    lifecycle::Lifecycle,
    load::LoadRecorder,
    looks::{Looks, WATCH_EVERY, unwatched_words},
    overdue::{self, Enforcement},
    participants::{start_client, start_daemon, start_helper, watch_client, watch_daemon, watch_helper},
    privileges::give_up_privileges,
    process::{LabProcess, State},
    processes::Processes,
    progress::Progress,
    restarts::{RestartStep, Restarts},
    signals::{listen_for_signals, listen_for_the_launcher},
    standstill::{Scene, StandstillWatch},
    stopwatch::Stopwatch,
    waits::{self, WaitsRecorder},
    warden::{ProgressSnapshot, Warden},
};
use crate::{Failure, FailureKind, Plan, RunFolder};

/// All parts of a run. Only the event loop and the sequence of a run (its phases, the start, the end) have them all.
pub(super) struct Controller {
    pub(super) context: Context,
    pub(super) processes: Processes,
    pub(super) externals: Externals,
    pub(super) faults: Faults,
    pub(super) restarts: Restarts,
    pub(super) warden: Warden,
    pub(super) progress: Progress,
    pub(super) lifecycle: Lifecycle,
    pub(super) load: LoadRecorder,
    events: mpsc::Receiver<Event>,
    looks: Looks,
    kernel_threads: KernelThreads,
    standstill: StandstillWatch,
    pub(super) waits: WaitsRecorder,
    pub(super) enforcement: Enforcement,
    stopwatch: Stopwatch,
}

/// Why waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitOutcome {
    /// What was waited for has come.
    Met,
    /// The time was over.
    TimedOut,
    /// The user or the warden wants the run to end.
    Stopped,
}

impl Controller {
    /// Sets the arena up and the trace, and starts listening for signals.
    pub(super) fn begin(plan: Plan, folder: RunFolder) -> Result<Controller, Failure> {
        let (report, events) = mpsc::channel(1024);
        let context = Context::begin(plan, folder, report)?;
        let (plan, folder) = (context.plan(), context.folder());
        arena::fill(&folder.arena(), &plan.lab, &plan.driver)
            .map_err(|error| Failure::output("cannot fill the arena", &error))?;
        let externals = Externals::prepare(plan, folder)?;
        give_up_privileges(plan)?;
        listen_for_signals(context.events())?;
        let daemons = plan.clients_are.daemons();
        if daemons.is_some() && lab_process::platform::IS_MAC {
            listen_for_the_launcher(context.events())?;
        }
        let waits = WaitsRecorder::begin(folder, context.lab())?;
        Ok(Controller {
            processes: Processes::new(daemons),
            externals,
            faults: Faults::of(&plan.lab),
            restarts: Restarts::of(&plan.lab),
            warden: Warden::default(),
            progress: Progress::new(plan.terminal),
            lifecycle: Lifecycle::default(),
            load: LoadRecorder::default(),
            events,
            looks: Looks::default(),
            kernel_threads: KernelThreads::of(&plan.lab),
            standstill: StandstillWatch::default(),
            waits,
            enforcement: Enforcement::default(),
            stopwatch: Stopwatch::start(),
            context,
        })
    }

    /// Takes events in and lets the warden watch, until the condition holds.
    pub(super) async fn until(
        &mut self,
        within: Option<Duration>,
        shown: Option<Span>,
        condition: impl Fn(&Controller) -> bool,
    ) -> WaitOutcome {
        let began = Instant::now();
        let mut watch = interval(WATCH_EVERY);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if condition(self) {
                return WaitOutcome::Met;
            }
            if self.lifecycle.is_stopped() && within.is_none() {
                return WaitOutcome::Stopped;
            }
            if within.is_some_and(|within| began.elapsed() >= within) {
                return WaitOutcome::TimedOut;
            }
            let due = [self.faults.next_due(), self.restarts.next_due()].into_iter().flatten().min();
            let due = due.map(|due| self.stopwatch.at(due));
            tokio::select! {
                event = self.events.recv() => self.take(event),
                () = sleep_until(due.unwrap_or(began)), if due.is_some() => {}
                _ = watch.tick() => {
                    self.watch();
                    if self.externals.has_news() {
                        // Whoever cannot be told is gone, and its end arrives as an event.
                        drop(self.tell_participants().await);
                    }
                    if let Some(span) = shown {
                        let snapshot = self.warden.snapshot();
                        self.progress.show(began.elapsed(), span.duration(), snapshot, self.standstill.current());
                    }
                }
            }
            self.carry_on().await;
        }
    }

    /// Takes in what comes within this time.
    pub(super) async fn pump(&mut self, within: Duration) {
        if let Ok(event) = tokio::time::timeout(within, self.events.recv()).await {
            self.take(event);
        }
    }

    /// What the boards show now.
    pub(super) fn snapshot(&self) -> ProgressSnapshot {
        self.warden.snapshot()
    }

    /// The run is to end.
    pub(super) fn stop(&mut self, kind: FailureKind, fault: FaultKind) {
        if self.lifecycle.stop(kind) {
            self.context.fault(fault, Actor::ORCHESTRATOR, 0);
        }
    }

    /// The warden looks at clients for the last time.
    pub(super) fn end_looks(&mut self) {
        let gap = self.looks.end(clock::now(), self.context.lab().deadline);
        self.note_gap(gap);
    }

    /// The times of planned faults count from now.
    pub(super) fn storm_begins(&mut self) {
        self.faults.storm_begins(self.stopwatch.now());
    }

    /// Takes back whatever is still in effect.
    pub(super) async fn end_faults(&mut self) -> Result<(), Failure> {
        for place in 0..self.context.lab().faults.len() {
            let steps = self.faults.end(place);
            self.take_fault_steps(steps).await?;
        }
        Ok(())
    }

    /// Tells every client which threads belong to whom.
    pub(super) async fn tell_participants(&mut self) -> Result<(), Failure> {
        let threads = self.externals.threads().collect();
        let names = self.externals.names().collect();
        self.processes.tell_participants(threads, names).await
    }

    /// Does what is planned for now. What cannot be done ends the run.
    async fn carry_on(&mut self) {
        let mut done = self.apply_due_faults().await;
        if done.is_ok() {
            done = self.advance_restarts().await;
        }
        if let Err(failure) = done {
            self.lifecycle.fail(failure);
        }
    }

    /// Begins and ends the faults whose time has come, and notes who follows what it was told.
    async fn apply_due_faults(&mut self) -> Result<(), Failure> {
        for (place, begins) in self.faults.all_due(self.stopwatch.now()) {
            let steps = if begins {
                let target = self.fault_target(place);
                self.faults.begin(place, self.stopwatch.now(), target)
            } else {
                self.faults.end(place)
            };
            self.take_fault_steps(steps).await?;
        }
        let is_idle = |by| self.processes.get(by).is_some_and(|process| process.state() == State::Idle);
        self.faults.note_followers(&self.context, is_idle);
        Ok(())
    }

    /// Whether the one whom a fault is about is there.
    fn fault_target(&self, place: usize) -> Target {
        let on = self.faults.on(place);
        match self.processes.alive_by_name(on) {
            Some((actor, _)) => Target::Present(actor),
            None => {
                let whom = Participant::named(self.context.lab(), on);
                let returns = whom.is_some_and(|whom| self.restarts.expects(whom));
                if returns { Target::Returning } else { Target::Gone }
            }
        }
    }

    async fn take_fault_steps(&mut self, steps: Vec<FaultStep>) -> Result<(), Failure> {
        for effect in self.faults.take(&self.context, &self.processes, steps).await? {
            match effect {
                FaultEffect::Say(words) => self.progress.note(&words),
                FaultEffect::Tell { place, then } => self.tell_target(place, then).await?,
            }
        }
        Ok(())
    }

    /// Tells whom a fault is about how to behave, or to serve, now.
    async fn tell_target(&mut self, place: usize, then: FaultStage) -> Result<(), Failure> {
        let on = self.faults.on(place).to_owned();
        let Some((actor, _)) = self.processes.alive_by_name(&on) else { return Ok(()) };
        let client = self.context.lab().clients.iter().position(|client| client.id.as_str() == on);
        let by = match client {
            Some(client) => {
                self.order_behavior(actor, client).await?;
                actor
            }
            None => self.order_service(actor, &on).await?,
        };
        self.faults.await_change(PendingChange { place, actor, by, then });
        Ok(())
    }

    /// Gives a client's process the behaviour that is due.
    pub(super) async fn order_behavior(&mut self, actor: Actor, client: usize) -> Result<(), Failure> {
        let behavior = Box::new(self.faults.behavior_due(self.context.lab(), client));
        self.processes.order(actor, &Order::Behave { behavior }).await
    }

    /// Tells a helper or a daemon how to serve now; returns who is to say that it is so.
    async fn order_service(&mut self, actor: Actor, name: &str) -> Result<Actor, Failure> {
        match self.faults.service_due(self.context.lab(), name) {
            Some(service) => self.processes.order_service(actor, service).await,
            None => Ok(actor),
        }
    }

    /// Takes each who is on its way back one step further, as far as that is possible now.
    async fn advance_restarts(&mut self) -> Result<(), Failure> {
        for restart in self.restarts.take() {
            let (processes, faults) = (&self.processes, &self.faults);
            let ready = |whom, actor| processes.readiness(whom, actor);
            // Who is stopped hears of it before it goes on.
            let has_heard = |process: &LabProcess| {
                process.state() != State::Ordered || faults.stands_still(process.name())
            };
            let all_told = || processes.iter().all(has_heard);
            match self.restarts.advance(restart, self.stopwatch.now(), ready, all_told) {
                None => {}
                Some(RestartStep::Start(whom, actor)) => self.start_again(whom, actor).await?,
                Some(RestartStep::Announce(whom, actor)) => self.announce_again(whom, actor).await?,
                Some(RestartStep::Behave(whom, actor)) => self.behave_again(whom, actor).await?,
            }
        }
        Ok(())
    }

    async fn start_again(&mut self, whom: Participant, actor: Actor) -> Result<(), Failure> {
        let Controller { context, processes, restarts, .. } = self;
        self.progress.note(&format!("{} is started again", participant_name(context.lab(), whom)));
        match whom {
            Participant::Client(place) => start_client(context, processes, restarts, place, actor).await,
            Participant::Daemon(place) => start_daemon(context, processes, restarts, place, actor).await,
            Participant::Helper(client, number) => {
                let helper = HelperPlace { client, number };
                start_helper(context, processes, restarts, helper, actor).await
            }
        }
    }

    /// Once it is ready, the warden watches it and everybody is told of its threads.
    async fn announce_again(&mut self, whom: Participant, actor: Actor) -> Result<(), Failure> {
        let Controller { context, processes, warden, .. } = self;
        match whom {
            Participant::Client(_) => watch_client(context, processes, warden, actor)?,
            Participant::Daemon(place) => {
                watch_daemon(context, processes, warden, actor)?;
                connect_daemon(context.lab(), processes, place, actor).await?;
            }
            Participant::Helper(..) => watch_helper(context, processes, warden, actor)?,
        }
        self.tell_participants().await
    }

    /// Once everybody knows it, it takes the behaviour that is due.
    async fn behave_again(&mut self, whom: Participant, actor: Actor) -> Result<(), Failure> {
        let name = participant_name(self.context.lab(), whom);
        match whom {
            Participant::Client(place) if self.lifecycle.is_behaving() => {
                self.order_behavior(actor, place).await?;
                let helpers = self.processes.living_helpers().filter(|(_, helper)| helper.client() == actor);
                let helpers: Vec<_> =
                    helpers.map(|(actor, helper)| (actor, helper.name().to_owned())).collect();
                for (helper, name) in helpers {
                    self.order_service(helper, &name).await?;
                }
                Ok(())
            }
            Participant::Client(_) => Ok(()),
            Participant::Daemon(_) => {
                self.order_service(actor, &name).await?;
                self.processes.order(actor, &Order::Serve).await
            }
            Participant::Helper(..) => {
                let client = self.order_service(actor, &name).await?;
                self.processes.order(client, &Order::Engage { helper: actor }).await
            }
        }
    }

    fn take(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Reply(actor, reply)) => self.heard(actor, reply),
            Some(Event::Ended(actor, status)) => self.ended(actor, status),
            Some(Event::Explained(actor, death)) => self.explained(actor, death.as_ref()),
            Some(Event::Interrupted) => self.stop(FailureKind::Interrupted, FaultKind::Interrupted),
            Some(Event::Aborted) => self.stop(FailureKind::Bug, FaultKind::Aborted),
            None => {}
        }
    }

    fn heard(&mut self, actor: Actor, reply: Reply) {
        match &reply {
            Reply::HelperEnded { actor: helper, status } => return self.helper_ended(*helper, *status),
            Reply::HelperStarted(helper) => {
                if let Some(number) = self.processes.expected_helper(helper.actor) {
                    self.helper_ready(actor, number, helper);
                }
                return;
            }
            Reply::HelperFailed { actor: _, message, reason } => {
                let client = self.processes.get(actor).map_or("a client", LabProcess::name);
                self.lifecycle.fail(ProcessFailure::said(message.clone(), *reason, None).of(client));
                return;
            }
            Reply::Ready { helpers, .. } => {
                for (helper, number) in helpers.iter().zip(0..) {
                    self.helper_ready(actor, number, helper);
                }
            }
            _ => {}
        }
        self.processes.heard(&self.context, actor, reply);
    }

    fn helper_ready(&mut self, client: Actor, number: u16, ready: &HelperReady) {
        let name = self.processes.get(client).map(LabProcess::name);
        let whom = name.and_then(|name| Participant::named(self.context.lab(), name));
        let Some(Participant::Client(place)) = whom else { return };
        let nth = self.restarts.process(Participant::Helper(place, number));
        let helper = HelperPlace { client: place, number };
        self.processes.helper_ready(&self.context, client, helper, nth, ready);
    }

    fn helper_ended(&mut self, actor: Actor, status: i32) {
        self.warden.forget(actor);
        let Some(ended) = self.processes.helper_ended(&self.context, actor, status) else { return };
        if ended.alone && !self.lifecycle.is_finishing() {
            self.progress.note(&format!("{} ended: {}", ended.name, describe(status)));
        }
        self.faults.target_died(&self.context, actor);
        let back = self.faults.comes_back(&ended.name).filter(|_| ended.alone);
        if let (Some(after), Some(whom)) = (back, Participant::named(self.context.lab(), &ended.name)) {
            self.restarts.plan(whom, after, self.stopwatch.now());
        }
    }

    fn ended(&mut self, actor: Actor, status: i32) {
        if let Some(words) = self.externals.ended(actor, status, self.context.trace()) {
            if !words.is_empty() {
                self.progress.note(&words);
            }
            return;
        }
        if self.processes.helper(actor).is_some() {
            return self.helper_ended(actor, status);
        }
        self.warden.forget(actor);
        let Some(ended) = self.processes.ended(&self.context, actor, status) else { return };
        if let Some(words) = ended.words {
            self.progress.note(&words);
        }
        self.faults.target_died(&self.context, actor);
        let Some(whom) = Participant::named(self.context.lab(), &ended.name) else { return };
        let of_itself = match whom {
            Participant::Client(place) => {
                self.restarts.client_died(place);
                self.context.lab().clients[place].restart
            }
            Participant::Daemon(_) | Participant::Helper(..) => None,
        };
        if let Some(after) = self.faults.comes_back(&ended.name).or(of_itself) {
            self.restarts.plan(whom, after, self.stopwatch.now());
        }
    }

    fn explained(&mut self, actor: Actor, death: Option<&Death>) {
        if let Some(words) = self.processes.explained(&self.context, actor, death) {
            self.progress.note(&words);
        }
    }

    /// Kills who is past the deadline, and ends a run that takes too long.
    pub(super) fn watch(&mut self) {
        let (now, deadline_ticks) = (clock::now(), self.context.deadline_ticks());
        let gap = self.looks.look(now, self.warden.has_clients(), self.context.lab().deadline);
        self.note_gap(gap);
        overdue::end_overdue(self, now, deadline_ticks);
        if self.warden.looks_closely() {
            let Controller { processes, faults, warden, .. } = self;
            let scene = Scene { lab: self.context.lab(), processes, faults, warden };
            let something_waits = scene.something_waits(now);
            let seen = self.waits.seen(now).filter(|_| something_waits).map(|(_, seen)| seen);
            self.standstill.look(&scene, now, something_waits, seen.as_ref());
            for words in self.enforcement.not_ended(now, seen.as_ref()) {
                self.progress.note(&words);
            }
            if something_waits {
                self.waits.look(|| waits::members(&self.processes, &self.externals, &self.warden));
            }
            self.progress.stands(self.standstill.current());
        }
        let trace = self.context.trace();
        self.kernel_threads.look(now, trace);
        let context = PollContext { now, deadline_ticks, trace, warden: &self.warden };
        for words in self.externals.look(&context) {
            self.progress.note(&words);
        }
        if self.externals.has_failed() {
            self.stop(FailureKind::Product, FaultKind::Aborted);
        }
        let run_max = clock::timebase().ticks(self.context.lab().safety.run_max.nanos());
        if now.since(self.context.began()) > run_max && !self.lifecycle.is_stopped() {
            self.stop(FailureKind::Bug, FaultKind::RunTooLong);
            self.progress.note("the run takes longer than safety.run_max allows and is ended");
        }
        if let Err(error) = self.context.trace().grow() {
            tracing::debug!("the orchestrator's trace cannot grow: {error}");
        }
    }

    /// Nobody looks any more who waits for whom.
    pub(super) fn end_waits(&mut self) {
        self.waits.end();
    }

    /// Records a time in which the warden did not look, although there were clients to look at.
    fn note_gap(&self, gap: Option<Unwatched>) {
        if let Some(gap) = gap {
            self.context.trace().unwatched(&gap);
            self.progress.note(&unwatched_words(&gap));
        }
    }
}
