//! What `lab down` takes away, and above all what it does not: other processes, other folders, what was recorded, a lab
//! that is up.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests leave things behind and look at what becomes of them"
)]

mod rig;

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    sync::atomic::{AtomicBool, Ordering},
};

use lab_model::{PhaseKind, Span};
use libtest_mimic::Arguments;
use nix::sys::signal::Signal;
use rig::{Finished, Live, Rig, Running, anywhere, live, scanners, send, sums_add_up, wait_until};
use serde_json::{Value, json};

/// A storm that would go on for long.
const LONG: &str = "phases: { baseline: 50ms, control: 50ms, storm: 60s, drain: 2s }\n\
                    workload:\n  - open_storm: { workers: 2, files: 50 }\n";
/// How long `lab down` may take without a lab to end, in seconds.
const DOWN_SECONDS: &str = "20";
/// How long the kernel may take to end what hangs together.
const GONE_WITHIN: Span = Span::from_secs(10);

fn main() -> ExitCode {
    let tests: Vec<Live> = vec![
        live("a_lab_that_is_up_is_left_alone", left_alone),
        live("a_lab_that_is_up_is_ended_in_order_by_force", ended_in_order),
        live("a_lab_that_does_not_end_is_killed_by_force", killed_at_last),
        live("a_killed_run_with_a_damaged_driver_trace_stays", damaged_trace_stays),
        anywhere("a_run_that_recorded_nothing_goes", nothing_recorded),
        anywhere("a_process_that_a_marker_names_is_not_touched", named_process_lives),
        anywhere("an_editor_of_a_file_of_the_run_is_not_touched", editor_lives),
        anywhere("no_marker_makes_it_hang_or_follow", odd_markers),
        anywhere("what_a_link_leads_to_is_not_removed", links_are_not_followed),
        anywhere("a_link_swapped_in_while_it_works_leads_nowhere", swapped_link),
    ];
    rig::main_beside(2, Arguments::from_args(), tests)
}

fn down(rig: &Rig, more: &[&str]) -> Finished {
    let mut command = Command::new("timeout");
    command.arg(DOWN_SECONDS).arg(rig::LAB).arg("--configs").arg(rig.configs()).arg("--runs").arg(rig.runs());
    command.arg("down").args(more).env("NO_COLOR", "1").env_remove("RUST_LOG");
    Finished::of(&command.output().unwrap())
}

/// A run of a lab that was killed: everything that a run has, and a marker of processes that are gone.
fn remains_of_a_run(rig: &Rig) -> PathBuf {
    let run = rig.runs().join("gone").join("2026-01-01T00-00-00Z");
    for part in ["traces", "logs", "clients", "bundles/client-01.app", "arena"] {
        fs::create_dir_all(run.join(part)).unwrap();
    }
    fs::write(run.join("bundles/client-01.app/program"), "program").unwrap();
    mark(&run, &json!({ "pid": u32::MAX, "started": 1 }));
    run
}

fn mark(run: &Path, process: &Value) {
    let marker = json!({ "launcher": process, "controller": process });
    fs::write(run.join("active.json"), marker.to_string()).unwrap();
}

/// A process as a marker names it.
fn named(pid: u32) -> Value {
    json!({ "pid": pid, "started": lab_process::process_state(pid).unwrap().started })
}

fn left_alone() {
    let rig = Rig::new("down-left-alone");
    rig.lab("up", &(scanners(2) + LONG));
    let mut lab = Running::start(&rig, "up");
    let folder = lab.reaches(PhaseKind::Storm, 100);
    for marked in [true, false] {
        if !marked {
            fs::rename(folder.join("active.json"), rig.root.join("active.json")).unwrap();
        }
        let down = down(&rig, &[]);
        assert_eq!(down.code, Some(64), "{down:#?}");
        assert!(down.stderr.contains("is up and was left alone"), "{down:#?}");
        assert_eq!(down.stderr.contains(&format!("process {}", lab.launcher())), marked, "{down:#?}");
        assert!(down.stderr.contains("--force"), "{down:#?}");
        assert_eq!(down.stdout, "", "nothing was removed");
    }
    let status = rig.run(&["status"]);
    assert!(status.stdout.contains("up  up/"), "without its marker too: {}", status.stdout);
    // A process that is no launcher does not become one by a note.
    let mut sleeper = sleeper(&rig, &[]);
    mark(&folder, &named(sleeper.id()));
    let by_force = down(&rig, &["--force"]);
    assert_eq!(by_force.code, Some(64), "{by_force:#?}");
    assert!(sleeper.try_wait().unwrap().is_none(), "{by_force:#?}");
    fs::rename(rig.root.join("active.json"), folder.join("active.json")).unwrap();
    send(lab.launcher(), Signal::SIGINT);
    let finished = lab.finish();
    assert_eq!(finished.code, Some(130), "the lab went on: {}", finished.stderr);
    sums_add_up(&serde_json::from_str(&finished.stdout).unwrap());
    end(sleeper);
}

fn ended_in_order() {
    let rig = Rig::new("down-in-order");
    rig.lab("up", &(scanners(2) + LONG));
    let mut lab = Running::start(&rig, "up");
    let folder = lab.reaches(PhaseKind::Storm, 100);
    let launcher = lab.launcher();
    // Somebody waits for the launcher, as its shell does, so that it is gone when it has ended.
    let waits = std::thread::spawn(move || lab.finish());
    let by_force = rig.run(&["down", "--force"]);
    let finished = waits.join().unwrap();
    assert_eq!(by_force.code, Some(0), "{by_force:#?}");
    assert!(by_force.stderr.contains(&format!("interrupting process {launcher}")), "{by_force:#?}");
    assert!(!by_force.stderr.contains("killing"), "{by_force:#?}");
    assert!(by_force.stdout.contains(&format!("ended process {launcher}")), "{by_force:#?}");
    assert_eq!(finished.code, Some(130), "{}", finished.stderr);
    sums_add_up(&serde_json::from_str(&finished.stdout).unwrap());
    assert!(folder.join("report.html").is_file(), "it has its report");
    assert_eq!(rig.remains(), Vec::<String>::new());
}

/// A launcher that stands still does not hear that it is to end.
fn killed_at_last() {
    let rig = Rig::new("down-killed");
    rig.lab("up", &(scanners(2) + LONG));
    let mut lab = Running::start(&rig, "up");
    let folder = lab.reaches(PhaseKind::Storm, 100);
    let launcher = lab.launcher();
    send(launcher, Signal::SIGSTOP);
    let waits = std::thread::spawn(move || lab.finish());
    let by_force = rig.run(&["down", "--force"]);
    let finished = waits.join().unwrap();
    assert_eq!(by_force.code, Some(0), "{by_force:#?}");
    assert!(by_force.stderr.contains(&format!("killing process {launcher}")), "{by_force:#?}");
    assert_eq!(finished.code, None, "{}", finished.stderr);
    assert!(wait_until(GONE_WITHIN, || rig.remains().is_empty()), "{:?}", rig.remains());
    assert!(!folder.join("bundles").exists() && !folder.join("active.json").exists());
    assert!(folder.join("traces/driver.trace").is_file(), "what was recorded stays");
}

fn damaged_trace_stays() {
    let rig = Rig::new("down-damaged");
    rig.lab("killed", &(scanners(2) + LONG));
    let mut lab = Running::start(&rig, "killed");
    let folder = lab.reaches(PhaseKind::Storm, 100);
    send(lab.launcher(), Signal::SIGKILL);
    assert_eq!(lab.finish().code, None);
    assert!(wait_until(GONE_WITHIN, || rig.remains().is_empty()), "{:?}", rig.remains());
    let driver = folder.join("traces/driver.trace");
    let trace = File::options().write(true).open(&driver).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&trace, &[0x5a; 4096], 0).unwrap();
    let down = down(&rig, &[]);
    assert_eq!(down.code, Some(0), "{down:#?}");
    assert!(down.stdout.contains("bundles"), "{down:#?}");
    assert!(driver.is_file() && folder.join("traces/client-01.trace").is_file(), "{down:#?}");
    let report = rig.run(&["report", folder.to_str().unwrap()]);
    assert!(matches!(report.code, Some(0..=2)), "what is left of it can be read: {report:#?}");
}

fn nothing_recorded() {
    let rig = Rig::new("down-nothing");
    let run = remains_of_a_run(&rig);
    let finished = down(&rig, &[]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    assert!(!run.exists(), "{finished:#?}");
    assert_eq!(down(&rig, &[]).stdout, "nothing was left behind\n");
    // What is no trace, or none that can be read, was recorded by somebody.
    for (name, bytes) in [("driver.trace", "no trace"), ("notes", "of somebody's")] {
        let run = remains_of_a_run(&rig);
        fs::write(run.join("traces").join(name), bytes).unwrap();
        let finished = down(&rig, &[]);
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        assert!(run.join("traces").join(name).is_file() && !run.join("bundles").exists(), "{finished:#?}");
        fs::remove_dir_all(run).unwrap();
    }
}

/// A program that waits, until the test ends it.
fn sleeper(rig: &Rig, words: &[&str]) -> Child {
    let mut command = Command::new("sh");
    // It reads what nobody writes, so it waits for as long as it lives.
    command.args(["-c", "read line", "sh"]).args(words).current_dir(&rig.root);
    command.stdin(Stdio::piped()).spawn().unwrap()
}

fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn named_process_lives() {
    let rig = Rig::new("down-named");
    let mut victim = sleeper(&rig, &[]);
    let run = remains_of_a_run(&rig);
    mark(&run, &named(victim.id()));
    for more in [&[][..], &["--force"]] {
        let finished = down(&rig, more);
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        assert!(victim.try_wait().unwrap().is_none(), "it lives: {finished:#?}");
        assert!(!finished.stdout.contains("ended process"), "{finished:#?}");
    }
    assert!(!run.exists(), "nothing of the lab's lives");
    end(victim);
    // This program, but neither a launcher that holds the run nor the first process of a lab's namespaces.
    let run = remains_of_a_run(&rig);
    let mut lab = Command::new(rig::LAB).arg("completions").arg("bash").stdout(full_pipe()).spawn().unwrap();
    let marker = json!({ "launcher": { "pid": u32::MAX, "started": 1 }, "controller": named(lab.id()) });
    fs::write(run.join("active.json"), marker.to_string()).unwrap();
    let finished = down(&rig, &["--force"]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    assert!(lab.try_wait().unwrap().is_none(), "{finished:#?}");
    end(lab);
}

/// A pipe that takes nothing more, so that whoever writes to it waits.
fn full_pipe() -> Stdio {
    let (reader, mut writer) = std::io::pipe().unwrap();
    // pipe(7): the capacity of a new pipe.
    writer.write_all(&[0; 65_536]).unwrap();
    // Its reader is never closed while the test runs.
    std::mem::forget(reader);
    Stdio::from(writer)
}

fn editor_lives() {
    let rig = Rig::new("down-editor");
    let run = remains_of_a_run(&rig);
    let plan = run.join("plan.json");
    fs::write(&plan, "{}").unwrap();
    let mut editor = sleeper(&rig, &["control", plan.to_str().unwrap()]);
    let finished = down(&rig, &[]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    assert!(editor.try_wait().unwrap().is_none(), "{finished:#?}");
    end(editor);
}

fn odd_markers() {
    let rig = Rig::new("down-odd");
    let precious = rig.root.join("precious");
    fs::write(&precious, "of somebody's").unwrap();
    let makers: [&dyn Fn(&Path); 5] = [
        &|marker| assert!(Command::new("mkfifo").arg(marker).status().unwrap().success()),
        &|marker| File::create(marker).unwrap().set_len(1 << 40).unwrap(),
        &|marker| symlink(&precious, marker).unwrap(),
        &|marker| symlink("/dev/zero", marker).unwrap(),
        &|marker| fs::write(marker, "[".repeat(60_000)).unwrap(),
    ];
    for (place, make) in makers.iter().enumerate() {
        let run = remains_of_a_run(&rig);
        let marker = run.join("active.json");
        fs::remove_file(&marker).unwrap();
        make(&marker);
        let finished = down(&rig, &[]);
        assert_eq!(finished.code, Some(0), "{place}: {finished:#?}");
        assert!(
            marker.symlink_metadata().is_err() && !run.join("bundles").exists(),
            "{place}: {finished:#?}"
        );
        // Traces that are FIFOs or devices are neither read nor followed.
        assert!(Command::new("mkfifo").arg(run.join("traces/driver.trace")).status().unwrap().success());
        mark(&run, &json!({ "pid": u32::MAX, "started": 1 }));
        let finished = down(&rig, &[]);
        assert_eq!(finished.code, Some(0), "{place}: {finished:#?}");
        fs::remove_dir_all(&run).unwrap();
    }
    assert_eq!(fs::read_to_string(&precious).unwrap(), "of somebody's");
}

fn links_are_not_followed() {
    let rig = Rig::new("down-links");
    let outside = rig.root.join("outside");
    let keep = |name: &str| {
        fs::create_dir_all(outside.join(name)).unwrap();
        fs::write(outside.join(name).join("precious"), "of somebody's").unwrap();
    };
    for part in ["bundles", "arena", "traces"] {
        keep(part);
        let run = remains_of_a_run(&rig);
        fs::remove_dir_all(run.join(part)).unwrap();
        symlink(outside.join(part), run.join(part)).unwrap();
        let finished = down(&rig, &[]);
        assert_eq!(finished.code, Some(0), "{part}: {finished:#?}");
        assert!(outside.join(part).join("precious").is_file(), "{part}: {finished:#?}");
        fs::remove_dir_all(&run).ok();
    }
    // A folder of the bundles that is a link, deep inside.
    keep("deep");
    let run = remains_of_a_run(&rig);
    symlink(outside.join("deep"), run.join("bundles/client-01.app/link")).unwrap();
    let finished = down(&rig, &[]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    assert!(!run.join("bundles").exists() && outside.join("deep/precious").is_file(), "{finished:#?}");
}

/// The run is exchanged for a link to a folder outside, again and again, while `lab down` removes it.
fn swapped_link() {
    let rig = Rig::new("down-swapped");
    let outside = rig.root.join("outside");
    for part in ["bundles/client-01.app", "traces", "arena"] {
        fs::create_dir_all(outside.join(part)).unwrap();
    }
    let precious = outside.join("bundles/client-01.app/precious");
    fs::write(&precious, "of somebody's").unwrap();
    let over = Ordering::Relaxed;
    for round in 0..30 {
        let run = remains_of_a_run(&rig);
        let aside = run.with_file_name("aside");
        let ended = AtomicBool::new(false);
        let finished = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !ended.load(over) {
                    // Either of them may find nothing, while the run is being removed.
                    if fs::rename(&run, &aside).is_ok() && symlink(&outside, &run).is_ok() {
                        drop(fs::remove_file(&run));
                    }
                    drop(fs::rename(&aside, &run));
                }
            });
            let finished = down(&rig, &[]);
            ended.store(true, over);
            finished
        });
        // What changes under its hands may be refused.
        assert!(matches!(finished.code, Some(0 | 74 | 77)), "round {round}: {finished:#?}");
        assert!(precious.is_file(), "round {round}: {finished:#?}");
        drop(fs::remove_dir_all(rig.runs()));
    }
}
