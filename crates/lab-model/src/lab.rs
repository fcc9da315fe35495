//! The lab as a whole, with every default filled in.

use serde::{Deserialize, Serialize};

use crate::{
    ArenaKind, BackendChoice, Behavior, BundleId, ClientId, Daemon, ExecProgram, Expectation, External,
    FaultAction, Kernel, NotifyEvent, NotifyEvents, Phases, PlannedFault, Service, Span, Workload,
};

/// A lab with every default filled in and every rule checked: what the orchestrator runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lab {
    /// The name, as the run store's folder.
    pub name: String,
    /// What, why and what to expect, in a sentence or two.
    pub about: String,
    /// The seed of everything that is drawn.
    pub seed: u64,
    /// The kernel to run on.
    pub backend: BackendChoice,
    /// How long a client may take to answer. Emulated by the warden where the kernel has no deadline.
    pub deadline: Span,
    /// The clients, in the order of the lab file; at least one.
    pub clients: Vec<Client>,
    /// The daemons that clients ask.
    #[serde(default)]
    pub daemons: Vec<Daemon>,
    /// Products under test that take part.
    #[serde(default)]
    pub external: Vec<External>,
    /// What is done to the lab while it runs, in the order of time.
    #[serde(default)]
    pub faults: Vec<PlannedFault>,
    /// How long each phase lasts.
    pub phases: Phases,
    /// What drives the lab; at least one load.
    pub workload: Vec<Workload>,
    /// What each step of the load that looks for a knee must hold, beside keeping up with its rate.
    #[serde(default)]
    pub hold: Vec<Expectation>,
    /// What must hold for exit code 0.
    pub expect: Vec<Expectation>,
    /// Limits that keep a lab from harming its machine.
    pub safety: Safety,
}

impl Lab {
    /// How a client behaves, at first and under the faults that are planned for it.
    pub fn behaviors_of<'a>(&'a self, client: &'a Client) -> impl Iterator<Item = &'a Behavior> {
        let changes = self.faults.iter().filter(|fault| fault.on == client.id.as_str());
        let changed = changes.filter_map(|fault| match &fault.action {
            FaultAction::Behave { behavior, .. } => Some(behavior.as_ref()),
            _ => None,
        });
        [&client.behavior].into_iter().chain(changed)
    }

    /// True for a client that is ever told of what has happened.
    #[must_use]
    pub fn notifies(&self, client: &Client) -> bool {
        !self.notify_events_of(client).is_empty()
    }

    /// Everything that a client is ever told of.
    #[must_use]
    pub fn notify_events_of(&self, client: &Client) -> NotifyEvents {
        self.behaviors_of(client).flat_map(|behavior| behavior.notify.iter()).collect()
    }

    /// The first client that wants to be told of something that this kernel tells nobody of, what, and why.
    #[must_use]
    pub fn unsupported_notify(&self, kernel: Kernel) -> Option<(&ClientId, NotifyEvent, &'static str)> {
        self.clients.iter().find_map(|client| {
            let mut wanted = self.behaviors_of(client).flat_map(|behavior| behavior.notify.iter());
            wanted.find_map(|event| event.unsupported_by(kernel).map(|why| (&client.id, event, why)))
        })
    }

    /// The first client that ever denies by signature.
    #[must_use]
    pub fn judge_of_signatures(&self) -> Option<&ClientId> {
        let judges = |behavior: &Behavior| behavior.deny.iter().any(|rule| rule.signature.is_some());
        self.clients.iter().find(|client| self.behaviors_of(client).any(judges)).map(|client| &client.id)
    }

    /// The programs that clients run on their own account, and those that helpers and daemons run for them.
    #[must_use]
    pub fn programs_of_clients(&self) -> Vec<ExecProgram> {
        let behaviors = self.clients.iter().flat_map(|client| self.behaviors_of(client));
        let helped = |behavior: &Behavior| behavior.helpers.and_then(|helpers| helpers.errand.spawn);
        let by_clients = behaviors.flat_map(|behavior| {
            behavior.all_reactions().map(|reaction| reaction.spawn).chain([helped(behavior)])
        });
        by_clients.chain(self.daemons.iter().map(|daemon| daemon.errand.spawn)).flatten().collect()
    }

    /// How the helper (`alpha.helper-1`) or daemon of this name serves at first; `None` when there is none.
    #[must_use]
    pub fn service_of(&self, name: &str) -> Option<Service> {
        Service::of(name, &self.clients, &self.daemons)
    }

    /// The most decisions that a client works on at once, under any of the faults that are planned for it.
    #[must_use]
    pub fn workers_max(&self, client: &Client) -> u16 {
        self.behaviors_of(client).map(|behavior| behavior.concurrency.get()).max().unwrap_or(1)
    }
}

impl Service {
    /// How the helper (`alpha.helper-1`) or daemon of this name serves at first; `None` when there is none.
    #[must_use]
    pub fn of(name: &str, clients: &[Client], daemons: &[Daemon]) -> Option<Service> {
        if let Some(daemon) = daemons.iter().find(|daemon| daemon.id.as_str() == name) {
            return Some(Service { errand: daemon.errand, workers: daemon.workers });
        }
        let (client, number) = PlannedFault::helper_of(name)?;
        let client = clients.iter().find(|one| one.id.as_str() == client)?;
        let helpers = client.behavior.helpers.filter(|helpers| (1..=helpers.count).contains(&number))?;
        Some(Service { errand: helpers.errand, workers: 1 })
    }
}

/// One client of a lab: who it is, how it behaves, and whether it is started again when it dies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its name in this lab.
    pub id: ClientId,
    /// Its bundle's name; distinct from every other client's.
    pub bundle_id: BundleId,
    /// What it does.
    pub behavior: Behavior,
    /// It is started again this long after it has died; `None` leaves it dead.
    #[serde(default)]
    pub restart: Option<Span>,
}

/// Limits that keep a lab from harming its machine: bytes of traces and arena, and the length of the run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Safety {
    /// The most a single trace file may grow to, in bytes; what comes after is counted as lost.
    pub trace_bytes_max: u64,
    /// The size of the arena's file system, in bytes.
    pub arena_bytes_max: u64,
    /// The longest a whole run may take before the warden ends it.
    pub run_max: Span,
    /// The baseline ends early after this many operations: they are cheap, and each one is recorded.
    pub baseline_operations_max: u64,
}

impl Default for Safety {
    fn default() -> Safety {
        Safety {
            trace_bytes_max: 4 << 30,
            arena_bytes_max: 256 << 20,
            run_max: Span::from_secs(600),
            baseline_operations_max: 200_000,
        }
    }
}

impl Lab {
    /// The kind of file system that the arena is.
    #[must_use]
    pub fn arena_kind(&self) -> ArenaKind {
        self.external.iter().find_map(|external| external.arena).unwrap_or_default()
    }
}
