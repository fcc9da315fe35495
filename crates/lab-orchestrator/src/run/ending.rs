//! How processes end: by the controller's hand, and what is said about it.

use std::{
    io::{self, Read, Seek, SeekFrom},
    path::Path,
};

use lab_backend_es::NewClientResult;
use lab_model::{FailureReason, PhaseKind};
use lab_process::failure::{reason_of, reason_of_end};
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

/// Why a process of the lab could not go on: from its last message or, when it could send none, from its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProcessFailure {
    message: String,
    consequence: Consequence,
    /// What the process itself would have done about it.
    mend: Option<String>,
}

impl ProcessFailure {
    /// What a process said of itself.
    pub(super) fn said(message: String, reason: FailureReason, mend: Option<String>) -> ProcessFailure {
        ProcessFailure { message, consequence: Consequence::of(reason), mend }
    }

    /// The end of a process that has said nothing.
    pub(super) fn ended(status: i32, log: &Path) -> ProcessFailure {
        ProcessFailure::with_log(
            format!("it ended at once, {}", describe(status)),
            reason_of_end(status),
            log,
        )
    }

    /// A process that could not be started, or not be reached.
    pub(super) fn unreached(error: &io::Error, log: &Path) -> ProcessFailure {
        ProcessFailure::with_log(error.to_string(), reason_of(error), log)
    }

    fn with_log(what: String, reason: FailureReason, log: &Path) -> ProcessFailure {
        let words = last_line(log);
        let message = words.as_ref().map_or_else(|| what.clone(), |words| format!("{what}: {words}"));
        ProcessFailure { message, consequence: Consequence::of_end(reason, words.as_deref()), mend: None }
    }

    /// As a failure of the run.
    pub(super) fn of(&self, name: &str) -> Failure {
        let Consequence { kind, mend, .. } = self.consequence;
        let failure = Failure::new(kind, format!("{name}: {}", self.message));
        Failure { mend: mend.map(str::to_owned).or_else(|| self.mend.clone()), ..failure }
    }
}

/// What follows from the reason of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Consequence {
    kind: FailureKind,
    mend: Option<&'static str>,
    lack: Option<Lack>,
}

impl Consequence {
    fn of(reason: FailureReason) -> Consequence {
        let (kind, mend) = match reason {
            FailureReason::Privilege => (FailureKind::Privilege, Some("run it as root")),
            FailureReason::NoInterface => {
                (FailureKind::BackendMissing, Some("use a kernel with it, or --backend sim"))
            }
            FailureReason::NoClientSlot => {
                (FailureKind::NoSlot, Some("raise it: sysctl fs.fanotify.max_user_groups=256"))
            }
            FailureReason::Refused { code } => {
                let refusal = NewClientResult::from_code(code);
                (kind_of_refusal(refusal), refusal.advice().map(|advice| advice.mend))
            }
            FailureReason::Lack { errno } => match Lack::of(&io::Error::from_raw_os_error(errno)) {
                Some(lack) => return Consequence::of_lack(lack),
                None => (FailureKind::Bug, None),
            },
            FailureReason::Other => (FailureKind::Bug, None),
        };
        Consequence { kind, mend, lack: None }
    }

    fn of_lack(lack: Lack) -> Consequence {
        Consequence { kind: lack.kind(), mend: Some(lack.mend()), lack: Some(lack) }
    }

    /// Of a process that could not say why. Then the loader or an allocator may have said something before it.
    fn of_end(reason: FailureReason, log: Option<&str>) -> Consequence {
        match (reason, log.and_then(Lack::of_words)) {
            (FailureReason::Other, Some(lack)) => Consequence::of_lack(lack),
            (reason, _) => Consequence::of(reason),
        }
    }
}

const fn kind_of_refusal(refusal: NewClientResult) -> FailureKind {
    match refusal {
        NewClientResult::TooManyClients => FailureKind::NoSlot,
        NewClientResult::NotEntitled | NewClientResult::NotPermitted | NewClientResult::NotPrivileged => {
            FailureKind::Privilege
        }
        NewClientResult::InvalidArgument => FailureKind::Bug,
        _ => FailureKind::BackendMissing,
    }
}

/// The driver's end in the middle of a phase, without which nothing is left to be shown. `status` is its wait status,
/// where it has ended.
pub(super) fn driver_failure(
    phase: PhaseKind,
    said: Option<&ProcessFailure>,
    status: Option<i32>,
    log: &Path,
) -> Failure {
    let why = match (said, status) {
        (Some(said), _) => said.message.clone(),
        (None, Some(status)) => describe(status),
        (None, None) => "its trace is closed".to_owned(),
    };
    let message = format!("the driver ended in the {}: {why}", phase.name());
    let unsaid = || {
        let reason = status.map(reason_of_end).unwrap_or_default();
        Consequence::of_end(reason, last_line(log).as_deref())
    };
    let Consequence { kind, mend, lack } = said.map_or_else(unsaid, |said| said.consequence);
    let message = match lack {
        Some(lack) => format!("{message}: {}", lack.words()),
        None => message,
    };
    let kept = || format!("what was recorded until then is kept; {} may say more", log.display());
    Failure::new(kind, message).mend(mend.map_or_else(kept, str::to_owned))
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
            let reason = FailureReason::Refused { code: refusal.code() };
            let failure = ProcessFailure::said(refusal.to_string(), reason, None).of("alpha");
            assert_eq!(failure.kind, kind, "{refusal}");
            assert_eq!(failure.mend.as_deref(), refusal.advice().map(|advice| advice.mend));
            assert!(failure.message.starts_with("alpha: es_new_client refused"), "{failure}");
        }
    }

    /// Every reason with the words of another, which count for nothing.
    #[test]
    fn a_failure_is_judged_by_its_reason_and_never_by_its_words() {
        let words = "No space left on device, max_user_groups, CAP_SYS_ADMIN, es_new_client refused the client with \
                     result 6, Too many open files, no /proc";
        let lack = |errno| FailureReason::Lack { errno };
        let check = |reason, code, mend: Option<&str>| {
            let failure = ProcessFailure::said(words.to_owned(), reason, None).of("alpha");
            assert_eq!(failure.message, format!("alpha: {words}"));
            assert_eq!(failure.kind.exit_code(), code, "{reason:?}");
            assert_eq!(failure.mend.is_some(), mend.is_some(), "{reason:?}: {:?}", failure.mend);
            assert!(failure.mend.unwrap_or_default().contains(mend.unwrap_or_default()), "{reason:?}");
            // And by the status alone, when it could send no message.
            let status = i32::from(reason.exit_status()) << 8;
            let failure = ProcessFailure::ended(status, Path::new("/nowhere")).of("alpha");
            assert_eq!(failure.kind.exit_code(), code, "{reason:?}: {failure}");
            let failure = driver_failure(PhaseKind::Storm, None, Some(status), Path::new("/nowhere"));
            assert_eq!(failure.kind.exit_code(), code, "{reason:?}: {failure}");
        };
        check(FailureReason::Privilege, 77, Some("root"));
        check(FailureReason::NoInterface, 69, Some("--backend sim"));
        check(FailureReason::NoClientSlot, 75, Some("max_user_groups"));
        check(lack(nix::libc::ENOSPC), 74, Some("free some space"));
        check(lack(nix::libc::EDQUOT), 74, Some("free some space"));
        check(lack(nix::libc::EROFS), 74, Some("can be written"));
        check(lack(nix::libc::EMFILE), 74, Some("ulimit -n"));
        check(lack(nix::libc::ENOMEM), 74, Some("memory"));
        check(lack(nix::libc::EFBIG), 74, Some("ulimit -f"));
        check(lack(nix::libc::EAGAIN), 75, Some("pids.max"));
        check(lack(nix::libc::EPERM), 70, None);
        check(FailureReason::Other, 70, None);
    }

    #[test]
    fn what_a_process_would_do_about_it_is_said_where_the_reason_says_nothing() {
        let mend = Some("use lab and lab-driver of one build".to_owned());
        let failure = ProcessFailure::said("no".to_owned(), FailureReason::Other, mend.clone());
        assert_eq!(failure.of("driver").mend, mend);
        let failure = ProcessFailure::said("no".to_owned(), FailureReason::Privilege, mend);
        assert_eq!(failure.of("driver").mend.as_deref(), Some("run it as root"));
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
            let failure = driver_failure(PhaseKind::Storm, None, Some(status), &log);
            assert_eq!(failure.kind, kind, "{failure}");
            assert!(failure.message.starts_with("the driver ended in the storm: signal "), "{failure}");
            assert!(failure.message.contains(words), "{failure}");
        }
    }
}
