//! `/proc/PID/limits`: what a process may have at most.

/// The limit on open files. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFilesLimit {
    /// What holds now.
    pub soft: Option<u64>,
    /// How far the process may raise it.
    pub hard: Option<u64>,
}

/// Reads the limit on open files in the content of `/proc/PID/limits` (proc_pid_limits(5)); `None` when it says none.
#[must_use]
pub fn open_files_limit(content: &[u8]) -> Option<OpenFilesLimit> {
    let mut lines = content.split(|&byte| byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(b"Max open files"))?;
    let mut values = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(limit);
    Some(OpenFilesLimit { soft: values.next()??, hard: values.next()?? })
}

/// One limit; the outer `None` is for what is none.
fn limit(word: &str) -> Option<Option<u64>> {
    if word == "unlimited" { Some(None) } else { word.parse().ok().map(Some) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_are_read_and_no_limit_is_told_from_none_that_is_said() {
        let check = |line: &str, expected: Option<(Option<u64>, Option<u64>)>| {
            let content =
                format!("Limit   Soft Limit  Hard Limit  Units\nMax processes 7 7 processes\n{line}\n");
            let expected = expected.map(|(soft, hard)| OpenFilesLimit { soft, hard });
            assert_eq!(open_files_limit(content.as_bytes()), expected, "{line}");
        };
        check(
            "Max open files            1024                 524288               files     ",
            Some((Some(1024), Some(524_288))),
        );
        check(
            "Max open files            1024                 unlimited            files     ",
            Some((Some(1024), None)),
        );
        check(
            "Max open files            unlimited            unlimited            files     ",
            Some((None, None)),
        );
        check("Max open files            1024", None);
        check("Max open files            -1                   many                 files     ", None);
        check("Max locked memory         1024                 524288               bytes     ", None);
    }
}
