//! Which files have a number in the trace, so that a path is recorded once.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use lab_model::FileId;
use lab_trace::{Target, TraceWriter};

/// The most files whose path is recorded; targets beyond have no path, which is counted.
const PATHS_MAX: usize = 65_536;

/// The files that have a number. Shared by the workers and the housekeeper; the reader never comes here.
#[derive(Debug, Default)]
pub struct Paths {
    numbers: Mutex<HashMap<FileId, u32>>,
}

impl Paths {
    /// True when the file has no number and there is room for one.
    pub fn wants(&self, file: FileId) -> bool {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        !numbers.contains_key(&file) && numbers.len() < PATHS_MAX
    }

    /// The target as the trace has it; records the path if it is new. `None` when the device's number does
    /// not fit the record, which no kernel in use produces.
    pub fn target(&self, trace: &TraceWriter, file: FileId, path: Option<&[u8]>) -> Option<Target> {
        let device = u32::try_from(file.device).ok()?;
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let full = numbers.len() >= PATHS_MAX;
        let path = match (numbers.get(&file), path.filter(|_| !full)) {
            (Some(&number), _) => number,
            (None, Some(path)) => {
                let number = trace.path(path);
                numbers.insert(file, number);
                number
            }
            (None, None) => 0,
        };
        Some(Target { inode: file.inode, device, path })
    }

    /// True when files beyond the limit go without a path.
    pub fn full(&self) -> bool {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).len() >= PATHS_MAX
    }
}
