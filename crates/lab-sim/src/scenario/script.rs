//! The run from its start to its end: processes, phases, and when it is calm.

use lab_client_core::{ClientCore, Input, Policy, Rounds};
use lab_model::{Actor, Behavior, Cache, Lab, Phase, PhaseKind, Role, Span, Ticks, Timebase};
use lab_trace::{
    Fault, FaultKind, Header, HostFacts, Identity, PENDING_SLOTS, PhaseMark, ProcessMark, ProcessMarkKind,
    ThreadMark, ThreadPurpose,
};

use crate::{
    Sink,
    hardware::{agenda::SimEvent, slab::Slab},
    kernel::{hiding::Hidden, warden::KILLED},
    machine::{EPOCH, Machine, NONE, Step},
    participants::{
        client::{Batch, Client},
        deciders::By,
        driver::DriverWorker,
        observers::Notices,
        worker_processes::RequestQueues,
    },
    records::tally::Cut,
};

/// The process IDs of the lab: the orchestrator, the driver behind it, the clients behind that.
const PID_FIRST: u32 = 100;
/// The first thread ID that is not a process's first thread.
const TID_FIRST: u64 = 10_000;
/// Between two phases.
const GAP: u64 = 1_000_000;
/// A drain that has been calm for this long is over.
pub(crate) const CALM: u64 = 100_000_000;
/// The arena as the processes of a live run see it.
pub(crate) const ARENA: &str = "/arena";

/// Where the run is.
#[derive(Debug)]
pub(crate) struct Script {
    phases: Vec<Phase>,
    place: usize,
    pub(crate) phase: Option<PhaseKind>,
    pub(crate) phase_began: u64,
    phase_ends: u64,
    /// No operation of the workload begins from then on.
    pub(crate) drive_ends: u64,
    /// Tells the step that is due from one that has become pointless.
    step: u32,
    calm: u32,
    is_calm: bool,
    /// The lab's deadline in nanoseconds.
    pub(crate) deadline: u64,
    clients_run: bool,
    /// By how much the workload was behind its plan, at most, in each quarter of the storm.
    pub(crate) late: [u64; 4],
    quarter: u64,
}

impl Script {
    pub(crate) fn new(lab: &Lab) -> Script {
        Script {
            phases: lab.phases.iter().collect(),
            place: 0,
            phase: None,
            phase_began: EPOCH,
            phase_ends: EPOCH,
            drive_ends: EPOCH,
            step: 0,
            calm: 0,
            is_calm: false,
            deadline: lab.deadline.nanos(),
            clients_run: false,
            late: [0; 4],
            quarter: 1,
        }
    }

    pub(crate) fn draining(&self) -> bool {
        self.phase == Some(PhaseKind::Drain)
    }

    /// The workload begins an operation now and so much later than planned.
    pub(crate) fn late(&mut self, now: u64, by: u64) {
        if by > 0 && self.phase == Some(PhaseKind::Storm) {
            let quarter = self.quarter_of(now);
            self.late[quarter] = self.late[quarter].max(by);
        }
    }

    /// The quarter of the phase that a time lies in.
    pub(crate) fn quarter_of(&self, now: u64) -> usize {
        usize::try_from(now.saturating_sub(self.phase_began) / self.quarter).unwrap_or(3).min(3)
    }
}

impl<S: Sink> Machine<'_, S> {
    /// Makes the processes and their threads; nothing runs yet.
    pub(crate) fn populate(&mut self) {
        let lab = self.lab;
        for number in 0..u16::try_from(lab.clients.len()).unwrap_or(u16::MAX) {
            let control = lab.phases.iter().any(|phase| phase.kind == PhaseKind::Control);
            let described = &lab.clients[usize::from(number)].behavior;
            let behavior = if control { described.without_reactions() } else { described.clone() };
            let client = self.client(number, Actor(number + 1), PID_FIRST + 2 + u32::from(number), behavior);
            self.clients.push(client);
        }
        self.driver.actor = Actor(u16::try_from(lab.clients.len()).unwrap_or(u16::MAX - 2) + 1);
        self.driver.pid = PID_FIRST + 1;
        for number in 0..u16::try_from(lab_workload::workers(&lab.workload)).unwrap_or(u16::MAX) {
            let tid = self.new_tid();
            let thread = self.add_thread(NONE, number, Step::Begin, tid);
            self.driver.workers.push(DriverWorker { thread, schedule: None, planned: None });
        }
        let pid_first = PID_FIRST + 2 + u32::try_from(lab.clients.len()).unwrap_or(NONE - PID_FIRST - 2);
        self.populate_outside(pid_first);
    }

    /// The ID of the thread that is added next.
    pub(crate) fn new_tid(&self) -> u64 {
        TID_FIRST + 1 + self.threads.len() as u64
    }

    /// A client's process, with its threads; it does not run yet.
    fn client(&mut self, number: u16, actor: Actor, pid: u32, behavior: Behavior) -> Client {
        let client = u32::from(number);
        let reader = self.add_thread(client, 0, Step::Receive, self.new_tid());
        let housekeeper = self.add_thread(client, 0, Step::FallBack, self.new_tid());
        let count = self.lab.workers_max(&self.lab.clients[usize::from(number)]);
        let first = u32::try_from(self.threads.len()).unwrap_or(NONE);
        for worker in 0..count {
            self.add_thread(client, worker, Step::TakeUp, self.new_tid());
        }
        let notices = if self.lab.notifies(&self.lab.clients[usize::from(number)]) {
            let observer = self.add_thread(client, 0, Step::Hear, self.new_tid());
            Notices::of(observer, behavior.notify)
        } else {
            Notices::default()
        };
        let mut hidden = Hidden::default();
        hidden.follow(&behavior, &self.files);
        let keeps = behavior.cache == Cache::On;
        Client {
            core: ClientCore::new(self.policy(behavior), PENDING_SLOTS),
            actor,
            pid,
            alive: false,
            listening: false,
            dying: false,
            exhausted: Vec::new(),
            hidden,
            keeps,
            rounds: Rounds::default(),
            to_release: 0,
            round_planned: false,
            queue: std::collections::VecDeque::new(),
            decisions: Slab::default(),
            unanswered: 0,
            reader,
            housekeeper,
            notices,
            workers: (first, count),
            idle: (first..first + u32::from(count)).collect(),
            batch: Batch::default(),
            fallbacks: Batch::default(),
            commands: Batch::default(),
            reactions: Batch::default(),
            budget: std::collections::VecDeque::new(),
            sequence: 0,
            dropped: 0,
            request_queues: RequestQueues::default(),
        }
    }

    pub(crate) fn policy(&self, behavior: Behavior) -> Policy {
        let actor = |place: usize, number| self.clients.get(place).map_or(Actor(number), |one| one.actor);
        let clients = self.lab.clients.iter().zip(1..).enumerate();
        let names = clients.map(|(place, (client, number))| (client.id.as_str(), actor(place, number)));
        let outside = self.outside_names();
        let outside = outside.iter().map(|(name, actor)| (name.as_str(), *actor));
        Policy::new(behavior, self.lab.deadline, Timebase::NANOSECONDS).among(names.chain(outside))
    }

    fn headers(&self) -> Vec<Header> {
        let mut headers = vec![self.header(
            Actor::ORCHESTRATOR,
            Role::Orchestrator,
            PID_FIRST,
            self.identity("orchestrator", None, serde_json::to_value(self.lab).unwrap_or_default()),
        )];
        headers.extend((0..self.clients.len()).map(|client| self.client_header(client)));
        let identity = self.identity("driver", None, serde_json::Value::Null);
        headers.push(self.header(self.driver.actor, Role::Driver, self.driver.pid, identity));
        headers.extend((0..self.worker_processes.len()).map(|place| self.outside_header(place)));
        headers
    }

    pub(crate) fn header(&self, actor: Actor, role: Role, pid: u32, identity: Identity) -> Header {
        Header {
            created: Ticks(self.now),
            created_unix_ns: 0,
            timebase: Timebase::NANOSECONDS,
            actor,
            role,
            pid,
            salt: salt(self.seed, actor),
            identity,
        }
    }

    fn client_header(&self, client: usize) -> Header {
        let (state, described) = (&self.clients[client], &self.lab.clients[client]);
        let settings = serde_json::to_value(&described.behavior).unwrap_or_default();
        let bundle_id = Some(described.bundle_id.to_string());
        let identity = self.identity(described.id.as_str(), bundle_id, settings);
        self.header(state.actor, Role::Client, state.pid, identity)
    }

    pub(crate) fn identity(
        &self,
        name: &str,
        bundle_id: Option<String>,
        settings: serde_json::Value,
    ) -> Identity {
        Identity {
            name: name.to_owned(),
            bundle_id,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            arena: ARENA.to_owned(),
            settings,
            host: HostFacts {
                kernel: format!("simulated {}", self.kernel.name()),
                machine: format!("{} simulated processors", self.costs.cores),
                cpus: (0..u32::from(self.costs.cores)).collect(),
            },
        }
    }

    pub(crate) fn begin_script(&mut self) {
        let headers = self.headers();
        self.sink.open(&headers, &self.files);
        self.mark_process(self.driver.actor, self.driver.pid, ProcessMarkKind::Started, 0);
        self.mark_thread(self.driver.actor, u64::from(self.driver.pid), ThreadPurpose::Control, 0);
        for number in 0..self.driver.workers.len() {
            let thread = self.threads[self.driver.workers[number].thread as usize];
            self.mark_thread(self.driver.actor, thread.tid, ThreadPurpose::Worker, thread.number);
        }
        self.mark_process(self.driver.actor, self.driver.pid, ProcessMarkKind::Ready, 0);
        self.agenda.enter(self.now.saturating_add(self.lab.safety.run_max.nanos()), SimEvent::RunTooLong);
        self.plan_step(GAP);
    }

    pub(crate) fn mark_process(&mut self, actor: Actor, pid: u32, kind: ProcessMarkKind, status: i32) {
        let mark = ProcessMark { at: Ticks(self.now), actor, kind, pid, status };
        self.sink.process(Actor::ORCHESTRATOR, &mark);
    }

    /// A process has ended with this wait status.
    pub(crate) fn mark_end(&mut self, actor: Actor, pid: u32, status: i32) {
        self.mark_process(actor, pid, ProcessMarkKind::Ended, status);
    }

    pub(crate) fn mark_thread(&mut self, actor: Actor, tid: u64, purpose: ThreadPurpose, number: u16) {
        self.sink.thread(actor, &ThreadMark { at: Ticks(self.now), tid, purpose, number });
    }

    fn plan_step(&mut self, after: u64) {
        self.script.step += 1;
        let step = self.script.step;
        self.agenda.enter(self.now.saturating_add(after), SimEvent::Script { step });
    }

    /// The next step, if it is the one that is due: a phase begins or ends, or clients start.
    pub(crate) fn script_step(&mut self, step: u32) {
        if step != self.script.step {
            return;
        }
        if self.script.phase.is_some() {
            self.end_phase();
            return;
        }
        let Some(phase) = self.script.phases.get(self.script.place).copied() else {
            self.finish();
            return;
        };
        if phase.kind != PhaseKind::Baseline && !self.script.clients_run {
            self.script.clients_run = true;
            self.start_clients();
            self.plan_step(self.costs.start_client);
            return;
        }
        self.begin_phase(phase);
    }

    fn start_clients(&mut self) {
        self.start_outside();
        for client in 0..self.clients.len() {
            self.announce_client(client, ProcessMarkKind::Started);
            self.announce_client(client, ProcessMarkKind::Ready);
        }
        self.client_connected();
    }

    /// A client has started, or reads events.
    pub(crate) fn announce_client(&mut self, client: usize, kind: ProcessMarkKind) {
        let state = &mut self.clients[client];
        let (actor, pid) = (state.actor, state.pid);
        if kind == ProcessMarkKind::Started {
            state.alive = true;
        } else {
            state.listening = true;
            let (reader, housekeeper) = (state.reader as usize, state.housekeeper as usize);
            let (first, count) = state.workers;
            self.mark_thread(actor, u64::from(pid), ThreadPurpose::Control, 0);
            self.mark_thread(actor, self.threads[reader].tid, ThreadPurpose::Reader, 0);
            self.mark_thread(actor, self.threads[housekeeper].tid, ThreadPurpose::Housekeeper, 0);
            for worker in first..first + u32::from(count) {
                let thread = self.threads[worker as usize];
                self.mark_thread(actor, thread.tid, ThreadPurpose::Worker, thread.number);
            }
            if let Some(observer) = self.clients[client].notices.observer() {
                self.mark_thread(actor, self.threads[observer as usize].tid, ThreadPurpose::Observer, 0);
            }
        }
        self.mark_process(actor, pid, kind, 0);
    }

    /// A new process of a client that has died, under a number of its own and with nothing kept.
    pub(crate) fn renew(&mut self, client: usize) {
        let actor = self.new_actor();
        let number = u16::try_from(client).unwrap_or(u16::MAX);
        let pid = self.driver.new_process();
        let behavior = self.lab.clients[client].behavior.without_reactions();
        self.clients[client] = self.client(number, actor, pid, behavior);
        let header = self.client_header(client);
        self.sink.join(&header);
        self.announce_client(client, ProcessMarkKind::Started);
        self.renew_outside(client);
    }

    /// A number that no process of this run has had.
    pub(crate) fn new_actor(&mut self) -> Actor {
        let actor = Actor(self.next_actor);
        self.next_actor = self.next_actor.saturating_add(1);
        actor
    }

    fn begin_phase(&mut self, phase: Phase) {
        if phase.kind == PhaseKind::Storm {
            self.faults.behaving = true;
            for client in 0..self.clients.len() {
                if self.clients[client].listening {
                    self.behave(client);
                }
            }
            self.plan_faults();
        }
        let span = phase.span.nanos();
        let script = &mut self.script;
        script.phase = Some(phase.kind);
        (script.phase_began, script.phase_ends) = (self.now, self.now.saturating_add(span));
        script.quarter = (span / 4).max(1);
        self.mark_phase(phase.kind, Edge::Begin);
        match phase.kind {
            PhaseKind::Drain => self.plan_step(span),
            PhaseKind::Baseline | PhaseKind::Control | PhaseKind::External => {
                self.begin_drive(phase.kind, phase.span)
            }
            PhaseKind::Storm => {
                self.plan_step(span);
                self.begin_drive(phase.kind, phase.span);
            }
        }
    }

    fn begin_drive(&mut self, kind: PhaseKind, span: Span) {
        self.script.drive_ends = self.script.phase_ends;
        self.drive(kind, span);
    }

    /// A client takes the behaviour that is due. The kernel forgets what it kept for it.
    pub(crate) fn behave(&mut self, client: usize) {
        let behavior = self.behavior_due(client);
        self.clients[client].hidden.follow(&behavior, &self.files);
        self.clients[client].keeps = behavior.cache == Cache::On;
        self.clients[client].notices.listen(behavior.notify);
        let policy = self.policy(behavior);
        let now = Ticks(self.now);
        self.clients[client].core.step(now, Input::Behave(Box::new(policy)), &mut self.actions);
        self.apply(client, By::Command);
        self.let_go(client, By::Command);
    }

    /// The last operation of the workload in this phase is over. The drain goes on: what the clients owe for it may
    /// still be under way.
    pub(crate) fn workload_done(&mut self) {
        if !self.script.draining() {
            self.plan_step(0);
        }
    }

    fn mark_phase(&mut self, phase: PhaseKind, edge: Edge) {
        let mark = PhaseMark { at: Ticks(self.now), phase, begins: edge == Edge::Begin };
        self.sink.phase(Actor::ORCHESTRATOR, &mark);
    }

    fn end_phase(&mut self) {
        self.close_phase();
        self.script.drive_ends = self.now;
        self.script.place += 1;
        let next = self.script.phases.get(self.script.place).map(|phase| phase.kind);
        if next.is_none() {
            self.tally.in_flight = self.in_flight();
        }
        // The drain follows on the storm at once: what is under way is what it is about.
        self.plan_step(if next == Some(PhaseKind::Drain) { 0 } else { GAP });
    }

    fn in_flight(&self) -> u64 {
        self.pending + self.unread + (self.operations.len() + self.requests.len()) as u64
    }

    /// In the drain: when nothing is under way any more, calm begins.
    pub(crate) fn watch_for_calm(&mut self) {
        let calm = self.in_flight() == 0 && !self.more_is_planned();
        if calm && !self.script.is_calm {
            self.script.calm += 1;
            let calm = self.script.calm;
            self.agenda.enter(self.now + CALM, SimEvent::Quiet { calm });
        }
        self.script.is_calm = calm;
    }

    pub(crate) fn calm_over(&mut self, calm: u32) {
        if self.script.is_calm && calm == self.script.calm && self.script.draining() {
            self.plan_step(0);
        }
    }

    pub(crate) fn run_too_long(&mut self) {
        let fault =
            Fault { at: Ticks(self.now), kind: FaultKind::RunTooLong, actor: Actor::ORCHESTRATOR, detail: 0 };
        self.sink.fault(Actor::ORCHESTRATOR, &fault);
        self.tally.cut = Some(Cut::RunMax);
        self.close_phase_and_finish();
    }

    /// The caller's limit on decisions is reached.
    pub(crate) fn cut(&mut self) {
        self.tally.cut = Some(Cut::DecisionsMax);
        self.close_phase_and_finish();
    }

    fn close_phase(&mut self) {
        if let Some(phase) = self.script.phase.take() {
            if phase == PhaseKind::Storm {
                self.no_more_faults();
            }
            self.mark_phase(phase, Edge::End);
            self.tally.phase_ended(phase, self.now - self.script.phase_began);
        }
    }

    fn close_phase_and_finish(&mut self) {
        self.close_phase();
        self.tally.in_flight = self.in_flight();
        self.finish();
    }

    fn finish(&mut self) {
        self.reach_what_is_recorded();
        if self.tally.in_flight > 0 {
            self.look_for_cycle();
        }
        self.end_faults();
        let at = Ticks(self.now);
        for client in 0..self.clients.len() {
            let state = &mut self.clients[client];
            if std::mem::take(&mut state.dying) {
                let (actor, pid) = (state.actor, state.pid);
                self.forget_unread(client);
                self.mark_end(actor, pid, KILLED);
            }
            let state = &mut self.clients[client];
            if std::mem::take(&mut state.alive) {
                let (actor, pid) = (state.actor, state.pid);
                self.tell_of_unread(client);
                self.sink.close(actor, at);
                self.mark_end(actor, pid, 0);
            }
        }
        self.end_outside(None);
        self.sink.close(self.driver.actor, at);
        self.mark_end(self.driver.actor, self.driver.pid, 0);
        self.sink.close(Actor::ORCHESTRATOR, at);
        self.tally.ended_at = self.now - EPOCH;
        self.tally.late = self.script.late;
        self.over = true;
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    Begin,
    End,
}

/// The seed of a trace's checks.
fn salt(seed: u64, Actor(actor): Actor) -> u32 {
    let word = crate::hardware::random::Random::new(seed, 0x5A17 + u64::from(actor)).word();
    u32::try_from(word >> 32).unwrap_or(0)
}
