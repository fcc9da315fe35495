//! `/proc/locks`: leases and locks, who has them and who waits (proc_locks(5)).

use std::{fs, io};

use lab_waits::FileLock;

/// Reads all of them.
pub(crate) fn read() -> io::Result<Vec<FileLock>> {
    Ok(parse(&fs::read("/proc/locks")?))
}

/// Reads the content of `/proc/locks`. A line with an arrow is one who waits for the lock above it.
fn parse(content: &[u8]) -> Vec<FileLock> {
    let text = String::from_utf8_lossy(content);
    let mut locks: Vec<FileLock> = Vec::new();
    for line in text.lines() {
        let Some((_, line)) = line.split_once(':') else { continue };
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let waits = words.first() == Some(&"->");
        let words = if waits { &words[1..] } else { &words[..] };
        let &[kind, state, _, pid, file, ..] = words else { continue };
        // A lock of an open file description, and a process of another PID namespace, have no number that says who.
        let holder = pid.parse::<i64>().ok().and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid > 0);
        if waits {
            if let (Some(lock), Some(waiter)) = (locks.last_mut(), holder) {
                lock.waiters.push(waiter);
            }
            continue;
        }
        let Some(file) = place(file) else { continue };
        let (lease, breaking) = (kind == "LEASE" || kind == "DELEG", state == "BREAKING");
        locks.push(FileLock { lease, breaking, holder, waiters: Vec::new(), file });
    }
    locks
}

/// A file as `major:minor:inode`, the first two in hexadecimal.
fn place(word: &str) -> Option<(u64, u64, u64)> {
    let mut parts = word.split(':');
    let hexadecimal = |part: Option<&str>| u64::from_str_radix(part?, 16).ok();
    Some((hexadecimal(parts.next())?, hexadecimal(parts.next())?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_and_locks_are_read_with_who_waits() {
        let content = b"1: LEASE  BREAKING  READ  4712 00:2b:17 0 EOF\n\
            2: POSIX  ADVISORY  WRITE 81 fe:00:15319047 0 EOF\n2: -> POSIX  ADVISORY  WRITE 82 fe:00:15319047 0 EOF\n\
            3: OFDLCK ADVISORY  WRITE -1 fe:00:9 0 EOF\nnonsense\n";
        let locks = parse(content);
        assert_eq!(locks.len(), 3);
        assert!(locks[0].lease && locks[0].breaking);
        assert_eq!((locks[0].holder, locks[0].file), (Some(4712), (0, 0x2b, 17)));
        assert_eq!((locks[1].holder, locks[1].waiters.as_slice()), (Some(81), &[82][..]));
        assert_eq!(locks[2].holder, None);
    }
}
