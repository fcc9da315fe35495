//! Carries out the steps of a plan on this machine, in order, and stops at the first that fails.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use crate::{BundleError, Step, ToolCall, launchd::LAUNCHCTL};

/// Written files are readable by all: launchd refuses jobs that others could write.
const FILE_MODE: u32 = 0o644;

/// What stopped a plan.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The tools of a plan exist on a Mac only.
    #[error("this needs a Mac: {0}")]
    NotAMac(String),
    /// A tool could not be started.
    #[error("cannot start {call}")]
    Start {
        /// The command line.
        call: String,
        /// The system's reason.
        source: io::Error,
    },
    /// A tool ended with an error.
    #[error("{call} failed with {status}: {said}")]
    Failed {
        /// The command line.
        call: String,
        /// How it ended.
        status: String,
        /// What it printed.
        said: String,
    },
    /// A file or folder could not be changed.
    #[error(transparent)]
    File(#[from] BundleError),
}

/// What runs the system's tools. A plan never starts one by itself, so that a test can put another in their place.
pub trait Tools: Send + Sync {
    /// Runs one tool, waits for its end and gives back what it printed, errors included.
    ///
    /// # Errors
    /// When it cannot be started, or ends with another code than 0 and those that are also fine.
    fn run(&self, call: &ToolCall) -> Result<String, StepError>;
}

/// The tools of this machine. They are a Mac's: elsewhere every call is refused.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemTools;

impl Tools for SystemTools {
    fn run(&self, call: &ToolCall) -> Result<String, StepError> {
        // This crate lies beside the one that knows the system.
        if cfg!(target_os = "macos") {
            start(Path::new(call.program), call)
        } else {
            Err(StepError::NotAMac(call.to_string()))
        }
    }
}

/// A program in the place of `launchctl`: with it the lab's way through launchd runs where there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StandIn {
    /// Takes what `launchctl` would be given.
    pub launchctl: PathBuf,
}

impl Tools for StandIn {
    fn run(&self, call: &ToolCall) -> Result<String, StepError> {
        if call.program == LAUNCHCTL {
            start(&self.launchctl, call)
        } else {
            Err(StepError::NotAMac(call.to_string()))
        }
    }
}

/// Carries a plan out, step by step, and stops at the first that fails.
///
/// # Errors
/// At the first step that fails; what was done until then stays, and the plan can be carried out again.
pub fn carry_out(steps: &[Step], tools: &dyn Tools) -> Result<(), StepError> {
    steps.iter().try_for_each(|step| take(step, tools))
}

/// Takes one step.
pub(crate) fn take(step: &Step, tools: &dyn Tools) -> Result<(), StepError> {
    match step {
        Step::Run(call) => tools.run(call).map(drop),
        Step::MakeFolder(folder) => {
            Ok(fs::create_dir_all(folder).map_err(BundleError::io("make the folder", folder))?)
        }
        Step::Copy { from, to } => Ok(copy(from, to)?),
        Step::Write { path, bytes } => Ok(write(path, bytes)?),
        Step::Remove(what) => Ok(remove(what)?),
    }
}

fn start(program: &Path, call: &ToolCall) -> Result<String, StepError> {
    let output = duct::cmd(program, &call.arguments)
        .stderr_to_stdout()
        .stdout_capture()
        .stdin_null()
        .unchecked()
        .run()
        .map_err(|source| StepError::Start { call: call.to_string(), source })?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let fine =
        output.status.success() || output.status.code().is_some_and(|code| call.also_fine.contains(&code));
    if fine {
        Ok(said)
    } else {
        let status = output.status.to_string();
        Err(StepError::Failed { call: call.to_string(), status, said: said.trim().to_owned() })
    }
}

/// A name beside `path` under which its successor is made.
fn beside(path: &Path, what: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{what}"))
}

fn copy(from: &Path, to: &Path) -> Result<(), BundleError> {
    let partial = beside(to, "partial");
    remove(&partial)?;
    copy_tree(from, &partial)?;
    remove(to)?;
    fs::rename(&partial, to).map_err(BundleError::io("move into place", to))
}

/// Copies a file or a folder; the depth is that of a bundle of ours. Links are copied as what they lead to.
fn copy_tree(from: &Path, to: &Path) -> Result<(), BundleError> {
    let metadata = fs::metadata(from).map_err(BundleError::io("read", from))?;
    if !metadata.is_dir() {
        return fs::copy(from, to).map(drop).map_err(BundleError::io("copy to", to));
    }
    fs::create_dir(to).map_err(BundleError::io("make the folder", to))?;
    for entry in fs::read_dir(from).map_err(BundleError::io("list", from))? {
        let entry = entry.map_err(BundleError::io("list", from))?;
        copy_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    let partial = beside(path, "partial");
    fs::write(&partial, bytes).map_err(BundleError::io("write", &partial))?;
    fs::set_permissions(&partial, fs::Permissions::from_mode(FILE_MODE))
        .map_err(BundleError::io("set the mode of", &partial))?;
    fs::rename(&partial, path).map_err(BundleError::io("move into place", path))
}

fn remove(path: &Path) -> Result<(), BundleError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BundleError::io("remove", path)(error)),
        _ => Ok(()),
    }
}
