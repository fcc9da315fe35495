//! What is left of a live run: its folder, copied and mutilated. No copy that has lost something ends 0, and whatever is left
//! of one, the screen, `lab status`, `report.json` and the page say the same of it.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test mutilates the files of a run")]

mod rig;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
};

use lab_analysis::findings::{Findings, Judgement, RunWord};
use lab_model::mix;
use lab_report::{html, json, text::Style};
use lab_testing::agreement::{STYLE, agree, screen};
use libtest_mimic::Arguments;
use rig::{Finished, LAB, Live, Rig, live, scanners};
use serde_json::Value;

/// Cuts and flipped bytes of each trace.
const DRAWN: u64 = 2;

const LOAD: &str = "phases: { baseline: 50ms, control: 50ms, storm: 20s, drain: 5s }\n\
                    workload:\n  - open_storm: { workers: 2, files: 10, operations_max: 100 }\n\
                    expect: [lost == 0, deadline.misses == 0]\n";

fn main() -> ExitCode {
    let tests: Vec<Live> =
        vec![live("what_is_left_of_a_live_run_is_said_alike_and_is_never_good", mutilated)];
    rig::main(Arguments::from_args(), tests)
}

/// What is done to a copy.
#[derive(Clone, Debug)]
enum Harm {
    /// Nothing.
    None,
    /// A file is gone.
    Gone(PathBuf),
    /// A file is there, and has nothing in it.
    Empty(PathBuf),
    /// A file ends before this byte.
    Cut(PathBuf, u64),
    /// One bit of this byte is another.
    Flipped(PathBuf, u64),
}

impl Harm {
    fn is_done_to(&self, run: &Path) {
        match self {
            Harm::None => {}
            Harm::Gone(file) => fs::remove_file(run.join(file)).unwrap(),
            Harm::Empty(file) => fs::write(run.join(file), b"").unwrap(),
            Harm::Cut(file, length) => {
                fs::OpenOptions::new().write(true).open(run.join(file)).unwrap().set_len(*length).unwrap();
            }
            Harm::Flipped(file, place) => {
                let mut bytes = fs::read(run.join(file)).unwrap();
                bytes[usize::try_from(*place).unwrap()] ^= 1 << (place % 8);
                fs::write(run.join(file), bytes).unwrap();
            }
        }
    }
}

fn mutilated() {
    let rig = Rig::with_lab("mutilated", "quick", &(scanners(3) + LOAD));
    let finished = rig.run(&["up", "quick"]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    let run = rig.latest("quick");
    let whole = reported(&rig, &run, 0, &Harm::None);
    assert_eq!(whole.judgement(), Judgement::Good);
    let mut harms: Vec<Harm> = Vec::new();
    for trace in fs::read_dir(run.join("traces")).unwrap() {
        let trace = PathBuf::from("traces").join(trace.unwrap().file_name());
        let length = fs::metadata(run.join(&trace)).unwrap().len();
        harms.extend([Harm::Gone(trace.clone()), Harm::Empty(trace.clone())]);
        for draw in 0..DRAWN {
            let place = mix(length.wrapping_add(draw)) % length;
            harms.extend([Harm::Cut(trace.clone(), place), Harm::Flipped(trace.clone(), place)]);
        }
    }
    assert_eq!(harms.len() as u64, 5 * (2 + 2 * DRAWN), "three clients, a driver and the orchestrator");
    let numbered: Vec<(u64, &Harm)> = (1..).zip(&harms).collect();
    // Nothing of this runs a lab.
    thread::scope(|scope| {
        for half in numbered.chunks(numbered.len().div_ceil(2)) {
            let (rig, run, whole) = (&rig, &run, &whole);
            scope.spawn(move || {
                half.iter().for_each(|(number, harm)| never_good(rig, run, *number, harm, whole))
            });
        }
    });
    // What was measured beside, and what is made of the traces.
    for file in
        ["load.json", "waits.jsonl", "call.json", "doctor.json", "report.json", "report.html", "mended.yaml"]
    {
        if !run.join(file).exists() {
            continue;
        }
        let left = reported(&rig, &run, 100, &Harm::Gone(file.into()));
        let says = |words: &str| left.not_observed.iter().any(|note| note.contains(words));
        let said = (says("disturbed the lab was not measured"), says("Nobody looked who waits for whom"));
        assert_eq!(said, (file == "load.json", file == "waits.jsonl"), "{file}");
        assert_eq!(left.judgement(), Judgement::Good, "{file}");
    }
    // Without its lab nobody knows what a run was.
    let store = copied(&rig, &run, 200, &Harm::Gone("lab.yaml".into()));
    let nameless = lab(&store, &["report", "quick"]);
    assert_eq!((nameless.code, nameless.stdout.as_str()), (Some(74), ""), "{nameless:#?}");
}

/// A part of the run is missing or wrong: it is not good, or else nothing was lost.
fn never_good(rig: &Rig, run: &Path, number: u64, harm: &Harm, whole: &Findings) {
    let left = reported(rig, run, number, harm);
    let good = left.judgement() == Judgement::Good;
    assert!(!good || left == *whole, "{harm:?} leaves a good run, which shows something else");
    if !matches!(harm, Harm::Flipped(..)) {
        assert!(!good && left.state.word != RunWord::Whole, "{harm:?}: {:?}", left.state);
    }
}

/// Reports a copy of the run that this was done to, checks that all agree, and gives its findings.
fn reported(rig: &Rig, run: &Path, number: u64, harm: &Harm) -> Findings {
    let store = copied(rig, run, number, harm);
    let shown = lab(&store, &["report", "quick"]);
    let folder = store.join("quick").join(run.file_name().unwrap());
    let stored = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let mut findings: Findings = serde_json::from_str(&stored("report.json")).unwrap();
    let code = match findings.judgement() {
        Judgement::Good => 0,
        Judgement::Failed => 1,
        Judgement::Unknown => 2,
    };
    assert_eq!(shown.code, Some(code), "{harm:?}: {}", shown.stderr);
    agree(&findings, &screen(&findings), &format!("{harm:?}"));

    // What the program writes is what its findings are rendered to.
    let plain = Style { unicode: false, ..STYLE };
    let rendered = lab_report::text::screen(&findings, &plain).to_string();
    assert!(shown.stdout.starts_with(&rendered), "{harm:?}:\n{}\nis not\n{rendered}", shown.stdout);
    assert_eq!(stored("report.json"), json::to_string(&findings), "{harm:?}");
    assert_eq!(stored("report.html"), html::run(&findings), "{harm:?}");

    let status: Value = serde_json::from_str(&lab(&store, &["status", "--json"]).stdout).unwrap();
    let status = &status["last"][0];
    let held = findings.expectations.iter().filter(|expectation| expectation.held == Some(true)).count();
    assert_eq!(status["state"], findings.state.word.name(), "{harm:?}");
    assert_eq!(status["outcome"], findings.outcome.name(), "{harm:?}");
    assert_eq!(status["expectations_held"], held, "{harm:?}");
    fs::remove_dir_all(&store).unwrap();
    // It names the folder of the copy.
    findings.replay.clear();
    findings
}

/// A run store of its own with a copy of the run that this was done to.
fn copied(rig: &Rig, run: &Path, number: u64, harm: &Harm) -> PathBuf {
    let store = rig.root.join(format!("copy-{number}"));
    let folder = store.join("quick").join(run.file_name().unwrap());
    fs::create_dir_all(folder.parent().unwrap()).unwrap();
    let copied = Command::new("cp").arg("-a").args([run, &folder]).status().unwrap();
    assert!(copied.success());
    std::os::unix::fs::symlink(run.file_name().unwrap(), store.join("quick/latest")).unwrap();
    harm.is_done_to(&folder);
    store
}

/// Runs `lab` with a run store.
fn lab(store: &Path, arguments: &[&str]) -> Finished {
    let mut command = Command::new(LAB);
    command.arg("--runs").arg(store).args(arguments);
    command.env("NO_COLOR", "1").env("COLUMNS", STYLE.width.to_string()).env_remove("RUST_LOG");
    Finished::of(&command.output().unwrap())
}
