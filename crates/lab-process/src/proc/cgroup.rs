//! `/proc/PID/cgroup`: the control groups of a process.

use std::{
    ffi::OsStr,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// The path of a process's group in the tree of a controller, in the content of `/proc/PID/cgroup` (cgroups(7)). The
/// empty name is that of version 2, which has one tree for all.
#[must_use]
pub fn control_group<'a>(content: &'a [u8], controller: &str) -> Option<&'a Path> {
    content.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.splitn(3, |&byte| byte == b':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let is_it = controllers.split(|&byte| byte == b',').any(|name| name == controller.as_bytes());
        is_it.then(|| Path::new(OsStr::from_bytes(path)))
    })
}

/// The folder of the group of version 2 that the content of `/proc/PID/cgroup` names, below where that is mounted.
#[must_use]
pub fn group_folder(content: &[u8], mount: &Path) -> Option<PathBuf> {
    let group = control_group(content, "")?;
    Some(mount.join(group.strip_prefix("/").unwrap_or(group)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_of_control_groups_are_read() {
        let old = b"9:name=systemd:/\n8:pids:/\n4:memory:/a/b\n3:cpu,cpuacct:/c\n0::/\n";
        let check = |content: &[u8], controller: &str, expected: Option<&str>| {
            assert_eq!(control_group(content, controller), expected.map(Path::new), "{controller}");
        };
        check(old, "memory", Some("/a/b"));
        check(old, "cpuacct", Some("/c"));
        check(old, "", Some("/"));
        check(b"0::/user.slice/x\n", "pids", None);
        check(b"0::/with:colon\n", "", Some("/with:colon"));
    }

    #[test]
    fn a_group_of_any_name_has_its_folder() {
        let mount = Path::new("/sys/fs/cgroup");
        let name = Path::new(OsStr::from_bytes(b"/sys/fs/cgroup/x\xff"));
        assert_eq!(group_folder(b"8:pids:/x\n0::/x\xff\n", mount).as_deref(), Some(name));
        assert_eq!(group_folder(b"0::/\n", mount).as_deref(), Some(mount));
        assert_eq!(group_folder(b"8:pids:/x\n", mount), None);
    }
}
