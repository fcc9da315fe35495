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

/// Ends every run of the store and removes what it left. Idempotent. Recorded traces stay; a run that recorded
/// nothing goes as a whole.
#[must_use]
pub fn down(runs: &Path) -> Vec<Found> {
    let each = RunFolder::all(runs).into_iter().map(|folder| {
        let active =
            fs::read(folder.active()).ok().and_then(|text| serde_json::from_slice::<Active>(&text).ok());
        let ended = end(active.as_ref(), &folder);
        let mut removed = folder.uninstall();
        if (active.is_some() || !ended.is_empty()) && !folder.has_operations() && folder.discard().is_ok() {
            removed.push(folder.root().to_owned());
        }
        Found { run: folder.root().to_owned(), ended, removed }
    });
    each.filter(|found| !found.ended.is_empty() || !found.removed.is_empty()).collect()
}

fn end(active: Option<&Active>, folder: &RunFolder) -> Vec<u32> {
    let marked = active.map(|active| (active.conductor, active.launcher));
    let (conductor, launcher) =
        marked.map_or((None, None), |(conductor, launcher)| (conductor, Some(launcher)));
    // The conductor first: with it the kernel ends every process of the lab. It is also known by its command line,
    // in case the marker is missing or was not finished.
    let unmarked = conductors(folder).into_iter().map(ProcessName::of);
    let mut ended: Vec<u32> = Vec::new();
    for process in conductor.into_iter().chain(unmarked).chain(launcher) {
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

/// Processes that were started with the plan of this run.
fn conductors(folder: &RunFolder) -> Vec<u32> {
    let plan = folder.plan();
    let is_conductor = |process: &Path| {
        let words = fs::read(process.join("cmdline")).unwrap_or_default();
        let mut words = words.split(|&byte| byte == 0);
        words.any(|word| word == plan.as_os_str().as_encoded_bytes())
    };
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = processes.filter_map(Result::ok).filter_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        is_conductor(&process.path()).then_some(pid)
    });
    pids.filter(|&pid| pid != std::process::id()).collect()
}
