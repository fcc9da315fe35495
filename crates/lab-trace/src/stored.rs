//! A trace on disk, read in pieces.
//!
//! Not mapped: whoever may write the file can also cut it, its own writer does when it closes, and touching a mapped page
//! that was cut off ends the reading process. A file that gets shorter under the reader is an error here, and the memory
//! in use does not grow with the file.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use lab_files::ReadError;

/// How much is read at once on a walk through a trace, in bytes: 512 records.
pub(crate) const PIECE_BYTES: usize = 64 * 1024;
/// How much is read at once to look up single records, in bytes.
const NEAR_BYTES: usize = 4096;

/// A trace file that is read in pieces. Walks through it end where it cannot be read any further, and
/// [`StoredTrace::check`] says why.
#[derive(Debug)]
pub struct StoredTrace {
    file: File,
    bytes: u64,
    near: Mutex<Near>,
    failure: Mutex<Option<io::Error>>,
}

/// The piece that a record was last looked up in.
#[derive(Debug, Default)]
struct Near {
    offset: u64,
    bytes: Vec<u8>,
}

impl StoredTrace {
    /// Opens a trace for reading, as long as it is now. In a trace that is still being written, a part that is being
    /// stored at that moment may read as damaged; what was committed before reads whole.
    ///
    /// # Errors
    /// [`ReadError`]: those of opening the file, and that it is no regular one.
    pub fn open(path: &Path) -> Result<StoredTrace, ReadError> {
        let file = lab_files::open_regular(path)?;
        let bytes = file.metadata()?.len();
        Ok(StoredTrace { file, bytes, near: Mutex::default(), failure: Mutex::default() })
    }

    /// The length of the file when it was opened, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Why some of the file could not be read since it was opened. What was made of it is then not what it holds.
    ///
    /// # Errors
    /// Those of reading it; [`io::ErrorKind::UnexpectedEof`] when it has become shorter meanwhile.
    pub fn check(&self) -> io::Result<()> {
        match held(&self.failure).as_ref() {
            None => Ok(()),
            Some(error) => Err(match error.raw_os_error() {
                Some(code) => io::Error::from_raw_os_error(code),
                None => io::Error::new(error.kind(), error.to_string()),
            }),
        }
    }

    /// Fills a buffer from an offset as far as the file went when it was opened; gives how much that is. What cannot be
    /// read is not part of it, and is noted.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> usize {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let (read, failure) = self.read_all(&mut buffer[..wanted], offset);
        if let Some(error) = failure {
            held(&self.failure).get_or_insert(error);
        }
        read
    }

    /// As [`StoredTrace::read`] from the unused end of a trace, which its writer cuts off when it closes: what is not there
    /// any more reads as zeros.
    pub(crate) fn read_unused(&self, buffer: &mut [u8], offset: u64) {
        let (read, failure) = self.read_all(buffer, offset);
        if let Some(error) = failure.filter(|error| error.kind() != io::ErrorKind::UnexpectedEof) {
            held(&self.failure).get_or_insert(error);
        }
        buffer[read..].fill(0);
    }

    fn read_all(&self, buffer: &mut [u8], offset: u64) -> (usize, Option<io::Error>) {
        let mut read = 0;
        while read < buffer.len() {
            match self.file.read_at(&mut buffer[read..], offset.saturating_add(read as u64)) {
                Ok(0) => {
                    let short = "the file has become shorter while it was read";
                    return (read, Some(io::Error::new(io::ErrorKind::UnexpectedEof, short)));
                }
                Ok(more) => read += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (read, Some(error)),
            }
        }
        (read, None)
    }

    /// A few bytes from an offset, by way of the piece that was looked at last; false when the file has not all of them.
    pub(crate) fn look_up(&self, wanted: &mut [u8], offset: u64) -> bool {
        let mut near = held(&self.near);
        let cached = offset
            .checked_sub(near.offset)
            .and_then(|at| usize::try_from(at).ok())
            .and_then(|at| near.bytes.get(at..at.checked_add(wanted.len())?));
        if let Some(bytes) = cached {
            wanted.copy_from_slice(bytes);
            return true;
        }
        near.bytes.resize(NEAR_BYTES.max(wanted.len()), 0);
        near.offset = offset;
        let read = self.read(&mut near.bytes, offset);
        near.bytes.truncate(read);
        let Some(bytes) = near.bytes.get(..wanted.len()) else { return false };
        wanted.copy_from_slice(bytes);
        true
    }
}

/// What a lock holds, also when a thread has died with it: these are caches and notes, never half-made.
fn held<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}
