//! A tree of processes: each runs as many more as it is told, and tells the driver of them.
//!
//! The driver starts the root and reads what the others write into one pipe: who begins, just before it becomes
//! the program, and who has ended. So the trace has every exec of the tree, whose it was and how it ended, and a
//! decision about any of them finds it by the process's thread.

use std::{
    ffi::{CStr, CString},
    io::{self, PipeReader, PipeWriter, Read},
    os::{fd::AsFd, unix::ffi::OsStrExt},
};

use lab_model::Ticks;
use lab_process::{
    clock,
    program::{Announce, Launch, Launcher, Started},
};
use nix::{
    errno::Errno,
    sys::wait::{WaitStatus, wait},
};

/// The first argument of a program that is part of a tree.
pub(crate) const TREE: &CStr = c"tree";

/// Bytes of one message: less than a pipe takes as one.
const MESSAGE_BYTES: usize = 32;

/// What a process of a tree tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// This process is about to become the program.
    Begins { pid: u32, parent: u32, at: Ticks },
    /// It has ended, or never became the program.
    Ended { pid: u32, at: Ticks, status: i32, error: u32 },
}

impl Message {
    fn bytes(self) -> [u8; MESSAGE_BYTES] {
        let (kind, pid, at, status, error) = match self {
            Message::Begins { pid, parent, at } => (1_u32, pid, at, parent.cast_signed(), 0),
            Message::Ended { pid, at, status, error } => (2, pid, at, status, error),
        };
        let mut bytes = [0; MESSAGE_BYTES];
        bytes[..8].copy_from_slice(&at.0.to_ne_bytes());
        let words = [kind, pid, status.cast_unsigned(), error].map(u32::to_ne_bytes);
        bytes[8..24].copy_from_slice(words.as_flattened());
        bytes
    }

    fn parse(bytes: [u8; MESSAGE_BYTES]) -> Option<Message> {
        let word = |at: usize| bytes[at..at + 4].try_into().map(u32::from_ne_bytes).ok();
        let at = Ticks(u64::from_ne_bytes(bytes[..8].try_into().ok()?));
        let (pid, status, error) = (word(12)?, word(16)?.cast_signed(), word(20)?);
        match word(8)? {
            1 => Some(Message::Begins { pid, parent: status.cast_unsigned(), at }),
            2 => Some(Message::Ended { pid, at, status, error }),
            _ => None,
        }
    }
}

/// What the processes of one tree tell, in the order in which they do.
pub(crate) struct TreeMessages(PipeReader);

impl TreeMessages {
    /// A new pipe: its end for the driver, and the one that the tree's root is given.
    pub(crate) fn new() -> io::Result<(TreeMessages, PipeWriter)> {
        io::pipe().map(|(reader, writer)| (TreeMessages(reader), writer))
    }

    /// The next message; `None` when all processes of the tree have ended.
    pub(crate) fn next(&mut self) -> Option<Message> {
        let mut bytes = [0; MESSAGE_BYTES];
        self.0.read_exact(&mut bytes).ok()?;
        Message::parse(bytes)
    }
}

/// The levels and the fan-out of a tree, as arguments.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    levels: CString,
    fanout: CString,
}

impl Shape {
    pub(crate) fn new(levels: u32, fanout: u32) -> Shape {
        let text = |number: u32| CString::new(number.to_string()).unwrap_or_default();
        Shape { levels: text(levels), fanout: text(fanout) }
    }

    /// The tree's root, or a branch of it, which tells of itself over `output`.
    pub(crate) fn launch<'a>(&'a self, program: &'a CStr, output: &'a impl AsFd) -> Launch<'a> {
        let arguments = [Some(TREE), Some(self.levels.as_c_str()), Some(self.fanout.as_c_str())];
        Launch { program, arguments, output: Some(output.as_fd()) }
    }
}

/// Tells the driver over the standard output. A driver that is gone is not told.
fn tell(message: Message) {
    let _gone = nix::unistd::write(io::stdout(), &message.bytes());
}

/// What a new process tells of itself: who has started it.
struct Telling {
    parent: u32,
}

impl Announce for Telling {
    fn announce(&self, pid: u32) {
        tell(Message::Begins { pid, parent: self.parent, at: clock::now() });
    }
}

/// Is a process of a tree: runs `fanout` programs like itself with a level less, and waits for them.
///
/// # Errors
/// When the arguments are not those of a tree, or the first thing that a new process needs cannot be had.
pub fn grow(program: &std::ffi::OsStr, levels: &str, fanout: &str) -> io::Result<()> {
    let number = |text: &str| text.parse::<u32>().map_err(io::Error::other);
    let (levels, fanout) = (number(levels)?, number(fanout)?);
    let Some(below) = levels.checked_sub(1) else { return Ok(()) };
    let program = CString::new(program.as_bytes())?;
    let shape = Shape::new(below, fanout);
    let output = io::stdout();
    let mut launcher = Launcher::new()?;
    let telling = Telling { parent: std::process::id() };
    // Who could not become the program has ended, and is told of with its error.
    let mut failed = Vec::new();
    for _ in 0..fanout {
        let Started { pid, announced, error } = launcher.start(&shape.launch(&program, &output), &telling);
        match pid {
            Some(pid) if error != 0 => failed.push((pid, error)),
            Some(_) => {}
            None if announced => {}
            None => return Err(io::Error::from_raw_os_error(error.cast_signed())),
        }
    }
    // Whoever ends first is told of first, so that each end is told when it comes.
    loop {
        let (pid, status) = match wait() {
            Ok(WaitStatus::Exited(pid, code)) => (pid, code << 8),
            Ok(WaitStatus::Signaled(pid, signal, _)) => (pid, signal as i32),
            Ok(_) | Err(Errno::EINTR) => continue,
            // Nobody is left.
            Err(_) => return Ok(()),
        };
        let (at, pid) = (clock::now(), pid.as_raw().cast_unsigned());
        let error = failed.iter().find(|(other, _)| *other == pid).map_or(0, |(_, error)| *error);
        tell(Message::Ended { pid, at, status, error });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_were_written() {
        for message in [
            Message::Begins { pid: 7, parent: u32::MAX, at: Ticks(123_456_789_012) },
            Message::Ended { pid: u32::MAX, at: Ticks(1), status: -1, error: 13 },
        ] {
            assert_eq!(Message::parse(message.bytes()), Some(message));
        }
        assert_eq!(Message::parse([0; MESSAGE_BYTES]), None);
    }
}
