//! The client as a whole: setting up, and following orders.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
};

use anyhow::{Context, Result, anyhow, bail};
use crossbeam_queue::ArrayQueue;
use lab_client_core::{Backend, FileFacts, Policy};
use lab_model::{Actor, Behavior, EventKind, Role};
use lab_process::{
    Arena, Control, ControlWriter, Gate, Paths, clock, create_trace,
    privileges::{self, Capability, Kept, Programs},
    process_id, thread_id,
};
use lab_protocol::{Assignment, ClientAssignment, HelperReady, Order, PROTOCOL, Reply, Welcome};
use lab_trace::{Counter, Loss, LossKind, PENDING_SLOTS, RecordId, ThreadMark, ThreadPurpose, TraceWriter};

use crate::{
    housekeeper,
    intake::Reader,
    observer::Watcher,
    pending::PendingTable,
    queue::WorkQueue,
    settings::{Participants, Published, Settings},
    worker::{Job, Worker},
    worker_processes::WorkerProcesses,
};

/// Events that may wait for the housekeeper to look at their file, each with an open descriptor.
const ANSWERED_MAX: usize = 8192;

/// Events of Endpoint Security that may be pending at a time; about the kernel's own limit.
#[cfg(target_os = "macos")]
const PENDING_MAX: u32 = 4096;

/// Notices of Endpoint Security that may wait for the observer at a time, each with a retained message.
#[cfg(target_os = "macos")]
const NOTICES_MAX: u32 = 16_384;

/// The reader's place at the gate.
pub(crate) const READER_PLACE: usize = 0;
/// The housekeeper's place at the gate.
pub(crate) const HOUSEKEEPER_PLACE: usize = 1;
/// The place of the first worker at the gate.
pub(crate) const WORKER_PLACES: usize = 2;

/// What the threads of a client share.
pub(crate) struct Shared<B: Backend> {
    pub(crate) actor: Actor,
    pub(crate) seed: u64,
    /// How many workers there are.
    pub(crate) workers: usize,
    pub(crate) backend: B,
    pub(crate) trace: TraceWriter,
    pub(crate) gate: Arc<Gate>,
    pub(crate) settings: Published,
    pub(crate) pending: PendingTable<B::Token>,
    pub(crate) queue: WorkQueue<Job<B::Token>>,
    pub(crate) answered: ArrayQueue<(B::Token, RecordId)>,
    pub(crate) paths: Arc<Paths>,
    pub(crate) arena: Arena,
    pub(crate) outside: WorkerProcesses,
    pub(crate) lost_events: AtomicU64,
    pub(crate) watches_time: AtomicBool,
    /// Answers that the kernel has refused to keep.
    pub(crate) not_kept: AtomicU64,
    /// The kernel has refused to let an event's file be read; said once.
    pub(crate) unreadable: AtomicBool,
}

impl<B: Backend> Shared<B> {
    /// Passes an answered event on to the housekeeper, or looks at it here when there are too many.
    pub(crate) fn resolve(&self, token: B::Token, record: RecordId) {
        if let Err((token, record)) = self.answered.push((token, record)) {
            self.look_at(token, record);
            self.backend.release(token);
        }
    }

    /// Has the kernel keep the answer to an event. A refusal is counted, and the housekeeper tells of it.
    pub(crate) fn cache_answer(&self, token: B::Token, event: EventKind) {
        if self.backend.cache_answer(token, event).is_err() {
            self.not_kept.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Finds out which file an event was about and records it.
    pub(crate) fn look_at(&self, token: B::Token, record: RecordId) {
        let facts = self.backend.file(token, &|file| self.paths.wants(file));
        let target = |facts: FileFacts| self.paths.target(&self.trace, facts.file, facts.path.as_deref());
        if let Some(target) = facts.and_then(target) {
            self.trace.decision_target(record, &target);
        }
    }
}

/// Follows the orchestrator's orders until it says that it is over.
pub(crate) fn run(control: &mut Control) -> Result<()> {
    let Order::Welcome(welcome) = control.order()? else { bail!("the first order was no welcome") };
    if welcome.protocol != PROTOCOL {
        bail!("the orchestrator speaks protocol {}, this client {PROTOCOL}", welcome.protocol);
    }
    let Assignment::Client(assignment) = welcome.assignment.clone() else {
        bail!("a client was given the assignment of another process")
    };
    let trace = create_trace(&welcome, Role::Client, env!("CARGO_PKG_VERSION"))
        .with_context(|| format!("cannot create the trace {}", welcome.trace.path))?;
    let reach = privileges::needed_to_reach(&[Path::new(&welcome.arena)], &[])?;
    let reserve = [Capability::Administer, Capability::Resource, Capability::SetCapabilities];
    // What needs them happens on this thread, before it gives them up.
    privileges::keep(&Kept { used: &reach, reserve: &reserve, programs: Programs::Used })
        .context("cannot give up what a client does not need")?;
    // Children are started before there is a kernel queue whose descriptor could leak into them.
    let outside = WorkerProcesses::start(welcome.actor, &assignment, &trace, &control.writer())?;
    start(control, &welcome, &assignment, trace, outside)
}

#[cfg(target_os = "linux")]
fn start(
    control: &mut Control,
    welcome: &Welcome,
    assignment: &ClientAssignment,
    trace: TraceWriter,
    outside: WorkerProcesses,
) -> Result<()> {
    privileges::with(&[Capability::Resource], lab_backend_fanotify::confine::raise_descriptor_limit)?
        .context("cannot raise the limit on descriptors")?;
    // Everything that opens a file has been done by now: from here on the arena's opens wait for this client.
    let group = privileges::with(&[Capability::Administer], || {
        lab_backend_fanotify::Group::create(Path::new(&welcome.arena))?.observing(assignment.notifies)
    })??;
    let queue = Some(group.descriptor());
    serve(control, welcome, assignment, (trace, outside), group, queue)
}

#[cfg(target_os = "macos")]
fn start(
    control: &mut Control,
    welcome: &Welcome,
    assignment: &ClientAssignment,
    trace: TraceWriter,
    outside: WorkerProcesses,
) -> Result<()> {
    use lab_backend_es::{Cache, EsBackend, EsClient, Scope, Shared};

    let listens = !assignment.notifies.is_empty();
    let backend = EsBackend::observing(PENDING_MAX, if listens { NOTICES_MAX } else { 0 });
    let arena = Scope::Arena(welcome.arena.clone().into_bytes());
    backend
        .confined_to(lab_backend_es::Arena::new(welcome.arena.as_bytes(), arena_files(welcome, assignment)?));
    // Everything that opens a file has been done by now: from here on the arena's opens wait for this client.
    let client = EsClient::open(&backend, &arena, Cache::Off)?;
    let listener = listens.then(|| EsClient::listen(&backend, &arena)).transpose()?;
    let outcome = serve(control, welcome, assignment, (trace, outside), Shared(backend), None);
    // Deleted on the thread that connected them; what is still pending is allowed.
    drop((listener, client));
    outcome
}

/// The files of the arena, by what they are made from: looking would be an event for every other client. Programs that
/// this lab does not have do no harm.
#[cfg(target_os = "macos")]
fn arena_files(welcome: &Welcome, assignment: &ClientAssignment) -> Result<Vec<Vec<u8>>> {
    use lab_model::ExecProgram;

    let machine = lab_workload::elf::Machine::this();
    let host = lab_workload::ArenaHost { root: welcome.arena.clone(), machine };
    let programs = [ExecProgram::Static, ExecProgram::Dynamic, ExecProgram::Script];
    let entries = lab_workload::arena(&assignment.workload, &programs, &host)?;
    Ok(entries.into_iter().map(|entry| entry.path.into_bytes()).collect())
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn start(
    _: &mut Control,
    _: &Welcome,
    _: &ClientAssignment,
    _: TraceWriter,
    _: WorkerProcesses,
) -> Result<()> {
    bail!("this build has no kernel to ask")
}

#[cfg_attr(
    not(any(target_os = "linux", target_os = "macos")),
    expect(dead_code, reason = "no backend calls it there yet")
)]
fn serve<B: Backend>(
    control: &mut Control,
    welcome: &Welcome,
    assignment: &ClientAssignment,
    (trace, outside): (TraceWriter, WorkerProcesses),
    backend: B,
    queue: Option<i32>,
) -> Result<()> {
    let workers = assignment.workers_max.max(1);
    let helpers = outside.ready.clone();
    let helper_actors: Vec<Actor> = helpers.iter().map(|helper| helper.actor).collect();
    let settings = Settings {
        policy: policy(&assignment.behavior, assignment, &[]),
        participants: Participants::new(welcome.actor, [], Vec::new(), helper_actors.clone()),
    };
    let shared = Arc::new(Shared {
        actor: welcome.actor,
        seed: welcome.seed,
        workers: usize::from(workers),
        backend,
        trace,
        // The observer comes last.
        gate: Arc::new(Gate::new(WORKER_PLACES + usize::from(workers) + 1)),
        settings: Published::new(settings),
        pending: PendingTable::new(),
        queue: WorkQueue::new(2 * PENDING_SLOTS, usize::from(workers)),
        answered: ArrayQueue::new(ANSWERED_MAX),
        paths: Arc::default(),
        arena: Arena::new(&welcome.arena, assignment.workload.clone()),
        outside,
        lost_events: AtomicU64::new(0),
        watches_time: AtomicBool::new(false),
        not_kept: AtomicU64::new(0),
        unreadable: AtomicBool::new(false),
    });
    // Each worker that the behaviour does not need takes itself out.
    shared.trace.board().set(Counter::Workers, u64::from(workers));
    apply(&shared, &assignment.behavior)?;
    // From here on it marks and nothing else, for which this thread alone keeps what it takes.
    privileges::keep_in_reserve(&[Capability::Administer])?;
    let threads = start_threads(&shared, workers, !assignment.notifies.is_empty(), &control.writer())?;
    // Its own threads are known before the first event can come from one of them: workers only act on events, and
    // helpers only on requests.
    let own = threads.iter().map(|&tid| (tid, welcome.actor));
    let of_helper = |helper: &HelperReady| {
        let actor = helper.actor;
        helper.threads.iter().map(move |&tid| (tid, actor)).collect::<Vec<_>>()
    };
    let own = own.chain(helpers.iter().flat_map(of_helper));
    let participants = Participants::new(welcome.actor, own, vec![welcome.actor], helper_actors);
    let current = shared.settings.current();
    shared.settings.publish(Settings { policy: current.policy.clone(), participants });
    control.writer().reply(&Reply::Ready { pid: process_id(), threads, queue, helpers })?;
    follow(control, assignment, &shared)
}

fn follow<B: Backend>(
    control: &mut Control,
    assignment: &ClientAssignment,
    shared: &Shared<B>,
) -> Result<()> {
    let mut known: Vec<(String, Actor)> = Vec::new();
    loop {
        let current = shared.settings.current();
        match control.order()? {
            Order::Participants { threads, clients, names } => {
                let participants = current.participants.among(threads, clients);
                known = names;
                let policy = policy(current.policy.behavior(), assignment, &known);
                shared.settings.publish(Settings { policy, participants });
            }
            Order::Behave { behavior } => {
                let policy = policy(&behavior, assignment, &known);
                shared.settings.publish(Settings { policy, participants: current.participants.clone() });
                apply(shared, &behavior)?;
            }
            Order::Finish => {
                // What goes on after this moment is in flight at the run's end: neither recorded nor lost.
                shared.gate.shut();
                while let Some((token, record)) = shared.answered.pop() {
                    shared.look_at(token, record);
                }
                housekeeper::record_lives(shared, &mut Vec::new());
                let unread = shared.backend.unread_notices();
                if unread > 0 {
                    let kind = LossKind::NoticesUnread;
                    shared.trace.loss(&Loss { at: clock::now(), kind, count: unread });
                }
                shared.trace.close(clock::now())?;
                shared.outside.end();
                return Ok(control.writer().reply(&Reply::Closed { lost: shared.trace.lost() })?);
            }
            Order::StartHelper { welcome } => {
                let participants = current.participants.with_helper(welcome.actor);
                shared.settings.publish(Settings { policy: current.policy.clone(), participants });
                let program = assignment.helpers.as_ref().map(|helpers| helpers.program.as_str());
                let program = program.context("a client without helpers cannot start one again")?;
                let started = shared.outside.start_again(program, &welcome, &control.writer());
                tell_failure(control, welcome.actor, started)?;
            }
            Order::Connect { with, channels } => match control.channels(channels) {
                Ok(channels) => shared.outside.connect(with, channels)?,
                // Without them its requests fail, and are recorded so.
                Err(error) => tracing::warn!("a daemon cannot be reached: {error}"),
            },
            Order::Engage { helper } => tell_failure(control, helper, shared.outside.engage(helper))?,
            Order::Work { helper: Some(helper), service } => shared.outside.instruct(helper, service)?,
            order => bail!("a client cannot follow the order {order:?}"),
        }
        control.writer().reply(&Reply::Done)?;
    }
}

/// Tells of a helper that does not come back. The client goes on without it.
fn tell_failure(control: &Control, actor: Actor, done: Result<()>) -> Result<()> {
    let Err(error) = done else { return Ok(()) };
    let message = format!("{error:#}");
    Ok(control.writer().reply(&Reply::HelperFailed { actor, message })?)
}

fn policy(behavior: &Behavior, assignment: &ClientAssignment, names: &[(String, Actor)]) -> Policy {
    Policy::new(behavior.clone(), assignment.deadline, clock::timebase())
        .among(names.iter().map(|(name, actor)| (name.as_str(), *actor)))
}

fn apply<B: Backend>(shared: &Shared<B>, behavior: &Behavior) -> Result<()> {
    shared.watches_time.store(behavior.answer_by_percent.is_some(), Ordering::Relaxed);
    shared.queue.limit(usize::from(behavior.concurrency.get()));
    privileges::with(&[Capability::Administer], || mark(shared, behavior))?
}

/// Has the kernel ask and tell about what the behaviour wants.
fn mark<B: Backend>(shared: &Shared<B>, behavior: &Behavior) -> Result<()> {
    shared.backend.subscribe(behavior.subscribe).map_err(|error| {
        anyhow!("cannot subscribe to {:?} events: {}", behavior.subscribe, description(error))
    })?;
    shared
        .backend
        .notify(behavior.notify)
        .map_err(|error| anyhow!("cannot be told of {:?}: {}", behavior.notify, description(error)))?;
    let muted = behavior.mute.paths.iter().map(|path| shared.arena.whole(path.as_bytes()));
    shared.backend.mute(&muted.collect::<Vec<_>>()).map_err(|(path, error)| {
        anyhow!("cannot mute {}: {}", String::from_utf8_lossy(&path), description(error))
    })
}

fn description(error: u32) -> &'static str {
    nix::Error::from_raw(i32::try_from(error).unwrap_or(0)).desc()
}

/// Starts the workers, the housekeeper and, last, the reader; returns the IDs of all threads.
fn start_threads<B: Backend>(
    shared: &Arc<Shared<B>>,
    workers: u16,
    notifies: bool,
    writer: &ControlWriter,
) -> Result<Vec<u64>> {
    type Body = Box<dyn FnOnce(&mpsc::Sender<u64>) + Send>;
    let (announce, announced) = mpsc::channel();
    let spawn = |name: String, body: Body| {
        let announce = announce.clone();
        let body = move || match privileges::keep_in_reserve(&[]) {
            Ok(()) => body(&announce),
            // Whoever waits for this thread hears that it is gone.
            Err(error) => tracing::error!("cannot give up what a client does not need: {error}"),
        };
        thread::Builder::new().name(name).spawn(body).context("cannot start a thread")
    };
    for number in 0..workers {
        let shared = Arc::clone(shared);
        spawn(
            format!("worker-{number}"),
            Box::new(move |announce| {
                shared.queue.register(usize::from(number));
                register(&shared.trace, announce, ThreadPurpose::Worker, number);
                Worker::new(shared, number).run()
            }),
        )?;
    }
    let housekept = Arc::clone(shared);
    spawn(
        "housekeeper".to_owned(),
        Box::new(move |announce| {
            register(&housekept.trace, announce, ThreadPurpose::Housekeeper, 0);
            housekeeper::run(&housekept)
        }),
    )?;
    if notifies {
        let (observed, writer) = (Arc::clone(shared), writer.clone());
        let body = Box::new(move |announce: &mpsc::Sender<u64>| {
            register(&observed.trace, announce, ThreadPurpose::Observer, 0);
            let mut watcher = Watcher::new(Arc::clone(&observed), WORKER_PLACES + usize::from(workers));
            if let Err(error) = observed.backend.observe(&mut watcher) {
                fail(&writer, format!("the kernel tells no more: {error}"));
            }
        });
        spawn("observer".to_owned(), body)?;
    }
    let (read, writer) = (Arc::clone(shared), writer.clone());
    spawn(
        "reader".to_owned(),
        Box::new(move |announce| {
            register(&read.trace, announce, ThreadPurpose::Reader, 0);
            let mut reader = Reader::new(Arc::clone(&read));
            let message = match read.backend.receive(&mut reader) {
                Ok(()) => format!("the kernel gives no more events; {} were lost", reader.lost_events()),
                Err(error) => error.to_string(),
            };
            // Without its reader a client only stands in the way; its end allows what is pending.
            fail(&writer, message);
        }),
    )?;
    register(&shared.trace, &announce, ThreadPurpose::Control, 0);
    let count = usize::from(workers) + 3 + usize::from(notifies);
    (0..count).map(|_| announced.recv().context("a thread ended while it started")).collect()
}

/// Says why the client ends, and ends it.
fn fail(writer: &ControlWriter, message: String) -> ! {
    drop(writer.reply(&Reply::Failed { message, mend: None }));
    std::process::exit(1)
}

fn register(trace: &TraceWriter, announce: &mpsc::Sender<u64>, purpose: ThreadPurpose, number: u16) {
    let tid = thread_id();
    trace.thread(&ThreadMark { at: clock::now(), tid, purpose, number });
    if announce.send(tid).is_err() {
        tracing::error!("nobody waits for the threads any more");
    }
}
