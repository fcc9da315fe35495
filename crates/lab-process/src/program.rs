//! Starting a program whose beginning the new process itself records, and waiting for its end.
#![expect(
    unsafe_code,
    reason = "the new process itself records its beginning, which no safe interface allows"
)]

use std::{ffi::CStr, os::fd::BorrowedFd};

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

/// Records that a new process begins.
pub trait Announce {
    /// Records the beginning of the process `pid`. Called by that process, in its parent's memory or a copy of it,
    /// just before it becomes the program: neither allocates nor locks.
    fn announce(&self, pid: u32);
}

impl Announce for Birth {
    fn announce(&self, pid: u32) {
        // On Linux the only thread of a process has the process's number.
        let tid = if cfg!(target_os = "macos") { crate::thread_id() } else { u64::from(pid) };
        let started = clock::now();
        let subject = ThreadId { pid, tid, generation: 0 };
        self.writer.begin_claimed(self.record, &OperationBegin { started, subject, ..self.begin });
        self.board.operate(self.slot, started, self.record.0, tid);
    }
}

/// A program to start. It gets no environment, and `/dev/null` as its standard streams.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// Its absolute path, also its name.
    pub program: &'a CStr,
    /// Its arguments.
    pub arguments: [Option<&'a CStr>; 3],
    /// What its standard output is, if not `/dev/null`.
    pub output: Option<BorrowedFd<'a>>,
}

impl<'a> Launch<'a> {
    /// This program without arguments.
    #[must_use]
    pub fn of(program: &'a CStr) -> Launch<'a> {
        Launch { program, arguments: [None; 3], output: None }
    }
}

/// A program that was started, or was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Started {
    /// The process to be waited for; `None` when there never was one.
    pub pid: Option<u32>,
    /// False when there never was a process that could have recorded the beginning.
    pub announced: bool,
    /// 0, or the `errno` of the failure to start it.
    pub error: u32,
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
        ffi::{CStr, c_void},
        fs::File,
        io,
        os::fd::{AsRawFd, RawFd},
        ptr,
    };

    use libc::{c_char, c_int};
    use nix::errno::Errno;

    use super::{Announce, Ended, Launch, Started};

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

    /// What the new process is to do, and how that went.
    struct Orders<'a> {
        launch: &'a Launch<'a>,
        birth: &'a dyn Announce,
        null: RawFd,
        announced: Cell<bool>,
        error: Cell<c_int>,
    }

    /// Runs in the new process, on its own stack, in its parent's memory.
    extern "C" fn begin(argument: *mut c_void) -> c_int {
        // SAFETY: `start` passes `Orders` that outlive this process's use of it, because the calling thread
        // is suspended until then; nobody has a mutable reference to it.
        let orders = unsafe { &*argument.cast::<Orders<'_>>() };
        let output = orders.launch.output.map_or(orders.null, |output| output.as_raw_fd());
        // The output comes first: a standard stream may be what is passed on.
        for (from, to) in [(output, 1), (orders.null, 0), (orders.null, 2)] {
            // SAFETY: replaces a descriptor of this process's own table, which is a copy of its parent's.
            if unsafe { libc::dup2(from, to) } < 0 {
                orders.error.set(Errno::last_raw());
                return STATUS_NOT_STARTED;
            }
        }
        // A copy of a descriptor would outlive its owner: an open of a killed client's waits for ever as long as a
        // program that waits for that client's answer holds its group open. An older kernel refuses the call.
        // SAFETY: closes descriptors of this process's own table, none of which is used from here on.
        let _refused = unsafe { libc::close_range(FIRST_CLOSED, libc::c_uint::MAX, 0) };
        // SAFETY: has no condition.
        let pid = unsafe { libc::getpid() };
        let mut arguments: [*const c_char; 5] = [ptr::null(); 5];
        arguments[0] = orders.launch.program.as_ptr();
        for (place, argument) in arguments[1..4].iter_mut().zip(orders.launch.arguments) {
            *place = argument.map_or(ptr::null(), CStr::as_ptr);
        }
        let environment: [*const c_char; 1] = [ptr::null()];
        orders.birth.announce(pid.cast_unsigned());
        orders.announced.set(true);
        // SAFETY: the path is a C string, and both lists end with a null pointer.
        unsafe { libc::execve(arguments[0], arguments.as_ptr(), environment.as_ptr()) };
        orders.error.set(Errno::last_raw());
        STATUS_NOT_STARTED
    }

    impl Launcher {
        /// Makes what starting programs needs.
        ///
        /// # Errors
        /// Those of opening `/dev/null`.
        pub fn new() -> io::Result<Launcher> {
            let null = File::options().read(true).write(true).open("/dev/null")?;
            Ok(Launcher { stack: vec![0; STACK_WORDS].into(), null })
        }

        /// Starts a program and returns when it has become one, or could not.
        pub fn start(&mut self, launch: &Launch<'_>, birth: &dyn Announce) -> Started {
            let orders = Orders {
                launch,
                birth,
                null: self.null.as_raw_fd(),
                announced: Cell::new(false),
                error: Cell::new(0),
            };
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
            // The stack grows downwards, so it begins at its end (which is aligned to 16 bytes).
            let top = self.stack.as_mut_ptr_range().end.cast::<c_void>();
            let argument = (&raw const orders).cast_mut().cast::<c_void>();
            // SAFETY: `begin` gets the `Orders` it expects. CLONE_VFORK suspends this thread until the new
            // process has called `execve` or ended, so the stack and the `Orders` outlive its use of them,
            // and its use of this thread's `errno` disturbs nobody. It neither unwinds, allocates nor
            // locks. No lab process installs a signal handler that could run in it.
            let pid = unsafe { libc::clone(begin, top, flags, argument) };
            if pid < 0 {
                return Started { pid: None, announced: false, error: Errno::last_raw().cast_unsigned() };
            }
            let (announced, error) = (orders.announced.get(), orders.error.get().cast_unsigned());
            Started { pid: Some(pid.cast_unsigned()), announced, error }
        }

        /// Waits for the end of a program that this process has started: its wait status and the error of waiting.
        pub fn wait(&mut self, pid: u32) -> (i32, u32) {
            let (status, error) = wait(pid.cast_signed());
            (status, error.cast_unsigned())
        }

        /// Starts a program and waits for its end.
        pub fn run(&mut self, launch: &Launch<'_>, birth: &dyn Announce) -> Ended {
            let Started { pid, announced, error } = self.start(launch, birth);
            let (status, waited) = pid.map_or((0, 0), |pid| self.wait(pid));
            Ended { announced, error: if error == 0 { waited } else { error }, status }
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
        collections::BTreeMap,
        ffi::OsStr,
        io,
        os::unix::{
            ffi::OsStrExt,
            process::{CommandExt, ExitStatusExt},
        },
        process::{Child, Command, Stdio},
    };

    use super::{Announce, Ended, Launch, Started};

    /// What starting programs needs: the programs that are still to be waited for.
    #[derive(Debug)]
    pub struct Launcher {
        running: BTreeMap<u32, Child>,
    }

    impl Launcher {
        /// Makes what starting programs needs.
        ///
        /// # Errors
        /// None here.
        pub fn new() -> io::Result<Launcher> {
            Ok(Launcher { running: BTreeMap::new() })
        }

        /// Starts a program and returns when it has become one, or could not.
        pub fn start(&mut self, launch: &Launch<'_>, birth: &dyn Announce) -> Started {
            match self.spawn(launch, birth) {
                Ok(child) => {
                    let pid = child.id();
                    self.running.insert(pid, child);
                    Started { pid: Some(pid), announced: true, error: 0 }
                }
                Err(error) => {
                    // Only a failed fork leaves nobody who could have recorded the beginning.
                    let announced = error.raw_os_error() != Some(libc::EAGAIN);
                    Started { pid: None, announced, error: errno(&error) }
                }
            }
        }

        fn spawn(&self, launch: &Launch<'_>, birth: &dyn Announce) -> io::Result<Child> {
            let mut command = Command::new(OsStr::from_bytes(launch.program.to_bytes()));
            command.args(launch.arguments.into_iter().flatten().map(|one| OsStr::from_bytes(one.to_bytes())));
            command.env_clear().stdin(Stdio::null()).stderr(Stdio::null());
            match launch.output {
                Some(output) => command.stdout(Stdio::from(output.try_clone_to_owned()?)),
                None => command.stdout(Stdio::null()),
            };
            // SAFETY: only the lifetime changes. The closure runs in `Command::spawn` below, before which `birth`
            // does not go, and `command` goes with this function.
            let birth: &'static dyn Announce =
                unsafe { std::mem::transmute::<&dyn Announce, &'static dyn Announce>(birth) };
            let birth = Shared(birth);
            let announce = move || {
                let Shared(birth) = &birth;
                birth.announce(std::process::id());
                Ok(())
            };
            // SAFETY: `announce` only stores into shared mappings or writes to a descriptor, reads the clock and
            // asks for the process ID: it neither allocates nor locks.
            unsafe { command.pre_exec(announce) };
            command.spawn()
        }

        /// Waits for the end of a program that this process has started: its wait status and the error of waiting.
        pub fn wait(&mut self, pid: u32) -> (i32, u32) {
            let Some(mut child) = self.running.remove(&pid) else { return (0, 0) };
            child.wait().map_or_else(|error| (0, errno(&error)), |status| (status.into_raw(), 0))
        }

        /// Starts a program and waits for its end.
        pub fn run(&mut self, launch: &Launch<'_>, birth: &dyn Announce) -> Ended {
            let Started { pid, announced, error } = self.start(launch, birth);
            let (status, waited) = pid.map_or((0, 0), |pid| self.wait(pid));
            Ended { announced, error: if error == 0 { waited } else { error }, status }
        }
    }

    /// What the closure that runs in the new process holds; it is called there only, by its only thread.
    struct Shared(&'static dyn Announce);

    // SAFETY: see above: no second thread ever uses it.
    unsafe impl Send for Shared {}
    // SAFETY: the same.
    unsafe impl Sync for Shared {}

    fn errno(error: &io::Error) -> u32 {
        error.raw_os_error().unwrap_or(0).cast_unsigned()
    }
}
