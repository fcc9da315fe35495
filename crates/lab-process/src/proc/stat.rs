//! `/proc/PID/stat`: what a process does, whose it is, and since when.

/// What `/proc/PID/stat` says of a process, as far as the lab asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    /// What it does, by the kernel's letter: `R`, `S`, `D`, `T`, `Z`, …
    pub state: char,
    /// The process that it was started by, or has come to belong to.
    pub parent: u32,
    /// The time that it and its children that it has waited for have kept processors busy, in ticks ([`super::TICK_NS`]).
    pub busy_ticks: u64,
    /// When it started, in ticks since boot.
    pub started: u64,
}

impl ProcessStat {
    /// Reads the content of `/proc/PID/stat` (proc_pid_stat(5)); `None` when it is cut off.
    #[must_use]
    pub fn parse(content: &[u8]) -> Option<ProcessStat> {
        // The name in parentheses may hold anything; the fields behind the last one are plain.
        let name_end = content.iter().rposition(|&byte| byte == b')')?;
        let fields = std::str::from_utf8(content.get(name_end + 1..)?).ok()?;
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        // In user mode and in the kernel, and the same of children.
        let busy = fields.by_ref().skip(9).take(4).map(|field| field.parse::<u64>().unwrap_or(0));
        let busy_ticks = busy.fold(0, u64::saturating_add);
        Some(ProcessStat { state, parent, busy_ticks, started: fields.nth(4)?.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat(name: &[u8]) -> Vec<u8> {
        let fields = b" S 41 7 7 0 -1 4194560 1 0 0 0 5 3 20 10 20 0 1 0 987654 100 200\n";
        [b"42 (", name, b")", &fields[..]].concat()
    }

    /// Names as a process may give them to itself with `prctl(PR_SET_NAME)`.
    #[test]
    fn a_name_of_any_bytes_hides_nothing() {
        let expected = Some(ProcessStat { state: 'S', parent: 41, busy_ticks: 38, started: 987_654 });
        for name in [&b"lab"[..], b"a) Z 1", b"((", b"\xff\xfe", b"\n\n", b"", b") R 1 1 1"] {
            assert_eq!(ProcessStat::parse(&stat(name)), expected, "{name:?}");
        }
    }

    #[test]
    fn what_is_cut_off_is_nothing() {
        let whole = stat(b"lab");
        let end = whole.iter().rposition(|&byte| byte == b'7').unwrap();
        for length in 0..end - 6 {
            assert_eq!(ProcessStat::parse(&whole[..length]), None, "{length}");
        }
        assert_eq!(ProcessStat::parse(b")"), None);
    }
}
