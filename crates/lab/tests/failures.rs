//! What `lab` says when it cannot do what it was told: one clear sentence, what mends it, the documented exit
//! code, nothing left running and no half-made run folder.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start programs and look at what they leave"
)]

mod rig;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use lab_analysis::findings::{Findings, Outcome};
use libtest_mimic::Arguments;
use rig::{Finished, Live, QUICK_OF_TWO as QUICK, Rig, anywhere, limited, live, nothing_was_made, on_tmpfs};

fn main() -> ExitCode {
    let tests: Vec<Live> = vec![
        anywhere("an_unknown_lab", unknown_lab),
        anywhere("a_wrong_word_on_the_command_line", wrong_word),
        anywhere("a_bad_lab_file_starts_nothing", bad_lab),
        anywhere("a_mute_of_what_is_not_there", mutes_nothing),
        anywhere("more_clients_than_the_kernel_allows", too_many_clients),
        anywhere("a_backend_that_is_not_there", no_backend),
        anywhere("no_cargo_on_the_path", no_cargo),
        anywhere("a_run_that_does_not_exist", no_run),
        live("a_run_store_that_cannot_be_written", read_only),
        live("a_disk_that_is_full_at_the_start", full_disk),
        live("a_disk_that_fills_up_in_the_storm", disk_fills_up),
        live("no_privilege", no_privilege),
        live("a_client_that_dies_at_once", client_dies_at_once),
        live("a_helper_that_dies_at_once", helper_dies_at_once),
        live("a_client_that_never_becomes_ready_is_interrupted", client_that_sleeps),
    ];
    rig::main_beside(2, Arguments::from_args(), tests)
}

/// A rig with one lab that would run.
fn rig(name: &str) -> Rig {
    Rig::with_lab(name, "quick", QUICK)
}

/// Checks the exit code, that standard error is the expected text with the rig's folder as `RIG`, and that nothing
/// was left.
fn fails(rig: &Rig, finished: &Finished, code: i32, expected: &str) {
    let said = finished.stderr.replace(rig.root.to_str().unwrap(), "RIG");
    assert_eq!(said, expected);
    assert_eq!(finished.code, Some(code), "{said}");
    assert_eq!(finished.stdout, "");
    nothing_was_made(rig);
}

fn unknown_lab() {
    let rig = rig("unknown-lab");
    let expected = "error: there is no lab \"quik\" in RIG/configs\n  help: did you mean quick? `lab list` shows all of them\n";
    fails(&rig, &rig.run(&["up", "quik"]), 64, expected);
    let expected = "error: there is no lab file here/quick.yaml\n  help: name a lab of `lab list`, or a path to a lab file\n";
    fails(&rig, &rig.run(&["up", "here/quick.yaml"]), 64, expected);
}

fn wrong_word() {
    let rig = rig("wrong-word");
    let finished = rig.run(&["upp", "quick"]);
    assert_eq!(finished.code, Some(64));
    assert!(finished.stderr.contains("unrecognized subcommand 'upp'"), "{}", finished.stderr);
    nothing_was_made(&rig);
}

fn bad_lab() {
    let rig = rig("bad-lab");
    rig.lab("bad", &QUICK.replace("workers: 1", "worker: 1").replace("noop", "nop"));
    let finished = rig.run(&["up", "bad"]);
    assert_eq!(finished.code, Some(65), "{}", finished.stderr);
    for part in ["bad.yaml:3:", "bad.yaml:6:", "noop", "workers", "2 mistakes; nothing was started"] {
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
    }
    nothing_was_made(&rig);
}

fn mutes_nothing() {
    let rig = rig("mutes-nothing");
    rig.lab(
        "mute",
        &QUICK.replace("behavior: noop", "behavior: { preset: noop, mute: { paths: [files/none] } }"),
    );
    let expected = "error: client-01 mutes `files/none`, which is not in the arena when the lab begins\n  \
                    help: mute something below `files`, or take it out of `mute.paths`\n";
    fails(&rig, &rig.run(&["up", "mute"]), 64, expected);
}

fn too_many_clients() {
    let rig = rig("too-many");
    rig.lab("crowd", &QUICK.replace("count: 2", "count: 9999"));
    let finished = rig.run(&["up", "crowd"]);
    assert_eq!(finished.code, Some(65), "{}", finished.stderr);
    assert!(finished.stderr.contains("9999"), "{}", finished.stderr);
    assert!(finished.stderr.contains("nothing was started"), "{}", finished.stderr);
    nothing_was_made(&rig);
}

fn no_backend() {
    let rig = rig("no-backend");
    let finished = rig.run(&["up", "quick", "--backend", "endpoint-security"]);
    assert_eq!(finished.code, Some(69), "{}", finished.stderr);
    assert!(finished.stderr.contains("endpoint-security"), "{}", finished.stderr);
    nothing_was_made(&rig);
}

fn no_cargo() {
    let rig = rig("no-cargo");
    let finished = Finished::of(&rig.command(&["up", "quick"]).env("PATH", "/nonexistent").output().unwrap());
    let expected = "error: cannot build the client and the driver: cargo is not on PATH\n  \
                    help: install Rust (https://rustup.rs), or add the folder of cargo to PATH\n";
    fails(&rig, &finished, 69, expected);
}

fn no_run() {
    let rig = rig("no-run");
    let expected = "error: there is no run \"quick\" in RIG/runs\n  help: `lab up three-clients` makes one; `lab status` lists the last ones\n";
    fails(&rig, &rig.run(&["report", "quick"]), 64, expected);
    let down = rig.run(&["down"]);
    assert_eq!((down.code, down.stdout.as_str()), (Some(0), "nothing was left behind\n"));
}

fn read_only() {
    let rig = rig("read-only");
    let prepare = format!("mount -o remount,ro {}", rig.runs().display());
    let finished = on_tmpfs(&rig, "size=1m", &prepare, "quick");
    let said = finished.stderr.replace(rig.root.to_str().unwrap(), "RIG");
    assert_eq!(
        said,
        "error: cannot write to RIG/runs/quick: Read-only file system (os error 30)\n  \
         help: name a folder that can be written with --runs\n"
    );
    assert_eq!((finished.code, finished.stdout.as_str()), (Some(74), "--\n"));
    nothing_was_made(&rig);
}

/// Wherever the space ends while a run is set up: in the bundles, in the controller's trace, in the driver's.
fn full_disk() {
    for (size, place) in [("64k", "/bundles"), ("6m", "orchestrator.trace"), ("10m", "driver.trace")] {
        let rig = rig(&format!("full-{size}"));
        let finished = on_tmpfs(&rig, &format!("size={size}"), "true", "quick");
        assert_eq!((finished.code, finished.stdout.as_str()), (Some(74), "--\n"), "{}", finished.stderr);
        let error = finished.stderr.split_once("error: ").unwrap().1;
        assert!(error.contains(place), "{error}");
        assert!(error.contains("No space left on device"), "{error}");
        let help = "\n  help: free some space, or name another folder with --runs\n";
        assert!(error.ends_with(help) && error.lines().count() == 2, "{error}");
        nothing_was_made(&rig);
    }
}

fn disk_fills_up() {
    let rig = rig("fills-up");
    rig.lab(
        "busy",
        "clients: { count: 2, behavior: noop }\n\
         phases: { baseline: 50ms, control: 50ms, storm: 10s, drain: 1s }\n\
         workload:\n  - open_storm: { workers: 2, files: 5, operations_max: 200000 }\n",
    );
    let finished = on_tmpfs(&rig, "size=48m", "true", "busy");
    // The run ends in order and says what it lost, and that the report could not be written if it could not.
    assert!(matches!(finished.code, Some(0 | 1 | 2 | 74)), "{:?}: {}", finished.code, finished.stderr);
    let (json, left) = finished.stdout.split_once("\n--\n").unwrap();
    let report: Findings = serde_json::from_str(json).unwrap();
    rig::sums_add_up(&report);
    assert!(report.totals.lost > 0);
    assert!(!left.contains("bundles"), "{left}");
    assert_eq!(rig.remains(), Vec::<String>::new());
}

fn no_privilege() {
    let rig = rig("no-privilege");
    let options = ["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"].map(str::to_owned);
    let expected = "error: fanotify permission events need CAP_SYS_ADMIN in the initial user namespace\n  \
                    help: run it as root: sudo -E cargo lab …\n";
    fails(&rig, &limited(&rig, "setpriv", &options, &["up", "quick"]), 77, expected);
    // Nobody who looks at an exit code alone may take a simulation for a run.
    let auto = ["up", "quick", "--backend", "auto", "--json"];
    let refused = limited(&rig, "setpriv", &options, &auto);
    assert_eq!(refused.code, Some(77), "{}", refused.stderr);
    assert!(refused.stderr.contains("help: add --allow-sim"), "{}", refused.stderr);
    assert!(!rig.runs().exists(), "nothing was made");
    let simulated = limited(&rig, "setpriv", &options, &[&auto[..], &["--allow-sim"]].concat());
    let report = simulated.report();
    let because = report.state.simulated_because.as_deref().unwrap();
    assert!(because.contains("CAP_SYS_ADMIN"), "{because}");
    assert!(report.replay.contains("--backend sim"), "{}", report.replay);
    assert!(rig.run(&["report"]).stdout.contains("only simulated"), "it is said each time");
}

/// A folder with a `cargo` that builds nothing: the driver is the real one, the client this program.
fn with_client(rig: &Rig, client: &str) -> String {
    // The real one must have been built.
    rig.report("quick");
    fs::remove_dir_all(rig.runs()).unwrap();
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let fake = rig.root.join("fake");
    fs::create_dir_all(fake.join("packaged")).unwrap();
    fs::copy(target.join("packaged/lab-driver"), fake.join("packaged/lab-driver")).unwrap();
    let script = |path: PathBuf, text: &str| {
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    fs::copy(client, fake.join("packaged/lab-client")).unwrap();
    let metadata = format!("[ \"$1\" = build ] || echo '{{\"target_directory\": \"{}\"}}'", fake.display());
    script(fake.join("cargo"), &metadata);
    format!("{}:{}", fake.display(), std::env::var("PATH").unwrap())
}

/// `expr` without arguments complains on standard error and ends.
fn client_dies_at_once() {
    let rig = rig("dies-at-once");
    let path = with_client(&rig, "/usr/bin/expr");
    let finished = Finished::of(&rig.command(&["up", "quick", "--json"]).env("PATH", path).output().unwrap());
    assert_eq!(finished.code, Some(70), "{}", finished.stderr);
    let error = finished.stderr.split_once("error: ").unwrap().1;
    assert!(error.starts_with("client-0") && error.contains("it ended at once, exit 2"), "{error}");
    assert!(error.contains("--help' for more information"), "its own last words: {error}");
    assert_eq!(rig.remains(), Vec::<String>::new());
    // The baseline was recorded before, so the run stays and can be reported.
    let report = finished.report();
    assert_eq!(report.outcome, Outcome::Unknown);
    assert_eq!(rig.run(&["down"]).stdout, "nothing was left behind\n");
}

/// What the helpers run is bad, and the client is the real one: its own words about it end the run.
fn helper_dies_at_once() {
    let rig = rig("helper-dies-at-once");
    let behavior = "behavior: { helpers: { count: 2 } }";
    let load = "phases: { baseline: 50ms, control: 0s, storm: 1s, drain: 0s }\nworkload: [open_storm: {}]\n";
    rig.lab("helped", &format!("clients: [{{ id: alpha, {behavior} }}]\n{load}"));
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let path = with_client(&rig, target.join("packaged/lab-client").to_str().unwrap());
    fs::copy("/usr/bin/expr", rig.root.join("fake/packaged/lab-worker")).unwrap();
    let finished =
        Finished::of(&rig.command(&["up", "helped", "--json"]).env("PATH", path).output().unwrap());
    assert_eq!(finished.code, Some(70), "{}", finished.stderr);
    let error = finished.stderr.split_once("error: ").unwrap().1;
    let first = error.lines().next().unwrap();
    assert_eq!(first, "alpha: its helper alpha.helper-1 ended at once: exit status: 2");
    assert_eq!(rig.remains(), Vec::<String>::new());
    assert_eq!(rig.run(&["down"]).stdout, "nothing was left behind\n");
}

/// A client that hangs while it starts (it only listens) does not keep an interrupt from ending the run.
fn client_that_sleeps() {
    let rig = rig("sleeps");
    let path = with_client(&rig, "/usr/bin/cat");
    let mut command = rig.command(&["up", "quick", "--json"]);
    let launcher =
        command.env("PATH", path).stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let launcher = launcher.spawn().unwrap();
    let sleeps = || rig.remains().iter().any(|line| line.contains("client-02.app"));
    assert!(rig::wait_until(lab_model::Span::from_secs(60), sleeps), "the clients start");
    rig::send(launcher.id(), nix::sys::signal::Signal::SIGTERM);
    let finished = Finished::of(&launcher.wait_with_output().unwrap());
    assert_eq!(finished.code, Some(130), "{}", finished.stderr);
    assert_eq!(rig.remains(), Vec::<String>::new());
}
