//! What happens while a lab runs: taken in, in order, and acted upon.

use std::time::Duration;

use lab_bundle::Death;
use lab_model::{Actor, Span, Ticks};
use lab_process::clock;
use lab_protocol::Reply;
use lab_trace::{Fault, FaultKind, ProcessMarkKind, Unwatched};
use lab_workload::Participant;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::{
    Event,
    controller::Controller,
    daemon::Daemon,
    ending::{describe, end, last_line, process_failure},
    external::PollContext,
    process::{LabProcess, State},
    starting::log_of,
};
use crate::{Failure, FailureKind};

/// How often the warden looks.
const WATCH_EVERY: Duration = Duration::from_millis(5);

/// Looks that the warden may miss in a row before nobody watched. Fewer are what a busy machine does.
const LOOKS_MISSED: u32 = 10;

/// A gap in the warden's looks matters from this part of the deadline on: whoever is overdue is ended so much too late.
const PART_OF_DEADLINE: u64 = 10;

/// The ticks between two looks from which on nobody watched in between.
fn gap_ticks(deadline: Span) -> u64 {
    let looks = u64::try_from((WATCH_EVERY * LOOKS_MISSED).as_nanos()).unwrap_or(u64::MAX);
    clock::timebase().ticks(looks.max(deadline.nanos() / PART_OF_DEADLINE))
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
    /// Waits until every process has carried out its orders.
    pub(super) async fn all_settled(&mut self, within: Duration, what: &str) -> Result<(), Failure> {
        let settled = |controller: &Controller| {
            controller
                .processes
                .values()
                .all(|process| !matches!(process.state, State::Starting | State::Ordered))
        };
        let settled_or_stopped =
            |controller: &Controller| controller.stopped.is_some() || settled(controller);
        let waited = self.until(Some(within), None, settled_or_stopped).await;
        if let Some(process) = self.processes.values().find(|process| process.failure.is_some()) {
            let message = process.failure.clone().unwrap_or_default();
            return Err(process_failure(&process.name, &message));
        }
        match waited {
            WaitOutcome::Met | WaitOutcome::Stopped => match self.stopped {
                Some(FailureKind::Interrupted) if !settled(self) => {
                    Err(Failure::new(FailureKind::Interrupted, "interrupted"))
                }
                Some(kind) if !settled(self) => {
                    Err(Failure::new(kind, format!("a process did not {what} in time")))
                }
                _ => Ok(()),
            },
            WaitOutcome::TimedOut => {
                let slow =
                    self.processes.values().find(|p| matches!(p.state, State::Starting | State::Ordered));
                let name = slow.map_or("a process", |process| process.name.as_str());
                Err(Failure::new(FailureKind::Bug, format!("{name} did not {what} within {within:?}")))
            }
        }
    }

    /// Takes events in and lets the warden watch, until the condition holds.
    pub(super) async fn until(
        &mut self,
        within: Option<Duration>,
        shown: Option<Span>,
        condition: impl Fn(&Controller) -> bool,
    ) -> WaitOutcome {
        let (began, deadline) = (Instant::now(), self.plan.lab.deadline);
        let deadline_ticks = clock::timebase().ticks(deadline.nanos());
        let mut watch = interval(WATCH_EVERY);
        watch.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if condition(self) {
                return WaitOutcome::Met;
            }
            if self.stopped.is_some() && within.is_none() {
                return WaitOutcome::Stopped;
            }
            if within.is_some_and(|within| began.elapsed() >= within) {
                return WaitOutcome::TimedOut;
            }
            let due = [self.faults.planned.next_due(), self.restarts.next_due()].into_iter().flatten().min();
            let due = due.map(|due| self.stopwatch.at(due));
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
                        let (snapshot, standstill) = (self.warden.snapshot(), self.standstill.as_ref());
                        self.progress.show(began.elapsed(), span.duration(), snapshot, standstill);
                    }
                }
            }
            self.carry_on().await;
        }
    }

    /// Does what is planned for now. What cannot be done ends the run.
    pub(super) async fn carry_on(&mut self) {
        let mut done = self.apply_due_faults().await;
        if done.is_ok() {
            done = self.advance_restarts().await;
        }
        if let Err(failure) = done {
            self.fail(failure);
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.stopped = self.stopped.or(Some(failure.kind));
        self.trouble = self.trouble.take().or(Some(failure));
    }

    /// Takes in what comes within this time.
    pub(super) async fn pump(&mut self, within: Duration) {
        if let Ok(event) = tokio::time::timeout(within, self.events.recv()).await {
            self.take(event);
        }
    }

    pub(super) fn take(&mut self, event: Option<Event>) {
        match event {
            Some(Event::Reply(_, Reply::HelperEnded { actor, status })) => self.helper_ended(actor, status),
            Some(Event::Reply(client, Reply::HelperStarted(helper))) => self.helper_started(client, &helper),
            Some(Event::Reply(client, Reply::HelperFailed { actor: _, message })) => {
                let client = self.processes.get(&client).map_or("a client", |process| process.name.as_str());
                self.fail(process_failure(client, &message));
            }
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

    pub(super) fn helper_ended(&mut self, actor: Actor, status: i32) {
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
        let back = self.faults.planned.comes_back(&name).filter(|_| alone);
        if let (Some(after), Some(whom)) = (back, Participant::named(&self.plan.lab, &name)) {
            self.restarts.plan(whom, after, self.stopwatch.now());
        }
    }

    pub(super) fn ended(&mut self, actor: Actor, status: i32) {
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
        let Some(whom) = Participant::named(&self.plan.lab, &name) else { return };
        let of_itself = match whom {
            Participant::Client(place) => {
                self.restarts.client_died(place);
                self.plan.lab.clients[place].restart
            }
            Participant::Daemon(_) | Participant::Helper(..) => None,
        };
        if let Some(after) = self.faults.planned.comes_back(&name).or(of_itself) {
            self.restarts.plan(whom, after, self.stopwatch.now());
        }
    }

    /// Has the system's reason for a daemon's end looked up, while the lab goes on.
    pub(super) fn ask_why(&mut self, actor: Actor, daemon: Daemon, pid: u32) {
        self.unexplained.insert(actor);
        let (report, since) = (self.report.clone(), self.began_at);
        tokio::spawn(async move {
            let death = daemon.death(pid, since).await;
            // The controller may have ended first, and then nobody asks.
            drop(report.send(Event::Explained(actor, death)).await);
        });
    }

    /// Records a deadline kill that was the kernel's own act; any other reason is said.
    pub(super) fn explained(&mut self, actor: Actor, death: Option<&Death>) {
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
    pub(super) fn watch(&mut self, deadline_ticks: u64) {
        let now = clock::now();
        self.note_gap(now);
        self.looked = self.warden.has_clients().then_some(now);
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
        let context = PollContext { now, deadline_ticks, trace: &self.trace, warden: &self.warden };
        for words in self.externals.look(&context) {
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

    /// Records a time in which the warden did not look, although there were clients to look at.
    pub(super) fn note_gap(&self, now: Ticks) {
        let deadline = self.plan.lab.deadline;
        let Some(from) = self.looked.filter(|&from| now.since(from) >= gap_ticks(deadline)) else { return };
        self.trace.unwatched(&Unwatched { from, until: now });
        let lasted = Span::from_nanos(clock::timebase().nanoseconds(now.since(from)));
        let seconds = lasted.duration().as_secs_f64();
        // Where the kernel keeps the deadlines, it has kept them meanwhile.
        let deadlines = if cfg!(target_os = "macos") { "" } else { ", and no deadline was enforced" };
        self.progress.note(&format!("nobody watched the clients for {seconds:.2} s{deadlines}"));
    }

    pub(super) fn stop(&mut self, kind: FailureKind, fault: FaultKind) {
        // Whoever asks again has been heard.
        if self.stopped.is_some() {
            return;
        }
        self.stopped = Some(kind);
        self.trace.fault(&Fault { at: clock::now(), kind: fault, actor: Actor::ORCHESTRATOR, detail: 0 });
    }
}
