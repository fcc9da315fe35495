//! Reading what somebody else may have prepared: a regular file and no more of it than a limit, or an error.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use rustix::{
    fs::{Mode, OFlags},
    io::Errno,
};

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It cannot be opened or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is a folder, a FIFO, a socket or a device.
    #[error("it is not a regular file")]
    NotRegular,
    /// Its name is absolute or goes up.
    #[error("it is not in that folder or below it")]
    Outside,
    /// It is reached through a symbolic link.
    #[error("it is reached through a symbolic link")]
    Link,
    /// It is larger than the caller takes.
    #[error("it is larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit in bytes.
        bytes_max: u64,
    },
}

impl ReadError {
    /// True when this process lacks descriptors or memory: it says nothing about the file.
    #[must_use]
    pub fn is_own_lack(&self) -> bool {
        matches!(self, ReadError::Io(error) if is_own_lack(error))
    }
}

impl From<ReadError> for io::Error {
    fn from(error: ReadError) -> io::Error {
        match error {
            ReadError::Io(error) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// True for an error that says what this process, or its whole machine, has not enough of: descriptors or memory.
#[must_use]
pub fn is_own_lack(error: &io::Error) -> bool {
    let code = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(code, Some(Errno::MFILE | Errno::NFILE | Errno::NOMEM | Errno::NOBUFS))
        || error.kind() == io::ErrorKind::OutOfMemory
}

/// Opens a regular file for reading. A FIFO without a writer is refused and not waited for, and a terminal does not
/// become this process's own.
///
/// # Errors
/// [`ReadError::Io`] when it cannot be opened, [`ReadError::NotRegular`] for anything but a file with content.
pub fn open_regular(path: &Path) -> Result<File, ReadError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?);
    if file.metadata()?.is_file() { Ok(file) } else { Err(ReadError::NotRegular) }
}

/// Reads a regular file whole, if it has at most `bytes_max` bytes. Files of `/proc`, which have no size before they
/// are read, count by what they give.
///
/// # Errors
/// [`ReadError`]; a file that grows past the limit meanwhile is too large.
pub fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
    read_file(&open_regular(path)?, bytes_max)
}

/// Reads a file that need not exist; `None` where it does not. That it could not be read is never taken for that.
///
/// # Errors
/// As [`read`], but for a file that does not exist.
pub fn read_if_any(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, ReadError> {
    match read(path, bytes_max) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(ReadError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads an open file from here to its end, as [`read`] does.
///
/// # Errors
/// As [`read`].
pub fn read_file(file: &File, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
    let size = file.metadata()?.len();
    if size > bytes_max {
        return Err(ReadError::TooLarge { bytes_max });
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(usize::try_from(size).unwrap_or(usize::MAX)).map_err(io::Error::from)?;
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max { Err(ReadError::TooLarge { bytes_max }) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_is_read_up_to_its_limit() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp/files-read");
        fs::create_dir_all(&folder).unwrap();
        let file = folder.join("five");
        fs::write(&file, b"12345").unwrap();
        assert_eq!(read(&file, 5).unwrap(), b"12345");
        assert!(matches!(read(&file, 4), Err(ReadError::TooLarge { bytes_max: 4 })));
        assert!(matches!(read(&folder, 4), Err(ReadError::NotRegular)));
        assert!(matches!(read(Path::new("/dev/zero"), 4), Err(ReadError::NotRegular)));
        assert!(matches!(read(&folder.join("absent"), 4), Err(ReadError::Io(_))));
    }

    // A file whose size is said to be 0 and that holds something is one of Linux's `/proc`.
    #[cfg(target_os = "linux")]
    #[test]
    fn what_has_no_size_counts_by_what_it_gives() {
        assert!(!read(Path::new("/proc/self/stat"), 4096).unwrap().is_empty());
        assert!(matches!(read(Path::new("/proc/self/stat"), 3), Err(ReadError::TooLarge { .. })));
    }

    // macOS has no `mknodat`.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_fifo_is_refused_and_not_waited_for() {
        let fifo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp/files-fifo");
        drop(fs::remove_file(&fifo));
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR, 0).unwrap();
        assert!(matches!(read(&fifo, 4), Err(ReadError::NotRegular)));
    }
}
