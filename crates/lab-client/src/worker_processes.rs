//! The workers outside the client's process: helpers that it starts, daemons that it reaches.
//!
//! Channels have no name: the client makes those to its helpers, and is handed those to daemons by the controller, in pairs
//! of sockets. All of them are there before the client does more than answer at once: whatever opens in the arena
//! after that may have to wait for this very client. A helper that is started again opens nothing there before it is
//! asked: its program lies outside, and the thread that starts it decides nothing. Each channel carries one request at
//! a time; a *courier* thread stands behind each, so that a worker of the client that does not wait goes on at once.

use std::{
    collections::VecDeque,
    net::Shutdown,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{net::UnixStream, process::ExitStatusExt},
    },
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use lab_client_core::{REQUESTS_MAX, Whom};
use lab_model::{Actor, Service};
use lab_process::{
    ControlWriter,
    channel::send_order,
    clock,
    failure::{self, Failed},
    privileges,
};
use lab_protocol::{
    AskedDaemon, Assignment, Carried, ClientAssignment, FrameError, HelperReady, HelpersAssignment, Order,
    Reply, Request, Welcome, WorkerAssignment, receive, receive_reply, send, send_request,
};
use lab_trace::{Counter, RecordId, RequestEnd, Served, TraceWriter};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a helper may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// How often a courier that has lost its channel looks whether another has been handed over.
const REGAIN_EVERY: Duration = Duration::from_millis(10);
/// How long helpers may take to close their traces before they are killed.
const END_WITHIN: Duration = Duration::from_secs(2);

/// A request on its way.
#[derive(Debug)]
struct QueuedRequest {
    request: Request,
    record: RecordId,
    /// Hears of the reply; nobody when nobody waits.
    waiter: Option<mpsc::Sender<()>>,
}

/// Where requests for one group of workers wait: the client's helpers, or one daemon.
#[derive(Debug)]
pub(crate) struct RequestQueue {
    /// Who is asked, as the trace has it.
    pub(crate) whom: Actor,
    name: String,
    trace: TraceWriter,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<QueuedRequest>,
    /// Channels that work, each with its courier.
    channels: usize,
    /// Couriers, with a channel or without.
    couriers: usize,
    /// Channels that were handed over, for couriers that have lost theirs.
    fresh: Vec<UnixStream>,
}

impl RequestQueue {
    fn new(whom: Actor, name: &str, trace: &TraceWriter) -> Arc<RequestQueue> {
        let (queue, wake) = (Mutex::default(), Condvar::new());
        Arc::new(RequestQueue { whom, name: name.to_owned(), trace: trace.clone(), queue, wake })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a request over and, if that is wanted, waits for the reply. Whether one comes or not, the request
    /// is over then and its record complete.
    pub(crate) fn ask(&self, request: Request, record: RecordId, wait: bool) {
        let (waiter, reply) = mpsc::channel();
        let queued = QueuedRequest { request, record, waiter: wait.then_some(waiter) };
        let mut queue = self.queue();
        if queue.channels == 0 || queue.waiting.len() >= REQUESTS_MAX {
            let why = if queue.channels == 0 { Errno::EPIPE } else { Errno::EAGAIN };
            drop(queue);
            self.over(queued, (why as i32).unsigned_abs(), None);
            return;
        }
        queue.waiting.push_back(queued);
        drop(queue);
        self.wake.notify_one();
        if wait {
            // An error says that the courier has let go of the request, which is as good as a reply.
            let _replied = reply.recv();
        }
    }

    /// A request is over.
    fn over(&self, queued: QueuedRequest, error: u32, served: Option<Served>) {
        self.trace.end_request(queued.record, &RequestEnd { at: clock::now(), error, served });
        self.trace.board().add(Counter::Replies, 1);
        if let Some(waiter) = queued.waiter {
            // Its worker may have been ended with the process.
            let _heard = waiter.send(());
        }
    }

    /// Carries requests over one channel until it breaks; for ever if it leads to a daemon, which may come back.
    fn carry(&self, mut stream: UnixStream, returns: bool) {
        loop {
            let mut queue = self.queue();
            let queued = loop {
                match queue.waiting.pop_front() {
                    Some(queued) => break queued,
                    None => queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(queue);
            let sent = send_request(&mut stream, &queued.request);
            let carried = sent.and_then(|()| receive_reply(&mut stream));
            match carried {
                Ok(Carried { error, read, begun, ended, operations, .. }) => {
                    self.over(queued, error, Some(Served { read, begun, ended, operations }));
                }
                Err(error) => {
                    // Whether it was carried out before the channel broke nobody knows: it is not made twice.
                    self.over(queued, (Errno::EPIPE as i32).unsigned_abs(), None);
                    self.lose(&error);
                    if !returns {
                        return;
                    }
                    stream = self.regain();
                }
            }
        }
    }

    /// A channel is broken. Without any, everything that waits is over.
    fn lose(&self, error: &FrameError) {
        let mut queue = self.queue();
        queue.channels -= 1;
        let left = queue.channels;
        let orphans = if left == 0 { std::mem::take(&mut queue.waiting) } else { VecDeque::new() };
        drop(queue);
        tracing::warn!("a channel to {} is broken ({error}), {left} are left", self.name);
        for queued in orphans {
            self.over(queued, (Errno::EPIPE as i32).unsigned_abs(), None);
        }
    }
}

impl RequestQueue {
    /// Waits until another channel is handed over, and has a channel more.
    fn regain(&self) -> UnixStream {
        loop {
            thread::sleep(REGAIN_EVERY);
            let mut queue = self.queue();
            if let Some(stream) = queue.fresh.pop() {
                queue.channels += 1;
                return stream;
            }
        }
    }

    /// Takes channels to a daemon in: the first ones with a courier each, later ones for those whose own has broken.
    fn connect(self: &Arc<RequestQueue>, channels: Vec<UnixStream>) -> Result<()> {
        let mut queue = self.queue();
        if queue.couriers > 0 {
            // What nobody has taken leads to a process that has ended.
            queue.fresh = channels;
            return Ok(());
        }
        drop(queue);
        channels.into_iter().try_for_each(|channel| start_courier(self, channel, true))
    }
}

/// A helper that runs.
#[derive(Debug)]
struct Helper {
    actor: Actor,
    pid: u32,
    /// Its standard input, to instruct it and to end it by.
    control: UnixStream,
    /// The channel over which requests go to it, until a courier has it.
    channel: Option<UnixStream>,
}

/// All workers outside the process.
#[derive(Debug)]
pub(crate) struct WorkerProcesses {
    helpers: Option<Arc<RequestQueue>>,
    daemons: Vec<Arc<RequestQueue>>,
    /// Only the control thread looks at it.
    started: Mutex<Vec<Helper>>,
    /// Who they are, for the controller.
    pub(crate) ready: Vec<HelperReady>,
    ended: Arc<Ended>,
}

/// How many helpers have ended.
#[derive(Debug, Default)]
struct Ended {
    count: Mutex<usize>,
    changed: Condvar,
}

impl WorkerProcesses {
    /// Starts the helpers, and has a request queue for each daemon. The channels to those are still to come.
    ///
    /// # Errors
    /// A helper that does not start or ends at once.
    pub(crate) fn start(
        own: Actor,
        assignment: &ClientAssignment,
        trace: &TraceWriter,
        writer: &ControlWriter,
    ) -> Result<WorkerProcesses> {
        let mut outside = WorkerProcesses {
            helpers: None,
            daemons: Vec::new(),
            started: Mutex::default(),
            ready: Vec::new(),
            ended: Arc::default(),
        };
        if let Some(helpers) = &assignment.helpers {
            outside.start_helpers(own, helpers, trace, writer)?;
        }
        let request_queue = |daemon: &AskedDaemon| RequestQueue::new(daemon.actor, &daemon.name, trace);
        outside.daemons = assignment.daemons.iter().map(request_queue).collect();
        Ok(outside)
    }

    fn start_helpers(
        &mut self,
        own: Actor,
        helpers: &HelpersAssignment,
        trace: &TraceWriter,
        writer: &ControlWriter,
    ) -> Result<()> {
        let request_queue = RequestQueue::new(own, "its helpers", trace);
        let mut starting = Vec::new();
        for welcome in &helpers.welcomes {
            let started = start_helper(&helpers.program, welcome);
            starting.push(started.with_context(|| format!("its helper {} cannot be started", welcome.name))?);
        }
        for (started, welcome) in starting.into_iter().zip(&helpers.welcomes) {
            let Started { mut child, control, channel } = started;
            let (pid, threads) = await_ready(&mut child, &control, &welcome.name)?;
            self.ready.push(HelperReady { actor: welcome.actor, pid, threads });
            start_courier(&request_queue, channel, false)?;
            self.take_in(Helper { actor: welcome.actor, pid, control, channel: None }, child, writer)?;
        }
        self.helpers = Some(request_queue);
        Ok(())
    }

    /// Starts a helper again that has ended, and tells the controller. Nobody asks it before it is engaged.
    ///
    /// # Errors
    /// The helper does not start, or ends at once; nothing of it is left.
    pub(crate) fn start_again(&self, program: &str, welcome: &Welcome, writer: &ControlWriter) -> Result<()> {
        let Started { mut child, control, channel } = start_helper(program, welcome)
            .with_context(|| format!("its helper {} cannot be started again", welcome.name))?;
        let (pid, threads) = match await_ready(&mut child, &control, &welcome.name) {
            Ok(ready) => ready,
            Err(error) => {
                child.kill()?;
                child.wait()?;
                return Err(error);
            }
        };
        let actor = welcome.actor;
        // Before its end can be told of.
        writer.reply(&Reply::HelperStarted(HelperReady { actor, pid, threads }))?;
        self.take_in(Helper { actor, pid, control, channel: Some(channel) }, child, writer)
    }

    /// Has a helper that was started again carry out requests.
    ///
    /// # Errors
    /// No descriptor or no thread is to be had for it.
    pub(crate) fn engage(&self, helper: Actor) -> Result<()> {
        let mut started = self.started();
        let mut helpers = started.iter_mut();
        let helper = helpers.find(|one| one.actor == helper).context("this is not its helper")?;
        let request_queue = self.helpers.as_ref().context("there is nobody to ask helpers")?;
        let channel = helper.channel.take().context("it is asked already")?;
        start_courier(request_queue, channel, false)
    }

    /// Takes in the channels to a daemon that were handed over.
    ///
    /// # Errors
    /// The daemon is none that this client asks, or no thread is to be had.
    pub(crate) fn connect(&self, daemon: Actor, channels: Vec<UnixStream>) -> Result<()> {
        let request_queue = self.daemons.iter().find(|request_queue| request_queue.whom == daemon);
        request_queue.context("this is not a daemon that it asks")?.connect(channels)
    }

    /// Watches a helper until its end.
    fn take_in(&self, helper: Helper, child: Child, writer: &ControlWriter) -> Result<()> {
        let actor = helper.actor;
        self.started().push(helper);
        let (ended, writer) = (Arc::clone(&self.ended), writer.clone());
        spawn(format!("watch-{}", actor.0), move || watch(child, actor, &writer, &ended))
    }

    fn started(&self) -> MutexGuard<'_, Vec<Helper>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where requests for these workers go.
    pub(crate) fn request_queue(&self, whom: Whom) -> Option<&RequestQueue> {
        match whom {
            Whom::Helper => self.helpers.as_deref(),
            Whom::Daemon(place) => self.daemons.get(usize::from(place)).map(|request_queue| &**request_queue),
        }
    }

    /// Tells a helper how to serve from now on: it hears that before any request that is sent later.
    pub(crate) fn instruct(&self, helper: Actor, service: Service) -> Result<()> {
        let started = self.started();
        let helper = started.iter().find(|one| one.actor == helper).context("this is not its helper")?;
        match send(&mut &helper.control, &Order::Work { helper: None, service }) {
            // One that has ended has nothing to serve; its end is told of elsewhere.
            Ok(()) | Err(FrameError::Io(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets the helpers close their traces and end; kills who does not in time.
    pub(crate) fn end(&self) {
        let started = self.started();
        for helper in &*started {
            if let Err(error) = helper.control.shutdown(Shutdown::Both) {
                tracing::debug!("a helper has ended before: {error}");
            }
        }
        if self.all_ended(started.len()) {
            return;
        }
        for helper in &*started {
            if let Ok(pid) = i32::try_from(helper.pid)
                && let Err(error) = kill(Pid::from_raw(pid), Signal::SIGKILL)
            {
                tracing::debug!("a helper has ended before: {error}");
            }
        }
        if !self.all_ended(started.len()) {
            tracing::warn!("not every helper has ended");
        }
    }

    fn all_ended(&self, started: usize) -> bool {
        let count = self.ended.count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ended.changed.wait_timeout_while(count, END_WITHIN, |count| *count < started);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
    }
}

fn spawn(name: String, body: impl FnOnce() + Send + 'static) -> Result<()> {
    let body = move || match privileges::keep_in_reserve(&[]) {
        Ok(()) => body(),
        Err(error) => tracing::error!("cannot give up what a client does not need: {error}"),
    };
    thread::Builder::new().name(name).spawn(body).map(drop).context("cannot start a thread")
}

/// Has a courier of its own carry requests over a channel.
fn start_courier(request_queue: &Arc<RequestQueue>, channel: UnixStream, returns: bool) -> Result<()> {
    let courier = Arc::clone(request_queue);
    let count = |by: fn(usize, usize) -> usize| {
        let mut queue = request_queue.queue();
        (queue.channels, queue.couriers) = (by(queue.channels, 1), by(queue.couriers, 1));
    };
    // Before it can lose the channel.
    count(usize::saturating_add);
    spawn("courier".to_owned(), move || courier.carry(channel, returns))
        .inspect_err(|_| count(usize::saturating_sub))
}

/// A helper that was started.
struct Started {
    child: Child,
    control: UnixStream,
    channel: UnixStream,
}

/// Starts one helper, tells it who it is and hands it its channel.
fn start_helper(program: &str, welcome: &Welcome) -> Result<Started> {
    let (mut control, other) = UnixStream::pair()?;
    let (channel, end) = UnixStream::pair()?;
    let child = Command::new(program)
        .stdin(Stdio::from(OwnedFd::from(other)))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| program.to_owned())?;
    let Assignment::Worker(WorkerAssignment { client: Some(client), .. }) = &welcome.assignment else {
        bail!("a helper was given the assignment of another process")
    };
    let connect = Order::Connect { with: *client, channels: 1 };
    let told = send(&mut control, &Order::Welcome(Box::new(welcome.clone())))
        .and_then(|()| send_order(&control, &connect, &[end.as_fd()]));
    match told {
        // One that has ended already is told of when its reply is missing.
        Ok(()) | Err(FrameError::Io(_)) => Ok(Started { child, control, channel }),
        Err(error) => Err(error.into()),
    }
}

/// Waits until a helper says that it is ready: its process ID and threads.
fn await_ready(child: &mut Child, stream: &UnixStream, name: &str) -> Result<(u32, Vec<u64>)> {
    stream.set_read_timeout(Some(READY_WITHIN))?;
    let reply = receive(&mut &*stream);
    stream.set_read_timeout(None)?;
    match reply {
        Ok(Reply::Ready { pid, threads, .. }) => Ok((pid, threads)),
        Ok(Reply::Failed { message, reason, .. }) => {
            Err(Failed { message: format!("its helper {name} failed: {message}"), reason }.into())
        }
        Ok(reply) => Err(anyhow!("its helper {name} replied {reply:?} to its welcome")),
        Err(FrameError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
            child.kill()?;
            bail!("its helper {name} was not ready within {READY_WITHIN:?}")
        }
        Err(_) => {
            let status = child.wait()?;
            let message = format!("its helper {name} ended at once: {status}");
            Err(Failed { message, reason: failure::reason_of_end(status.into_raw()) }.into())
        }
    }
}

/// Waits for a helper's end and tells of it, once. The client goes on without it.
fn watch(mut child: Child, actor: Actor, writer: &ControlWriter, ended: &Ended) {
    let status = child.wait().map_or(-1, ExitStatusExt::into_raw);
    if let Err(error) = writer.reply(&Reply::HelperEnded { actor, status }) {
        tracing::debug!("nobody to tell of a helper's end: {error}");
    }
    *ended.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    ended.changed.notify_all();
}
