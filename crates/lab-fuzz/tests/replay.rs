//! Every target with its corpus and with every input that once broke it, one test a target.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use lab_fuzz::TARGETS;
use libtest_mimic::{Arguments, Failed, Trial};

/// The most bytes of a target's corpus: it is cloned by everybody.
const CORPUS_BYTES_MAX: u64 = 200 << 10;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    #[cfg_attr(not(target_os = "linux"), expect(unused_mut, reason = "one test is for Linux only"))]
    let mut trials: Vec<Trial> =
        TARGETS.iter().map(|&(name, run)| Trial::test(name, move || replay(name, run))).collect();
    // Elsewhere some targets do not exist.
    #[cfg(target_os = "linux")]
    trials.push(Trial::test("every_input_and_program_belongs_to_a_target", belongs));
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Gives a target all its inputs; the one that breaks it is the last that is named.
fn replay(name: &str, run: fn(&[u8])) -> Result<(), Failed> {
    let corpus = files(&folder("corpus").join(name))?;
    let bytes: u64 = corpus.iter().map(|path| fs::metadata(path).map_or(0, |file| file.len())).sum();
    if corpus.is_empty() || bytes > CORPUS_BYTES_MAX {
        return Err(format!("its corpus has {} files of {bytes} bytes together", corpus.len()).into());
    }
    let regressions = folder("regressions").join(name);
    let regressions = if regressions.exists() { files(&regressions)? } else { Vec::new() };
    for path in corpus.iter().chain(&regressions) {
        let bytes = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        if std::panic::catch_unwind(|| run(&bytes)).is_err() {
            return Err(format!("{} breaks it", path.display()).into());
        }
    }
    Ok(())
}

/// No input lies where no target reads it, and no target lacks its fuzz program.
#[cfg(target_os = "linux")]
fn belongs() -> Result<(), Failed> {
    let mut targets: Vec<std::ffi::OsString> =
        TARGETS.iter().map(|(name, _)| std::ffi::OsString::from(name)).collect();
    targets.sort();
    for kind in ["corpus", "regressions"] {
        for path in files(&folder(kind))? {
            if !targets.iter().any(|target| path.file_name() == Some(target.as_os_str())) {
                return Err(format!("{} belongs to no target", path.display()).into());
            }
        }
    }
    let programs: Vec<std::ffi::OsString> = files(&folder("fuzz_targets"))?
        .iter()
        .filter_map(|path| path.file_stem().map(std::ffi::OsString::from))
        .collect();
    if programs != targets {
        return Err(format!("the fuzz programs are {programs:?}, the targets {targets:?}").into());
    }
    Ok(())
}

/// A folder of the fuzz workspace.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz").join(name)
}

/// What lies in a folder, in the order of the names, without hidden files.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let entries = fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let mut paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>()?;
    paths.retain(|path| !path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b".")));
    paths.sort();
    Ok(paths)
}
