//! The messages between the controller and the processes of a lab.

use lab_model::{
    Actor, Behavior, Errand, FailureReason, NotifyEvents, PhaseKind, Service, Span, Ticks, Workload,
};
use serde::{Deserialize, Serialize};

/// What the orchestrator tells a process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// The first order: who the process is and what it is there for. Answered by [`Reply::Ready`].
    Welcome(Box<Welcome>),
    /// To a client: which threads belong to which lab process. Replaces what was said before.
    /// Answered by [`Reply::Done`].
    Participants {
        /// Thread and process, of every lab process that runs.
        threads: Vec<(u64, Actor)>,
        /// Which of those processes are clients.
        clients: Vec<Actor>,
        /// What the lab file calls them.
        #[serde(default)]
        names: Vec<(String, Actor)>,
    },
    /// To a client: behave like this from now on. Answered by [`Reply::Done`].
    Behave {
        /// The behaviour.
        behavior: Box<Behavior>,
    },
    /// To a client, a daemon or a helper: here are the ends of channels, as descriptors beside this order. They are in place
    /// of those to that process that have broken. Answered by [`Reply::Done`], but not by a helper, whose client knows
    /// by its next request.
    Connect {
        /// Who has the other ends: to a client the daemon, by the number of its first process; to a worker the client.
        with: Actor,
        /// How many there are, at most [`CHANNELS_PER_ORDER_MAX`](crate::CHANNELS_PER_ORDER_MAX).
        channels: u16,
    },
    /// To a daemon: carry out what it is asked from now on. What was asked before has waited. Answered by [`Reply::Done`].
    Serve,
    /// To a worker by its owner, or to a client about one of its helpers: serve like this from now on. Whatever a client
    /// sends to its helper after its reply is done so. Answered by [`Reply::Done`], but not by a helper.
    Work {
        /// The helper; `None` for the worker itself.
        helper: Option<Actor>,
        /// What to do for each request that is begun from then on.
        service: Service,
    },
    /// To a client: start a helper again that has ended, and ask it nothing yet. Answered by [`Reply::HelperStarted`] or
    /// [`Reply::HelperFailed`], and by [`Reply::Done`].
    StartHelper {
        /// What the new process is told first. Its number is one that no process of the run has had.
        welcome: Box<Welcome>,
    },
    /// To a client: ask this helper, too, from now on. All clients know its threads. Answered by [`Reply::Done`].
    Engage {
        /// The helper.
        helper: Actor,
    },
    /// To the driver: make the workload's operations. Answered by [`Reply::Done`] at once and by
    /// [`Reply::PhaseEnded`] when the last operation has ended.
    Drive(PhaseOrder),
    /// To the driver: begin no further operation. Answered by [`Reply::Done`].
    Halt,
    /// To everyone: close the trace and end with status 0. Answered by [`Reply::Closed`].
    Finish,
}

/// Who a process is and what it is there for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// The version of this protocol.
    pub protocol: u32,
    /// Its number in the run.
    pub actor: Actor,
    /// Its name in the lab.
    pub name: String,
    /// The seed of what it draws; each process mixes its own number in.
    pub seed: u64,
    /// The arena, as the process sees it.
    pub arena: String,
    /// Where it writes its trace.
    pub trace: TraceAssignment,
    /// What it is there for.
    pub assignment: Assignment,
}

/// Where a process writes its trace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceAssignment {
    /// The file, which does not exist yet.
    pub path: String,
    /// The seed of its checks.
    pub salt: u32,
    /// The largest size in bytes.
    pub bytes_max: u64,
}

/// What a process is there for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "role", rename_all = "snake_case")]
pub enum Assignment {
    /// To answer events.
    Client(Box<ClientAssignment>),
    /// To make the workload's operations.
    Driver(DriverAssignment),
    /// To do errands for clients.
    Worker(WorkerAssignment),
}

/// A client's part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientAssignment {
    /// Its bundle ID.
    pub bundle_id: String,
    /// How it behaves at first.
    pub behavior: Box<Behavior>,
    /// The most workers any order will ask for; their threads start before the first event.
    pub workers_max: u16,
    /// What any order will have it told of after it has happened; it is set up for that before the first event.
    #[serde(default)]
    pub notifies: NotifyEvents,
    /// How long it may take to answer.
    pub deadline: Span,
    /// The workload, from which it knows the arena's files.
    pub workload: Vec<Workload>,
    /// The helpers that it starts and that are its own.
    #[serde(default)]
    pub helpers: Option<HelpersAssignment>,
    /// The daemons that it asks, in the order of its behaviour's.
    #[serde(default)]
    pub daemons: Vec<AskedDaemon>,
}

/// A client's helpers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HelpersAssignment {
    /// The program, inside the client's bundle.
    pub program: String,
    /// What each is told first, over its standard input. The requests come over a channel of their own; the end of
    /// standard input is the order to finish.
    pub welcomes: Vec<Welcome>,
}

/// A daemon that a client asks. The channels to it come with [`Order::Connect`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedDaemon {
    /// The number of its first process in the run: its name in traces, whichever of its processes answers.
    pub actor: Actor,
    /// Its name in the lab.
    pub name: String,
}

/// The part of a helper or a daemon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerAssignment {
    /// The client whose helper it is; `None` for a daemon.
    pub client: Option<Actor>,
    /// Requests that it works on at once.
    pub workers: u16,
    /// What it does for each.
    pub errand: Errand,
    /// The workload, from which it knows the arena's files.
    pub workload: Vec<Workload>,
}

/// The driver's part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DriverAssignment {
    /// What to do.
    pub workload: Vec<Workload>,
}

/// One phase of the workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PhaseOrder {
    /// Which phase; recorded with every operation.
    pub phase: PhaseKind,
    /// Begin no operation after this long.
    pub span: Span,
    /// Begin no more than this many operations over all loads; `None` for no such limit.
    pub operations_max: Option<u64>,
}

/// A helper that its client has started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelperReady {
    /// Its number in the run.
    pub actor: Actor,
    /// Its process ID.
    pub pid: u32,
    /// The IDs of all its threads.
    pub threads: Vec<u64>,
}

/// What a process answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// It is set up: a client has its group and mark, its threads run and its trace is open.
    Ready {
        /// Its process ID.
        pid: u32,
        /// The IDs of all its threads.
        threads: Vec<u64>,
        /// A client's descriptor of its kernel queue, by which the warden can look at it.
        queue: Option<i32>,
        /// The helpers that a client has started.
        #[serde(default)]
        helpers: Vec<HelperReady>,
    },
    /// A client has started a helper again.
    HelperStarted(HelperReady),
    /// A client cannot start a helper again, or not reach it.
    HelperFailed {
        /// The helper.
        actor: Actor,
        /// Why, in one sentence.
        message: String,
        /// The kind of reason.
        reason: FailureReason,
    },
    /// A client's helper has ended. Nobody asked for this reply.
    HelperEnded {
        /// The helper.
        actor: Actor,
        /// Its wait status.
        status: i32,
    },
    /// The order took effect.
    Done,
    /// The driver's last operation of a phase has ended.
    PhaseEnded {
        /// Operations begun in the phase.
        operations: u64,
        /// When the last worker was through with it: whoever hears of it later must not take that for its end.
        at: Ticks,
    },
    /// The trace is closed; the process ends now.
    Closed {
        /// Records that did not fit.
        lost: u64,
    },
    /// It cannot do what it was told, and ends.
    Failed {
        /// Why, in one sentence.
        message: String,
        /// The kind of reason.
        reason: FailureReason,
        /// What mends it, if that is known and does not follow from the reason.
        mend: Option<String>,
    },
}
