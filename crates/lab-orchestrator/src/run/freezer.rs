//! Making processes stand still at once, by the freezer of control groups (cgroup v2, Linux 5.2).
//!
//! Each freeze has a group of its own in the lab's. The kernel can kill what is frozen, so nothing stays when the
//! controller is killed but an empty group, which the launcher takes away, or `lab down`.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

use lab_process::proc;
use nix::errno::Errno;

use crate::freezer::own_group;

/// How often it is looked for processes that were started meanwhile.
const ROUNDS_MAX: u32 = 8;

/// Whom to freeze, by process ID.
#[derive(Debug)]
pub(super) enum Meant<'a> {
    /// These and all that they have started.
    Families(&'a [u32]),
    /// All of the lab's PID namespace but its first process, which is the controller, and these.
    AllBut(&'a [u32]),
}

/// Processes that stand still until this is dropped.
#[derive(Debug)]
pub(super) struct Freezer {
    group: PathBuf,
    /// The group that they come from and go back to.
    home: PathBuf,
}

impl Freezer {
    /// Freezes them all at once, in a group that is made for it.
    ///
    /// # Errors
    /// When there is no cgroup v2, or it is not ours to write.
    pub(super) fn freeze(meant: &Meant<'_>, group: PathBuf) -> io::Result<Freezer> {
        let home = own_group()?;
        fs::create_dir(&group)?;
        // From here on it is thawed and removed whatever happens.
        let freezer = Freezer { group, home };
        freezer.fill(meant)?;
        fs::write(freezer.group.join("cgroup.freeze"), "1")?;
        Ok(freezer)
    }

    /// Moves all that are meant in, and what they start while it does.
    fn fill(&self, meant: &Meant<'_>) -> io::Result<()> {
        let mut moved: BTreeSet<u32> = BTreeSet::new();
        for _ in 0..ROUNDS_MAX {
            let new: Vec<u32> = meant.processes()?.difference(&moved).copied().collect();
            if new.is_empty() {
                break;
            }
            for pid in new {
                move_into(&self.group, pid)?;
                moved.insert(pid);
            }
        }
        Ok(())
    }

    fn thaw(&self) -> io::Result<()> {
        fs::write(self.group.join("cgroup.freeze"), "0")?;
        for pid in fs::read_to_string(self.group.join("cgroup.procs"))?.lines() {
            if let Ok(pid) = pid.parse() {
                move_into(&self.home, pid)?;
            }
        }
        fs::remove_dir(&self.group)
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        if let Err(error) = self.thaw() {
            tracing::warn!("the group {} was not taken away: {error}", self.group.display());
        }
    }
}

impl Meant<'_> {
    /// The processes that are meant now.
    fn processes(&self) -> io::Result<BTreeSet<u32>> {
        let all = processes()?;
        Ok(match self {
            Meant::AllBut(others) => {
                let kept = |pid: &u32| *pid != std::process::id() && !others.contains(pid);
                all.into_iter().map(|(pid, _)| pid).filter(kept).collect()
            }
            Meant::Families(pids) => families(pids, &all),
        })
    }
}

/// These processes and their descendants, among all processes with their parents.
fn families(pids: &[u32], all: &[(u32, u32)]) -> BTreeSet<u32> {
    let mut family: BTreeSet<u32> = pids.iter().copied().collect();
    loop {
        let is_new = |(pid, parent): &&(u32, u32)| family.contains(parent) && !family.contains(pid);
        let new: Vec<u32> = all.iter().filter(is_new).map(|(pid, _)| *pid).collect();
        if new.is_empty() {
            return family;
        }
        family.extend(new);
    }
}

/// All processes of the PID namespace with their parents.
fn processes() -> io::Result<Vec<(u32, u32)>> {
    // A process that has just ended has no parent any more.
    let parent = |pid| Some((pid, proc::stat(pid)?.parent));
    Ok(proc::processes()?.into_iter().filter_map(parent).collect())
}

/// Moves a process; one that has just ended need not be.
fn move_into(group: &Path, pid: u32) -> io::Result<()> {
    match fs::write(group.join("cgroup.procs"), pid.to_string()) {
        Err(error) if error.raw_os_error() == Some(Errno::ESRCH as i32) => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_all_that_was_started() {
        let all = [(2, 1), (3, 2), (4, 3), (5, 1), (6, 5)];
        assert_eq!(families(&[2], &all), BTreeSet::from([2, 3, 4]));
        assert_eq!(families(&[5, 4], &all), BTreeSet::from([4, 5, 6]));
    }
}
