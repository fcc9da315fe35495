//! The control groups in which `freeze` lets processes stand still: what they are called, whether this machine has the
//! freezer for them (cgroup v2, Linux 5.2), and taking away those that a killed lab has left.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use lab_model::{FaultAction, Lab};
use lab_process::proc;

use crate::{Failure, FailureKind, ProcessName};

/// How the names of all groups begin.
const PREFIX: &str = "eslab-freezer-";

/// The most groups of the machine among which a lab's are looked for, and how deep they lie.
const GROUPS_MAX: usize = 100_000;
const DEPTH_MAX: usize = 32;

/// What mends a machine without the freezer.
pub(crate) const MEND: &str =
    "run it as root where cgroup v2 of Linux 5.2 or later is mounted, or use `stall`";

/// The control group of a lab that freezes, in which each freeze makes one of its own. The launcher makes it: the root of
/// all groups is nobody's to write without a privilege (`CAP_DAC_OVERRIDE`) that a controller has given up. Taken away
/// when this is dropped.
#[derive(Debug)]
pub(crate) struct LabGroup(PathBuf);

impl LabGroup {
    /// Makes one for this process's lab, if it freezes.
    ///
    /// # Errors
    /// [`FailureKind::BackendMissing`] without the freezer, [`FailureKind::Privilege`] without the right to it.
    pub(crate) fn of(lab: &Lab) -> Result<Option<LabGroup>, Failure> {
        if !lab.faults.iter().any(|fault| matches!(fault.action, FaultAction::Freeze { .. })) {
            return Ok(None);
        }
        LabGroup::make().map(Some).map_err(|error| {
            let kind = match error.kind() {
                io::ErrorKind::PermissionDenied => FailureKind::Privilege,
                _ => FailureKind::BackendMissing,
            };
            let message = format!("the lab freezes processes, which this machine cannot: {error}");
            Failure::new(kind, message).mend(MEND)
        })
    }

    fn make() -> io::Result<LabGroup> {
        let group = own_group()?.join(name_of(ProcessName::of(std::process::id())));
        fs::create_dir(&group).map_err(|error| said("no control group can be made", &error))?;
        let group = LabGroup(group);
        if group.0.join("cgroup.freeze").exists() {
            Ok(group)
        } else {
            Err(io::Error::other("its kernel has no freezer in cgroup v2"))
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for LabGroup {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// What the group of a launcher's lab is called.
fn name_of(launcher: ProcessName) -> String {
    format!("{PREFIX}{}-{}", launcher.pid, launcher.started)
}

/// Whose lab a group of this name is; `None` when it is none of a lab.
fn launcher_in(name: &str) -> Option<ProcessName> {
    let (pid, started) = name.strip_prefix(PREFIX)?.split_once('-')?;
    Some(ProcessName { pid: pid.parse().ok()?, started: started.parse().ok()? })
}

/// An error with what it kept from being done.
fn said(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// The folder of this process's group in cgroup v2.
///
/// # Errors
/// When there is none.
pub(crate) fn own_group() -> io::Result<PathBuf> {
    let mount = proc::control_groups().ok_or_else(none)?;
    let own = proc::control_group_of(std::process::id(), &mount)?;
    // Where only a part of the tree is mounted, the path from its root leads nowhere.
    Ok(if own.join("cgroup.procs").exists() { own } else { mount })
}

/// Whether somebody has frozen the process's group, or one above it. Its state says nothing of it (`S`, as of any that
/// sleeps).
pub(crate) fn is_frozen(pid: u32) -> bool {
    let frozen =
        |group: &Path| fs::read(group.join("cgroup.freeze")).is_ok_and(|freeze| freeze.starts_with(b"1"));
    let Some(mount) = proc::control_groups() else { return false };
    let group = proc::control_group_of(pid, &mount);
    group.is_ok_and(|group| group.ancestors().take_while(|above| above.starts_with(&mount)).any(frozen))
}

fn none() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "no cgroup v2 is mounted")
}

/// Takes away the groups that labs which are over have left, wherever on the machine, and returns them. Idempotent. A
/// group with processes is not removed, and none of a lab that is up.
#[must_use]
pub fn down_freezers() -> Vec<PathBuf> {
    proc::control_groups().map_or_else(Vec::new, |mount| remove_left(&mount))
}

/// Removes what is left below a group, and returns it.
fn remove_left(top: &Path) -> Vec<PathBuf> {
    let mut removed = Vec::new();
    let mut seen = 0_usize;
    let mut folders = vec![(top.to_owned(), 0)];
    while let Some((folder, deep)) = folders.pop() {
        for (name, path) in groups_in(&folder) {
            seen = seen.saturating_add(1);
            match launcher_in(&name) {
                Some(launcher) if !launcher.lives() && remove(&path) => removed.push(path),
                Some(_) => {}
                None if deep < DEPTH_MAX && seen < GROUPS_MAX => folders.push((path, deep + 1)),
                None => {}
            }
        }
    }
    removed.sort();
    removed
}

/// The groups in one, by name.
fn groups_in(group: &Path) -> Vec<(String, PathBuf)> {
    let entries = fs::read_dir(group).into_iter().flatten().flatten();
    let folders = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    folders.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path()))).collect()
}

/// Processes that were killed may take 2 s to leave their group: how often it is looked at, and how many times.
const LOOK_EVERY: Duration = Duration::from_millis(10);
const LOOKS_MAX: usize = 200;

/// Waits for processes that were killed a moment ago: the kernel counts them in their group until they are gone.
fn wait_until_left(group: &Path) {
    let populated = |group: &Path| {
        let events = fs::read_to_string(group.join("cgroup.events")).unwrap_or_default();
        events.lines().any(|line| line == "populated 1")
    };
    for _ in 0..LOOKS_MAX {
        if !populated(group) {
            return;
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Removes a lab's group with those of its freezes; false when it stays.
fn remove(group: &Path) -> bool {
    wait_until_left(group);
    let freezes = groups_in(group).into_iter().map(|(_, freeze)| freeze);
    let removed = freezes.chain([group.to_owned()]).try_for_each(fs::remove_dir);
    if let Err(error) = &removed {
        tracing::warn!("the control group {} stays behind: {error}", group.display());
    }
    removed.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_says_whose_it_is() {
        let launcher = ProcessName { pid: 7, started: 12_345 };
        assert_eq!(name_of(launcher), "eslab-freezer-7-12345");
        assert_eq!(launcher_in(&name_of(launcher)), Some(launcher));
        for other in ["eslab-freezer-", "eslab-freezer-7", "eslab-freezer-7-1-2", "system.slice"] {
            assert_eq!(launcher_in(other), None, "{other}");
        }
    }

    #[test]
    fn only_empty_groups_of_labs_that_are_over_are_removed() {
        let top = std::env::temp_dir().join(format!("lab-freezers-{}", std::process::id()));
        let deep = top.join("system.slice/ssh.service");
        let lives = ProcessName::of(std::process::id());
        let over = |started| ProcessName { started, ..lives };
        let (left, used) = (deep.join(name_of(over(1))), deep.join(name_of(over(2))));
        let up = top.join(name_of(lives));
        for group in [left.join("0"), used.join("0/held"), up.join("0")] {
            fs::create_dir_all(group).unwrap();
        }
        assert_eq!(remove_left(&top), std::slice::from_ref(&left));
        assert!(!left.exists() && used.exists() && up.exists());
        assert!(remove_left(&top).is_empty(), "again");
        fs::remove_dir_all(&top).unwrap();
    }
}
