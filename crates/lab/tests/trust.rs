//! What root takes from others: nothing. Each test plays what another user can prepare or exchange while root's `lab`
//! works, and shows that nothing of it is executed, written through or read.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start programs and look at what they leave"
)]

mod rig;

use std::{
    fs,
    io::Write,
    os::unix::{
        fs::{MetadataExt, PermissionsExt, chown, symlink},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, Stdio},
    thread,
};

use lab_model::PhaseKind;
use libtest_mimic::Arguments;
use rig::{Finished, LAB, Live, Rig, Running, anywhere, live};
use serde_json::Value;

/// A user without any rights, on Linux and elsewhere.
const NOBODY: u32 = 65534;
/// The person who called sudo.
const CALLER: u32 = 4321;

/// A lab that takes under a second.
const QUICK: &str = "clients: { count: 2, behavior: noop }\n\
                     phases: { baseline: 50ms, control: 50ms, storm: 200ms, drain: 1s }\n\
                     workload:\n  - open_storm: { workers: 1, files: 5 }\n";
/// One that can be looked at while it runs.
const LONG: &str = "clients: { count: 2, behavior: noop }\n\
                    phases: { baseline: 50ms, control: 50ms, storm: 3s, drain: 1s }\n\
                    workload:\n  - open_storm: { workers: 1, files: 5 }\n";

fn main() -> ExitCode {
    let root = |test: Live| Live { lacks: obstacle(), ..test };
    let tests: Vec<Live> = vec![
        root(anywhere("a_lab_folder_of_another_user_in_a_sticky_store", sticky_store)),
        root(anywhere("a_store_on_a_way_that_others_may_write", way_of_others)),
        root(anywhere("a_link_to_the_store_of_another_user", link_of_another)),
        root(anywhere("links_in_a_run_are_not_written_through", links_in_a_run)),
        root(anywhere("a_run_of_another_user_is_not_reported", run_of_another)),
        root(anywhere("folders_exchanged_for_links_in_a_loop", exchanged_in_a_loop)),
        root(anywhere("a_planted_folder_of_lab_files", planted_configs)),
        root(anywhere("a_lab_file_of_another_user", lab_file_of_another)),
        root(anywhere("programs_and_orders_of_another_user", programs_of_another)),
        root(anywhere("the_caller_of_sudo_is_trusted_and_gets_the_run", caller_of_sudo)),
        root(anywhere("output_beside_files_of_others", output_beside_others)),
        root(anywhere("without_root_everything_goes_on", without_root)),
        anywhere("reports_at_once_are_written_whole", reports_at_once),
        anywhere("no_mask_gives_nothing_away", no_mask),
        live("no_mask_gives_no_program_away", no_mask_live),
        live("the_plan_has_no_name", plan_without_a_name),
        anywhere("nobody_else_controls", nobody_else_controls),
    ];
    rig::main_beside(2, Arguments::from_args(), tests)
}

/// Why the attacks cannot be played here.
fn obstacle() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("only root can act as two other users".to_owned());
    }
    let reached = as_nobody(&format!("test -x {LAB} -a -d {}", env!("CARGO_TARGET_TMPDIR"))).status();
    let reached = reached.is_ok_and(|status| status.success());
    (!reached).then(|| "another user cannot reach this workspace".to_owned())
}

/// A shell that acts as another user.
fn as_nobody(script: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]).uid(NOBODY).gid(NOBODY).stdin(Stdio::null());
    command
}

/// A rig with one lab, whose store is a folder of this mode and owner.
fn rig(name: &str) -> Rig {
    let rig = Rig::new(&format!("trust-{name}"));
    rig.lab("quick", QUICK);
    rig
}

fn folder(path: &Path, mode: u32, owner: u32) -> PathBuf {
    fs::create_dir_all(path).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    chown(path, Some(owner), Some(owner)).unwrap();
    path.to_owned()
}

/// A simulated run, which must be good.
fn simulate(rig: &Rig) -> PathBuf {
    let finished = rig.run(&["up", "quick", "--backend", "sim"]);
    assert!(matches!(finished.code, Some(0..=2)), "{finished:#?}");
    rig.latest("quick")
}

/// Checks that a command was refused with this sentence about the path, and something that mends it.
fn is_refused(finished: &Finished, path: &Path, why: &str) {
    assert_eq!(finished.code, Some(77), "{finished:#?}");
    let sentence = format!("{} {why}", path.display());
    assert!(finished.stderr.contains(&sentence), "{sentence}: {}", finished.stderr);
    assert!(finished.stderr.contains("`ch") || finished.stderr.contains("--"), "{}", finished.stderr);
    assert_eq!(finished.stdout, "");
}

/// Another user's folder of a lab awaits root's run in a store that is sticky, as `/tmp` is, and what root makes in it
/// would be theirs to exchange.
fn sticky_store() {
    let rig = rig("sticky");
    let store = folder(&rig.runs(), 0o1777, 0);
    let of_lab = store.join("quick");
    assert!(as_nobody(&format!("mkdir -m 777 {}", of_lab.display())).status().unwrap().success());
    let why = format!("belongs to user {NOBODY}, who is not root");
    is_refused(&rig.run(&["up", "quick", "--backend", "sim"]), &of_lab, &why);
    // What others have in a sticky store holds up nobody else.
    for command in ["status", "down"] {
        let finished = rig.run(&[command]);
        assert_eq!(finished.code, Some(0), "{finished:#?}");
        assert!(finished.stderr.contains(&format!("{} {why}", of_lab.display())), "{}", finished.stderr);
    }
    // The same where nobody may add to the store any more.
    folder(&store, 0o755, 0);
    for command in [&["up", "quick", "--backend", "sim"][..], &["report"], &["status"], &["down"]] {
        is_refused(&rig.run(command), &of_lab, &why);
    }
    assert_eq!(fs::read_dir(&of_lab).unwrap().count(), 0, "nothing was made there");
}

/// Whoever may write a folder above the store decides what the store is.
fn way_of_others() {
    let rig = rig("way");
    for (mode, owner, why) in [
        (0o777, 0, "can be written by other users (mode 777)".to_owned()),
        (0o775, 0, "can be written by other users (mode 775)".to_owned()),
        (0o755, NOBODY, format!("belongs to user {NOBODY}, who is not root")),
    ] {
        let way = folder(&rig.root.join("way"), mode, owner);
        let runs = way.join("deep/runs");
        let finished = Command::new(LAB)
            .args(["--configs", rig.configs().to_str().unwrap(), "--runs", runs.to_str().unwrap()])
            .args(["up", "quick", "--backend", "sim"])
            .env_remove("SUDO_UID")
            .output()
            .unwrap();
        is_refused(&Finished::of(&finished), &way, &why);
        assert!(!runs.exists());
    }
    // A sticky folder on the way is as good as its next one.
    let way = folder(&rig.root.join("way"), 0o1777, 0);
    let store = way.join("runs");
    let finished = rig.run(&["up", "quick", "--backend", "sim", "--runs", store.to_str().unwrap()]);
    assert!(matches!(finished.code, Some(0..=2)), "{finished:#?}");
    assert_eq!(fs::metadata(store).unwrap().mode() & 0o777, 0o700);
}

/// A link that another user made in a sticky folder leads where that user likes.
fn link_of_another() {
    let rig = rig("link");
    let victim = folder(&rig.root.join("victim"), 0o700, 0);
    let sticky = folder(&rig.root.join("sticky"), 0o1777, 0);
    let link = sticky.join("runs");
    let made = as_nobody(&format!("ln -s {} {}", victim.display(), link.display())).status().unwrap();
    assert!(made.success());
    let runs = link.to_str().unwrap().to_owned();
    let finished = rig.run(&["up", "quick", "--backend", "sim", "--runs", &runs]);
    is_refused(&finished, &link, &format!("belongs to user {NOBODY}, who is not root"));
    assert_eq!(fs::read_dir(victim).unwrap().count(), 0);
}

/// A run that somebody has furnished with links: what they point to stays as it is.
fn links_in_a_run() {
    let rig = rig("links");
    let run = simulate(&rig);
    let outside = folder(&rig.root.join("outside"), 0o755, 0);
    fs::write(outside.join("shadow"), "secret").unwrap();
    fs::remove_file(run.join("report.json")).unwrap();
    fs::remove_file(run.join("report.html")).unwrap();
    fs::remove_dir_all(run.join("clients")).unwrap();
    for name in ["report.json", "report.html", "report.new", "trace.pftrace", "trace.pftrace.new"] {
        drop(fs::remove_file(run.join(name)));
        symlink(outside.join("shadow"), run.join(name)).unwrap();
    }
    symlink(&outside, run.join("clients")).unwrap();
    let finished = rig.run(&["report", "quick"]);
    assert!(finished.stderr.contains("clients is a symbolic link"), "{}", finished.stderr);
    assert!(matches!(rig.run(&["export", "quick", "--to", "jsonl"]).code, Some(0)));
    assert_eq!(fs::read_to_string(outside.join("shadow")).unwrap(), "secret");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "nothing was written there");
    assert!(!run.join("report.json").is_symlink(), "the link itself was replaced");
}

/// Whoever owns a run's folder, or a folder in it, may exchange everything in it at any moment.
fn run_of_another() {
    let rig = rig("owner");
    let run = simulate(&rig);
    let why = format!("belongs to user {NOBODY}, who is not root");
    chown(&run, Some(NOBODY), Some(NOBODY)).unwrap();
    let path = run.to_str().unwrap();
    for command in [
        &["report", path][..],
        &["export", path, "--to", "jsonl"],
        &["diff", path, path],
        &["down"],
        &["status"],
    ] {
        is_refused(&rig.run(command), &run, &why);
    }
    chown(&run, Some(0), Some(0)).unwrap();
    chown(run.join("clients"), Some(NOBODY), Some(NOBODY)).unwrap();
    let finished = rig.run(&["report", path]);
    assert!(finished.stderr.contains(&format!("{}/clients {why}", run.display())), "{}", finished.stderr);
}

/// Another user exchanges the store for a link, back and forth, while root reports from it and writes to it.
fn exchanged_in_a_loop() {
    let rig = rig("loop");
    let run = simulate(&rig);
    let outside = folder(&rig.root.join("outside"), 0o755, 0);
    let way = folder(&rig.root.join("way"), 0o755, NOBODY);
    let copied = Command::new("cp").arg("-r").arg(rig.runs()).arg(way.join("runs")).status().unwrap();
    assert!(copied.success());
    let run = way.join("runs").join(run.strip_prefix(rig.runs()).unwrap());
    let loops = format!(
        "cd {} && ln -s {} other && while :; do mv -T runs aside; mv -T other runs; mv -T runs other; mv -T aside runs; done",
        way.display(),
        outside.display()
    );
    let exchanging = Loop(as_nobody(&loops).stderr(Stdio::null()).spawn().unwrap());
    for _ in 0..10 {
        let finished = rig.run(&["report", run.to_str().unwrap()]);
        is_refused(&finished, &way, &format!("belongs to user {NOBODY}, who is not root"));
        let store = way.join("runs");
        let finished = rig.run(&["up", "quick", "--backend", "sim", "--runs", store.to_str().unwrap()]);
        is_refused(&finished, &way, &format!("belongs to user {NOBODY}, who is not root"));
    }
    drop(exchanging);
    assert_eq!(fs::read_dir(outside).unwrap().count(), 0);
}

/// A process that goes on until it is dropped.
struct Loop(Child);

impl Drop for Loop {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// `lab-configs` in a folder above the working directory, with a command that root would run.
fn planted_configs() {
    let rig = rig("planted");
    let here = rig.root.join("shared/work");
    fs::create_dir_all(&here).unwrap();
    let shared = folder(&rig.root.join("shared"), 0o1777, 0);
    let proof = rig.root.join("proof");
    let lab = format!(
        "schema: 1\nname: three-clients\nclients: {{ count: 1, behavior: noop }}\nworkload:\n  \
         - run: {{ command: [/bin/touch, {}] }}\n",
        proof.display()
    );
    let configs = shared.join("lab-configs");
    let plant = format!("mkdir {0} && cat > {0}/three-clients.yaml", configs.display());
    let mut planted = as_nobody(&plant).stdin(Stdio::piped()).spawn().unwrap();
    planted.stdin.take().unwrap().write_all(lab.as_bytes()).unwrap();
    assert!(planted.wait().unwrap().success());
    for command in ["up", "plan", "validate", "sim", "list"] {
        let lab = (command != "list").then_some("three-clients");
        let finished = Command::new(LAB).current_dir(&here).arg(command).args(lab).output().unwrap();
        let why = format!("belongs to user {NOBODY}, who is not root");
        is_refused(&Finished::of(&finished), &configs, &why);
    }
    assert!(!proof.exists(), "the planted command was not run");
}

/// A lab file is a list of commands for root.
fn lab_file_of_another() {
    let rig = rig("file");
    let file = rig.configs().join("quick.yaml");
    let up = |what: &str| rig.run(&["up", what, "--backend", "sim"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    for name in ["quick", file.to_str().unwrap()] {
        is_refused(&up(name), &file, "can be written by other users (mode 666)");
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    chown(&file, Some(NOBODY), None).unwrap();
    is_refused(&up("quick"), &file, &format!("belongs to user {NOBODY}, who is not root"));
}

/// The folder of a stand-in, whose program is executed, and a signing file.
fn programs_of_another() {
    let rig = rig("programs");
    let stand_in = folder(&rig.root.join("stand-in"), 0o755, NOBODY);
    let proof = rig.root.join("proof");
    let program = stand_in.join("launchctl");
    fs::write(&program, format!("#!/bin/sh\ntouch {}\n", proof.display())).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let why = format!("belongs to user {NOBODY}, who is not root");
    is_refused(&rig.run(&["down", "--stand-in", stand_in.to_str().unwrap()]), &stand_in, &why);
    chown(&stand_in, Some(0), Some(0)).unwrap();
    chown(&program, Some(NOBODY), None).unwrap();
    is_refused(&rig.run(&["down", "--stand-in", stand_in.to_str().unwrap()]), &program, &why);
    assert!(!proof.exists(), "their program was not run");
    let signing = rig.root.join("signing.yaml");
    fs::write(&signing, "schema: 1\nmode: ad-hoc\n").unwrap();
    chown(&signing, Some(NOBODY), None).unwrap();
    let sign = ["bundle", "quick", "--sign", "--signing", signing.to_str().unwrap()];
    is_refused(&rig.run(&sign), &signing, &why);
    let into = folder(&rig.root.join("into"), 0o777, 0);
    let bundle = ["bundle", "quick", "--into", into.to_str().unwrap()];
    is_refused(&rig.run(&bundle), &into, "can be written by other users (mode 777)");
}

/// Root takes what the caller of sudo owns, and leaves them a run that they can read.
fn caller_of_sudo() {
    let rig = rig("sudo");
    let runs = folder(&rig.runs(), 0o755, CALLER);
    let up = |caller: Option<u32>| {
        let mut command = rig.command(&["up", "quick", "--backend", "sim"]);
        command.env_remove("SUDO_UID");
        if let Some(caller) = caller {
            command.env("SUDO_UID", caller.to_string());
        }
        Finished::of(&command.output().unwrap())
    };
    is_refused(&up(None), &runs, &format!("belongs to user {CALLER}, who is not root"));
    let why = format!("belongs to user {CALLER}, who is neither root nor the caller of sudo (user {NOBODY})");
    is_refused(&up(Some(NOBODY)), &runs, &why);
    let finished = up(Some(CALLER));
    assert!(matches!(finished.code, Some(0..=2)), "{finished:#?}");
    for path in below(&runs) {
        assert_eq!(path.symlink_metadata().unwrap().uid(), CALLER, "{}", path.display());
    }
    // A store that is root's stays root's.
    folder(&runs, 0o755, 0);
    assert!(matches!(up(Some(CALLER)).code, Some(0..=2)));
    assert_eq!(fs::metadata(rig.latest("quick")).unwrap().uid(), 0);
}

/// A file that a person asks for in a folder that others use as well.
fn output_beside_others() {
    let rig = rig("output");
    simulate(&rig);
    let sticky = folder(&rig.root.join("sticky"), 0o1777, 0);
    let victim = rig.root.join("victim");
    fs::write(&victim, "secret").unwrap();
    let prepared =
        format!("cd {} && touch mine && ln -s {} link && mkfifo fifo", sticky.display(), victim.display());
    assert!(as_nobody(&prepared).status().unwrap().success());
    let export =
        |path: &Path| rig.run(&["export", "quick", "--to", "jsonl", "--output", path.to_str().unwrap()]);
    // Their file is replaced, not written to: it could be open.
    assert_eq!(export(&sticky.join("mine")).code, Some(0));
    let mine = fs::metadata(sticky.join("mine")).unwrap();
    assert_eq!((mine.uid(), mine.mode() & 0o777), (0, 0o600));
    let linked = export(&sticky.join("link"));
    is_refused(&linked, &sticky.join("link"), &format!("belongs to user {NOBODY}, who is not root"));
    assert_eq!(export(&sticky.join("fifo")).code, Some(74));
    assert_eq!(fs::read_to_string(victim).unwrap(), "secret");
    let theirs = folder(&rig.root.join("theirs"), 0o755, NOBODY);
    let why = format!("belongs to user {NOBODY}, who is not root");
    is_refused(&export(&theirs.join("out")), &theirs, &why);
}

/// Without root a user acts with no more rights than their own.
fn without_root() {
    let rig = rig("user");
    let home = folder(&rig.root.join("home"), 0o775, NOBODY);
    let lab = |arguments: &[&str]| {
        let mut command = rig.command(arguments);
        let output = command.uid(NOBODY).gid(NOBODY).current_dir(&home).arg("--runs").arg(home.join("runs"));
        Finished::of(&output.output().unwrap())
    };
    fs::set_permissions(rig.configs(), fs::Permissions::from_mode(0o777)).unwrap();
    chown(rig.configs(), Some(NOBODY), None).unwrap();
    fs::set_permissions(rig.configs(), fs::Permissions::from_mode(0o775)).unwrap();
    for arguments in [
        &["up", "quick", "--backend", "sim"][..],
        &["report", "quick"],
        &["export", "quick", "--to", "jsonl", "--output", "out"],
        &["status"],
        &["validate", "quick"],
        &["down"],
    ] {
        let finished = lab(arguments);
        assert!(matches!(finished.code, Some(0..=2)), "{arguments:?}: {finished:#?}");
    }
    assert_eq!(fs::metadata(home.join("runs/quick/latest/report.json")).unwrap().mode() & 0o777, 0o600);
}

/// Several reports of one run: each file is one of them, whole.
fn reports_at_once() {
    let rig = rig("at-once");
    let run = simulate(&rig);
    let report = run.join("report.json");
    let expected = fs::read(&report).unwrap();
    let reports: Vec<_> = (0..6)
        .map(|_| {
            let rig = rig.clone();
            thread::spawn(move || (0..5).map(|_| rig.run(&["report", "quick"])).collect::<Vec<Finished>>())
        })
        .collect();
    while reports.iter().any(|report| !report.is_finished()) {
        assert_eq!(fs::read(&report).unwrap().len(), expected.len(), "whole at any moment");
    }
    for finished in reports.into_iter().flat_map(|reports| reports.join().unwrap()) {
        assert!(matches!(finished.code, Some(0..=2)), "{finished:#?}");
        assert_eq!(finished.stderr, "", "every page was written");
    }
    assert_eq!(fs::read(&report).unwrap(), expected);
    let left: Vec<PathBuf> =
        below(&run).into_iter().filter(|path| path.to_string_lossy().ends_with(".new")).collect();
    assert_eq!(left, Vec::<PathBuf>::new());
}

/// Everything below a folder, links not followed.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.is_symlink() {
            found.extend(below(&path));
        }
        found.push(path);
    }
    found
}

/// Checks that nobody but its owner has any right on what lies below a folder.
fn is_private(folder: &Path) {
    for path in below(folder).into_iter().filter(|path| !path.is_symlink()) {
        let mode = fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
}

/// A `lab` command without any mask.
fn unmasked(rig: &Rig, arguments: &str) -> Command {
    let mut command = Command::new("/bin/sh");
    let line = format!("umask 000; exec {LAB} --configs configs --runs runs {arguments}");
    command.args(["-c", &line]).current_dir(&rig.root);
    command
}

fn no_mask() {
    let rig = rig("mask");
    let finished = Finished::of(&unmasked(&rig, "up quick --backend sim").output().unwrap());
    assert!(matches!(finished.code, Some(0..=2)), "{finished:#?}");
    assert!(unmasked(&rig, "export quick --to jsonl").status().unwrap().success());
    assert_eq!(fs::metadata(rig.runs()).unwrap().mode() & 0o777, 0o700);
    is_private(&rig.runs());
}

/// A stranger can neither exchange nor read a program that root is about to start.
fn no_mask_live() {
    let rig = rig("mask-live");
    let finished = Finished::of(&unmasked(&rig, "up quick").output().unwrap());
    assert!(matches!(finished.code, Some(0..=2)), "{finished:#?}");
    is_private(&rig.runs());
    rig.lab("long", LONG);
    let mut running = Running::start(&rig, "long");
    let folder = running.reaches(PhaseKind::Storm, 1);
    for path in below(&folder.join("bundles")) {
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o022, 0, "{}", path.display());
    }
    let listed = as_nobody(&format!("ls {0} || echo x > {0}/bundles/lab-driver", folder.display()));
    let listed = { listed }.stderr(Stdio::null()).status().unwrap();
    assert!(!listed.success(), "another user can neither list nor write it");
    running.finish();
}

fn plan_without_a_name() {
    let rig = rig("plan");
    rig.lab("long", LONG);
    let mut running = Running::start(&rig, "long");
    let folder = running.reaches(PhaseKind::Storm, 1);
    let controller = running.controller();
    assert!(!folder.join("plan.json").exists());
    let plan = fs::read_link(format!("/proc/{controller}/fd/0")).unwrap();
    assert_eq!(plan, Path::new("/memfd:lab-plan (deleted)"));
    let written = fs::OpenOptions::new().write(true).open(format!("/proc/{controller}/fd/0"));
    assert!(written.and_then(|mut plan| plan.write_all(b"x")).is_err(), "it is sealed");
    let words = fs::read(format!("/proc/{controller}/cmdline")).unwrap();
    assert!(words.ends_with(b"\0control\0"), "{:?}", String::from_utf8_lossy(&words));
    let report: Value = serde_json::from_str(&running.finish().stdout).unwrap();
    assert_eq!(report["lab"], "long");
}

/// Neither a file nor a pipe nor nothing is a plan.
fn nobody_else_controls() {
    let rig = rig("control");
    let plan = rig.root.join("plan.json");
    fs::write(&plan, "{}").unwrap();
    for input in [Stdio::null(), Stdio::from(fs::File::open(&plan).unwrap())] {
        let finished = Command::new(LAB).arg("control").stdin(input).output().unwrap();
        let finished = Finished::of(&finished);
        assert_eq!(finished.code, Some(64), "{finished:#?}");
        assert!(finished.stderr.contains("`lab up`"), "{}", finished.stderr);
    }
}
