//! How processes end: by the controller's hand, and what is said about it.

use std::{
    io::{Read, Seek, SeekFrom},
    path::Path,
};

use lab_backend_es::NewClientResult;
use lab_model::PhaseKind;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Failure, FailureKind, lack::Lack};

/// Ends a process of the lab for good. One that has ended already is no error.
pub(super) fn end(pid: u32) {
    send(pid, Signal::SIGKILL);
}

/// Sends a signal to a process of the lab. One that has ended already is no error.
pub(super) fn send(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().filter(|&pid| pid > 1)
        && let Err(error) = kill(Pid::from_raw(pid), signal)
    {
        tracing::debug!("cannot send {signal} to {pid}: {error}");
    }
}

/// How much of the end of a log is looked at for its last line, in bytes.
const LOG_END_BYTES_MAX: u64 = 64 * 1024;

/// How much of the beginning of a log is looked at for what a product says when it is ready, in bytes.
const LOG_BEGIN_BYTES_MAX: u64 = 16 << 20;

/// The line of a process's log that says why it ended: the first near its end that names a want, or else the last.
pub(super) fn last_line(log: &Path) -> Option<String> {
    let mut file = lab_files::open_regular(log).ok()?;
    let size = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(LOG_END_BYTES_MAX))).ok()?;
    let mut text = Vec::new();
    file.take(LOG_END_BYTES_MAX).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    let last = || text.lines().rfind(|line| !line.trim().is_empty());
    text.lines().find(|line| Lack::of_words(line).is_some()).or_else(last).map(str::to_owned)
}

/// True when a text stands at the beginning of a process's log, as far as that is looked at.
pub(super) fn has_said(log: &Path, text: &str) -> bool {
    let mut said = Vec::new();
    let read = lab_files::open_regular(log)
        .is_ok_and(|file| file.take(LOG_BEGIN_BYTES_MAX).read_to_end(&mut said).is_ok());
    read && String::from_utf8_lossy(&said).contains(text)
}

/// A wait status in words.
pub(super) fn describe(status: i32) -> String {
    match (status & 0x7f, (status >> 8) & 0xff) {
        (0, code) => format!("exit {code}"),
        (nix::libc::SIGXFSZ, _) => format!("signal {} (SIGXFSZ)", nix::libc::SIGXFSZ),
        (signal, _) => format!("signal {signal}"),
    }
}

/// What a process said of itself, as a failure of the run.
pub(super) fn process_failure(name: &str, message: &str) -> Failure {
    let failure = |kind| Failure::new(kind, format!("{name}: {message}"));
    if let Some(refusal) = NewClientResult::of_message(message) {
        let kind = match refusal {
            NewClientResult::TooManyClients => FailureKind::NoSlot,
            NewClientResult::NotEntitled | NewClientResult::NotPermitted | NewClientResult::NotPrivileged => {
                FailureKind::Privilege
            }
            NewClientResult::InvalidArgument => FailureKind::Bug,
            _ => FailureKind::BackendMissing,
        };
        return match refusal.advice() {
            Some(advice) => failure(kind).mend(advice.mend),
            None => failure(kind),
        };
    }
    if message.contains("No space left") {
        failure(FailureKind::Output).mend("free some space, or name another folder with --runs")
    } else if message.contains("max_user_groups") {
        failure(FailureKind::NoSlot).mend("raise it: sysctl fs.fanotify.max_user_groups=256")
    } else if message.contains("CAP_SYS_ADMIN") {
        failure(FailureKind::Privilege).mend("run it as root")
    } else if let Some(lack) = Lack::of_words(message) {
        failure(lack.kind()).mend(lack.mend())
    } else {
        failure(FailureKind::Bug)
    }
}

/// The driver's end in the middle of a phase, without which nothing is left to be shown.
pub(super) fn driver_failure(phase: PhaseKind, why: &str, log: &Path) -> Failure {
    let message = format!("the driver ended in the {}: {why}", phase.name());
    let words = last_line(log).unwrap_or_default();
    match Lack::of_words(why).or_else(|| Lack::of_words(&words)) {
        Some(lack) => Failure::new(lack.kind(), format!("{message}: {}", lack.words())).mend(lack.mend()),
        None => Failure::new(FailureKind::Bug, message)
            .mend(format!("what was recorded until then is kept; {} may say more", log.display())),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_refusal_of_endpoint_security_has_its_exit_code_and_its_advice() {
        let kinds = [
            FailureKind::Bug,
            FailureKind::BackendMissing,
            FailureKind::Privilege,
            FailureKind::Privilege,
            FailureKind::Privilege,
            FailureKind::NoSlot,
        ];
        for (refusal, kind) in NewClientResult::REFUSALS.into_iter().zip(kinds) {
            let failure = process_failure("alpha", &refusal.to_string());
            assert_eq!(failure.kind, kind, "{refusal}");
            assert_eq!(failure.mend.as_deref(), refusal.advice().map(|advice| advice.mend));
            assert!(failure.message.starts_with("alpha: es_new_client refused"), "{failure}");
        }
        assert_eq!(process_failure("alpha", "it fell over").kind, FailureKind::Bug);
    }

    /// What the C library and Rust's standard library say comes before their traces, and a signal may say it alone.
    #[test]
    fn a_driver_that_lacked_something_is_no_bug() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp");
        fs::create_dir_all(&folder).unwrap();
        let log = folder.join("driver-that-lacked.log");
        let ends = [
            ("", 25, FailureKind::Output, "(SIGXFSZ): a file would be larger"),
            (
                "memory allocation of 96 bytes failed\nstack backtrace:\n",
                6,
                FailureKind::Output,
                "little memory",
            ),
            ("thread 'main' panicked at x\n", 6, FailureKind::Bug, "signal 6"),
            ("", 9, FailureKind::Bug, "signal 9"),
        ];
        for (said, status, kind, words) in ends {
            fs::write(&log, said).unwrap();
            let failure = driver_failure(PhaseKind::Storm, &describe(status), &log);
            assert_eq!(failure.kind, kind, "{failure}");
            assert!(failure.message.starts_with("the driver ended in the storm: signal "), "{failure}");
            assert!(failure.message.contains(words), "{failure}");
        }
    }
}
