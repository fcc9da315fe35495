//! Commands that lack something, and what they must not leave.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "as the module above")]

use std::{fs, path::PathBuf, process::Command};

use super::{Finished, LAB, Rig};

/// Runs a command below a program that limits it.
pub fn limited(rig: &Rig, program: &str, options: &[String], arguments: &[&str]) -> Finished {
    let lab = rig.command(arguments);
    let mut command = Command::new(program);
    command
        .args(options)
        .arg(lab.get_program())
        .args(lab.get_args())
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .env_remove("RUST_BACKTRACE");
    Finished::of(&command.output().unwrap())
}

/// Nothing of a lab is left, and nothing of a run.
pub fn nothing_was_made(rig: &Rig) {
    assert_eq!(rig.remains(), Vec::<String>::new());
    let runs: Vec<PathBuf> = fs::read_dir(rig.runs())
        .map_or_else(|_| Vec::new(), |runs| runs.map(|run| run.unwrap().path()).collect());
    assert_eq!(runs, Vec::<PathBuf>::new(), "no half-made run folder");
}

/// Runs `lab up quick` in a mount namespace of its own, with a tmpfs as its run store that is first prepared by a
/// shell command. What is in the store afterwards is listed on standard output behind a line `--`.
pub fn on_tmpfs(rig: &Rig, options: &str, prepare: &str, lab: &str) -> Finished {
    let runs = rig.runs();
    let runs = runs.to_str().unwrap();
    let script = format!(
        "mkdir -p {runs} && mount -t tmpfs -o {options} none {runs} && {prepare} || exit 99\n\
         {LAB} --configs {} --runs {runs} up {lab} --json; code=$?\n\
         echo --; find {runs} -mindepth 1 | sort\nexit $code\n",
        rig.configs().display()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]).env("NO_COLOR", "1").env_remove("RUST_LOG");
    Finished::of(&command.output().unwrap())
}
