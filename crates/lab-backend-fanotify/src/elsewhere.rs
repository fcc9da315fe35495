//! What stands in the place of [`confine`] and [`probe`] on a system without fanotify: everything is refused, so that
//! whoever uses this crate need not ask what it runs on.

/// In the place of the lab's confinement.
pub mod confine {
    use std::{io, path::Path};

    use lab_model::ArenaKind;

    /// What could not be done.
    #[derive(Debug, thiserror::Error)]
    #[error("{what}: {source}")]
    pub struct EnterError {
        /// What was tried.
        pub what: &'static str,
        /// Why not.
        pub source: io::Error,
    }

    fn refused<T>() -> io::Result<T> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Starts nothing.
    ///
    /// # Errors
    /// Always `Unsupported`.
    pub fn spawn_first_process(_: &Path, _: &[&str]) -> io::Result<u32> {
        refused()
    }

    /// Gives nothing.
    ///
    /// # Errors
    /// Always `Unsupported`.
    pub fn own_mounts() -> io::Result<()> {
        refused()
    }

    /// False: there are no such namespaces.
    #[must_use]
    pub const fn is_first_process() -> bool {
        false
    }

    /// False: there are no such namespaces.
    #[must_use]
    pub const fn leads_a_namespace(_: u32) -> bool {
        false
    }

    /// Enters nothing.
    ///
    /// # Errors
    /// Always `Unsupported`.
    pub fn enter(_: &Path, _: ArenaKind, _: u64) -> Result<(), EnterError> {
        Err(EnterError { what: "entering namespaces", source: io::ErrorKind::Unsupported.into() })
    }

    /// Hides nothing.
    ///
    /// # Errors
    /// Always `Unsupported`.
    pub fn hide_folder(_: &Path, _: u64) -> io::Result<()> {
        refused()
    }

    /// Raises nothing.
    ///
    /// # Errors
    /// Always `Unsupported`.
    pub fn raise_descriptor_limit() -> io::Result<u64> {
        refused()
    }

    /// Finds nothing.
    ///
    /// # Errors
    /// Always `Unsupported`.
    pub fn unread_events(_: u32, _: i32) -> io::Result<u64> {
        refused()
    }
}

/// In the place of asking the kernel.
pub mod probe {
    use crate::GroupError;

    /// What the kernel and this process allow.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Capacity {
        /// Groups one user may have.
        pub groups_max: u32,
    }

    /// Finds nothing.
    ///
    /// # Errors
    /// Always [`GroupError::Absent`].
    pub const fn capacity() -> Result<Capacity, GroupError> {
        Err(GroupError::Absent)
    }

    /// As many as fanotify's own default: a lab is checked against it before it is simulated.
    #[must_use]
    pub const fn groups_max() -> u32 {
        128
    }

    /// Nothing says how many.
    #[must_use]
    pub const fn groups_max_of_user() -> Option<u32> {
        None
    }
}
