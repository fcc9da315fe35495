//! `/proc/TID/syscall`: what a thread asked of the kernel and has not got yet (proc_pid_syscall(5)).

/// A system call that a thread is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemCall {
    /// Its number on this architecture.
    pub number: u64,
    /// The registers of its arguments.
    pub arguments: [u64; 6],
}

impl SystemCall {
    /// Reads the content of `/proc/TID/syscall`; `None` for a thread that runs, and for one that waits outside of any call
    /// (`-1`).
    #[must_use]
    pub fn parse(content: &[u8]) -> Option<SystemCall> {
        let text = std::str::from_utf8(content).ok()?;
        let mut words = text.split_ascii_whitespace();
        let number = words.next()?.parse().ok()?;
        let mut arguments = [0; 6];
        for argument in &mut arguments {
            *argument = u64::from_str_radix(words.next()?.strip_prefix("0x")?, 16).ok()?;
        }
        Some(SystemCall { number, arguments })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_is_in_a_call_or_in_none() {
        let reads = b"0 0x3 0x7ffd194afe00 0x1000 0x0 0x0 0x0 0x7ffd194afd60 0x7fedc6d1c9ec\n";
        let arguments = [3, 0x7ffd_194a_fe00, 0x1000, 0, 0, 0];
        assert_eq!(SystemCall::parse(reads), Some(SystemCall { number: 0, arguments }));
        for none in [&b"running\n"[..], b"-1 0x7ffd194afe00 0x7fedc6d1c9ec\n", b"\xff", b"", b"0 0x1 0x2"] {
            assert_eq!(SystemCall::parse(none), None, "{none:?}");
        }
    }
}
