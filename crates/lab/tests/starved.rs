//! What `lab` says where something is lacking that every program takes for granted: its own sentence, what mends it
//! and the exit code of that want, never that of a bug.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start programs and look at what they leave"
)]

mod rig;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    process::{Command, ExitCode},
};

use libtest_mimic::Arguments;
use rig::{
    ControlGroup, Finished, LAB, Live, QUICK_OF_TWO as QUICK, Rig, anywhere, limited, live, on_tmpfs,
    sums_add_up,
};

fn main() -> ExitCode {
    let few_processes = Live {
        lacks: ControlGroup::of_processes("probe", 100).err(),
        ..live("a_control_group_of_few_processes", few_processes)
    };
    let tests: Vec<Live> = vec![
        anywhere("a_working_directory_that_is_gone", no_working_directory),
        anywhere("a_build_that_lacks_something", lacking_builds),
        anywhere("a_build_that_a_file_size_limit_ends", file_size_limit),
        anywhere("names_longer_than_the_kernel_takes", long_names),
        live("a_run_store_that_executes_nothing", noexec),
        live("closed_standard_streams", closed_streams),
        live("no_address_space_for_the_threads_of_a_lab", no_address_space),
        live("a_trace_that_may_not_grow_in_the_storm", no_larger_file),
        few_processes,
    ];
    rig::main_beside(2, Arguments::from_args(), tests)
}

fn rig(name: &str) -> Rig {
    Rig::with_lab(name, "quick", QUICK)
}

/// Runs a shell script, which ends in the `lab` under test.
fn shell(script: &str) -> Finished {
    let mut command = Command::new("sh");
    command.args(["-c", script]).env("NO_COLOR", "1").env_remove("RUST_LOG");
    Finished::of(&command.output().unwrap())
}

fn no_working_directory() {
    let rig = rig("no-working-directory");
    let gone = rig.root.join("gone");
    let gone = gone.display();
    let enter = format!("mkdir {gone} && cd {gone} && rmdir {gone} &&");
    let finished = shell(&format!("{enter} {LAB} list"));
    assert_eq!(
        finished.stderr,
        "error: this process has no working directory: No such file or directory (os error 2)\n  \
         help: go to a folder that exists (cd), or name whole paths with --configs and --runs\n"
    );
    assert_eq!(finished.code, Some(64));
    let folders = format!("--configs {} --runs {}", rig.configs().display(), rig.runs().display());
    for words in [format!("{folders} list"), format!("{folders} validate quick"), "schema".to_owned()] {
        let finished = shell(&format!("{enter} {LAB} {words}"));
        assert_eq!(finished.code, Some(0), "{words}: {}", finished.stderr);
    }
}

/// Runs `lab up quick` with a `cargo` of these words.
fn with_cargo(rig: &Rig, cargo: &str) -> Finished {
    let folder = rig.root.join("programs");
    fs::create_dir_all(&folder).unwrap();
    let program = folder.join("cargo");
    fs::write(&program, format!("#!/bin/sh\n{cargo}\n")).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    Finished::of(&rig.command(&["up", "quick"]).env("PATH", path).output().unwrap())
}

/// The words are those that cargo, rustc and the C library say; they stay to be seen.
fn lacking_builds() {
    let cases = [
        ("Resource temporarily unavailable (os error 11)", 75, "no further process", "pids.max"),
        ("memory allocation of 4194304 bytes failed", 74, "too little memory", "ulimit -v"),
        ("Cannot allocate memory (os error 12)", 74, "too little memory", "ulimit -v"),
        ("Too many open files (os error 24)", 74, "too few descriptors", "ulimit -n"),
        ("File too large (os error 27)", 74, "a file would be larger", "ulimit -f"),
        ("No space left on device (os error 28)", 74, "the disk is full", "CARGO_TARGET_DIR"),
        ("Read-only file system (os error 30)", 74, "not to be written", "CARGO_TARGET_DIR"),
        ("cannot open /dev/null", 69, "/proc or /dev/null", "mount proc"),
        ("Could not resolve host: index.crates.io", 69, "registry cannot be reached", "cargo fetch"),
        ("error[E0308]: mismatched types", 70, "cargo failed (exit status: 101)", "compiler's messages"),
    ];
    let rig = rig("lacking-builds");
    for (words, code, sentence, mend) in cases {
        let finished = with_cargo(&rig, &format!("echo '{words}' >&2; exit 101"));
        assert_eq!(finished.code, Some(code), "{words}: {}", finished.stderr);
        let (shown, said) = finished.stderr.split_once("error: cannot build").unwrap();
        assert!(shown.contains(words), "cargo's own words are shown: {}", finished.stderr);
        let (message, help) = said.split_once("\n  help: ").unwrap();
        assert!(message.contains(sentence) && help.contains(mend), "{words}: {said}");
        assert!(!rig.runs().exists(), "no half-made run");
    }
}

/// A real limit and a program that meets it: the signal, not a word, says what happened.
fn file_size_limit() {
    let rig = rig("file-size-limit");
    let file = rig.root.join("large");
    let cargo = format!("ulimit -f 1; exec dd if=/dev/zero of={} bs=64k count=1 2>&-", file.display());
    let finished = with_cargo(&rig, &cargo);
    assert_eq!(finished.code, Some(74), "{}", finished.stderr);
    assert_eq!(
        finished.stderr,
        "error: cannot build the client and the driver: a file would be larger than this process may make one\n  \
         help: raise it: ulimit -f unlimited\n"
    );
}

fn long_names() {
    let rig = rig("long-names");
    let name = "n".repeat(251);
    let finished = rig.run(&["up", &name]);
    assert_eq!(finished.code, Some(64));
    let expected = "error: a lab's name of 251 bytes is longer than any file's: it may have 250\n";
    assert!(finished.stderr.starts_with(expected), "{}", finished.stderr);
    let store = |path: &str| {
        Finished::of(&Command::new(LAB).args(["--runs", path, "list"]).env("NO_COLOR", "1").output().unwrap())
    };
    let finished = store(&format!("/{}", "s/".repeat(2000)));
    assert_eq!(finished.code, Some(64));
    assert!(finished.stderr.contains("4001 bytes, and may have 3072"), "{}", finished.stderr);
    let finished = store(&format!("/tmp/{}", "s".repeat(256)));
    assert_eq!(finished.code, Some(64));
    assert!(finished.stderr.contains("a name of 256 bytes, and may have 255"), "{}", finished.stderr);
}

fn noexec() {
    let rig = rig("noexec");
    let finished = on_tmpfs(&rig, "noexec,mode=700", "true", "quick");
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(74), "--\n"), "{}", finished.stderr);
    assert!(finished.stderr.contains("is mounted noexec"), "{}", finished.stderr);
    assert!(finished.stderr.contains("with --runs"), "{}", finished.stderr);
    assert_eq!(rig.remains(), Vec::<String>::new());
}

/// Nothing that is meant for a person lands in a file of the run, whose descriptor might have been 0, 1 or 2.
fn closed_streams() {
    let rig = rig("closed-streams");
    let words =
        format!("{LAB} --configs {} --runs {} up quick", rig.configs().display(), rig.runs().display());
    let finished = shell(&format!("{words} <&- >&- 2>&-"));
    assert!(matches!(finished.code, Some(0..=2)), "{finished:#?}");
    assert_eq!(rig.remains(), Vec::<String>::new());
    // Every trace is whole, and the pages can be made anew from them.
    let report = rig.run(&["report", "quick", "--json"]);
    assert!(matches!(report.code, Some(0..=2)), "{}", report.stderr);
    rig::sums_add_up(&serde_json::from_str(&report.stdout).unwrap());
    let page = fs::read_to_string(rig.latest("quick").join("report.html")).unwrap();
    assert!(page.trim_start().to_lowercase().starts_with("<!doctype html"), "the page begins as a page");
}

/// A lab with so many threads in each process that their stacks are what takes most of its address space.
const MANY_THREADS: &str = "clients: { count: 2, behavior: { preset: scanner, react_to: workload, concurrency: 64 } }\n\
                            phases: { baseline: 50ms, control: 50ms, storm: 200ms, drain: 1s }\n\
                            workload:\n  - open_storm: { workers: 64, files: 5 }\n";

/// The limit is that of each process: cargo, which has nothing to do, gets along with it, and the lab does not.
fn no_address_space() {
    let rig = Rig::with_lab("no-address-space", "wide", MANY_THREADS);
    // What is packaged has been built, and without a limit all goes well.
    rig.report("wide");
    fs::remove_dir_all(rig.runs()).unwrap();
    for mebibytes in [100, 140, 180] {
        let options = [format!("--as={}", mebibytes << 20)];
        let finished = limited(&rig, "prlimit", &options, &["up", "wide"]);
        assert!(matches!(finished.code, Some(74 | 75)), "{mebibytes} MiB: {finished:#?}");
        let help = finished.stderr.split_once("\n  help: ").unwrap().1;
        assert!(help.contains("ulimit -v"), "{mebibytes} MiB: {}", finished.stderr);
        assert_eq!(rig.remains(), Vec::<String>::new());
    }
}

/// Enough for the programs and the first pieces of the traces, and not for all that a storm records: what may not be
/// written is lost and said to be, as on a full disk, and nobody dies of it.
fn no_larger_file() {
    let rig = Rig::with_lab(
        "no-larger-file",
        "busy",
        "clients: { count: 2, behavior: noop }\n\
         phases: { baseline: 50ms, control: 50ms, storm: 10s, drain: 1s }\n\
         workload:\n  - open_storm: { workers: 2, files: 5, operations_max: 200000 }\n",
    );
    let finished = limited(&rig, "prlimit", &[format!("--fsize={}", 6 << 20)], &["up", "busy", "--json"]);
    assert!(matches!(finished.code, Some(0 | 1 | 2 | 74)), "{finished:#?}");
    assert!(!finished.stderr.contains("signal 25"), "{}", finished.stderr);
    let report = finished.report();
    sums_add_up(&report);
    assert!(report.totals.lost > 0);
    assert_eq!(rig.remains(), Vec::<String>::new());
}

/// From too few for the build to too few for the last client's threads.
fn few_processes() {
    let rig = Rig::with_lab("few-processes", "wide", MANY_THREADS);
    rig.report("wide");
    fs::remove_dir_all(rig.runs()).unwrap();
    for processes in [1, 2, 4, 8, 20, 80, 100, 150] {
        let group = ControlGroup::of_processes("few", processes).unwrap();
        let finished = Finished::of(&group.command(&rig.command(&["up", "wide"])).output().unwrap());
        assert!(group.met() > 0, "{processes} are too few: {}", finished.stderr);
        assert_eq!(finished.code, Some(75), "{processes}: {}", finished.stderr);
        let (said, help) = finished.stderr.split_once("\n  help: ").unwrap();
        let said = said.rsplit("error: ").next().unwrap();
        let want = ["no further process or thread can be had", "Resource temporarily unavailable"];
        assert!(want.iter().any(|want| said.contains(want)), "{processes}: {said}");
        assert!(help.contains("pids.max"), "{processes}: {help}");
        assert_eq!(rig.remains(), Vec::<String>::new());
    }
}
