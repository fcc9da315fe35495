//! The phases of a run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Span;

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
