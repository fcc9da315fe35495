//! The doctor of the machine that this program was compiled for.

use crate::{Consent, Finding, MacFacts, Wanted, may_storm};

/// Examines this machine. On a Mac the clients' signature and what the kernel says to a probe stay unknown: nothing has
/// been packaged.
#[cfg(target_os = "linux")]
#[must_use]
pub fn examine_here(wanted: Wanted) -> Vec<Finding> {
    crate::examine_linux(&crate::LinuxFacts::gather(), wanted)
}

/// Examines this machine. On a Mac the clients' signature and what the kernel says to a probe stay unknown: nothing has
/// been packaged.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn examine_here(wanted: Wanted) -> Vec<Finding> {
    crate::examine_mac(&MacFacts::here(None), crate::SignedHow::AdHoc, wanted)
}

/// Says whether a live lab can run here, or else why not, without connecting a client of Endpoint Security: that empties
/// the caches of all others.
///
/// # Errors
/// What stands in the way, in one sentence.
#[cfg(target_os = "linux")]
pub fn live_works(_: Consent) -> Result<(), String> {
    lab_backend_fanotify::probe::capacity().map(drop).map_err(|error| error.to_string())
}

/// Says whether a live lab can run here, or else why not, without connecting a client of Endpoint Security: that empties
/// the caches of all others.
///
/// # Errors
/// What stands in the way, in one sentence.
#[cfg(target_os = "macos")]
pub fn live_works(consent: Consent) -> Result<(), String> {
    use crate::{Outcome, SignedHow, Weight, examine_mac};

    let facts = MacFacts::here(None);
    may_storm(&facts, consent).map_err(|finding| finding.found)?;
    let missing =
        |finding: &Finding| finding.outcome == Outcome::Failed && finding.weight == Weight::Required;
    match examine_mac(&facts, SignedHow::AdHoc, 1).into_iter().find(missing) {
        Some(finding) => Err(finding.found),
        None => Ok(()),
    }
}

/// Says whether a live lab can run here, or else why not.
///
/// # Errors
/// Always.
#[cfg(not(any(target_os = "linux", target_os = "macos")))]
pub fn live_works(_: Consent) -> Result<(), String> {
    Err("this system has no kernel interface that the lab knows".to_owned())
}

/// Refuses to storm a Mac that may be somebody's own. A lab on Linux lives in namespaces of its own, and can freeze
/// nothing outside.
///
/// # Errors
/// What this machine is, and what mends it.
pub fn may_storm_here(consent: Consent) -> Result<(), Finding> {
    if cfg!(target_os = "macos") { may_storm(&MacFacts::here(None), consent) } else { Ok(()) }
}
