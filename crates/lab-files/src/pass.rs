//! What a process hands to one that it starts: something without a name, so that nobody else can exchange it on the way.
//!
//! On Linux that is memory that nobody can write any more, elsewhere a line of a pipe, which may go on afterwards. The
//! system is asked for here because this crate lies below the one that knows it.

#[cfg(not(target_os = "linux"))]
use std::io::Read;
use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

#[cfg(target_os = "linux")]
use rustix::fs::SealFlags;

/// Why nothing was received.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is not what [`sealed`] makes: a file, a terminal, or memory that can still be written.
    #[error("it is not sealed memory")]
    NotSealed,
    /// It is larger than the receiver takes.
    #[error("it is larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit in bytes.
        bytes_max: u64,
    },
}

#[cfg(target_os = "linux")]
const SEALS: SealFlags =
    SealFlags::WRITE.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::SEAL);

/// Puts bytes into memory that is read through a descriptor and that nobody, this process included, can change.
/// `name` is what `/proc` shows of it. The descriptor is closed on exec.
///
/// # Errors
/// Those of `memfd_create` and of writing.
#[cfg(target_os = "linux")]
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    use std::{fs::File, io::Write};

    use rustix::fs::{MemfdFlags, fcntl_add_seals, memfd_create};

    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memory = match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Kernels before 6.3 do not know that flag.
        Err(rustix::io::Errno::INVAL) => memfd_create(name, flags)?,
        made => made?,
    };
    let mut file = File::from(memory);
    file.write_all(bytes)?;
    fcntl_add_seals(&file, SEALS)?;
    Ok(file.into())
}

/// Reads what [`sealed`] made.
///
/// # Errors
/// [`PassError`].
#[cfg(target_os = "linux")]
pub fn receive(input: impl AsFd, bytes_max: u64) -> Result<Vec<u8>, PassError> {
    use std::{fs::File, os::unix::fs::FileExt};

    let sealed = rustix::fs::fcntl_get_seals(&input).is_ok_and(|seals| seals.contains(SEALS));
    if !sealed {
        return Err(PassError::NotSealed);
    }
    let file = File::from(input.as_fd().try_clone_to_owned()?);
    let size = file.metadata()?.len();
    if size > bytes_max {
        return Err(PassError::TooLarge { bytes_max });
    }
    let mut bytes = vec![0; usize::try_from(size).map_err(io::Error::other)?];
    // From the beginning, wherever the writer's position is.
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Seals nothing: no system here but Linux has such memory, and there a plan goes through a pipe.
///
/// # Errors
/// Always `Unsupported`.
#[cfg(not(target_os = "linux"))]
pub fn sealed(_: &str, _: &[u8]) -> io::Result<OwnedFd> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Reads a line from a pipe.
///
/// # Errors
/// [`PassError`].
#[cfg(not(target_os = "linux"))]
pub fn receive(input: impl AsFd, bytes_max: u64) -> Result<Vec<u8>, PassError> {
    let mut pipe = std::fs::File::from(input.as_fd().try_clone_to_owned()?);
    let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = pipe.read(&mut piece)?;
        if read == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        bytes.extend_from_slice(&piece[..read]);
        if bytes.last() == Some(&b'\n') {
            return Ok(bytes);
        }
        if bytes.len() as u64 > bytes_max {
            return Err(PassError::TooLarge { bytes_max });
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn what_is_handed_over_arrives_whole() {
        let handed = sealed("test", b"the plan").unwrap();
        assert_eq!(receive(&handed, 8).unwrap(), b"the plan");
        assert_eq!(receive(&handed, 8).unwrap(), b"the plan", "reading does not use it up");
        assert!(matches!(receive(&handed, 7), Err(PassError::TooLarge { bytes_max: 7 })));
    }

    #[test]
    fn nobody_can_change_it() {
        use std::io::Write;
        let mut handed = File::from(sealed("test", b"the plan").unwrap());
        assert!(handed.write_all(b"more").is_err());
        assert!(handed.set_len(0).is_err());
        let again = File::options()
            .write(true)
            .open(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&handed)));
        assert!(again.and_then(|mut again| again.write_all(b"x")).is_err());
        assert_eq!(receive(&handed, 8).unwrap(), b"the plan");
    }

    #[test]
    fn a_file_or_a_pipe_is_refused() {
        let file = File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
        assert!(matches!(receive(&file, 1 << 20), Err(PassError::NotSealed)));
        let (pipe, _writer) = io::pipe().unwrap();
        assert!(matches!(receive(&pipe, 1 << 20), Err(PassError::NotSealed)));
    }
}
