//! What each process of a live lab may do, as the kernel says it: the table of `docs/guides/privileges.md`, checked.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests run labs and look at their processes"
)]

mod rig;

use std::{
    fs,
    io::Read,
    os::unix::fs::{MetadataExt, PermissionsExt, chown},
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use lab_model::{PhaseKind, Span};
use libtest_mimic::Arguments;
use rig::{LAB, Live, Rig, Running, anywhere, live, scanners, sums_add_up, wait_until};
use serde_json::Value;

/// Numbers of linux/capability.h.
const DAC_READ_SEARCH: u64 = 1 << 2;
const KILL: u64 = 1 << 5;
const SETPCAP: u64 = 1 << 8;
const SYS_PTRACE: u64 = 1 << 19;
const SYS_ADMIN: u64 = 1 << 21;
const SYS_RESOURCE: u64 = 1 << 24;
/// What the clients make use of once, before they give it up.
const FOR_CLIENTS: u64 = SETPCAP | SYS_ADMIN | SYS_RESOURCE;

/// How long something of a lab that runs may take to show.
const SHOWS_WITHIN: Span = Span::from_secs(20);
/// The user of the tests that is nobody in particular.
const NOBODY: u32 = 65_534;

fn main() -> ExitCode {
    let tests: Vec<Live> = vec![
        live("each_process_has_what_the_table_says", table),
        live("commands_and_products_have_what_root_has", commands),
        live("a_store_below_a_home_folder_that_is_shut", shut_home),
        live("reading_is_done_without_privileges", reading),
        live("to_control_by_hand_is_refused_and_changes_no_mount", control_by_hand),
        anywhere("to_control_by_hand_is_wrong_use", control_is_wrong_use),
        anywhere("a_plan_shows_commands_as_what_they_are", plan_shows_commands),
    ];
    rig::main_beside(2, Arguments::from_args(), tests)
}

/// What a thread may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct May {
    effective: u64,
    permitted: u64,
    bounding: u64,
    no_new_privileges: bool,
}

/// No thread that may do anything beyond what every process of its user may.
const NOTHING: May = May { effective: 0, permitted: 0, bounding: 0, no_new_privileges: true };

impl May {
    fn of(status: &str) -> May {
        let field = |name: &str| {
            status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(":\t")).unwrap()
        };
        let set = |name: &str| u64::from_str_radix(field(name), 16).unwrap();
        assert_eq!((set("CapInh"), set("CapAmb")), (0, 0));
        May {
            effective: set("CapEff"),
            permitted: set("CapPrm"),
            bounding: set("CapBnd"),
            no_new_privileges: field("NoNewPrivs") == "1",
        }
    }

    /// The first thread's, and the others' without repetition.
    fn of_process(pid: u32) -> (May, Vec<May>) {
        let status = |thread: &Path| May::of(&fs::read_to_string(thread.join("status")).unwrap());
        let first = status(Path::new(&format!("/proc/{pid}")));
        let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        let others = threads.map(|thread| thread.unwrap().path());
        let mut others: Vec<May> = others
            .filter(|thread| thread.file_name().unwrap().to_str() != Some(&pid.to_string()))
            .map(|thread| status(&thread))
            .collect();
        others.dedup();
        (first, others)
    }
}

/// What the tests themselves may do: in a container that need not be all that root may do elsewhere.
fn root() -> May {
    May::of(&fs::read_to_string("/proc/self/status").unwrap())
}

const LONG: &str = "phases: { baseline: 50ms, control: 50ms, storm: 60s, drain: 2s }\n\
                    workload:\n  - open_storm: { workers: 2, files: 50, rate: 500 }\n  - exec_tree: { workers: 1, depth: 2, fanout: 2, rate: 5 }\n";

/// Three clients that are told of names, each with a helper, and a daemon.
fn asking() -> String {
    let behavior = "{ concurrency: 4, notify: [close, create], mute: { helpers: true, processes: [client-01/helpers, \
                    client-02/helpers, client-03/helpers, indexer] }, helpers: { count: 1 }, daemons: [{ ask: indexer }] }";
    format!("daemons: [{{ id: indexer, workers: 2 }}]\nclients: {{ count: 3, behavior: {behavior} }}\n{LONG}")
}

fn table() {
    let rig = Rig::new("privileges-table");
    rig.lab("asking", &asking());
    let mut lab = Running::start(&rig, "asking");
    lab.reaches(PhaseKind::Storm, 50);
    let client = lab.process("client-02.app");
    let kept = SYS_PTRACE | (FOR_CLIENTS & root().permitted);
    let controller = May { effective: SYS_PTRACE, permitted: kept, bounding: kept, no_new_privileges: true };
    let looks = May { permitted: SYS_PTRACE, ..controller };
    assert_eq!(May::of_process(lab.controller()), (controller, vec![looks]), "the controller");
    assert_eq!(May::of_process(lab.process("lab-driver")), (NOTHING, vec![NOTHING]), "the driver");
    // Marks on a whole file system are changed when the behaviour changes, by the thread that takes orders.
    let control = May { permitted: SYS_ADMIN, ..NOTHING };
    assert_eq!(May::of_process(client), (control, vec![NOTHING]), "a client");
    let helper = lab.child_of(client, "Helpers/lab-worker");
    assert_eq!(May::of_process(helper), (NOTHING, vec![NOTHING]), "a helper");
    let daemon = lab.process("bundles/lab-worker");
    assert_eq!(May::of_process(daemon), (NOTHING, vec![NOTHING]), "a daemon");
    rig::send(lab.launcher(), nix::sys::signal::Signal::SIGINT);
    let finished = lab.finish();
    assert_eq!(finished.code, Some(130), "{}", finished.stderr);
    sums_add_up(&serde_json::from_str(&finished.stdout).unwrap());
}

fn commands() {
    let rig = Rig::new("privileges-commands");
    let own = root();
    let (of_command, of_product) = (rig.root.join("of-command"), rig.root.join("of-product"));
    let says = |file: &Path| format!("cat /proc/self/status > {}", file.display());
    let lab = format!(
        "{}external:\n  - {{ id: product, start: [/bin/sh, -c, {:?}], ready: started }}\n\
         phases: {{ baseline: 50ms, control: 50ms, external: 50ms, storm: 60s, drain: 2s }}\n\
         workload:\n  - open_storm: {{ workers: 2, files: 50, rate: 200 }}\n  \
         - run: {{ workers: 1, command: [sh, -c, {:?}] }}\n",
        scanners(2),
        format!("{}; sleep 60", says(&of_product)),
        format!("{}; sleep 0.1", says(&of_command)),
    );
    rig.lab("commands", &lab);
    let mut lab = Running::start(&rig, "commands");
    lab.reaches(PhaseKind::Storm, 20);
    let written = |file: &Path| {
        let whole = || fs::read_to_string(file).is_ok_and(|text| text.contains("\nNoNewPrivs:"));
        assert!(wait_until(SHOWS_WITHIN, whole), "{}: {}", file.display(), lab.stderr());
        May::of(&fs::read_to_string(file).unwrap())
    };
    let root = May { effective: own.bounding, permitted: own.bounding, ..own };
    assert_eq!(written(&of_command), root, "a command of the workload");
    assert_eq!(written(&of_product), root, "a product");
    let driver = May::of_process(lab.process("lab-driver"));
    assert_eq!((driver.0.effective, driver.0.permitted), (0, 0), "the driver");
    let runs = May { effective: KILL | SYS_PTRACE, permitted: KILL | SYS_PTRACE, ..own };
    assert!(driver.1.iter().all(|thread| *thread == NOTHING || *thread == runs), "{driver:#?}");
    assert!(driver.1.contains(&runs), "{driver:#?}");
    let used = SYS_PTRACE | KILL | DAC_READ_SEARCH;
    let controller = May { effective: used, permitted: used | (FOR_CLIENTS & own.permitted), ..own };
    let looks = May { permitted: used, ..controller };
    assert_eq!(
        May::of_process(lab.controller()),
        (controller, vec![looks]),
        "the controller hands everything on, but for the thread that looks who waits"
    );
    let control = May { permitted: SYS_ADMIN, ..NOTHING };
    assert_eq!(May::of_process(lab.process("client-01.app")), (control, vec![NOTHING]), "a client");
    rig::send(lab.launcher(), nix::sys::signal::Signal::SIGINT);
    let finished = lab.finish();
    assert_eq!(finished.code, Some(130), "{}", finished.stderr);
}

/// The store of whoever called `sudo`, in a home folder that is nobody else's.
fn shut_home() {
    let rig = Rig::new("privileges-home");
    let load = "phases: { baseline: 50ms, control: 50ms, storm: 10s, drain: 2s }\n\
                workload:\n  - open_storm: { workers: 1, files: 50, operations_max: 200 }\n  - file_mix: { workers: 1, files: 20, write: 1, create: 1, operations_max: 100 }\n  - exec_storm: { workers: 1, operations_max: 10 }\n";
    rig.lab("at-home", &asking().replace(LONG, load));
    chown(&rig.root, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(&rig.root, fs::Permissions::from_mode(0o700)).unwrap();
    let run = |arguments: &[&str]| {
        rig::Finished::of(&rig.command(arguments).env("SUDO_UID", NOBODY.to_string()).output().unwrap())
    };
    let finished = run(&["up", "at-home", "--json"]);
    assert!(matches!(finished.code, Some(0..=2)), "{finished:#?}");
    let report = finished.report();
    sums_add_up(&report);
    assert_eq!(report.totals.unexplained, 0);
    let folder = rig.latest("at-home");
    assert!(folder.join("report.html").is_file());
    // A run of that user's own, which root reads and whose pages it makes again.
    let everything = Command::new("chown").args(["-R", "65534:65534"]).arg(rig.runs()).status().unwrap();
    assert!(everything.success());
    fs::remove_file(folder.join("report.html")).unwrap();
    let finished = run(&["report", "at-home"]);
    assert!(matches!(finished.code, Some(0..=2)), "{finished:#?}");
    let owner = fs::metadata(folder.join("report.html")).map(|page| page.uid());
    assert_eq!(owner.ok(), Some(NOBODY), "{finished:#?}");
}

/// A reader of what a lab has recorded is stopped by a pipe that nobody empties, and looked at.
fn reading() {
    let rig = Rig::new("privileges-reading");
    let load = "phases: { baseline: 50ms, control: 50ms, storm: 10s, drain: 2s }\n\
                workload:\n  - open_storm: { workers: 1, files: 50, operations_max: 500 }\n";
    rig.lab("read", &(scanners(3) + load));
    let up: &[&str] = &["up", "read", "--json"];
    let export: &[&str] = &["export", "read", "--to", "jsonl", "--output", "-"];
    let report: &[&str] = &["report", "read", "--format", "html"];
    for arguments in [up, export, report] {
        let mut child = rig.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let pid = child.id();
        let stands = || {
            let at = fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default();
            at.contains("pipe_write")
        };
        assert!(wait_until(Span::from_secs(120), stands), "{arguments:?} writes more than a pipe holds");
        let (first, others) = May::of_process(pid);
        assert_eq!(first, NOTHING, "{arguments:?}");
        assert!(others.iter().all(|thread| *thread == NOTHING), "{arguments:?}: {others:?}");
        let mut output = Vec::new();
        child.stdout.take().unwrap().read_to_end(&mut output).unwrap();
        assert!(matches!(child.wait().unwrap().code(), Some(0..=2)), "{arguments:?}");
    }
}

/// In a mount namespace of the test's own, so that a lab that does not refuse harms nobody.
fn control_by_hand() {
    let rig = Rig::new("privileges-control");
    let script = "mount --make-rshared / && cat /proc/self/mountinfo > before; \
                  \"$LAB\" control; echo $?; unshare --pid --fork \"$LAB\" control; echo $?; \
                  unshare --pid --fork --mount-proc \"$LAB\" control; echo $?; cat /proc/self/mountinfo > after";
    let given = [("a plan", plan()), ("nothing", Stdio::null()), ("a pipe", Stdio::piped())];
    for (what, given) in given {
        let child = Command::new("timeout")
            .args(["20", "unshare", "--mount", "sh", "-c", script])
            .env("LAB", LAB)
            .current_dir(&rig.root)
            .stdin(given)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        // Nothing is ever written to the pipe, which stays open.
        let kept_open = child.stdin.take();
        let finished = rig::Finished::of(&child.wait_with_output().unwrap());
        drop(kept_open);
        assert_eq!(finished.stdout, "64\n64\n64\n", "{what}: {}", finished.stderr);
        let mounts = |name: &str| fs::read_to_string(rig.root.join(name)).unwrap();
        assert!(mounts("before").contains("shared:"), "there is something to change");
        assert_eq!(mounts("before"), mounts("after"), "{what}");
    }
}

/// A plan as the launcher hands it over.
#[cfg(target_os = "linux")]
fn plan() -> Stdio {
    Stdio::from(lab_files::sealed("lab-plan", b"{}").unwrap())
}

#[cfg(not(target_os = "linux"))]
fn plan() -> Stdio {
    Stdio::null()
}

fn control_is_wrong_use() {
    let output = Command::new(LAB).arg("control").stdin(Stdio::null()).output().unwrap();
    let finished = rig::Finished::of(&output);
    assert_eq!(finished.code, Some(64), "{}", finished.stderr);
    assert!(finished.stderr.contains("namespaces of its own"), "{}", finished.stderr);
}

fn plan_shows_commands() {
    let rig = Rig::new("privileges-plan");
    let lab = "clients: { count: 1 }\n\
               external:\n  - { id: product, start: [/bin/sh, -c, \"true; id\", \"\"], environment: { MODE: \"a b\" }, ready: started }\n\
               workload:\n  - run: { workers: 3, command: [sh, -c, \"rm -rf 'it'\"] }\n";
    rig.lab("commands", lab);
    let finished = rig.run(&["plan", "commands"]);
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    for line in [
        "  product: as root: /bin/sh -c 'true; id' ''\n",
        "    with 'MODE=a b'\n",
        "  as root, by 3 workers: sh -c 'rm -rf '\\''it'\\'''\n",
    ] {
        assert!(finished.stdout.contains(line), "{line}: {}", finished.stdout);
    }
    let json: Value = serde_json::from_str(&rig.run(&["plan", "commands", "--json"]).stdout).unwrap();
    assert_eq!(json["commands"][0]["as"], "root");
    assert_eq!(json["external"][0]["as"], "root");
    assert_eq!(json["commands"][0]["command"][2], "rm -rf 'it'");
}
