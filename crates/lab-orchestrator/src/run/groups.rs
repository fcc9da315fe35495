//! Which fanotify groups a product's process holds, and whether their marks stay inside the lab.

use std::{fs, io, os::unix::ffi::OsStrExt, path::Path};

use lab_backend_fanotify::{
    confine::unread_events,
    foreign::{ForeignGroup, ForeignMark, MarkedPlace, groups},
};
use lab_process::{
    platform::device_numbers,
    proc::{self, mounted},
};
use lab_trace::MarkOn;

use super::questions::Hold;

/// Where a thread that reads a group waits for events (fs/notify/fanotify/fanotify_user.c); in older kernels it sleeps in
/// a function of its own.
const IDLE_READER: [&[u8]; 4] = [b"fanotify_read", b"wait_woken", b"0", b""];

/// One mark of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HeldMark {
    pub(super) pid: u32,
    pub(super) descriptor: i32,
    pub(super) flags: u32,
    pub(super) mask: u64,
    pub(super) on: MarkOn,
    /// The marked device; `None` for a mount.
    pub(super) device: Option<(u64, u64)>,
    /// The mark is on the arena or in it.
    pub(super) arena: bool,
    /// Whoever opens something there waits for an answer.
    pub(super) asks: bool,
    /// Processes outside the lab may have to wait for an answer. A mark on a mount of the lab's own mount
    /// namespace holds up nobody else; one on a file system does, wherever it is mounted.
    pub(super) outside: bool,
}

impl HeldMark {
    pub(super) const fn asks_in_arena(&self) -> bool {
        self.asks && self.arena
    }

    pub(super) fn device_name(&self) -> String {
        self.device.map_or_else(|| "a mount".to_owned(), |(major, minor)| format!("device {major}:{minor}"))
    }
}

/// What is the lab's own to mark.
#[derive(Clone, Debug, Default)]
pub(super) struct OwnMounts {
    arena_mount: u64,
    arena_device: (u64, u64),
    private_devices: Vec<(u64, u64)>,
}

impl OwnMounts {
    /// The arena and the private folders, all of them mounted.
    pub(super) fn of(arena: &Path, private: &[&Path]) -> io::Result<OwnMounts> {
        let arena = mounted(arena)?;
        let private = private.iter().map(|path| Ok(mounted(path)?.device)).collect::<io::Result<_>>()?;
        Ok(OwnMounts { arena_mount: arena.mount, arena_device: arena.device, private_devices: private })
    }

    /// The same, with the devices of folders in mount namespaces of products.
    pub(super) fn and_devices(mut self, devices: Vec<u64>) -> OwnMounts {
        self.private_devices.extend(devices.into_iter().map(device_numbers));
        self
    }

    fn hold(&self, pid: u32, group: &ForeignGroup, mark: &ForeignMark) -> HeldMark {
        let (on, device, arena) = match mark.place {
            MarkedPlace::Inode(device) => (MarkOn::Inode, Some(device), device == self.arena_device),
            MarkedPlace::Mount(mount) => (MarkOn::Mount, None, mount == self.arena_mount),
            MarkedPlace::FileSystem(device) => {
                (MarkOn::FileSystem, Some(device), device == self.arena_device)
            }
        };
        let own = arena || device.is_none_or(|device| self.private_devices.contains(&device));
        let (asks, mask) = (mark.asks(), mark.mask);
        let ForeignGroup { descriptor, flags, .. } = *group;
        HeldMark { pid, descriptor, flags, mask, on, device, arena, asks, outside: asks && !own }
    }
}

/// The marks of a process's groups.
pub(super) fn of(pid: u32, own_mounts: &OwnMounts) -> Vec<HeldMark> {
    let groups = groups(pid).unwrap_or_default();
    let held = |group: &ForeignGroup| -> Vec<HeldMark> {
        group.marks.iter().map(|mark| own_mounts.hold(pid, group, mark)).collect()
    };
    groups.iter().flat_map(held).collect()
}

/// The events that a group has not read.
pub(super) fn unread(pid: u32, descriptor: i32) -> Option<u64> {
    unread_events(pid, descriptor).ok()
}

/// The signs that a process has read events of its groups and not answered them: files of the arena that it has open, and
/// threads inside the read. Opens nothing but `/proc`, and asks no file system anything.
pub(super) fn holds(pid: u32, descriptors: &[i32], arena: &Path) -> Vec<Hold> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| {
        let descriptor = entry.file_name().to_str()?.parse().ok()?;
        let path = fs::read_link(entry.path()).ok()?;
        let inside = path != arena && path.starts_with(arena);
        inside.then_some(Hold::File { pid, descriptor, path })
    });
    let mut holds: Vec<Hold> = files.collect();
    let stuck = proc::threads(pid).into_iter().filter(|&tid| hands_over(tid, descriptors));
    holds.extend(stuck.map(|tid| Hold::HandOver { pid, tid }));
    holds
}

/// Whether a thread is inside the read of a group and waits for something else than its events: the kernel opens an
/// event's file on its behalf.
fn hands_over(tid: u32, descriptors: &[i32]) -> bool {
    let Some(read) = proc::read_descriptor(tid) else { return false };
    let reads = descriptors.iter().any(|&descriptor| u64::from(descriptor.unsigned_abs()) == read);
    reads
        && proc::wait_channel(tid)
            .is_some_and(|channel| !IDLE_READER.contains(&channel.as_bytes().trim_ascii_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A mark on a file system of the host freezes the host; a mark on a mount of the lab's namespace does not.
    #[test]
    fn a_mark_reaches_out_when_it_asks_about_a_file_system_of_others() {
        let own_mounts = OwnMounts { arena_mount: 67, arena_device: (0, 43), private_devices: vec![(0, 44)] };
        let group = ForeignGroup { descriptor: 7, flags: 7, marks: Vec::new() };
        let check = |place, mask, arena, outside| {
            let held = own_mounts.hold(5, &group, &ForeignMark { place, mask });
            assert_eq!((held.arena, held.outside), (arena, outside), "{held:?}");
        };
        let (asks, tells) = (0x50000, 0x20);
        check(MarkedPlace::Mount(67), asks, true, false);
        check(MarkedPlace::Mount(21), asks, false, false);
        check(MarkedPlace::FileSystem((0, 43)), asks, true, false);
        check(MarkedPlace::FileSystem((0, 44)), asks, false, false);
        check(MarkedPlace::FileSystem((8, 1)), asks, false, true);
        check(MarkedPlace::Inode((8, 1)), asks, false, true);
        check(MarkedPlace::FileSystem((8, 1)), tells, false, false);
    }
}
