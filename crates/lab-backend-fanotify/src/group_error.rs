//! Why a client has no group.

use std::io;

use lab_model::FailureReason;

/// Why a group could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum GroupError {
    /// The process may not have one.
    #[error("fanotify permission events need CAP_SYS_ADMIN in the initial user namespace")]
    Privilege,
    /// The kernel was built without.
    #[error("this kernel has no fanotify permission events (CONFIG_FANOTIFY_ACCESS_PERMISSIONS)")]
    Absent,
    /// This user has as many groups as allowed.
    #[error("all fanotify groups of this user are taken (fs.fanotify.max_user_groups)")]
    TooMany,
    /// The arena is not a file system of the lab's own.
    #[error("{path} is not a tmpfs or ramfs of the lab's own, and nothing else may be marked")]
    NotAnArena {
        /// The path.
        path: String,
    },
    /// Another failure.
    #[error("{operation} failed: {source}")]
    Other {
        /// What was tried.
        operation: &'static str,
        /// The failure.
        source: io::Error,
    },
}

impl From<&GroupError> for FailureReason {
    fn from(error: &GroupError) -> FailureReason {
        match error {
            GroupError::Privilege => FailureReason::Privilege,
            GroupError::Absent => FailureReason::NoInterface,
            GroupError::TooMany => FailureReason::NoClientSlot,
            // What stands behind the last may say more.
            GroupError::NotAnArena { .. } | GroupError::Other { .. } => FailureReason::Other,
        }
    }
}
