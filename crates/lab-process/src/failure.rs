//! Which kind of reason an error or an end is, for the last message and the exit status of a process of a lab.

use std::{error::Error, fmt, io};

use lab_model::FailureReason;
use nix::{errno::Errno, libc};

/// An error whose reason is known already: another process has said it, or a kernel by more than an `errno`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What is wrong, in one sentence.
    pub message: String,
    /// The kind.
    pub reason: FailureReason,
}

impl Failed {
    /// An error that says its reason itself, or else by what stands behind it.
    pub fn of<E: Error + 'static>(error: &E) -> Failed
    where
        for<'a> FailureReason: From<&'a E>,
    {
        let reason = match error.into() {
            FailureReason::Other => reason_of(error),
            reason => reason,
        };
        Failed { message: error.to_string(), reason }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl Error for Failed {}

/// The errors that say what a machine or a process has too little of: processes and threads, descriptors, memory, space
/// on a disk, the right to write there.
const LACKS: [Errno; 9] = [
    Errno::EAGAIN,
    Errno::EMFILE,
    Errno::ENFILE,
    Errno::ENOMEM,
    Errno::ENOBUFS,
    Errno::EFBIG,
    Errno::ENOSPC,
    Errno::EDQUOT,
    Errno::EROFS,
];

/// The reason that a number names.
#[must_use]
pub fn reason_of_errno(errno: i32) -> FailureReason {
    if LACKS.contains(&Errno::from_raw(errno)) { FailureReason::Lack { errno } } else { FailureReason::Other }
}

/// The reason that an error or what stands behind it names: a [`Failed`] or, on the way down, the first `errno`.
#[must_use]
pub fn reason_of(error: &(dyn Error + 'static)) -> FailureReason {
    let mut chain = std::iter::successors(Some(error), |&error| error.source());
    let known = chain.find_map(|error| {
        if let Some(failed) = error.downcast_ref::<Failed>() {
            return Some(failed.reason);
        }
        let of_call = || Some(*error.downcast_ref::<Errno>()? as i32);
        let of_rustix = || Some(error.downcast_ref::<rustix::io::Errno>()?.raw_os_error());
        let errno = error.downcast_ref::<io::Error>().and_then(errno_of).or_else(of_call).or_else(of_rustix);
        errno.map(reason_of_errno)
    });
    known.unwrap_or_default()
}

/// The number of an error, also of one that the standard library has made without one, and of one that wraps another.
fn errno_of(error: &io::Error) -> Option<i32> {
    let inner = || error.get_ref()?.downcast_ref::<io::Error>().and_then(errno_of);
    error.raw_os_error().or_else(inner).or_else(|| {
        Some(match error.kind() {
            io::ErrorKind::OutOfMemory => libc::ENOMEM,
            io::ErrorKind::StorageFull => libc::ENOSPC,
            io::ErrorKind::QuotaExceeded => libc::EDQUOT,
            io::ErrorKind::FileTooLarge => libc::EFBIG,
            io::ErrorKind::ReadOnlyFilesystem => libc::EROFS,
            _ => return None,
        })
    })
}

/// The reason that a wait status tells.
#[must_use]
pub fn reason_of_end(status: i32) -> FailureReason {
    match (status & 0x7f, u8::try_from((status >> 8) & 0xff)) {
        (0, Ok(code)) => FailureReason::of_exit_status(code),
        (libc::SIGXFSZ, _) => FailureReason::Lack { errno: libc::EFBIG },
        _ => FailureReason::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An error with another behind it.
    #[derive(Debug)]
    struct Behind(Box<dyn Error + 'static>);

    impl std::fmt::Display for Behind {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("No space left on device, CAP_SYS_ADMIN, max_user_groups")
        }
    }

    impl Error for Behind {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(self.0.as_ref())
        }
    }

    #[test]
    fn the_number_counts_however_deep_and_the_words_never() {
        let check = |error: Box<dyn Error>, expected: Option<i32>| {
            let expected = expected.map_or(FailureReason::Other, |errno| FailureReason::Lack { errno });
            assert_eq!(reason_of(error.as_ref()), expected, "{error:?}");
            assert_eq!(reason_of(&Behind(Box::new(Behind(error)))), expected);
        };
        for errno in [libc::ENOSPC, libc::EDQUOT, libc::EROFS, libc::EAGAIN, libc::EMFILE] {
            check(Box::new(io::Error::from_raw_os_error(errno)), Some(errno));
            check(Box::new(Errno::from_raw(errno)), Some(errno));
            check(Box::new(rustix::io::Errno::from_raw_os_error(errno)), Some(errno));
            check(Box::new(io::Error::other(io::Error::from_raw_os_error(errno))), Some(errno));
        }
        // What is no want says nothing, whatever it stands before.
        check(Box::new(io::Error::from_raw_os_error(libc::EPERM)), None);
        check(Box::new(Errno::EEXIST), None);
        check(Box::new(io::Error::new(io::ErrorKind::StorageFull, "x")), Some(libc::ENOSPC));
        check(Box::new(io::Error::new(io::ErrorKind::OutOfMemory, "x")), Some(libc::ENOMEM));
        check(Box::new(io::Error::other("No space left on device (os error 28)")), None);
        check(Box::new(std::fmt::Error), None);
    }

    #[test]
    fn what_another_process_said_comes_before_any_number() {
        let message = "its helper alpha.helper-1 failed: no".to_owned();
        let failed = Failed { message, reason: FailureReason::NoClientSlot };
        assert_eq!(reason_of(&Behind(Box::new(failed))), FailureReason::NoClientSlot);
    }

    #[test]
    fn an_end_says_its_reason_by_its_status() {
        let check = |status, expected| assert_eq!(reason_of_end(status), expected, "{status}");
        check(i32::from(FailureReason::NoClientSlot.exit_status()) << 8, FailureReason::NoClientSlot);
        check((128 + libc::ENOSPC) << 8, FailureReason::Lack { errno: libc::ENOSPC });
        check(libc::SIGXFSZ, FailureReason::Lack { errno: libc::EFBIG });
        check(libc::SIGXFSZ | 0x80, FailureReason::Lack { errno: libc::EFBIG });
        for status in [0, 1 << 8, 101 << 8, 127 << 8, 6, 9, -1] {
            check(status, FailureReason::Other);
        }
    }
}
