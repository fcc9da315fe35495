//! A process of a lab, proven to be one before anything is done to it: a note in a folder may name any process.
//!
//! The proof is the kernel's: the process is held by a descriptor first, so that its ID cannot pass to another; it
//! started when the note says; it runs this very program; and a controller is the first process of a PID namespace
//! just below this one. No word of a command line counts.

use std::{io, time::Duration};

use nix::sys::signal::Signal;

use crate::ProcessName;

/// A process that is what a note says it is.
#[derive(Debug)]
pub(crate) struct Proven {
    name: ProcessName,
    handle: system::Handle,
}

impl Proven {
    /// The launcher of that name; `None` when it has ended, or when that is another process.
    pub(crate) fn launcher(name: ProcessName) -> Option<Proven> {
        let handle = system::Handle::of(name.pid)?;
        (name.lives() && system::runs_this_program(name.pid)).then_some(Proven { name, handle })
    }

    /// The controller of that name; `None` when it has ended, or when that is another process.
    pub(crate) fn controller(name: ProcessName) -> Option<Proven> {
        Proven::launcher(name).filter(|proven| system::leads_a_lab(proven.name.pid))
    }

    pub(crate) const fn pid(&self) -> u32 {
        self.name.pid
    }

    /// Sends it a signal, and nobody else.
    ///
    /// # Errors
    /// Those of sending; also when it has ended.
    pub(crate) fn send(&self, signal: Signal) -> io::Result<()> {
        self.handle.send(&self.name, signal)
    }

    /// Waits for its end; false when it has not come within `span`.
    ///
    /// # Errors
    /// Those of waiting.
    pub(crate) fn ends_within(&self, span: Duration) -> io::Result<bool> {
        self.handle.ends_within(&self.name, span)
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::{io, os::fd::OwnedFd, time::Duration};

    use nix::sys::signal::Signal;
    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal},
    };

    use crate::ProcessName;

    /// A descriptor of a process.
    #[derive(Debug)]
    pub(super) struct Handle(OwnedFd);

    impl Handle {
        pub(super) fn of(pid: u32) -> Option<Handle> {
            let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
            pidfd_open(pid, PidfdFlags::empty()).ok().map(Handle)
        }

        pub(super) fn send(&self, _: &ProcessName, signal: Signal) -> io::Result<()> {
            let signal = match signal {
                Signal::SIGINT => rustix::process::Signal::INT,
                _ => rustix::process::Signal::KILL,
            };
            Ok(pidfd_send_signal(&self.0, signal)?)
        }

        pub(super) fn ends_within(&self, _: &ProcessName, span: Duration) -> io::Result<bool> {
            let span = Timespec::try_from(span).map_err(io::Error::other)?;
            Ok(poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&span))? > 0)
        }
    }

    pub(super) use lab_process::proc::runs_this_program;

    pub(super) fn leads_a_lab(pid: u32) -> bool {
        lab_backend_fanotify::confine::leads_a_namespace(pid)
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    //! Without descriptors of processes, the start time is compared again just before each signal.

    use std::{io, thread, time::Duration};

    use nix::{sys::signal::Signal, sys::signal::kill, unistd::Pid};

    use crate::ProcessName;

    const LOOK_EVERY: Duration = Duration::from_millis(20);

    #[derive(Debug)]
    pub(super) struct Handle;

    impl Handle {
        pub(super) fn of(_: u32) -> Option<Handle> {
            Some(Handle)
        }

        pub(super) fn send(&self, name: &ProcessName, signal: Signal) -> io::Result<()> {
            let pid = i32::try_from(name.pid).map_err(io::Error::other)?;
            if !name.lives() {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(kill(Pid::from_raw(pid), signal)?)
        }

        pub(super) fn ends_within(&self, name: &ProcessName, span: Duration) -> io::Result<bool> {
            let looks = span.as_millis() / LOOK_EVERY.as_millis();
            for _ in 0..looks {
                if !name.lives() {
                    return Ok(true);
                }
                thread::sleep(LOOK_EVERY);
            }
            Ok(!name.lives())
        }
    }

    /// The program's file, as `ps` names it.
    pub(super) fn runs_this_program(pid: u32) -> bool {
        let named = duct::cmd!("/bin/ps", "-o", "comm=", "-p", pid.to_string()).stderr_null().read();
        let own = std::env::current_exe().ok().and_then(|own| own.canonicalize().ok());
        let named = named.ok().and_then(|named| std::path::Path::new(named.trim()).canonicalize().ok());
        own.is_some() && named == own
    }

    pub(super) fn leads_a_lab(_: u32) -> bool {
        true
    }
}
