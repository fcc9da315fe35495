//! The conversation with the orchestrator, and the threads that it sets up and ends.

use std::{
    io,
    os::unix::net::UnixStream,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Sender},
    },
    thread::{Builder, JoinHandle},
};

use lab_model::{FailureReason, LoadKind, Role, ThreadId, Workload};
use lab_process::{
    GROW_EVERY, clock, failure, platform,
    privileges::{self, Capability, Kept, Programs},
    program::Launcher,
};
use lab_protocol::{Assignment, FrameError, Order, PROTOCOL, PhaseOrder, Reply, Welcome, receive};
use lab_trace::{Counter, Loss, LossKind, OPERATION_SLOTS, ThreadMark, ThreadPurpose, TraceWriter};
use lab_workload::{PhaseLimits, schedules, workers};

use crate::{
    phase::{Job, Replies, Round},
    sites::Sites,
    worker::{ProcessTrees, Tools, Worker},
};

/// How the conversation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The orchestrator said so, and the trace is closed.
    Finished,
    /// The connection was lost; the trace is left as it is.
    Abandoned,
}

/// Why the driver could not do what it was told. The orchestrator was told the same.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The orchestrator said something that has no place here.
    #[error("the orchestrator and the driver do not understand each other: {0}")]
    Protocol(String),
    /// The arena is not what the workload needs.
    #[error("{0}")]
    Arena(String),
    /// The trace could not be created.
    #[error("cannot create the trace {path}: {error}")]
    Trace {
        /// Its path.
        path: String,
        /// Why.
        error: io::Error,
    },
    /// A thread could not be started or equipped.
    #[error("cannot start a thread of the driver: {0}")]
    Thread(io::Error),
    /// What it may do could not be limited.
    #[error("cannot give up what the driver does not need: {0}")]
    Privileges(io::Error),
}

impl ServeError {
    /// The kind of reason, which is also the driver's exit status.
    #[must_use]
    pub fn reason(&self) -> FailureReason {
        match self {
            ServeError::Protocol(_) | ServeError::Arena(_) => FailureReason::Other,
            ServeError::Trace { error, .. } | ServeError::Thread(error) | ServeError::Privileges(error) => {
                failure::reason_of(error)
            }
        }
    }

    fn mend(&self) -> Option<String> {
        let mend = match self {
            ServeError::Protocol(_) => "use lab and lab-driver of one build",
            ServeError::Arena(_) => return None,
            ServeError::Trace { error, .. } => match error.kind() {
                io::ErrorKind::StorageFull => "free space on the disk that holds the run's folder",
                io::ErrorKind::AlreadyExists => "give each run a folder of its own",
                _ => "make the run's folder writable",
            },
            ServeError::Thread(_) => "ask for fewer workers",
            ServeError::Privileges(_) => "allow the lab the calls prctl and capset",
        };
        Some(mend.to_owned())
    }
}

/// Does what the orchestrator orders over `control` until it says that it is over, or is gone.
///
/// # Errors
/// [`ServeError`] when an order cannot be carried out.
pub fn serve(mut control: UnixStream) -> Result<Outcome, ServeError> {
    let replies = Replies::new(control.try_clone().map_err(ServeError::Thread)?);
    let result = converse(&mut control, &replies);
    if let Err(error) = &result {
        let reason = error.reason();
        replies.send(&Reply::Failed { message: error.to_string(), reason, mend: error.mend() });
    }
    result
}

/// The next order; `None` when the connection is lost.
fn next_order(control: &mut UnixStream) -> Result<Option<Order>, ServeError> {
    match receive(control) {
        Ok(order) => Ok(Some(order)),
        Err(FrameError::Closed | FrameError::Io(_)) => Ok(None),
        Err(error @ (FrameError::TooLong(_) | FrameError::Form(_) | FrameError::Crowded)) => {
            Err(ServeError::Protocol(error.to_string()))
        }
    }
}

fn converse(control: &mut UnixStream, replies: &Replies) -> Result<Outcome, ServeError> {
    let mut driver = match next_order(control)? {
        None => return Ok(Outcome::Abandoned),
        Some(Order::Welcome(welcome)) => Driver::start(&welcome, replies.clone())?,
        Some(_) => return Err(ServeError::Protocol("the first order was no welcome".to_owned())),
    };
    let (pid, threads) = (std::process::id(), driver.threads.clone());
    replies.send(&Reply::Ready { pid, threads, queue: None, helpers: Vec::new() });
    loop {
        match next_order(control)? {
            None => return Ok(Outcome::Abandoned),
            Some(Order::Drive(order)) => driver.drive(&order)?,
            Some(Order::Halt) => {
                driver.halt();
                replies.send(&Reply::Done);
            }
            Some(Order::Finish) => {
                let lost = driver.finish();
                replies.send(&Reply::Closed { lost });
                return Ok(Outcome::Finished);
            }
            Some(
                Order::Welcome(_)
                | Order::Participants { .. }
                | Order::Behave { .. }
                | Order::Work { .. }
                | Order::StartHelper { .. }
                | Order::Engage { .. }
                | Order::Connect { .. }
                | Order::Serve,
            ) => {
                return Err(ServeError::Protocol("an order is not for a driver that runs".to_owned()));
            }
        }
    }
}

/// A worker as the rest of the driver knows it.
struct WorkerHandle {
    /// Gives it work; closing it ends the worker.
    jobs: Sender<Job>,
    thread: JoinHandle<()>,
}

struct Driver {
    workload: Vec<Workload>,
    seed: u64,
    writer: TraceWriter,
    workers: Vec<WorkerHandle>,
    /// The housekeeper, and what ends it.
    housekeeper: (Arc<AtomicBool>, JoinHandle<()>),
    threads: Vec<u64>,
    round: Option<Arc<Round>>,
    replies: Replies,
}

impl Driver {
    fn start(welcome: &Welcome, replies: Replies) -> Result<Driver, ServeError> {
        if welcome.protocol != PROTOCOL {
            let version = format!("it speaks version {}, the driver {PROTOCOL}", welcome.protocol);
            return Err(ServeError::Protocol(version));
        }
        let Assignment::Driver(assignment) = &welcome.assignment else {
            return Err(ServeError::Protocol("a driver was told to be a client".to_owned()));
        };
        let workload = assignment.workload.clone();
        let sites = Arc::new(Sites::new(&welcome.arena, &workload).map_err(ServeError::Arena)?);
        let writer = create_trace(welcome)?;
        let rights = Rights::of(welcome, &workload)?;
        rights.before_threads()?;
        let control = register(&writer, ThreadPurpose::Control, 0);
        let (registered, registrations) = mpsc::channel();
        let workers = start_workers(&workload, &welcome.arena, &writer, &sites, &registered, &rights)?;
        rights.give_up()?;
        let housekeeper = start_housekeeper(&writer, registered.clone())?;
        drop(registered);
        let expected = workers.len() + 1;
        let mut threads = vec![control];
        threads.extend(registrations.iter().take(expected));
        if threads.len() <= expected {
            return Err(ServeError::Thread(io::Error::other("one ended while it started")));
        }
        let seed = welcome.seed ^ u64::from(welcome.actor.0).rotate_left(48);
        Ok(Driver { workload, seed, writer, workers, housekeeper, threads, round: None, replies })
    }

    fn drive(&mut self, order: &PhaseOrder) -> Result<(), ServeError> {
        if self.round.as_ref().is_some_and(|round| round.is_running()) {
            return Err(ServeError::Protocol("a phase was ordered while another one runs".to_owned()));
        }
        let limits =
            PhaseLimits { phase: order.phase, span: order.span, operations_max: order.operations_max };
        let schedules = schedules(&self.workload, self.seed, &limits);
        self.writer.board().set(Counter::Phase, u64::from(order.phase.code()));
        // Before any worker can be through with it, so that the replies come in their order.
        self.replies.send(&Reply::Done);
        let round = Arc::new(Round::new(order, self.workers.len(), self.replies.clone()));
        for (worker, schedule) in self.workers.iter().zip(schedules) {
            let job = Job { round: Arc::clone(&round), schedule };
            worker.jobs.send(job).map_err(|error| ServeError::Thread(io::Error::other(error.to_string())))?;
        }
        self.round = Some(round);
        Ok(())
    }

    fn halt(&self) {
        if let Some(round) = &self.round {
            round.halt();
        }
    }

    /// Waits for the operations under way, closes the trace and returns how many records did not fit.
    fn finish(self) -> u64 {
        self.halt();
        for WorkerHandle { jobs, thread } in self.workers {
            drop(jobs);
            // A worker that panicked has said so; what it recorded is kept all the same.
            let _panicked = thread.join();
        }
        let (over, housekeeper) = self.housekeeper;
        over.store(true, Ordering::Relaxed);
        let _panicked = housekeeper.join();
        let lost = self.writer.lost();
        // The trace is whole even when its unused rest could not be cut off.
        let _uncut = self.writer.close(clock::now());
        lost
    }
}

/// What the driver's threads may do. Those that run commands of the lab file hand on what root had; the others have
/// nothing to do for which being root is not enough.
#[derive(Clone, Debug)]
struct Rights {
    /// What it takes to enter the arena.
    reach: Vec<Capability>,
    /// Some load runs commands.
    commands: bool,
}

impl Rights {
    fn of(welcome: &Welcome, workload: &[Workload]) -> Result<Rights, ServeError> {
        let reach = privileges::needed_to_reach(&[Path::new(&welcome.arena)], &[]);
        let commands = workload.iter().any(|load| matches!(load.kind, LoadKind::Run(_)));
        Ok(Rights { reach: reach.map_err(ServeError::Privileges)?, commands })
    }

    /// Limits what every thread of the driver gets, where no thread needs more.
    fn before_threads(&self) -> Result<(), ServeError> {
        if self.commands { Ok(()) } else { self.give_up() }
    }

    /// Gives up what a thread without commands does not need.
    fn give_up(&self) -> Result<(), ServeError> {
        let kept = Kept { used: &self.reach, ..Kept::NOTHING };
        privileges::keep(&kept).map_err(ServeError::Privileges)
    }

    /// A command may become another user, and is traced and killed all the same.
    fn keep_for_commands(&self) -> Result<(), ServeError> {
        let used = [self.reach.as_slice(), &[Capability::Kill, Capability::Trace]].concat();
        let kept = Kept { used: &used, reserve: &[], programs: Programs::AsBefore };
        privileges::keep(&kept).map_err(ServeError::Privileges)
    }
}

fn create_trace(welcome: &Welcome) -> Result<TraceWriter, ServeError> {
    lab_process::create_trace(welcome, Role::Driver, env!("CARGO_PKG_VERSION"))
        .map_err(|error| ServeError::Trace { path: welcome.trace.path.clone(), error })
}

/// Records the calling thread and returns its number.
fn register(writer: &TraceWriter, purpose: ThreadPurpose, number: u16) -> u64 {
    let tid = lab_process::thread_id();
    writer.thread(&ThreadMark { at: clock::now(), tid, purpose, number });
    tid
}

const _: () =
    assert!(Workload::WORKERS_MAX == OPERATION_SLOTS, "a good lab's workers have room on the board");

fn start_workers(
    workload: &[Workload],
    arena: &str,
    writer: &TraceWriter,
    sites: &Arc<Sites>,
    registered: &Sender<u64>,
    rights: &Rights,
) -> Result<Vec<WorkerHandle>, ServeError> {
    let wanted = workers(workload);
    if wanted > OPERATION_SLOTS {
        let error =
            format!("{wanted} workers are more than the {OPERATION_SLOTS} that the board has room for");
        return Err(ServeError::Thread(io::Error::other(error)));
    }
    let mut started = Vec::with_capacity(wanted);
    // In the order of the schedules: load by load.
    for load in workload {
        for place in 0..load.workers {
            let number = u16::try_from(started.len()).unwrap_or(u16::MAX);
            let launcher =
                load.runs_programs().then(Launcher::new).transpose().map_err(ServeError::Thread)?;
            let trees = match &load.kind {
                LoadKind::ExecTree(tree) => Some(ProcessTrees::new(tree)),
                _ => None,
            };
            let command = match &load.kind {
                LoadKind::Run(run) => Some((run.clone(), arena.to_owned())),
                _ => None,
            };
            let (jobs, receiver) = mpsc::channel();
            let (writer, sites, registered) = (writer.clone(), Arc::clone(sites), registered.clone());
            let rights = rights.clone();
            let body = move || {
                platform::wake_exactly();
                let given_up = if command.is_some() { rights.keep_for_commands() } else { rights.give_up() };
                if let Err(error) = given_up {
                    // Whoever waits for this thread hears that it is gone, and ends the driver.
                    return eprintln!("lab-driver: {error}");
                }
                let tid = register(&writer, ThreadPurpose::Worker, number);
                let subject = ThreadId { pid: std::process::id(), tid, generation: 0 };
                let tools = Tools { place, launcher, trees, command };
                let worker = Worker::new(number, subject, writer, sites, tools);
                // Nobody receives only if the driver is ending already.
                let _ending = registered.send(tid);
                drop(registered);
                worker.serve(&receiver);
            };
            let thread = Builder::new().name(format!("worker-{number}")).spawn(body);
            started.push(WorkerHandle { jobs, thread: thread.map_err(ServeError::Thread)? });
        }
    }
    Ok(started)
}

fn start_housekeeper(
    writer: &TraceWriter,
    registered: Sender<u64>,
) -> Result<(Arc<AtomicBool>, JoinHandle<()>), ServeError> {
    let over = Arc::new(AtomicBool::new(false));
    let (writer, is_over) = (writer.clone(), Arc::clone(&over));
    let body = move || {
        let _ending = registered.send(register(&writer, ThreadPurpose::Housekeeper, 0));
        drop(registered);
        let mut failed = false;
        while !is_over.load(Ordering::Relaxed) {
            // What does not fit is counted by the trace itself; here it is noted since when.
            if writer.grow().is_err() && !failed {
                failed = true;
                writer.loss(&Loss { at: clock::now(), kind: LossKind::Records, count: writer.lost() });
            }
            std::thread::sleep(GROW_EVERY);
        }
    };
    let thread = Builder::new().name("housekeeper".to_owned()).spawn(body).map_err(ServeError::Thread)?;
    Ok((over, thread))
}
