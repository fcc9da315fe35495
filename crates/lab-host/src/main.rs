//! The app around a lab's clients as system extensions.
//!
//! It asks macOS to activate every extension in its own bundle, or with `--deactivate` to take them away, and says
//! what becomes of each request. It decides nothing else and is no client: macOS starts and restarts the extensions.

// A program for one system, which compiles everywhere.
#[cfg(target_os = "macos")]
mod darwin;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};

/// The end of an extension's folder name; what is before it is its bundle ID.
const EXTENSION: &str = "systemextension";

/// What is asked of macOS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Request {
    Activate,
    Deactivate,
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            drop(writeln!(std::io::stderr(), "{error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<ExitCode> {
    let request = request(std::env::args().skip(1))?;
    let executable = std::env::current_exe().context("cannot tell where this program lies")?;
    let extensions = extensions(&folder(&executable)?)?;
    submit(&extensions, request)
}

#[cfg(target_os = "macos")]
fn submit(extensions: &[String], request: Request) -> Result<ExitCode> {
    darwin::submit(extensions, request)
}

#[cfg(not(target_os = "macos"))]
fn submit(_: &[String], request: Request) -> Result<ExitCode> {
    let verb = if request == Request::Activate { "activate" } else { "deactivate" };
    bail!("there are no system extensions here to {verb}")
}

fn request(mut arguments: impl Iterator<Item = String>) -> Result<Request> {
    match (arguments.next().as_deref(), arguments.next()) {
        (None, None) => Ok(Request::Activate),
        (Some("--deactivate"), None) => Ok(Request::Deactivate),
        _ => bail!("without arguments the extensions are activated; --deactivate takes them away"),
    }
}

/// Where the extensions of an app lie, by the path of its executable.
fn folder(executable: &Path) -> Result<PathBuf> {
    let contents = executable.parent().and_then(Path::parent);
    let contents = contents.filter(|contents| contents.ends_with("Contents"));
    let contents = contents.with_context(|| format!("{} lies in no app", executable.display()))?;
    Ok(contents.join("Library").join("SystemExtensions"))
}

/// The bundle IDs of the extensions in a folder, in order.
fn extensions(folder: &Path) -> Result<Vec<String>> {
    let listed = std::fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    let mut identifiers = Vec::new();
    for entry in listed {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == EXTENSION)
            && let Some(identifier) = path.file_stem().and_then(|stem| stem.to_str())
        {
            identifiers.push(identifier.to_owned());
        }
    }
    if identifiers.is_empty() {
        bail!("there is no system extension in {}", folder.display());
    }
    identifiers.sort();
    Ok(identifiers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_is_one_of_two_things() {
        let of = |words: &[&str]| request(words.iter().map(|&word| word.to_owned()));
        assert_eq!(of(&[]).unwrap(), Request::Activate);
        assert_eq!(of(&["--deactivate"]).unwrap(), Request::Deactivate);
        assert!(of(&["--deactivate", "all"]).is_err() && of(&["activate"]).is_err());
    }

    #[test]
    fn the_extensions_are_those_of_the_app_by_their_bundle_ids() {
        let executable = Path::new("/Applications/lab-host.app/Contents/MacOS/lab-host");
        let lies = "/Applications/lab-host.app/Contents/Library/SystemExtensions";
        assert_eq!(folder(executable).unwrap(), Path::new(lies));
        assert!(folder(Path::new("/usr/bin/lab-host")).is_err());

        let folder = std::env::temp_dir().join(format!("lab-host-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        assert!(extensions(&folder).is_err());
        for name in ["com.example.b.systemextension", "com.example.a.systemextension", "notes"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        assert_eq!(extensions(&folder).unwrap(), ["com.example.a", "com.example.b"]);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
