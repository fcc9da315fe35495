//! The products under test of a running lab: started, watched from outside, and ended. They have no trace of their
//! own, so what is seen of them goes into the orchestrator's.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use lab_model::{Actor, External, PrivateFolder, Ready, Ticks};
use lab_process::{
    clock,
    proc::{self, ProcessStat},
};
use lab_trace::{Fault, FaultKind, GroupMark, ProcessMarkKind, QueueSample, ThreadSeen, TraceWriter};
use nix::{
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, waitpid},
    },
    unistd::Pid,
};
use tokio::sync::mpsc;

use super::{
    ending::{describe, end, has_said, last_line},
    event::Event,
    family::{Change, Family, MARKER, Newcomer},
    groups::{self, OwnMounts},
    private::{self, OwnNamespace},
    product::{Product, State},
    questions::{Hold, Judged, Limits, Questions, Shown},
    warden::Warden,
};
use crate::{Failure, FailureKind, Plan, RunFolder};

/// How many looks at the processes come for one look at groups and queues.
const QUEUES_EVERY: u32 = 20;
/// The same while something waits.
const WAITING_EVERY: u32 = 4;
/// An operation that has waited less than this is not asked after.
const WAITING_NS: u64 = 20_000_000;

/// All products of a lab.
#[derive(Debug, Default)]
pub(super) struct Externals {
    products: Vec<Product>,
    wanted: Vec<External>,
    family: Family,
    own_mounts: OwnMounts,
    arena: PathBuf,
    questions: Questions,
    rounds: u32,
    failure: Option<Failure>,
    /// Some client's behaviour names a product, so the clients are told of its threads.
    named: bool,
    /// Threads have come or gone since the clients were last told.
    news: bool,
}

/// What the controller lends for a look.
pub(super) struct PollContext<'a> {
    pub(super) now: Ticks,
    pub(super) deadline_ticks: u64,
    pub(super) trace: &'a TraceWriter,
    pub(super) warden: &'a Warden,
}

impl Externals {
    /// Lays out the products' private folders. The arena must be mounted.
    pub(super) fn prepare(plan: &Plan, folder: &RunFolder) -> Result<Externals, Failure> {
        let arena = folder.arena();
        let mut externals = Externals { arena: arena.clone(), ..Externals::default() };
        let mut own_devices = Vec::new();
        let fill_in = |text: &String| private::fill_in(text, &arena);
        for (place, external) in plan.lab.external.iter().enumerate() {
            let namespace = if private::is_contested(place, &plan.lab.external) {
                let (namespace, devices) = OwnNamespace::make(external, &arena)
                    .map_err(|(folder, error)| private_failure(external, folder.as_ref(), &error))?;
                own_devices.extend(devices);
                Some(namespace)
            } else {
                for folder in &external.private {
                    private::make(folder, &arena)
                        .map_err(|error| private_failure(external, Some(folder), &error))?;
                }
                None
            };
            let environment = external.environment.iter().map(|(name, text)| (name.clone(), fill_in(text)));
            let wanted = External {
                start: external.start.iter().map(fill_in).collect(),
                environment: environment.collect(),
                ..external.clone()
            };
            externals.wanted.push(wanted.clone());
            externals.products.push(Product {
                actor: External::actor(place),
                wanted,
                log: folder.logs().join(format!("{}.log", external.id)),
                pid: 0,
                state: State::Unstarted,
                held: BTreeSet::new(),
                killed: false,
                namespace,
            });
        }
        externals.named = plan.lab.clients.iter().any(|client| {
            let denied = client.behavior.deny.iter().filter_map(|rule| rule.process.as_ref());
            let mut names = client.behavior.mute.processes.iter().chain(denied);
            names.any(|name| externals.wanted.iter().any(|product| product.id.as_str() == name))
        });
        if !externals.products.is_empty() {
            let shared = externals.products.iter().filter(|product| product.namespace.is_none());
            let folders = shared.flat_map(|product| &product.wanted.private);
            let folders: Vec<&Path> = folders.map(|folder| Path::new(&folder.path)).collect();
            externals.own_mounts = OwnMounts::of(&arena, &folders)
                .map_err(|error| Failure::system("the arena is not mounted", &error))?
                .and_devices(own_devices);
        }
        Ok(externals)
    }

    /// The threads of products that are there, for clients whose behaviour names one.
    pub(super) fn threads(&self) -> impl Iterator<Item = (u64, Actor)> {
        let threads = self.family.threads().filter(|_| self.named);
        threads.map(|(tid, product)| (tid, External::actor(product)))
    }

    /// The products by name, for the same.
    pub(super) fn names(&self) -> impl Iterator<Item = (String, Actor)> {
        let products = self.products.iter().filter(|_| self.named);
        products.map(|product| (product.wanted.id.to_string(), product.actor))
    }

    /// The processes of products, each with what it calls itself and whose it is.
    pub(super) fn processes(&self) -> impl Iterator<Item = (u32, String)> {
        self.family.members().map(|(pid, place)| {
            let name = proc::name(pid).unwrap_or_default();
            (pid, format!("{} of {}", name.to_string_lossy(), self.products[place].wanted.id))
        })
    }

    /// True once after threads have come or gone that the clients want to know of; at most once a look at the
    /// queues.
    pub(super) fn has_news(&mut self) -> bool {
        self.named && self.rounds.is_multiple_of(QUEUES_EVERY) && std::mem::take(&mut self.news)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.products.is_empty()
    }

    /// Starts every product that is not started; true when there was any.
    pub(super) fn start(
        &mut self,
        trace: &TraceWriter,
        events: &mpsc::Sender<Event>,
    ) -> Result<bool, Failure> {
        let mut any = false;
        for (place, product) in self.products.iter_mut().enumerate() {
            if product.state == State::Unstarted {
                product.start(trace, events)?;
                self.family.adopt(product.pid, place);
                any = true;
            }
        }
        Ok(any)
    }

    /// True when every product is ready, or it is clear that one will not be.
    pub(super) fn settled(&self) -> bool {
        self.failure.is_some() || self.products.iter().all(|product| product.state != State::Starting)
    }

    /// The first product that has not become ready in time, or not at all, as the run's failure.
    pub(super) fn require_ready(&mut self) -> Result<(), Failure> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let late = self.products.iter().find(|product| product.state == State::Starting);
        late.map_or(Ok(()), |product| Err(product.never_ready()))
    }

    /// The longest that any product may take to become ready.
    pub(super) fn ready_within(&self) -> std::time::Duration {
        self.wanted.iter().map(|external| external.ready_within.duration()).max().unwrap_or_default()
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.failure.is_some()
    }

    /// What ended the run from here, if anything did.
    pub(super) fn failure(&mut self) -> Option<Failure> {
        self.failure.take()
    }

    /// Takes note that a product's first process has ended; says so when that was not asked for. `None` when the
    /// number is nobody's here.
    pub(super) fn ended(&mut self, actor: Actor, status: i32, trace: &TraceWriter) -> Option<String> {
        let product = self.products.iter_mut().find(|product| product.actor == actor)?;
        product.mark(trace, ProcessMarkKind::Ended, status);
        let before = std::mem::replace(&mut product.state, State::Ended);
        let words = last_line(&product.log).map(|line| format!(": {line}")).unwrap_or_default();
        let how = describe(status);
        match before {
            State::Starting => {
                let message = format!("{} ended before it was ready, {how}{words}", product.wanted.id);
                // What it was ended for comes first.
                let failure = product.failure(message);
                self.failure.get_or_insert(failure);
                Some(String::new())
            }
            State::Ready if !product.killed => Some(format!("{} has ended, {how}", product.wanted.id)),
            _ => Some(String::new()),
        }
    }

    /// Asks every product to end.
    pub(super) fn ask_to_end(&mut self) {
        for product in self.products.iter_mut().filter(|product| product.alive()) {
            product.killed = true;
            if let Err(error) = kill(as_pid(product.pid), Signal::SIGTERM) {
                tracing::debug!("cannot ask {} to end: {error}", product.wanted.id);
            }
        }
    }

    /// Ends all that is left of the products; returns the names of those that had not ended when asked.
    pub(super) fn end(&mut self) -> Vec<String> {
        self.family.members().for_each(|(pid, _)| end(pid));
        let alive = self.products.iter().filter(|product| product.alive());
        alive.map(|product| product.wanted.id.to_string()).collect()
    }

    pub(super) fn gone(&self) -> bool {
        !self.products.iter().any(Product::alive)
    }

    /// Looks at the products' processes and, less often, at their groups and at who waits for them. Returns what
    /// the user should read.
    pub(super) fn look(&mut self, context: &PollContext<'_>) -> Vec<String> {
        if !self.products.iter().any(|product| product.state != State::Unstarted) {
            return Vec::new();
        }
        self.rounds = self.rounds.wrapping_add(1);
        self.look_at_processes(context);
        let starting = self.products.iter().any(|product| product.state == State::Starting);
        let looks_at_groups = self.rounds.is_multiple_of(QUEUES_EVERY);
        if starting || looks_at_groups {
            self.look_at_groups(context);
        }
        self.look_for_signs(context);
        let waits =
            || self.questions.any_open() || context.warden.something_waits(context.now, waiting_ticks());
        let looks_at_queues = looks_at_groups || (self.rounds.is_multiple_of(WAITING_EVERY) && waits());
        if looks_at_queues { self.look_at_queues(context) } else { Vec::new() }
    }

    fn look_at_processes(&mut self, context: &PollContext<'_>) {
        let pids: BTreeSet<u32> = proc::processes().into_iter().flatten().collect();
        for &pid in pids.iter().filter(|&&pid| pid > 1) {
            if self.family.knows(pid) {
                continue;
            }
            let Some(ProcessStat { parent, .. }) = proc::stat(pid) else { continue };
            let executable = proc::executable(pid);
            let marker = proc::variable(pid, MARKER);
            let newcomer = Newcomer {
                pid,
                parent,
                executable: executable.as_deref().and_then(Path::to_str),
                marker: marker.as_deref(),
            };
            self.family.meet(&newcomer, &self.wanted);
        }
        let mut threads = BTreeSet::new();
        for (pid, _) in self.family.members() {
            threads.extend(proc::threads(pid).into_iter().map(|tid| (pid, u64::from(tid))));
        }
        for Change { product, pid, tid, there } in self.family.update(&pids, &threads) {
            let actor = External::actor(product);
            self.news = true;
            context.trace.thread_seen(&ThreadSeen { at: context.now, actor, pid, tid, there });
        }
    }

    /// Records the groups and marks that are new, and ends the run when one reaches out of the lab.
    fn look_at_groups(&mut self, context: &PollContext<'_>) {
        for (pid, place) in self.family.members() {
            let product = &mut self.products[place];
            for held in groups::of(pid, &self.own_mounts) {
                if !product.held.insert(held) {
                    continue;
                }
                context.trace.group_mark(&GroupMark {
                    at: context.now,
                    actor: product.actor,
                    pid,
                    descriptor: held.descriptor.unsigned_abs(),
                    flags: held.flags,
                    on: held.on,
                    arena: held.arena,
                    mask: held.mask,
                });
                if held.outside {
                    end(pid);
                    product.killed = true;
                    let message = format!(
                        "{} has marked a file system that is not the lab's ({}), and is ended before it holds up this \
                         machine",
                        product.wanted.id,
                        held.device_name()
                    );
                    let mend =
                        "let it mark mounts, or name the arena's kind of file system in its configuration";
                    self.failure = Some(Failure::new(FailureKind::Product, message).mend(mend));
                }
            }
        }
    }

    fn look_for_signs(&mut self, context: &PollContext<'_>) {
        for product in self.products.iter_mut().filter(|product| product.state == State::Starting) {
            let ready = match &product.wanted.ready {
                Ready::Started => true,
                Ready::Mark => product.held.iter().any(|held| held.asks_in_arena()),
                Ready::File(path) => product.has_file(path),
                Ready::Line(text) => has_said(&product.log, text),
            };
            if ready {
                product.state = State::Ready;
                product.mark(context.trace, ProcessMarkKind::Ready, 0);
            }
        }
    }

    /// Records what waits for the products, and kills who has kept an operation waiting past the deadline.
    fn look_at_queues(&mut self, context: &PollContext<'_>) -> Vec<String> {
        self.reap();
        let waiting = waiting_ticks();
        let outside = context.warden.held_outside(context.now, waiting);
        let shown = self.shown();
        let limits = Limits { deadline: context.deadline_ticks, waiting };
        let judged = self.questions.look(context.now, limits, &outside, &shown);
        let sample = |actor, unread, waits: bool| QueueSample {
            at: context.now,
            actor,
            unread,
            waiting: if waits { u32::try_from(judged.waiting).unwrap_or(u32::MAX) } else { 0 },
            since: judged.since.filter(|_| waits),
        };
        for product in &shown {
            let actor = self.products[product.place].actor;
            context.trace.queue_sample(&sample(actor, product.unread, judged.whom == Some(product.place)));
        }
        if judged.whom.is_none() && judged.waiting > 0 {
            context.trace.queue_sample(&sample(Actor::UNKNOWN, None, true));
        }
        judged.overdue.iter().map(|&place| self.end_overdue(place, &judged, context)).collect()
    }

    fn end_overdue(&mut self, place: usize, judged: &Judged, context: &PollContext<'_>) -> String {
        let product = &mut self.products[place];
        product.killed = true;
        let (kind, actor) = (FaultKind::DeadlineKill, product.actor);
        context.trace.fault(&Fault { at: context.now, kind, actor, detail: u64::MAX });
        self.family.members().filter(|&(_, whose)| whose == place).for_each(|(pid, _)| end(pid));
        let others =
            if judged.whom == Some(place) { "" } else { "; it cannot be told whether it alone held on" };
        format!("{} missed the lab's deadline and is killed{others}", self.products[place].wanted.id)
    }

    /// What the products show of themselves that are asked about the arena.
    fn shown(&self) -> Vec<Shown> {
        let mut shown = Vec::new();
        for (place, product) in self.products.iter().enumerate() {
            let pids: BTreeSet<u32> =
                self.family.members().filter(|&(_, whose)| whose == place).map(|(pid, _)| pid).collect();
            let asked = product.held.iter().filter(|held| held.asks_in_arena() && pids.contains(&held.pid));
            let mut groups: BTreeMap<u32, BTreeSet<i32>> = BTreeMap::new();
            asked.for_each(|held| {
                groups.entry(held.pid).or_default().insert(held.descriptor);
            });
            if groups.is_empty() {
                continue;
            }
            let mut seen = Shown { place, killed: product.killed, ..Shown::default() };
            for (&pid, descriptors) in &groups {
                for &descriptor in descriptors {
                    let Some(unread) = groups::unread(pid, descriptor) else { continue };
                    seen.unread = Some(seen.unread.unwrap_or(0).saturating_add(unread));
                    if unread > 0 {
                        seen.holds.push(Hold::Unread { pid, descriptor });
                    }
                }
                let descriptors: Vec<i32> = descriptors.iter().copied().collect();
                seen.holds.extend(groups::holds(pid, &descriptors, &self.arena));
            }
            shown.push(seen);
        }
        shown
    }

    /// Lets go of processes that have ended and whose parent has ended before them.
    fn reap(&self) {
        let own = lab_process::process_id();
        for (pid, place) in self.family.members() {
            let left = proc::stat(pid).is_some_and(|stat| (stat.parent, stat.state) == (own, 'Z'));
            if left && pid != self.products[place].pid {
                // What it ended with is nobody's business here; it may just be reaped by somebody else.
                if let Err(error) = waitpid(as_pid(pid), Some(WaitPidFlag::WNOHANG)) {
                    tracing::debug!("cannot reap {pid}: {error}");
                }
            }
        }
    }
}

fn private_failure(external: &External, folder: Option<&PrivateFolder>, error: &std::io::Error) -> Failure {
    let what = folder.map_or("its folders", |folder| &folder.path);
    let message = format!("{} cannot have {what} for itself: {error}", external.id);
    Failure::new(FailureKind::Product, message)
}

fn waiting_ticks() -> u64 {
    clock::timebase().ticks(WAITING_NS)
}

fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap_or(i32::MAX))
}
