//! `/proc/TID/syscall`: what a thread asked of the kernel and has not got yet.

/// The number of the system call, and its first argument; `None` for a thread that runs, and for one that waits outside of
/// any (`-1`).
#[must_use]
pub fn system_call_of(content: &[u8]) -> Option<(u64, u64)> {
    let text = std::str::from_utf8(content).ok()?;
    let mut words = text.split_ascii_whitespace();
    let number = words.next()?.parse().ok()?;
    let argument = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
    Some((number, argument))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_in_a_call_or_in_none() {
        let reads = b"0 0x3 0x7ffd194afe00 0x1000 0x0 0x0 0x0 0x7ffd194afd60 0x7fedc6d1c9ec\n";
        assert_eq!(system_call_of(reads), Some((0, 3)));
        assert_eq!(system_call_of(b"running\n"), None);
        assert_eq!(system_call_of(b"-1 0x7ffd194afe00 0x7fedc6d1c9ec\n"), None);
        assert_eq!(system_call_of(b"\xff"), None);
    }
}
