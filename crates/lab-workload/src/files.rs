//! Files of the arena that are not simply a load's.

use lab_model::{FileMix, Workload, file_path};

/// The path of the file that a worker of a mix creates, relative to the arena. It is removed again at once, so
/// that each worker needs one name only.
#[must_use]
pub fn created_path(mix: &FileMix, worker: u16) -> String {
    format!("{}/new-{worker:03}", mix.directory)
}

/// The path of the `number`-th file over all loads that open files, relative to the arena, starting again after
/// the last one; `None` when no load opens files.
#[must_use]
pub fn target(workload: &[Workload], number: u64) -> Option<String> {
    let files: u64 = workload.iter().map(|load| u64::from(load.files())).sum();
    let mut number = number.checked_rem(files)?;
    for load in workload {
        match u32::try_from(number) {
            Ok(index) if index < load.files() => return Some(file_path(load, index)),
            _ => number -= u64::from(load.files()),
        }
    }
    None
}
