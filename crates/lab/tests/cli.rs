//! The command line as a user sees it: help, reports of simulated runs, and what a wrong use leads to.
//!
//! Needs no privilege and builds nothing: every lab in here runs in virtual time and is short.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use lab_orchestrator::{RunFolder, Runs};
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

const TINY: &str = "\
schema: 1
name: tiny
about: Two scanners and a short storm.
defaults:
  behavior: { preset: scanner, react_to: workload }
clients:
  - { id: alpha }
  - { id: bravo }
phases: { baseline: 5ms, control: 5ms, storm: 20ms, drain: 20ms }
workload:
  - open_storm: { workers: 2, files: 20, rate: max }
expect:
  - loop_gain < 1
  - deadline.misses == 0
";

const STUCK: &str = "\
schema: 1
name: stuck
about: Two clients that wait for each other.
deadline: 100ms
defaults:
  behavior: { preset: scanner, concurrency: 1, react_to: peers }
clients:
  - { id: alpha }
  - { id: bravo }
phases: { baseline: 0s, control: 0s, storm: 300ms, drain: 100ms }
workload:
  - open_storm: { workers: 2, files: 2, rate: 10, operations_max: 2 }
expect:
  - outcome == stable
";

/// A folder with two labs and a run store, which is empty at first.
struct Bench {
    root: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Bench {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli").join(name);
        if root.exists() {
            fs::remove_dir_all(&root).unwrap();
        }
        fs::create_dir_all(root.join("lab-configs")).unwrap();
        fs::write(root.join("lab-configs/tiny.yaml"), TINY).unwrap();
        fs::write(root.join("lab-configs/stuck.yaml"), STUCK).unwrap();
        Bench { root }
    }

    fn command(&self, line: &str) -> Output {
        Command::new(env!("CARGO_BIN_EXE_lab"))
            .args(line.split_whitespace())
            .current_dir(&self.root)
            .env("COLUMNS", "100")
            .env("NO_COLOR", "1")
            .env_remove("RUST_LOG")
            .output()
            .unwrap()
    }

    /// Runs a command that must end with this code; gives back standard output and standard error.
    fn ends(&self, line: &str, code: i32) -> (String, String) {
        let output = self.command(line);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "lab {line}\n{out}\n{err}");
        (out, err)
    }

    fn says(&self, line: &str) -> String {
        self.ends(line, 0).0
    }

    fn json(&self, line: &str) -> serde_json::Value {
        serde_json::from_str(&self.says(line)).unwrap()
    }

    /// The newest run of a lab.
    fn latest(&self, lab: &str) -> PathBuf {
        self.root.join("runs").join(lab).join("latest").canonicalize().unwrap()
    }
}

/// The runs of a bench's store.
fn runs_of(bench: &Bench) -> Vec<RunFolder> {
    let trusted = lab_files::Trusted::of_this_process(None);
    let all = RunFolder::all(&Runs::at(bench.root.join("runs"), trusted)).unwrap();
    all.iter().map(|run| run.open().unwrap().unwrap()).collect()
}

/// Takes out what differs from run to run: times, the version, and where the bench lies.
fn redacted(bench: &Bench, text: &str) -> String {
    let text = text
        .replace(&*bench.root.to_string_lossy(), "[bench]")
        .replace(env!("CARGO_PKG_VERSION"), "[version]");
    let mut redacted = String::new();
    let mut rest = text.as_str();
    // 2026-11-23T19-10-48Z, and .2 behind it for the second run of a second.
    while let Some(place) = rest.find("T").and_then(|first| time_in(rest, first)) {
        redacted.push_str(&rest[..place.0]);
        redacted.push_str("[time]");
        rest = &rest[place.1..];
    }
    redacted + rest
}

/// The first time of a run at or after a `T`, from where to where.
fn time_in(text: &str, first: usize) -> Option<(usize, usize)> {
    let shape = |part: &str| {
        part.bytes().zip(*b"0000-00-00T00-00-00Z").all(|(byte, like)| match like {
            b'0' => byte.is_ascii_digit(),
            like => byte == like,
        })
    };
    text[first..].match_indices('T').map(|(at, _)| first + at).find_map(|at| {
        let from = at.checked_sub(10)?;
        let part = text.get(from..at + 10).filter(|part| shape(part))?;
        let end = from + part.len();
        let again = text[end..].strip_prefix('.').map_or(0, |more| {
            let digits = more.bytes().take_while(u8::is_ascii_digit).count();
            if digits > 0 { digits + 1 } else { 0 }
        });
        Some((from, end + again))
    })
}

/// The text up to a line that begins like this.
fn until<'a>(text: &'a str, begins: &str) -> &'a str {
    text.find(&format!("\n{begins}")).map_or(text, |end| &text[..=end])
}

#[test]
fn help_of_every_command() {
    let bench = Bench::new("help");
    insta::assert_snapshot!("help", bench.says("--help"));
    for command in [
        "up",
        "down",
        "status",
        "list",
        "plan",
        "validate",
        "explain",
        "doctor",
        "bundle",
        "report",
        "diff",
        "export",
        "sim",
        "sweep",
        "ladder",
        "minimize",
        "schema",
        "completions",
    ] {
        insta::assert_snapshot!(format!("help-{command}"), bench.says(&format!("{command} --help")));
    }
}

#[test]
fn a_simulated_run_leaves_what_a_live_one_leaves() {
    let bench = Bench::new("up");
    let said = bench.says("up tiny --backend sim --rules endpoint-security");
    insta::assert_snapshot!("up", redacted(&bench, until(&said, "Cascades")));
    let run = bench.latest("tiny");
    let mut files: Vec<String> = Vec::new();
    for folder in ["", "traces", "clients"] {
        for entry in fs::read_dir(run.join(folder)).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() {
                files.push(Path::new(folder).join(entry.file_name()).display().to_string());
            }
        }
    }
    files.sort();
    let expected = [
        "clients/alpha.html",
        "clients/bravo.html",
        "lab.yaml",
        "mended.yaml",
        "report.html",
        "report.json",
        "trace.pftrace",
        "traces/alpha.trace",
        "traces/bravo.trace",
        "traces/driver.trace",
        "traces/orchestrator.trace",
    ];
    assert_eq!(files, expected);
    let report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(run.join("report.json")).unwrap()).unwrap();
    assert_eq!(report["backend"], "sim");
    assert_eq!(report["machine"]["kernel"], "simulated endpoint-security");
    assert_eq!(report["replay"], "lab up tiny --seed 42 --backend sim --rules endpoint-security");
    // Each of two clients is asked about the open and about the other one's: N².
    assert_eq!(report["amplification"], 4.0);
    assert_eq!(report["totals"]["unexplained"], 0);
}

/// Whatever names the lab and its places, the line of the screen runs it again, wherever it is typed.
#[test]
fn the_replay_line_runs_the_same_lab_again() {
    let bench = Bench::new("replay");
    fs::create_dir_all(bench.root.join("my labs")).unwrap();
    fs::copy(bench.root.join("lab-configs/tiny.yaml"), bench.root.join("my labs/tiny.yaml")).unwrap();
    let screen = |command: &mut Command| {
        let output = command.env("COLUMNS", "100").env("NO_COLOR", "1").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    for (lab, places) in [
        ("my labs/tiny.yaml", ["--runs", "my runs"].as_slice()),
        ("./lab-configs/../my labs/tiny.yaml", &["--runs", "it's here"]),
        ("tiny", &["--runs", "my runs", "--configs", "my labs"]),
    ] {
        let mut first = Command::new(env!("CARGO_BIN_EXE_lab"));
        first.args(["up", lab, "--backend", "sim", "--rules", "fanotify", "--seed", "9"]).args(places);
        let said = screen(first.current_dir(&bench.root));
        let line = said.lines().find_map(|line| line.split_once("Replay   lab ")).expect(&said).1;
        let typed = format!("{} {line}", env!("CARGO_BIN_EXE_lab"));
        let again = screen(Command::new("sh").args(["-c", &typed]).current_dir("/"));
        let but_its_time = |text: &str| {
            // How to read on stands where the path leaves room for it.
            text.lines().take_while(|line| !line.contains("Report ")).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(but_its_time(&again), but_its_time(&said), "{line}");
    }
    // A name in the usual places needs no more than itself.
    bench.says("up tiny --backend sim --rules fanotify");
    assert!(!bench.latest("tiny").join(RunFolder::CALL).exists());
}

#[test]
fn the_same_seed_gives_the_same_traces() {
    let bench = Bench::new("seed");
    let run = |seed: u64| {
        bench.says(&format!("up tiny --backend sim --rules fanotify --seed {seed}"));
        let run = bench.latest("tiny");
        ["alpha", "bravo", "driver", "orchestrator"]
            .map(|process| fs::read(run.join("traces").join(process).with_extension("trace")).unwrap())
    };
    let first = run(7);
    assert!(first == run(7), "two runs with one seed differ");
    assert!(first != run(8), "the seed changes nothing");
}

#[test]
fn a_failed_expectation_is_an_exit_code() {
    let bench = Bench::new("expect");
    let (said, _) = bench.ends("up stuck --backend sim --rules fanotify", 1);
    assert!(said.contains("deadlocked"), "{said}");
    let (again, _) = bench.ends("report stuck", 1);
    assert_eq!(again, said, "a report is the screen that the run ended with");
    let (whole, _) = bench.ends("report stuck --full", 1);
    assert_eq!(whole.lines().next(), said.lines().next(), "one headline");
    assert!(whole.contains("\nCascades\n") && !said.contains("\nCascades\n"), "and goes further");
    let block = |text: &str| {
        let from_verdict = text.lines().skip_while(|line| !line.contains(" Verdict "));
        from_verdict.take_while(|line| !line.contains(" Report ")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(block(&said).len(), 7, "{said}");
    assert_eq!(block(&whole), block(&said), "one block of answers");
    let (upped, _) = bench.ends("up stuck --backend sim --rules fanotify --full", 1);
    assert!(upped.contains("\nCascades\n"), "{upped}");
    bench.ends("report stuck --client nobody", 64);
}

#[test]
fn a_plan_touches_nothing() {
    let bench = Bench::new("plan");
    for (lab, rules) in [("tiny", "fanotify"), ("stuck", "endpoint-security")] {
        let said = bench.says(&format!("plan {lab} --rules {rules}"));
        insta::assert_snapshot!(format!("plan-{lab}"), redacted(&bench, until(&said, "Missing here")));
    }
    let plan = bench.json("plan tiny --rules fanotify --json");
    assert_eq!(plan["roots"][0]["decisions"], 6);
    assert_eq!(plan["loop_gain"], 0.0);
    assert!(!bench.root.join("runs").exists());
}

#[test]
fn simulations_do_not_depend_on_the_number_of_threads() {
    let bench = Bench::new("sim");
    insta::assert_snapshot!("sim", bench.says("sim tiny --rules fanotify"));
    // All of it is what `lab up` shows of the same run, but for where that keeps it.
    let whole = bench.says("sim tiny --rules fanotify --full");
    let kept = bench.says("up tiny --backend sim --rules fanotify --full");
    for section in ["Findings", "What to change", "Clients", "Cascades", "Expectations", "Verdict"] {
        assert_eq!(whole.contains(section), kept.contains(section), "{section}: {whole}");
    }
    let again = whole.lines().find_map(|line| line.split_once("Replay   lab ")).unwrap().1;
    assert_eq!(bench.says(again), whole, "the line replays it");
    let both = |line: &str, code: i32| {
        let one = bench.ends(&format!("{line} --jobs 1"), code).0;
        assert_eq!(one, bench.ends(&format!("{line} --jobs 3"), code).0);
        one
    };
    insta::assert_snapshot!("sim-seeds", both("sim tiny --rules fanotify --seeds 1..5", 0));
    insta::assert_snapshot!("sim-find", both("sim stuck --rules fanotify --seeds 1..9 --find deadlocked", 0));
    insta::assert_snapshot!("sim-find-none", both("sim tiny --rules fanotify --seeds 1..3 --find missed", 1));
    let swarm = "sim tiny --rules fanotify --seeds 1..50 --swarm --find divergent";
    let found = both(swarm, 0);
    let again = found.lines().find_map(|line| line.strip_prefix("replay  lab ")).unwrap();
    let again = bench.ends(again, 0).0;
    let run = |text: &str| text.lines().skip(2).take(20).collect::<Vec<_>>().join("\n");
    assert_eq!(run(&found), run(&again), "the line replays it");
    let sweep = "sweep tiny --rules fanotify --vary clients=1..3 --vary concurrency=1,8 --trials 2";
    insta::assert_snapshot!("sweep", both(sweep, 0));
    let cells = both(&format!("{sweep} --json"), 0);
    let cells: serde_json::Value = serde_json::from_str(&cells).unwrap();
    for (place, clients) in [1.0, 2.0, 3.0].into_iter().enumerate() {
        // N(N + 1), whatever the concurrency.
        let amplification = &cells["cells"][place * 2 + 1]["trials"]["amplification"]["median"];
        assert_eq!(amplification.as_f64().unwrap().round(), clients * (clients + 1.0));
    }
}

#[test]
fn a_ladder_and_its_blind_spots() {
    let bench = Bench::new("ladder");
    insta::assert_snapshot!("ladder", bench.says("ladder stuck --rules fanotify --trials 2"));
    let ladder = bench.json("ladder stuck --rules fanotify --trials 2 --json");
    assert_eq!(ladder["base"]["outcomes"]["deadlocked"], 2);
}

#[test]
fn the_smallest_lab_still_shows_it_and_is_a_good_lab_file() {
    let bench = Bench::new("minimize");
    let (file, said) = bench.ends("minimize stuck --rules fanotify", 0);
    insta::assert_snapshot!("minimize", said + "---\n" + &file);
    bench.says("minimize stuck --rules fanotify --output smaller.yaml");
    bench.says("validate ./smaller.yaml");
    let (found, _) = bench.ends("sim ./smaller.yaml --rules fanotify --json", 1);
    let found: serde_json::Value = serde_json::from_str(&found).unwrap();
    assert_eq!(
        (&found["outcome"], &found["judgement"]),
        (&"deadlocked".into(), &"failed".into()),
        "it expects none"
    );
    bench.ends("minimize tiny --rules fanotify", 1);
}

#[test]
fn two_runs_side_by_side() {
    let bench = Bench::new("diff");
    bench.says("up tiny --backend sim --rules fanotify");
    let before = bench.latest("tiny");
    bench.says("up tiny --backend sim --rules endpoint-security --seed 7");
    let line = format!("diff {} tiny", before.display());
    insta::assert_snapshot!("diff", redacted(&bench, &bench.says(&line)));
    let same = bench.json(&format!("{line} --json").replace(" tiny ", &format!(" {} ", before.display())));
    assert_eq!(same["comparison"]["settings"], serde_json::json!([]));
    for number in same["comparison"]["numbers"].as_array().unwrap() {
        assert_eq!(number["change"], "none", "{number}");
    }
}

#[test]
fn a_lab_is_repeated_and_its_runs_differ_by_so_much() {
    let bench = Bench::new("repeat");
    let said = bench.says("up tiny --backend sim --rules fanotify --repeat 3");
    insta::assert_snapshot!("repeat", redacted(&bench, &said));
    let runs = runs_of(&bench);
    assert_eq!(runs.len(), 3, "each run has a folder of its own");
    let mut seeds: Vec<u64> = runs.iter().map(|run| lab_orchestrator::lab_of(run).unwrap().seed).collect();
    seeds.sort_unstable();
    assert_eq!(seeds, [42, 43, 44], "one seed would give one run three times");
    assert!(runs.iter().all(|run| run.root().join("report.html").exists()));
    let json = bench.json("up tiny --backend sim --rules fanotify --repeat 2 --seed 42 --json");
    assert_eq!((&json["planned"], json["runs"].as_array().map(Vec::len)), (&2.into(), Some(2)));
    let amplification = &json["numbers"][0];
    assert_eq!((&amplification["name"], &amplification["known"]), (&"amplification".into(), &2.into()));
    assert_eq!(amplification["spread"]["low"], 6.0);
    // The worst run of all decides.
    let (said, _) = bench.ends("up stuck --backend sim --rules fanotify --repeat 2", 1);
    assert!(said.contains("\nstuck: 2 runs: 2 failed; outcome deadlocked\n"), "{said}");
    for wrong in ["--repeat 0", "--repeat 1001", "--repeat 2 --full"] {
        bench.ends(&format!("up tiny --backend sim --rules fanotify {wrong}"), 64);
    }
}

#[test]
fn sets_of_runs_are_compared_and_fail_a_pipeline() {
    let bench = Bench::new("sets");
    let up = |more: &str| drop(bench.says(&format!("up tiny --backend sim {more} --repeat 5")));
    up("--rules fanotify --seed 1");
    up("--rules fanotify --seed 11");
    let alike = "diff tiny@6..10 tiny@5 --fail-on any";
    let said = bench.says(alike);
    insta::assert_snapshot!("diff-sets", redacted(&bench, &said));
    // Endpoint Security asks all clients at once, and not about what they do themselves.
    up("--rules endpoint-security --seed 1");
    bench.ends("diff tiny@6..10 tiny@5 --fail-on worse", 0);
    let (said, _) = bench.ends("diff tiny@5 tiny@6..10 --fail-on worse", 1);
    assert!(said.contains("failed   on \"worse\": amplification"), "{said}");
    bench.ends("diff tiny@6..10 tiny@5 --fail-on any", 1);
    bench.ends("diff tiny@5 tiny@6..10 --fail-on amplification", 1);
    bench.ends("diff tiny@5 tiny@6..10 --fail-on records --fail-on amplification", 64);
    let (said, _) = bench.ends("diff tiny@5 tiny@6..10 --fail-on amplification --json", 1);
    let json: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(json["gate"]["numbers"], serde_json::json!(["amplification"]));
    assert_eq!(json["runs"]["before"].as_array().map(Vec::len), Some(5));
    // One run a side tells nothing, and few do not either.
    let names: Vec<String> =
        runs_of(&bench).iter().map(|run| format!("tiny/{}", run.name())).take(4).collect();
    let (said, _) = bench.ends(&format!("diff {} tiny --fail-on amplification", names[0]), 2);
    assert!(said.contains("1 against 1 cannot tell a change from chance"), "{said}");
    bench.ends(&format!("diff {},{} tiny@3 --fail-on worse", names[0], names[1]), 2);
    for (wrong, said) in [
        ("tiny@0 tiny", "says not which of the last runs"),
        ("tiny@16 tiny", "holds 15 runs of tiny"),
        ("tiny@3 tiny@2", "is named twice"),
        ("absent@2 tiny", "holds 0 runs of absent"),
        ("tiny, , tiny@6..7", ""),
        (", tiny", "a side names no run"),
    ] {
        let (_, err) = bench.ends(&format!("diff {wrong}"), 64);
        assert!(err.contains(said), "{wrong}: {err}");
    }
}

#[test]
fn recorded_runs_are_compared_without_running_anything() {
    let bench = Bench::new("recorded");
    for seed in [42, 42, 43] {
        bench.says(&format!("up tiny --backend sim --rules fanotify --seed {seed}"));
    }
    let (_, err) = bench.ends("conform --recorded runs", 64);
    assert!(err.contains("SKIPPED tiny: none of its runs is a live one on fanotify"), "{err}");
    // Runs that pass for live ones; that of the other seed ran another lab, and is the newest.
    for run in runs_of(&bench) {
        let yaml = fs::read_to_string(run.lab()).unwrap();
        fs::write(run.lab(), yaml.replace("backend: sim", "backend: fanotify")).unwrap();
    }
    let said = bench.json("conform --recorded runs --from tiny --output not/there --json");
    assert_eq!((&said["runs"], &said["conforms"]), (&"recorded live runs".into(), &true.into()));
    let row = &said["labs"][0];
    assert_eq!(row["outcome"]["real"].as_array().map(Vec::len), Some(1), "{row}");
    assert_eq!((&row["lab"], &row["law"]), (&"tiny".into(), &"held".into()));
    let calibrated = &said["calibration"]["labs"][0];
    assert_eq!((&calibrated["lab"], calibrated["runs"].as_array().map(Vec::len)), (&"tiny".into(), Some(1)));
    assert!(bench.root.join("not/there/conformance.md").exists());
    bench.ends("conform absent --recorded runs", 64);
}

#[test]
fn costs_come_from_several_runs_and_their_spread_is_said() {
    let bench = Bench::new("calibrated");
    for seed in [42, 43, 44] {
        bench.says(&format!("up tiny --backend sim --rules fanotify --seed {seed}"));
    }
    let runs: Vec<String> =
        runs_of(&bench).iter().map(|run| format!("--from {}", run.root().display())).collect();
    let said = bench.json(&format!("sim tiny --json {}", runs.join(" ")));
    let labs = said["calibration"]["labs"].as_array().unwrap();
    assert_eq!(labs.len(), 1, "another seed is another run of the same lab: {labs:?}");
    assert_eq!(labs[0]["runs"].as_array().map(Vec::len), Some(3));
    let figures = labs[0]["figures"].as_array().unwrap();
    assert!(!figures.is_empty());
    for figure in figures {
        let at = |name: &str| figure[name].as_u64().unwrap();
        assert!(at("low_ns") <= at("median_ns") && at("median_ns") <= at("high_ns"), "{figure}");
    }
    let text = bench.says(&format!("sim tiny {}", runs.join(" ")));
    assert!(text.contains("costs   from tiny (3 runs)") && text.contains("lowest"), "{text}");
    let one = bench.says(&format!("sim tiny {}", runs[0]));
    assert!(!one.contains("lowest"), "one run has no spread: {one}");
}

#[test]
fn exports_hold_every_decision() {
    let bench = Bench::new("export");
    bench.says("up tiny --backend sim --rules fanotify");
    let run = bench.latest("tiny");
    let report: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(run.join("report.json")).unwrap()).unwrap();
    let lines = bench.says("export tiny --to jsonl --output -");
    assert_eq!(lines.lines().count() as u64, report["totals"]["decisions"].as_u64().unwrap());
    for line in lines.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
    bench.says("export --to jsonl");
    assert_eq!(fs::read_to_string(run.join("decisions.jsonl")).unwrap(), lines);
    let beside_the_report = fs::read(run.join("trace.pftrace")).unwrap();
    bench.says("export tiny --to perfetto --output again.pftrace");
    assert!(fs::read(bench.root.join("again.pftrace")).unwrap() == beside_the_report);
    let (_, err) = bench.ends("export tiny --to perfetto --output absent/folder/file", 74);
    assert!(err.contains("--output"), "{err}");
}

#[test]
fn status_shows_the_last_runs() {
    let bench = Bench::new("status");
    assert_eq!(bench.says("status"), "no lab is up\n");
    bench.says("up tiny --backend sim --rules fanotify");
    bench.ends("up stuck --backend sim --rules fanotify", 1);
    let status = bench.json("status --json");
    assert_eq!(status["up"], serde_json::json!([]));
    let outcomes: Vec<(&str, &str)> = status["last"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| (run["lab"].as_str().unwrap(), run["outcome"].as_str().unwrap()))
        .collect();
    assert!(
        outcomes.contains(&("tiny", "stable")) && outcomes.contains(&("stuck", "deadlocked")),
        "{outcomes:?}"
    );
    assert_eq!(bench.says("status --last 1").lines().count(), 3);
}

#[test]
fn the_doctor_ends_as_it_finds() {
    let bench = Bench::new("doctor");
    let output = bench.command("doctor tiny --json");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["clients"], 2);
    let code = output.status.code().unwrap();
    assert!([0, 69, 75, 77].contains(&code), "{code}");
    assert_eq!(found["blocks"], code != 0);
    let blocking = |check: &serde_json::Value| check["outcome"] == "failed" && check["required"] == true;
    let checks = found["checks"].as_array().unwrap();
    assert_eq!(checks.iter().any(blocking), code != 0);
    assert!(checks.iter().all(|check| check["outcome"] != "failed" || check["mend"].is_string()), "{found}");
}

/// Judges by what neither fanotify nor the simulator knows.
const SIGNED: &str = "\
schema: 1
name: signed
clients: [{ id: alpha, behavior: { verdict: { deny: [{ team_id: ABCDE12345 }] } } }]
workload: [{ exec_storm: {} }]
";

#[test]
fn wrong_uses_say_what_to_do_instead() {
    let bench = Bench::new("wrong");
    fs::write(bench.root.join("bad.yaml"), "schema: 1\nname: bad\nclients: []\n").unwrap();
    fs::write(bench.root.join("signed.yaml"), SIGNED).unwrap();
    let mut said = String::new();
    for (line, code) in [
        ("up absent", 64),
        ("up ./bad.yaml --backend sim", 65),
        ("up tiny --backend fanotify --rules fanotify", 64),
        ("up ./signed.yaml --backend sim", 64),
        ("up tiny --backend endpoint-security", 69),
        ("report absent", 64),
        ("diff absent tiny", 64),
        ("export absent --to jsonl", 64),
        ("sim tiny --seeds 9..1", 64),
        ("sim tiny --find missed", 64),
        ("sim tiny --from absent", 64),
        ("sweep tiny", 64),
        ("sweep tiny --vary color=1", 64),
        ("sweep tiny --vary clients=3..1", 64),
        ("sweep tiny --vary clients=1 --vary clients=2", 64),
        ("bundle tiny --target no-such-machine", 69),
    ] {
        let (out, err) = bench.ends(line, code);
        assert_eq!(out, "", "{line}");
        said.push_str(&format!("$ lab {line}\n{}\n", redacted(&bench, &err)));
    }
    insta::assert_snapshot!("wrong-uses", said);
    let plan = bench.says("plan ./signed.yaml");
    assert!(plan.contains("who signed a program is not known here"), "{plan}");
}

#[test]
fn a_sweep_goes_on_where_it_was() {
    let bench = Bench::new("sweep");
    let sweep =
        "sweep tiny --rules fanotify --vary clients=1,2 --vary when=before,after --trials 2 --output kept";
    let first = bench.says(sweep);
    let results = bench.root.join("kept/results.jsonl");
    let lines = fs::read_to_string(&results).unwrap();
    assert_eq!(lines.lines().count(), 4);
    assert_eq!(bench.says(sweep), first);
    assert_eq!(fs::read_to_string(&results).unwrap(), lines, "nothing is run again");
    // One line is lost, and one cut off in the middle: as after a kill.
    let cut: String = lines.split_inclusive('\n').skip(1).collect();
    fs::write(&results, &cut[..cut.len() - 20]).unwrap();
    assert_eq!(bench.says(sweep), first);
    let mended = fs::read_to_string(&results).unwrap();
    assert_eq!(mended.lines().count(), 3 + 2, "both are run again");
    // Another seed is not there yet; a changed lab is another lab.
    bench.says(&sweep.replace("--trials 2", "--trials 3"));
    assert_eq!(fs::read_to_string(&results).unwrap().lines().count(), 5 + 4);
    fs::write(bench.root.join("lab-configs/tiny.yaml"), TINY.replace("files: 20", "files: 21")).unwrap();
    bench.says(sweep);
    assert_eq!(fs::read_to_string(&results).unwrap().lines().count(), 9 + 4);
    assert!(fs::read_to_string(bench.root.join("kept/sweep.html")).unwrap().contains("Nth client"));
}

/// Every job of an emitted sweep is carried out as the engine would, and what they leave is the sweep.
#[test]
fn an_emitted_sweep_comes_back_as_the_sweep() {
    let bench = Bench::new("emit");
    let sweep = "sweep tiny --rules fanotify --vary clients=1..3 --trials 2";
    let here = bench.json(&format!("{sweep} --json"));
    for engine in ["kubernetes", "github-actions"] {
        bench.says(&format!("{sweep} --emit {engine} --output {engine}"));
        for (cell, seed) in [(0, 42), (0, 43), (1, 42), (1, 43), (2, 42), (2, 43)] {
            let to = format!("--backend sim --rules fanotify --seed {seed}");
            bench.command(&format!(
                "--runs {engine}-{cell}-{seed} up {engine}/cells/cell-{cell:04}.yaml {to}"
            ));
        }
        let folders = ["0-42", "0-43", "1-42", "1-43", "2-42", "2-43"].map(|job| format!("{engine}-{job}"));
        let merged = bench.json(&format!("merge {engine} {} --json", folders.join(" ")));
        for (place, cell) in here["cells"].as_array().unwrap().iter().enumerate() {
            let found = &merged["cells"][place];
            assert_eq!(found["settings"], cell["settings"]);
            for figure in ["amplification", "outcomes"] {
                assert_eq!(found["trials"][figure], cell["trials"][figure], "{engine} {place} {figure}");
            }
        }
        bench.ends(&format!("merge {engine} {} --json", folders[0]), 2);
    }
    let github = fs::read_to_string(bench.root.join("github-actions/github-actions.yml")).unwrap();
    let workflow: serde_json::Value = serde_saphyr::from_str(&github).unwrap();
    let matrix = &workflow["jobs"]["cell"]["strategy"]["matrix"]["include"];
    assert_eq!(matrix.as_array().unwrap().len(), 6);
    let kubernetes = fs::read_to_string(bench.root.join("kubernetes/kubernetes.yaml")).unwrap();
    let (cells, job) = kubernetes.split_once("\n---\n").unwrap();
    let (cells, job): (serde_json::Value, serde_json::Value) =
        (serde_saphyr::from_str(cells).unwrap(), serde_saphyr::from_str(job).unwrap());
    assert_eq!(cells["data"].as_object().unwrap().len(), 3);
    assert_eq!(job["spec"]["completions"], 6);
    assert_eq!(job["spec"]["completionMode"], "Indexed");
    let file = fs::read_to_string(bench.root.join("kubernetes/cells/cell-0001.yaml")).unwrap();
    assert_eq!(cells["data"]["cell-0001.yaml"].as_str().unwrap().trim(), file.trim());
}

#[test]
fn the_page_of_all_labs_is_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let made = Command::new(env!("CARGO_BIN_EXE_lab"))
        .args(["list", "--markdown"])
        .current_dir(&root)
        .output()
        .unwrap();
    let page = root.join("docs/reference/labs.md");
    let same = fs::read(page).unwrap_or_default() == made.stdout;
    assert!(same, "run `lab list --markdown > docs/reference/labs.md` and commit it");
}
