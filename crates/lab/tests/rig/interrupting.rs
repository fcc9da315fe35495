//! Commands that are interrupted while they cannot get rid of what they say.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "as the module above")]

use std::{
    fs,
    os::fd::OwnedFd,
    process::{Command, Stdio},
};

use lab_model::Span;
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::signal::Signal,
};

use super::{send, wait_until};

/// How long a command may take that has nothing to do; far more than it needs on a busy machine.
pub const PROMPTLY: Span = Span::from_secs(20);

/// A pipe that takes nothing more: who writes to it waits.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let flags = OFlag::from_bits_retain(fcntl(&writer, FcntlArg::F_GETFL).unwrap());
    let set = |flags| fcntl(&writer, FcntlArg::F_SETFL(flags)).unwrap();
    set(flags | OFlag::O_NONBLOCK);
    while nix::unistd::write(&writer, &[b'x'; 512]).is_ok() {}
    while nix::unistd::write(&writer, b"x").is_ok() {}
    set(flags);
    (reader, writer)
}

/// True once the process has its own way with SIGTERM.
pub fn listens(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    caught & (1 << (Signal::SIGTERM as i32 - 1)) != 0
}

/// Starts a command that cannot get rid of its output, waits until it is `ready`, and sends a signal, which must end it
/// with the exit code of an interrupted one.
pub fn interrupted(mut command: Command, signal: Signal, mut ready: impl FnMut(u32) -> bool) {
    let words = format!("{:?}", command.get_args());
    let (_reader, writer) = full_pipe();
    let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    let mut status = None;
    let is_ready = wait_until(Span::from_secs(300), || {
        status = child.try_wait().unwrap();
        status.is_some() || ready(child.id())
    });
    assert!(is_ready && status.is_none(), "{words} is under way: {status:?}");
    send(child.id(), signal);
    let ended = wait_until(PROMPTLY, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    if !ended {
        send(child.id(), Signal::SIGKILL);
        child.wait().unwrap();
        panic!("{words} goes on after {signal}");
    }
    assert_eq!(status.unwrap().code(), Some(130), "{words} after {signal}: {status:?}");
}
