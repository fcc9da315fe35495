//! Planned faults: the course that a live run's conductor takes, in virtual time.
//!
//! The same steps are recorded at the same turns, so that the analysis of live runs shades what was disturbed and
//! counts what a dead client approved. What a fault costs nobody measured is not modelled: a signal, a change of
//! behaviour and a limit take effect at once, but a thread finishes its piece of work first.

use std::{collections::BTreeMap, ops::Range};

use lab_model::{
    Actor, Behavior, Expectation, FaultAction, Lab, PhaseKind, PlannedFault, Span, Ticks, Verdict,
    behavior_under, service_under,
};
use lab_trace::{Fault, FaultKind, FaultStage, Loss, LossKind, PlannedKind, PlannedStep};

use crate::{
    Kernel, Sink,
    hardware::agenda::Happening,
    machine::{Machine, NONE, State, Step},
};

/// What a process has open beside its events and files: standard streams, the control connection, its trace, the
/// kernel's queue. Assumed.
const DESCRIPTORS_OPEN: usize = 12;

/// What has become of a planned fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Course {
    Waiting,
    /// It is in effect, on this process.
    Active(Actor),
    Over,
}

/// To whom a fault is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    Client(usize),
    Driver,
    /// A helper or a daemon.
    Outsider(usize),
    Machine,
}

/// Somebody is to behave otherwise, and does not hear of it before it goes on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    place: usize,
    target: Target,
    /// Who hears of it: a helper's client tells the helper.
    by: Target,
    then: FaultStage,
}

/// All planned faults, and the clients on their way back.
#[derive(Debug)]
pub(crate) struct Faults {
    courses: Vec<Course>,
    pub(crate) told: Vec<Told>,
    /// The threads of the loads on the processors, by the fault that they are.
    loads: BTreeMap<usize, Range<u32>>,
    /// How many processes each client has had, and whether another is to come or is starting.
    pub(crate) processes: Vec<u32>,
    pub(crate) returning: Vec<bool>,
    /// The clients behave as the lab file says, no longer as the control does.
    pub(crate) behaving: bool,
    /// How many files a process may have open, while that is limited.
    descriptors_max: BTreeMap<Actor, u32>,
}

impl Faults {
    pub(crate) fn of(lab: &Lab) -> Faults {
        Faults {
            courses: vec![Course::Waiting; lab.faults.len()],
            told: Vec::new(),
            loads: BTreeMap::new(),
            processes: vec![1; lab.clients.len()],
            returning: vec![false; lab.clients.len()],
            behaving: false,
            descriptors_max: BTreeMap::new(),
        }
    }

    fn is_active(&self, place: usize) -> bool {
        matches!(self.courses[place], Course::Active(_))
    }
}

/// True for a fault on a helper or a daemon that is not modelled: a helper that comes back without its client.
pub(crate) fn is_strange_to_workers(fault: &PlannedFault) -> bool {
    PlannedFault::helper_of(&fault.on).is_some() && matches!(fault.action, FaultAction::Restart { .. })
}

/// Drops the faults on whoever no longer takes part in a lab that has lost clients, and what is expected of them.
pub(crate) fn drop_strangers(lab: &mut Lab) {
    let mut faults = std::mem::take(&mut lab.faults);
    faults.retain(|fault| {
        let client = PlannedFault::helper_of(&fault.on).map_or(fault.on.as_str(), |(client, _)| client);
        let daemon = lab.daemons.iter().any(|daemon| daemon.id.as_str() == fault.on);
        let clients = lab.clients.iter().any(|one| one.id.as_str() == client);
        daemon || clients || [PlannedFault::DRIVER, PlannedFault::MACHINE].contains(&client)
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
        for (place, fault) in (0_u32..).zip(&self.lab.faults) {
            let at = self.now.saturating_add(fault.at.nanos());
            self.agenda.enter(at, Happening::FaultBegins { place });
        }
    }

    /// The storm is over: what has not begun never will.
    pub(crate) fn no_more_faults(&mut self) {
        for place in 0..self.faults.courses.len() {
            if self.faults.courses[place] == Course::Waiting {
                self.faults.courses[place] = Course::Over;
                self.record_step(place, Actor::UNKNOWN, FaultStage::TooLate);
            }
        }
    }

    /// The run ends: takes back what is still in effect, and nobody comes back any more.
    pub(crate) fn end_faults(&mut self) {
        for place in 0..self.faults.courses.len() {
            self.fault_ends(place);
        }
        self.faults.returning.fill(false);
        self.daemons.iter_mut().for_each(|daemon| daemon.returning = false);
    }

    /// True while something is still planned to happen: a fault's end, or a client's return.
    pub(crate) fn more_is_planned(&self) -> bool {
        let ends = |place: usize| self.lab.faults[place].action.span().is_some();
        let mut places = 0..self.faults.courses.len();
        places.any(|place| self.faults.is_active(place) && ends(place))
            || self.faults.returning.contains(&true)
            || self.daemons.iter().any(|daemon| daemon.returning)
    }

    fn record_step(&mut self, place: usize, actor: Actor, stage: FaultStage) {
        let kind = FaultKind::Planned(PlannedKind::of(&self.lab.faults[place].action));
        let step = PlannedStep { place: u32::try_from(place).unwrap_or(u32::MAX), stage };
        let fault = Fault { at: Ticks(self.now), kind, actor, detail: step.detail() };
        self.sink.fault(Actor::ORCHESTRATOR, &fault);
    }

    fn client_named(&self, name: &str) -> Option<usize> {
        self.lab.clients.iter().position(|client| client.id.as_str() == name)
    }

    /// The living process of this name.
    fn target(&self, name: &str) -> Option<(Target, Actor)> {
        match name {
            PlannedFault::MACHINE => Some((Target::Machine, Actor::UNKNOWN)),
            PlannedFault::DRIVER => Some((Target::Driver, self.driver.actor)),
            name => {
                if let Some(client) = self.client_named(name) {
                    let state = &self.clients[client];
                    return state.alive.then_some((Target::Client(client), state.actor));
                }
                // The latest of this name: a client that came back has brought others.
                let place = self.outsiders.iter().rposition(|one| one.name == name && one.alive)?;
                Some((Target::Outsider(place), self.outsiders[place].actor))
            }
        }
    }

    pub(crate) fn fault_begins(&mut self, place: usize) {
        if self.faults.courses[place] != Course::Waiting || self.script.phase != Some(PhaseKind::Storm) {
            return;
        }
        let fault = &self.lab.faults[place];
        let client = self.client_named(&fault.on);
        let returns = match client {
            Some(client) => self.faults.returning[client],
            None => self.daemon_named(&fault.on).is_some_and(|daemon| self.daemons[daemon].returning),
        };
        let (target, actor) = match self.target(&fault.on) {
            Some((target, actor)) => (Some(target), actor),
            // Who is on its way back gets the behaviour when it is there.
            None if fault.action.is_behavior() && returns => (None, Actor::UNKNOWN),
            None => {
                self.faults.courses[place] = Course::Over;
                self.record_step(place, Actor::UNKNOWN, FaultStage::NoTarget);
                return;
            }
        };
        self.record_step(place, actor, FaultStage::Begins);
        self.faults.courses[place] = match fault.action {
            FaultAction::Kill => Course::Over,
            _ => Course::Active(actor),
        };
        if let Some(span) = fault.action.span() {
            let place = u32::try_from(place).unwrap_or(NONE);
            self.agenda.enter(self.now.saturating_add(span.nanos()), Happening::FaultEnds { place });
        }
        match (&fault.action, target) {
            (FaultAction::Stall { .. }, Some(target)) => self.stop(target),
            (FaultAction::Kill | FaultAction::Restart { .. }, Some(Target::Client(client))) => {
                self.kill(client);
            }
            (FaultAction::Kill | FaultAction::Restart { .. }, Some(Target::Outsider(place))) => {
                self.kill_outsider(place);
            }
            (FaultAction::CpuLoad { threads, .. }, _) => self.load(place, *threads),
            (FaultAction::Descriptors { limit, .. }, Some(_)) => {
                self.faults.descriptors_max.insert(actor, *limit);
            }
            (action, Some(target)) if action.is_behavior() => {
                let by = self.teller(target);
                self.tell(Told { place, target, by, then: FaultStage::InForce });
            }
            _ => {}
        }
    }

    pub(crate) fn fault_ends(&mut self, place: usize) {
        let Course::Active(actor) = self.faults.courses[place] else { return };
        self.faults.courses[place] = Course::Over;
        self.record_step(place, actor, FaultStage::Ends);
        let fault = &self.lab.faults[place];
        let target = self.target(&fault.on).map(|(target, _)| target);
        match (&fault.action, target) {
            (FaultAction::Stall { .. }, Some(target)) => self.go_on(target),
            (FaultAction::CpuLoad { .. }, _) => {
                for thread in self.faults.loads.remove(&place).into_iter().flatten() {
                    self.threads[thread as usize].state = State::Dead;
                }
            }
            (FaultAction::Descriptors { .. }, _) => {
                self.faults.descriptors_max.remove(&actor);
            }
            (action, Some(target)) if action.is_behavior() => {
                let by = self.teller(target);
                self.tell(Told { place, target, by, then: FaultStage::Over });
            }
            _ => {}
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
            Target::Outsider(place) => {
                let (first, count) = self.outsiders[place].threads;
                (first..first + u32::from(count)).collect()
            }
            Target::Machine => Vec::new(),
        }
    }

    /// Stops a process. What a thread is just doing it finishes.
    fn stop(&mut self, target: Target) {
        for thread in self.threads_of(target) {
            self.threads[thread as usize].stopped = true;
        }
    }

    fn go_on(&mut self, target: Target) {
        let threads = self.threads_of(target);
        for &thread in &threads {
            self.threads[thread as usize].stopped = false;
        }
        let (heard, wait) =
            std::mem::take(&mut self.faults.told).into_iter().partition(|told| told.by == target);
        self.faults.told = wait;
        for told in heard {
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

    fn is_stopped(&self, target: Target) -> bool {
        let thread = match target {
            Target::Client(client) => self.clients[client].reader,
            Target::Outsider(place) => self.outsiders[place].threads.0,
            Target::Driver | Target::Machine => return false,
        };
        self.threads[thread as usize].stopped
    }

    /// Who hears of a change of this process.
    fn teller(&self, target: Target) -> Target {
        match target {
            Target::Outsider(place) if self.outsiders[place].client != NONE => {
                Target::Client(self.outsiders[place].client as usize)
            }
            other => other,
        }
    }

    fn tell(&mut self, told: Told) {
        if self.is_stopped(told.by) {
            self.faults.told.push(told);
        } else {
            self.follow(told);
        }
    }

    fn follow(&mut self, told: Told) {
        let actor = match told.target {
            Target::Client(client) => {
                // A process that is not ready yet gets the behaviour that is due when it is.
                if self.clients[client].listening {
                    self.behave(client);
                }
                self.clients[client].actor
            }
            Target::Outsider(place) => {
                self.serve_as_due(place);
                self.outsiders[place].actor
            }
            Target::Driver | Target::Machine => return,
        };
        self.record_step(told.place, actor, told.then);
    }

    /// A client has died: it hears of nothing any more, nor do its helpers.
    pub(crate) fn client_hears_no_more(&mut self, client: usize) {
        self.faults.told.retain(|told| told.by != Target::Client(client));
    }

    /// A helper or a daemon has died.
    pub(crate) fn outsider_hears_no_more(&mut self, place: usize) {
        self.faults.told.retain(|told| told.target != Target::Outsider(place));
    }

    fn daemon_named(&self, name: &str) -> Option<usize> {
        self.lab.daemons.iter().position(|daemon| daemon.id.as_str() == name)
    }

    /// A helper or a daemon serves as is due from the next request on.
    pub(crate) fn serve_as_due(&mut self, place: usize) {
        let name = self.outsiders[place].name.clone();
        let Some(base) = self.lab.service_of(&name) else { return };
        self.outsiders[place].service = service_under(base, self.active_on(&name));
        for _ in 0..self.outsiders[place].taken_in.len() {
            self.rouse(place);
        }
    }

    /// What is in effect on this participant.
    fn active_on<'b>(&'b self, name: &'b str) -> impl Iterator<Item = &'b FaultAction> {
        let faults = self.lab.faults.iter().enumerate();
        faults
            .filter(move |(place, fault)| fault.on == name && self.faults.is_active(*place))
            .map(|(_, fault)| &fault.action)
    }

    /// How a client is to behave now.
    pub(crate) fn behavior_due(&self, client: usize) -> Behavior {
        let described = &self.lab.clients[client];
        behavior_under(&described.behavior, self.active_on(described.id.as_str()))
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

    fn events_open(&self, state: &crate::cast::client::Client) -> usize {
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

    /// A process has gone: what was done to it is over.
    pub(crate) fn target_gone(&mut self, actor: Actor) {
        self.faults.descriptors_max.remove(&actor);
        for place in 0..self.faults.courses.len() {
            let action = &self.lab.faults[place].action;
            let bound = matches!(action, FaultAction::Stall { .. } | FaultAction::Descriptors { .. });
            if bound && self.faults.courses[place] == Course::Active(actor) {
                self.faults.courses[place] = Course::Over;
                self.record_step(place, actor, FaultStage::Ends);
            }
        }
    }

    /// How long after its death a client or daemon that a fault killed is to come back; asked once.
    pub(crate) fn comes_back(&mut self, id: &str) -> Option<Span> {
        let faults = self.lab.faults.iter().enumerate().filter(|(_, fault)| fault.on == id);
        for (place, fault) in faults {
            if let FaultAction::Restart { after } = fault.action
                && self.faults.is_active(place)
            {
                self.faults.courses[place] = Course::Over;
                return Some(after);
            }
        }
        None
    }
}
