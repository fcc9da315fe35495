//! Who waits for whom beyond the clients: products, what they wait for in turn, and `lab why` on a machine without a lab.
//! What is not installed is said, and its tests count as ignored.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start programs and look at what they leave"
)]

mod rig;

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, ExitCode, Stdio},
};

use lab_analysis::findings::{Findings, Outcome};
use libtest_mimic::Arguments;
use rig::{Finished, LAB, Live, Rig, live, send_to_group, sums_add_up};

const PYTHON: &str = "/usr/bin/python3";
const GALLERY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../lab-configs");

fn main() -> ExitCode {
    let tests = vec![
        needs(&["/usr/sbin/fapolicyd"], "a_log_that_goes_through_the_arena_is_a_circle", log_in_the_arena),
        needs(&[PYTHON, "/usr/bin/bindfs", "/dev/fuse"], "a_fuse_daemon_below_is_in_a_circle", fuse_below),
        needs(&[PYTHON], "a_lease_holder_is_named_and_the_client_is_killed", leased_file),
        needs(&[PYTHON], "a_scanner_behind_any_connection_is_in_a_circle", connections),
        needs(&[PYTHON], "what_is_slow_is_in_no_circle", slow),
        needs(&[PYTHON, "/usr/bin/unshare"], "lab_why_opens_nothing_and_names_who_waits", why),
    ];
    rig::main(Arguments::from_args(), tests)
}

/// A test that needs programs beside what a live lab needs.
fn needs(programs: &[&str], name: &'static str, body: impl FnOnce() + Send + 'static) -> Live {
    let missing = programs.iter().find(|program| !Path::new(program).exists());
    Live { lacks: missing.map(|program| format!("{program} is not here")), ..live(name, body) }
}

/// Runs a lab of the gallery as it is.
fn gallery(rig: &Rig, name: &str) -> (Finished, Findings) {
    fs::copy(format!("{GALLERY}/{name}.yaml"), rig.configs().join(format!("{name}.yaml"))).unwrap();
    let finished = rig.run(&["up", name, "--json"]);
    assert_eq!(rig.remains(), Vec::<String>::new());
    let report = finished.report();
    sums_add_up(&report);
    assert!(report.expectations.iter().all(|one| one.held == Some(true)), "{:#?}", report.expectations);
    (finished, report)
}

/// The one circle of a run was seen, has these members, and was said while it stood.
fn one_circle(finished: &Finished, report: &Findings, members: &[&str]) {
    assert_eq!(report.outcome, Outcome::Deadlocked, "{}", report.outcome_rule);
    let [cycle] = report.wait_cycles.as_slice() else { panic!("{:#?}", report.wait_cycles) };
    assert!(cycle.seen && cycle.evidence.len() == members.len(), "{cycle:#?}");
    let mut names: Vec<&str> = cycle.members.iter().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, members);
    assert!(finished.stderr.contains("deadlock: "), "{}", finished.stderr);
}

fn log_in_the_arena() {
    let rig = Rig::new("waits-log");
    let (finished, report) = gallery(&rig, "log-in-the-arena");
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    one_circle(&finished, &report, &["fapolicyd of fapolicyd", "sh of fapolicyd"]);
    assert!(report.outcome_rule.contains("full pipe"), "{}", report.outcome_rule);
}

fn fuse_below() {
    let rig = Rig::new("waits-fuse");
    let (finished, report) = gallery(&rig, "fuse-below");
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    one_circle(&finished, &report, &["bindfs of watcher", "python3 of watcher"]);
    assert!(report.long_waits.iter().any(|wait| wait.hand_over), "{:#?}", report.long_waits);
}

fn leased_file() {
    let rig = Rig::new("waits-lease");
    let (_, report) = gallery(&rig, "leased-file");
    let stuck = report.long_waits.iter().find(|wait| wait.hand_over).unwrap();
    assert_eq!(
        (stuck.who.as_str(), stuck.waits_for.as_slice()),
        ("client-01", &["python3 of holder".to_owned()][..])
    );
    assert_eq!(report.wait_cycles, []);
    // Without the time in hand-over it had more than 99.9 % left.
    let closest = report.answers().closest.unwrap();
    assert!(closest.at_most && closest.headroom < 0.5, "{closest:?}");
}

/// A product that asks a scanner of its own about each event of the file `asked`, over a connection of some kind. The
/// scanner opens that file itself, or is slow instead.
const ASKING: &str = r#"
import ctypes, os, socket, struct, sys, time
how, arena, slow = sys.argv[1], sys.argv[2], float(sys.argv[3])
libc = ctypes.CDLL(None, use_errno=True)
if how == "unix":
    ours, theirs = socket.socketpair()
elif how == "tcp":
    listener = socket.create_server(("127.0.0.1", 0))
    ours = socket.create_connection(listener.getsockname())
    theirs, _ = listener.accept()
if how == "pipe":
    (request_out, request_in), (reply_out, reply_in) = os.pipe(), os.pipe()
else:
    request_in = reply_out = ours.fileno()
    request_out = reply_in = theirs.fileno()
if os.fork() == 0:
    os.close(request_in)
    if reply_out != request_in: os.close(reply_out)
    libc.prctl(15, b"scanner", 0, 0, 0)
    while os.read(request_out, 1):
        if slow: time.sleep(slow)
        else: os.close(os.open(arena + "/files/f000003", os.O_RDONLY))
        os.write(reply_in, b"y")
    os._exit(0)
os.close(request_out)
if reply_in != request_out: os.close(reply_in)
libc.prctl(15, b"asker", 0, 0, 0)
group = libc.fanotify_init(4, os.O_RDONLY)
if libc.fanotify_mark(group, 0x1, ctypes.c_uint64(0x10000), -100, (arena + "/files/f000003").encode()) < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
while True:
    _, _, _, _, _, file, _ = struct.unpack("=IBBHQii", os.read(group, 24))
    os.write(request_in, b"x")
    os.read(reply_out, 1)
    os.write(group, struct.pack("=iI", file, 1))
    os.close(file)
"#;

/// A lab with such a product, whose file is opened now and then.
fn asking(how: &str, slow: &str, deadline: &str) -> String {
    let script = serde_json::to_string(ASKING).unwrap();
    format!(
        "clients: {{ count: 1, behavior: noop }}\ndeadline: {deadline}\n\
         external:\n  - id: pair\n    start: [{PYTHON}, -c, {script}, {how}, \"{{arena}}\", \"{slow}\"]\n    ready: mark\n\
         phases: {{ baseline: 50ms, control: 50ms, external: 0s, storm: 10s, drain: 500ms }}\n\
         workload:\n  - open_storm: {{ workers: 1, files: 4, directory: files, rate: 50, operations_max: 16 }}\n"
    )
}

fn connections() {
    let rig = Rig::new("waits-connections");
    for how in ["unix", "tcp", "pipe"] {
        rig.lab(how, &asking(how, "0", "1500ms"));
        let finished = rig.run(&["up", how, "--json"]);
        assert_eq!(rig.remains(), Vec::<String>::new());
        assert_eq!(finished.code, Some(1), "{finished:#?}");
        one_circle(&finished, &finished.report(), &["asker of pair", "scanner of pair"]);
    }
}

/// Its scanner takes much longer than a wait must last to be looked at, and answers.
fn slow() {
    let rig = Rig::new("waits-slow");
    rig.lab("slow", &asking("unix", "1.2", "5s"));
    let finished = rig.run(&["up", "slow", "--json"]);
    let report = finished.report();
    assert_eq!(report.wait_cycles, [], "{}", finished.stderr);
    assert_ne!(report.outcome, Outcome::Deadlocked);
    assert!(!finished.stderr.contains("deadlock"), "{}", finished.stderr);
    assert!(!report.long_waits.is_empty(), "the slow answers were looked at");
}

/// A permission client on a file system of its own mount namespace that never answers, and somebody who opens there.
const NEVER: &str = r#"
import ctypes, os, sys, time
libc = ctypes.CDLL(None, use_errno=True)
arena = sys.argv[1]
if libc.mount(b"none", arena.encode(), b"tmpfs", 0, None) < 0: sys.exit(os.strerror(ctypes.get_errno()))
open(arena + "/f", "w").close()
group = libc.fanotify_init(4, os.O_RDONLY)
if libc.fanotify_mark(group, 0x101, ctypes.c_uint64(0x10000 | 0x20000), -100, arena.encode()) < 0:
    sys.exit(os.strerror(ctypes.get_errno()))
libc.prctl(15, b"never", 0, 0, 0)
if os.fork() == 0:
    libc.prctl(15, b"opener", 0, 0, 0)
    os.open(arena + "/f", os.O_RDONLY)
    os._exit(0)
os.read(group, 24)
print("waits", flush=True)
time.sleep(600)
"#;

/// A program of this test's own process group, which ends with it.
struct Stage(Child);

impl Drop for Stage {
    fn drop(&mut self) {
        send_to_group(self.0.id(), nix::sys::signal::Signal::SIGKILL);
        drop(self.0.wait());
    }
}

fn why() {
    let rig = Rig::new("waits-why");
    let arena = rig.root.join("arena");
    fs::create_dir(&arena).unwrap();
    let mut command = Command::new("/usr/bin/unshare");
    command.args(["--mount", "--propagation", "private", PYTHON, "-c", NEVER]).arg(&arena);
    let mut stage = Stage(command.process_group(0).stdout(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(stage.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "waits\n");
    // Inside of that namespace, in the folder whose every open would wait for ever.
    let inside = |arguments: &[&str]| {
        let mut lab = Command::new("/usr/bin/nsenter");
        lab.args(["--mount", "--target"])
            .arg(stage.0.id().to_string())
            .arg(format!("--wdns={}", arena.display()));
        Finished::of(&lab.arg("--").arg(LAB).arg("why").args(arguments).output().unwrap())
    };
    let saved = rig.root.join("snapshot.json");
    let finished = inside(&["--json", "--longer-than", "300ms"]);
    assert_eq!(finished.code, Some(1), "{finished:#?}");
    let seen: serde_json::Value = serde_json::from_str(&finished.stdout).unwrap();
    let waits = seen["waits"].as_array().unwrap();
    let opener = waits.iter().find(|wait| wait["process"]["name"] == "opener").unwrap();
    assert_eq!(
        (&opener["kind"], &opener["file"]),
        (&"permission-event".into(), &format!("{}/f", arena.display()).into())
    );
    let on: Vec<&str> =
        opener["waits_for"].as_array().unwrap().iter().filter_map(|one| one["name"].as_str()).collect();
    assert_eq!(on, ["never", "opener"], "both have the group");
    assert!(seen["circles"].as_array().unwrap().iter().all(|circle| circle["sure"] == false), "{seen:#}");
    // What was saved says the same elsewhere.
    let text = inside(&["--longer-than", "300ms", "--save", saved.to_str().unwrap()]);
    let read =
        rig.command(&["why", "--longer-than", "300ms", "--from", saved.to_str().unwrap()]).output().unwrap();
    let read = Finished::of(&read);
    assert_eq!((read.code, &read.stdout), (text.code, &text.stdout));
    assert!(text.stdout.contains("opener ("), "{}", text.stdout);
    let pid = opener["process"]["pid"].to_string();
    let alone = inside(&[&pid, "--longer-than", "300ms"]);
    assert!(alone.code == Some(1) && alone.stdout.contains(&format!("opener ({pid})")), "{alone:#?}");
    let none = rig.root.join("none.json");
    fs::write(&none, "{}").unwrap();
    assert_eq!(inside(&["--from", none.to_str().unwrap()]).code, Some(65));
    assert_eq!(inside(&["4194303", "--longer-than", "20ms"]).code, Some(64));
}
