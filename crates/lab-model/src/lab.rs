//! The lab as a whole, with every default filled in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    ArenaKind, BackendChoice, Behavior, BundleId, ClientId, Daemon, ExecProgram, Expectation, External,
    FaultAction, Kernel, NotifyEvent, NotifyEvents, PlannedFault, Service, Span, Workload,
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

/// The parts of a run, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum PhaseKind {
    /// The workload without any client: what an operation costs by itself.
    Baseline,
    /// The workload with all clients answering at once: what being asked costs.
    Control,
    /// As the control, with the products under test running beside the clients: what those cost.
    External,
    /// The workload with the clients as the lab file has them.
    Storm,
    /// No workload: does it calm down?
    Drain,
}

impl PhaseKind {
    /// All phases in the order of a run.
    pub const ALL: [PhaseKind; 5] =
        [PhaseKind::Baseline, PhaseKind::Control, PhaseKind::External, PhaseKind::Storm, PhaseKind::Drain];

    /// The name in lab files, traces and reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            PhaseKind::Baseline => "baseline",
            PhaseKind::Control => "control",
            PhaseKind::External => "external",
            PhaseKind::Storm => "storm",
            PhaseKind::Drain => "drain",
        }
    }

    /// The number in the trace.
    #[must_use]
    pub const fn code(self) -> u16 {
        match self {
            PhaseKind::Baseline => 1,
            PhaseKind::Control => 2,
            PhaseKind::Storm => 3,
            PhaseKind::Drain => 4,
            PhaseKind::External => 5,
        }
    }

    /// Its place in [`PhaseKind::ALL`], for tables.
    #[must_use]
    pub const fn place(self) -> usize {
        match self {
            PhaseKind::Baseline => 0,
            PhaseKind::Control => 1,
            PhaseKind::External => 2,
            PhaseKind::Storm => 3,
            PhaseKind::Drain => 4,
        }
    }

    /// The phase with this number.
    #[must_use]
    pub fn from_code(code: u16) -> Option<PhaseKind> {
        PhaseKind::ALL.into_iter().find(|phase| phase.code() == code)
    }
}

/// One phase of a run that takes place, and how long it lasts at the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phase {
    /// Which one.
    pub kind: PhaseKind,
    /// How long it lasts at the most.
    pub span: Span,
}

/// How long each phase lasts; a zero leaves the phase out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Phases {
    /// Without clients.
    pub baseline: Span,
    /// With clients that answer at once.
    pub control: Span,
    /// With clients that answer at once, beside the products under test; zero in a lab without any.
    #[serde(default)]
    pub external: Span,
    /// The experiment; longer than zero.
    pub storm: Span,
    /// The longest wait for calm after the storm.
    pub drain: Span,
}

impl Phases {
    /// The phases that take place, in order.
    pub fn iter(&self) -> impl Iterator<Item = Phase> {
        PhaseKind::ALL
            .into_iter()
            .map(|kind| Phase { kind, span: self.span(kind) })
            .filter(|phase| !phase.span.is_zero())
    }

    /// How long a phase lasts.
    #[must_use]
    pub const fn span(&self, kind: PhaseKind) -> Span {
        match kind {
            PhaseKind::Baseline => self.baseline,
            PhaseKind::Control => self.control,
            PhaseKind::External => self.external,
            PhaseKind::Storm => self.storm,
            PhaseKind::Drain => self.drain,
        }
    }
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
