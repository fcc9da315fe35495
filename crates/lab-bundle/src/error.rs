//! What goes wrong when bundles are built, signed or installed.

use std::path::{Path, PathBuf};

use lab_model::{BundleId, ClientId};

/// What went wrong while packaging or reading bundles.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Two clients share a name, and would share a folder.
    #[error("two clients are called {client}")]
    DuplicateClient {
        /// The name that occurs twice.
        client: ClientId,
    },
    /// Two clients share a bundle ID; macOS compares them without regard to case.
    #[error("clients {first} and {second} have the same bundle ID {bundle_id}")]
    DuplicateBundleId {
        /// The client that has it first.
        first: ClientId,
        /// The client that has it again.
        second: ClientId,
        /// The bundle ID.
        bundle_id: BundleId,
    },
    /// Nothing to name the app by that holds the clients as system extensions.
    #[error(
        "the clients' bundle IDs share no beginning of two parts, such as com.example, to name their host app by"
    )]
    NoHostId,
    /// The executable to package is a folder, a device or another thing that is no file.
    #[error("{} is no regular file and cannot be packaged", path.display())]
    NotAFile {
        /// What was to be packaged.
        path: PathBuf,
    },
    /// A file or folder could not be read, written or moved.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: a verb.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// An executable cannot be signed.
    #[error("cannot sign {}", path.display())]
    Signature {
        /// The executable.
        path: PathBuf,
        /// Why not.
        source: crate::signature::SignatureError,
    },
    /// A bundle is not as it must be.
    #[error("{} checks of the bundles failed, the first: {}", failed, first)]
    Check {
        /// How many failed.
        failed: usize,
        /// The first of them.
        first: Box<crate::Check>,
    },
    /// A file that the seal of our bundles does not cover.
    #[error("{} is not part of a client's bundle and would not be sealed", path.display())]
    UnsealedFile {
        /// The file.
        path: PathBuf,
    },
    /// A template cannot be filled.
    #[error(transparent)]
    Template(#[from] TemplateError),
}

impl BundleError {
    /// Makes an adapter for `map_err` that adds what was tried and where.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> BundleError {
        let path = path.to_path_buf();
        move |source| BundleError::Io { action, path, source }
    }
}

/// The largest program, property list or seal that is read whole, in bytes: a client with all of its symbols is a tenth.
const PART_BYTES_MAX: u64 = 1 << 30;

/// Reads a part of a bundle: a regular file of at most [`PART_BYTES_MAX`] bytes.
pub(crate) fn read_part(path: &Path) -> Result<Vec<u8>, BundleError> {
    lab_files::read(path, PART_BYTES_MAX).map_err(|error| BundleError::io("read", path)(error.into()))
}

/// As [`read_part`]; `None` when there is no such file.
pub(crate) fn read_part_if_there(path: &Path) -> Result<Option<Vec<u8>>, BundleError> {
    match read_part(path) {
        Err(BundleError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    }
}

/// What is wrong with a template.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// It is no property list.
    #[error("the template {name} is no property list")]
    Syntax {
        /// The template's file name.
        name: &'static str,
        /// The reader's reason.
        source: plist::Error,
    },
    /// Its outermost value is no dictionary.
    #[error("the template {name} is no dictionary")]
    NotADictionary {
        /// The template's file name.
        name: &'static str,
    },
    /// It has a placeholder that nobody fills.
    #[error("the template {name} has the unknown placeholder {placeholder}")]
    UnknownPlaceholder {
        /// The template's file name.
        name: &'static str,
        /// The placeholder as written.
        placeholder: String,
    },
    /// A launchd job without a list of program arguments.
    #[error("the template {name} has no ProgramArguments list")]
    NoProgramArguments {
        /// The template's file name.
        name: &'static str,
    },
    /// The filled property list could not be written out.
    #[error("the filled template {name} cannot be written as XML")]
    Write {
        /// The template's file name.
        name: &'static str,
        /// The writer's reason.
        source: plist::Error,
    },
}
