//! Precedence for the one thread that must run on a busy machine: the warden's.

#![cfg_attr(target_os = "linux", expect(unsafe_code, reason = "scheduling policies have no safe wrapper"))]

use std::io;

/// How far before everybody else: a niceness. At -10 a thread that wakes up for a moment gets a processor at once from
/// any that are busy, and the others hardly notice.
#[cfg(target_os = "linux")]
const NICENESS: i32 = -10;

/// Lets the calling thread go before others where processors are scarce, and only it: what it starts later, threads and
/// processes, is as everybody else.
///
/// # Errors
/// `EPERM` without the privilege (`CAP_SYS_NICE`); the thread is then what it was.
#[cfg(target_os = "linux")]
#[doc(alias = "SCHED_RESET_ON_FORK")]
pub fn take_precedence() -> io::Result<()> {
    use nix::libc;

    let parameters = libc::sched_param { sched_priority: 0 };
    let policy = libc::SCHED_OTHER | libc::SCHED_RESET_ON_FORK;
    // SAFETY: thread 0 means the caller; reads `parameters`, which is one.
    if unsafe { libc::sched_setscheduler(0, policy, &raw const parameters) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: numbers only; on Linux the calling thread alone is meant.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Does nothing: only on Linux does the lab itself keep the deadlines.
///
/// # Errors
/// None here.
#[cfg(not(target_os = "linux"))]
pub fn take_precedence() -> io::Result<()> {
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
#[expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;

    /// The niceness of the calling thread, as the kernel says.
    fn niceness() -> i32 {
        let stat = std::fs::read_to_string("/proc/thread-self/stat").unwrap();
        let fields = stat[stat.rfind(')').unwrap() + 2..].split(' ');
        fields.map(str::to_owned).nth(16).unwrap().parse().unwrap()
    }

    #[test]
    fn precedence_is_the_threads_own() {
        let before = niceness();
        std::thread::spawn(move || match take_precedence() {
            Ok(()) => {
                assert_eq!(niceness(), NICENESS);
                assert_eq!(
                    std::thread::spawn(niceness).join().unwrap(),
                    0,
                    "what it starts goes with the others"
                );
            }
            Err(error) => {
                eprintln!("SKIPPED: no privilege to take precedence: {error}");
                assert_eq!(niceness(), before);
            }
        })
        .join()
        .unwrap();
        assert_eq!(niceness(), before, "the other threads of the process");
    }
}
