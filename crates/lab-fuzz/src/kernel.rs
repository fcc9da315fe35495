//! What the kernel says: `/proc`, `/sys`, and events of fanotify. Names in it are others' to choose.

use lab_doctor::{Limit, proc};
use lab_process::{ProcessStat, environment_value};

/// Files of `/proc/PID` and of the machine, as the doctor and the warden read them.
pub fn proc_files(data: &[u8]) {
    // Whatever a process calls itself, its numbers are read.
    let named = [b"42 (", data, b") S 41 7 7 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2\n"].concat();
    assert_eq!(ProcessStat::parse(&named), Some(ProcessStat { state: 'S', parent: 41, started: 987_654 }));
    crate::read_only(ProcessStat::parse(data));
    let with_marker = [b"LAB_EXTERNAL=one\0", data].concat();
    assert_eq!(environment_value(&with_marker, "LAB_EXTERNAL"), Some("one"));
    crate::read_only(environment_value(data, "LAB_EXTERNAL"));

    let text = String::from_utf8_lossy(data);
    let options = proc::parse_options(&text);
    assert!(options.keys().all(|name| name.starts_with("CONFIG_")));
    for name in ["CapEff", "Seccomp", "Cpus_allowed_list"] {
        crate::read_only(proc::status_field(&text, name));
    }
    crate::read_only(proc::count_cpus(&text));
    crate::read_only(proc::open_files_limit(&text));
    let limits = format!("Max open files            1024                 {text}");
    crate::read_only(proc::open_files_limit(&limits));
    for controller in ["", "pids", "memory", "cpu"] {
        crate::read_only(proc::cgroup_path(&text, controller));
    }
    let (quota, period) = text.split_once(' ').unwrap_or((&text, "100000"));
    let found = proc::milli_cpus(quota, period);
    assert!(found != Limit::Unlimited || matches!(quota.trim(), "max" | "unlimited" | "-1"));
    assert!(proc::parse_group(&text) != Some(true) || text.contains("mask:"));
}

/// Descriptors and mounts of other processes.
#[cfg(target_os = "linux")]
pub fn fdinfo(data: &[u8]) {
    use lab_backend_fanotify::foreign::{ForeignGroup, topmost_mount};

    let lines = data.split(|&byte| byte == b'\n').count();
    if let Some(group) = ForeignGroup::parse(7, data) {
        assert!(group.marks.len() < lines, "a line has one mark, and the first is the group's own");
        crate::read_only(group.marks.iter().filter(|mark| mark.asks()).count());
    }
    crate::read_only(topmost_mount(data, (0, 43)));
    // What is mounted in other places hides nothing.
    let mounts = [data, b"\n67 21 0:43 / /arena rw - tmpfs lab-arena rw\n"].concat();
    assert_eq!(topmost_mount(&mounts, (0, 43)), Some(67));
}

/// What one read from a group gives.
#[cfg(target_os = "linux")]
pub fn fanotify(data: &[u8]) {
    use lab_backend_fanotify::event::{EVENT_BYTES, Named, events};

    let (mut count, mut bytes) = (0, 0);
    for event in events(data) {
        let Ok((metadata, event)) = event else { break };
        assert!(event.len() >= EVENT_BYTES && event.len() <= data.len());
        (count, bytes) = (count + 1, bytes + event.len());
        crate::read_only(metadata.event());
        check(&Named::parse(event), event);
    }
    assert!(count <= data.len() / EVENT_BYTES && bytes <= data.len());
    // The same bytes as what follows the fixed part of one event.
    let mut event = u32::try_from(data.len() + EVENT_BYTES).unwrap_or(u32::MAX).to_ne_bytes().to_vec();
    event.extend([3, 0]);
    event.extend(u16::try_from(EVENT_BYTES).unwrap().to_ne_bytes());
    event.resize(EVENT_BYTES, 0);
    event.extend(data);
    check(&Named::parse(&event), &event);
}

#[cfg(target_os = "linux")]
fn check(named: &lab_backend_fanotify::event::Named, event: &[u8]) {
    assert!(named.name.len() <= event.len() && !named.name.contains(&0));
}
