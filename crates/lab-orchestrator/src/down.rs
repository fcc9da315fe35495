//! Cleans up what a killed launcher may have left.

use std::{fs, path::Path, path::PathBuf};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Active, ClientsAre, Failure, ProcessName, RunFolder, launch::step_failure, owner};

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
pub fn down_daemons(clients_are: &ClientsAre) -> Result<FoundDaemons, Failure> {
    let Some(daemons) = clients_are.daemons() else { return Ok(FoundDaemons::default()) };
    let launcher = owner::holder(&daemons).filter(ProcessName::lives);
    let ended = launcher
        .map(|launcher| launcher.pid)
        .filter(|&pid| i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), Signal::SIGKILL).is_ok()));
    let removed = daemons.uninstall().map_err(|error| step_failure(&error))?;
    owner::forget_holder(&daemons);
    Ok(FoundDaemons { ended, removed: removed.into_iter().map(|job| job.label).collect() })
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
    processes()
        .into_iter()
        .filter(|(pid, words)| {
            *pid != std::process::id()
                && words.split(|&byte| byte == 0).any(|word| word == plan.as_os_str().as_encoded_bytes())
        })
        .map(|(pid, _)| pid)
        .collect()
}

/// All processes with their command lines, a zero byte after each word.
#[cfg(target_os = "linux")]
fn processes() -> Vec<(u32, Vec<u8>)> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let each = processes.filter_map(Result::ok).filter_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        Some((pid, fs::read(process.path().join("cmdline")).unwrap_or_default()))
    });
    each.collect()
}

/// All processes with their command lines, a zero byte where a blank was: `ps` does not tell a blank in a word from
/// one between words, so a run whose path has one is found by its marker only.
#[cfg(not(target_os = "linux"))]
fn processes() -> Vec<(u32, Vec<u8>)> {
    let listing = duct::cmd!("/bin/ps", "-axo", "pid=,command=").stderr_null().read().unwrap_or_default();
    let each = listing.lines().filter_map(|line| {
        let (pid, command) = line.trim_start().split_once(' ')?;
        Some((pid.parse().ok()?, command.replace(' ', "\0").into_bytes()))
    });
    each.collect()
}
