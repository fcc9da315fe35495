//! What else the machine did while a lab ran, as its launcher sees it and as it is kept beside the run.

use std::{collections::BTreeSet, ffi::OsStr, io};

use lab_analysis::findings::MachineLoad;
use lab_backend_fanotify::foreign::groups;
use lab_process::proc;

use crate::{Failure, FailureKind, RunFolder};

/// The largest file of a load, in bytes: some numbers for each of five phases, and the neighbours.
const LOAD_BYTES_MAX: u64 = 256 << 10;

/// The most neighbours that are kept of each kind.
const NEIGHBOURS_MAX: usize = 64;

/// The name of the program that every lab has once.
const DRIVER: &str = "lab-driver";
/// The name of a lab's clients' program in its bundles.
const CLIENTS: &str = "/bundles/";

/// Who else is on the machine, seen while none of this lab's own processes is there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Neighbours {
    labs: BTreeSet<u32>,
    clients: BTreeSet<(String, u32)>,
}

impl Neighbours {
    /// Looks around, and remembers who was seen before.
    pub(crate) fn look(&mut self) {
        for pid in proc::processes().unwrap_or_default() {
            let Some(program) = proc::executable(pid) else { continue };
            let is_driver = program.file_name() == Some(OsStr::new(DRIVER));
            if is_driver && self.labs.len() < NEIGHBOURS_MAX {
                self.labs.insert(pid);
            }
            let of_a_lab = program.to_string_lossy().contains(CLIENTS);
            let asks = |pid| {
                groups(pid).is_ok_and(|all| all.iter().any(|one| one.marks.iter().any(|mark| mark.asks())))
            };
            if !is_driver && !of_a_lab && self.clients.len() < NEIGHBOURS_MAX && asks(pid) {
                let name = proc::name(pid).unwrap_or_default().to_string_lossy().into_owned();
                self.clients.insert((name, pid));
            }
        }
    }

    /// Adds them to what the controller has kept.
    pub(crate) fn keep(self, folder: &RunFolder) -> io::Result<()> {
        let Ok(Some(mut load)) = kept(folder) else { return Ok(()) };
        load.other_labs = self.labs.into_iter().collect();
        load.other_clients = self.clients.into_iter().collect();
        folder.write(RunFolder::LOAD, &serde_json::to_vec(&load)?)
    }
}

/// What is kept beside a run; `None` where nothing was measured.
///
/// # Errors
/// [`FailureKind::Output`] when the file cannot be read or is damaged.
pub(crate) fn kept(folder: &RunFolder) -> Result<Option<MachineLoad>, Failure> {
    let path = folder.root().join(RunFolder::LOAD);
    let text =
        lab_files::read_if_any(&path, LOAD_BYTES_MAX).map_err(|error| Failure::unread(&path, &error))?;
    text.map(|text| serde_json::from_slice(&text)).transpose().map_err(|error| {
        Failure::new(FailureKind::Output, format!("{} is damaged: {error}", path.display()))
            .mend("remove it; the report then does not say what disturbed the run")
    })
}
