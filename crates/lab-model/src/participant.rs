//! Helpers and daemons: who they are, and what they do for a request.

use serde::{Deserialize, Serialize};

use crate::{AuthEvents, ClientId, Distribution, ExecProgram, Span};

/// What a worker outside the client's process does for one request, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    /// Lets this much time pass first.
    pub delay: Distribution<Span>,
    /// Keeps a processor busy this long, after the delay.
    pub cpu: Distribution<Span>,
    /// Opens the target by its path.
    pub open: bool,
    /// Reads from start to end what it opens.
    pub read: bool,
    /// Hashes what it reads (SHA-256); only together with `read`.
    pub hash: bool,
    /// Opens this many other files of the arena.
    pub extra_opens: u32,
    /// Runs this program of the arena, once, after the opens.
    pub spawn: Option<ExecProgram>,
}

/// How a worker outside the clients serves those who ask it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// What it does for each request.
    pub errand: Errand,
    /// Requests that it works on at once; 1 for a helper.
    pub workers: u16,
}

impl Errand {
    /// Nothing to do.
    #[must_use]
    pub const fn none() -> Errand {
        const NO_TIME: Distribution<Span> = Distribution::Fixed(Span::from_nanos(0));
        Errand {
            delay: NO_TIME,
            cpu: NO_TIME,
            open: false,
            read: false,
            hash: false,
            extra_opens: 0,
            spawn: None,
        }
    }

    /// True when it opens something that could be read.
    #[must_use]
    pub const fn opens(&self) -> bool {
        self.open || self.extra_opens > 0
    }
}

/// A client's direct workers: processes of its own that it asks instead of acting itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Helpers {
    /// How many: 1 to [`Helpers::COUNT_MAX`]. Each does one errand at a time, and a request goes to one of them.
    pub count: u16,
    /// What one does for a request.
    pub errand: Errand,
    /// Which events they are asked about.
    pub on: AuthEvents,
    /// The worker that asks waits for the reply.
    pub wait: bool,
}

impl Helpers {
    /// The most helpers of one client.
    pub const COUNT_MAX: u16 = 64;
    /// What stands behind a client's ID to name its helpers, in `mute` and `verdict`.
    pub const SUFFIX: &'static str = "/helpers";
}

/// A daemon that a client asks, on which events, and whether it waits for the reply before it answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedDaemon {
    /// Which daemon of the lab.
    pub daemon: ClientId,
    /// About which events it is asked.
    pub on: AuthEvents,
    /// The worker that asks waits for the reply.
    pub wait: bool,
}

impl AskedDaemon {
    /// The most daemons that one client asks.
    pub const COUNT_MAX: usize = 16;
}

/// An indirect worker: a daemon that several clients ask, and that cannot say for whom it acts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Daemon {
    /// Its name in this lab; distinct from every client's.
    pub id: ClientId,
    /// Errands that it does at once: 1 to [`Daemon::WORKERS_MAX`].
    pub workers: u16,
    /// What it does for a request.
    pub errand: Errand,
}

impl Daemon {
    /// The most errands that a daemon does at once; each takes a thread.
    pub const WORKERS_MAX: u16 = 64;
    /// The most channels that lead to one daemon, one for each of its workers from each client that asks it: a daemon
    /// that works on as much as it may, asked by as many clients as a Linux kernel that nobody has tuned allows.
    pub const CHANNELS_MAX: usize = 128 * Daemon::WORKERS_MAX as usize;
}
