//! The connections of a lab as another user of the machine sees them: there is none that could be found, and trying changes
//! nothing of what is reported.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "tests start programs and look at what the machine shows of them"
)]

mod rig;

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    io::{Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{SocketAddr, UnixStream},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use lab_analysis::findings::Findings;
use lab_model::PhaseKind;
use lab_protocol::{Request, send_request};
use libtest_mimic::Arguments;
use rig::{Live, Rig, Running, live, sums_add_up};

/// `nobody`, and its group.
const NOBODY: u32 = 65534;
const ATTACK: &str = "attack";

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    if words.next().as_deref() == Some(ATTACK) {
        words.filter(|name| reaches(name)).for_each(|name| println!("{name}"));
        return ExitCode::SUCCESS;
    }
    let tests = vec![
        as_root("nobody_reaches_a_daemon", daemon),
        as_root("nobody_reaches_a_daemon_that_has_come_back", daemon_again),
        as_root("nobody_reaches_a_helper", helpers),
    ];
    rig::main_beside(2, Arguments::from_args(), tests)
}

/// A test that becomes another user.
fn as_root(name: &'static str, body: impl FnOnce() + Send + 'static) -> Live {
    let lacks = (!nix::unistd::geteuid().is_root()).then(|| "only root can become another user".to_owned());
    Live { lacks, ..live(name, body) }
}

#[cfg(target_os = "linux")]
fn abstract_name(name: &str) -> std::io::Result<SocketAddr> {
    <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name)
}

/// There are none elsewhere.
#[cfg(not(target_os = "linux"))]
fn abstract_name(_: &str) -> std::io::Result<SocketAddr> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// What the attacker does with one name, which is a path or, after `@`, abstract: asks for a file that only root can
/// read, and orders what a protocol of old allowed. True when it got as far as being connected.
fn reaches(name: &str) -> bool {
    let address = match name.strip_prefix('@') {
        Some(name) => abstract_name(name),
        None => SocketAddr::from_pathname(name),
    };
    let Ok(mut stream) = address.and_then(|address| UnixStream::connect_addr(&address)) else { return false };
    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    let request = Request { record: 0, draw: 0, path: b"/etc/shadow".to_vec() };
    drop(send_request(&mut stream, &request));
    drop(stream.write_all(&[0xff; 4096]));
    drop(stream.read(&mut [0; 64]));
    true
}

/// The sockets of this network namespace that have a name, by their inode.
fn named() -> BTreeMap<String, String> {
    let table = fs::read_to_string("/proc/net/unix").unwrap();
    let row = |line: &str| {
        let mut words = line.split_whitespace().skip(6);
        Some((words.next()?.to_owned(), words.next()?.to_owned()))
    };
    table.lines().skip(1).filter_map(row).collect()
}

/// The inodes of the sockets that the processes of a lab hold: of all that share the controller's mounts.
fn held(controller: u32) -> BTreeSet<String> {
    let mounts = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
    let own = mounts(&controller.to_string()).unwrap();
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let pids = pids
        .filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()) && mounts(pid).as_ref() == Some(&own));
    let sockets = |pid: String| {
        // It may have ended meanwhile.
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        descriptors.filter_map(|one| {
            let target = fs::read_link(one.path()).ok()?.into_os_string().into_string().ok()?;
            Some(target.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())
        })
    };
    pids.flat_map(sockets).collect()
}

/// The sockets that lie in a folder, however deep.
fn lying_in(folder: &Path) -> Vec<PathBuf> {
    use std::os::unix::fs::FileTypeExt;
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(lying_in(&entry.path())),
            Ok(kind) if kind.is_socket() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}

/// Has `nobody` try all these names; returns those that it reached.
fn attack(names: &[String]) -> String {
    // Where another user can start it.
    let folder = env::temp_dir().join(format!("lab-sockets-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let program = folder.join("attacker");
    fs::copy(env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(&program);
    // The standard library gives up the other groups of a child whose user root changes.
    command.arg(ATTACK).args(names).uid(NOBODY).gid(NOBODY).current_dir("/");
    let output = command.output().unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert!(output.status.success(), "the attacker could start: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a lab and has it attacked in its storm, after so many operations; returns its report.
fn attacked(name: &str, body: &str, operations: u64) -> Findings {
    let rig = Rig::new(&format!("sockets-{name}"));
    rig.lab(name, body);
    let before = named();
    let mut lab = Running::start(&rig, name);
    lab.reaches(PhaseKind::Storm, operations);
    let held = held(lab.controller());
    let now = named();
    assert!(held.len() > 4, "each process has its connections: {held:?}");
    let with_names: Vec<_> = held.iter().filter_map(|inode| now.get(inode)).collect();
    assert_eq!(with_names, Vec::<&String>::new(), "no socket of the lab has a name");
    assert!(!now.values().any(|name| name.contains("eslab")), "{now:?}");
    // Whatever lies in the run's store, and whatever has been given a name since, by the lab or by anybody else.
    let lying = lying_in(&rig.root).into_iter().map(|path| path.display().to_string());
    assert_eq!(attack(&lying.collect::<Vec<_>>()), "");
    let new = now.iter().filter(|(inode, _)| !before.contains_key(*inode)).map(|(_, name)| name.clone());
    attack(&new.filter(|name| name.starts_with('@')).collect::<Vec<_>>());
    let finished = lab.finish();
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    assert_eq!(rig.remains(), Vec::<String>::new());
    let report = finished.report();
    sums_add_up(&report);
    let totals = &report.totals;
    assert_eq!((totals.unexplained, totals.lost, totals.unanswered), (0, 0, 0), "{totals:?}");
    report
}

/// What became of the requests of all clients: made, carried out.
fn requests(report: &Findings) -> (u64, u64) {
    let rows = || report.clients.iter().flat_map(|client| &client.requests);
    (rows().map(|row| row.made).sum(), rows().map(|row| row.carried_out).sum())
}

const LOAD: &str = "phases: { baseline: 50ms, control: 50ms, storm: 3s, drain: 2s }\n\
                    workload:\n  - open_storm: { workers: 2, files: 20, rate: 100 }\n\
                    expect:\n  - deadline.misses == 0\n  - decisions.unexplained == 0\n  - lost == 0\n";

const DAEMON: &str = "daemons: [{ id: indexer, workers: 3 }]\n\
                      clients: { count: 2, behavior: { mute: { processes: [indexer] }, daemons: [{ ask: indexer, wait: true }] } }\n";

fn daemon() {
    let report = attacked("daemon", &format!("{DAEMON}{LOAD}"), 40);
    let (made, carried_out) = requests(&report);
    assert!(made > 0);
    assert_eq!(made, carried_out, "every request was carried out");
}

fn daemon_again() {
    let fault = "faults:\n  - restart: { on: indexer, at: 400ms, after: 200ms }\n";
    let report = attacked("again", &format!("{DAEMON}{fault}{LOAD}"), 150);
    let (made, carried_out) = requests(&report);
    assert!(carried_out > made / 2, "it is asked again: {carried_out} of {made}");
}

fn helpers() {
    let clients = "clients: { count: 1, behavior: { mute: { helpers: true }, helpers: { count: 2, open: true, wait: true } } }\n";
    let load = LOAD.replace("rate: 100", "rate: 50");
    let report = attacked("helpers", &format!("{clients}{load}"), 40);
    let (made, carried_out) = requests(&report);
    assert!(made > 0);
    assert_eq!(made, carried_out, "every request was carried out");
}
