//! How a run fails: one sentence, what fixes it, and an exit code after `sysexits.h`.

use std::{fmt, path::Path};

use lab_files::ReadError;

use crate::lack::Lack;

/// How a run went wrong, as far as the caller of `lab` has to tell cases apart. The numbers are exit codes
/// after `sysexits.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// What was asked for cannot be done as asked.
    Usage,
    /// A file holds nothing of what it should.
    Data,
    /// A kernel interface is missing.
    BackendMissing,
    /// The lab itself is at fault.
    Bug,
    /// The run's folder cannot be written.
    Output,
    /// All of the kernel's client slots are taken, or no further process can be had.
    NoSlot,
    /// A privilege is missing.
    Privilege,
    /// A product under test is missing, did not get ready, or may not run here.
    Product,
    /// The user interrupted it.
    Interrupted,
}

impl FailureKind {
    /// All kinds.
    pub const ALL: [FailureKind; 9] = [
        FailureKind::Usage,
        FailureKind::Data,
        FailureKind::BackendMissing,
        FailureKind::Bug,
        FailureKind::Output,
        FailureKind::NoSlot,
        FailureKind::Privilege,
        FailureKind::Product,
        FailureKind::Interrupted,
    ];

    /// The exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            FailureKind::Usage => 64,
            FailureKind::Data => 65,
            FailureKind::BackendMissing => 69,
            FailureKind::Bug => 70,
            FailureKind::Product => 72,
            FailureKind::Output => 74,
            FailureKind::NoSlot => 75,
            FailureKind::Privilege => 77,
            FailureKind::Interrupted => 130,
        }
    }
}

/// One clear sentence, what mends it, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind.
    pub kind: FailureKind,
    /// What is wrong.
    pub message: String,
    /// What mends it.
    pub mend: Option<String>,
}

/// What mends that this process has too few descriptors or too little memory.
pub const OWN_LACK: &str = "nothing was written; give this process more: descriptors with `ulimit -n`, memory with \
                            `ulimit -v` or memory.max of its control group";

impl Failure {
    /// A failure without advice.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Failure {
        Failure { kind, message: message.into(), mend: None }
    }

    /// The same failure with what mends it.
    #[must_use]
    pub fn mend(self, mend: impl Into<String>) -> Failure {
        Failure { mend: Some(mend.into()), ..self }
    }

    /// A failure to read a file or a folder.
    #[must_use]
    pub fn unread(path: &Path, error: &ReadError) -> Failure {
        let failure = Failure::new(FailureKind::Output, format!("cannot read {}: {error}", path.display()));
        if !error.is_own_lack() {
            return failure;
        }
        failure.mend(OWN_LACK)
    }

    /// A failure of what nothing stands in the way of but a want of the machine's or of this process's. Without one it is
    /// a bug.
    #[must_use]
    pub fn system(what: &str, error: &std::io::Error) -> Failure {
        if Lack::of(error).is_some() {
            return Failure::output(what, error);
        }
        Failure::new(FailureKind::Bug, format!("{what}: {error}"))
    }

    /// A failure to write the run's folder.
    #[must_use]
    pub fn output(what: &str, error: &std::io::Error) -> Failure {
        if let Some(distrust) = refusal(error) {
            return Failure::new(FailureKind::Privilege, format!("{what}: {distrust}")).mend(distrust.mend());
        }
        let (kind, mend) = Lack::of(error)
            .map_or((FailureKind::Output, "name a folder that can be written with --runs"), |lack| {
                (lack.kind(), lack.mend())
            });
        Failure::new(kind, format!("{what}: {error}")).mend(mend)
    }
}

/// The folder or file that is not used, when that is what an error is about.
fn refusal(error: &std::io::Error) -> Option<&lab_files::Distrust> {
    error.get_ref()?.downcast_ref::<lab_files::Distrust>().filter(|distrust| distrust.is_refusal())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// What is not used, because somebody else may have prepared it, or because it cannot be opened.
impl From<&lab_files::Distrust> for Failure {
    fn from(distrust: &lab_files::Distrust) -> Failure {
        let kind = if distrust.is_refusal() { FailureKind::Privilege } else { FailureKind::Output };
        Failure::new(kind, distrust.to_string()).mend(distrust.mend())
    }
}

impl From<lab_backend_fanotify::GroupError> for Failure {
    fn from(error: lab_backend_fanotify::GroupError) -> Failure {
        use lab_backend_fanotify::GroupError;
        let message = error.to_string();
        match error {
            GroupError::Privilege => {
                Failure::new(FailureKind::Privilege, message).mend("run it as root: sudo -E cargo lab …")
            }
            GroupError::Absent => Failure::new(FailureKind::BackendMissing, message)
                .mend("use a kernel with it, or --backend sim"),
            GroupError::TooMany => Failure::new(FailureKind::NoSlot, message)
                .mend("raise it: sysctl fs.fanotify.max_user_groups=256"),
            GroupError::NotAnArena { .. } | GroupError::Other { .. } => {
                Failure::new(FailureKind::Bug, message)
            }
        }
    }
}
