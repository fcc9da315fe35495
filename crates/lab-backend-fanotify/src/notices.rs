//! The group by which a client is told of what has happened.
//!
//! A group of its own, read by a thread of its own, so that nothing of it lies on the path to an answer. Nobody waits
//! for it. What the kernel does with it (measured, decision 0008): it tells of the client's own events too; not of an
//! open that was denied; and while an event lies unread, further events of the same thread on the same file are merged
//! into it, so that counts are lower bounds.

use std::{
    ffi::{CString, OsStr},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::Path,
};

use lab_client_core::{BackendError, DroppedNotifications, Listener, Notification};
use lab_model::{NotifyEvent, NotifyEvents, ThreadId};

use crate::{
    GroupError,
    error::{error_number, init_error, version_failure},
    event::{EVENT_BYTES, Metadata, events},
    names::Names,
    sys,
    token::{EventFd, READ_BYTES},
};

/// `FAN_REPORT_FD_ERROR` (Linux 6.13, linux/fanotify.h), which libc does not name yet: an event whose file could not be
/// opened for the reader is handed over all the same, so that it is counted.
const REPORT_FD_ERROR: u32 = 0x2000;

/// All that a group of this kind is ever told of: what happens to files under the names that they have.
pub(crate) const OF_FILES: NotifyEvents = NotifyEvents::ALL.without(NotifyEvents::OF_NAMES);

/// Marks the arena's file system for what is `wanted` of everything that the group may be told of.
fn listen(
    group: BorrowedFd<'_>,
    arena: &CString,
    wanted: NotifyEvents,
    everything: NotifyEvents,
) -> Result<(), u32> {
    let (wanted, everything) = (wanted.and(everything).fanotify_mask(), everything.fanotify_mask());
    let change = |how, mask| {
        let flags = how | libc::FAN_MARK_FILESYSTEM;
        sys::fanotify_mark(group, flags, mask, arena).map_err(|error| error_number(&error))
    };
    if wanted == 0 {
        return change(libc::FAN_MARK_FLUSH, 0);
    }
    change(libc::FAN_MARK_ADD, wanted)?;
    let unwanted = everything & !wanted;
    if unwanted == 0 { Ok(()) } else { change(libc::FAN_MARK_REMOVE, unwanted) }
}

/// A group of the class `FAN_CLASS_NOTIF`.
#[derive(Debug)]
pub(crate) struct Notices {
    fd: OwnedFd,
    arena: CString,
    /// Names that come and go, which the kernel tells a group with descriptors nothing of.
    names: Option<Names>,
}

impl Notices {
    /// Creates the group, and the one for names when it is wanted; they mark nothing yet.
    pub(crate) fn create(arena: &CString, with_names: bool) -> Result<Notices, GroupError> {
        let flags = libc::FAN_CLASS_NOTIF
            | libc::FAN_CLOEXEC
            | libc::FAN_UNLIMITED_QUEUE
            | libc::FAN_UNLIMITED_MARKS
            | libc::FAN_REPORT_TID;
        let event_flags = (libc::O_RDONLY | libc::O_CLOEXEC | libc::O_LARGEFILE).unsigned_abs();
        let fd = sys::fanotify_init(flags | REPORT_FD_ERROR, event_flags)
            .or_else(|_| sys::fanotify_init(flags, event_flags))
            .map_err(init_error)?;
        let path = Path::new(OsStr::from_bytes(arena.as_bytes()));
        let names = with_names.then(|| Names::create(path)).transpose()?;
        Ok(Notices { fd, arena: arena.clone(), names })
    }

    /// Is told of these events from now on, and of no others.
    pub(crate) fn subscribe(&self, events: NotifyEvents) -> Result<(), u32> {
        let known = |event: NotifyEvent| event.fanotify_mask() != 0;
        if !events.iter().all(known) || (events.has_names() && self.names.is_none()) {
            return Err(libc::ENOTSUP.unsigned_abs());
        }
        listen(self.fd.as_fd(), &self.arena, events, OF_FILES)?;
        let Some(names) = &self.names else { return Ok(()) };
        listen(names.fd(), &self.arena, events, NotifyEvents::OF_NAMES)
    }

    /// The group for names that come and go, where there is one.
    pub(crate) fn names(&self) -> Option<&Names> {
        self.names.as_ref()
    }

    /// Forgets what it does not want to be told of.
    pub(crate) fn show_all(&self) -> std::io::Result<()> {
        sys::fanotify_mark(self.fd.as_fd(), libc::FAN_MARK_FLUSH, 0, c"/")
    }

    /// Is not told of what happens to this file, or to what is directly in this folder.
    pub(crate) fn hide(&self, path: &Path, folder: bool) -> std::io::Result<()> {
        let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_IGNORE_SURV | libc::FAN_MARK_DONT_FOLLOW;
        let mask = OF_FILES.fanotify_mask() | if folder { libc::FAN_EVENT_ON_CHILD } else { 0 };
        let name = CString::new(path.as_os_str().as_bytes()).map_err(std::io::Error::other)?;
        sys::fanotify_mark(self.fd.as_fd(), flags, mask, &name)
    }

    /// Events that lie unread.
    pub(crate) fn unread(&self) -> u64 {
        // The kernel counts so many bytes for an event, whatever follows it.
        let unread = |fd| sys::bytes_waiting(fd).unwrap_or(0) / EVENT_BYTES as u64;
        unread(self.fd.as_fd()) + self.names().map_or(0, |names| unread(names.fd()))
    }

    /// Reads for ever.
    pub(crate) fn observe<L: Listener<EventFd>>(&self, listener: &mut L) -> Result<(), BackendError> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let [files, named] = match &self.names {
                None => [true, false],
                Some(names) => match sys::readable([self.fd.as_fd(), names.fd()]) {
                    Ok(readable) => readable,
                    Err(error) if error.raw_os_error() == Some(libc::EINTR) => continue,
                    Err(error) => return Err(failure("poll", &error)),
                },
            };
            if files {
                self.take_some(self.fd.as_fd(), &mut buffer, listener)?;
            }
            if let (true, Some(names)) = (named, &self.names) {
                self.take_some(names.fd(), &mut buffer, listener)?;
            }
        }
    }

    /// Reads once from one of the groups and hands over what came.
    fn take_some<L: Listener<EventFd>>(
        &self,
        group: BorrowedFd<'_>,
        buffer: &mut [u8],
        listener: &mut L,
    ) -> Result<(), BackendError> {
        let bytes = match sys::read(group, buffer) {
            Ok(bytes) => bytes,
            Err(error) => {
                return match error.raw_os_error() {
                    Some(libc::EINTR | libc::EAGAIN) => Ok(()),
                    // The kernel had no descriptor left for the event and has dropped it.
                    Some(libc::EMFILE | libc::ENFILE) => {
                        listener.on_dropped(DroppedNotifications::Events(1));
                        Ok(())
                    }
                    _ => Err(failure("read", &error)),
                };
            }
        };
        listener.batch();
        for event in events(&buffer[..bytes]) {
            let (metadata, event) = event.map_err(version_failure)?;
            if metadata.mask & libc::FAN_Q_OVERFLOW != 0 {
                listener.on_dropped(DroppedNotifications::Overflow);
            } else if metadata.fd >= 0 {
                listener.on_notify(&notification(&metadata));
            } else if let Some(names) =
                self.names().filter(|_| metadata.mask & NotifyEvents::OF_NAMES.fanotify_mask() != 0)
            {
                if let Some(notification) = names.notification(&metadata, event) {
                    listener.on_notify(&notification);
                }
            } else {
                listener.on_dropped(DroppedNotifications::Events(1));
            }
        }
        listener.batch_over();
        Ok(())
    }
}

fn failure(operation: &'static str, error: &std::io::Error) -> BackendError {
    BackendError { operation, code: error.raw_os_error().unwrap_or(0) }
}

fn notification(metadata: &Metadata) -> Notification<EventFd> {
    Notification {
        token: EventFd(metadata.fd),
        events: OF_FILES.in_fanotify_mask(metadata.mask),
        subject: ThreadId { pid: 0, tid: u64::from(metadata.tid.unsigned_abs()), generation: 0 },
        kernel: None,
        sequence: 0,
        modified: None,
    }
}
