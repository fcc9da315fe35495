//! Builds the programs that a lab packages.

use std::{
    fs::File,
    io::{self, IsTerminal, Read, Write},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
};

use lab_files::{Distrust, Folder, Trusted};
use lab_process::platform::IS_MAC;

use crate::{Failure, FailureKind, lack::Lack};

/// The programs that a lab consists of, built for packaging.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Programs {
    /// The client.
    pub client: PathBuf,
    /// The driver.
    pub driver: PathBuf,
    /// The worker outside the clients' processes: their helpers and the daemons.
    pub worker: PathBuf,
}

/// Opens a program that root is going to execute or copy, if only trusted users may have written it.
///
/// # Errors
/// [`FailureKind::Privilege`] with the file or folder that others may write, [`FailureKind::Bug`] when there is none.
pub fn trusted_program(program: &Path, trusted: &Trusted) -> Result<File, Failure> {
    Folder::trusted_file(program, trusted).map_err(|distrust| match distrust {
        Distrust::Io { .. } | Distrust::OtherKind { .. } => {
            let message = format!("a program of the lab cannot be had: {distrust}");
            match distrust.io().and_then(Lack::of) {
                Some(lack) => Failure::new(lack.kind(), message).mend(lack.mend()),
                None => Failure::new(FailureKind::Bug, message),
            }
        }
        refusal => Failure::from(&refusal),
    })
}

/// The cargo profile of what is packaged.
const PROFILE: &str = "packaged";

/// Builds client, driver and worker in the workspace at `workspace`. Quick when nothing has changed.
///
/// # Errors
/// [`FailureKind::BackendMissing`] without cargo, [`FailureKind::Bug`] when it fails, or the kind of what it lacked; its
/// own messages have been shown.
pub fn programs(workspace: &Path) -> Result<Programs, Failure> {
    let arguments = [
        "build",
        "--quiet",
        "--profile",
        PROFILE,
        "-p",
        "lab-client",
        "-p",
        "lab-driver",
        "-p",
        "lab-worker",
    ];
    const WHAT: &str = "the client and the driver";
    run_cargo(WHAT, &duct::cmd("cargo", arguments).dir(workspace))?;
    let target = target_folder(workspace).map_err(|error| unstarted(WHAT, &error))?.join(PROFILE);
    let program = |name| target.join(name);
    Ok(Programs {
        client: program("lab-client"),
        driver: program("lab-driver"),
        worker: program("lab-worker"),
    })
}

/// The most of cargo's words that are kept to tell why it failed, in bytes: its last ones.
const WORDS_BYTES_MAX: usize = 64 << 10;

/// Runs cargo, passes its words on to standard error, and tells from them why it failed.
fn run_cargo(what: &str, cargo: &duct::Expression) -> Result<(), Failure> {
    // A pipe hides the terminal from cargo.
    let colours = if io::stderr().is_terminal() { "always" } else { "never" };
    let cargo = cargo.env("CARGO_TERM_COLOR", colours).stderr_to_stdout().unchecked();
    let mut output = readable(|| cargo.reader()).map_err(|error| unstarted(what, &error))?;
    let mut words = Vec::new();
    let mut piece = [0; 4096];
    loop {
        let count = match output.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(unstarted(what, &error)),
        };
        let said = piece.get(..count).unwrap_or_default();
        // Whether somebody reads it or not, the build goes on.
        drop(io::stderr().write_all(said));
        words.extend_from_slice(said);
        let surplus = words.len().saturating_sub(WORDS_BYTES_MAX);
        words.drain(..surplus);
    }
    let ended = output.try_wait().map_err(|error| unstarted(what, &error))?;
    let status = ended.map(|output| output.status);
    if status.is_some_and(|status| status.success()) {
        return Ok(());
    }
    let signal = status.and_then(|status| status.signal());
    let lack = signal.and_then(Lack::of_signal).or_else(|| Lack::of_words(&String::from_utf8_lossy(&words)));
    Err(lack.map_or_else(
        || {
            let how = status.map_or_else(|| "it did not end".to_owned(), |status| status.to_string());
            Failure::new(FailureKind::Bug, format!("cannot build {what}: cargo failed ({how})"))
                .mend("the compiler's messages above say why; a C compiler must be on PATH")
        },
        |lack| lack.of_build(what),
    ))
}

/// cargo cannot be started, or says nothing that can be read.
fn unstarted(what: &str, error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::NotFound {
        // What is missing is on this machine, not in the lab.
        return Failure::new(
            FailureKind::BackendMissing,
            format!("cannot build {what}: cargo is not on PATH"),
        )
        .mend("install Rust (https://rustup.rs), or add the folder of cargo to PATH");
    }
    match Lack::of(error) {
        Some(lack) => lack.of_build(what),
        None => Failure::new(FailureKind::Bug, format!("cannot build {what}: {error}"))
            .mend("`cargo metadata` in the workspace says why"),
    }
}

/// Has cargo make files that other users read but do not write, whatever mask this process has and was started with: the
/// target folder is shared with whoever owns the workspace. This process has one thread.
fn readable<T>(build: impl FnOnce() -> T) -> T {
    let own = lab_files::mask_modes(0o022);
    let built = build();
    lab_files::mask_modes(own);
    built
}

fn target_folder(workspace: &Path) -> std::io::Result<PathBuf> {
    let metadata = duct::cmd!("cargo", "metadata", "--format-version", "1", "--no-deps", "--offline");
    let text = metadata.dir(workspace).stderr_null().read()?;
    let metadata: serde_json::Value = serde_json::from_str(&text).map_err(std::io::Error::other)?;
    let folder = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    folder.map(PathBuf::from).ok_or_else(|| std::io::Error::other("cargo names no target folder"))
}

/// Builds the client for a machine, as rustc names it; without a name, for this one.
///
/// # Errors
/// [`FailureKind::BackendMissing`] when what that machine needs is absent here, [`FailureKind::Bug`] when cargo
/// fails; its own messages have been shown.
pub fn client_for(workspace: &Path, target: Option<&str>) -> Result<PathBuf, Failure> {
    program_for(workspace, target, "lab-client")
}

/// Builds the program of the clients' helpers for a machine, as [`client_for`] does.
///
/// # Errors
/// As [`client_for`].
pub fn helper_for(workspace: &Path, target: Option<&str>) -> Result<PathBuf, Failure> {
    program_for(workspace, target, "lab-worker")
}

/// Builds the program of the app around system extensions for a machine, as [`client_for`] does.
///
/// # Errors
/// As [`client_for`].
pub fn host_for(workspace: &Path, target: Option<&str>) -> Result<PathBuf, Failure> {
    program_for(workspace, target, "lab-host")
}

fn program_for(workspace: &Path, target: Option<&str>, package: &str) -> Result<PathBuf, Failure> {
    let folder = target_folder(workspace).map_err(|error| unstarted(package, &error))?;
    let mut arguments = vec!["build", "--quiet", "--profile", PROFILE, "--package", package];
    let mut environment = Vec::new();
    if let Some(target) = target {
        require_target(target)?;
        arguments.extend(["--target", target]);
        if target.ends_with("-apple-darwin") && !IS_MAC {
            environment = apple_environment(&folder, target)?;
        }
    }
    let build =
        environment.iter().fold(duct::cmd("cargo", arguments), |build, (name, value)| build.env(name, value));
    run_cargo(package, &build.dir(workspace))?;
    let built = target.map_or_else(|| folder.clone(), |target| folder.join(target));
    Ok(built.join(PROFILE).join(package))
}

/// Refuses a target whose standard library is not here: cargo's own message would be pages long.
fn require_target(target: &str) -> Result<(), Failure> {
    let folder = duct::cmd!("rustc", "--print", "target-libdir", "--target", target).stderr_null().read();
    match folder {
        Err(_) => Err(Failure::new(FailureKind::BackendMissing, format!("rustc knows no target {target}"))
            .mend(
                "`rustc --print target-list` lists them; a Mac with Apple silicon is aarch64-apple-darwin",
            )),
        Ok(folder) if !Path::new(folder.trim()).is_dir() => {
            let message = format!("the standard library for {target} is not installed");
            Err(Failure::new(FailureKind::BackendMissing, message)
                .mend(format!("rustup target add {target}")))
        }
        Ok(_) => Ok(()),
    }
}

/// What linking for a Mac takes on another system: a linker and a folder that stands for the SDK.
fn apple_environment(folder: &Path, target: &str) -> Result<Vec<(String, String)>, Failure> {
    let sdk = folder.join("mac").join("sdk");
    if !sdk.is_dir() {
        let message =
            format!("linking for {target} needs Apple's symbol lists, and {} is absent", sdk.display());
        let mend = format!("make it once: ci/link-for-mac.sh {PROFILE} lab-client");
        return Err(Failure::new(FailureKind::BackendMissing, message).mend(mend));
    }
    let prefix = format!("CARGO_TARGET_{}", target.to_uppercase().replace('-', "_"));
    Ok(vec![
        ("MACOSX_DEPLOYMENT_TARGET".to_owned(), "13.0".to_owned()),
        ("SDKROOT".to_owned(), sdk.to_string_lossy().into_owned()),
        (format!("{prefix}_LINKER"), "rust-lld".to_owned()),
        (format!("{prefix}_RUSTFLAGS"), "-Clinker-flavor=ld64.lld".to_owned()),
    ])
}
