//! The group by which a client is told of what has happened.
//!
//! A group of its own, read by a thread of its own, so that nothing of it lies on the path to an answer. Nobody waits
//! for it. What the kernel does with it (measured, decision 0008): it tells of the client's own events too; not of an
//! open that was denied; and while an event lies unread, further events of the same thread on the same file are merged
//! into it, so that counts are lower bounds.

use std::{
    ffi::CString,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use lab_client_core::{BackendError, Listener, Told, Untold};
use lab_model::{NotifyEvent, NotifyEvents, ThreadId};

use crate::{
    EventFd, GroupError,
    group::{METADATA_VERSION, Metadata, READ_BYTES, error_number, init_error},
    sys::{self, EVENT_BYTES},
};

/// `FAN_REPORT_FD_ERROR` (Linux 6.13, linux/fanotify.h), which libc does not name yet: an event whose file could not be
/// opened for the reader is handed over all the same, so that it is counted.
const REPORT_FD_ERROR: u32 = 0x2000;

/// What fanotify can tell of, with its masks.
const MASKS: [(NotifyEvent, u64); 4] = [
    (NotifyEvent::Open, libc::FAN_OPEN),
    (NotifyEvent::Exec, libc::FAN_OPEN_EXEC),
    (NotifyEvent::Close, libc::FAN_CLOSE),
    (NotifyEvent::Write, libc::FAN_MODIFY),
];

/// All that a group of this kind is ever told of.
pub(crate) const EVERYTHING: u64 = libc::FAN_OPEN | libc::FAN_OPEN_EXEC | libc::FAN_CLOSE | libc::FAN_MODIFY;

/// A group of the class `FAN_CLASS_NOTIF`.
#[derive(Debug)]
pub(crate) struct Notices {
    fd: OwnedFd,
    arena: CString,
}

impl Notices {
    /// Creates the group; it marks nothing yet.
    pub(crate) fn create(arena: &CString) -> Result<Notices, GroupError> {
        let flags = libc::FAN_CLASS_NOTIF
            | libc::FAN_CLOEXEC
            | libc::FAN_UNLIMITED_QUEUE
            | libc::FAN_UNLIMITED_MARKS
            | libc::FAN_REPORT_TID;
        let event_flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_LARGEFILE).unsigned_abs();
        let fd = sys::fanotify_init(flags | REPORT_FD_ERROR, event_flags)
            .or_else(|_| sys::fanotify_init(flags, event_flags))
            .map_err(init_error)?;
        Ok(Notices { fd, arena: arena.clone() })
    }

    /// Is told of these events from now on, and of no others.
    pub(crate) fn subscribe(&self, events: NotifyEvents) -> Result<(), u32> {
        let wanted = events.iter().try_fold(0, |mask, event| {
            let known = MASKS.iter().find(|(known, _)| *known == event);
            known.map(|(_, bits)| mask | bits).ok_or(libc::ENOTSUP.unsigned_abs())
        })?;
        let change = |how, mask| {
            let flags = how | libc::FAN_MARK_FILESYSTEM;
            sys::fanotify_mark(self.fd.as_fd(), flags, mask, &self.arena)
        };
        if wanted == 0 {
            let flush = libc::FAN_MARK_FLUSH | libc::FAN_MARK_FILESYSTEM;
            return sys::fanotify_mark(self.fd.as_fd(), flush, 0, &self.arena)
                .map_err(|error| error_number(&error));
        }
        change(libc::FAN_MARK_ADD, wanted).map_err(|error| error_number(&error))?;
        let unwanted = EVERYTHING & !wanted;
        if unwanted == 0 {
            return Ok(());
        }
        change(libc::FAN_MARK_REMOVE, unwanted).map_err(|error| error_number(&error))
    }

    /// Forgets what it does not want to be told of.
    pub(crate) fn show_all(&self) -> std::io::Result<()> {
        sys::fanotify_mark(self.fd.as_fd(), libc::FAN_MARK_FLUSH, 0, c"/")
    }

    /// Is not told of what happens to this file, or to what is directly in this folder.
    pub(crate) fn hide(&self, path: &Path, folder: bool) -> std::io::Result<()> {
        let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_IGNORE_SURV | libc::FAN_MARK_DONT_FOLLOW;
        let mask = EVERYTHING | if folder { libc::FAN_EVENT_ON_CHILD } else { 0 };
        let name = CString::new(path.as_os_str().as_bytes()).map_err(std::io::Error::other)?;
        sys::fanotify_mark(self.fd.as_fd(), flags, mask, &name)
    }

    /// Events that lie unread.
    pub(crate) fn unread(&self) -> u64 {
        sys::bytes_waiting(self.fd.as_fd()).unwrap_or(0) / EVENT_BYTES as u64
    }

    /// Reads for ever.
    pub(crate) fn observe<L: Listener<EventFd>>(&self, listener: &mut L) -> Result<(), BackendError> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let bytes = match sys::read(self.fd.as_fd(), &mut buffer) {
                Ok(bytes) => bytes,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR | libc::EAGAIN) => continue,
                    // The kernel had no descriptor left for the event and has dropped it.
                    Some(libc::EMFILE | libc::ENFILE) => {
                        listener.untold(Untold::Events(1));
                        continue;
                    }
                    code => return Err(BackendError { operation: "read", code: code.unwrap_or(0) }),
                },
            };
            listener.batch();
            let mut rest = &buffer[..bytes];
            while let Some(metadata) = Metadata::parse(rest) {
                if metadata.version != METADATA_VERSION || metadata.length < EVENT_BYTES {
                    let code = metadata.version.into();
                    return Err(BackendError { operation: "fanotify version check", code });
                }
                rest = rest.get(metadata.length..).unwrap_or_default();
                if metadata.mask & libc::FAN_Q_OVERFLOW != 0 {
                    listener.untold(Untold::Overflow);
                } else if metadata.fd < 0 {
                    listener.untold(Untold::Events(1));
                } else {
                    listener.told(&told(&metadata));
                }
            }
            listener.batch_over();
        }
    }
}

fn told(metadata: &Metadata) -> Told<EventFd> {
    let happened = MASKS.iter().filter(|(_, bits)| metadata.mask & bits != 0);
    Told {
        token: EventFd(metadata.fd),
        events: happened.map(|&(event, _)| event).collect(),
        subject: ThreadId { pid: 0, tid: u64::from(metadata.tid.unsigned_abs()), generation: 0 },
        kernel: None,
        sequence: 0,
        modified: None,
    }
}
