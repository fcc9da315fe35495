//! Makes N bundles out of one executable, and checks what was made.
//!
//! Each client of a lab becomes `ID.app/Contents/{Info.plist,MacOS/ID}` with its own bundle ID and its own
//! copy of the executable: the same on Linux and on macOS, so that what is tested here is what a Mac runs.
//! This crate must not know what a client does, or read a clock. Signing and installing are plans, as values,
//! which a dry run prints and a Mac carries out.
#![forbid(unsafe_code)]

mod architecture;
mod carry_out;
mod check;
mod daemons;
mod error;
mod host;
mod job;
mod launchd;
mod package;
mod profile;
mod property_list;
mod seal;
pub mod signature;
mod signing;
mod step;
mod template;
mod verify;

pub use architecture::{Architecture, Container, Machine};
pub use carry_out::{StandIn, StepError, SystemTools, Tools, carry_out};
pub use check::{Check, Subject};
pub use daemons::{CONTROL_OPTION, Daemons};
pub use error::{BundleError, TemplateError};
pub use host::{HOST, Host, INSTALL_ENTITLEMENT, package_host, sign_host_ad_hoc, verify_host};
pub use job::{CrashReport, Death, JobState};
pub use launchd::{
    InstalledJob, Places, installed_jobs, plan_install, plan_uninstall, print_job, restart_job, start_job,
};
pub use package::{Bundle, package, package_open};
pub use profile::{Profile, ProfileError};
pub use property_list::{PROPERTY_LIST_BYTES_MAX, PROPERTY_LIST_DEPTH_MAX, PropertyListError, property_list};
pub use seal::{ENTITLEMENT, ENTITLEMENTS, sign_ad_hoc, verify_signatures};
pub use signing::{
    DeveloperId, Signing, SigningFacts, SigningFileError, SigningProblem, identities, list_identities,
    plan_signing, problems,
};
pub use step::{Step, ToolCall, quoted};
pub use template::{DaemonIdentity, Template};
pub use verify::{require, verify};
