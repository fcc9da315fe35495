//! Whether this machine can run a lab on fanotify, found out without marking anything.

use std::fs;

use crate::{GroupError, sys};

/// What the kernel and this process allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Groups one user may have; each client takes one.
    pub groups_max: u32,
}

/// The kernel's default for `fs.fanotify.max_user_groups` (fs/notify/fanotify/fanotify_user.c).
pub const GROUPS_DEFAULT: u32 = 128;

/// Finds out whether a group for permission events can be had, by having one and letting go of it.
///
/// # Errors
/// [`GroupError`] says what is missing.
pub fn capacity() -> Result<Capacity, GroupError> {
    let flags =
        libc::FAN_CLASS_CONTENT | libc::FAN_CLOEXEC | libc::FAN_UNLIMITED_QUEUE | libc::FAN_REPORT_TID;
    match sys::fanotify_init(flags, libc::O_CLOEXEC.unsigned_abs()) {
        Ok(group) => drop(group),
        Err(source) => {
            return Err(match source.raw_os_error() {
                Some(libc::EPERM) => GroupError::Privilege,
                Some(libc::ENOSYS | libc::EINVAL) => GroupError::Absent,
                Some(libc::EMFILE) => GroupError::TooMany,
                _ => GroupError::Other { operation: "fanotify_init", source },
            });
        }
    }
    Ok(Capacity { groups_max: groups_max() })
}

/// The groups one user may have, as `fs.fanotify.max_user_groups` says; the kernel's default if it cannot be read.
#[must_use]
pub fn groups_max() -> u32 {
    groups_max_of_user().unwrap_or(GROUPS_DEFAULT)
}

/// What `fs.fanotify.max_user_groups` says; `None` if it cannot be read.
#[must_use]
pub fn groups_max_of_user() -> Option<u32> {
    fs::read_to_string("/proc/sys/fs/fanotify/max_user_groups").ok()?.trim().parse().ok()
}
