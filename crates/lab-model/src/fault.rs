//! Planned faults: what can be done to a lab while it runs, and what each comes down to.
//!
//! A kind of fault is a row of [`PlannedKind`] (its number in traces, its word in lab files and reports), a variant of
//! [`FaultAction`] (its numbers), and an [`Effect`]. Whoever brings a fault about, live or simulated, knows effects
//! only; the order of events is `lab-workload`'s.

use serde::{Deserialize, Serialize};
use strum::{FromRepr, IntoStaticStr, VariantArray};

use crate::{AuthEvents, Behavior, DenyRule, Service, Span};

/// A disturbance at a planned time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFault {
    /// How long into the storm it begins.
    pub at: Span,
    /// To whom it is done: the ID of a client or a daemon, a client's helper (`alpha.helper-1`),
    /// [`PlannedFault::DRIVER`], or [`PlannedFault::MACHINE`].
    pub on: String,
    /// What is done.
    pub action: FaultAction,
}

impl PlannedFault {
    /// The name of the process that makes the workload's operations.
    pub const DRIVER: &'static str = "driver";
    /// The name of all that the lab's processes share.
    pub const MACHINE: &'static str = "machine";
    /// What stands between a client's ID and the number of a helper, which counts from 1.
    const HELPER: &'static str = ".helper-";

    /// True when it is done to the participant of this name.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        match &self.action {
            FaultAction::Freeze { names, .. } => names.is_empty() || names.iter().any(|one| one == name),
            _ => self.on == name,
        }
    }

    /// What is done, to whom, in which numbers and for how long, such as `slow of alpha, by 5ms, for 2s`.
    #[must_use]
    pub fn words(&self) -> String {
        let detail = self.action.detail();
        let mut text = match &self.action {
            FaultAction::Freeze { names, .. } if names.len() != 1 => {
                format!("{} of {detail}", self.action.name())
            }
            action if detail.is_empty() => format!("{} of {}", action.name(), self.on),
            action => format!("{} of {}, {detail}", action.name(), self.on),
        };
        if let Some(span) = self.action.span() {
            text.push_str(&format!(", for {span}"));
        }
        text
    }

    /// The name of a client's helper: its number counts from 1.
    #[must_use]
    pub fn helper(client: &str, number: u16) -> String {
        format!("{client}{}{number}", PlannedFault::HELPER)
    }

    /// The client, and the number from 1, of the helper that is called so; `None` for any other name.
    #[must_use]
    pub fn helper_of(name: &str) -> Option<(&str, u16)> {
        let (client, number) = name.rsplit_once(PlannedFault::HELPER)?;
        Some((client, number.parse().ok()?))
    }
}

/// What a planned fault does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultAction {
    /// Stops the process and lets it go on (`SIGSTOP`, `SIGCONT`).
    Stall {
        /// For so long.
        span: Span,
    },
    /// Kills the process (`SIGKILL`). A client with [`crate::Client::restart`] comes back.
    Kill,
    /// Kills the client, helper or daemon and starts it again; a client comes back with its helpers.
    Restart {
        /// So long after its death.
        after: Span,
    },
    /// Makes a client work longer on every event that sets it off, or a helper or daemon on every request.
    Slow {
        /// By this much.
        by: Span,
        /// For so long.
        span: Span,
    },
    /// Makes the client deny.
    Deny {
        /// A file or folder relative to the arena; `None` stands for everything.
        path: Option<String>,
        /// For so long.
        span: Span,
    },
    /// Gives the client another behaviour.
    Behave {
        /// The whole of it.
        behavior: Box<Behavior>,
        /// For so long; `None` for the rest of the run.
        span: Option<Span>,
    },
    /// Has a helper or a daemon do something else for each request that it begins.
    Serve {
        /// The whole of it.
        service: Service,
        /// For so long; `None` for the rest of the run.
        span: Option<Span>,
    },
    /// Keeps processors busy with a process of the lab's own.
    CpuLoad {
        /// Threads that never rest: 1 to 256.
        threads: u16,
        /// For so long.
        span: Span,
    },
    /// Lowers the number of files that the process may have open. A client without a descriptor for an event cannot
    /// read it, and the kernel denies the open.
    Descriptors {
        /// To this many.
        limit: u32,
        /// For so long.
        span: Span,
    },
    /// Makes participants stand still together, with all the processes that they have started.
    Freeze {
        /// Their names; none for all the lab's participants. [`PlannedFault::on`] is the name if it is one, else
        /// [`PlannedFault::MACHINE`].
        names: Vec<String>,
        /// For so long.
        span: Span,
    },
}

/// The kinds of planned faults, by their number in traces. A number never changes, and none is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromRepr, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
#[repr(u16)]
pub enum PlannedKind {
    /// Stops a process for a while.
    Stall = 16,
    /// Kills it.
    Kill = 17,
    /// Kills a client and starts it again.
    Restart = 18,
    /// Makes a client, a helper or a daemon work longer.
    Slow = 19,
    /// Makes a client deny.
    Deny = 20,
    /// Gives a client another behaviour, or a helper or a daemon another errand.
    Behave = 21,
    /// Keeps processors busy.
    CpuLoad = 22,
    /// Lowers a process's limit on open files.
    Descriptors = 23,
    /// Makes several processes, or all, stand still at once.
    Freeze = 24,
}

impl PlannedKind {
    /// All of them, in the order of their numbers.
    pub const ALL: &'static [PlannedKind] = PlannedKind::VARIANTS;

    /// The word in lab files and reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// The number in traces.
    #[must_use]
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The kind of this number; `None` for a number that this version does not know.
    #[must_use]
    pub const fn from_code(code: u16) -> Option<PlannedKind> {
        PlannedKind::from_repr(code)
    }
}

/// What a fault comes down to for whoever brings it about: an operating system, or the simulator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The participant works otherwise: it is told so, and says when it follows. [`behavior_under`] and
    /// [`service_under`] say how.
    Behavior,
    /// All threads of the target stand still until the fault is over.
    Standstill(Standstill),
    /// The process is killed (`SIGKILL`).
    Death {
        /// It is started again so long after its death; `None` leaves that to the lab file's `restart`.
        returns: Option<Span>,
    },
    /// Threads of a process of the lab's own keep processors busy until the fault is over.
    Load {
        /// How many.
        threads: u16,
    },
    /// The process can have fewer files open (`RLIMIT_NOFILE`) until the fault is over.
    Descriptors {
        /// At most this many.
        limit: u32,
    },
}

impl Standstill {
    /// The other means.
    #[must_use]
    pub const fn other(self) -> Standstill {
        match self {
            Standstill::Signal => Standstill::Freezer,
            Standstill::Freezer => Standstill::Signal,
        }
    }
}

impl Effect {
    /// True for what ends with the process that it is done to, and is not done to the next one of that name.
    #[must_use]
    pub const fn ends_with_target(self) -> bool {
        matches!(self, Effect::Standstill(_) | Effect::Descriptors { .. })
    }
}

/// By which means a target is made to stand still. What one means has stopped, another does not let go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standstill {
    /// `SIGSTOP` and `SIGCONT`.
    Signal,
    /// The freezer of Linux's control groups, which stops all of its targets at once and their children with them.
    Freezer,
}

impl FaultAction {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> PlannedKind {
        match self {
            FaultAction::Stall { .. } => PlannedKind::Stall,
            FaultAction::Kill => PlannedKind::Kill,
            FaultAction::Restart { .. } => PlannedKind::Restart,
            FaultAction::Slow { .. } => PlannedKind::Slow,
            FaultAction::Deny { .. } => PlannedKind::Deny,
            FaultAction::Behave { .. } | FaultAction::Serve { .. } => PlannedKind::Behave,
            FaultAction::CpuLoad { .. } => PlannedKind::CpuLoad,
            FaultAction::Descriptors { .. } => PlannedKind::Descriptors,
            FaultAction::Freeze { .. } => PlannedKind::Freeze,
        }
    }

    /// The name in lab files and reports.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// What it comes down to.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        match self {
            FaultAction::Stall { .. } => Effect::Standstill(Standstill::Signal),
            FaultAction::Freeze { .. } => Effect::Standstill(Standstill::Freezer),
            FaultAction::Kill => Effect::Death { returns: None },
            FaultAction::Restart { after } => Effect::Death { returns: Some(*after) },
            FaultAction::Slow { .. }
            | FaultAction::Deny { .. }
            | FaultAction::Behave { .. }
            | FaultAction::Serve { .. } => Effect::Behavior,
            FaultAction::CpuLoad { threads, .. } => Effect::Load { threads: *threads },
            FaultAction::Descriptors { limit, .. } => Effect::Descriptors { limit: *limit },
        }
    }

    /// How long it lasts, to be changed; `None` when it is over at once, or never.
    pub const fn span_mut(&mut self) -> Option<&mut Span> {
        match self {
            FaultAction::Kill | FaultAction::Restart { .. } => None,
            FaultAction::Behave { span, .. } | FaultAction::Serve { span, .. } => span.as_mut(),
            FaultAction::Stall { span }
            | FaultAction::Slow { span, .. }
            | FaultAction::Deny { span, .. }
            | FaultAction::CpuLoad { span, .. }
            | FaultAction::Descriptors { span, .. }
            | FaultAction::Freeze { span, .. } => Some(span),
        }
    }

    /// How long it lasts; `None` when it is over at once, or never.
    #[must_use]
    pub const fn span(&self) -> Option<Span> {
        match self {
            FaultAction::Kill | FaultAction::Restart { .. } => None,
            FaultAction::Behave { span, .. } | FaultAction::Serve { span, .. } => *span,
            FaultAction::Stall { span }
            | FaultAction::Slow { span, .. }
            | FaultAction::Deny { span, .. }
            | FaultAction::CpuLoad { span, .. }
            | FaultAction::Descriptors { span, .. }
            | FaultAction::Freeze { span, .. } => Some(*span),
        }
    }

    /// True when it is a change of how a process works that the process is told of.
    #[must_use]
    pub const fn is_behavior(&self) -> bool {
        matches!(self.effect(), Effect::Behavior)
    }

    /// True when who dies of it is started again.
    #[must_use]
    pub const fn brings_back(&self) -> bool {
        matches!(self.effect(), Effect::Death { returns: Some(_) })
    }

    /// True when it can change how many decisions an operation leads to, in a lab with this deadline; false when it
    /// only takes time.
    #[must_use]
    pub fn changes_counts(&self, deadline: Span) -> bool {
        match self.effect() {
            Effect::Standstill(_) => self.span().is_none_or(|span| span >= deadline),
            Effect::Behavior => !matches!(self, FaultAction::Slow { .. }),
            Effect::Load { .. } => false,
            Effect::Death { .. } | Effect::Descriptors { .. } => true,
        }
    }

    /// A sentence's worth of its numbers, such as `by 5ms`; empty where there are none.
    #[must_use]
    pub fn detail(&self) -> String {
        match self {
            FaultAction::Restart { after } => format!("{after} after its death"),
            FaultAction::Slow { by, .. } => format!("by {by}"),
            FaultAction::Deny { path, .. } => path.clone().unwrap_or_else(|| "everything".into()),
            FaultAction::CpuLoad { threads, .. } => format!("{threads} threads"),
            FaultAction::Descriptors { limit, .. } => format!("at most {limit}"),
            FaultAction::Freeze { names, .. } if names.is_empty() => "everything".into(),
            // Whom it is on says it already.
            FaultAction::Freeze { names, .. } if names.len() == 1 => String::new(),
            FaultAction::Freeze { names, .. } => names.join(", "),
            FaultAction::Stall { .. }
            | FaultAction::Kill
            | FaultAction::Behave { .. }
            | FaultAction::Serve { .. } => String::new(),
        }
    }
}

/// A step in the life of a planned fault, as traces record it: from its beginning to the word of whom it is on that it is
/// over; or that it found nobody, or never came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultStage {
    /// It was done, or a client was told so.
    Begins,
    /// The client has said that it follows.
    InForce,
    /// It was taken back, or a client was told so, or its target has died.
    Ends,
    /// The client has said that it follows again.
    Over,
    /// Its time came, and its target was gone.
    NoTarget,
    /// Its time never came.
    TooLate,
    /// Another, by number.
    Other(u32),
}

/// A client's behaviour while these faults of its own are in effect, the earliest first.
#[must_use]
pub fn behavior_under<'a>(base: &Behavior, faults: impl Iterator<Item = &'a FaultAction>) -> Behavior {
    let (mut behavior, mut delay, mut rules) = (base.clone(), Span::default(), Vec::new());
    for fault in faults {
        match fault {
            FaultAction::Behave { behavior: other, .. } => behavior = (**other).clone(),
            FaultAction::Slow { by, .. } => {
                delay = Span::from_nanos(delay.nanos().saturating_add(by.nanos()))
            }
            FaultAction::Deny { path, .. } => {
                let on = AuthEvents::ALL;
                rules.push(DenyRule { path: path.clone(), process: None, signature: None, on });
            }
            FaultAction::Stall { .. }
            | FaultAction::Kill
            | FaultAction::Restart { .. }
            | FaultAction::Serve { .. }
            | FaultAction::CpuLoad { .. }
            | FaultAction::Descriptors { .. }
            | FaultAction::Freeze { .. } => {}
        }
    }
    behavior.delay = behavior.delay.shifted(delay);
    behavior.deny.extend(rules);
    behavior
}

/// How a helper or a daemon serves while these faults of its own are in effect, the earliest first.
#[must_use]
pub fn service_under<'a>(base: Service, faults: impl Iterator<Item = &'a FaultAction>) -> Service {
    let (mut service, mut delay) = (base, Span::default());
    for fault in faults {
        match fault {
            FaultAction::Serve { service: other, .. } => service = *other,
            FaultAction::Slow { by, .. } => {
                delay = Span::from_nanos(delay.nanos().saturating_add(by.nanos()));
            }
            _ => {}
        }
    }
    service.errand.delay = service.errand.delay.shifted(delay);
    service
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cache, Errand};

    #[test]
    fn a_helper_is_called_by_its_client_and_number() {
        assert_eq!(PlannedFault::helper_of(&PlannedFault::helper("a-1", 2)), Some(("a-1", 2)));
        for other in ["alpha", "alpha.helper-", "alpha.helper-x", "alpha/helpers", "helper-1"] {
            assert_eq!(PlannedFault::helper_of(other), None, "{other}");
        }
    }

    #[test]
    fn what_is_done_names_everybody_once() {
        let freeze = |names: &[&str], on: &str| PlannedFault {
            at: Span::from_secs(1),
            on: on.to_owned(),
            action: FaultAction::Freeze {
                names: names.iter().map(|&name| name.to_owned()).collect(),
                span: Span::from_secs(10),
            },
        };
        assert_eq!(freeze(&["bravo"], "bravo").words(), "freeze of bravo, for 10s");
        let two = freeze(&["alpha", "driver"], PlannedFault::MACHINE);
        assert_eq!(two.words(), "freeze of alpha, driver, for 10s");
        assert_eq!(freeze(&[], PlannedFault::MACHINE).words(), "freeze of everything, for 10s");
        let by = FaultAction::Slow { by: Span::from_millis(5), span: Span::from_secs(2) };
        let slow = PlannedFault { action: by, ..freeze(&[], "alpha") };
        assert_eq!(slow.words(), "slow of alpha, by 5ms, for 2s");
    }

    #[test]
    fn faults_add_up() {
        let slow = |by| FaultAction::Slow { by: Span::from_millis(by), span: Span::from_secs(1) };
        let cached = Behavior { cache: Cache::On, ..Behavior::noop() };
        let faults = [
            slow(5),
            FaultAction::Behave { behavior: Box::new(cached), span: None },
            slow(2),
            FaultAction::Deny { path: None, span: Span::from_secs(1) },
        ];
        let behavior = behavior_under(&Behavior::noop(), faults.iter());
        assert_eq!((behavior.delay, behavior.cache), (Span::from_millis(7).into(), Cache::On));
        assert_eq!((behavior.deny.len(), &behavior.deny[0].path), (1, &None));
        assert_eq!(behavior_under(&Behavior::noop(), [].iter()), Behavior::noop());
    }
    #[test]
    fn faults_of_a_worker_add_up() {
        let base = Service { errand: Errand { open: true, ..Errand::none() }, workers: 2 };
        let slow = |by| FaultAction::Slow { by: Span::from_millis(by), span: Span::from_secs(1) };
        let busy = Service { errand: Errand { extra_opens: 3, ..Errand::none() }, workers: 1 };
        let faults = [slow(5), FaultAction::Serve { service: busy, span: None }, slow(2), FaultAction::Kill];
        let service = service_under(base, faults.iter());
        assert_eq!((service.workers, service.errand.extra_opens, service.errand.open), (1, 3, false));
        assert_eq!(service.errand.delay, Span::from_millis(7).into());
        assert_eq!(service_under(base, [].iter()), base);
    }
}
