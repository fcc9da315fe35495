//! What `lab` reads is regular and bounded, and what it lacks itself is no finding.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start programs and look at what they leave"
)]

mod rig;

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
    process::ExitCode,
};

use lab_analysis::findings::Findings;
use lab_model::PhaseKind;
use libtest_mimic::Arguments;
use nix::{sys::stat::Mode, unistd::mkfifo};
use rig::{Finished, Live, PROMPTLY, QUICK_OF_EIGHT as QUICK, Rig, Running, anywhere, limited, live};

fn main() -> ExitCode {
    let tests: Vec<Live> = vec![
        anywhere("what_is_no_lab_file_is_refused_at_once", no_lab_file),
        anywhere("a_list_lies_beside_the_lab_file_or_below", lists),
        anywhere("a_report_without_descriptors_overwrites_nothing", no_descriptors),
        anywhere("a_store_has_more_runs_than_a_process_has_descriptors", many_runs),
        anywhere("a_report_without_memory_overwrites_nothing", no_memory),
        anywhere("what_lies_in_a_run_is_read_as_a_regular_file", odd_files_in_a_run),
        live("the_report_of_a_running_lab_says_so", running),
    ];
    rig::main_beside(2, Arguments::from_args(), tests)
}

fn rig(name: &str) -> Rig {
    Rig::with_lab(name, "quick", QUICK)
}

/// Runs a command, which must not take long.
fn prompt(rig: &Rig, arguments: &[&str]) -> Finished {
    let seconds = PROMPTLY.nanos() / 1_000_000_000;
    limited(rig, "timeout", &["--signal=KILL".to_owned(), seconds.to_string()], arguments)
}

fn no_lab_file() {
    let rig = rig("no-lab-file");
    let path = |name: &str| rig.root.join(name);
    mkfifo(&path("fifo.yaml"), Mode::S_IRUSR).unwrap();
    fs::create_dir(path("folder.yaml")).unwrap();
    File::create(path("sparse.yaml")).unwrap().set_len(8 << 30).unwrap();
    symlink("/dev/zero", path("zero.yaml")).unwrap();
    for (name, code, said) in [
        ("fifo.yaml", 64, "is not a regular file"),
        ("folder.yaml", 64, "is not a regular file"),
        ("zero.yaml", 64, "is not a regular file"),
        ("sparse.yaml", 65, "is larger than 1048576 bytes"),
    ] {
        let file = path(name).to_str().unwrap().to_owned();
        for command in ["validate", "list", "plan", "up", "sim"] {
            let finished = prompt(&rig, &[command, &file]);
            assert_eq!(finished.code, Some(code), "{command} {name}: {}", finished.stderr);
            assert!(finished.stderr.contains(said), "{command} {name}: {}", finished.stderr);
        }
    }
    if cfg!(target_os = "linux") {
        let finished = prompt(&rig, &["validate", "/proc/self/pagemap"]);
        // Its kernel may refuse the reading before the limit does.
        assert!(matches!(finished.code, Some(64 | 65)), "{}", finished.stderr);
        assert!(finished.stderr.contains("/proc/self/pagemap"), "{}", finished.stderr);
    }
    assert!(!rig.runs().exists(), "nothing was made");
}

fn lists() {
    let rig = rig("lists");
    let secret = "secret-content-of-nobody";
    let beside = |name: &str| rig.configs().join(name);
    fs::write(rig.root.join("secret"), format!("{secret}/x\n")).unwrap();
    fs::create_dir(beside("below")).unwrap();
    fs::write(beside("below/good.txt"), "# recorded\n/usr/bin/one\nusr/bin/two\n").unwrap();
    fs::write(beside("bad.txt"), format!("usr/one\n{secret}//\n")).unwrap();
    fs::write(beside("both.txt"), format!("{secret}\n{secret}/two\n")).unwrap();
    symlink(rig.root.join("secret"), beside("link.txt")).unwrap();
    symlink(&rig.root, beside("up")).unwrap();
    mkfifo(&beside("fifo.txt"), Mode::S_IRUSR).unwrap();
    File::create(beside("sparse.txt")).unwrap().set_len(8 << 30).unwrap();
    let absolute = rig.root.join("secret");
    for (list, said) in [
        ("/etc/shadow", "not in that folder or below it"),
        (absolute.to_str().unwrap(), "not in that folder or below it"),
        ("../secret", "not in that folder or below it"),
        ("below/../../secret", "not in that folder or below it"),
        ("link.txt", "symbolic link"),
        ("up/secret", "symbolic link"),
        ("fifo.txt", "not a regular file"),
        ("below", "not a regular file"),
        ("sparse.txt", "larger than 1048576 bytes"),
        ("bad.txt", "line 2 of the list"),
        ("both.txt", "line 2 of the list"),
    ] {
        rig.lab(
            "listed",
            &QUICK.replace("open_storm: { workers: 1, files: 5", &format!("open_list: {{ list: {list}")),
        );
        let finished = prompt(&rig, &["validate", "listed"]);
        assert_eq!(finished.code, Some(65), "{list}: {}", finished.stderr);
        assert!(finished.stderr.contains(said), "{list}: {}", finished.stderr);
        assert!(!finished.stderr.contains(secret), "{list}: {}", finished.stderr);
    }
    let good = QUICK.replace("open_storm: { workers: 1, files: 5", "open_list: { list: below/good.txt");
    rig.lab("listed", &good);
    assert_eq!(prompt(&rig, &["validate", "listed"]).code, Some(0));
}

fn no_descriptors() {
    let rig = rig("no-descriptors");
    let good = rig.simulated("quick");
    let mut lacked = 0;
    for limit in 4..24 {
        let options = [format!("--nofile={limit}")];
        let finished = limited(&rig, "prlimit", &options, &["report", "quick"]);
        let left = fs::read(rig.latest("quick").join("report.json")).unwrap();
        assert!(left == good, "with {limit} descriptors the report is another one");
        if finished.stderr.contains("Too many open files") {
            assert_eq!(finished.code, Some(74), "{limit}: {}", finished.stderr);
            assert!(finished.stderr.contains("ulimit -n"), "{limit}: {}", finished.stderr);
            lacked += 1;
        }
    }
    assert!(lacked >= 5, "only {lacked} of these limits were too low for nine traces");
}

fn many_runs() {
    let rig = rig("many-runs");
    for run in 0..200 {
        fs::create_dir_all(rig.runs().join(format!("quick/2026-01-01T00-00-{run:03}Z/traces"))).unwrap();
    }
    for arguments in [&["status"][..], &["report"], &["down"]] {
        let finished = limited(&rig, "prlimit", &["--nofile=64".to_owned()], arguments);
        assert!(!finished.stderr.contains("Too many open files"), "{arguments:?}: {}", finished.stderr);
        // The newest has no lab that a report could be of.
        let expected = if arguments == ["report"] { 74 } else { 0 };
        assert_eq!(finished.code, Some(expected), "{arguments:?}: {}", finished.stderr);
    }
}

fn no_memory() {
    let rig = rig("no-memory");
    let good = rig.simulated("quick");
    let mut lacked = 0;
    for mebibytes in 4..80 {
        let options = [format!("--as={}", mebibytes << 20)];
        let finished = limited(&rig, "prlimit", &options, &["report", "quick"]);
        let left = fs::read(rig.latest("quick").join("report.json")).unwrap();
        assert!(left == good, "with {mebibytes} MiB the report is another one");
        // Below some limit not even the program is loaded, which its loader says and not the program.
        if finished.code == Some(74) {
            assert!(finished.stderr.contains("memory"), "{mebibytes}: {}", finished.stderr);
            lacked += 1;
        }
        assert!(!finished.stderr.contains("memory allocation of"), "{mebibytes}: {}", finished.stderr);
    }
    assert!(lacked > 0, "no limit was too low for the report and high enough for the program");
}

fn odd_files_in_a_run() {
    let rig = rig("odd-files");
    rig.simulated("quick");
    let run = rig.latest("quick");
    let replaced = |name: &str, make: &dyn Fn(&Path)| {
        let (path, kept) = (run.join(name), run.join("kept"));
        let was_there = fs::rename(&path, &kept).is_ok();
        make(&path);
        for command in [&["report", "quick"][..], &["status"], &["diff", "quick", "quick"], &["down"]] {
            let finished = prompt(&rig, command);
            assert!(
                matches!(finished.code, Some(0..=2 | 64 | 65 | 74 | 77)),
                "{command:?} {name}: {finished:?}"
            );
        }
        fs::remove_file(&path).ok();
        if was_there {
            fs::rename(&kept, &path).unwrap();
        }
    };
    for name in [
        "lab.yaml",
        "report.json",
        "active.json",
        "doctor.json",
        "load.json",
        "traces/driver.trace",
        "traces/more.trace",
    ] {
        replaced(name, &|path| mkfifo(path, Mode::S_IRUSR).unwrap());
        replaced(name, &|path| symlink("/dev/zero", path).unwrap());
        replaced(name, &|path| File::create(path).unwrap().set_len(64 << 30).unwrap());
    }
}

/// True until a process has ended, waited for or not.
fn is_there(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn running() {
    let rig = rig("running");
    rig.lab("busy", &QUICK.replace("storm: 300ms", "storm: 10s").replace("rate: 200", "rate: 2000"));
    let mut lab = Running::start(&rig, "busy");
    let folder = lab.reaches(PhaseKind::Storm, 10);
    let run = folder.to_str().unwrap();
    let looked = rig.run(&["report", run]);
    assert_eq!(looked.code, Some(2), "{looked:?}");
    assert!(looked.stdout.lines().next().unwrap().contains("the lab still runs"), "{}", looked.stdout);
    assert!(rig.run(&["report", run, "--json"]).report().still_running);
    let html = rig.run(&["report", run, "--format", "html"]);
    assert!(html.stdout.contains("the lab still runs"), "{:?}: {}", html.code, html.stderr);
    assert!(!folder.join("report.json").exists(), "its own report is still to come");
    // While it closes its traces and after.
    let launcher = lab.launcher();
    let mut looks = 0;
    while is_there(launcher) {
        let looked = rig.run(&["report", run]);
        assert!(matches!(looked.code, Some(0..=2)), "{looked:?}");
        looks += 1;
    }
    assert!(looks > 0);
    let finished = lab.finish();
    let own = finished.report();
    assert!(!own.still_running);
    let kept: Findings = serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
    assert!(!kept.still_running);
    assert_eq!(kept.totals, own.totals);
}
