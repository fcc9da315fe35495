//! What a command gives up before it reads what a run has recorded: reading takes no privilege, and a trace may come
//! from anywhere.

use std::path::{Path, PathBuf};

use lab_process::privileges::{self, Capability, Kept};

use crate::{Failure, FailureKind, RunFolder};

/// Gives up, for the calling process, every privilege that reading these runs and writing into these folders does not
/// need. To be called while it has one thread. What has none, as without `sudo`, is what it was.
///
/// # Errors
/// [`FailureKind::Privilege`] when a filter forbids the calls.
pub fn give_up_to_read(runs: &[&RunFolder], written: &[&Path]) -> Result<(), Failure> {
    let read: Vec<PathBuf> = runs.iter().flat_map(|run| parts(run)).collect();
    let read: Vec<&Path> = read.iter().map(PathBuf::as_path).collect();
    // Pages of a run that is the caller's of sudo become theirs as well, and so does its folder meanwhile: what is
    // written after that is written into a folder of somebody else.
    let gives = !written.is_empty() && runs.iter().any(|run| run.trusted().caller().is_some());
    privileges::needed_to_reach(&read, written)
        .and_then(|mut used| {
            if gives {
                used.extend([Capability::Give, Capability::Override]);
            }
            privileges::keep(&Kept { used: &used, ..Kept::NOTHING })
        })
        .map_err(|error| {
            let message = format!("cannot give up what reading does not need: {error}");
            Failure::new(FailureKind::Privilege, message).mend("allow the lab the calls prctl and capset")
        })
}

/// What of a run may be read: its folder, its traces, and everything directly in them.
fn parts(run: &RunFolder) -> Vec<PathBuf> {
    let folders = [run.root().to_owned(), run.traces()];
    let entries = folders.iter().filter_map(|folder| folder.read_dir().ok()).flatten();
    let entries: Vec<PathBuf> = entries.filter_map(Result::ok).map(|entry| entry.path()).collect();
    folders.into_iter().chain(entries).collect()
}
