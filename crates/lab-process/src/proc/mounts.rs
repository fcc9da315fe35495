//! `/proc/PID/mountinfo`: what is mounted where. Paths in it are of any bytes but blanks, tabs, line feeds and
//! backslashes, which the kernel writes as octal numbers.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

/// The ID of the last mount of a device, as `(major, minor)`, in the content of `mountinfo` (proc_pid_mountinfo(5)).
#[must_use]
pub fn topmost_mount(content: &[u8], device: (u64, u64)) -> Option<u64> {
    let wanted = format!("{}:{}", device.0, device.1);
    content.split(|&byte| byte == b'\n').rev().find_map(|line| {
        let mut words = line.split(|&byte| byte == b' ');
        let (mount, _, found) = (words.next()?, words.next()?, words.next()?);
        if found == wanted.as_bytes() { std::str::from_utf8(mount).ok()?.parse().ok() } else { None }
    })
}

/// Where control groups version 2 are mounted first, by the content of `mountinfo`; `None` when they are not.
#[must_use]
pub fn cgroup2_mount(content: &[u8]) -> Option<PathBuf> {
    content.split(|&byte| byte == b'\n').find_map(|line| {
        let mut words = line.split(|&byte| byte == b' ');
        let point = words.nth(4)?;
        // Behind the options come optional fields, and a dash ends them.
        let kind = words.skip_while(|word| *word != b"-").nth(1)?;
        (kind == b"cgroup2").then(|| PathBuf::from(OsString::from_vec(unescaped(point))))
    })
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
