//! Who may have prepared what a process uses, and what speaks against a folder.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use rustix::fs::Mode;

/// The users who may own and write what this process takes its orders, programs and files from.
///
/// For root these are root itself and the person who called sudo, and every folder on the way counts, because whoever may
/// write one of them decides what lies at its end. Anybody else acts with no more rights than their own: there, only the
/// folder itself has to belong to them or to root, and their own group may write it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusted {
    own: u32,
    caller: Option<u32>,
}

impl Trusted {
    /// Those whom a process of the user `own` trusts. `caller` is the user who called sudo, as `SUDO_UID` has it; it
    /// counts for root only, because anybody else can set that variable to what they like without gaining by it.
    #[must_use]
    pub fn of(own: u32, caller: Option<u32>) -> Trusted {
        Trusted { own, caller: caller.filter(|_| own == 0) }
    }

    /// Those whom this process trusts, by its effective user.
    #[must_use]
    pub fn of_this_process(caller: Option<u32>) -> Trusted {
        Trusted::of(rustix::process::geteuid().as_raw(), caller)
    }

    /// True when the user may own what this process uses.
    #[must_use]
    pub fn includes(&self, user: u32) -> bool {
        user == 0 || user == self.own || Some(user) == self.caller
    }

    /// The user who called sudo, when this process is root's.
    #[must_use]
    pub fn caller(&self) -> Option<u32> {
        self.caller
    }

    /// True for a process of root, which must check the whole way to what it uses.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.own == 0
    }

    /// What speaks against a folder or file of this owner and mode. `passing` is true for a folder on the way: there, the
    /// sticky bit keeps others from exchanging what a trusted user made in it.
    pub(crate) fn objection(&self, path: &Path, owner: u32, mode: Mode, passing: bool) -> Option<Distrust> {
        if !self.includes(owner) {
            return Some(Distrust::Owner {
                path: path.to_owned(),
                owner,
                own: self.own,
                caller: self.caller,
            });
        }
        let others = if self.is_root() { Mode::WGRP | Mode::WOTH } else { Mode::WOTH };
        let kept = passing && mode.contains(Mode::SVTX);
        (mode.intersects(others) && !kept)
            .then(|| Distrust::Writable { path: path.to_owned(), mode: permissions(mode) })
    }
}

/// Why a file or folder is not used.
#[derive(Debug, thiserror::Error)]
pub enum Distrust {
    /// It belongs to a user who is not trusted.
    #[error("{} belongs to user {owner}, {}", path.display(), Neither { own: *own, caller: *caller })]
    Owner {
        /// The file, link or folder.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// The user of this process.
        own: u32,
        /// The user who called sudo.
        caller: Option<u32>,
    },
    /// Users who are not trusted may write it.
    #[error("{} can be written by other users (mode {mode:o})", path.display())]
    Writable {
        /// The file or folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// It is a link where none may be.
    #[error("{} is a symbolic link", path.display())]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// It is something else than what is wanted.
    #[error("{} is not a {wanted}", path.display())]
    OtherKind {
        /// What was found.
        path: PathBuf,
        /// What it should be: `folder` or `regular file`.
        wanted: &'static str,
    },
    /// It cannot be reached.
    #[error("cannot open {}: {error}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        error: io::Error,
    },
}

impl Distrust {
    /// What mends it, as a command where one does.
    #[must_use]
    pub fn mend(&self) -> String {
        match self {
            Distrust::Owner { path, own, .. } => {
                format!("`chown {own} {}`, if you know what lies there", path.display())
            }
            Distrust::Writable { path, .. } => {
                format!("`chmod go-w {}`, if you know what lies there", path.display())
            }
            Distrust::Link { path } => {
                format!("remove {} or name the place that it points to", path.display())
            }
            Distrust::OtherKind { wanted, .. } => format!("name a {wanted}"),
            Distrust::Io { .. } => "check its name and mode".to_owned(),
        }
    }

    /// True when somebody else may have prepared it, and not merely when it is missing or cannot be read.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        !matches!(self, Distrust::Io { .. } | Distrust::OtherKind { .. })
    }

    /// The error of the kernel, where there is one.
    #[must_use]
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Distrust::Io { error, .. } => Some(error),
            _ => None,
        }
    }
}

/// For callers that know only errors of the kernel.
impl From<Distrust> for io::Error {
    fn from(distrust: Distrust) -> io::Error {
        match distrust {
            Distrust::Io { error, .. } => error,
            other => io::Error::new(io::ErrorKind::PermissionDenied, other),
        }
    }
}

/// The permission bits as a number.
#[allow(clippy::unnecessary_cast, reason = "the type differs between Linux and macOS")]
const fn permissions(mode: Mode) -> u32 {
    mode.bits() as u32 & 0o7777
}

struct Neither {
    own: u32,
    caller: Option<u32>,
}

impl fmt::Display for Neither {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.own, self.caller) {
            (0, Some(caller)) => write!(f, "who is neither root nor the caller of sudo (user {caller})"),
            (0, None) => f.write_str("who is not root"),
            (own, _) => write!(f, "who is neither root nor the user of this process ({own})"),
        }
    }
}

/// Sets the bits that no file has that this process and its children create, as `umask` does; returns those that were
/// set before. To be called first of all: a process inherits whatever mask its caller had, none included.
pub fn mask_modes(mask: u32) -> u32 {
    permissions(rustix::process::umask(crate::folder::bits(mask)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(own: u32, caller: Option<u32>, (owner, mode): (u32, u32), passing: bool, refused: bool) {
        let trusted = Trusted::of(own, caller);
        let objection = trusted.objection(Path::new("/x"), owner, crate::folder::bits(mode), passing);
        assert_eq!(objection.is_some(), refused, "{trusted:?} {owner} {mode:o} {passing}: {objection:?}");
    }

    #[test]
    fn owner_and_mode_decide() {
        for passing in [false, true] {
            check(0, None, (0, 0o755), passing, false);
            check(0, None, (1000, 0o755), passing, true);
            check(0, Some(1000), (1000, 0o755), passing, false);
            check(0, Some(1000), (1001, 0o755), passing, true);
            check(0, None, (0, 0o775), passing, true);
            check(0, None, (0, 0o757), passing, true);
            check(1000, None, (1000, 0o775), passing, false);
            check(1000, None, (0, 0o755), passing, false);
            check(1000, None, (1000, 0o757), passing, true);
            // Anybody can set a variable: it is believed of root's only.
            check(1000, Some(1001), (1001, 0o755), passing, true);
        }
        check(0, None, (0, 0o1777), true, false);
        check(0, None, (0, 0o1777), false, true);
        check(0, None, (1000, 0o1777), true, true);
    }
}
