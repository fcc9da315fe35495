//! One client's fanotify group.

use std::{
    ffi::{CString, OsStr},
    fs,
    io::{self, Write},
    os::{
        fd::{AsFd, AsRawFd, OwnedFd, RawFd},
        unix::{ffi::OsStrExt, fs::MetadataExt},
    },
    path::{Path, PathBuf},
};

use lab_client_core::{Backend, BackendError, Disposition, Event, FileFacts, Intake, Listener};
use lab_model::{AuthEvents, EventKind, FileId, NotifyEvents, ThreadId, Verdict};

use crate::{
    GroupError,
    error::{error_number, init_error, version_failure},
    event::{Metadata, events},
    names::Names,
    notices::Notices,
    sys::{self, ANSWERS_MAX, Response},
    token::{EventFd, READ_BYTES},
};

/// The magic number of a ramfs (linux/magic.h), which libc does not name.
const RAMFS_MAGIC: nix::sys::statfs::FsType = nix::sys::statfs::FsType(0x8584_58f6);

/// One client's fanotify group with its mark on the arena.
#[derive(Debug)]
pub struct Group {
    fd: OwnedFd,
    arena: CString,
    /// By what it is told of what has happened, where the client wants that.
    notices: Option<Notices>,
}

impl Group {
    /// Creates the group and marks the arena's file system for opens and execs. From now on every open in
    /// the arena waits until this group is read and answered.
    ///
    /// # Errors
    /// [`GroupError`].
    #[doc(alias = "fanotify_init")]
    #[doc(alias = "fanotify_mark")]
    pub fn create(arena: &Path) -> Result<Group, GroupError> {
        refuse_foreign_file_systems(arena)?;
        let flags = libc::FAN_CLASS_CONTENT
            | libc::FAN_CLOEXEC
            | libc::FAN_UNLIMITED_QUEUE
            | libc::FAN_UNLIMITED_MARKS
            | libc::FAN_REPORT_TID;
        let event_flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_LARGEFILE;
        let fd = sys::fanotify_init(flags, event_flags.unsigned_abs()).map_err(init_error)?;
        let path = CString::new(arena.as_os_str().as_bytes())
            .map_err(|_| GroupError::NotAnArena { path: arena.display().to_string() })?;
        let mark = libc::FAN_MARK_ADD | libc::FAN_MARK_FILESYSTEM;
        sys::fanotify_mark(fd.as_fd(), mark, AuthEvents::ALL.fanotify_mask(), &path).map_err(|source| {
            match source.raw_os_error() {
                Some(libc::EINVAL) => GroupError::Absent,
                _ => GroupError::Other { operation: "fanotify_mark", source },
            }
        })?;
        Ok(Group { fd, arena: path, notices: None })
    }

    /// The same client, able to be told of these: with a second group, of the class that nobody waits for, and a third
    /// one for names that come and go.
    ///
    /// # Errors
    /// [`GroupError`].
    pub fn observing(self, events: NotifyEvents) -> Result<Group, GroupError> {
        if events.is_empty() {
            return Ok(self);
        }
        let notices = Some(Notices::create(&self.arena, events.has_names())?);
        Ok(Group { notices, ..self })
    }

    /// The events without a descriptor, which only [`Notices`] with names hand over.
    fn named(&self, token: EventFd) -> Option<&Names> {
        if token.0 < 0 { self.notices.as_ref().and_then(Notices::names) } else { None }
    }

    /// The group's descriptor number, by which the warden can look at its queue.
    #[must_use]
    pub fn descriptor(&self) -> RawFd {
        self.fd.as_raw_fd()
    }

    /// Hides a file, or what is directly in a folder; returns the folders in that.
    fn hide_one(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let facts = fs::symlink_metadata(path)?;
        let mut mask = AuthEvents::ALL.fanotify_mask();
        let mut below = Vec::new();
        if facts.is_dir() {
            mask |= libc::FAN_EVENT_ON_CHILD;
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    below.push(entry.path());
                }
            }
        }
        let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_IGNORE_SURV | libc::FAN_MARK_DONT_FOLLOW;
        let name = CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other)?;
        sys::fanotify_mark(self.fd.as_fd(), flags, mask, &name)?;
        if let Some(notices) = &self.notices {
            notices.hide(path, facts.is_dir())?;
        }
        Ok(below)
    }

    fn flush<I: Intake<EventFd>>(&self, answers: &[Response], intake: &mut I) {
        intake.answering();
        let mut from = 0;
        while from < answers.len() {
            // The kernel takes the answers in order and stops at the first that it refuses.
            let (taken, error) = match sys::write_answers(self.fd.as_fd(), &answers[from..]) {
                Ok(taken) => (taken, 0),
                Err(error) => (0, error_number(&error)),
            };
            for nth in from..from + taken {
                intake.answered(nth, 0);
            }
            from += taken;
            if error != 0 {
                intake.answered(from, error);
                from += 1;
            }
        }
    }
}

/// A filesystem mark freezes every process that touches that file system when its client hangs. So it may
/// only be put on one in memory that is mounted just there, which on a lab's mount namespace is its own.
fn refuse_foreign_file_systems(arena: &Path) -> Result<(), GroupError> {
    let refuse = || GroupError::NotAnArena { path: arena.display().to_string() };
    let device = |path: &Path| fs::metadata(path).map(|facts| facts.dev());
    let own = device(arena).map_err(|_| refuse())?;
    let parent = arena.parent().ok_or_else(refuse)?;
    let kind = nix::sys::statfs::statfs(arena).map_err(|_| refuse())?.filesystem_type();
    let mounted_here = device(parent).map_err(|_| refuse())? != own;
    let in_memory = kind == nix::sys::statfs::TMPFS_MAGIC || kind == RAMFS_MAGIC;
    if mounted_here && in_memory { Ok(()) } else { Err(refuse()) }
}

/// Whether an error of the read is of one event, which is denied then, and not of the group: it has no descriptor left
/// (`EMFILE`), or the file cannot be opened on its behalf: its FUSE daemon is gone (`ECONNABORTED`), somebody holds a lease
/// (`EAGAIN`), root may not (`EACCES`).
const fn is_of_event(code: i32) -> bool {
    !matches!(code, libc::EBADF | libc::EFAULT | libc::EINVAL | libc::EINTR)
}

impl Backend for Group {
    type Token = EventFd;

    fn receive<I: Intake<EventFd>>(&self, intake: &mut I) -> Result<(), BackendError> {
        let mut buffer = vec![0; READ_BYTES];
        let mut answers = [Response::default(); ANSWERS_MAX];
        loop {
            let bytes = match sys::read(self.fd.as_fd(), &mut buffer) {
                Ok(bytes) => bytes,
                Err(error) => match error.raw_os_error() {
                    Some(libc::EINTR) => continue,
                    // The kernel could not open the event's file for this process, and has denied the operation.
                    Some(code) if is_of_event(code) => {
                        intake.lost(1, code.unsigned_abs());
                        continue;
                    }
                    code => return Err(BackendError { operation: "read", code: code.unwrap_or(0) }),
                },
            };
            intake.batch();
            let mut count = 0;
            for event in events(&buffer[..bytes]) {
                let (metadata, _) = event.map_err(version_failure)?;
                if metadata.fd < 0 {
                    // With the number of the error where the kernel says it (`FAN_REPORT_FD_ERROR`), or -1.
                    intake.lost(1, if metadata.fd < -1 { metadata.fd.unsigned_abs() } else { 0 });
                    continue;
                }
                if let Disposition::Answer(verdict) = intake.event(&owned(&metadata)) {
                    answers[count] = response(metadata.fd, verdict);
                    count += 1;
                }
            }
            if count > 0 {
                self.flush(&answers[..count], intake);
            }
        }
    }

    fn answer(&self, token: EventFd, verdict: Verdict) -> Result<(), u32> {
        match sys::write_answers(self.fd.as_fd(), &[response(token.0, verdict)]) {
            Ok(_) => Ok(()),
            Err(error) => Err(error_number(&error)),
        }
    }

    fn file(&self, token: EventFd, with_names: &dyn Fn(FileId) -> bool) -> Option<FileFacts> {
        if let Some(names) = self.named(token) {
            return names.file(token, with_names);
        }
        let facts = nix::sys::stat::fstat(sys::borrow(token.0)).ok()?;
        let file = FileId { device: facts.st_dev, inode: facts.st_ino };
        let link = || fs::read_link(format!("/proc/self/fd/{}", token.0)).ok();
        let path = if with_names(file) {
            link().map(|path| path.into_os_string().into_encoded_bytes())
        } else {
            None
        };
        Some(FileFacts { file, path, signature: None })
    }

    #[doc(alias = "FAN_MARK_IGNORE")]
    fn cache_answer(&self, token: EventFd, event: EventKind) -> Result<(), u32> {
        let mask = event.auth().ok_or(libc::EINVAL.unsigned_abs())?.fanotify_mask();
        // The kernel drops an ignore mark at the first write, and sets none while somebody has the file
        // open for writing.
        let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_IGNORE;
        sys::fanotify_mark_file(self.fd.as_fd(), flags, mask, sys::borrow(token.0))
            .map_err(|error| error_number(&error))
    }

    fn mute(&self, paths: &[Vec<u8>]) -> Result<(), (Vec<u8>, u32)> {
        // Inode marks only: the mark on the file system is of another kind and stays.
        sys::fanotify_mark(self.fd.as_fd(), libc::FAN_MARK_FLUSH, 0, c"/")
            .and_then(|()| self.notices.as_ref().map_or(Ok(()), Notices::show_all))
            .map_err(|error| (b"/".to_vec(), error_number(&error)))?;
        let mut rest: Vec<PathBuf> =
            paths.iter().map(|path| PathBuf::from(OsStr::from_bytes(path))).collect();
        if let Some(names) = self.notices.as_ref().and_then(Notices::names) {
            names.hide(rest.clone());
        }
        while let Some(path) = rest.pop() {
            let hidden = self.hide_one(&path).map(|below| rest.extend(below));
            hidden.map_err(|error| (path.as_os_str().as_bytes().to_vec(), error_number(&error)))?;
        }
        Ok(())
    }

    fn subscribe(&self, events: AuthEvents) -> Result<(), u32> {
        let (all, wanted) = (AuthEvents::ALL.fanotify_mask(), events.fanotify_mask());
        let change = |how, mask| {
            let flags = how | libc::FAN_MARK_FILESYSTEM;
            sys::fanotify_mark(self.fd.as_fd(), flags, mask, &self.arena)
                .map_err(|error| error_number(&error))
        };
        match wanted {
            0 => return change(libc::FAN_MARK_FLUSH, 0),
            wanted => change(libc::FAN_MARK_ADD, wanted)?,
        }
        if wanted == all { Ok(()) } else { change(libc::FAN_MARK_REMOVE, all & !wanted) }
    }

    fn notify(&self, events: NotifyEvents) -> Result<(), u32> {
        match &self.notices {
            Some(notices) => notices.subscribe(events),
            None if events.is_empty() => Ok(()),
            None => Err(libc::ENOTSUP.unsigned_abs()),
        }
    }

    fn observe<L: Listener<EventFd>>(&self, listener: &mut L) -> Result<(), BackendError> {
        self.notices.as_ref().map_or(Ok(()), |notices| notices.observe(listener))
    }

    fn unread_notices(&self) -> u64 {
        self.notices.as_ref().map_or(0, Notices::unread)
    }

    fn reopen_path(&self, token: EventFd, path: &mut Vec<u8>) {
        path.clear();
        if let Some(names) = self.named(token) {
            path.extend(
                names.path(token).map(|path| path.into_os_string().into_encoded_bytes()).unwrap_or_default(),
            );
            return path.push(0);
        }
        // Opening through /proc is an open like any other: fanotify asks everyone about it, this client included.
        if write!(path, "/proc/self/fd/{}\0", token.0).is_err() {
            path.push(0);
        }
    }

    fn read_content(&self, token: EventFd, offset: u64, buffer: &mut [u8]) -> Result<usize, u32> {
        if self.named(token).is_some() {
            return Err(libc::ENOTSUP.unsigned_abs());
        }
        let offset = i64::try_from(offset).map_err(|_| libc::EFBIG.unsigned_abs())?;
        // The kernel opened this descriptor for the group alone: what is done with it raises no event.
        nix::sys::uio::pread(sys::borrow(token.0), buffer, offset)
            .map_err(|error| (error as i32).unsigned_abs())
    }

    fn release(&self, token: EventFd) {
        match self.named(token) {
            Some(names) => names.release(token),
            None => sys::close(token.0),
        }
    }

    fn release_all(&self, tokens: &mut [EventFd]) {
        // The kernel hands out the lowest free numbers, so they come in runs, and a run is closed by one call.
        tokens.sort_unstable_by_key(|token| token.0);
        let (named, descriptors) = tokens.split_at(tokens.partition_point(|token| token.0 < 0));
        named.iter().for_each(|&token| self.release(token));
        for run in descriptors.chunk_by(|one, next| one.0 + 1 == next.0) {
            match run {
                [EventFd(only)] => sys::close(*only),
                [EventFd(first), .., EventFd(last)] => sys::close_run(*first, *last),
                [] => {}
            }
        }
    }
}

fn owned(metadata: &Metadata) -> Event<EventFd> {
    Event {
        token: EventFd(metadata.fd),
        event: metadata.event(),
        // With FAN_REPORT_TID the kernel names the thread only.
        subject: ThreadId { pid: 0, tid: u64::from(metadata.tid.unsigned_abs()), generation: 0 },
        kernel: None,
        deadline: None,
        sequence: 0,
    }
}

fn response(fd: RawFd, verdict: Verdict) -> Response {
    let response = match verdict {
        Verdict::Allow => libc::FAN_ALLOW,
        Verdict::Deny => libc::FAN_DENY,
    };
    Response { fd, response }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_cannot_be_handed_over_ends_no_client() {
        for code in [
            libc::EMFILE,
            libc::ENFILE,
            libc::ECONNABORTED,
            libc::EAGAIN,
            libc::EACCES,
            libc::ENOTCONN,
            libc::EIO,
        ] {
            assert!(is_of_event(code), "{code}");
        }
        for code in [libc::EBADF, libc::EFAULT, libc::EINVAL] {
            assert!(!is_of_event(code), "{code}");
        }
    }
}
