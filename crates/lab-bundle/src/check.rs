//! What a bundle is checked for, and what was found.

use std::fmt;

use lab_model::ClientId;

/// One question that [`crate::verify`] put to one bundle, and the answer in a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The client whose bundle it is.
    pub client: ClientId,
    /// What was looked at.
    pub subject: Subject,
    /// True when it is as it must be.
    pub passed: bool,
    /// What was found, in a few words.
    pub found: String,
}

/// What [`crate::verify`] looks at in each bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// `Info.plist` is there and parses.
    InfoPlist,
    /// `CFBundleIdentifier` is the lab's bundle ID.
    Identifier,
    /// No other bundle has the same identifier.
    UniqueIdentifier,
    /// `CFBundleExecutable` names the file in `MacOS/`.
    ExecutableName,
    /// The executable is a regular file that anybody may run.
    Executable,
    /// No other bundle shares its inode.
    OwnCopy,
    /// Its header names an architecture, and all bundles have the same one.
    Architecture,
    /// There is a code signature, and all that it vouches for is as it was signed.
    Signature,
    /// The signing identifier is the lab's bundle ID.
    SigningIdentifier,
    /// The signature carries the Endpoint Security entitlement.
    Entitlement,
    /// The programs besides the main one are signed under their own names, entitled to nothing, and sealed.
    Helpers,
    /// The host's seal names every file in it, and no other.
    Sealed,
    /// It is a system extension by its type, its folder's name and what it says to the user.
    Extension,
}

impl Subject {
    /// What every bundle is checked for, in order.
    pub const ALL: [Subject; 7] = [
        Subject::InfoPlist,
        Subject::Identifier,
        Subject::UniqueIdentifier,
        Subject::ExecutableName,
        Subject::Executable,
        Subject::OwnCopy,
        Subject::Architecture,
    ];

    /// What a signed bundle is checked for besides, in order.
    pub const SIGNED: [Subject; 4] =
        [Subject::Signature, Subject::SigningIdentifier, Subject::Entitlement, Subject::Helpers];

    /// The name in lists of checks.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Subject::InfoPlist => "info-plist",
            Subject::Identifier => "identifier",
            Subject::UniqueIdentifier => "unique-identifier",
            Subject::ExecutableName => "executable-name",
            Subject::Executable => "executable",
            Subject::OwnCopy => "own-copy",
            Subject::Architecture => "architecture",
            Subject::Signature => "signature",
            Subject::SigningIdentifier => "signing-identifier",
            Subject::Entitlement => "entitlement",
            Subject::Helpers => "helpers",
            Subject::Sealed => "sealed",
            Subject::Extension => "system-extension",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mark = if self.passed { "ok" } else { "failed" };
        write!(f, "{mark}: {} {}: {}", self.client, self.subject.name(), self.found)
    }
}
