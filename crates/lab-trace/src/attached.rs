//! The trace of a process that is still writing, one record at a time.
//!
//! Read from the file and not mapped: its writer cuts it when it closes, and touching a mapped page that was cut off
//! ends the reading process.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path};

use crate::{
    header::Header,
    layout::{BOARD_OFFSET, RECORD_BYTES, RECORDS_OFFSET},
    reader::{Entry, entry_of},
};

/// Another process's trace, to look single records up in.
#[derive(Debug)]
pub struct AttachedTrace {
    file: File,
    salt: u32,
}

impl AttachedTrace {
    /// Opens the trace of another process.
    ///
    /// # Errors
    /// Those of opening and reading the file, and [`io::ErrorKind::InvalidData`] when it is no regular one or its header
    /// cannot be believed.
    pub fn open(path: &Path) -> io::Result<AttachedTrace> {
        let file = lab_files::open_regular(path)?;
        let mut head = vec![0; BOARD_OFFSET];
        file.read_exact_at(&mut head, 0)?;
        let (header, _) = Header::decode(&head).map_err(io::Error::other)?;
        Ok(AttachedTrace { file, salt: header.salt })
    }

    /// One place by its number; `None` when it is behind the end, or the file has become shorter meanwhile.
    #[must_use]
    pub fn entry(&self, index: u64) -> Option<Entry> {
        let offset = index.checked_mul(RECORD_BYTES as u64)?.checked_add(RECORDS_OFFSET as u64)?;
        let mut place = [0; RECORD_BYTES];
        self.file.read_exact_at(&mut place, offset).ok()?;
        entry_of(&place, index, self.salt)
    }
}
