//! What `lab` reads is regular and bounded, what it lacks itself is no finding, and a signal ends it.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start programs and look at what they leave"
)]

mod rig;

use std::{
    fs::{self, File},
    os::{fd::OwnedFd, unix::fs::symlink},
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use lab_model::{PhaseKind, Span};
use libtest_mimic::Arguments;
use nix::{sys::signal::Signal, sys::stat::Mode, unistd::mkfifo};
use rig::{Finished, Live, Rig, Running, anywhere, live, wait_until};
use serde_json::Value;

/// A lab that takes under a second.
const QUICK: &str = "clients: { count: 8, behavior: noop }\n\
                     phases: { baseline: 50ms, control: 50ms, storm: 300ms, drain: 1s }\n\
                     workload:\n  - open_storm: { workers: 1, files: 5, rate: 200 }\n";

/// How long a command may take that has nothing to do; far more than it needs on a busy machine.
const PROMPTLY: Span = Span::from_secs(20);

fn main() -> ExitCode {
    let tests: Vec<Live> = vec![
        anywhere("what_is_no_lab_file_is_refused_at_once", no_lab_file),
        anywhere("a_list_lies_beside_the_lab_file_or_below", lists),
        anywhere("a_report_without_descriptors_overwrites_nothing", no_descriptors),
        anywhere("a_report_without_memory_overwrites_nothing", no_memory),
        anywhere("what_lies_in_a_run_is_read_as_a_regular_file", odd_files_in_a_run),
        anywhere("a_signal_ends_whatever_runs", signals),
        live("a_signal_after_the_lab_ends_its_launcher", signal_after_the_lab),
        live("the_report_of_a_running_lab_says_so", running),
    ];
    rig::main(Arguments::from_args(), tests)
}

fn rig(name: &str) -> Rig {
    let rig = Rig::new(name);
    rig.lab("quick", QUICK);
    rig
}

/// Runs a command, which must not take long.
fn prompt(rig: &Rig, arguments: &[&str]) -> Finished {
    let seconds = PROMPTLY.nanos() / 1_000_000_000;
    limited(rig, "timeout", &["--signal=KILL".to_owned(), seconds.to_string()], arguments)
}

/// Runs a command below a program that limits it.
fn limited(rig: &Rig, program: &str, options: &[String], arguments: &[&str]) -> Finished {
    let lab = rig.command(arguments);
    let mut command = Command::new(program);
    command
        .args(options)
        .arg(lab.get_program())
        .args(lab.get_args())
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG");
    Finished::of(&command.output().unwrap())
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

/// A simulated run, and its report.json.
fn simulated(rig: &Rig) -> Vec<u8> {
    let finished = rig.run(&["up", "quick", "--backend", "sim"]);
    assert!(matches!(finished.code, Some(0..=2)), "{finished:?}");
    fs::read(rig.latest("quick").join("report.json")).unwrap()
}

fn no_descriptors() {
    let rig = rig("no-descriptors");
    let good = simulated(&rig);
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

fn no_memory() {
    let rig = rig("no-memory");
    let good = simulated(&rig);
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
    simulated(&rig);
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
    for name in
        ["lab.yaml", "report.json", "active.json", "doctor.json", "traces/driver.trace", "traces/more.trace"]
    {
        replaced(name, &|path| mkfifo(path, Mode::S_IRUSR).unwrap());
        replaced(name, &|path| symlink("/dev/zero", path).unwrap());
        replaced(name, &|path| File::create(path).unwrap().set_len(64 << 30).unwrap());
    }
}

/// A pipe that takes nothing more: who writes to it waits.
fn full_pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = nix::unistd::pipe().unwrap();
    let flags = nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_GETFL).unwrap();
    let flags = nix::fcntl::OFlag::from_bits_retain(flags);
    let set = |flags| nix::fcntl::fcntl(&writer, nix::fcntl::FcntlArg::F_SETFL(flags)).unwrap();
    set(flags | nix::fcntl::OFlag::O_NONBLOCK);
    while nix::unistd::write(&writer, &[b'x'; 512]).is_ok() {}
    while nix::unistd::write(&writer, b"x").is_ok() {}
    set(flags);
    (reader, writer)
}

/// True once the process has its own way with SIGTERM.
fn listens(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    caught & (1 << (Signal::SIGTERM as i32 - 1)) != 0
}

/// Starts a command that cannot get rid of its output, waits until it is `ready`, and sends a signal.
fn interrupted(rig: &Rig, arguments: &[&str], signal: Signal, ready: impl Fn(u32) -> bool) {
    let (_reader, writer) = full_pipe();
    let mut command = rig.command(arguments);
    let mut child = command.stdin(Stdio::null()).stdout(writer).stderr(Stdio::null()).spawn().unwrap();
    drop(command);
    let is_ready = wait_until(Span::from_secs(300), || ready(child.id()));
    assert!(is_ready && child.try_wait().unwrap().is_none(), "{arguments:?} is under way");
    rig::send(child.id(), signal);
    let mut status = None;
    let ended = wait_until(PROMPTLY, || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    if !ended {
        rig::send(child.id(), Signal::SIGKILL);
        child.wait().unwrap();
        panic!("{arguments:?} goes on after {signal}");
    }
    assert_eq!(status.unwrap().code(), Some(130), "{arguments:?} after {signal}");
}

fn signals() {
    let rig = rig("signals");
    simulated(&rig);
    let long = QUICK.replace("storm: 300ms", "storm: 590s").replace("rate: 200", "rate: max");
    rig.lab("long", &long);
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        for arguments in [
            &["report", "quick"][..],
            &["report", "quick", "--json"],
            &["diff", "quick", "quick"],
            &["sim", "long"],
            &["sim", "quick", "--seeds", "1..90000"],
            &["ladder", "long"],
            &["up", "long", "--backend", "sim"],
        ] {
            interrupted(&rig, arguments, signal, listens);
        }
    }
    assert!(!rig.runs().join("long").exists(), "no half-made run");
    let left = fs::read(rig.latest("quick").join("report.json")).unwrap();
    serde_json::from_slice::<Value>(&left).unwrap();
}

fn signal_after_the_lab() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let rig = rig(&format!("signal-after-{}", signal as i32));
        let page = rig.runs().join("quick/latest/report.html");
        interrupted(&rig, &["up", "quick", "--json"], signal, |_| page.exists());
        assert_eq!(rig.remains(), Vec::<String>::new());
        let files = fs::read_dir(rig.latest("quick")).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<String> = files.map(|name| name.to_string_lossy().into_owned()).collect();
        names.retain(|name| name.starts_with('.') || name.ends_with(".new"));
        assert_eq!(names, Vec::<String>::new(), "whole files only");
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
    let json: Value = serde_json::from_str(&rig.run(&["report", run, "--json"]).stdout).unwrap();
    assert_eq!(json["still_running"], true);
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
    let own: Value = serde_json::from_str(&finished.stdout).unwrap();
    assert_eq!(own["still_running"], false);
    let kept: Value = serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
    assert_eq!(kept["still_running"], false);
    assert_eq!(kept["totals"], own["totals"]);
}
