//! The same lab in virtual time: a deterministic discrete-event simulation of a whole run.
//!
//! It runs the clients' own code ([`lab_client_core::ClientCore`]) and the workload's own schedule
//! ([`lab_workload::Schedule`]) on a simulated machine with one of two kernels, and records what a live run
//! records, so that the analysis of live runs applies. The same lab, options and version give the same bytes.
//!
//! It must not read a clock, start a thread, touch a file, or decide anything that a client decides. Whatever
//! runs many simulations at once is its caller's business. What the model leaves out, and why, is in
//! `docs/decisions/0003-simulator-model.md`, and what each part does in `docs/reference/simulator.md`.
//!
//! # The machine
//! - **Time** is in nanoseconds. What happens at one time happens in the order in which it was planned.
//! - **Processors**: [`Costs::cores`] of them and one run queue, first come first served. Threads run in
//!   pieces of work that nothing interrupts; a thread that does not wait lets others run after a time slice.
//!   Going over to another thread costs a context switch, waking one costs its waker, and an idle processor
//!   takes a while to start.
//! - **fanotify**: an operation asks one client after the other, in an order drawn from the seed; the opener
//!   itself carries the question on. A deny ends it. A client's own operations are asked about too. There is
//!   no deadline but the warden's, which kills.
//! - **Endpoint Security**: an operation asks all clients but its own at once and waits for all of them. Each
//!   client has a bounded queue, beyond which questions are allowed silently. The kernel kills at the deadline.
//! - **Disturbed**: planned faults begin and end on their timeline, and clients that died come back, with the records
//!   of a live run.
//! - **Hidden**: what a client has muted by path, what it lets the kernel keep, and what it has not subscribed to
//!   is not asked of it ([`EsCache`]).
//! - **NotifyTally**: what has happened is told to whoever listens, as each kernel does, and nobody waits for that ([`NotifyTally`]).
#![forbid(unsafe_code)]

mod calibration;
mod hardware;
mod kernel;
mod limits;
mod machine;
mod options;
mod participants;
mod records;
mod run;
mod scenario;
mod simulation;
mod studies;

pub use calibration::calibrate::{Calibration, calibrate};
pub use calibration::costs::Costs;
pub use calibration::measure::measure;
pub use calibration::measured::{Evidence, FigureSpread, Measured, Spread};
pub use kernel::files::Files;
pub use kernel::hiding::EsCache;
pub use lab_model::Kernel;
pub use limits::not_simulated;
pub use options::Options;
pub use records::histogram::Histogram;
pub use records::sink::{Counting, DEVICE, Sink, TraceFile, Traces};
pub use records::tally::{Cut, Cycle, Heard, NotifyTally};
pub use simulation::{Difference, Hit, Outcome, PhaseSummary, Summary, check_determinism, search, simulate};
pub use studies::advice::{Advice, advice};
pub use studies::ladder::{Ladder, Rung, change, ladder};
pub use studies::left::{CELLS_MAX, Manifest, ManifestCell, ManifestError, Row, rows};
pub use studies::minimize::{Minimized, minimize};
pub use studies::mitigations::Mitigation;
pub use studies::plan::{OnWorkload, Plan, Rehearsal, RootPlan, Size, plan};
pub use studies::swarm::{SwarmHit, search_swarm, swarm};
pub use studies::sweep::{Axis, Cell, cells, run_cell};
pub use studies::trials::{Range, Trial, Trials, trials};
