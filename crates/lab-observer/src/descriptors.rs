//! What of a process's descriptors connects it with others. Links are read, never followed.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path};

use lab_backend_fanotify::{
    confine::unread_events,
    foreign::{self, ForeignGroup},
};
use lab_waits::{Descriptor, Group, Mark, MarkedPlace, Peer};

/// The descriptors of one process.
#[derive(Debug, Default)]
pub(crate) struct Descriptors {
    pub(crate) all: BTreeMap<i32, Descriptor>,
    /// It has sockets.
    pub(crate) sockets: bool,
}

impl Descriptors {
    /// Reads them; `None` when the process may not be looked at.
    pub(crate) fn read(pid: u32) -> Option<Descriptors> {
        let folder = format!("/proc/{pid}/fd");
        let mut descriptors = Descriptors::default();
        for entry in fs::read_dir(&folder).ok()? {
            let Ok(entry) = entry else { continue };
            let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
            // A descriptor that is closed in between is none.
            let (Some(number), Ok(link)) = (number, fs::read_link(entry.path())) else { continue };
            if let Some(descriptor) = descriptor(pid, number, &entry.path(), &link) {
                descriptors.sockets |= matches!(descriptor, Descriptor::Socket { .. });
                descriptors.all.insert(number, descriptor);
            }
        }
        Some(descriptors)
    }
}

fn descriptor(pid: u32, number: i32, entry: &Path, link: &Path) -> Option<Descriptor> {
    let text = link.to_str()?;
    let inode = |of: &str| text.strip_prefix(of)?.strip_suffix(']')?.parse::<u64>().ok();
    if let Some(inode) = inode("pipe:[") {
        // The modes of the link are those that the file was opened with.
        let mode = fs::symlink_metadata(entry).ok()?.permissions().mode();
        return Some(Descriptor::Pipe { inode, reads: mode & 0o400 != 0, writes: mode & 0o200 != 0 });
    }
    if let Some(inode) = inode("socket:[") {
        return Some(Descriptor::Socket { inode, peer: Peer::Nobody });
    }
    let details = || fs::read(format!("/proc/{pid}/fdinfo/{number}")).unwrap_or_default();
    match text {
        "anon_inode:[fanotify]" => {
            let group = ForeignGroup::parse(number, &details())?;
            Some(Descriptor::Group(group_of(pid, group)))
        }
        "anon_inode:[eventpoll]" => Some(Descriptor::Epoll(watched(&details()))),
        "/dev/fuse" => Some(Descriptor::Fuse { connection: connection(&details()) }),
        _ if text.starts_with('/') && !text.starts_with("/dev/") => Some(Descriptor::File(text.to_owned())),
        _ => None,
    }
}

fn group_of(pid: u32, group: ForeignGroup) -> Group {
    let mark = |mark: foreign::ForeignMark| Mark {
        place: match mark.place {
            foreign::MarkedPlace::Inode(device) => MarkedPlace::Inode(device),
            foreign::MarkedPlace::Mount(id) => MarkedPlace::Mount(id),
            foreign::MarkedPlace::FileSystem(device) => MarkedPlace::FileSystem(device),
        },
        mask: mark.mask,
        asks: mark.asks(),
    };
    Group {
        flags: group.flags,
        unread: unread_events(pid, group.descriptor).ok(),
        marks: group.marks.into_iter().map(mark).collect(),
    }
}

/// What an epoll instance polls: `tfd:` of each line of its `fdinfo` (fs/eventpoll.c).
fn watched(details: &[u8]) -> Vec<i32> {
    let text = String::from_utf8_lossy(details);
    let lines = text.lines().filter_map(|line| line.strip_prefix("tfd:"));
    lines.filter_map(|line| line.split_ascii_whitespace().next()?.parse().ok()).collect()
}

/// The connection of a FUSE daemon's side, which Linux 6.18 shows (fs/fuse/dev.c).
fn connection(details: &[u8]) -> Option<u64> {
    let text = String::from_utf8_lossy(details);
    text.lines().find_map(|line| line.strip_prefix("fuse_connection:"))?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_read_as_the_kernel_writes_them() {
        let fuse = b"pos:\t0\nflags:\t0100002\nmnt_id:\t58\nino:\t90\nfuse_connection:\t40\n";
        assert_eq!(connection(fuse), Some(40));
        assert_eq!(connection(b"pos:\t0\n"), None);
        let epoll = b"pos:\t0\ntfd:        5 events:       19 data: 5  pos:0 ino:61 sdev:4\ntfd:       11 events: 1d\n";
        assert_eq!(watched(epoll), [5, 11]);
    }
}
