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

use lab_client_core::{FileFacts, Told};
use lab_model::{FileId, NotifyEvent, NotifyEvents, ThreadId};

use crate::{EventFd, GroupError, group::Metadata, sys};

/// `FAN_RENAME` (Linux 5.17, linux/fanotify.h), which tells of both names at once.
const RENAME: u64 = 0x1000_0000;

/// What this group can tell of, with its masks.
pub(crate) const MASKS: [(NotifyEvent, u64); 3] = [
    (NotifyEvent::Create, libc::FAN_CREATE),
    (NotifyEvent::Rename, RENAME),
    (NotifyEvent::Unlink, libc::FAN_DELETE),
];

/// `FAN_REPORT_DFID_NAME_TARGET` (Linux 5.17): with the folder and the name, and with the file itself.
const REPORT_NAMES: u32 =
    libc::FAN_REPORT_DIR_FID | libc::FAN_REPORT_NAME | libc::FAN_REPORT_FID | libc::FAN_REPORT_TARGET_FID;

/// The kinds of what follows an event (linux/fanotify.h).
const INFO_FILE: u8 = 1;
const INFO_NAME: u8 = 2;
const INFO_NEW_NAME: u8 = 12;
/// The bytes of such a piece before its handle: kind, padding, length, file system.
const INFO_HEADER: usize = 12;
/// The bytes of a handle before its contents: their length and kind.
const HANDLE_HEADER: usize = 8;

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
    /// Of what is at or below these the client does not want to be told.
    hidden: Vec<PathBuf>,
}

/// What came with an event.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    inode: Option<u64>,
    folder: Option<u64>,
    name: Vec<u8>,
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

    /// The folders and files of which the client does not want to be told.
    pub(crate) fn hide(&self, paths: Vec<PathBuf>) {
        self.held().hidden = paths;
    }

    /// Takes in one event of which `bytes` are the whole; `None` when it is hidden.
    pub(crate) fn told(&self, metadata: &Metadata, bytes: &[u8]) -> Option<Told<EventFd>> {
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
        let happened = MASKS.iter().filter(|(_, bits)| metadata.mask & bits != 0);
        Some(Told {
            token: EventFd(token),
            events: happened.map(|&(event, _)| event).collect::<NotifyEvents>(),
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

impl Named {
    fn parse(event: &[u8]) -> Named {
        let mut named = Named { inode: None, folder: None, name: Vec::new() };
        let after = event.get(6..8).and_then(|bytes| Some(u16::from_ne_bytes(bytes.try_into().ok()?)));
        let mut rest = event.get(usize::from(after.unwrap_or(u16::MAX))..).unwrap_or_default();
        while let Some(&[kind, _, low, high]) = rest.first_chunk() {
            let length = usize::from(u16::from_ne_bytes([low, high]));
            let Some((piece, others)) = rest.split_at_checked(length).filter(|_| length >= INFO_HEADER)
            else {
                break;
            };
            rest = others;
            let Some((inode, after)) = piece.get(INFO_HEADER..).and_then(handle) else { continue };
            match kind {
                INFO_FILE => named.inode = inode,
                INFO_NAME | INFO_NEW_NAME => {
                    named.folder = inode;
                    named.name = after.split(|&byte| byte == 0).next().unwrap_or_default().to_vec();
                }
                _ => {}
            }
        }
        named
    }
}

/// The inode in a `struct file_handle`, and what follows it. tmpfs writes generation and inode in three words
/// (`shmem_encode_fh`), a file system that cannot be exported inode and generation in two (`generic_encode_ino32_fh`).
fn handle(bytes: &[u8]) -> Option<(Option<u64>, &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let (contents, after) = bytes.get(HANDLE_HEADER..)?.split_at_checked(length)?;
    let word = |at: usize| Some(u64::from(u32::from_ne_bytes(contents.get(at..at + 4)?.try_into().ok()?)));
    let inode = match length {
        12 => word(4).zip(word(8)).map(|(low, high)| low | (high << 32)),
        8 => word(0),
        _ => None,
    };
    Some((inode, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event as Linux 6.18 gave it for `rename("a", "b")` on a tmpfs: inode 2 in folder 1.
    fn rename() -> Vec<u8> {
        let piece = |kind: u8, inode: u32, name: &[u8]| {
            let length = u16::try_from(32 + name.len()).unwrap();
            let mut bytes = vec![kind, 0];
            bytes.extend(length.to_ne_bytes());
            bytes.extend([7; 8]);
            for word in [12, 1, 99, inode, 0] {
                bytes.extend(u32::to_ne_bytes(word));
            }
            [bytes, name.to_vec()].concat()
        };
        let pieces = [piece(10, 1, b"a\0\0\0"), piece(12, 1, b"b\0\0\0"), piece(1, 2, b"")].concat();
        let length = u32::try_from(24 + pieces.len()).unwrap().to_ne_bytes();
        let metadata = [&length[..], &[3, 0], &24_u16.to_ne_bytes(), &[0; 16]].concat();
        [metadata, pieces].concat()
    }

    #[test]
    fn a_rename_is_its_file_under_its_new_name() {
        let named = Named { inode: Some(2), folder: Some(1), name: b"b".to_vec() };
        assert_eq!(Named::parse(&rename()), named);
    }

    #[test]
    fn an_event_that_is_cut_off_anywhere_says_less_and_nothing_else() {
        let whole = rename();
        for length in 0..whole.len() {
            let named = Named::parse(&whole[..length]);
            assert_eq!(named.inode, None, "the file comes last");
            assert!([&b""[..], b"b"].contains(&named.name.as_slice()), "{length}");
        }
    }
}
