//! One live experiment from plan to teardown.
//!
//! Two processes share the work. The *launcher* ([`launch`]) is what the user started: it builds, packages,
//! starts the controller, passes signals on, and when the lab is over hands its traces to analysis. The
//! *controller* ([`run`]) is the first process of the lab's own namespaces and its warden: it starts the
//! driver and the clients, leads them through the phases and ends them. Whatever kills either of them ends
//! the whole lab, because the kernel ends a PID namespace with its first process.
#![forbid(unsafe_code)]

mod abort;
mod build;
mod call;
mod down;
mod export;
mod failure;
mod freezer;
mod import;
pub mod interrupts;
mod lack;
mod launch;
mod load;
mod owner;
mod plan;
mod preflight;
mod products;
mod proven;
mod reading;
mod recorded;
mod review;
mod run;
mod signing;
mod store;

pub use build::{Programs, client_for, helper_for, host_for, programs, trusted_program};
pub use call::Call;
pub use down::{Found, FoundDaemons, HOW_TO_END, Launcher, LivingLabs, down, down_daemons};
pub use export::{ExportFormat, export};
pub use failure::{Failure, FailureKind, OWN_LACK};
pub use freezer::down_freezers;
pub use import::import;
pub use launch::{Request, launch};
pub use plan::{Active, ClientsAre, Plan, ProcessName};
pub use products::missing_products;
pub use reading::give_up_to_read;
pub use recorded::Recorded;
pub use review::{REPORT_BYTES_MAX, Review, findings_of, lab_of, review, simulated_rules, write_pages};
pub use run::control;
pub use signing::{ProbedClient, SigningFile, probe};
pub use store::{RunFolder, Runs, StoredRun};
