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
use lab_client_core::{Backend, Policy};
use lab_model::{Actor, Behavior, FailureReason, Role};
use lab_process::{
    Arena, Control, ControlWriter, Gate, clock, create_trace,
    failure::{self, Failed},
    privileges::{self, Capability, Kept, Programs},
    process_id, thread_id,
};
use lab_protocol::{Assignment, ClientAssignment, HelperReady, Order, PROTOCOL, Reply, Welcome};
use lab_trace::{Counter, Loss, LossKind, PENDING_SLOTS, ThreadMark, ThreadPurpose, TraceWriter};

use crate::{
    housekeeper,
    intake::Reader,
    kernel,
    observer::Watcher,
    pending::PendingTable,
    queue::WorkQueue,
    settings::{Participants, Published, Settings},
    shared::{AdmissionRules, Client, Decisions, Events, Means, WORKER_PLACES, Watch},
    worker::Worker,
    worker_processes::WorkerProcesses,
};

/// Events that may wait for the housekeeper to look at their file, each with an open descriptor.
const ANSWERED_MAX: usize = 8192;

/// What a client has before it has its kernel.
#[cfg_attr(
    not(any(target_os = "linux", target_os = "macos")),
    expect(dead_code, reason = "no backend needs it there yet")
)]
pub(crate) struct Start<'a> {
    pub(crate) welcome: &'a Welcome,
    pub(crate) assignment: &'a ClientAssignment,
    pub(crate) trace: TraceWriter,
    pub(crate) outside: WorkerProcesses,
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
    kernel::start(control, Start { welcome: &welcome, assignment: &assignment, trace, outside })
}

#[cfg_attr(
    not(any(target_os = "linux", target_os = "macos")),
    expect(dead_code, reason = "no backend calls it there yet")
)]
pub(crate) fn serve<B: Backend>(
    control: &mut Control,
    start: Start<'_>,
    backend: B,
    queue: Option<i32>,
) -> Result<()> {
    let Start { welcome, assignment, trace, outside } = start;
    let workers = assignment.workers_max.max(1);
    let helpers = outside.ready.clone();
    let helper_actors: Vec<Actor> = helpers.iter().map(|helper| helper.actor).collect();
    let settings = Settings {
        policy: policy(&assignment.behavior, assignment, &[]),
        participants: Participants::new(welcome.actor, [], Vec::new(), helper_actors.clone()),
    };
    let client = Client {
        events: Arc::new(Events {
            actor: welcome.actor,
            backend,
            trace,
            // The observer comes last.
            gate: Arc::new(Gate::new(WORKER_PLACES + usize::from(workers) + 1)),
            paths: Arc::default(),
            answered: ArrayQueue::new(ANSWERED_MAX),
            not_kept: AtomicU64::new(0),
        }),
        decisions: Arc::new(Decisions {
            pending: PendingTable::new(),
            queue: WorkQueue::new(2 * PENDING_SLOTS, usize::from(workers)),
        }),
        admission: Arc::new(AdmissionRules {
            settings: Published::new(settings),
            seed: welcome.seed,
            workers: usize::from(workers),
        }),
        means: Arc::new(Means {
            arena: Arena::new(&welcome.arena, assignment.workload.clone()),
            outside,
            unreadable: AtomicBool::new(false),
        }),
        watch: Arc::new(Watch::default()),
    };
    // Each worker that the behaviour does not need takes itself out.
    client.events.trace.board().set(Counter::Workers, u64::from(workers));
    apply(&client, &assignment.behavior)?;
    // From here on it marks and nothing else, for which this thread alone keeps what it takes.
    privileges::keep_in_reserve(&[Capability::Administer])?;
    let threads = start_threads(&client, workers, !assignment.notifies.is_empty(), &control.writer())?;
    // Its own threads are known before the first event can come from one of them: workers only act on events, and
    // helpers only on requests.
    let own = threads.iter().map(|&tid| (tid, welcome.actor));
    let of_helper = |helper: &HelperReady| {
        let actor = helper.actor;
        helper.threads.iter().map(move |&tid| (tid, actor)).collect::<Vec<_>>()
    };
    let own = own.chain(helpers.iter().flat_map(of_helper));
    let participants = Participants::new(welcome.actor, own, vec![welcome.actor], helper_actors);
    let current = client.admission.settings.current();
    client.admission.settings.publish(Settings { policy: current.policy.clone(), participants });
    control.writer().reply(&Reply::Ready { pid: process_id(), threads, queue, helpers })?;
    follow(control, assignment, &client)
}

fn follow<B: Backend>(
    control: &mut Control,
    assignment: &ClientAssignment,
    client: &Client<B>,
) -> Result<()> {
    let mut known: Vec<(String, Actor)> = Vec::new();
    loop {
        let current = client.admission.settings.current();
        match control.order()? {
            Order::Participants { threads, clients, names } => {
                let participants = current.participants.among(threads, clients);
                known = names;
                let policy = policy(current.policy.behavior(), assignment, &known);
                client.admission.settings.publish(Settings { policy, participants });
            }
            Order::Behave { behavior } => {
                let policy = policy(&behavior, assignment, &known);
                client
                    .admission
                    .settings
                    .publish(Settings { policy, participants: current.participants.clone() });
                apply(client, &behavior)?;
            }
            Order::Finish => {
                // What goes on after this moment is in flight at the run's end: neither recorded nor lost.
                client.events.gate.shut();
                while let Some((token, record)) = client.events.answered.pop() {
                    client.events.look_at(token, record);
                }
                client.events.record_lives(&mut Vec::new());
                let unread = client.events.backend.unread_notices();
                if unread > 0 {
                    let kind = LossKind::NoticesUnread;
                    client.events.trace.loss(&Loss { at: clock::now(), kind, count: unread });
                }
                client.events.trace.close(clock::now())?;
                client.means.outside.end();
                return Ok(control.writer().reply(&Reply::Closed { lost: client.events.trace.lost() })?);
            }
            Order::StartHelper { welcome } => {
                let participants = current.participants.with_helper(welcome.actor);
                client.admission.settings.publish(Settings { policy: current.policy.clone(), participants });
                let program = assignment.helpers.as_ref().map(|helpers| helpers.program.as_str());
                let program = program.context("a client without helpers cannot start one again")?;
                let started = client.means.outside.start_again(program, &welcome, &control.writer());
                tell_failure(control, welcome.actor, started)?;
            }
            Order::Connect { with, channels } => match control.channels(channels) {
                Ok(channels) => client.means.outside.connect(with, channels)?,
                // Without them its requests fail, and are recorded so.
                Err(error) => tracing::warn!("a daemon cannot be reached: {error}"),
            },
            Order::Engage { helper } => tell_failure(control, helper, client.means.outside.engage(helper))?,
            Order::Work { helper: Some(helper), service } => {
                client.means.outside.instruct(helper, service)?
            }
            order => bail!("a client cannot follow the order {order:?}"),
        }
        control.writer().reply(&Reply::Done)?;
    }
}

/// Tells of a helper that does not come back. The client goes on without it.
fn tell_failure(control: &Control, actor: Actor, done: Result<()>) -> Result<()> {
    let Err(error) = done else { return Ok(()) };
    let (message, reason) = (format!("{error:#}"), failure::reason_of(error.as_ref()));
    Ok(control.writer().reply(&Reply::HelperFailed { actor, message, reason })?)
}

fn policy(behavior: &Behavior, assignment: &ClientAssignment, names: &[(String, Actor)]) -> Policy {
    Policy::new(behavior.clone(), assignment.deadline, clock::timebase())
        .among(names.iter().map(|(name, actor)| (name.as_str(), *actor)))
}

fn apply<B: Backend>(client: &Client<B>, behavior: &Behavior) -> Result<()> {
    client.watch.watches_time.store(behavior.answer_by_percent.is_some(), Ordering::Relaxed);
    client.decisions.queue.limit(usize::from(behavior.concurrency.get()));
    privileges::with(&[Capability::Administer], || mark(client, behavior))?
}

/// Has the kernel ask and tell about what the behaviour wants.
fn mark<B: Backend>(client: &Client<B>, behavior: &Behavior) -> Result<()> {
    client.events.backend.subscribe(behavior.subscribe).map_err(|error| {
        anyhow!("cannot subscribe to {:?} events: {}", behavior.subscribe, description(error))
    })?;
    client
        .events
        .backend
        .notify(behavior.notify)
        .map_err(|error| anyhow!("cannot be told of {:?}: {}", behavior.notify, description(error)))?;
    let muted = behavior.mute.paths.iter().map(|path| client.means.arena.whole(path.as_bytes()));
    client.events.backend.mute(&muted.collect::<Vec<_>>()).map_err(|(path, error)| {
        anyhow!("cannot mute {}: {}", String::from_utf8_lossy(&path), description(error))
    })
}

fn description(error: u32) -> &'static str {
    nix::Error::from_raw(i32::try_from(error).unwrap_or(0)).desc()
}

/// Starts the workers, the housekeeper and, last, the reader; returns the IDs of all threads.
fn start_threads<B: Backend>(
    client: &Client<B>,
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
        let (events, decisions) = (Arc::clone(&client.events), Arc::clone(&client.decisions));
        let means = Arc::clone(&client.means);
        spawn(
            format!("worker-{number}"),
            Box::new(move |announce| {
                decisions.queue.register(usize::from(number));
                register(&events.trace, announce, ThreadPurpose::Worker, number);
                Worker::new(events, decisions, means, number).run()
            }),
        )?;
    }
    let (events, decisions) = (Arc::clone(&client.events), Arc::clone(&client.decisions));
    let watch = Arc::clone(&client.watch);
    spawn(
        "housekeeper".to_owned(),
        Box::new(move |announce| {
            register(&events.trace, announce, ThreadPurpose::Housekeeper, 0);
            housekeeper::run(&events, &decisions, &watch)
        }),
    )?;
    if notifies {
        let (events, writer) = (Arc::clone(&client.events), writer.clone());
        let mut watcher = Watcher::new(client, WORKER_PLACES + usize::from(workers));
        let body = Box::new(move |announce: &mpsc::Sender<u64>| {
            register(&events.trace, announce, ThreadPurpose::Observer, 0);
            if let Err(error) = events.backend.observe(&mut watcher) {
                let message = format!("the kernel tells no more: {error}");
                fail(&writer, Failed { message, reason: failure::reason_of_errno(error.code) });
            }
        });
        spawn("observer".to_owned(), body)?;
    }
    let (events, writer) = (Arc::clone(&client.events), writer.clone());
    let mut reader = Reader::new(client);
    spawn(
        "reader".to_owned(),
        Box::new(move |announce| {
            register(&events.trace, announce, ThreadPurpose::Reader, 0);
            let failed = match events.backend.receive(&mut reader) {
                Ok(()) => Failed {
                    message: format!("the kernel gives no more events; {} were lost", reader.lost_events()),
                    reason: FailureReason::Other,
                },
                Err(error) => {
                    Failed { message: error.to_string(), reason: failure::reason_of_errno(error.code) }
                }
            };
            // Without its reader a client only stands in the way; its end allows what is pending.
            fail(&writer, failed);
        }),
    )?;
    register(&client.events.trace, &announce, ThreadPurpose::Control, 0);
    let count = usize::from(workers) + 3 + usize::from(notifies);
    (0..count).map(|_| announced.recv().context("a thread ended while it started")).collect()
}

/// Says why the client ends, and ends it.
fn fail(writer: &ControlWriter, Failed { message, reason }: Failed) -> ! {
    drop(writer.reply(&Reply::Failed { message, reason, mend: None }));
    std::process::exit(i32::from(reason.exit_status()))
}

fn register(trace: &TraceWriter, announce: &mpsc::Sender<u64>, purpose: ThreadPurpose, number: u16) {
    let tid = thread_id();
    trace.thread(&ThreadMark { at: clock::now(), tid, purpose, number });
    if announce.send(tid).is_err() {
        tracing::error!("nobody waits for the threads any more");
    }
}
