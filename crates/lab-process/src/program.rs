//! Starting a program whose beginning the new process itself records, and waiting for its end.
#![expect(
    unsafe_code,
    reason = "the new process itself records its beginning, which no safe interface allows"
)]

use std::ffi::CStr;

use lab_model::ThreadId;
use lab_trace::{Board, OperationBegin, RecordId, TraceWriter};

use crate::clock;

/// What the new process records just before it becomes the program. All of it is a store into memory that
/// it shares with its parent: no allocation, no lock, no system call.
#[derive(Clone, Debug)]
pub struct Birth {
    /// The trace.
    pub writer: TraceWriter,
    /// The board.
    pub board: Board,
    /// The place on the board.
    pub slot: usize,
    /// The claimed place in the trace.
    pub record: RecordId,
    /// The beginning, with time and subject still to be filled in.
    pub begin: OperationBegin,
}

impl Birth {
    /// Records the beginning for the process `pid`.
    pub fn announce(&self, pid: u32) {
        let tid = u64::from(pid);
        let started = clock::now();
        let subject = ThreadId { pid, tid, generation: 0 };
        self.writer.begin_claimed(self.record, &OperationBegin { started, subject, ..self.begin });
        self.board.operate(self.slot, started, self.record.0, tid);
    }
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// False when there never was a process that could have recorded the beginning.
    pub announced: bool,
    /// 0, or the `errno` of the failure to start it.
    pub error: u32,
    /// Its wait status.
    pub status: i32,
}

#[cfg(target_os = "linux")]
pub use linux::Launcher;
#[cfg(not(target_os = "linux"))]
pub use portable::Launcher;

#[cfg(target_os = "linux")]
mod linux {
    //! `clone` with the memory shared and the caller suspended, as `vfork` does: a `fork` would copy the
    //! parent's page tables for each program and make every other thread fault its pages in again.

    use std::{
        cell::Cell,
        ffi::c_void,
        fs::File,
        io,
        os::fd::{AsRawFd, RawFd},
        ptr,
    };

    use libc::{c_char, c_int};
    use nix::errno::Errno;

    use super::{Birth, CStr, Ended};

    /// The new process's stack: it calls a few small functions.
    const STACK_WORDS: usize = 16 * 1024;
    const STATUS_NOT_STARTED: c_int = 127;
    /// All descriptors from here on are closed in a new process.
    const FIRST_CLOSED: libc::c_uint = 3;

    /// What starting programs needs, made once for each thread that does.
    #[derive(Debug)]
    pub struct Launcher {
        stack: Box<[u128]>,
        null: File,
    }

    struct Launch<'a> {
        program: &'a CStr,
        birth: &'a Birth,
        null: RawFd,
        announced: Cell<bool>,
        error: Cell<c_int>,
    }

    /// Runs in the new process, on its own stack, in its parent's memory.
    extern "C" fn begin(argument: *mut c_void) -> c_int {
        // SAFETY: `run` passes a `Launch` that outlives this process's use of it, because the calling thread
        // is suspended until then; nobody has a mutable reference to it.
        let launch = unsafe { &*argument.cast::<Launch<'_>>() };
        for descriptor in 0..3 {
            // SAFETY: replaces a descriptor of this process's own table, which is a copy of the driver's.
            if unsafe { libc::dup2(launch.null, descriptor) } < 0 {
                launch.error.set(Errno::last_raw());
                return STATUS_NOT_STARTED;
            }
        }
        // A copy of a descriptor would outlive its owner: an open of a killed client's waits for ever as long as a
        // program that waits for that client's answer holds its group open. An older kernel refuses the call.
        // SAFETY: closes descriptors of this process's own table, none of which is used from here on.
        let _refused = unsafe { libc::close_range(FIRST_CLOSED, libc::c_uint::MAX, 0) };
        // SAFETY: has no condition.
        let pid = unsafe { libc::getpid() };
        let arguments: [*const c_char; 2] = [launch.program.as_ptr(), ptr::null()];
        let environment: [*const c_char; 1] = [ptr::null()];
        launch.birth.announce(pid.cast_unsigned());
        launch.announced.set(true);
        // SAFETY: the path is a C string, and both lists end with a null pointer.
        unsafe { libc::execve(arguments[0], arguments.as_ptr(), environment.as_ptr()) };
        launch.error.set(Errno::last_raw());
        STATUS_NOT_STARTED
    }

    impl Launcher {
        /// Makes what starting programs needs.
        pub fn new() -> io::Result<Launcher> {
            let null = File::options().read(true).write(true).open("/dev/null")?;
            Ok(Launcher { stack: vec![0; STACK_WORDS].into(), null })
        }

        /// Runs a program without arguments or environment, with `/dev/null` as its standard streams, and
        /// waits for its end.
        pub fn run(&mut self, program: &CStr, birth: &Birth) -> Ended {
            let launch = Launch {
                program,
                birth,
                null: self.null.as_raw_fd(),
                announced: Cell::new(false),
                error: Cell::new(0),
            };
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
            // The stack grows downwards, so it begins at its end (which is aligned to 16 bytes).
            let top = self.stack.as_mut_ptr_range().end.cast::<c_void>();
            let argument = (&raw const launch).cast_mut().cast::<c_void>();
            // SAFETY: `begin` gets the `Launch` it expects. CLONE_VFORK suspends this thread until the new
            // process has called `execve` or ended, so the stack and the `Launch` outlive its use of them,
            // and its use of this thread's `errno` disturbs nobody. It neither unwinds, allocates nor
            // locks. No lab process installs a signal handler that could run in it.
            let pid = unsafe { libc::clone(begin, top, flags, argument) };
            if pid < 0 {
                return Ended { announced: false, error: Errno::last_raw().cast_unsigned(), status: 0 };
            }
            let (status, waited) = wait(pid);
            let error = if launch.error.get() == 0 { waited } else { launch.error.get() };
            Ended { announced: launch.announced.get(), error: error.cast_unsigned(), status }
        }
    }

    /// The wait status of a child once it has ended, and the error of waiting.
    fn wait(pid: libc::pid_t) -> (c_int, c_int) {
        let mut status = 0;
        loop {
            // SAFETY: `status` lives for the call, which only writes it.
            if unsafe { libc::waitpid(pid, &raw mut status, 0) } == pid {
                return (status, 0);
            }
            if Errno::last_raw() != libc::EINTR {
                return (status, Errno::last_raw());
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod portable {
    //! The standard library's `fork` and `execve`. The trace and the board are shared mappings, so what the
    //! new process stores there is seen by all.

    use std::{
        ffi::OsStr,
        io,
        os::unix::{
            ffi::OsStrExt,
            process::{CommandExt, ExitStatusExt},
        },
        process::{Command, Stdio},
    };

    use super::{Birth, CStr, Ended};

    /// What starting programs needs: nothing here.
    #[derive(Debug)]
    pub struct Launcher;

    impl Launcher {
        /// Makes what starting programs needs.
        #[expect(clippy::unnecessary_wraps, reason = "the same interface as on Linux")]
        pub fn new() -> io::Result<Launcher> {
            Ok(Launcher)
        }

        /// Runs a program without arguments or environment, with `/dev/null` as its standard streams, and
        /// waits for its end.
        pub fn run(&mut self, program: &CStr, birth: &Birth) -> Ended {
            let mut command = Command::new(OsStr::from_bytes(program.to_bytes()));
            command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let birth = birth.clone();
            let announce = move || {
                birth.announce(std::process::id());
                Ok(())
            };
            // SAFETY: `announce` only stores into shared mappings that live as long as `birth`, reads the
            // clock and asks for the process ID: it neither allocates nor locks.
            unsafe { command.pre_exec(announce) };
            let errno = |error: &io::Error| error.raw_os_error().unwrap_or(0).cast_unsigned();
            match command.spawn().and_then(|mut child| child.wait()) {
                Ok(status) => Ended { announced: true, error: 0, status: status.into_raw() },
                Err(error) => {
                    // Only a failed fork leaves nobody who could have recorded the beginning.
                    let announced = error.raw_os_error() != Some(libc::EAGAIN);
                    Ended { announced, error: errno(&error), status: 0 }
                }
            }
        }
    }
}
