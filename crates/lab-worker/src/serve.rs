//! The worker as a whole: set up by a welcome, asked over its channels, ended by an order or its owner's end.

use std::{
    os::fd::AsFd,
    path::Path,
    sync::{Arc, mpsc},
    thread,
};

use anyhow::{Context, Result, bail};
use lab_model::{Role, Service};
use lab_process::{
    Arena, Beneath, Control, ControlWriter, GROW_EVERY, clock, create_trace,
    privileges::{self, Kept},
    process_id, thread_id,
};
use lab_protocol::{Assignment, CHANNELS_MAX, FrameError, Order, PROTOCOL, Reply, Welcome, WorkerAssignment};
use lab_trace::{ThreadMark, ThreadPurpose, TraceWriter};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Resource, Rlimit, getrlimit, setrlimit},
};

use crate::{
    channels::Channels,
    errands::{Errands, Job, Runner},
};

/// The descriptors that a worker has beside those of its channels: streams, trace, arena, and a file for each of its
/// threads.
const OTHER_DESCRIPTORS_MAX: u64 = 256;

/// Serves until its owner says that it is over, or is gone.
pub(crate) fn run(control: &mut Control) -> Result<()> {
    let Order::Welcome(welcome) = control.order()? else { bail!("the first order was no welcome") };
    if welcome.protocol != PROTOCOL {
        bail!("whoever started this worker speaks protocol {}, this worker {PROTOCOL}", welcome.protocol);
    }
    let Assignment::Worker(assignment) = &welcome.assignment else {
        bail!("a worker was given the assignment of another process")
    };
    make_room_for_channels().context("cannot raise the limit on descriptors")?;
    let role = if assignment.client.is_some() { Role::Helper } else { Role::Daemon };
    let trace = create_trace(&welcome, role, env!("CARGO_PKG_VERSION"))
        .with_context(|| format!("cannot create the trace {}", welcome.trace.path))?;
    give_up_privileges(&welcome.arena)?;
    let beneath = Beneath::of(&welcome.arena).with_context(|| format!("there is no {}", welcome.arena))?;
    let errands = Arc::new(Errands::new(
        trace,
        Arena::new(&welcome.arena, assignment.workload.clone()),
        beneath,
        Service { errand: assignment.errand, workers: assignment.workers },
    ));
    let threads = start_threads(&welcome, assignment, &errands)?;
    let writer = control.writer();
    writer.reply(&Reply::Ready { pid: process_id(), threads, queue: None, helpers: Vec::new() })?;
    if role == Role::Helper {
        errands.open();
    }
    let mut server = Server { role, control, writer, channels: Channels::new(), errands: &errands };
    let ended = server.serve();
    match server.channels.cut_off() {
        0 => {}
        count => tracing::warn!("{count} channels were cut off: more came over them than they may carry"),
    }
    match ended {
        // A helper's client has let go of it, or has died: its end is the same.
        Err(error) if role == Role::Helper && matches!(error.downcast_ref(), Some(FrameError::Closed)) => {
            Ok(errands.finish(clock::now()).map(drop)?)
        }
        ended => ended,
    }
}

/// Opening what it is asked to open takes nothing that a root without capabilities has not.
fn give_up_privileges(arena: &str) -> Result<()> {
    let reach = privileges::needed_to_reach(&[Path::new(arena)], &[])?;
    privileges::keep(&Kept { used: &reach, ..Kept::NOTHING })
        .context("cannot give up what a worker does not need")
}

/// Raises the soft limit on descriptors as far as the hard one allows and [`CHANNELS_MAX`] channels need.
fn make_room_for_channels() -> std::io::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(u64::MAX).min(CHANNELS_MAX as u64 + OTHER_DESCRIPTORS_MAX);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit })?)
}

/// The thread that hears: orders, and requests.
struct Server<'a> {
    role: Role,
    control: &'a mut Control,
    writer: ControlWriter,
    channels: Channels,
    errands: &'a Errands,
}

impl Server<'_> {
    fn serve(&mut self) -> Result<()> {
        loop {
            let ready = self.wait()?;
            let requests = self.channels.read(|place| ready[place + 1]);
            let read = clock::now();
            // An order that was sent before a request is followed before that: requests are read first.
            while self.has_order()? {
                if self.follow()? {
                    return Ok(());
                }
            }
            for (asker, request) in requests {
                self.errands.add(Job { request, read, asker });
            }
        }
    }

    /// Waits until an order or a request has come: which descriptors are ready, the owner's connection first.
    fn wait(&self) -> Result<Vec<bool>> {
        let owner = PollFd::from_borrowed_fd(self.control.as_fd(), PollFlags::IN);
        let channels = self.channels.descriptors().map(|one| PollFd::from_borrowed_fd(one, PollFlags::IN));
        let mut all: Vec<PollFd<'_>> = std::iter::once(owner).chain(channels).collect();
        loop {
            match poll(&mut all, None) {
                Ok(_) => return Ok(all.iter().map(|one| !one.revents().is_empty()).collect()),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("cannot wait for requests"),
            }
        }
    }

    fn has_order(&self) -> Result<bool> {
        let mut owner = [PollFd::from_borrowed_fd(self.control.as_fd(), PollFlags::IN)];
        match poll(&mut owner, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            Ok(ready) => Ok(ready > 0),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(error).context("cannot wait for orders"),
        }
    }

    /// Follows one order; true when it was the last.
    fn follow(&mut self) -> Result<bool> {
        match self.control.order()? {
            Order::Connect { with, channels } => {
                let channels = self.control.channels(channels)?;
                self.channels.add(with, channels)?;
            }
            Order::Serve => self.errands.open(),
            Order::Work { helper: None, service } => self.errands.serve(service),
            Order::Finish => {
                let lost = self.errands.finish(clock::now())?;
                self.writer.reply(&Reply::Closed { lost })?;
                return Ok(true);
            }
            order => bail!("a worker cannot follow the order {order:?}"),
        }
        // Its client does not read what a helper says once it is ready.
        if self.role != Role::Helper {
            self.writer.reply(&Reply::Done)?;
        }
        Ok(false)
    }
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<()> {
    thread::Builder::new().name(name).spawn(body).map(drop).context("cannot start a thread")
}

/// Starts the threads that do errands and the one that grows the trace; returns the IDs of all.
fn start_threads(
    welcome: &Welcome,
    assignment: &WorkerAssignment,
    errands: &Arc<Errands>,
) -> Result<Vec<u64>> {
    let (announce, announced) = mpsc::channel();
    for number in 0..assignment.workers {
        let (errands, announce) = (Arc::clone(errands), announce.clone());
        spawn(format!("worker-{number}"), move || {
            register(errands.trace(), &announce, ThreadPurpose::Worker, number);
            let mut runner = Runner::new(&errands, number);
            loop {
                let (job, errand) = errands.next();
                let carried = runner.carry_out(&job, &errand);
                errands.over();
                job.asker.reply(&carried);
            }
        })?;
    }
    let (trace, announce_growth) = (errands.trace().clone(), announce.clone());
    spawn("housekeeper".to_owned(), move || {
        register(&trace, &announce_growth, ThreadPurpose::Housekeeper, 0);
        drop(announce_growth);
        grow(&trace)
    })?;
    register(errands.trace(), &announce, ThreadPurpose::Control, 0);
    drop(announce);
    let count = usize::from(assignment.workers) + 2;
    let threads = (0..count).map(|_| announced.recv());
    threads.collect::<Result<_, _>>().with_context(|| format!("a thread of {} ended at once", welcome.name))
}

fn register(trace: &TraceWriter, announce: &mpsc::Sender<u64>, purpose: ThreadPurpose, number: u16) {
    let tid = thread_id();
    trace.thread(&ThreadMark { at: clock::now(), tid, purpose, number });
    if announce.send(tid).is_err() {
        tracing::error!("nobody waits for the threads any more");
    }
}

/// Maps more of the trace ahead of the writers; for ever.
fn grow(trace: &TraceWriter) -> ! {
    let mut full = false;
    loop {
        if let Err(error) = trace.grow()
            && !std::mem::replace(&mut full, true)
        {
            tracing::warn!("the trace cannot grow, what follows is counted as lost: {error}");
        }
        thread::sleep(GROW_EVERY);
    }
}
