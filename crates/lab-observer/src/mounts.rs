//! `/proc/PID/mountinfo` of those who wait: which file system a path lies on.

use std::{fs, os::unix::ffi::OsStrExt};

use lab_process::proc::mount_lines;
use lab_waits::Mount;

/// The inode of a process's mount namespace; 0 when it may not be looked at.
pub(crate) fn namespace(pid: u32) -> u64 {
    let link = fs::read_link(format!("/proc/{pid}/ns/mnt")).unwrap_or_default();
    let text = link.to_string_lossy();
    text.strip_prefix("mnt:[").and_then(|rest| rest.strip_suffix(']')?.parse().ok()).unwrap_or(0)
}

/// What is mounted in a process's mount namespace, in the order of mounting; nothing when it is gone.
pub(crate) fn read(pid: u32) -> Vec<Mount> {
    let content = fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let mounts = mount_lines(&content).map(|line| Mount {
        id: line.id,
        device: line.device,
        point: String::from_utf8_lossy(line.point.as_os_str().as_bytes()).into_owned(),
        kind: String::from_utf8_lossy(line.kind).into_owned(),
        automounter: line.option("pgrp").filter(|_| line.kind == b"autofs"),
    });
    mounts.collect()
}
