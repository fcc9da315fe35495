//! What every decoder of the lab holds for any bytes at all.
//!
//! Each target is a function of bytes that ends without a panic whatever they are. Two programs call them: the
//! fuzz targets in `fuzz/`, which need a nightly toolchain, and this crate's test `replay`, which gives every
//! target its corpus and every input that once broke it, with the toolchain of the lab.
#![forbid(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a target that cannot go on has found something")]

mod config;
mod kernel;
mod mac;
mod run;
mod sweep;
mod traced;

pub use config::{condition, lab_file, signing_yaml};
pub use kernel::proc_files;
// These decode what the headers of Linux describe.
#[cfg(target_os = "linux")]
pub use kernel::{fanotify, fdinfo};
pub use mac::{crash_report, mac_tools, mach_o, plist, profile, signature};
#[cfg(feature = "run-files")]
pub use run::run_files;
pub use run::{frames, requests};
pub use sweep::sweep_files;
pub use traced::{analysis, eslogger, exports, report_json, seed, trace};

/// Reads something for no other reason than to have it read.
fn read_only<T>(_: T) {}

/// A target: the name of its corpus, its regressions and its fuzz program, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, in the order of their names.
pub const TARGETS: &[Target] = &[
    ("analysis", analysis),
    ("condition", condition),
    ("crash_report", crash_report),
    ("eslogger", eslogger),
    ("exports", exports),
    #[cfg(target_os = "linux")]
    ("fanotify", fanotify),
    #[cfg(target_os = "linux")]
    ("fdinfo", fdinfo),
    ("frames", frames),
    ("lab_file", lab_file),
    ("mac_tools", mac_tools),
    ("mach_o", mach_o),
    ("plist", plist),
    ("proc_files", proc_files),
    ("profile", profile),
    ("report_json", report_json),
    ("requests", requests),
    #[cfg(feature = "run-files")]
    ("run_files", run_files),
    ("signature", signature),
    ("signing_yaml", signing_yaml),
    ("sweep_files", sweep_files),
    ("trace", trace),
];
