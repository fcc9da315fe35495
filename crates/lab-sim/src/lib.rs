//! The same lab in virtual time: a deterministic discrete-event simulation of a whole run.
//!
//! It runs the clients' own code ([`lab_client_core::ClientCore`]) and the workload's own schedule
//! ([`lab_workload::Schedule`]) on a simulated machine with one of two kernels, and records what a live run
//! records, so that the analysis of live runs applies. The same lab, options and version give the same bytes.
//!
//! It must not read a clock, start a thread, touch a file, or decide anything that a client decides. Whatever
//! runs many simulations at once is its caller's business. What the model leaves out, and why, is in
//! `docs/decisions/0003-simulator-model.md`.
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
//! - **Told**: what has happened is told to whoever listens, as each kernel does, and nobody waits for that ([`Told`]).
#![forbid(unsafe_code)]

mod agenda;
mod calibrate;
mod channels;
mod client;
mod comebacks;
mod costs;
mod deciders;
mod driver;
mod faults;
mod files;
mod hiding;
mod histogram;
mod ladder;
mod limits;
mod machine;
mod makers;
mod measure;
mod measured;
mod minimize;
mod observers;
mod openers;
mod operation;
mod outside;
mod plan;
mod processors;
mod random;
mod script;
mod simulation;
mod sink;
mod slab;
mod swarm;
mod sweep;
mod tally;
mod trees;
mod trials;
mod warden;
mod writing;

pub use calibrate::{Calibration, calibrate};
pub use costs::Costs;
pub use files::Files;
pub use hiding::EsCache;
pub use histogram::Histogram;
pub use ladder::{Ladder, Mitigation, Rung, change, ladder};
pub use limits::not_simulated;
pub use measure::measure;
pub use measured::{Evidence, FigureSpread, Measured, Spread};
pub use minimize::{Minimized, minimize};
pub use plan::{OnWorkload, Plan, Rehearsal, RootPlan, Size, plan};
pub use simulation::{
    Difference, Hit, Kernel, Options, Outcome, PhaseSummary, Summary, check_determinism, search, simulate,
};
pub use sink::{Counting, DEVICE, Sink, TraceFile, Traces};
pub use swarm::{SwarmHit, search_swarm, swarm};
pub use sweep::{Axis, Cell, cells, run_cell};
pub use tally::{Cut, Cycle, Heard, Told};
pub use trials::{Range, Trial, Trials, trials};
