//! Whether this machine can run a lab.
//!
//! Facts go in, findings come out: the checks ([`examine_linux`], [`examine_mac`]) are functions without any
//! effect and compile everywhere, and only the two gatherers ask the system, of which `here` takes this machine's. A fact that could not be had is
//! unknown, and so is the finding: nothing is guessed. The doctor changes nothing.
#![forbid(unsafe_code)]

mod finding;
mod here;
mod linux;
mod linux_facts;
mod mac;
mod mac_facts;
pub mod machine_files;

pub use finding::{Finding, Outcome, Wanted, Weight, blocks};
pub use here::{examine_here, live_works, may_storm_here};
pub use linux::examine_linux;
pub use linux_facts::{Group, Limit, LinuxFacts, PermissionEvents};
pub use mac::{Consent, SignedHow, examine_mac, may_storm};
pub use mac_facts::{Extension, MacFacts};
