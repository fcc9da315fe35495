//! What the kernel says: `/proc`, `/sys`, and events of fanotify. Names in it are others' to choose. What
//! fanotify's own layout is needed for is for Linux only.

use std::path::Path;

use lab_doctor::{Limit, machine_files};
use lab_process::proc::{self, ProcessStat, environment_value};

/// Files of `/proc/PID` and of the machine, as the doctor and the warden read them.
pub fn proc_files(data: &[u8]) {
    // Whatever a process calls itself, its numbers are read.
    let named = [b"42 (", data, b") S 41 7 7 0 -1 0 1 0 0 0 0 0 0 0 20 0 1 0 987654 1 2\n"].concat();
    let expected = ProcessStat { state: 'S', parent: 41, busy_ticks: 0, started: 987_654 };
    assert_eq!(ProcessStat::parse(&named), Some(expected));
    crate::read_only(ProcessStat::parse(data));
    let with_marker = [b"LAB_EXTERNAL=one\0", data].concat();
    assert_eq!(environment_value(&with_marker, "LAB_EXTERNAL"), Some("one"));
    crate::read_only(environment_value(data, "LAB_EXTERNAL"));
    crate::read_only(proc::Schedule::parse(data));
    crate::read_only(proc::stalled_ns(data, "full"));
    crate::read_only(proc::ProcessorTimes::parse(&[b"cpu ", data].concat()));

    for name in ["CapEff", "Seccomp", "Cpus_allowed_list"] {
        crate::read_only(proc::status_field(data, name));
    }
    crate::read_only(proc::SystemCall::parse(data));
    crate::read_only(proc::mount_lines(data).count());
    who_waits(data);
    crate::read_only(proc::open_files_limit(data));
    let limits = [b"Max open files            1024                 ", data].concat();
    crate::read_only(proc::open_files_limit(&limits));
    for controller in ["", "pids", "memory", "cpu"] {
        crate::read_only(proc::control_group(data, controller));
    }
    let mount = Path::new("/sys/fs/cgroup");
    assert!(proc::group_folder(data, mount).is_none_or(|group| group.starts_with(mount)));

    let text = String::from_utf8_lossy(data);
    let options = machine_files::parse_options(&text);
    assert!(options.keys().all(|name| name.starts_with("CONFIG_")));
    crate::read_only(machine_files::count_cpus(&text));
    let (quota, period) = text.split_once(' ').unwrap_or((&text, "100000"));
    let found = machine_files::milli_cpus(quota, period);
    assert!(found != Limit::Unlimited || matches!(quota.trim(), "max" | "unlimited" | "-1"));
}

/// What `lab why --save` has written of a machine, and what a run has recorded: whoever is in it, a graph is made of it.
fn who_waits(data: &[u8]) {
    use lab_waits::{Snapshot, WaitRecord, WaitReport};

    if let Ok(snapshot) = Snapshot::parse(data) {
        let seen = WaitReport::of(&snapshot, 1, &[]);
        assert!(seen.circles.iter().all(|circle| !circle.links.is_empty()));
        let mut later = snapshot.clone();
        later.follow(&snapshot, u64::MAX);
    }
    let record = WaitRecord::parse(data);
    assert!(record.circles().len() <= record.seen.iter().map(|seen| seen.waits.circles.len()).sum());
    crate::read_only(record.waits());
}

/// Descriptors and mounts of other processes.
#[cfg(target_os = "linux")]
pub fn fdinfo(data: &[u8]) {
    use lab_backend_fanotify::foreign::ForeignGroup;

    let lines = data.split(|&byte| byte == b'\n').count();
    if let Some(group) = ForeignGroup::parse(7, data) {
        assert!(group.marks.len() < lines, "a line has one mark, and the first is the group's own");
        crate::read_only(group.marks.iter().filter(|mark| mark.asks()).count());
    }
    crate::read_only(proc::topmost_mount(data, (0, 43)));
    // What is mounted in other places hides nothing.
    let mounts = [data, b"\n67 21 0:43 / /arena rw - tmpfs lab-arena rw\n"].concat();
    assert_eq!(proc::topmost_mount(&mounts, (0, 43)), Some(67));
    crate::read_only(proc::cgroup2_mount(data));
    let groups = [b"34 27 0:31 / /groups rw - cgroup2 none rw\n", data].concat();
    assert_eq!(proc::cgroup2_mount(&groups).as_deref(), Some(Path::new("/groups")));
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
