//! What the numbers of the kernel say of a group that cannot be set up or read.

use std::io;

use lab_client_core::BackendError;

use crate::{GroupError, event::UnknownLayout};

pub(crate) fn error_number(error: &io::Error) -> u32 {
    error.raw_os_error().unwrap_or(libc::EIO).unsigned_abs()
}

pub(crate) fn init_error(source: io::Error) -> GroupError {
    match source.raw_os_error() {
        Some(libc::EPERM) => GroupError::Privilege,
        Some(libc::ENOSYS | libc::EINVAL) => GroupError::Absent,
        Some(libc::EMFILE) => GroupError::TooMany,
        _ => GroupError::Other { operation: "fanotify_init", source },
    }
}

/// A kernel whose events this code does not read.
pub(crate) fn version_failure(UnknownLayout(version): UnknownLayout) -> BackendError {
    BackendError { operation: "fanotify version check", code: version.into() }
}
