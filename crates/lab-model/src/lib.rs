//! The nouns of the lab, and nothing else.
//!
//! Every other crate may use this one; this one uses none of them. It holds no policy, reads no clock and
//! does no I/O. Words are those of the field: *client*, *subject*, *target*, *operation*, *decision*.
#![forbid(unsafe_code)]

mod behavior;
mod bounded;
mod decision;
mod distribution;
mod event;
mod event_set;
mod expectation;
mod external;
mod failure_reason;
mod fault;
mod files;
mod identity;
mod kernel;
mod lab;
mod life;
mod metrics;
mod operation;
mod participant;
mod phase;
mod span;
mod subject;
mod time;
pub mod units;
mod visible;
mod workload;

pub use behavior::{
    Behavior, Cache, Concurrency, DenyRule, Mute, Preset, ReactTo, Reaction, Reactions, Via, When,
};
pub use bounded::{Bounded, Total};
pub use decision::{Approval, Verdict};
pub use distribution::{Distribution, Quantity, mix, normal_quantile};
pub use event::{AuthEvent, EventKind, NotifyEvent};
pub use event_set::{AuthEvents, NotifyEvents};
pub use expectation::{Comparison, Decimal, Expectation, Expected, InvalidDecimal};
pub use external::{ArenaKind, External, FIRST_EXTERNAL, PrivateFolder, ProcessFacts, Ready, Recognized};
pub use failure_reason::FailureReason;
pub use fault::{
    Effect, FaultAction, FaultStage, PlannedFault, PlannedKind, Standstill, behavior_under, service_under,
};
pub use files::{file_bytes, file_path, path_seed};
pub use identity::{BundleId, ClientId, InvalidIdentity};
pub use kernel::{
    Backend, BackendChoice, Execution, Kernel, UnknownBackend, simulated_kernel_name, simulated_rules,
};
pub use lab::{Client, Lab, Safety};
pub use life::{LifeStep, ProcessId, ProcessLife, SIGNING_ID_BYTES, Signature, SignedBy, TEAM_ID_BYTES};
pub use metrics::{AFTER_DENY, DELIVERY_ORDERS, KEPT_ANSWERS, METRICS, Metric, MetricUnit, OUTCOMES};
pub use operation::{Cause, OperationKind};
pub use participant::{AskedDaemon, Daemon, Errand, Helpers, Service};
pub use phase::{Phase, PhaseKind, Phases};
pub use span::{InvalidSpan, Span};
pub use subject::{Actor, FileId, Role, SubjectClass, ThreadId};
pub use time::{Ticks, Timebase};
pub use visible::Visible;
pub use workload::{
    ExecProgram, ExecStorm, ExecTree, FileMix, Knee, LoadKind, LoadPhases, OpenList, OpenStorm, Rate, Run,
    Workload,
};
