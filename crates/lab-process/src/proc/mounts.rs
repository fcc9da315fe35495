//! `/proc/PID/mountinfo`: what is mounted where. Paths in it are of any bytes but blanks, tabs, line feeds and
//! backslashes, which the kernel writes as octal numbers.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

/// The ID of the last mount of a device, as `(major, minor)`, in the content of `mountinfo` (proc_pid_mountinfo(5)).
#[must_use]
pub fn topmost_mount(content: &[u8], device: (u64, u64)) -> Option<u64> {
    mount_lines(content).filter(|line| line.device == device).last().map(|line| line.id)
}

/// Where control groups version 2 are mounted first, by the content of `mountinfo`; `None` when they are not.
#[must_use]
pub fn cgroup2_mount(content: &[u8]) -> Option<PathBuf> {
    mount_lines(content).find(|line| line.kind == b"cgroup2").map(|line| line.point)
}

/// A line of `mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountLine<'a> {
    /// The mount's ID.
    pub id: u64,
    /// The file system's device, as `(major, minor)`.
    pub device: (u64, u64),
    /// Where it is mounted.
    pub point: PathBuf,
    /// The kind of file system, such as `fuse.sshfs`.
    pub kind: &'a [u8],
    /// The file system's own options, by commas.
    options: &'a [u8],
}

impl<'a> MountLine<'a> {
    fn parse(line: &'a [u8]) -> Option<MountLine<'a>> {
        let mut words = line.split(|&byte| byte == b' ');
        let number = |word: &[u8]| std::str::from_utf8(word).ok()?.parse().ok();
        let id = number(words.next()?)?;
        let device = std::str::from_utf8(words.nth(1)?).ok()?;
        let (major, minor) = device.split_once(':')?;
        let device = (major.parse().ok()?, minor.parse().ok()?);
        let point = PathBuf::from(OsString::from_vec(unescaped(words.nth(1)?)));
        // Behind the options come optional fields, and a dash ends them.
        let mut rest = words.skip_while(|word| *word != b"-").skip(1);
        let kind = rest.next()?;
        let options = rest.nth(1).unwrap_or_default();
        Some(MountLine { id, device, point, kind, options })
    }

    /// The number that one of the file system's own options has.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<u32> {
        let mut options = self.options.split(|&byte| byte == b',');
        let value = options.find_map(|one| one.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
        std::str::from_utf8(value).ok()?.parse().ok()
    }
}

/// The mounts in the content of `mountinfo`, in its order; a line that is none is left out.
pub fn mount_lines(content: &[u8]) -> impl Iterator<Item = MountLine<'_>> {
    content.split(|&byte| byte == b'\n').filter_map(MountLine::parse)
}

/// A path without the kernel's octal numbers (`\040` for a blank).
fn unescaped(path: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, behind)) = rest.split_first() {
        let number = behind.get(..3).filter(|_| byte == b'\\').and_then(octal);
        plain.push(number.unwrap_or(byte));
        rest = if number.is_some() { &behind[3..] } else { behind };
    }
    plain
}

fn octal(digits: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Somebody on the machine may have mounted something under a name that is no text.
    #[test]
    fn a_mount_of_any_name_hides_no_other() {
        let mounts = b"21 1 0:20 / / rw - tmpfs a rw\n67 21 0:43 / /arena rw - tmpfs b rw\n68 21 8:1 / /\xff\xfe rw - x y rw\n\
            34 27 0:31 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(topmost_mount(mounts, (0, 43)), Some(67));
        assert_eq!(topmost_mount(mounts, (8, 1)), Some(68));
        assert_eq!(topmost_mount(mounts, (8, 2)), None);
        assert_eq!(cgroup2_mount(mounts).as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
    }

    #[test]
    fn a_line_says_what_is_mounted_where() {
        let content =
            b"64 43 0:40 / /tmp/my\\040files rw,nosuid shared:1 - fuse.x /src rw,user_id=0\nnonsense\n\
            70 21 0:51 / /auto rw - autofs systemd-1 rw,fd=33,pgrp=812,timeout=0\n";
        let lines: Vec<MountLine<'_>> = mount_lines(content).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!((lines[0].id, lines[0].device, lines[0].kind), (64, (0, 40), &b"fuse.x"[..]));
        assert_eq!(lines[0].point, Path::new("/tmp/my files"));
        assert_eq!((lines[0].option("pgrp"), lines[1].option("pgrp")), (None, Some(812)));
    }

    #[test]
    fn the_second_version_is_found_beside_the_first() {
        let check = |line: &str, expected: Option<&str>| {
            assert_eq!(cgroup2_mount(line.as_bytes()).as_deref(), expected.map(Path::new), "{line}");
        };
        check("33 27 0:30 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids", None);
        check(
            "34 27 0:31 / /sys/fs/cgroup rw shared:9 master:2 - cgroup2 cgroup2 rw",
            Some("/sys/fs/cgroup"),
        );
        check("34 27 0:31 / /my\\040groups\\134x rw - cgroup2 none rw", Some("/my groups\\x"));
        check("34 27 0:31 / /a\\0 rw - cgroup2 none rw", Some("/a\\0"));
        // A source may be called like the kind of another.
        check("35 27 0:32 / /mnt rw - tmpfs cgroup2 rw", None);
        check("", None);
    }
}
