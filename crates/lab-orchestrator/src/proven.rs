//! A process of a lab, proven to be one before anything is done to it: a note in a folder may name any process.
//!
//! The proof is the kernel's: the process is held by a descriptor first, so that its ID cannot pass to another; it
//! started when the note says; it runs this very program; and a controller is the first process of a PID namespace
//! just below this one. No word of a command line counts.

use std::{io, time::Duration};

use lab_process::{ProcessHandle, platform::KERNEL, runs_this_program};
use nix::sys::signal::Signal;

use crate::ProcessName;

/// A process that is what a note says it is.
#[derive(Debug)]
pub(crate) struct Proven {
    name: ProcessName,
    handle: ProcessHandle,
}

impl Proven {
    /// The launcher of that name; `None` when it has ended, or when that is another process.
    pub(crate) fn launcher(name: ProcessName) -> Option<Proven> {
        let handle = ProcessHandle::of(name.pid, name.started)?;
        (name.lives() && runs_this_program(name.pid)).then_some(Proven { name, handle })
    }

    /// The controller of that name; `None` when it has ended, or when that is another process.
    pub(crate) fn controller(name: ProcessName) -> Option<Proven> {
        Proven::launcher(name).filter(|proven| leads_a_lab(proven.name.pid))
    }

    pub(crate) const fn pid(&self) -> u32 {
        self.name.pid
    }

    /// Sends it a signal, and nobody else.
    ///
    /// # Errors
    /// Those of sending; also when it has ended.
    pub(crate) fn send(&self, signal: Signal) -> io::Result<()> {
        self.handle.send(signal)
    }

    /// Waits for its end; false when it has not come within `span`.
    ///
    /// # Errors
    /// Those of waiting.
    pub(crate) fn ends_within(&self, span: Duration) -> io::Result<bool> {
        self.handle.ends_within(span)
    }
}

/// True for the first process of a lab's namespaces, where labs have some.
fn leads_a_lab(pid: u32) -> bool {
    !KERNEL.confines_by_namespaces() || lab_backend_fanotify::confine::leads_a_namespace(pid)
}
