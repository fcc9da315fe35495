//! Builds the programs that a lab packages.

use std::path::{Path, PathBuf};

use crate::{Failure, FailureKind};

/// The programs that a lab consists of, built for packaging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The client.
    pub client: PathBuf,
    /// The driver.
    pub driver: PathBuf,
}

/// The cargo profile of what is packaged.
const PROFILE: &str = "packaged";

/// Builds client and driver in the workspace at `workspace`. Quick when nothing has changed.
///
/// # Errors
/// [`FailureKind::Bug`] when cargo fails; its own messages have been shown.
pub fn programs(workspace: &Path) -> Result<Programs, Failure> {
    let failed = |error: &std::io::Error| {
        Failure::new(FailureKind::Bug, format!("cannot build the client and the driver: {error}"))
            .mend("the compiler's messages above say why; cargo and a C compiler must be on PATH")
    };
    let arguments =
        ["build", "--quiet", "--profile", PROFILE, "--package", "lab-client", "--package", "lab-driver"];
    let missing = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::new(FailureKind::Bug, "cannot build the client and the driver: cargo is not on PATH")
                .mend("install Rust (https://rustup.rs), or add the folder of cargo to PATH")
        }
        _ => failed(&error),
    };
    duct::cmd("cargo", arguments).dir(workspace).stdout_to_stderr().run().map_err(missing)?;
    let target = target_folder(workspace).map_err(|error| failed(&error))?.join(PROFILE);
    Ok(Programs { client: target.join("lab-client"), driver: target.join("lab-driver") })
}

fn target_folder(workspace: &Path) -> std::io::Result<PathBuf> {
    let metadata = duct::cmd!("cargo", "metadata", "--format-version", "1", "--no-deps", "--offline");
    let text = metadata.dir(workspace).stderr_null().read()?;
    let metadata: serde_json::Value = serde_json::from_str(&text).map_err(std::io::Error::other)?;
    let folder = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    folder.map(PathBuf::from).ok_or_else(|| std::io::Error::other("cargo names no target folder"))
}
