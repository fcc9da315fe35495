//! What the conductor is told before it is confined.

use std::path::PathBuf;

use lab_model::{ClientId, Lab};
use serde::{Deserialize, Serialize};

/// Everything the conductor needs to run a lab.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// The lab.
    pub lab: Lab,
    /// The run's folder.
    pub run: PathBuf,
    /// Each client's installed executable.
    pub clients: Vec<(ClientId, PathBuf)>,
    /// The helper program in the bundle of each client that has helpers.
    #[serde(default)]
    pub helpers: Vec<(ClientId, PathBuf)>,
    /// The driver's executable, outside the bundles.
    pub driver: PathBuf,
    /// The daemons' executable, outside the bundles; present when the lab has daemons.
    #[serde(default)]
    pub worker: PathBuf,
    /// Whether standard error is a terminal, so that progress can be drawn.
    pub terminal: bool,
    /// Where the storm's processes may run; empty for everywhere.
    #[serde(default)]
    pub cpus: Vec<u32>,
}

/// The processes of a run that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// The process that the user started.
    pub launcher: ProcessName,
    /// The first process of the lab, as the outside names it; none while the lab is being prepared.
    pub conductor: Option<ProcessName>,
}

/// A process that cannot be mistaken for another of the same ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessName {
    /// Its ID.
    pub pid: u32,
    /// When it started, in the kernel's ticks since boot (field 22 of `/proc/PID/stat`); 0 when unknown.
    pub started: u64,
}

impl ProcessName {
    /// The process of this ID as it is now.
    #[must_use]
    pub fn of(pid: u32) -> ProcessName {
        ProcessName { pid, started: started(pid).unwrap_or(0) }
    }

    /// True when that very process still exists.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.started != 0 && started(self.pid) == Some(self.started)
    }
}

fn started(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the fields behind the last one are plain.
    let fields = stat.get(stat.rfind(')')? + 2..)?;
    fields.split(' ').nth(19)?.parse().ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_another_of_the_same_number() {
        let own = ProcessName::of(std::process::id());
        assert!(own.lives());
        assert!(!ProcessName { started: own.started + 1, ..own }.lives());
        assert!(!ProcessName::of(u32::MAX).lives());
    }
}
