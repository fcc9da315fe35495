//! The workers outside the client's process: helpers that it starts, daemons that it reaches.
//!
//! All of them are there, and every channel is open, before the first event can come: whatever opens in the arena
//! after that may have to wait for this very client. A helper that is started again opens nothing there before it is
//! asked: its program lies outside, and the thread that starts it decides nothing. Each channel carries one request at
//! a time; a *courier* thread stands behind each, so that a worker of the client that does not wait goes on at once.

use std::{
    collections::VecDeque,
    net::Shutdown,
    os::{fd::OwnedFd, unix::net::UnixStream, unix::process::ExitStatusExt},
    process::{Child, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use lab_client_core::{REQUESTS_MAX, Whom};
use lab_model::{Actor, Service};
use lab_process::{ControlWriter, channel, clock};
use lab_protocol::{
    Carried, ClientAssignment, FrameError, HelperReady, HelpersAssignment, Order, Reply, Request, Welcome,
    receive, receive_reply, send, send_request, send_service,
};
use lab_trace::{Counter, RecordId, RequestEnd, Served, TraceWriter};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a helper may take to become ready.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// How often a daemon that may come back is looked for.
const REGAIN_EVERY: Duration = Duration::from_millis(10);
/// How long helpers may take to close their traces before they are killed.
const END_WITHIN: Duration = Duration::from_secs(2);

/// A request on its way.
#[derive(Debug)]
struct Parcel {
    request: Request,
    record: RecordId,
    /// Hears of the reply; nobody when nobody waits.
    waiter: Option<mpsc::Sender<()>>,
}

/// Where requests for one group of workers wait: the client's helpers, or one daemon.
#[derive(Debug)]
pub(crate) struct Desk {
    /// Who is asked, as the trace has it.
    pub(crate) whom: Actor,
    name: String,
    trace: TraceWriter,
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Parcel>,
    /// Channels that work.
    channels: usize,
}

impl Desk {
    fn new(whom: Actor, name: &str, trace: &TraceWriter, channels: usize) -> Arc<Desk> {
        let queue = Mutex::new(Queue { waiting: VecDeque::new(), channels });
        Arc::new(Desk { whom, name: name.to_owned(), trace: trace.clone(), queue, wake: Condvar::new() })
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a request over and, if that is wanted, waits for the reply. Whether one comes or not, the request
    /// is over then and its record complete.
    pub(crate) fn ask(&self, request: Request, record: RecordId, wait: bool) {
        let (waiter, reply) = mpsc::channel();
        let parcel = Parcel { request, record, waiter: wait.then_some(waiter) };
        let mut queue = self.queue();
        if queue.channels == 0 || queue.waiting.len() >= REQUESTS_MAX {
            let why = if queue.channels == 0 { Errno::EPIPE } else { Errno::EAGAIN };
            drop(queue);
            self.over(parcel, (why as i32).unsigned_abs(), None);
            return;
        }
        queue.waiting.push_back(parcel);
        drop(queue);
        self.wake.notify_one();
        if wait {
            // An error says that the courier has let go of the request, which is as good as a reply.
            let _replied = reply.recv();
        }
    }

    /// A request is over.
    fn over(&self, parcel: Parcel, error: u32, served: Option<Served>) {
        self.trace.end_request(parcel.record, &RequestEnd { at: clock::now(), error, served });
        self.trace.board().add(Counter::Replies, 1);
        if let Some(waiter) = parcel.waiter {
            // Its worker may have been ended with the process.
            let _heard = waiter.send(());
        }
    }

    /// Carries requests over one channel until it breaks; for ever if it leads to somebody who may come back.
    fn carry(&self, Channel { mut stream, writing, address }: Channel) {
        loop {
            let mut queue = self.queue();
            let parcel = loop {
                match queue.waiting.pop_front() {
                    Some(parcel) => break parcel,
                    None => queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(queue);
            let sent = {
                let _alone = writing.lock().unwrap_or_else(PoisonError::into_inner);
                send_request(&mut stream, &parcel.request)
            };
            let carried = sent.and_then(|()| receive_reply(&mut stream));
            match carried {
                Ok(Carried { error, read, begun, ended, operations, .. }) => {
                    self.over(parcel, error, Some(Served { read, begun, ended, operations }));
                }
                Err(error) => {
                    // Whether it was carried out before the channel broke nobody knows: it is not made twice.
                    self.over(parcel, (Errno::EPIPE as i32).unsigned_abs(), None);
                    self.lose(&error);
                    match &address {
                        Some(address) => stream = self.regain(address),
                        None => return,
                    }
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
        for parcel in orphans {
            self.over(parcel, (Errno::EPIPE as i32).unsigned_abs(), None);
        }
    }
}

impl Desk {
    /// Waits until somebody listens again, and has a channel more.
    fn regain(&self, address: &str) -> UnixStream {
        loop {
            thread::sleep(REGAIN_EVERY);
            if let Ok(stream) = channel::connect(address) {
                self.queue().channels += 1;
                return stream;
            }
        }
    }
}

/// A channel to a worker.
#[derive(Debug)]
struct Channel {
    stream: UnixStream,
    /// Whoever writes, writes whole.
    writing: Arc<Mutex<()>>,
    /// Where somebody may listen again after it has broken.
    address: Option<String>,
}

/// A helper that runs.
#[derive(Debug)]
struct Helper {
    actor: Actor,
    pid: u32,
    writing: Arc<Mutex<()>>,
    /// Another handle to its channel, to instruct it and to end it by.
    stream: UnixStream,
}

impl Helper {
    /// The channel over which requests go to it.
    fn channel(&self) -> Result<Channel> {
        let stream = self.stream.try_clone()?;
        Ok(Channel { stream, writing: Arc::clone(&self.writing), address: None })
    }
}

/// All workers outside the process.
#[derive(Debug)]
pub(crate) struct Outside {
    helpers: Option<Arc<Desk>>,
    daemons: Vec<Arc<Desk>>,
    /// Only the control thread looks at it.
    started: Mutex<Vec<Helper>>,
    /// Who they are, for the conductor.
    pub(crate) ready: Vec<HelperReady>,
    ended: Arc<Ended>,
}

/// How many helpers have ended.
#[derive(Debug, Default)]
struct Ended {
    count: Mutex<usize>,
    changed: Condvar,
}

impl Outside {
    /// Starts the helpers and opens all channels.
    ///
    /// # Errors
    /// A helper that does not start or ends at once, a daemon that does not listen.
    pub(crate) fn start(
        own: Actor,
        assignment: &ClientAssignment,
        trace: &TraceWriter,
        writer: &ControlWriter,
    ) -> Result<Outside> {
        let mut outside = Outside {
            helpers: None,
            daemons: Vec::new(),
            started: Mutex::default(),
            ready: Vec::new(),
            ended: Arc::default(),
        };
        if let Some(helpers) = &assignment.helpers {
            outside.start_helpers(own, helpers, trace, writer)?;
        }
        for daemon in &assignment.daemons {
            let desk = Desk::new(daemon.actor, &daemon.name, trace, usize::from(daemon.workers));
            for _ in 0..daemon.workers {
                let stream = channel::connect(&daemon.address)
                    .with_context(|| format!("the daemon {} cannot be reached", daemon.name))?;
                let address = daemon.returns.then(|| daemon.address.clone());
                start_courier(&desk, Channel { stream, writing: Arc::default(), address })?;
            }
            outside.daemons.push(desk);
        }
        Ok(outside)
    }

    fn start_helpers(
        &mut self,
        own: Actor,
        helpers: &HelpersAssignment,
        trace: &TraceWriter,
        writer: &ControlWriter,
    ) -> Result<()> {
        let desk = Desk::new(own, "its helpers", trace, helpers.welcomes.len());
        let mut starting = Vec::new();
        for welcome in &helpers.welcomes {
            let started = start_helper(&helpers.program, welcome);
            starting.push(started.with_context(|| format!("its helper {} cannot be started", welcome.name))?);
        }
        for ((mut child, stream), welcome) in starting.into_iter().zip(&helpers.welcomes) {
            let (pid, threads) = await_ready(&mut child, &stream, &welcome.name)?;
            self.ready.push(HelperReady { actor: welcome.actor, pid, threads });
            let helper = Helper { actor: welcome.actor, pid, writing: Arc::default(), stream };
            start_courier(&desk, helper.channel()?)?;
            self.take_in(helper, child, writer)?;
        }
        self.helpers = Some(desk);
        Ok(())
    }

    /// Starts a helper again that has ended, and tells the conductor. Nobody asks it before it is engaged.
    ///
    /// # Errors
    /// The helper does not start, or ends at once; nothing of it is left.
    pub(crate) fn start_again(&self, program: &str, welcome: &Welcome, writer: &ControlWriter) -> Result<()> {
        let (mut child, stream) = start_helper(program, welcome)
            .with_context(|| format!("its helper {} cannot be started again", welcome.name))?;
        let (pid, threads) = match await_ready(&mut child, &stream, &welcome.name) {
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
        self.take_in(Helper { actor, pid, writing: Arc::default(), stream }, child, writer)
    }

    /// Has a helper that was started again carry out requests.
    ///
    /// # Errors
    /// No descriptor or no thread is to be had for it.
    pub(crate) fn engage(&self, helper: Actor) -> Result<()> {
        let started = self.started();
        let helper = started.iter().find(|one| one.actor == helper).context("this is not its helper")?;
        let desk = self.helpers.as_ref().context("there is nobody to ask helpers")?;
        let channel = helper.channel()?;
        desk.queue().channels += 1;
        start_courier(desk, channel).inspect_err(|_| desk.queue().channels -= 1)
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
    pub(crate) fn desk(&self, whom: Whom) -> Option<&Desk> {
        match whom {
            Whom::Helper => self.helpers.as_deref(),
            Whom::Daemon(place) => self.daemons.get(usize::from(place)).map(|desk| &**desk),
        }
    }

    /// Tells a helper how to serve from now on: it reads that before any request that is sent later.
    pub(crate) fn instruct(&self, helper: Actor, service: Service) -> Result<()> {
        let started = self.started();
        let helper = started.iter().find(|one| one.actor == helper).context("this is not its helper")?;
        let _alone = helper.writing.lock().unwrap_or_else(PoisonError::into_inner);
        match send_service(&mut &helper.stream, &service) {
            // One that has ended has nothing to serve; its end is told of elsewhere.
            Ok(()) | Err(FrameError::Io(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Lets the helpers close their traces and end; kills who does not in time.
    pub(crate) fn end(&self) {
        let started = self.started();
        for helper in &*started {
            if let Err(error) = helper.stream.shutdown(Shutdown::Both) {
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
    thread::Builder::new().name(name).spawn(body).map(drop).context("cannot start a thread")
}

fn start_courier(desk: &Arc<Desk>, channel: Channel) -> Result<()> {
    let desk = Arc::clone(desk);
    spawn("courier".to_owned(), move || desk.carry(channel))
}

/// Starts one helper and tells it who it is.
fn start_helper(program: &str, welcome: &Welcome) -> Result<(Child, UnixStream)> {
    let (mut own, other) = UnixStream::pair()?;
    let child = Command::new(program)
        .stdin(Stdio::from(OwnedFd::from(other)))
        .stdout(Stdio::null())
        .stderr(Stdio::inherit())
        .spawn()
        .with_context(|| program.to_owned())?;
    match send(&mut own, &Order::Welcome(Box::new(welcome.clone()))) {
        // One that has ended already is told of when its reply is missing.
        Ok(()) | Err(FrameError::Io(_)) => Ok((child, own)),
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
        Ok(Reply::Failed { message, .. }) => Err(anyhow!("its helper {name} failed: {message}")),
        Ok(reply) => Err(anyhow!("its helper {name} replied {reply:?} to its welcome")),
        Err(FrameError::Io(error)) if error.kind() == std::io::ErrorKind::WouldBlock => {
            child.kill()?;
            bail!("its helper {name} was not ready within {READY_WITHIN:?}")
        }
        Err(_) => {
            let status = child.wait()?;
            bail!("its helper {name} ended at once: {status}")
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
