//! What files of `/proc`, `/sys` and `/boot` say, as functions of their text.

use std::collections::BTreeMap;

use crate::Limit;

/// The mask bits of events that wait for an answer: open, access, and open for execution.
const PERMISSION_EVENTS: u64 = 0x7_0000;

/// Reads a kernel's configuration file.
#[must_use]
pub fn parse_options(text: &str) -> BTreeMap<String, String> {
    let options = text.lines().filter(|line| line.starts_with("CONFIG_"));
    options.filter_map(|line| line.split_once('=')).map(|(name, value)| (name.into(), value.into())).collect()
}

/// Finds one field of `/proc/PID/status`.
#[must_use]
pub fn status_field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
    let fields = status.lines().filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(field, _)| *field == name).map(|(_, value)| value.trim())
}

/// Counts the processors of a list such as `0-3,8`.
#[must_use]
pub fn count_cpus(list: &str) -> Option<u32> {
    list.trim().split(',').try_fold(0_u32, |sum, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        sum.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

/// Reads the hard limit on open files out of `/proc/self/limits`.
#[must_use]
pub fn open_files_limit(limits: &str) -> Limit {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|line| line.split_whitespace().nth(1)).map_or(Limit::Unknown, Limit::parse)
}

/// Reads the path of one controller out of `/proc/self/cgroup`; the empty name is the unified hierarchy.
#[must_use]
pub fn cgroup_path<'a>(cgroups: &'a str, controller: &str) -> Option<&'a str> {
    cgroups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then_some(path)
    })
}

/// Turns a quota and a period into thousandths of a processor.
#[must_use]
pub fn milli_cpus(quota: &str, period: &str) -> Limit {
    match (Limit::parse(quota), period.trim().parse::<u64>()) {
        (Limit::At(quota), Ok(period)) if period > 0 => Limit::At(quota.saturating_mul(1_000) / period),
        (Limit::Unlimited, _) => Limit::Unlimited,
        _ => Limit::Unknown,
    }
}

/// Reads whether a file descriptor is a fanotify group, and if so whether it asks for permission events.
#[must_use]
pub fn parse_group(fdinfo: &str) -> Option<bool> {
    let is_group = fdinfo.lines().any(|line| line.starts_with("fanotify flags:"));
    let mask = |field: &str| u64::from_str_radix(field.strip_prefix("mask:")?, 16).ok();
    let masks = fdinfo.lines().filter(|line| line.starts_with("fanotify ")).flat_map(str::split_whitespace);
    let asks = masks.filter_map(mask).any(|mask| mask & PERMISSION_EVENTS != 0);
    is_group.then_some(asks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_counted_by_ranges() {
        let table =
            [("0-1", Some(2)), ("0-3,8", Some(5)), ("5\n", Some(1)), ("", None), ("3-1", None), ("x", None)];
        for (list, count) in table {
            assert_eq!(count_cpus(list), count, "{list}");
        }
    }

    #[test]
    fn both_generations_of_control_groups_are_read() {
        let old = "9:name=systemd:/\n8:pids:/\n4:memory:/a/b\n3:cpu,cpuacct:/c\n0::/\n";
        assert_eq!(cgroup_path(old, "memory"), Some("/a/b"));
        assert_eq!(cgroup_path(old, "cpu"), Some("/c"));
        assert_eq!(cgroup_path(old, ""), Some("/"));
        assert_eq!(cgroup_path("0::/user.slice/x\n", "pids"), None);
    }

    #[test]
    fn a_descriptor_tells_whether_it_is_a_client() {
        let header = "pos:\t0\nflags:\t02\nmnt_id:\t16\nino:\t1061\nfanotify flags:4 event-flags:0\n";
        let client = format!("{header}fanotify sdev:40 mflags:100 mask:10000 ignored_mask:0\n");
        let listener = format!(
            "{header}fanotify ino:4f969 sdev:800013 mflags:0 mask:3b ignored_mask:70000 fhandle-bytes:8\n"
        );
        assert_eq!(parse_group(&client), Some(true));
        assert_eq!(parse_group(&listener), Some(false), "an ignore mask asks nobody");
        assert_eq!(parse_group("pos:\t0\nflags:\t02\ninotify wd:3 mask:10000\n"), None);
    }

    #[test]
    fn options_and_status_are_read_by_name() {
        let options = parse_options("# CONFIG_OFF is not set\nCONFIG_FANOTIFY=y\nCONFIG_X=\"a=b\"\n");
        assert_eq!(options.get("CONFIG_FANOTIFY").map(String::as_str), Some("y"));
        assert_eq!(options.get("CONFIG_X").map(String::as_str), Some("\"a=b\""));
        assert!(!options.contains_key("CONFIG_OFF"));
        assert_eq!(status_field("CapInh:\t0\nCapEff:\t1ff\n", "CapEff"), Some("1ff"));
    }
}
