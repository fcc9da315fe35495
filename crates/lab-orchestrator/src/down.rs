//! Cleans up what a killed launcher may have left.

use std::{fs, path::Path, path::PathBuf};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Active, ProcessName, RunFolder};

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

/// Ends every run of the store and removes what it left. Idempotent. Recorded traces stay.
#[must_use]
pub fn down(runs: &Path) -> Vec<Found> {
    let each = RunFolder::all(runs).into_iter().map(|folder| {
        let active =
            fs::read(folder.active()).ok().and_then(|text| serde_json::from_slice::<Active>(&text).ok());
        let ended = active.map(|active| end(&active)).unwrap_or_default();
        Found { run: folder.root().to_owned(), ended, removed: folder.uninstall() }
    });
    each.filter(|found| !found.ended.is_empty() || !found.removed.is_empty()).collect()
}

fn end(active: &Active) -> Vec<u32> {
    // The conductor first: with it the kernel ends every process of the lab.
    let ended = |process: ProcessName| {
        let pid = i32::try_from(process.pid).ok().filter(|_| process.lives())?;
        kill(Pid::from_raw(pid), Signal::SIGKILL).ok().map(|()| process.pid)
    };
    [ended(active.conductor), ended(active.launcher)].into_iter().flatten().collect()
}
