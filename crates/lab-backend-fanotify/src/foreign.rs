//! Another program's fanotify groups, as `/proc` shows them. Nothing is opened but `/proc`.

use std::{fs, io, path::Path};

/// The events of a mask that wait for an answer (linux/fanotify.h): `FAN_OPEN_PERM`, `FAN_ACCESS_PERM`,
/// `FAN_OPEN_EXEC_PERM`, and `FAN_PRE_ACCESS` of Linux 6.14.
const PERMISSION: u64 = 0x1_0000 | 0x2_0000 | 0x4_0000 | 0x10_0000;

/// One group of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignGroup {
    /// Its descriptor in that process.
    pub descriptor: i32,
    /// The flags it was made with (`fanotify_init`).
    pub flags: u32,
    /// Its marks.
    pub marks: Vec<ForeignMark>,
}

/// One mark of such a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ForeignMark {
    /// What is marked.
    pub place: MarkedPlace,
    /// The events that are asked about or notification, `FAN_*`.
    pub mask: u64,
}

impl ForeignMark {
    /// True when whoever opens something there has to wait for the group.
    #[must_use]
    pub const fn asks(&self) -> bool {
        self.mask & PERMISSION != 0
    }
}

/// What a mark is on. Devices are `(major, minor)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MarkedPlace {
    /// A file or folder of this device.
    Inode((u64, u64)),
    /// The mount of this ID.
    Mount(u64),
    /// The file system of this device.
    FileSystem((u64, u64)),
}

/// The groups that a process holds now.
///
/// # Errors
/// Those of reading `/proc/PID/fd`: a process that is gone, or that may not be looked at.
pub fn groups(pid: u32) -> io::Result<Vec<ForeignGroup>> {
    let mut groups = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let Ok(entry) = entry else { continue };
        let is_group =
            fs::read_link(entry.path()).is_ok_and(|link| link == Path::new("anon_inode:[fanotify]"));
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(descriptor) = number.filter(|_| is_group) else { continue };
        // A descriptor that is closed in between is none.
        let content = fs::read(format!("/proc/{pid}/fdinfo/{descriptor}")).unwrap_or_default();
        groups.extend(ForeignGroup::parse(descriptor, &content));
    }
    Ok(groups)
}

impl ForeignGroup {
    /// Reads the content of an `fdinfo` file; `None` when it is not a group's. Numbers are hexadecimal
    /// (fs/notify/fdinfo.c).
    #[must_use]
    pub fn parse(descriptor: i32, content: &[u8]) -> Option<ForeignGroup> {
        let text = String::from_utf8_lossy(content);
        let mut group: Option<ForeignGroup> = None;
        for line in text.lines().filter_map(|line| line.strip_prefix("fanotify ")) {
            let field = |name: &str| {
                let mut words = line.split(' ').filter_map(|word| word.split_once(':'));
                let (_, value) = words.find(|(key, _)| *key == name)?;
                u64::from_str_radix(value.trim_start_matches("0x"), 16).ok()
            };
            if let Some(flags) = field("flags") {
                let flags = u32::try_from(flags).unwrap_or(0);
                group = Some(ForeignGroup { descriptor, flags, marks: Vec::new() });
                continue;
            }
            let place = match (field("ino"), field("mnt_id"), field("sdev")) {
                (Some(_), _, Some(device)) => MarkedPlace::Inode(kernel_device(device)),
                (None, Some(mount), _) => MarkedPlace::Mount(mount),
                (None, None, Some(device)) => MarkedPlace::FileSystem(kernel_device(device)),
                _ => continue,
            };
            if let (Some(group), Some(mask)) = (&mut group, field("mask")) {
                group.marks.push(ForeignMark { place, mask });
            }
        }
        group
    }
}

/// A device as the kernel numbers it inside (`MINORBITS` is 20).
const fn kernel_device(device: u64) -> (u64, u64) {
    (device >> 20, device & 0xf_ffff)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Linux 6.18 showed of fapolicyd, of a group with a mark on a file system, and of one on a file.
    #[test]
    fn marks_are_read_as_the_kernel_writes_them() {
        let header = "pos:\t0\nflags:\t02004002\nmnt_id:\t15\nino:\t1059\n";
        let check = |lines: &str, flags: u32, marks: &[ForeignMark]| {
            let text = format!("{header}{lines}");
            assert_eq!(
                ForeignGroup::parse(7, text.as_bytes()),
                Some(ForeignGroup { descriptor: 7, flags, marks: marks.to_vec() })
            );
        };
        let mark = |place, mask| ForeignMark { place, mask };
        check(
            "fanotify flags:7 event-flags:c8000\nfanotify mnt_id:43 mflags:0 mask:50000 ignored_mask:0\n",
            7,
            &[mark(MarkedPlace::Mount(0x43), 0x50000)],
        );
        check(
            "fanotify flags:34 event-flags:80000\nfanotify sdev:80000a mflags:0 mask:10000 ignored_mask:0\n",
            0x34,
            &[mark(MarkedPlace::FileSystem((8, 10)), 0x10000)],
        );
        check(
            "fanotify flags:4 event-flags:80000\nfanotify ino:2 sdev:2b mflags:40 mask:20 ignored_mask:10000 \
             fhandle-bytes:c fhandle-type:1 f_handle:0200\n",
            4,
            &[mark(MarkedPlace::Inode((0, 0x2b)), 0x20)],
        );
        check("fanotify flags:7 event-flags:c8000\n", 7, &[]);
        assert_eq!(ForeignGroup::parse(7, header.as_bytes()), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_masks_are_those_of_the_c_library() {
        let known = libc::FAN_OPEN_PERM | libc::FAN_ACCESS_PERM | libc::FAN_OPEN_EXEC_PERM;
        assert_eq!(PERMISSION, known | 0x10_0000);
    }

    #[test]
    fn only_permission_events_ask() {
        for (mask, asks) in [(0x10000, true), (0x40000, true), (0x20, false), (0x10_0000, true), (0, false)] {
            assert_eq!(ForeignMark { place: MarkedPlace::Mount(1), mask }.asks(), asks, "{mask:x}");
        }
    }
}
