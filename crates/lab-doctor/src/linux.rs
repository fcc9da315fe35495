//! What a Linux machine must have before a lab can run on it: the checks, over facts gathered elsewhere.

use lab_model::units;

use crate::{Finding, Limit, LinuxFacts, PermissionEvents, Wanted, Weight};

const OPTIONS: [&str; 2] = ["CONFIG_FANOTIFY", "CONFIG_FANOTIFY_ACCESS_PERMISSIONS"];
const CAP_SYS_ADMIN: u64 = 1 << 21;
/// Every event that waits is an open file of its client; this many may wait in a lab that is stuck.
const OPEN_FILES_NEEDED: u64 = 4_096;
/// Threads of a client: reader, housekeeper, control and workers.
const TASKS_PER_CLIENT: u64 = 32;
/// A client's resident memory with its first piece of trace.
const MEMORY_PER_CLIENT: u64 = 32 << 20;
/// What the lab needs besides its clients: orchestrator, driver and arena.
const MEMORY_BESIDES: u64 = 512 << 20;
const TASKS_BESIDES: u64 = 320;

/// Checks whether a Linux machine can run a lab with this many clients (and queues): one finding a check, in a fixed order.
#[must_use]
pub fn examine_linux(facts: &LinuxFacts, wanted: impl Into<Wanted>) -> Vec<Finding> {
    let wanted = wanted.into();
    let clients = u64::from(wanted.clients);
    vec![
        kernel_options(facts),
        capability(facts),
        permission_events(facts),
        groups_limit(facts, wanted.queues.into()),
        open_files(facts),
        tasks(facts, clients),
        memory(facts, clients),
        processors(facts, clients),
        placement(facts),
        governor(facts),
        other_groups(facts),
    ]
}

fn kernel_options(facts: &LinuxFacts) -> Finding {
    let check = "kernel-options";
    let release = facts.release.as_deref().unwrap_or("of unknown release");
    let Some(options) = &facts.options else {
        let found = format!("the kernel {release} does not show its options; permission-events decides");
        return Finding::unknown(check, Weight::Required, found);
    };
    let is_off = |name: &&str| options.get(*name).is_none_or(|value| value != "y");
    match OPTIONS.into_iter().find(|name| is_off(name)) {
        None => {
            Finding::ok(check, Weight::Required, format!("kernel {release} has {}", OPTIONS.join(" and ")))
        }
        Some(name) => Finding::failed(
            check,
            Weight::Required,
            format!("kernel {release} was built without {name}"),
            "boot a distribution's own kernel; those of Debian, Ubuntu, Fedora and Arch have it",
        ),
    }
}

fn capability(facts: &LinuxFacts) -> Finding {
    let check = "capability";
    match facts.capabilities {
        None => Finding::unknown(check, Weight::Required, "the process's capabilities cannot be read"),
        Some(set) if set & CAP_SYS_ADMIN != 0 => {
            Finding::ok(check, Weight::Required, "CAP_SYS_ADMIN is there")
        }
        Some(_) => Finding::failed(
            check,
            Weight::Required,
            "CAP_SYS_ADMIN is absent",
            "start the lab with sudo (in a container: --cap-add SYS_ADMIN)",
        ),
    }
}

fn permission_events(facts: &LinuxFacts) -> Finding {
    let check = "permission-events";
    match &facts.permission_events {
        PermissionEvents::NotTried => {
            Finding::unknown(check, Weight::Required, "nobody asked the kernel for a group")
        }
        PermissionEvents::Granted => {
            Finding::ok(check, Weight::Required, "the kernel gives groups for permission events")
        }
        PermissionEvents::Refused(reason) => {
            let mend = if facts.seccomp == Some(2) {
                "a system-call filter is on: run outside the container, or allow fanotify_init and fanotify_mark in its profile"
            } else {
                "mend what the checks above say; when they are all ok, start the lab in the initial user namespace"
            };
            Finding::failed(check, Weight::Required, format!("the kernel refuses: {reason}"), mend)
        }
    }
}

fn groups_limit(facts: &LinuxFacts, groups: u64) -> Finding {
    let check = "group-limit";
    match facts.groups_max {
        None => Finding::unknown(check, Weight::Required, "fs.fanotify.max_user_groups cannot be read"),
        Some(max) if max >= groups => {
            Finding::ok(check, Weight::Required, format!("{max} groups a user, {groups} needed"))
        }
        Some(max) => Finding::failed(
            check,
            Weight::Required,
            format!("{max} groups a user, {groups} needed"),
            format!("sysctl fs.fanotify.max_user_groups={groups}"),
        ),
    }
}

fn open_files(facts: &LinuxFacts) -> Finding {
    let check = "open-files";
    match facts.open_files_max {
        Limit::Unknown => Finding::unknown(check, Weight::Advised, "the limit on open files cannot be read"),
        limit if limit.is_below(OPEN_FILES_NEEDED) => Finding::failed(
            check,
            Weight::Advised,
            format!("{} open files a process; every event that waits is one", shown(limit)),
            format!("ulimit -Hn {OPEN_FILES_NEEDED} as root, in the shell that starts the lab"),
        ),
        limit => Finding::ok(check, Weight::Advised, format!("{} open files a process", shown(limit))),
    }
}

fn tasks(facts: &LinuxFacts, clients: u64) -> Finding {
    let needed = TASKS_BESIDES + clients * TASKS_PER_CLIENT;
    let mend = format!("raise pids.max (systemd: TasksMax=, docker: --pids-limit) to {needed}");
    cgroup("cgroup-tasks", facts.tasks_max, needed, "tasks", 1, mend)
}

fn memory(facts: &LinuxFacts, clients: u64) -> Finding {
    let needed = MEMORY_BESIDES + clients * MEMORY_PER_CLIENT;
    let mend = format!("raise memory.max (systemd: MemoryMax=, docker: --memory) to {} MiB", needed >> 20);
    cgroup("cgroup-memory", facts.memory_max, needed, "MiB", 1 << 20, mend)
}

fn cgroup(check: &'static str, limit: Limit, needed: u64, unit: &str, scale: u64, mend: String) -> Finding {
    let weight = Weight::Advised;
    match limit {
        Limit::Unknown => Finding::unknown(check, weight, "the control group does not say"),
        Limit::Unlimited => Finding::ok(check, weight, "no limit in the control group"),
        Limit::At(at) => {
            let found = format!("{} {unit} in the control group, {} wanted", at / scale, needed / scale);
            if at < needed {
                Finding::failed(check, weight, found, mend)
            } else {
                Finding::ok(check, weight, found)
            }
        }
    }
}

fn processors(facts: &LinuxFacts, clients: u64) -> Finding {
    let check = "processors";
    let Some(cpus) = facts.cpus else {
        return Finding::unknown(check, Weight::Advised, "the set of processors cannot be read");
    };
    let quota = match facts.milli_cpus_max {
        Limit::At(milli) if milli < u64::from(cpus) * 1_000 => {
            return Finding::failed(
                check,
                Weight::Advised,
                format!("{cpus} processors, but time for {}.{:03} of them", milli / 1_000, milli % 1_000),
                "lift the control group's cpu.max: pauses it makes show up as a client's latency",
            );
        }
        Limit::At(_) | Limit::Unlimited => "",
        Limit::Unknown => ", limits on their time unknown",
    };
    let crowd = if u64::from(cpus) < clients {
        ": fewer than clients, so they also wait for each other's turn"
    } else {
        ""
    };
    Finding::ok(check, Weight::Advised, format!("{cpus} processors{quota}{crowd}"))
}

/// Where the lab's processes may run. What else runs there shows up as a client's latency.
fn placement(facts: &LinuxFacts) -> Finding {
    let check = "cpu-placement";
    match (facts.cpus, facts.cpus_online) {
        (Some(allowed), Some(online)) if allowed < online => Finding::ok(
            check,
            Weight::Advised,
            format!("kept to {allowed} of the {online} processors that are on"),
        ),
        (Some(_), Some(online)) => Finding::ok(
            check,
            Weight::Advised,
            format!("all {online} processors, shared with all else that runs"),
        ),
        _ => Finding::unknown(
            check,
            Weight::Advised,
            "which processors are on, or may be used, cannot be read",
        ),
    }
}

fn governor(facts: &LinuxFacts) -> Finding {
    let check = "cpu-clock";
    match facts.governor.as_deref() {
        None if facts.cpus_online.is_some() => {
            Finding::ok(check, Weight::Advised, "nothing here changes the processors' clock")
        }
        None => Finding::unknown(check, Weight::Advised, "what sets the processors' clock cannot be read"),
        Some("performance") => Finding::ok(check, Weight::Advised, "the processors keep their highest clock"),
        Some(other) => Finding::failed(
            check,
            Weight::Advised,
            format!("the clock follows the load (governor {other}): a calm lab looks slower than a busy one"),
            "cpupower frequency-set --governor performance",
        ),
    }
}

fn other_groups(facts: &LinuxFacts) -> Finding {
    let check = "other-groups";
    let Some(groups) = &facts.groups else {
        return Finding::unknown(check, Weight::Advised, "the processes' files cannot be listed");
    };
    let clients: Vec<_> = groups.iter().filter(|group| group.asks_permission).collect();
    match clients.first() {
        None => {
            let found = format!("no other process asks for permission events ({} only listen)", groups.len());
            Finding::ok(check, Weight::Advised, found)
        }
        Some(first) => {
            let names: Vec<_> = clients
                .iter()
                .map(|group| format!("{} ({}; {})", group.name, group.pid, group.marks))
                .collect();
            let waiting = match facts.waiting.as_slice() {
                [] => String::new(),
                waiting => format!(
                    "; {} in them now: {}",
                    units::agreeing(units::count_of(waiting.len()), "thread waits", "threads wait"),
                    waiting.join(", ")
                ),
            };
            Finding::failed(
                check,
                Weight::Advised,
                format!(
                    "permission events also go to {}{waiting}; a lab's own mount is not theirs, but processor time is",
                    names.join(", ")
                ),
                format!("stop {} for the time of the run", first.name),
            )
        }
    }
}

fn shown(limit: Limit) -> String {
    match limit {
        Limit::Unknown => "unknown".to_owned(),
        Limit::Unlimited => "unlimited".to_owned(),
        Limit::At(at) => at.to_string(),
    }
}
