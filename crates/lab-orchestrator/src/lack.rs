//! What a machine or a process has too little of: told from an error of the kernel, or from what another program said
//! when it met one. Each has its own advice and exit code, because none of them is a mistake of the lab or its file.

use std::io;

use nix::errno::Errno;

use crate::{Failure, FailureKind, OWN_LACK};

/// One kind of want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    /// No process or thread can be had (EAGAIN of `clone`).
    Processes,
    /// No memory, or no descriptors.
    Own,
    /// A file would be larger than this process may make one (EFBIG, SIGXFSZ).
    FileSize,
    /// No space on the disk, or none of the user's share of it.
    Space,
    /// A folder that is not to be written.
    ReadOnly,
    /// `/proc` or `/dev/null` is absent.
    System,
    /// The registry of crates cannot be reached.
    Network,
}

/// Words of cargo, rustc and the linker, which hold the C library's text of an error or their own.
const WORDS: [(&str, Lack); 24] = [
    ("Resource temporarily unavailable", Lack::Processes),
    ("failed to spawn thread", Lack::Processes),
    ("Cannot allocate memory", Lack::Own),
    ("memory allocation of", Lack::Own),
    ("out of memory", Lack::Own),
    ("failed to map segment from shared object", Lack::Own),
    ("this process cannot have the memory", Lack::Own),
    ("Too many open files", Lack::Own),
    ("File too large", Lack::FileSize),
    ("file too large", Lack::FileSize),
    ("SIGXFSZ", Lack::FileSize),
    ("No space left on device", Lack::Space),
    ("Disk quota exceeded", Lack::Space),
    ("Read-only file system", Lack::ReadOnly),
    ("cannot open /dev/null", Lack::System),
    ("/dev/null: No such file", Lack::System),
    ("/proc/self/exe: No such file", Lack::System),
    ("no /proc", Lack::System),
    ("Could not resolve host", Lack::Network),
    ("Couldn't resolve host", Lack::Network),
    ("failed to download", Lack::Network),
    ("spurious network error", Lack::Network),
    ("Could not connect to server", Lack::Network),
    ("attempting to make an HTTP request, but --offline", Lack::Network),
];

impl Lack {
    /// What an error of this process says is lacking.
    pub(crate) fn of(error: &io::Error) -> Option<Lack> {
        if lab_files::is_own_lack(error) {
            return Some(Lack::Own);
        }
        Some(match Errno::from_raw(error.raw_os_error()?) {
            Errno::EAGAIN => Lack::Processes,
            Errno::EFBIG => Lack::FileSize,
            Errno::ENOSPC | Errno::EDQUOT => Lack::Space,
            Errno::EROFS => Lack::ReadOnly,
            _ => return None,
        })
    }

    /// What another program says is lacking. The first of its words counts: what it met first led to the rest, but for
    /// the network, about which cargo complains also when it could not open a file that it has downloaded. Where the
    /// compiler found a mistake, that is the reason, whatever the mistake quotes.
    pub(crate) fn of_words(words: &str) -> Option<Lack> {
        if words.contains("error[E") {
            return None;
        }
        let found = WORDS.iter().filter_map(|(word, lack)| Some((words.find(word)?, *lack)));
        found.min_by_key(|(place, lack)| (*lack == Lack::Network, *place)).map(|(_, lack)| lack)
    }

    /// What a program lacked that a signal ended.
    pub(crate) fn of_signal(signal: i32) -> Option<Lack> {
        (signal == nix::libc::SIGXFSZ).then_some(Lack::FileSize)
    }

    /// The kind of failure.
    pub(crate) fn kind(self) -> FailureKind {
        match self {
            Lack::Processes => FailureKind::NoSlot,
            Lack::Own | Lack::FileSize | Lack::Space | Lack::ReadOnly => FailureKind::Output,
            Lack::System | Lack::Network => FailureKind::BackendMissing,
        }
    }

    /// The want in words.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Lack::Processes => "no further process or thread can be had",
            Lack::Own => "there is too little memory, or too few descriptors",
            Lack::FileSize => "a file would be larger than this process may make one",
            Lack::Space => "the disk is full",
            Lack::ReadOnly => "the folder is not to be written",
            Lack::System => "/proc or /dev/null is not as programs need it",
            Lack::Network => "crates are missing here, and the registry cannot be reached",
        }
    }

    /// What mends it when the run store lacks it.
    pub(crate) fn mend(self) -> &'static str {
        match self {
            Lack::Processes => {
                "raise pids.max of the control group (TasksMax of a unit), `ulimit -u` of this user, or `ulimit -v`: a \
                 thread takes address space as well"
            }
            Lack::Own => OWN_LACK,
            Lack::FileSize => "raise it: ulimit -f unlimited",
            Lack::Space => "free some space, or name another folder with --runs",
            Lack::ReadOnly => "name a folder that can be written with --runs",
            Lack::System => "mount proc on /proc, and a devtmpfs or a bind of the host's /dev on /dev",
            Lack::Network => {
                "connect once and run `cargo fetch` in the workspace; later builds need no network"
            }
        }
    }

    /// What mends it when the build lacks it: that writes to the target folder.
    pub(crate) fn mend_of_build(self) -> &'static str {
        match self {
            Lack::Space => "free some space, or name another target folder with CARGO_TARGET_DIR",
            Lack::ReadOnly => "name a target folder that can be written with CARGO_TARGET_DIR",
            other => other.mend(),
        }
    }

    /// The failure of a build.
    pub(crate) fn of_build(self, what: &str) -> Failure {
        Failure::new(self.kind(), format!("cannot build {what}: {}", self.words())).mend(self.mend_of_build())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cargo_says_tells_what_is_lacking() {
        let said = [
            (
                "error: could not execute process `rustc -vV` (never executed)\n\nCaused by:\n  \
              Resource temporarily unavailable (os error 11)",
                Some(Lack::Processes),
                75,
            ),
            ("memory allocation of 4194304 bytes failed", Some(Lack::Own), 74),
            (
                "error: failed to open: target/.cargo-lock\n\nCaused by:\n  Too many open files (os error 24)",
                Some(Lack::Own),
                74,
            ),
            ("error: failed to write: File too large (os error 27)", Some(Lack::FileSize), 74),
            (
                "process didn't exit successfully: `rustc` (signal: 25, SIGXFSZ: file size limit exceeded)",
                Some(Lack::FileSize),
                74,
            ),
            ("error: failed to write x: No space left on device (os error 28)", Some(Lack::Space), 74),
            (
                "error: failed to open: /w/target/.cargo-lock\n\nCaused by:\n  Read-only file system (os error 30)",
                Some(Lack::ReadOnly),
                74,
            ),
            (
                "error: failed to download from `x`\n\nCaused by:\n  unable to read .cargo-ok file: \
                 Too many open files (os error 24)",
                Some(Lack::Own),
                74,
            ),
            (
                "rustc: error while loading shared libraries: librustc_driver.so: \
                 failed to map segment from shared object",
                Some(Lack::Own),
                74,
            ),
            ("the driver ended in the storm: signal 25 (SIGXFSZ)", Some(Lack::FileSize), 74),
            ("error: cannot open /dev/null: No such file or directory", Some(Lack::System), 69),
            (
                "error: failed to download from `https://x`\n\nCaused by:\n  [6] Could not resolve hostname",
                Some(Lack::Network),
                69,
            ),
            ("error[E0308]: mismatched types", None, 70),
            ("error[E0425]: cannot find value\n  |  open(\"No space left on device\")", None, 70),
            ("a warning about a path: /dev/null", None, 70),
        ];
        for (words, lack, code) in said {
            assert_eq!(Lack::of_words(words), lack, "{words}");
            assert_eq!(lack.map_or(FailureKind::Bug, Lack::kind).exit_code(), code, "{words}");
        }
    }

    #[test]
    fn errors_of_the_kernel_tell_what_is_lacking() {
        let errors = [
            (nix::libc::EAGAIN, Some(Lack::Processes)),
            (nix::libc::EMFILE, Some(Lack::Own)),
            (nix::libc::ENOMEM, Some(Lack::Own)),
            (nix::libc::EFBIG, Some(Lack::FileSize)),
            (nix::libc::EDQUOT, Some(Lack::Space)),
            (nix::libc::EROFS, Some(Lack::ReadOnly)),
            (nix::libc::EACCES, None),
        ];
        for (number, lack) in errors {
            let error = io::Error::from_raw_os_error(number);
            assert_eq!(Lack::of(&error), lack, "{error}");
            let failure = Failure::system("no event loop", &error);
            assert_eq!(failure.kind, lack.map_or(FailureKind::Bug, Lack::kind), "{error}");
            let failure = Failure::output("cannot start the driver", &error);
            assert_eq!(failure.kind, lack.map_or(FailureKind::Output, Lack::kind), "{error}");
        }
    }
}
