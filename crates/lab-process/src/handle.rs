//! A process that is held, so that its ID cannot pass to another while something is done to it.

use std::{io, time::Duration};

use nix::sys::signal::Signal;

/// A process by its ID and its start, which together name no other.
#[derive(Debug)]
pub struct ProcessHandle(system::Handle);

impl ProcessHandle {
    /// Holds the process of this ID, which started then ([`crate::ProcessState::started`]); `None` when there is none. Whoever
    /// holds it looks at its start afterwards, as the ID may have passed on before.
    #[must_use]
    pub fn of(pid: u32, started: u64) -> Option<ProcessHandle> {
        system::Handle::of(pid, started).map(ProcessHandle)
    }

    /// Sends it SIGINT or SIGKILL, and nobody else.
    ///
    /// # Errors
    /// Those of sending; also when it has ended.
    pub fn send(&self, signal: Signal) -> io::Result<()> {
        self.0.send(signal)
    }

    /// Waits for its end; false when it has not come within `span`.
    ///
    /// # Errors
    /// Those of waiting.
    pub fn ends_within(&self, span: Duration) -> io::Result<bool> {
        self.0.ends_within(span)
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

    #[derive(Debug)]
    pub(super) struct Handle(OwnedFd);

    impl Handle {
        pub(super) fn of(pid: u32, _: u64) -> Option<Handle> {
            let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
            pidfd_open(pid, PidfdFlags::empty()).ok().map(Handle)
        }

        pub(super) fn send(&self, signal: Signal) -> io::Result<()> {
            let signal = match signal {
                Signal::SIGINT => rustix::process::Signal::INT,
                _ => rustix::process::Signal::KILL,
            };
            Ok(pidfd_send_signal(&self.0, signal)?)
        }

        pub(super) fn ends_within(&self, span: Duration) -> io::Result<bool> {
            let span = Timespec::try_from(span).map_err(io::Error::other)?;
            Ok(poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&span))? > 0)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    //! Without descriptors of processes, the start time is compared again just before each signal.

    use std::{io, thread, time::Duration};

    use nix::{sys::signal::Signal, sys::signal::kill, unistd::Pid};

    const LOOK_EVERY: Duration = Duration::from_millis(20);

    #[derive(Debug)]
    pub(super) struct Handle {
        pid: u32,
        started: u64,
    }

    impl Handle {
        pub(super) fn of(pid: u32, started: u64) -> Option<Handle> {
            Some(Handle { pid, started })
        }

        fn lives(&self) -> bool {
            crate::process_state(self.pid).is_some_and(|state| state.started == self.started)
        }

        pub(super) fn send(&self, signal: Signal) -> io::Result<()> {
            let pid = i32::try_from(self.pid).map_err(io::Error::other)?;
            if !self.lives() {
                return Err(io::ErrorKind::NotFound.into());
            }
            Ok(kill(Pid::from_raw(pid), signal)?)
        }

        pub(super) fn ends_within(&self, span: Duration) -> io::Result<bool> {
            let looks = span.as_millis() / LOOK_EVERY.as_millis();
            for _ in 0..looks {
                if !self.lives() {
                    return Ok(true);
                }
                thread::sleep(LOOK_EVERY);
            }
            Ok(!self.lives())
        }
    }
}

/// True when a process runs the same file as this one.
#[cfg(target_os = "linux")]
#[must_use]
pub fn runs_this_program(pid: u32) -> bool {
    crate::proc::runs_this_program(pid)
}

/// True when a process runs the file of this one, as `ps` names it.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn runs_this_program(pid: u32) -> bool {
    let mut ps = std::process::Command::new("/bin/ps");
    let named = ps.args(["-o", "comm=", "-p", &pid.to_string()]).stderr(std::process::Stdio::null()).output();
    let own = std::env::current_exe().ok().and_then(|own| own.canonicalize().ok());
    let named = named.ok().filter(|named| named.status.success());
    let named = named.and_then(|named| String::from_utf8(named.stdout).ok());
    let named = named.and_then(|named| std::path::Path::new(named.trim()).canonicalize().ok());
    own.is_some() && named == own
}
