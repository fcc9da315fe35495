//! What the controller is told before it is confined.

use std::path::PathBuf;

use lab_bundle::Daemons;
use lab_files::{Folder, Trusted};
use lab_model::{ClientId, Lab};
use lab_process::platform::IS_MAC;
use serde::{Deserialize, Serialize};

use crate::{Failure, RunFolder};

/// Everything the controller needs to run a lab.
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
    pub worker: PathBuf,
    /// Whether standard error is a terminal, so that progress can be drawn.
    pub terminal: bool,
    /// Where the storm's processes may run; empty for everywhere.
    #[serde(default)]
    pub cpus: Vec<u32>,
    /// How the clients are started.
    #[serde(default)]
    pub clients_are: ClientsAre,
    /// The control group in which processes are frozen; empty when the lab freezes none.
    #[serde(default)]
    pub freezer: PathBuf,
    /// The user who called sudo: what lies in the run's folder may be theirs.
    #[serde(default)]
    pub caller: Option<u32>,
}

/// How the clients of a lab are started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientsAre {
    /// As the controller's children, each with a socket as standard input.
    #[default]
    Children,
    /// As launchd daemons, each of which connects to the controller.
    Daemons {
        /// A folder with a program that stands in for `launchctl`; everything that is installed lies below it.
        stand_in: Option<PathBuf>,
    },
}

impl ClientsAre {
    /// How this machine starts clients. Programs of the stand-in's folder are executed, and files written there.
    ///
    /// # Errors
    /// [`FailureKind::Privilege`](crate::FailureKind::Privilege) when others may write the stand-in's folder.
    pub fn here(stand_in: Option<PathBuf>, trusted: &Trusted) -> Result<ClientsAre, Failure> {
        if let Some(folder) = &stand_in {
            Folder::trusted(folder, trusted).map_err(|distrust| Failure::from(&distrust))?;
            crate::trusted_program(&folder.join("launchctl"), trusted)?;
        }
        Ok(if IS_MAC || stand_in.is_some() { ClientsAre::Daemons { stand_in } } else { ClientsAre::Children })
    }

    /// The machine's daemons; `None` when the clients are children.
    #[must_use]
    pub fn daemons(&self) -> Option<Daemons> {
        match self {
            ClientsAre::Children => None,
            ClientsAre::Daemons { stand_in } => Some(Daemons::of_the_machine(stand_in.as_deref())),
        }
    }
}

/// The processes of a run that goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Active {
    /// The process that the user started.
    pub launcher: ProcessName,
    /// The first process of the lab, as the outside names it; none while the lab is being prepared.
    pub controller: Option<ProcessName>,
}

/// The largest note of processes that is read, in bytes.
const ACTIVE_BYTES_MAX: u64 = 64 * 1024;

impl Active {
    /// What a run's folder says of its processes; `None` when it says nothing, as after its end.
    ///
    /// # Errors
    /// [`FailureKind::Output`](crate::FailureKind::Output) when that cannot be read.
    pub fn of(folder: &RunFolder) -> Result<Option<Active>, Failure> {
        let path = folder.active();
        let text = lab_files::read_if_any(&path, ACTIVE_BYTES_MAX)
            .map_err(|error| Failure::unread(&path, &error))?;
        Ok(text.and_then(|text| serde_json::from_slice(&text).ok()))
    }

    /// True while one of them exists.
    #[must_use]
    pub fn lives(&self) -> bool {
        self.launcher.lives() || self.controller.is_some_and(|controller| controller.lives())
    }
}

/// A process that cannot be mistaken for another of the same ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessName {
    /// Its ID.
    pub pid: u32,
    /// When it started, as [`lab_process::process_state`] counts it; 0 when unknown.
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
    lab_process::process_state(pid).map(|state| state.started)
}

// When a process was started is read from `/proc` here; tests run on no other system.
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
