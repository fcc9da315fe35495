//! Cleans up what a killed launcher may have left.

use std::path::PathBuf;

use lab_files::Trusted;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Active, ClientsAre, Failure, ProcessName, RunFolder, Runs, launch::step_failure, owner};

/// The largest marker that is read, in bytes.
const ACTIVE_BYTES_MAX: u64 = 1 << 16;

/// What was found of one run, and removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The run's folder.
    pub run: PathBuf,
    /// Processes that still lived and were ended.
    pub ended: Vec<u32>,
    /// Files and folders that were removed.
    pub removed: Vec<PathBuf>,
}

/// Ends every run of the store and removes what it left. Idempotent. Recorded traces stay; a run that recorded
/// nothing goes as a whole.
///
/// # Errors
/// When others may write the store or a folder in it.
pub fn down(runs: &Runs) -> Result<Vec<Found>, Failure> {
    let each = RunFolder::all(runs)?.into_iter().map(|folder| {
        let text = folder.folder().read(RunFolder::ACTIVE, ACTIVE_BYTES_MAX).ok();
        let active = text.and_then(|text| serde_json::from_slice::<Active>(&text).ok());
        let ended = end(active.as_ref());
        let mut removed = folder.uninstall();
        if (active.is_some() || !ended.is_empty()) && !folder.has_operations() && folder.discard().is_ok() {
            removed.push(folder.root().to_owned());
        }
        Found { run: folder.root().to_owned(), ended, removed }
    });
    Ok(each.filter(|found| !found.ended.is_empty() || !found.removed.is_empty()).collect())
}

/// What was found of daemons, and taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FoundDaemons {
    /// The launcher that had them and still lived; ended.
    pub ended: Option<u32>,
    /// The labels of those that were installed.
    pub removed: Vec<String>,
}

/// Takes every daemon of a lab away, running or not, and whatever else was installed for it. Idempotent.
///
/// # Errors
/// When one of them resists; the others are gone.
pub fn down_daemons(clients_are: &ClientsAre, trusted: &Trusted) -> Result<FoundDaemons, Failure> {
    let Some(daemons) = clients_are.daemons() else { return Ok(FoundDaemons::default()) };
    let launcher = owner::holder(&daemons, trusted)?.filter(ProcessName::lives);
    let ended = launcher
        .map(|launcher| launcher.pid)
        .filter(|&pid| i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok()));
    let removed = daemons.uninstall().map_err(|error| step_failure(&error))?;
    owner::forget_holder(&daemons, trusted);
    Ok(FoundDaemons { ended, removed: removed.into_iter().map(|job| job.label).collect() })
}

fn end(active: Option<&Active>) -> Vec<u32> {
    let marked = active.map(|active| (active.conductor, active.launcher));
    let (conductor, launcher) =
        marked.map_or((None, None), |(conductor, launcher)| (conductor, Some(launcher)));
    // The conductor first: with it the kernel ends every process of the lab.
    let mut ended: Vec<u32> = Vec::new();
    for process in conductor.into_iter().chain(launcher) {
        let Ok(pid) = i32::try_from(process.pid) else { continue };
        if !ended.contains(&process.pid)
            && process.lives()
            && kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok()
        {
            ended.push(process.pid);
        }
    }
    ended
}
