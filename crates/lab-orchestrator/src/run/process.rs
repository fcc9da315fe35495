//! One process of a lab, as the controller sees it.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::{fs::OpenOptionsExt, net::UnixStream as StdStream},
    },
    path::Path,
    process::Stdio,
};

use lab_model::{Actor, Role, Ticks};
use lab_process::channel;
use lab_protocol::{FRAME_BYTES_MAX, FrameError, Order, Reply, decode, encode};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
    process::{Child, Command},
    sync::mpsc,
};

use super::{daemon::Daemon, ending::ProcessFailure, event::Event};

/// Who a process is.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProcessSpec<'a> {
    pub(super) actor: Actor,
    /// Its name in the lab.
    pub(super) name: &'a str,
    /// What its trace and its log are called.
    pub(super) file: &'a str,
    pub(super) role: Role,
}

/// What a process is doing, as far as its replies tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It was started and has not said that it is ready.
    Starting,
    /// It is ready and has carried out every order.
    Idle,
    /// It has orders to carry out.
    Ordered,
    /// It has closed its trace.
    Closed,
    /// It has ended, with this wait status.
    Ended(i32),
}

/// One process of a lab.
#[derive(Debug)]
pub(super) struct LabProcess {
    actor: Actor,
    name: String,
    /// What its trace and its log are called.
    file: String,
    role: Role,
    pid: u32,
    state: State,
    threads: Vec<u64>,
    queue: Option<i32>,
    driving: bool,
    /// When the driver was through with its last phase, as it says itself.
    drove_until: Option<Ticks>,
    failure: Option<ProcessFailure>,
    /// A daemon that clients are connected with when they start.
    reachable: bool,
    orders: OwnedWriteHalf,
    outstanding: u32,
}

impl LabProcess {
    /// Starts a program with its control connection as standard input. What happens to it arrives on `events`.
    pub(super) fn start(
        program: &Path,
        spec: ProcessSpec<'_>,
        log: &Path,
        events: &mpsc::Sender<Event>,
    ) -> io::Result<LabProcess> {
        let (own, other) = StdStream::pair()?;
        own.set_nonblocking(true)?;
        let (replies, orders) = UnixStream::from_std(own)?.into_split();
        let child = Command::new(program)
            .stdin(Stdio::from(OwnedFd::from(other)))
            .stdout(Stdio::null())
            .stderr(Stdio::from(create_log(log)?))
            .kill_on_drop(true)
            // Ctrl-C reaches a terminal's whole process group: the controller hears it and ends the lab in order, which
            // it could not if the driver and the clients had died of it.
            .process_group(0)
            .spawn()?;
        let (pid, actor) = (child.id().unwrap_or(0), spec.actor);
        tokio::spawn(listen(actor, replies, events.clone()));
        tokio::spawn(wait(actor, child, events.clone()));
        Ok(LabProcess::new(spec, pid, orders))
    }

    /// Starts a client that is a launchd daemon, and waits until it has connected. What happens to it arrives on
    /// `events`; it has ended when its connection has.
    pub(super) async fn start_daemon(
        daemon: Daemon,
        spec: ProcessSpec<'_>,
        events: &mpsc::Sender<Event>,
    ) -> io::Result<LabProcess> {
        let stream = daemon.start().await?;
        // The one who connected, as the kernel knows it: a daemon says nothing of itself that is relied upon.
        let pid = stream.peer_cred()?.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        let (replies, orders) = stream.into_split();
        let (events, actor) = (events.clone(), spec.actor);
        tokio::spawn(async move {
            listen(actor, replies, events.clone()).await;
            let status = daemon.status().await;
            // The controller may have ended first, and then nobody asks.
            drop(events.send(Event::Ended(actor, status)).await);
        });
        Ok(LabProcess::new(spec, pid, orders))
    }

    fn new(spec: ProcessSpec<'_>, pid: u32, orders: OwnedWriteHalf) -> LabProcess {
        let ProcessSpec { actor, name, file, role } = spec;
        LabProcess {
            actor,
            name: name.to_owned(),
            file: file.to_owned(),
            role,
            pid,
            state: State::Starting,
            threads: Vec::new(),
            queue: None,
            driving: false,
            drove_until: None,
            failure: None,
            reachable: false,
            orders,
            outstanding: 0,
        }
    }

    /// Sends an order. A process that is gone is not told; its end arrives as an event.
    pub(super) async fn order(&mut self, order: &Order) -> Result<(), FrameError> {
        self.hand_over(order, &[]).await
    }

    /// Sends an order, and descriptors with it.
    pub(super) async fn hand_over(
        &mut self,
        order: &Order,
        descriptors: &[OwnedFd],
    ) -> Result<(), FrameError> {
        if !self.alive() {
            return Ok(());
        }
        let frame = encode(order)?;
        match self.write(&frame, descriptors).await {
            Ok(()) => {
                self.outstanding += 1;
                if self.state == State::Idle {
                    self.state = State::Ordered;
                }
                self.driving |= matches!(order, Order::Drive(_));
                Ok(())
            }
            // Such as too many descriptors on their way at once.
            Err(error) if !descriptors.is_empty() && !is_gone(&error) => Err(error.into()),
            Err(_) => Ok(()),
        }
    }

    /// The descriptors go with the first bytes.
    async fn write(&mut self, frame: &[u8], descriptors: &[OwnedFd]) -> io::Result<()> {
        let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
        let stream: &UnixStream = self.orders.as_ref();
        let first =
            stream.async_io(Interest::WRITABLE, || channel::send(stream, frame, &descriptors)).await?;
        self.orders.write_all(&frame[first..]).await
    }

    /// Who it is.
    pub(super) fn spec(&self) -> ProcessSpec<'_> {
        ProcessSpec { actor: self.actor, name: &self.name, file: &self.file, role: self.role }
    }

    pub(super) const fn actor(&self) -> Actor {
        self.actor
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) const fn state(&self) -> State {
        self.state
    }

    /// What has gone wrong with it, as it says itself or as its end shows.
    pub(super) const fn failure(&self) -> Option<&ProcessFailure> {
        self.failure.as_ref()
    }

    pub(super) fn alive(&self) -> bool {
        !matches!(self.state, State::Ended(_) | State::Closed)
    }

    pub(super) const fn is_client(&self) -> bool {
        matches!(self.role, Role::Client)
    }

    pub(super) const fn is_daemon(&self) -> bool {
        matches!(self.role, Role::Daemon)
    }

    /// True unless it is still to become ready, or has orders to carry out.
    pub(super) const fn is_settled(&self) -> bool {
        !matches!(self.state, State::Starting | State::Ordered)
    }

    /// The threads that it has said are its own.
    pub(super) fn threads(&self) -> &[u64] {
        &self.threads
    }

    /// The descriptor of a client's queue, as it is numbered there.
    pub(super) const fn queue(&self) -> Option<i32> {
        self.queue
    }

    /// True while the driver drives a phase.
    pub(super) const fn is_driving(&self) -> bool {
        self.driving
    }

    /// When the driver was through with its last phase, as it says itself.
    pub(super) const fn drove_until(&self) -> Option<Ticks> {
        self.drove_until
    }

    /// True once clients that start are connected with this daemon.
    pub(super) const fn is_reachable(&self) -> bool {
        self.reachable
    }

    /// From now on clients that start are connected with this daemon.
    pub(super) const fn make_reachable(&mut self) {
        self.reachable = true;
    }

    /// Notes what went wrong, unless it has said so itself.
    pub(super) fn fail(&mut self, failure: impl FnOnce() -> ProcessFailure) {
        self.failure.get_or_insert_with(failure);
    }

    /// Takes note of a reply.
    pub(super) fn heard(&mut self, reply: Reply) {
        match reply {
            Reply::Ready { pid: _, threads, queue, helpers: _ } => {
                self.threads = threads;
                self.queue = queue;
                self.done(State::Idle);
            }
            Reply::Done => self.done(State::Idle),
            Reply::PhaseEnded { at, .. } => {
                self.driving = false;
                self.drove_until = Some(at);
            }
            // Not of the process itself: the controller takes note.
            Reply::HelperStarted(_) | Reply::HelperFailed { .. } | Reply::HelperEnded { .. } => {}
            Reply::Closed { .. } => self.done(State::Closed),
            Reply::Failed { message, reason, mend } => {
                self.failure = Some(ProcessFailure::said(message, reason, mend));
            }
        }
    }

    fn done(&mut self, then: State) {
        self.outstanding = self.outstanding.saturating_sub(1);
        if self.outstanding == 0 || then == State::Closed {
            self.state = then;
        }
    }

    /// Takes note of its end.
    pub(super) fn ended(&mut self, status: i32) {
        self.state = State::Ended(status);
        self.driving = false;
        self.outstanding = 0;
    }
}

/// True when the other side of a connection has ended.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected)
}

async fn listen(actor: Actor, mut replies: OwnedReadHalf, events: mpsc::Sender<Event>) {
    while let Ok(reply) = reply(&mut replies).await {
        if events.send(Event::Reply(actor, reply)).await.is_err() {
            return;
        }
    }
}

async fn reply(stream: &mut OwnedReadHalf) -> Result<Reply, FrameError> {
    let length = usize::try_from(stream.read_u32_le().await?).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    decode(&body)
}

pub(super) async fn wait(actor: Actor, mut child: Child, events: mpsc::Sender<Event>) {
    use std::os::unix::process::ExitStatusExt;
    let status = child.wait().await.map_or(-1, ExitStatusExt::into_raw);
    // The controller may have ended first, and then nobody asks.
    drop(events.send(Event::Ended(actor, status)).await);
}

/// Creates a log in the run's folder, or empties it.
pub(super) fn create_log(path: &Path) -> io::Result<File> {
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path)
}
