//! System calls, as `/proc/TID/syscall` shows them (proc_pid_syscall(5)): number and arguments, in the numbers of this
//! architecture.

use lab_process::proc::SystemCall;
use lab_waits::Call;

/// The calls whose arguments say what is waited for. Those of older architectures only have no number on newer ones.
const CALLS: &[(libc::c_long, &str)] = &[
    (libc::SYS_read, "read"),
    (libc::SYS_readv, "readv"),
    (libc::SYS_pread64, "pread64"),
    (libc::SYS_write, "write"),
    (libc::SYS_writev, "writev"),
    (libc::SYS_openat, "openat"),
    (libc::SYS_openat2, "openat2"),
    (libc::SYS_execve, "execve"),
    (libc::SYS_execveat, "execveat"),
    (libc::SYS_recvfrom, "recvfrom"),
    (libc::SYS_recvmsg, "recvmsg"),
    (libc::SYS_recvmmsg, "recvmmsg"),
    (libc::SYS_sendto, "sendto"),
    (libc::SYS_sendmsg, "sendmsg"),
    (libc::SYS_sendmmsg, "sendmmsg"),
    (libc::SYS_connect, "connect"),
    (libc::SYS_accept, "accept"),
    (libc::SYS_accept4, "accept4"),
    (libc::SYS_ppoll, "ppoll"),
    (libc::SYS_pselect6, "pselect6"),
    (libc::SYS_epoll_pwait, "epoll_pwait"),
    (libc::SYS_epoll_pwait2, "epoll_pwait2"),
    (libc::SYS_nanosleep, "nanosleep"),
    (libc::SYS_clock_nanosleep, "clock_nanosleep"),
    (libc::SYS_futex, "futex"),
    (libc::SYS_futex_waitv, "futex_waitv"),
    (libc::SYS_wait4, "wait4"),
    (libc::SYS_waitid, "waitid"),
    (libc::SYS_rt_sigtimedwait, "rt_sigtimedwait"),
    (libc::SYS_rt_sigsuspend, "rt_sigsuspend"),
    (libc::SYS_flock, "flock"),
    (libc::SYS_fcntl, "fcntl"),
    (libc::SYS_statx, "statx"),
    (libc::SYS_newfstatat, "newfstatat"),
    (libc::SYS_getdents64, "getdents64"),
    (libc::SYS_close, "close"),
    (libc::SYS_mmap, "mmap"),
    (libc::SYS_munmap, "munmap"),
    (libc::SYS_mremap, "mremap"),
    (libc::SYS_mprotect, "mprotect"),
    (libc::SYS_brk, "brk"),
    (libc::SYS_madvise, "madvise"),
    (libc::SYS_fsync, "fsync"),
    (libc::SYS_io_uring_enter, "io_uring_enter"),
    (libc::SYS_mount, "mount"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, "open"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, "creat"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_stat, "stat"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_poll, "poll"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_select, "select"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_epoll_wait, "epoll_wait"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_pause, "pause"),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_vfork, "vfork"),
];

/// Reads the content of `/proc/TID/syscall`; `None` when the thread runs, or is in no call.
pub(crate) fn parse(content: &[u8]) -> Option<Call> {
    let SystemCall { number, arguments } = SystemCall::parse(content)?;
    let known = CALLS.iter().find(|(call, _)| call.unsigned_abs() == number);
    let name = known.map_or_else(|| format!("syscall {number}"), |(_, name)| (*name).to_owned());
    let mut call = Call { name, ..Call::default() };
    let signed = |place: usize| i32::try_from(arguments[place].cast_signed()).ok();
    match call.name.as_str() {
        "read" | "readv" | "pread64" | "write" | "writev" | "recvfrom" | "recvmsg" | "recvmmsg"
        | "sendto" | "sendmsg" | "sendmmsg" | "connect" | "accept" | "accept4" | "flock" | "fcntl"
        | "getdents64" | "epoll_wait" | "epoll_pwait" | "epoll_pwait2" | "close" | "fsync" => {
            // A descriptor is the lower half of its register.
            call.descriptor = low_half(arguments[0]);
        }
        "wait4" => call.process = signed(0).and_then(|pid| u32::try_from(pid).ok()).filter(|&pid| pid > 0),
        "futex" if arguments[3] != 0 => call.timeout_ms = Some(0),
        _ => {}
    }
    let milliseconds = |place: usize| low_half(arguments[place]).and_then(|ms| u64::try_from(ms).ok());
    match call.name.as_str() {
        "poll" => call.timeout_ms = milliseconds(2),
        "epoll_wait" | "epoll_pwait" => call.timeout_ms = milliseconds(3),
        "rt_sigtimedwait" if arguments[2] != 0 => call.timeout_ms = Some(0),
        _ => {}
    }
    Some(call)
}

/// The lower half of a register, which is all that the kernel takes of an `int`.
pub(crate) fn low_half(register: u64) -> Option<i32> {
    u32::try_from(register & u64::from(u32::MAX)).ok().map(u32::cast_signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(content: &str) -> Option<Call> {
        parse(content.as_bytes())
    }

    #[test]
    fn a_call_says_what_it_is_about() {
        let read = of(&format!("{} 0x7 0x0 0x1000 0x0 0x0 0x0 0x7ffc 0x7f2d\n", libc::SYS_read)).unwrap();
        assert_eq!((read.name.as_str(), read.descriptor), ("read", Some(7)));
        let wait = of(&format!("{} 0xffffffffffffffff 0x0 0x0 0x0 0x0 0x0 0x7ffc 0x7f2d\n", libc::SYS_wait4))
            .unwrap();
        assert_eq!(wait.process, None, "any child");
        let wait = of(&format!("{} 0x2a 0x0 0x0 0x0 0x0 0x0 0x7ffc 0x7f2d\n", libc::SYS_wait4)).unwrap();
        assert_eq!(wait.process, Some(42));
        let forever =
            of(&format!("{} 0x4 0x1 0x1 0xffffffff 0x0 0x0 0x7ffc 0x7f2d\n", libc::SYS_epoll_pwait)).unwrap();
        assert_eq!((forever.descriptor, forever.timeout_ms), (Some(4), None));
        let timed =
            of(&format!("{} 0x4 0x1 0x1 0x3e8 0x0 0x0 0x7ffc 0x7f2d\n", libc::SYS_epoll_pwait)).unwrap();
        assert_eq!(timed.timeout_ms, Some(1_000));
        assert_eq!(of("999 0x0 0x0 0x0 0x0 0x0 0x0 0x0 0x0").unwrap().name, "syscall 999");
        for none in ["running\n", "-1 0x7ffc 0x7f2d\n", "", "0 0x1 0x2", "x 0x0 0x0 0x0 0x0 0x0 0x0"] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
