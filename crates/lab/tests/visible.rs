//! Nothing from outside steers a terminal: not what a lab file says, not what a file or folder is called, not an argument.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start programs and look at what they leave"
)]

mod rig;

use std::{fs, process::ExitCode};

use libtest_mimic::Arguments;
use rig::{Finished, Live, Rig, anywhere};

/// What a terminal obeys, what turns the reading order around, and what does not show.
const HOSTILE: &str =
    "\u{1b}[31m\u{1b}]0;owned\u{7}\u{9b}2J\u{202e}\u{200b}\u{2066}\u{8}\u{7f}\u{feff}\u{e0041}";

/// The same as a lab file writes it.
const IN_YAML: &str = r"\e[31m\e]0;owned\a\x9b2J\u202e\u200b\u2066\b\x7f\ufeff\U000e0041";

fn main() -> ExitCode {
    let tests: Vec<Live> = vec![
        anywhere("what_a_lab_file_says", lab_file),
        anywhere("what_files_are_called", names),
        anywhere("what_is_typed", arguments),
        anywhere("what_a_recording_says", recording),
    ];
    rig::main_beside(2, Arguments::from_args(), tests)
}

fn rig(name: &str) -> Rig {
    let rig = Rig::new(name);
    rig.lab(
        "hostile",
        &format!(
            "about: \"before {IN_YAML} after\"\n\
             clients: {{ count: 2, behavior: noop }}\n\
             phases: {{ baseline: 50ms, control: 50ms, storm: 200ms, drain: 1s }}\n\
             workload:\n  - open_list: {{ paths: [\"a\\u202e\\u200b\\u2066b\", c] }}\n\
             expect: [loop_gain < 1]\n"
        ),
    );
    rig
}

/// Checks that a command said something, and nothing that steers.
fn shows(rig: &Rig, arguments: &[&str], code: impl Fn(i32) -> bool) -> Finished {
    let finished = rig.run(arguments);
    assert!(finished.code.is_some_and(code), "{arguments:?}: {finished:?}");
    harmless(arguments, &finished);
    finished
}

fn harmless(arguments: &[&str], finished: &Finished) {
    let steers = |letter: char| {
        (letter.is_control() && !matches!(letter, '\n' | '\t'))
            || matches!(
                letter,
                '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
                    | '\u{feff}' | '\u{e0000}'..='\u{e0fff}'
            )
    };
    for text in [&finished.stdout, &finished.stderr] {
        let found = text.find(steers).map(|at| text[at..].chars().take(20).collect::<String>());
        assert_eq!(found, None, "{arguments:?}");
    }
    assert!(!finished.stdout.is_empty() || !finished.stderr.is_empty(), "{arguments:?} says something");
}

fn lab_file() {
    let rig = rig("visible-lab-file");
    let good = |code: i32| (0..=2).contains(&code);
    let listed = shows(&rig, &["list"], good);
    assert!(
        listed.stdout.contains("before \\u{1b}[31m") && listed.stdout.contains("\\u{202e}"),
        "{}",
        listed.stdout
    );
    shows(&rig, &["list", "hostile"], good);
    shows(&rig, &["list", "--markdown"], good);
    shows(&rig, &["validate", "hostile"], good);
    shows(&rig, &["plan", "hostile"], good);
    shows(&rig, &["plan", "hostile", "--json"], good);
    shows(&rig, &["sim", "hostile", "--rules", "fanotify"], good);
    for format in
        [&["up", "hostile", "--backend", "sim"][..], &["up", "hostile", "--backend", "sim", "--json"]]
    {
        shows(&rig, format, good);
    }
    for rest in
        [&[][..], &["--json"], &["--format", "html"], &["--client", "client-01"], &["--client", HOSTILE]]
    {
        let arguments = [&["report", "hostile"][..], rest].concat();
        shows(&rig, &arguments, |code| good(code) || code == 64);
    }
    let html = fs::read_to_string(rig.latest("hostile").join("report.html")).unwrap();
    harmless(&["report.html"], &Finished { code: None, stdout: html, stderr: String::new() });
    let json = fs::read_to_string(rig.latest("hostile").join("report.json")).unwrap();
    let findings: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert!(findings["about"].as_str().unwrap().contains(HOSTILE), "JSON says what the lab file says");
    harmless(&["report.json"], &Finished { code: None, stdout: json, stderr: String::new() });
    shows(&rig, &["diff", "hostile", "hostile"], good);
    shows(&rig, &["diff", "hostile", "hostile", "--json"], good);
    shows(&rig, &["export", "hostile", "--to", "jsonl", "--output", "-"], good);
    shows(&rig, &["status"], good);
    shows(&rig, &["down"], good);
    // Mistakes are shown with what stands there.
    fs::write(rig.configs().join("bad.yaml"), format!("schema: 1\nname: \"{IN_YAML}\"\n\"{IN_YAML}\": 1\n"))
        .unwrap();
    shows(&rig, &["validate", "bad"], |code| code == 65);
    fs::write(rig.configs().join("bad.yaml"), format!("schema: 1\nname: {HOSTILE}\nabout: {HOSTILE}\n"))
        .unwrap();
    shows(&rig, &["validate", "bad"], |code| code == 65);
}

fn names() {
    let rig = rig("visible-names");
    let good = |code: i32| (0..=2).contains(&code);
    let name = HOSTILE.replace('/', "");
    let lab = fs::read(rig.configs().join("hostile.yaml")).unwrap();
    fs::write(rig.configs().join(format!("{name}.yaml")), &lab).unwrap();
    fs::write(rig.configs().join(format!("{name}-bad.yaml")), "schema: 2\n").unwrap();
    shows(&rig, &["list"], |code| code == 65);
    shows(&rig, &["validate"], |code| code == 65);
    shows(&rig, &["validate", &name], good);
    shows(&rig, &["up", "hostile", "--backend", "sim"], good);
    fs::rename(rig.runs().join("hostile"), rig.runs().join(&name)).unwrap();
    shows(&rig, &["status"], good);
    shows(&rig, &["status", "--json"], good);
    shows(&rig, &["report", &name], good);
    shows(&rig, &["report"], good);
    let output = rig.root.join(format!("{name}.pftrace"));
    shows(&rig, &["export", &name, "--to", "perfetto", "--output", output.to_str().unwrap()], good);
    let run = rig.latest(&name);
    fs::write(run.join("traces").join(format!("{name}.trace")), b"no trace").unwrap();
    shows(&rig, &["report", &name], good);
    shows(&rig, &["down"], good);
}

fn arguments() {
    let rig = rig("visible-arguments");
    let refused = |code: i32| (64..=77).contains(&code);
    shows(&rig, &[HOSTILE], refused);
    shows(&rig, &["up", HOSTILE], refused);
    shows(&rig, &["up", "hostile", "--backend", HOSTILE], refused);
    shows(&rig, &["up", "hostile", &format!("--{HOSTILE}")], refused);
    shows(&rig, &["up", &format!("{HOSTILE}/x.yaml")], refused);
    shows(&rig, &["explain", HOSTILE], refused);
    shows(&rig, &["report", HOSTILE], refused);
    shows(&rig, &["import", HOSTILE], refused);
    shows(&rig, &["import", HOSTILE, "--timebase", HOSTILE], refused);
    shows(&rig, &["--runs", HOSTILE, "report"], refused);
}

fn recording() {
    let rig = rig("visible-recording");
    let file = rig.root.join(format!("{HOSTILE}.jsonl"));
    let escaped = serde_json::to_string(HOSTILE).unwrap();
    let escaped = escaped.trim_matches('"');
    let sample = include_str!("../../lab-analysis/tests/eslogger/version-11.jsonl");
    fs::write(&file, sample.replace("/usr/bin/", &format!("/usr/bin/{escaped}"))).unwrap();
    shows(&rig, &["import", file.to_str().unwrap()], |code| code == 0);
    shows(&rig, &["report"], |code| (0..=2).contains(&code));
    shows(&rig, &["report", "--json"], |code| (0..=2).contains(&code));
}
