//! What the memory of a thread that waits says about its call: which file, which descriptors, which timeout.

use std::io::IoSliceMut;

use lab_process::proc::SystemCall;
use lab_waits::{Call, Descriptor, Process};
use nix::{
    sys::uio::{RemoteIoVec, process_vm_readv},
    unistd::Pid,
};

use crate::call::low_half;

/// The longest path (`PATH_MAX`), in bytes.
const PATH_BYTES_MAX: usize = 4096;
/// No more descriptors of a poll are looked at.
const POLLED_MAX: u64 = 1024;
/// The bytes of a `struct pollfd`.
const POLLED_BYTES: usize = 8;

/// The calls that change what memory a process has, with its map of it locked.
const CHANGES_MEMORY: [&str; 6] = ["mmap", "munmap", "mremap", "mprotect", "brk", "madvise"];

/// A process's memory.
#[derive(Debug)]
pub(crate) struct Memory {
    /// Reading could have to wait for a thread that holds the map of the memory locked while it waits itself.
    may_block: bool,
    /// The folder that relative paths begin at.
    folder: Option<String>,
    directories: Vec<(i32, String)>,
}

impl Memory {
    pub(crate) fn of(process: &Process) -> Memory {
        let holds_map = |call: Option<&Call>, state: char| match call {
            Some(call) => CHANGES_MEMORY.contains(&call.name.as_str()),
            None => state == 'D',
        };
        let may_block = process.threads.iter().any(|thread| holds_map(thread.call.as_ref(), thread.state));
        let folder = std::fs::read_link(format!("/proc/{}/cwd", process.pid)).ok();
        let directories = process.descriptors.iter().filter_map(|(number, descriptor)| match descriptor {
            Descriptor::File(path) => Some((*number, path.clone())),
            _ => None,
        });
        Memory {
            may_block,
            folder: folder.and_then(|folder| folder.into_os_string().into_string().ok()),
            directories: directories.collect(),
        }
    }

    /// Adds to a call what the memory says; a thread that has gone on meanwhile is left as it was seen.
    pub(crate) fn read_arguments(&self, pid: u32, tid: u32, call: &mut Call, is_hard: bool) {
        // Where a path stands among the arguments, behind which folder; a poll has none.
        let path = match call.name.as_str() {
            "open" | "creat" | "execve" | "stat" => Some((None, 0)),
            "openat" | "openat2" | "execveat" | "newfstatat" | "statx" => Some((Some(0), 1)),
            "poll" | "ppoll" | "select" | "pselect6" | "epoll_pwait2" => None,
            _ => return,
        };
        // Only of those who wait for somebody it matters which file they open.
        if self.may_block || (path.is_some() && !is_hard) {
            return;
        }
        let content = std::fs::read(format!("/proc/{pid}/task/{tid}/syscall")).unwrap_or_default();
        let Some(SystemCall { arguments, .. }) = SystemCall::parse(&content) else { return };
        let Some((folder, place)) = path else { return read_polled(pid, call, &arguments) };
        if let Some(path) = text(pid, arguments[place]) {
            call.path = self.absolute(path, folder.and_then(|place: usize| low_half(arguments[place])));
        }
    }

    fn absolute(&self, path: String, directory: Option<i32>) -> Option<String> {
        if path.starts_with('/') {
            return Some(path);
        }
        let number = directory.unwrap_or(libc::AT_FDCWD);
        let folder = match number {
            libc::AT_FDCWD => self.folder.as_ref(),
            number => self.directories.iter().find(|(one, _)| *one == number).map(|(_, path)| path),
        };
        folder.map(|folder| format!("{}/{path}", folder.trim_end_matches('/')))
    }
}

/// Reads what a call polls, and for how long.
fn read_polled(pid: u32, call: &mut Call, arguments: &[u64; 6]) {
    match call.name.as_str() {
        "poll" | "ppoll" => {
            let count = usize::try_from(arguments[1].min(POLLED_MAX)).unwrap_or(0);
            if let Some(bytes) = read(pid, arguments[0], count * POLLED_BYTES) {
                let numbers = bytes.as_chunks::<POLLED_BYTES>().0.iter();
                let numbers = numbers.map(|one| i32::from_ne_bytes([one[0], one[1], one[2], one[3]]));
                call.polled = Some(numbers.filter(|&number| number >= 0).collect());
            }
        }
        "select" | "pselect6" => {
            let highest = usize::try_from(arguments[0].min(POLLED_MAX)).unwrap_or(0);
            let mut polled = std::collections::BTreeSet::new();
            for set in arguments[1..4].iter().filter(|&&set| set != 0) {
                // Bits in words of 64, the lowest first.
                let Some(bytes) = read(pid, *set, highest.div_ceil(64) * 8) else { return };
                let is_set = |number: &usize| bytes[number / 8] >> (number % 8) & 1 == 1;
                polled.extend((0..highest).filter(is_set).filter_map(|number| i32::try_from(number).ok()));
            }
            call.polled = Some(polled.into_iter().collect());
        }
        _ => {}
    }
    let timeout = match call.name.as_str() {
        "ppoll" => Some((arguments[2], 1_000_000)),
        "pselect6" => Some((arguments[4], 1_000_000)),
        "select" => Some((arguments[4], 1_000)),
        "epoll_pwait2" => Some((arguments[3], 1_000_000)),
        _ => None,
    };
    if let Some((address, parts)) = timeout.filter(|(address, _)| *address != 0) {
        // Two numbers: seconds, and nanoseconds or microseconds. What the kernel has written back is what was left.
        let bytes = read(pid, address, 16).unwrap_or_default();
        let mut numbers = bytes.as_chunks::<8>().0.iter().map(|one| u64::from_ne_bytes(*one));
        let (seconds, rest) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        call.timeout_ms = Some(seconds.saturating_mul(1_000).saturating_add(rest / parts));
    }
}

/// Reads some bytes; `None` unless all of them are there.
fn read(pid: u32, address: u64, length: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; length];
    let done = copy(pid, address, &mut bytes)?;
    (done == length).then_some(bytes)
}

/// Reads a text that a zero ends, page by page: the next one need not be there.
fn text(pid: u32, address: u64) -> Option<String> {
    const PAGE: u64 = 4096;
    let mut text = Vec::new();
    let mut at = address;
    while text.len() < PATH_BYTES_MAX {
        let rest = usize::try_from(PAGE - at % PAGE).ok()?;
        let mut bytes = vec![0; rest.min(256)];
        let done = copy(pid, at, &mut bytes)?;
        let end = bytes[..done].iter().position(|&byte| byte == 0);
        text.extend_from_slice(&bytes[..end.unwrap_or(done)]);
        if end.is_some() {
            return Some(String::from_utf8_lossy(&text).into_owned());
        }
        at = at.checked_add(u64::try_from(done).ok().filter(|&done| done > 0)?)?;
    }
    None
}

/// Copies memory of another process; `None` when it may not be looked at.
fn copy(pid: u32, address: u64, bytes: &mut [u8]) -> Option<usize> {
    let remote = [RemoteIoVec { base: usize::try_from(address).ok()?, len: bytes.len() }];
    let process = Pid::from_raw(i32::try_from(pid).ok()?);
    process_vm_readv(process, &mut [IoSliceMut::new(bytes)], &remote).ok()
}
