//! What one thread waits in, by its system call and by the function of the kernel in which it sleeps.
//!
//! Names of kernel functions are those of Linux 6.18; older names of the same wait stand beside them. What is not known is
//! [`WaitKind::Unknown`], and whoever is in it is taken to be able to go on.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::snapshot::{Call, Descriptor, Process, Thread};

/// What a thread waits in.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum WaitKind {
    /// It runs, or is ready to.
    Runs,
    /// It goes on by itself after a while.
    Timer,
    /// It waits for new work, of nobody in particular.
    Idle,
    /// A signal, a freezer or a tracer has stopped it.
    Stopped,
    /// A fanotify group has to answer.
    PermissionEvent,
    /// A FUSE daemon has to answer.
    Fuse,
    /// Somebody has to give a lease back.
    Lease,
    /// Somebody has to give a lock back.
    FileLock,
    /// An automount daemon has to mount.
    Automount,
    /// A pipe is full, and somebody has to read it.
    PipeFull,
    /// Somebody has to write into a pipe.
    PipeInput,
    /// A socket is full, and its peer has to read it.
    SocketFull,
    /// The peer of a socket has to send something.
    SocketInput,
    /// The peers of what it polls have to do something.
    Poll,
    /// Another thread of its own process has to wake it.
    Futex,
    /// A child has to end.
    Child,
    /// The kernel has to read or write a page or a block.
    Storage,
    /// What it waits for is not known.
    Unknown,
}

impl WaitKind {
    /// True when only somebody else can end the wait, and whoever is in it is in the middle of something: it is never how
    /// a process waits for new work.
    #[must_use]
    pub const fn is_hard(self) -> bool {
        matches!(
            self,
            WaitKind::PermissionEvent
                | WaitKind::Fuse
                | WaitKind::Lease
                | WaitKind::FileLock
                | WaitKind::Automount
                | WaitKind::PipeFull
                | WaitKind::SocketFull
        )
    }
}

/// What a thread waits in, and whether it has taken an event that it was not handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wait {
    /// What it waits in.
    pub kind: WaitKind,
    /// It is inside `read` of a fanotify group: it has taken an event, and the kernel opens that event's file on its behalf.
    pub hand_over: bool,
}

impl Wait {
    /// What a thread of a process waits in.
    #[must_use]
    pub fn of(process: &Process, thread: &Thread) -> Wait {
        let call = thread.call.as_ref();
        let reads_group = call.is_some_and(|call| {
            call.name == "read" && matches!(descriptor(process, call), Some(Descriptor::Group(_)))
        });
        let kind = match (thread.state, call) {
            ('R', _) => WaitKind::Runs,
            ('T' | 't', _) => WaitKind::Stopped,
            (_, call) => match by_channel(&thread.channel) {
                Some(kind) => kind,
                // Without an event it waits in the same function as whoever waits for a socket.
                None if reads_group => WaitKind::Idle,
                None => call.map_or(WaitKind::Unknown, |call| by_call(process, call)),
            },
        };
        // Without a call it runs, sleeps in a page fault or may not be looked at.
        let kind = if kind == WaitKind::Unknown && thread.state == 'D' { WaitKind::Storage } else { kind };
        Wait { kind, hand_over: reads_group && kind != WaitKind::Idle && kind != WaitKind::Runs }
    }
}

/// The waits that the function of the kernel alone tells.
fn by_channel(channel: &str) -> Option<WaitKind> {
    Some(match channel {
        "fanotify_handle_event" | "fanotify_get_response" => WaitKind::PermissionEvent,
        "request_wait_answer" | "fuse_get_req" | "fuse_simple_request" | "__fuse_simple_request" => {
            WaitKind::Fuse
        }
        "__break_lease" => WaitKind::Lease,
        "autofs_wait" => WaitKind::Automount,
        "anon_pipe_write" | "pipe_write" | "pipe_wait_writable" => WaitKind::PipeFull,
        "anon_pipe_read" | "pipe_read" | "pipe_wait_readable" => WaitKind::PipeInput,
        "fanotify_read" | "fuse_dev_do_read" | "inotify_read" | "eventfd_read" | "timerfd_read_iter"
        | "signalfd_read_iter" | "n_tty_read" | "do_syslog" => WaitKind::Idle,
        "fcntl_setlk"
        | "flock_lock_inode_wait"
        | "posix_lock_inode_wait"
        | "locks_lock_inode_wait"
        | "do_lock_file_wait" => WaitKind::FileLock,
        "do_wait" | "kernel_wait4" => WaitKind::Child,
        "folio_wait_bit_common" | "io_schedule" | "wait_on_page_bit" | "blk_mq_get_tag" => WaitKind::Storage,
        _ => return None,
    })
}

/// The waits that the system call tells.
fn by_call(process: &Process, call: &Call) -> WaitKind {
    match call.name.as_str() {
        "nanosleep" | "clock_nanosleep" => WaitKind::Timer,
        "futex" | "futex_wait" | "futex_waitv" => WaitKind::Futex,
        "wait4" | "waitid" | "vfork" => WaitKind::Child,
        "flock" | "fcntl" => WaitKind::FileLock,
        "accept" | "accept4" | "pause" | "rt_sigsuspend" => WaitKind::Idle,
        "rt_sigtimedwait" if call.timeout_ms.is_some() => WaitKind::Timer,
        "rt_sigtimedwait" => WaitKind::Idle,
        "poll" | "ppoll" | "select" | "pselect6" | "epoll_wait" | "epoll_pwait" | "epoll_pwait2" => {
            WaitKind::Poll
        }
        "recvfrom" | "recvmsg" | "recvmmsg" => WaitKind::SocketInput,
        "sendto" | "sendmsg" | "sendmmsg" => WaitKind::SocketFull,
        "read" | "readv" => match descriptor(process, call) {
            Some(Descriptor::Socket { .. }) => WaitKind::SocketInput,
            Some(Descriptor::Pipe { .. }) => WaitKind::PipeInput,
            _ => WaitKind::Unknown,
        },
        "write" | "writev" => match descriptor(process, call) {
            Some(Descriptor::Socket { .. }) => WaitKind::SocketFull,
            Some(Descriptor::Pipe { .. }) => WaitKind::PipeFull,
            _ => WaitKind::Unknown,
        },
        _ => WaitKind::Unknown,
    }
}

/// The descriptor that a call is about.
pub(crate) fn descriptor<'a>(process: &'a Process, call: &Call) -> Option<&'a Descriptor> {
    process.descriptors.get(&call.descriptor?)
}
