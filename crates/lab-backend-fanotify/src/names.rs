//! The group by which a client is told that names come and go: of creates, renames and unlinks.
//!
//! The kernel refuses them to a group that hands over descriptors, so this is another one. It names the thread, the
//! folder and the name, and the file by its handle, in which a file system in memory writes the inode. What it does
//! (measured, decision 0008): a file that a rename replaces is not told of as unlinked; and while an event lies unread,
//! further events of the same thread on the same name of the same file are merged into it.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            ffi::{OsStrExt, OsStringExt},
            fs::{DirEntryExt, MetadataExt},
        },
    },
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use lab_client_core::{FileFacts, Notification};
use lab_model::{FileId, NotifyEvents, ThreadId};

use crate::{
    GroupError,
    event::{Metadata, Named},
    sys,
    token::EventFd,
};

/// `FAN_REPORT_DFID_NAME_TARGET` (Linux 5.17): with the folder and the name, and with the file itself.
const REPORT_NAMES: u32 =
    libc::FAN_REPORT_DIR_FID | libc::FAN_REPORT_NAME | libc::FAN_REPORT_FID | libc::FAN_REPORT_TARGET_FID;

/// A group that reports names.
#[derive(Debug)]
pub(crate) struct Names {
    fd: OwnedFd,
    arena: PathBuf,
    device: u64,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// The events that were handed over and not released, by what stands in for a descriptor: numbers below -1.
    events: BTreeMap<i32, Named>,
    latest: i32,
    /// The folders of the arena by inode, as they were when one was last missing.
    folders: BTreeMap<u64, PathBuf>,
    /// Of what is at or below these the client does not want to be notification.
    hidden: Vec<PathBuf>,
}

impl Names {
    pub(crate) fn create(arena: &Path) -> Result<Names, GroupError> {
        let flags = libc::FAN_CLASS_NOTIF
            | libc::FAN_CLOEXEC
            | libc::FAN_UNLIMITED_QUEUE
            | libc::FAN_UNLIMITED_MARKS
            | libc::FAN_REPORT_TID
            | REPORT_NAMES;
        let other = |operation| move |source| GroupError::Other { operation, source };
        let fd = sys::fanotify_init(flags, 0).map_err(other("fanotify_init with names (Linux 5.17)"))?;
        let device =
            File::open(arena).and_then(|arena| arena.metadata()).map_err(other("opening the arena"))?.dev();
        Ok(Names { fd, arena: arena.to_owned(), device, held: Mutex::default() })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folders and files of which the client does not want to be notification.
    pub(crate) fn hide(&self, paths: Vec<PathBuf>) {
        self.held().hidden = paths;
    }

    /// Takes in one event of which `bytes` are the whole; `None` when it is hidden.
    pub(crate) fn notification(&self, metadata: &Metadata, bytes: &[u8]) -> Option<Notification<EventFd>> {
        let named = Named::parse(bytes);
        let mut held = self.held();
        if !held.hidden.is_empty()
            && let Some(path) = held.path(&self.arena, &named)
            && held.hidden.iter().any(|hidden| path.starts_with(hidden))
        {
            return None;
        }
        // Descriptors are not negative, and -1 is no descriptor.
        held.latest = if held.latest > i32::MIN && held.latest < 0 { held.latest - 1 } else { -2 };
        let token = held.latest;
        held.events.insert(token, named);
        drop(held);
        Some(Notification {
            token: EventFd(token),
            events: NotifyEvents::OF_NAMES.in_fanotify_mask(metadata.mask),
            subject: ThreadId { pid: 0, tid: u64::from(metadata.tid.unsigned_abs()), generation: 0 },
            kernel: None,
            sequence: 0,
            modified: None,
        })
    }

    /// The file, and its name as the event had it.
    pub(crate) fn file(&self, token: EventFd, with_names: &dyn Fn(FileId) -> bool) -> Option<FileFacts> {
        let named = self.held().events.get(&token.0)?.clone();
        let file = FileId { device: self.device, inode: named.inode? };
        let path = if with_names(file) { self.held().path(&self.arena, &named) } else { None };
        Some(FileFacts { file, path: path.map(|path| path.into_os_string().into_vec()), signature: None })
    }

    pub(crate) fn path(&self, token: EventFd) -> Option<PathBuf> {
        let mut held = self.held();
        let named = held.events.get(&token.0)?.clone();
        held.path(&self.arena, &named)
    }

    pub(crate) fn release(&self, token: EventFd) {
        self.held().events.remove(&token.0);
    }
}

impl Held {
    /// The path that the event's name had. Folders are looked for again when one is not known: listing them is an open
    /// of a folder, about which nobody is asked or told here.
    fn path(&mut self, arena: &Path, named: &Named) -> Option<PathBuf> {
        let folder = named.folder?;
        if !self.folders.contains_key(&folder) {
            self.folders = folders_of(arena);
        }
        Some(self.folders.get(&folder)?.join(std::ffi::OsStr::from_bytes(&named.name)))
    }
}

/// The folder and all below it, by inode; what cannot be read is left out.
fn folders_of(arena: &Path) -> BTreeMap<u64, PathBuf> {
    let root = fs::metadata(arena).map(|facts| (facts.ino(), arena.to_owned()));
    let mut rest: Vec<(u64, PathBuf)> = root.into_iter().collect();
    let mut folders = BTreeMap::new();
    while let Some((inode, path)) = rest.pop() {
        let entries = fs::read_dir(&path).into_iter().flatten().flatten();
        let below = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        rest.extend(below.map(|entry| (entry.ino(), entry.path())));
        folders.insert(inode, path);
    }
    folders
}
