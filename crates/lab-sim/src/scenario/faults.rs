//! Planned faults: the course that a live run's controller takes, in virtual time.
//!
//! The same steps are recorded at the same turns, so that the analysis of live runs shades what was disturbed and
//! counts what a dead client approved. What a fault costs nobody measured is not modelled: a signal, a change of
//! behaviour and a limit take effect at once, but a thread finishes its piece of work first.

use std::{collections::BTreeMap, ops::Range};

use lab_model::{
    Actor, Behavior, Effect, Expectation, FaultAction, FaultStage, Lab, PlannedFault, Ticks, Verdict,
};
use lab_trace::{Fault, FaultKind, Loss, LossKind, PlannedStep};
use lab_workload::{FaultStep, Participant, PendingChange, Restarts};

use crate::{
    Kernel, Sink,
    hardware::agenda::SimEvent,
    machine::{Machine, NONE, State, Step},
};

/// What a process has open beside its events and files: standard streams, the control connection, its trace, the
/// kernel's queue. Assumed.
const DESCRIPTORS_OPEN: usize = 12;

/// To whom a fault is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Client(usize),
    Driver,
    /// A helper or a daemon.
    WorkerProcess(usize),
}

/// All planned faults, the clients and daemons on their way back, and what the faults do to the machine.
#[derive(Debug)]
pub(crate) struct Faults {
    planned: lab_workload::Faults,
    pub(crate) restarts: Restarts,
    /// The threads of the loads on the processors, by the fault that they are.
    loads: BTreeMap<usize, Range<u32>>,
    /// The clients behave as the lab file says, no longer as the control does.
    pub(crate) behaving: bool,
    /// How many files a process may have open, while that is limited.
    descriptors_max: BTreeMap<Actor, u32>,
}

impl Faults {
    pub(crate) fn of(lab: &Lab) -> Faults {
        let mut restarts = Restarts::default();
        restarts.allow();
        Faults {
            planned: lab_workload::Faults::of(lab),
            restarts,
            loads: BTreeMap::new(),
            behaving: false,
            descriptors_max: BTreeMap::new(),
        }
    }

    /// How long after its death somebody whom a fault has killed is to come back; asked once.
    pub(crate) fn comes_back(&mut self, name: &str) -> Option<lab_model::Span> {
        self.planned.comes_back(name)
    }
}

/// True for a fault on a helper or a daemon that is not modelled: a helper that comes back without its client.
pub(crate) fn is_strange_to_workers(fault: &PlannedFault) -> bool {
    PlannedFault::helper_of(&fault.on).is_some() && fault.action.brings_back()
}

/// Drops the faults on whoever no longer takes part in a lab that has lost clients, and what is expected of them.
pub(crate) fn drop_strangers(lab: &mut Lab) {
    let mut faults = std::mem::take(&mut lab.faults);
    let takes_part = |name: &str| {
        let client = PlannedFault::helper_of(name).map_or(name, |(client, _)| client);
        let daemon = lab.daemons.iter().any(|daemon| daemon.id.as_str() == name);
        let clients = lab.clients.iter().any(|one| one.id.as_str() == client);
        daemon || clients || [PlannedFault::DRIVER, PlannedFault::MACHINE].contains(&client)
    };
    faults.retain_mut(|fault| match &mut fault.action {
        // Without a name it would be everybody's.
        FaultAction::Freeze { names, .. } if !names.is_empty() => {
            names.retain(|name| takes_part(name));
            if let [one] = names.as_slice() {
                fault.on = one.clone();
            }
            !names.is_empty()
        }
        _ => takes_part(&fault.on),
    });
    lab.faults = faults;
    let clients: Vec<&str> = lab.clients.iter().map(|client| client.id.as_str()).collect();
    let there = |expectation: &Expectation| {
        let of_client = expectation.metric.strip_prefix("clients.").and_then(|rest| rest.split('.').next());
        of_client.is_none_or(|client| clients.contains(&client))
    };
    lab.expect.retain(there);
    lab.hold.retain(there);
}

impl<S: Sink> Machine<'_, S> {
    /// The storm begins: times count from now.
    pub(crate) fn plan_faults(&mut self) {
        self.faults.planned.storm_begins(self.now);
        for place in 0..self.lab.faults.len() {
            if let Some(at) = self.faults.planned.due(place) {
                let place = u32::try_from(place).unwrap_or(NONE);
                self.agenda.enter(at, SimEvent::FaultBegins { place });
            }
        }
    }

    /// The storm is over: what has not begun never will.
    pub(crate) fn no_more_faults(&mut self) {
        let steps = self.faults.planned.storm_ends();
        self.take_fault_steps(steps);
    }

    /// The run ends: takes back what is still in effect, and nobody comes back any more.
    pub(crate) fn end_faults(&mut self) {
        for place in 0..self.lab.faults.len() {
            self.fault_ends(place);
        }
        self.faults.restarts.stop();
    }

    /// True while something is still planned to happen: a fault's end, or somebody's return.
    pub(crate) fn more_is_planned(&self) -> bool {
        self.faults.planned.any_active() || !self.faults.restarts.is_empty()
    }

    fn client_named(&self, name: &str) -> Option<usize> {
        self.lab.clients.iter().position(|client| client.id.as_str() == name)
    }

    /// The living process of this name.
    fn target(&self, name: &str) -> Option<(Target, Actor)> {
        if name == PlannedFault::DRIVER {
            return Some((Target::Driver, self.driver.actor));
        }
        if let Some(client) = self.client_named(name) {
            let state = &self.clients[client];
            return state.alive.then_some((Target::Client(client), state.actor));
        }
        // The latest of this name: a client that came back has brought others.
        let place = self.worker_processes.iter().rposition(|one| one.name == name && one.alive)?;
        Some((Target::WorkerProcess(place), self.worker_processes[place].actor))
    }

    /// The living process with this number.
    fn process(&self, actor: Actor) -> Option<Target> {
        if actor == self.driver.actor {
            return Some(Target::Driver);
        }
        let client = self.clients.iter().position(|client| client.actor == actor && client.alive);
        let worker_process = || self.worker_processes.iter().position(|one| one.actor == actor && one.alive);
        client.map(Target::Client).or_else(|| worker_process().map(Target::WorkerProcess))
    }

    pub(crate) fn fault_begins(&mut self, place: usize) {
        let on = &self.lab.faults[place].on;
        let target = match self.target(on) {
            Some((_, actor)) => lab_workload::Target::Present(actor),
            None => {
                let whom = Participant::named(self.lab, on);
                let returns = whom.is_some_and(|whom| self.faults.restarts.expects(whom));
                if returns { lab_workload::Target::Returning } else { lab_workload::Target::Gone }
            }
        };
        let steps = self.faults.planned.begin(place, self.now, target);
        self.take_fault_steps(steps);
    }

    pub(crate) fn fault_ends(&mut self, place: usize) {
        let steps = self.faults.planned.end(place);
        self.take_fault_steps(steps);
    }

    fn take_fault_steps(&mut self, steps: Vec<FaultStep>) {
        for step in steps {
            match step {
                FaultStep::Record { place, actor, stage } => {
                    self.record_step(place, actor, stage);
                    if stage == FaultStage::Begins
                        && let Some(until) = self.faults.planned.due(place)
                    {
                        let place = u32::try_from(place).unwrap_or(NONE);
                        self.agenda.enter(until, SimEvent::FaultEnds { place });
                    }
                }
                FaultStep::Begin { place, actor, effect } => self.begin_effect(place, actor, effect),
                FaultStep::End { place, actor, effect } => self.end_effect(place, actor, effect),
                FaultStep::Tell { place, then } => self.tell(place, then),
            }
        }
    }

    fn record_step(&mut self, place: usize, actor: Actor, stage: FaultStage) {
        let kind = FaultKind::Planned(self.lab.faults[place].action.kind());
        let step = PlannedStep { place: u32::try_from(place).unwrap_or(u32::MAX), stage };
        let fault = Fault { at: Ticks(self.now), kind, actor, detail: step.detail() };
        self.sink.fault(Actor::ORCHESTRATOR, &fault);
    }

    fn begin_effect(&mut self, place: usize, actor: Actor, effect: Effect) {
        match (effect, self.process(actor)) {
            (Effect::Standstill(_), _) => {
                for (target, _) in self.standing(place, actor) {
                    self.stop(target);
                }
            }
            (Effect::Death { .. }, Some(Target::Client(client))) => self.kill(client),
            (Effect::Death { .. }, Some(Target::WorkerProcess(place))) => self.kill_outsider(place),
            (Effect::Load { threads }, _) => self.load(place, threads),
            (Effect::Descriptors { limit }, _) => {
                self.faults.descriptors_max.insert(actor, limit);
            }
            // Nobody kills the driver, and who is gone is past everything.
            (Effect::Death { .. } | Effect::Behavior, _) => {}
        }
    }

    /// Whom a fault makes stand still, with their names: one process, or all living ones that it covers.
    fn standing(&self, place: usize, actor: Actor) -> Vec<(Target, String)> {
        let fault = &self.lab.faults[place];
        if actor != Actor::UNKNOWN {
            return self.process(actor).into_iter().map(|target| (target, fault.on.clone())).collect();
        }
        let clients = self.lab.clients.iter().enumerate().filter(|(place, _)| self.clients[*place].alive);
        let clients = clients.map(|(place, client)| (Target::Client(place), client.id.to_string()));
        let worker_processes =
            self.worker_processes.iter().enumerate().filter(|(_, worker_process)| worker_process.alive);
        let worker_processes = worker_processes
            .map(|(place, worker_process)| (Target::WorkerProcess(place), worker_process.name.clone()));
        let driver = [(Target::Driver, PlannedFault::DRIVER.to_owned())];
        clients.chain(worker_processes).chain(driver).filter(|(_, name)| fault.covers(name)).collect()
    }

    fn end_effect(&mut self, place: usize, actor: Actor, effect: Effect) {
        match effect {
            Effect::Standstill(means) => {
                for (target, name) in self.standing(place, actor) {
                    // What the other means has stopped stays so.
                    if !self.faults.planned.stands_still(&name, Some(means.other())) {
                        self.go_on(target);
                    }
                }
            }
            Effect::Load { .. } => {
                for thread in self.faults.loads.remove(&place).into_iter().flatten() {
                    self.threads[thread as usize].state = State::Dead;
                }
            }
            Effect::Descriptors { .. } => {
                self.faults.descriptors_max.remove(&actor);
            }
            Effect::Death { .. } | Effect::Behavior => {}
        }
    }

    /// The threads of a process, by their places.
    fn threads_of(&self, target: Target) -> Vec<u32> {
        match target {
            Target::Client(client) => {
                let client = u32::try_from(client).unwrap_or(NONE);
                let threads = (0_u32..).zip(&self.threads);
                threads.filter(|(_, thread)| thread.client == client).map(|(place, _)| place).collect()
            }
            Target::Driver => self.driver.workers.iter().map(|worker| worker.thread).collect(),
            Target::WorkerProcess(place) => {
                let (first, count) = self.worker_processes[place].threads;
                (first..first + u32::from(count)).collect()
            }
        }
    }

    /// Stops a process. What a thread is just doing it finishes.
    fn stop(&mut self, target: Target) {
        for thread in self.threads_of(target) {
            self.threads[thread as usize].stopped = true;
        }
    }

    fn go_on(&mut self, target: Target) {
        let actor = match target {
            Target::Client(client) => self.clients[client].actor,
            Target::Driver => self.driver.actor,
            Target::WorkerProcess(place) => self.worker_processes[place].actor,
        };
        let threads = self.threads_of(target);
        for &thread in &threads {
            self.threads[thread as usize].stopped = false;
        }
        for told in self.faults.planned.following(|by| by == actor) {
            self.follow(told);
        }
        for thread in threads {
            let state = &mut self.threads[thread as usize].state;
            if *state == State::Stopped {
                *state = State::Blocked;
                self.wake(thread);
            }
        }
    }

    fn is_stopped(&self, actor: Actor) -> bool {
        let thread = match self.process(actor) {
            Some(Target::Client(client)) => self.clients[client].reader,
            Some(Target::WorkerProcess(place)) => self.worker_processes[place].threads.0,
            Some(Target::Driver) | None => return false,
        };
        self.threads[thread as usize].stopped
    }

    /// Tells a participant how to work now, if it is there. A stopped one does not hear of it before it goes on.
    fn tell(&mut self, place: usize, then: FaultStage) {
        let Some((target, actor)) = self.target(&self.lab.faults[place].on) else { return };
        // A helper's client tells the helper.
        let by = match target {
            Target::WorkerProcess(place) if self.worker_processes[place].client != NONE => {
                self.clients[self.worker_processes[place].client as usize].actor
            }
            _ => actor,
        };
        let told = PendingChange { place, actor, by, then };
        if self.is_stopped(by) {
            self.faults.planned.await_change(told);
        } else {
            self.follow(told);
        }
    }

    fn follow(&mut self, told: PendingChange) {
        match self.process(told.actor) {
            // A process that is not ready yet gets the behaviour that is due when it is.
            Some(Target::Client(client)) if self.clients[client].listening => self.behave(client),
            Some(Target::Client(_)) => {}
            Some(Target::WorkerProcess(place)) => self.serve_as_due(place),
            Some(Target::Driver) | None => return,
        }
        self.record_step(told.place, told.actor, told.then);
    }

    /// A helper or a daemon serves as is due from the next request on.
    pub(crate) fn serve_as_due(&mut self, place: usize) {
        let name = self.worker_processes[place].name.clone();
        let Some(service) = self.faults.planned.service(self.lab, &name) else { return };
        self.worker_processes[place].service = service;
        for _ in 0..self.worker_processes[place].taken_in.len() {
            self.rouse(place);
        }
    }

    /// How a client is to behave now.
    pub(crate) fn behavior_due(&self, client: usize) -> Behavior {
        let base = || self.lab.clients[client].behavior.clone();
        self.faults.planned.behavior(self.lab, client).unwrap_or_else(base)
    }

    /// Lets threads that never rest compete for the processors.
    fn load(&mut self, place: usize, threads: u16) {
        let first = u32::try_from(self.threads.len()).unwrap_or(NONE);
        for number in 0..threads {
            let tid = self.new_tid();
            let thread = self.add_thread(NONE, number, Step::Burn, tid);
            self.wake(thread);
        }
        self.faults.loads.insert(place, first..first + u32::from(threads));
    }

    /// True when a process has no descriptor left for a file that it opens now.
    pub(crate) fn cannot_open(&self, actor: Actor) -> bool {
        let Some(&most) = self.faults.descriptors_max.get(&actor) else { return false };
        let open = self.operations.iter().filter(|(_, operation)| operation.subject.actor == actor).count();
        let client = self.clients.iter().find(|client| client.actor == actor);
        let events = client.map_or(0, |client| self.events_open(client));
        DESCRIPTORS_OPEN + open + events >= most as usize
    }

    /// True when a client has no descriptor left for one more event.
    pub(crate) fn cannot_read(&self, client: usize) -> bool {
        // Endpoint Security hands no descriptor over.
        self.kernel == Kernel::Fanotify && self.cannot_open(self.clients[client].actor)
    }

    fn events_open(&self, state: &crate::participants::client::Client) -> usize {
        match self.kernel {
            Kernel::Fanotify => state
                .decisions
                .iter()
                .filter(|(_, decision)| decision.told || (decision.read.is_some() && !decision.answered))
                .count(),
            Kernel::EndpointSecurity => 0,
        }
    }

    /// The kernel denies the opens about which a client could not be told.
    pub(crate) fn deny_unread(&mut self, client: usize) {
        for key in std::mem::take(&mut self.clients[client].exhausted) {
            let state = &mut self.clients[client];
            let Some(decision) = state.decisions.remove(key) else { continue };
            state.unanswered -= 1;
            self.pending -= 1;
            let loss = Loss { at: Ticks(self.now), kind: LossKind::Events, count: 1 };
            self.sink.loss(self.clients[client].actor, &loss);
            self.answer_reaches(decision.operation, Verdict::Deny);
        }
    }

    /// A process has gone: what was done to it is over, and it hears of nothing any more.
    pub(crate) fn target_gone(&mut self, actor: Actor) {
        self.faults.descriptors_max.remove(&actor);
        let steps = self.faults.planned.target_died(actor);
        self.take_fault_steps(steps);
    }
}
