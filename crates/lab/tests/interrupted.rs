//! A signal ends whatever `lab` does: at once, with the exit code of an interrupted command, and nothing is left of it.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start programs and look at what they leave"
)]

mod rig;

use std::{fs, path::PathBuf, process::ExitCode};

use lab_model::{PhaseKind, Span};
use libtest_mimic::Arguments;
use nix::sys::signal::Signal;
use rig::{
    ControlGroup, Live, QUICK_OF_EIGHT as QUICK, Rig, Running, anywhere, interrupted, listens, live, send,
    wait_until,
};
use serde_json::Value;

const SIGNALS: [Signal; 2] = [Signal::SIGINT, Signal::SIGTERM];
/// Memory that a lab of eight clients does not fit into without the kernel's taking pages back all the time.
const LITTLE_BYTES: u64 = 60 << 20;

fn main() -> ExitCode {
    let probe = ControlGroup::of_memory("probe", LITTLE_BYTES);
    let little_memory = Live {
        lacks: probe.err(),
        ..live("a_signal_where_memory_is_short_ends_the_writing_of_pages", little_memory)
    };
    let tests: Vec<Live> = vec![
        anywhere("a_signal_ends_whatever_runs", signals),
        live("a_signal_after_the_lab_ends_its_launcher", after_the_lab),
        little_memory,
        live("a_signal_ends_a_sweep_and_its_lab", || in_a_lab("sweep")),
        live("a_signal_ends_a_conformance_run_and_its_lab", || in_a_lab("conform")),
        live("a_signal_in_a_repeated_lab_says_how_many_ran", in_a_repeated_lab),
        live("a_signal_between_two_labs_of_a_sweep", || between_labs("sweep")),
        live("a_signal_between_two_labs_of_a_conformance_run", || between_labs("conform")),
    ];
    rig::main_beside(2, Arguments::from_args(), tests)
}

fn signals() {
    let rig = Rig::with_lab("signals", "quick", QUICK);
    rig.simulated("quick");
    let long = QUICK.replace("storm: 300ms", "storm: 590s").replace("rate: 200", "rate: max");
    rig.lab("long", &long);
    rig.lab("short", QUICK);
    for signal in SIGNALS {
        for arguments in [
            &["report", "quick"][..],
            &["report", "quick", "--json"],
            &["diff", "quick", "quick"],
            &["sim", "long"],
            &["sim", "quick", "--seeds", "1..90000"],
            &["ladder", "long"],
            &["sweep", "long", "--vary", "clients=1..4"],
            &["up", "long", "--backend", "sim"],
            &["up", "long", "--backend", "sim", "--repeat", "2"],
            &["up", "short", "--backend", "sim", "--repeat", "1000"],
        ] {
            interrupted(rig.command(arguments), signal, listens);
        }
    }
    assert!(!rig.runs().join("long").exists(), "no half-made run");
    let left = fs::read(rig.latest("quick").join("report.json")).unwrap();
    serde_json::from_slice::<Value>(&left).unwrap();
}

fn after_the_lab() {
    for signal in SIGNALS {
        let rig = Rig::with_lab(&format!("signal-after-{}", signal as i32), "quick", QUICK);
        let page = rig.runs().join("quick/latest/report.html");
        interrupted(rig.command(&["up", "quick", "--json"]), signal, |_| page.exists());
        nothing_half_made(&rig, "quick");
    }
}

/// No process, no mount, and of the latest run whole files only.
fn nothing_half_made(rig: &Rig, lab: &str) {
    assert_eq!(rig.remains(), Vec::<String>::new());
    let files = fs::read_dir(rig.latest(lab)).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = files.map(|name| name.to_string_lossy().into_owned()).collect();
    names.retain(|name| name.starts_with('.') || name.ends_with(".new"));
    assert_eq!(names, Vec::<String>::new(), "whole files only");
}

/// Once before anything was written, while the traces are read, and once between the pages.
fn little_memory() {
    let storm = QUICK.replace("storm: 300ms", "storm: 2s").replace("rate: 200", "rate: max");
    for signal in SIGNALS {
        for while_read in [true, false] {
            let rig = Rig::with_lab(&format!("little-memory-{}-{while_read}", signal as i32), "busy", &storm);
            let group = ControlGroup::of_memory("signal", LITTLE_BYTES).unwrap();
            let latest = rig.runs().join("busy/latest");
            let (mut ran, page) = (false, latest.join("report.html"));
            interrupted(group.command(&rig.command(&["up", "busy", "--json"])), signal, |_| {
                ran |= latest.join("active.json").exists();
                if while_read { ran && !latest.join("active.json").exists() } else { page.exists() }
            });
            assert!(group.met() > 0, "the limit was met");
            nothing_half_made(&rig, "busy");
        }
    }
}

/// The words of a command that runs labs on the kernel, one after the other.
fn several<'a>(command: &str, lab: &'a str) -> Vec<&'a str> {
    match command {
        "sweep" => vec!["sweep", lab, "--backend", "fanotify", "--vary", "clients=1,2", "--trials", "2"],
        _ => vec!["conform", lab, "--from", lab, "--rounds", "4"],
    }
}

fn in_a_lab(command: &str) {
    for signal in SIGNALS {
        let long = QUICK.replace("storm: 300ms", "storm: 60s");
        let rig = Rig::with_lab(&format!("signal-in-{command}-{}", signal as i32), "long", &long);
        let mut running = Running::start_command(&rig, "long", &several(command, "long"));
        running.reaches(PhaseKind::Storm, 10);
        send(running.launcher(), signal);
        let finished = running.finish();
        assert_eq!(finished.code, Some(130), "{}", finished.stderr);
        assert_eq!(rig.remains(), Vec::<String>::new());
        assert_eq!(runs(&rig, "long").len(), 1, "no further lab was started");
    }
}

fn in_a_repeated_lab() {
    for signal in SIGNALS {
        let rig = Rig::with_lab(&format!("signal-in-repeat-{}", signal as i32), "quick", QUICK);
        let mut running = Running::start_command(&rig, "quick", &["up", "quick", "--repeat", "900"]);
        let first = running.reaches(PhaseKind::Storm, 1);
        assert!(wait_until(Span::from_secs(60), || running.folder().is_some_and(|folder| folder != first)));
        running.reaches(PhaseKind::Storm, 1);
        send(running.launcher(), signal);
        let finished = running.finish();
        assert_eq!(finished.code, Some(130), "{}", finished.stderr);
        assert_eq!(rig.remains(), Vec::<String>::new());
        let count = runs(&rig, "quick").len();
        let last = finished.stdout.lines().find(|line| line.starts_with("quick: "));
        let said = format!("quick: {count} of 900 runs ran, and no more");
        assert!(last.is_some_and(|line| line.starts_with(&said)), "{said}: {}", finished.stdout);
    }
}

/// The runs of a lab that have begun.
fn runs(rig: &Rig, lab: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(rig.runs().join(lab)).into_iter().flatten();
    entries.map(|entry| entry.unwrap().path()).filter(|path| !path.is_symlink()).collect()
}

/// The first lab is over; its traces are read, its pages written, or the next one begins.
fn between_labs(command: &str) {
    for signal in SIGNALS {
        let rig = Rig::with_lab(&format!("signal-between-{command}-{}", signal as i32), "quick", QUICK);
        let is_over = |run: &PathBuf| run.join("report.json").exists() || !run.join("bundles").exists();
        interrupted(rig.command(&several(command, "quick")), signal, |_| {
            // A run that has just begun has no bundles yet, but its lab's file comes before them.
            let runs = runs(&rig, "quick");
            runs.iter().any(|run| run.join("traces/driver.trace").exists() && is_over(run))
        });
        assert_eq!(rig.remains(), Vec::<String>::new());
        assert!(runs(&rig, "quick").len() < 4, "it did not go on to its end");
    }
}
