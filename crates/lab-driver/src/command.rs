//! A command of the user's, and every process and thread that comes of it.
//!
//! The lab did not write it, so nobody in it records what it opens. But the kernel tells its tracer (`ptrace`) of each
//! process and thread before that runs, and of its end, so that the trace has each one from birth to end; and a
//! decision about any of its threads, read in between, is about that one. Nothing else is traced: no system call, no
//! signal is held up.
#![expect(unsafe_code, reason = "the new process itself asks to be traced and records its beginning")]

use std::{
    collections::BTreeMap,
    io,
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use lab_model::{Run, ThreadId};
use lab_process::{
    clock,
    program::{Announce, Birth},
};
use lab_trace::{Counter, OperationBegin, OperationEnd, RecordId, TraceWriter};
use nix::{
    errno::Errno,
    sys::{
        ptrace::{self, Event, Options},
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::Pid,
};

/// How often it is looked whether the phase is over.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Everything of the command that runs, with its place in the trace.
type Members = Arc<Mutex<BTreeMap<i32, RecordId>>>;

/// How it went.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    /// Processes and threads beside the first process.
    pub(crate) more: u64,
    /// 0, or the `errno` of the failure to start it.
    pub(crate) error: u32,
    /// The wait status of its first process.
    pub(crate) status: i32,
}

/// Runs the command and waits for the end of all that comes of it; what still runs when `is_over` is killed.
pub(crate) fn run(load: &Run, arena: &Path, birth: &Birth, is_over: &(dyn Fn() -> bool + Sync)) -> Done {
    let failed = |error: &io::Error| Done {
        error: error.raw_os_error().unwrap_or(nix::libc::EINVAL).cast_unsigned(),
        ..Done::default()
    };
    let folder = load.directory.as_ref().map_or_else(|| arena.to_owned(), |below| arena.join(below));
    let Some((program, arguments)) = load.command.split_first() else { return Done::default() };
    let mut command = Command::new(program);
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).process_group(0);
    // What it has to say is in the driver's log.
    match nix::unistd::dup(io::stderr()) {
        Ok(log) => command.stdout(Stdio::from(log)),
        Err(_) => command.stdout(Stdio::null()),
    };
    let own = birth.clone();
    let announce = move || {
        ptrace::traceme().map_err(io::Error::from)?;
        own.announce(std::process::id());
        Ok(())
    };
    // SAFETY: `announce` makes one system call, stores into shared mappings, reads the clock and asks for the process
    // ID: it neither allocates nor locks.
    unsafe { command.pre_exec(announce) };
    match command.spawn() {
        Ok(child) => {
            let first = Pid::from_raw(child.id().cast_signed());
            let members: Members = Arc::default();
            lock(&members).insert(first.as_raw(), birth.record);
            let ended = AtomicBool::new(false);
            thread::scope(|scope| {
                scope.spawn(|| watch(&members, &ended, is_over));
                let done = Tracer { first, birth, members: &members, done: Done::default() }.follow();
                ended.store(true, Ordering::Relaxed);
                done
            })
        }
        Err(error) => failed(&error),
    }
}

fn lock(members: &Members) -> std::sync::MutexGuard<'_, BTreeMap<i32, RecordId>> {
    members.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Kills what still runs when the phase is over.
fn watch(members: &Members, ended: &AtomicBool, is_over: &(dyn Fn() -> bool + Sync)) {
    while !ended.load(Ordering::Relaxed) {
        if is_over() {
            for pid in lock(members).keys() {
                // A thread is killed with its process; what has just ended needs no killing.
                let _ended = kill(Pid::from_raw(*pid), Signal::SIGKILL);
            }
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// Follows the processes and threads of a command. Only the thread that started it can.
struct Tracer<'a> {
    first: Pid,
    birth: &'a Birth,
    members: &'a Members,
    done: Done,
}

impl Tracer<'_> {
    fn follow(mut self) -> Done {
        let own_children = WaitPidFlag::__WALL | WaitPidFlag::__WNOTHREAD;
        loop {
            match waitpid(Pid::from_raw(-1), Some(own_children)) {
                Ok(status) => self.take(status),
                Err(Errno::EINTR) => {}
                // Nobody is left.
                Err(_) => return self.done,
            }
        }
    }

    fn take(&mut self, status: WaitStatus) {
        match status {
            WaitStatus::Exited(pid, code) => self.ended(pid, code << 8),
            WaitStatus::Signaled(pid, signal, _) => self.ended(pid, signal as i32),
            WaitStatus::PtraceEvent(pid, _, event) => {
                if event == Event::PTRACE_EVENT_EXEC as i32 {
                    self.becomes(pid);
                }
                go_on(pid, None);
            }
            WaitStatus::Stopped(pid, signal) => {
                if pid == self.first && signal == Signal::SIGTRAP {
                    // It has become the program, and waits for its tracer to say what it wants to hear of.
                    let wanted = Options::PTRACE_O_TRACEFORK
                        | Options::PTRACE_O_TRACEVFORK
                        | Options::PTRACE_O_TRACECLONE
                        | Options::PTRACE_O_TRACEEXEC
                        | Options::PTRACE_O_EXITKILL;
                    let _gone = ptrace::setoptions(pid, wanted);
                    go_on(pid, None);
                } else if self.born(pid) {
                    // A new one stops before its first instruction, and goes on without that signal.
                    go_on(pid, None);
                } else {
                    go_on(pid, Some(signal));
                }
            }
            _ => {}
        }
    }

    /// Records a process or thread that has not run yet; false for one that is known.
    fn born(&mut self, pid: Pid) -> bool {
        let mut members = lock(self.members);
        if members.contains_key(&pid.as_raw()) {
            return false;
        }
        let writer = &self.birth.writer;
        let id = writer.claim_operation();
        let tid = u64::from(pid.as_raw().cast_unsigned());
        let subject = ThreadId { pid: 0, tid, generation: 0 };
        let begin = OperationBegin { started: clock::now(), subject, planned: None, ..self.birth.begin };
        writer.begin_claimed(id, &begin);
        self.birth.board.add(Counter::OperationsBegun, 1);
        members.insert(pid.as_raw(), id);
        self.done.more += 1;
        true
    }

    /// A thread that is not its process's first became another program: it goes on under the process's ID.
    fn becomes(&mut self, pid: Pid) {
        let former = ptrace::getevent(pid).ok().and_then(|former| i32::try_from(former).ok());
        if let Some(former) = former.filter(|former| *former != pid.as_raw()) {
            self.close(former, 0);
        }
    }

    fn ended(&mut self, pid: Pid, status: i32) {
        if pid == self.first {
            // The caller records its end, with what else it knows.
            lock(self.members).remove(&pid.as_raw());
            self.done.status = status;
        } else {
            self.close(pid.as_raw(), status);
        }
    }

    fn close(&mut self, pid: i32, status: i32) {
        let Some(id) = lock(self.members).remove(&pid) else { return };
        end(&self.birth.writer, id, status);
        self.birth.board.add(Counter::OperationsEnded, 1);
    }
}

fn end(writer: &TraceWriter, id: RecordId, status: i32) {
    let ended = clock::now();
    writer.end_operation(id, &OperationEnd { ended, error: 0, status, finished: None, bytes: 0 });
}

/// Lets a stopped one go on; one that has been killed meanwhile needs nothing.
fn go_on(pid: Pid, signal: Option<Signal>) {
    let _killed = ptrace::cont(pid, signal);
}
