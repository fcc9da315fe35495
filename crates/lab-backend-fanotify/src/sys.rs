//! The system calls that have no safe wrapper. Nothing here decides anything.
#![expect(
    unsafe_code,
    reason = "fanotify and clone have no complete safe wrapper: nix drops unknown mask bits"
)]

use std::{
    ffi::{CStr, CString},
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// The most answers of one `writev` (`UIO_MAXIOV`).
pub(crate) const ANSWERS_MAX: usize = 1024;

/// `struct fanotify_response`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Response {
    pub(crate) fd: i32,
    pub(crate) response: u32,
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

pub(crate) fn fanotify_init(flags: libc::c_uint, event_flags: libc::c_uint) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    let fd = check(unsafe { libc::fanotify_init(flags, event_flags) })?;
    // SAFETY: the descriptor is new and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

pub(crate) fn fanotify_mark(
    group: BorrowedFd<'_>,
    flags: libc::c_uint,
    mask: u64,
    path: &CStr,
) -> io::Result<()> {
    // SAFETY: `path` is a string that ends with a zero byte and outlives the call.
    check(unsafe { libc::fanotify_mark(group.as_raw_fd(), flags, mask, libc::AT_FDCWD, path.as_ptr()) })
        .map(drop)
}

/// Changes the group's mark on the very file behind `fd`.
pub(crate) fn fanotify_mark_file(
    group: BorrowedFd<'_>,
    flags: libc::c_uint,
    mask: u64,
    fd: BorrowedFd<'_>,
) -> io::Result<()> {
    let (group, fd) = (group.as_raw_fd(), fd.as_raw_fd());
    // SAFETY: without a path the call takes no pointer, and means the file behind the descriptor.
    check(unsafe { libc::fanotify_mark(group, flags, mask, fd, std::ptr::null()) }).map(drop)
}

/// Reads events into `buffer` and returns how many bytes came.
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the buffer is writable for its whole length.
    let read = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(read).map_err(|_| io::Error::last_os_error())
}

/// Hands all answers over with one system call and returns how many the kernel took.
pub(crate) fn write_answers(fd: BorrowedFd<'_>, answers: &[Response]) -> io::Result<usize> {
    assert!(answers.len() <= ANSWERS_MAX, "no more answers than one writev takes");
    let mut vectors = [const { MaybeUninit::<libc::iovec>::uninit() }; ANSWERS_MAX];
    for (vector, answer) in vectors.iter_mut().zip(answers) {
        let base = std::ptr::from_ref(answer).cast_mut().cast();
        vector.write(libc::iovec { iov_base: base, iov_len: size_of::<Response>() });
    }
    let count = libc::c_int::try_from(answers.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: the first `count` vectors were just written; each points at one whole answer that outlives the
    // call, and the kernel only reads through them.
    let written = unsafe { libc::writev(fd.as_raw_fd(), vectors.as_ptr().cast(), count) };
    usize::try_from(written)
        .map(|bytes| bytes / size_of::<Response>())
        .map_err(|_| io::Error::last_os_error())
}

/// Closes an event's descriptor, which the kernel gave this process and of which no copy is kept.
pub(crate) fn close(fd: RawFd) {
    // SAFETY: an event's descriptor belongs to whoever holds its token, and a token is released once.
    drop(unsafe { OwnedFd::from_raw_fd(fd) });
}

/// Closes a run of events' descriptors, first and last included.
pub(crate) fn close_run(first: RawFd, last: RawFd) {
    let (first, last) = (first.unsigned_abs(), last.unsigned_abs());
    // SAFETY: takes no pointer; every number of the run is an event's descriptor whose token is released now.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    assert!(result == 0, "closing a run of open descriptors does not fail (Linux 5.9 and later)");
}

/// Borrows an event's descriptor.
pub(crate) fn borrow<'a>(fd: RawFd) -> BorrowedFd<'a> {
    // SAFETY: the caller holds the event's token, so the descriptor is open until it is released.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

/// Starts `program` as the first process of a new PID and mount namespace; it dies with this thread's process.
/// Standard streams are inherited. Returns its process ID in this namespace.
pub(crate) fn spawn_first_process(program: &CString, arguments: &[CString]) -> io::Result<libc::pid_t> {
    let mut argv: Vec<*const libc::c_char> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    argv.push(std::ptr::null());
    let parent = std::process::id();
    let flags = libc::CLONE_NEWPID | libc::CLONE_NEWNS | libc::SIGCHLD;
    // SAFETY: without CLONE_VM and with a null stack this is a fork: the child runs on its own copy of this
    // stack. All other arguments are unused with these flags.
    let pid = unsafe { libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    if pid != 0 {
        return libc::pid_t::try_from(pid).map_err(io::Error::other);
    }
    // In the child: only calls that are safe after a fork, until the exec.
    // SAFETY: takes no pointer.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // The parent may have died before the line above. It is outside this PID namespace, where `getppid` shows
    // it as 0 alive or dead, so ask whether its process still exists through /proc of the old namespace.
    let mut path = [0_u8; 32];
    if !parent_exists(parent, &mut path) {
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(1) };
    }
    // SAFETY: `program` and every element of `argv` but the last are strings that end with a zero byte, the
    // last is null, and all live until the exec.
    unsafe { libc::execv(program.as_ptr(), argv.as_ptr()) };
    // SAFETY: the exec failed; ends the child.
    unsafe { libc::_exit(127) }
}

/// Whether `/proc/PID` exists; makes no allocation.
fn parent_exists(pid: u32, path: &mut [u8; 32]) -> bool {
    use std::io::Write;
    let mut rest = &mut path[..31];
    if write!(rest, "/proc/{pid}").is_err() {
        return true;
    }
    // SAFETY: the array was zeroed, so the path ends with a zero byte.
    unsafe { libc::access(path.as_ptr().cast(), libc::F_OK) == 0 }
}

/// Another process's descriptor `fd` as one of this process.
pub(crate) fn pidfd_getfd(pid: u32, fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: takes no pointer.
    let handle = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    let handle =
        RawFd::try_from(handle).ok().filter(|&handle| handle >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: the descriptor is new and nobody else's.
    let handle = unsafe { OwnedFd::from_raw_fd(handle) };
    // SAFETY: takes no pointer.
    let copy = unsafe { libc::syscall(libc::SYS_pidfd_getfd, handle.as_raw_fd(), fd, 0) };
    let copy = RawFd::try_from(copy).ok().filter(|&copy| copy >= 0).ok_or_else(io::Error::last_os_error)?;
    // SAFETY: as above.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Waits until one of the two can be read, and says which can.
pub(crate) fn readable(fds: [BorrowedFd<'_>; 2]) -> io::Result<[bool; 2]> {
    let mut polled = fds.map(|fd| libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 });
    // SAFETY: `polled` has two elements and outlives the call, which writes to nothing else.
    check(unsafe { libc::poll(polled.as_mut_ptr(), 2, -1) })?;
    Ok(polled.map(|one| one.revents != 0))
}

/// The bytes that wait to be read.
pub(crate) fn bytes_waiting(fd: BorrowedFd<'_>) -> io::Result<u64> {
    let mut bytes: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int, to a place that is one.
    check(unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &raw mut bytes) })?;
    Ok(u64::from(bytes.unsigned_abs()))
}
