//! What a Linux machine says of itself, read from `/proc`, `/sys`, `/boot` and the kernel's answers.

use std::collections::BTreeMap;
#[cfg(target_os = "linux")]
use std::{fs, path::Path};

#[cfg(target_os = "linux")]
use lab_backend_fanotify::foreign::{ForeignGroup, MarkedPlace};
#[cfg(target_os = "linux")]
use lab_process::proc::{self, OpenFilesLimit, control_group, status_field};

#[cfg(target_os = "linux")]
use crate::machine_files::{count_cpus, milli_cpus, parse_options};

/// What a Linux machine says about itself. `None` and `Unknown` mean that it did not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinuxFacts {
    /// The kernel's release, such as `6.12.9-amd64`.
    pub release: Option<String>,
    /// The options the kernel was built with, as `CONFIG_NAME` and value; options that are off are absent.
    pub options: Option<BTreeMap<String, String>>,
    /// Whether a group for permission events can be had.
    pub permission_events: PermissionEvents,
    /// The set of effective capabilities, one bit each.
    pub capabilities: Option<u64>,
    /// Whether a system-call filter is on: 0 none, 1 strict, 2 filter.
    pub seccomp: Option<u32>,
    /// `fs.fanotify.max_user_groups`.
    pub groups_max: Option<u64>,
    /// The hard limit on open files.
    pub open_files_max: Limit,
    /// The limit on processes and threads of the control group.
    pub tasks_max: Limit,
    /// The limit on memory of the control group, in bytes.
    pub memory_max: Limit,
    /// The limit on processor time of the control group, in thousandths of a processor.
    pub milli_cpus_max: Limit,
    /// The processors this process may run on.
    pub cpus: Option<u32>,
    /// The processors that are on.
    pub cpus_online: Option<u32>,
    /// What sets the clock of the first processor, such as `performance`; `None` where nothing does, as in most
    /// virtual machines.
    pub governor: Option<String>,
    /// Fanotify groups of other processes.
    pub groups: Option<Vec<Group>>,
    /// The threads that wait for the answer of some group now, each by its name and number.
    pub waiting: Vec<String>,
}

/// What came of asking the kernel for a group for permission events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PermissionEvents {
    /// Nobody asked.
    #[default]
    NotTried,
    /// It gave one.
    Granted,
    /// It refused; the reason in words.
    Refused(String),
}

/// A limit that may be absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// Not found out.
    #[default]
    Unknown,
    /// There is none.
    Unlimited,
    /// At most this many.
    At(u64),
}

/// A fanotify group of another process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The process that has it.
    pub pid: u32,
    /// The process's name.
    pub name: String,
    /// True when it asks for permission events: it is a client, and every open waits for it as well.
    pub asks_permission: bool,
    /// Its class, what it is asked about, and where, in words.
    pub marks: String,
}

#[cfg(target_os = "linux")]
fn hard_limit(limit: OpenFilesLimit) -> Limit {
    limit.hard.map_or(Limit::Unlimited, Limit::At)
}

impl Limit {
    /// Reads a limit as the kernel writes it: a number, or `max` or `unlimited` for none.
    #[must_use]
    pub fn parse(text: &str) -> Limit {
        match text.trim() {
            "max" | "unlimited" | "-1" => Limit::Unlimited,
            number => number.parse().map_or(Limit::Unknown, Limit::At),
        }
    }

    /// True when the limit is known to be below `needed`.
    #[must_use]
    pub const fn is_below(self, needed: u64) -> bool {
        matches!(self, Limit::At(limit) if limit < needed)
    }
}

/// What a file of the machine says. A process calls itself what it likes, and a mount or a group of others may be
/// called so too: what is no text in it stands there as replaced, and hides nothing else.
#[cfg(target_os = "linux")]
fn text(path: impl AsRef<Path>) -> Option<String> {
    fs::read(path).ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(target_os = "linux")]
impl LinuxFacts {
    /// Asks this machine. What it does not say stays unknown.
    #[must_use]
    pub fn gather() -> LinuxFacts {
        let status = proc::status(std::process::id()).unwrap_or_default();
        let release = text("/proc/sys/kernel/osrelease").map(|release| release.trim().to_owned());
        let (tasks_max, memory_max, milli_cpus_max) = cgroup_limits();
        LinuxFacts {
            options: release.as_deref().and_then(options),
            release,
            permission_events: match lab_backend_fanotify::probe::capacity() {
                Ok(_) => PermissionEvents::Granted,
                Err(error) => PermissionEvents::Refused(error.to_string()),
            },
            capabilities: status_field(&status, "CapEff").and_then(|hex| u64::from_str_radix(hex, 16).ok()),
            seccomp: status_field(&status, "Seccomp").and_then(|mode| mode.parse().ok()),
            groups_max: lab_backend_fanotify::probe::groups_max_of_user().map(u64::from),
            open_files_max: proc::open_files(std::process::id()).map_or(Limit::Unknown, hard_limit),
            tasks_max,
            memory_max,
            milli_cpus_max,
            cpus: status_field(&status, "Cpus_allowed_list").and_then(count_cpus),
            cpus_online: text("/sys/devices/system/cpu/online").as_deref().and_then(count_cpus),
            governor: text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
                .map(|governor| governor.trim().to_owned()),
            groups: groups(),
            waiting: waiting(),
        }
    }
}

/// The kernel's options: from the kernel itself, else from where distributions put them.
#[cfg(target_os = "linux")]
fn options(release: &str) -> Option<BTreeMap<String, String>> {
    let places = [format!("/boot/config-{release}"), format!("/lib/modules/{release}/config")];
    let written = || places.iter().find_map(text);
    let own = Path::new("/proc/config.gz").exists();
    let unpacked = || duct::cmd!("gzip", "-dc", "/proc/config.gz").stderr_null().read().ok();
    let text = own.then(unpacked).flatten().or_else(written)?;
    Some(parse_options(&text))
}

/// The limits of this process's control group: tasks, memory, thousandths of a processor. Only its own
/// group is looked at; those above it may be tighter.
#[cfg(target_os = "linux")]
fn cgroup_limits() -> (Limit, Limit, Limit) {
    let groups = proc::control_groups_of(std::process::id()).unwrap_or_default();
    let tree = Path::new("/sys/fs/cgroup");
    let read = |controller: &str, file: &str| {
        let below = |mount: &Path, controller: &str| {
            let group = control_group(&groups, controller)?;
            text(mount.join(group.strip_prefix("/").unwrap_or(group)).join(file))
        };
        below(tree, "").or_else(|| below(&tree.join(controller), controller))
    };
    let limit = |text: Option<String>| text.map_or(Limit::Unknown, |text| Limit::parse(&text));
    let tasks = limit(read("pids", "pids.max"));
    // The older interface writes "no limit" as the largest number of whole pages.
    let memory = match limit(read("memory", "memory.max").or_else(|| read("memory", "memory.limit_in_bytes")))
    {
        Limit::At(bytes) if bytes > 1 << 62 => Limit::Unlimited,
        other => other,
    };
    let cpus = match read("cpu", "cpu.max") {
        Some(text) => {
            text.trim().split_once(' ').map_or(Limit::Unknown, |(quota, period)| milli_cpus(quota, period))
        }
        None => match (read("cpu", "cpu.cfs_quota_us"), read("cpu", "cpu.cfs_period_us")) {
            (Some(quota), Some(period)) => milli_cpus(&quota, &period),
            _ => Limit::Unknown,
        },
    };
    (tasks, memory, cpus)
}

/// The fanotify groups of all other processes that let themselves be looked at.
#[cfg(target_os = "linux")]
fn groups() -> Option<Vec<Group>> {
    let own = std::process::id();
    let mut found = Vec::new();
    for pid in proc::processes().ok()?.into_iter().filter(|pid| *pid != own) {
        for held in lab_backend_fanotify::foreign::groups(pid).unwrap_or_default() {
            let name = proc::name(pid).map_or_else(String::new, |name| name.to_string_lossy().into_owned());
            let asks_permission = held.marks.iter().any(|mark| mark.asks());
            found.push(Group { pid, name, asks_permission, marks: marks_words(pid, &held) });
        }
    }
    found.sort();
    Some(found)
}

/// A group's class, what it is asked about, and where.
#[cfg(target_os = "linux")]
fn marks_words(pid: u32, group: &ForeignGroup) -> String {
    // FAN_CLASS_CONTENT and FAN_CLASS_PRE_CONTENT (linux/fanotify.h).
    let class = match group.flags & 0xc {
        0x4 => "content",
        0x8 => "pre-content",
        _ => "notification",
    };
    let mounts = std::fs::read(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let point = |id| {
        let mut lines = proc::mount_lines(&mounts);
        lines
            .find(|line| line.id == id)
            .map_or_else(|| format!("mount {id}"), |line| line.point.display().to_string())
    };
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut asked = 0;
    for mark in group.marks.iter().filter(|mark| mark.asks()) {
        asked |= mark.mask;
        let device = |(major, minor): (u64, u64)| format!("{major}:{minor}");
        let place = match mark.place {
            MarkedPlace::Mount(id) => format!("mount {}", point(id)),
            MarkedPlace::FileSystem(of) => format!("file system {}", device(of)),
            MarkedPlace::Inode(of) => format!("files of {}", device(of)),
        };
        *places.entry(place).or_default() += 1;
    }
    // FAN_OPEN_PERM, FAN_ACCESS_PERM, FAN_OPEN_EXEC_PERM and FAN_PRE_ACCESS.
    let kinds = [(0x1_0000, "open"), (0x2_0000, "read"), (0x4_0000, "exec"), (0x10_0000, "access")];
    let kinds: Vec<&str> = kinds.iter().filter(|(bit, _)| asked & bit != 0).map(|(_, word)| *word).collect();
    let place =
        |(place, marks): (String, usize)| if marks == 1 { place } else { format!("{place} × {marks}") };
    let places: Vec<String> = places.into_iter().map(place).collect();
    format!("class {class}, asked about {} on {}", kinds.join(", "), places.join(", "))
}

/// The threads of all processes that wait for the answer of a group now.
#[cfg(target_os = "linux")]
fn waiting() -> Vec<String> {
    let threads = proc::processes().unwrap_or_default().into_iter().flat_map(proc::threads);
    let waits = |tid: &u32| proc::wait_channel(*tid).is_some_and(|at| at == "fanotify_handle_event");
    let named = |tid| format!("{} ({tid})", proc::name(tid).unwrap_or_default().to_string_lossy());
    threads.filter(waits).map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine_files::milli_cpus;

    #[test]
    fn limits_are_read_as_the_kernel_writes_them() {
        assert_eq!(Limit::parse("max\n"), Limit::Unlimited);
        assert_eq!(Limit::parse("unlimited"), Limit::Unlimited);
        assert_eq!(Limit::parse("4096\n"), Limit::At(4096));
        assert_eq!(Limit::parse("many"), Limit::Unknown);
        assert!(Limit::At(3).is_below(4) && !Limit::At(4).is_below(4) && !Limit::Unlimited.is_below(4));
        assert_eq!(milli_cpus("150000", "100000\n"), Limit::At(1_500));
        assert_eq!(milli_cpus("max", "100000"), Limit::Unlimited);
        assert_eq!(milli_cpus("-1\n", "100000\n"), Limit::Unlimited);
        assert_eq!(milli_cpus("150000", "0"), Limit::Unknown);
    }
}
