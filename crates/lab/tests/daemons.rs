//! Labs whose clients are launchd daemons, as on a Mac: installed from property lists, started by label, connected by
//! a socket, asked about when they die, and taken away. A program stands in for `launchctl`; the clients, their
//! controller and the kernel's events are real. What this cannot show is that macOS's own launchd does the same.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests read the reports of the labs that they run and disturb"
)]

mod launchctl;
mod rig;

use std::{fs, path::PathBuf, process::ExitCode};

use lab_analysis::findings::ProcessEnd;
use lab_model::{PhaseKind, Span};
use libtest_mimic::Arguments;
use nix::sys::signal::Signal;
use rig::{Finished, Rig, Running, live, scanners, send, sums_add_up, wait_until};

/// A load that ends by itself.
const CALM: &str = "phases: { baseline: 50ms, control: 50ms, storm: 20s, drain: 5s }\n\
                    workload:\n  - open_storm: { workers: 2, files: 50, operations_max: 200 }\n";
/// A storm that goes on for a moment after its disturbance.
const SHORT: &str = "phases: { baseline: 50ms, control: 50ms, storm: 3s, drain: 2s }\n\
                     workload:\n  - open_storm: { workers: 2, files: 50 }\n";
/// A storm that would go on for long.
const LONG: &str = "phases: { baseline: 50ms, control: 50ms, storm: 60s, drain: 2s }\n\
                    workload:\n  - open_storm: { workers: 2, files: 50 }\n";

fn main() -> ExitCode {
    if let Some(code) = launchctl::instead_of_the_tests() {
        return code;
    }
    let tests = vec![
        live("daemons_obey_the_same_law_as_children", same_law),
        live("a_deadline_kill_of_the_kernel_is_told_from_another_death", kill_reasons),
        live("a_refused_client_ends_the_run_with_its_own_exit_code", refused),
        live("a_daemon_that_dies_before_it_connects_is_noticed", dies_at_once),
        live("a_job_that_launchd_does_not_load_leaves_nothing", unloadable),
        live("kill_9_of_the_controller", controller_killed),
        live("kill_9_of_the_launcher_and_down_twice", launcher_killed),
        live("one_lab_at_a_time_has_the_daemons", one_at_a_time),
        live("an_interrupt_ends_the_run_in_order", interrupted),
    ];
    rig::main_beside(3, Arguments::from_args(), tests)
}

/// A rig with a stand-in for launchctl.
struct Mac {
    rig: Rig,
    folder: PathBuf,
}

impl Mac {
    fn new(name: &str) -> Mac {
        let rig = Rig::new(&format!("d-{name}"));
        // Short, because the path of a socket lies below it.
        let folder = rig.root.join("m");
        launchctl::install(&folder);
        Mac { rig, folder }
    }

    fn run(&self, arguments: &[&str]) -> Finished {
        let finished = self.rig.command(arguments).arg("--stand-in").arg(&self.folder).output().unwrap();
        Finished::of(&finished)
    }

    fn start(&self, name: &str) -> Running {
        Running::start_with(&self.rig, name, &["--stand-in", self.folder.to_str().unwrap()])
    }

    /// Nothing is loaded, installed, running or mounted, and `lab down` finds nothing.
    fn nothing_remains(&self) {
        assert!(
            wait_until(Span::from_secs(10), || self.rig.remains().is_empty()),
            "{:?}",
            self.rig.remains()
        );
        self.nothing_is_installed();
        let down = self.run(&["down"]);
        assert_eq!((down.code, down.stdout.as_str()), (Some(0), "nothing was left behind\n"), "{down:?}");
    }

    fn nothing_is_installed(&self) {
        assert_eq!(launchctl::loaded(&self.folder), Vec::<String>::new());
        let plists = fs::read_dir(self.folder.join("daemons")).map(Iterator::count).unwrap_or(0);
        assert_eq!(plists, 0, "property lists");
        for gone in ["bundles", "sockets", "owner.json"] {
            assert!(!self.folder.join(gone).exists(), "{gone}");
        }
    }
}

/// The process of a client, from outside: its keeper, not the controller, is its parent.
fn client(mac: &Mac, id: &str) -> u32 {
    let program = mac.folder.join("bundles").join(format!("{id}.app/Contents/MacOS/{id}"));
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    let mut found =
        pids.filter(|pid: &u32| fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|exe| exe == program));
    found.next().unwrap_or_else(|| panic!("{id} runs"))
}

/// The ID of a process as its own namespace counts it, and the lab with it.
fn inner(pid: u32) -> u32 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("NSpid:")).unwrap();
    line.split_whitespace().next_back().unwrap().parse().unwrap()
}

fn same_law() {
    let mac = Mac::new("law");
    mac.rig.lab("law", &(scanners(3) + CALM));
    let finished = mac.run(&["up", "law", "--json"]);
    assert_eq!(finished.code, Some(0), "{finished:#?}");
    mac.nothing_remains();
    let report = finished.report();
    sums_add_up(&report);
    assert_eq!(report.storm.root_ops, 200);
    assert_eq!(report.storm.decisions, 12 * 200, "as the same clients as children");
    let totals = &report.totals;
    assert_eq!((totals.unexplained, totals.lost, totals.unanswered), (0, 0, 0), "{totals:?}");
    for client in &report.clients {
        assert_eq!(client.end, ProcessEnd::Clean, "{client:?}");
    }
    let folder = mac.rig.latest("law");
    assert!(folder.join("logs/client-01.log").is_file(), "a daemon's log is kept with the run");
}

fn kill_reasons() {
    let mac = Mac::new("death");
    mac.rig.lab("doomed", &(scanners(3) + SHORT));
    for (namespace, code, end, faults) in
        [("ENDPOINTSECURITY", 2, ProcessEnd::DeadlineKill, 1), ("CODESIGNING", 1, ProcessEnd::Signal(9), 0)]
    {
        let mut lab = mac.start("doomed");
        lab.reaches(PhaseKind::Storm, 200);
        let pid = client(&mac, "client-02");
        let reports = mac.folder.join("crash-reports");
        fs::create_dir_all(&reports).unwrap();
        let text = format!(
            "{{\"bug_type\":\"309\"}}\n{{\"pid\":{},\"procName\":\"client-02\",\"termination\":{{\"namespace\":\"{namespace}\",\"code\":{code}}}}}",
            inner(pid)
        );
        send(pid, Signal::SIGKILL);
        fs::write(reports.join(format!("{namespace}.partial")), text).unwrap();
        fs::rename(reports.join(format!("{namespace}.partial")), reports.join(format!("{namespace}.ips")))
            .unwrap();
        let finished = lab.finish();
        finished.failed_for(if faults == 1 { "deadline.misses == 0" } else { "ends.unplanned == 0" });
        assert!(finished.stderr.contains("client-02 ended: signal 9"), "{}", finished.stderr);
        let words = if faults == 1 { "missed the kernel's deadline" } else { "CODESIGNING, code 1" };
        assert!(finished.stderr.contains(words), "{}", finished.stderr);
        mac.nothing_remains();
        let report = finished.report();
        sums_add_up(&report);
        assert_eq!(report.clients[1].end, end, "{:?}", report.faults);
        assert_eq!(report.faults.len(), faults, "{:?}", report.faults);
        fs::remove_dir_all(&reports).unwrap();
    }
}

/// A lab of three clients the second of which has a bundle ID that goes wrong.
fn with_a_bad_one(ending: &str) -> String {
    format!(
        "clients:\n  - {{ id: alpha }}\n  - {{ id: bravo, bundle_id: org.eslab.bad.{ending} }}\n  - {{ id: charlie }}\n{CALM}"
    )
}

fn refused() {
    let mac = Mac::new("refused");
    for (result, code, words) in [
        (3, 77, "does not carry com.apple.developer.endpoint-security.client"),
        (4, 77, "has no Full Disk Access"),
        (5, 77, "does not run as root"),
        (6, 75, "slots of this machine are taken"),
    ] {
        mac.rig.lab("refused", &with_a_bad_one(&format!("refused-{result}")));
        let finished = mac.run(&["up", "refused"]);
        assert_eq!(finished.code, Some(code), "{finished:#?}");
        assert!(finished.stderr.contains("bravo: es_new_client refused"), "{}", finished.stderr);
        assert!(finished.stderr.contains(words), "{}", finished.stderr);
        assert!(finished.stderr.contains("help:"), "{}", finished.stderr);
        mac.nothing_remains();
    }
}

fn dies_at_once() {
    let mac = Mac::new("dies");
    mac.rig.lab("dies", &with_a_bad_one("dies"));
    let finished = mac.run(&["up", "dies"]);
    assert_eq!(finished.code, Some(70), "{finished:#?}");
    assert!(
        finished.stderr.contains("bravo: it ended at once, signal 9: not entitled"),
        "{}",
        finished.stderr
    );
    mac.nothing_remains();
}

fn unloadable() {
    let mac = Mac::new("unload");
    mac.rig.lab("unloadable", &with_a_bad_one("unloadable"));
    let finished = mac.run(&["up", "unloadable"]);
    assert_eq!(finished.code, Some(70), "{finished:#?}");
    assert!(finished.stderr.contains("Bootstrap failed: 5: Input/output error"), "{}", finished.stderr);
    mac.nothing_remains();
    assert!(!mac.rig.runs().join("unloadable").exists(), "nothing was recorded, so nothing is kept");
}

fn controller_killed() {
    let mac = Mac::new("cond");
    mac.rig.lab("doomed", &(scanners(3) + LONG));
    let mut lab = mac.start("doomed");
    lab.reaches(PhaseKind::Storm, 200);
    send(lab.controller(), Signal::SIGKILL);
    let finished = lab.finish();
    assert_eq!(finished.code, Some(70), "{}", finished.stderr);
    mac.nothing_remains();
}

fn launcher_killed() {
    let mac = Mac::new("launch");
    mac.rig.lab("doomed", &(scanners(3) + LONG));
    let mut lab = mac.start("doomed");
    lab.reaches(PhaseKind::Storm, 200);
    send(lab.launcher(), Signal::SIGKILL);
    assert_eq!(lab.finish().code, None);
    assert!(wait_until(Span::from_secs(10), || mac.rig.remains().is_empty()), "{:?}", mac.rig.remains());
    assert_eq!(launchctl::loaded(&mac.folder).len(), 3, "nobody was left to take them away");
    let down = mac.run(&["down"]);
    assert_eq!(down.code, Some(0), "{down:?}");
    for id in ["client-01", "client-02", "client-03"] {
        assert!(
            down.stdout.contains(&format!("removed the daemon org.eslab.doomed.{id}")),
            "{}",
            down.stdout
        );
    }
    mac.nothing_remains();
    // The same without a `lab down` in between: the next lab takes away what was left.
    let mut lab = mac.start("doomed");
    lab.reaches(PhaseKind::Storm, 50);
    send(lab.launcher(), Signal::SIGKILL);
    assert_eq!(lab.finish().code, None);
    mac.rig.lab("calm", &(scanners(2) + CALM));
    let again = mac.run(&["up", "calm", "--json"]);
    assert_eq!(again.code, Some(0), "{again:#?}");
    mac.nothing_is_installed();
    // The folders of the run that was killed wait for this one.
    let down = mac.run(&["down"]);
    assert!(down.stdout.contains("bundles") && !down.stdout.contains("daemon"), "{}", down.stdout);
    mac.nothing_remains();
}

fn one_at_a_time() {
    let mac = Mac::new("two");
    mac.rig.lab("first", &(scanners(2) + LONG));
    mac.rig.lab("second", &(scanners(2) + CALM));
    let mut lab = mac.start("first");
    lab.reaches(PhaseKind::Storm, 50);
    let second = mac.run(&["up", "second"]);
    assert_eq!(second.code, Some(75), "{second:#?}");
    assert!(second.stderr.contains("another lab has this machine's daemons"), "{}", second.stderr);
    assert_eq!(launchctl::loaded(&mac.folder).len(), 2, "the first one's are untouched");
    send(lab.launcher(), Signal::SIGINT);
    assert_eq!(lab.finish().code, Some(130));
    mac.nothing_remains();
}

fn interrupted() {
    let mac = Mac::new("int");
    mac.rig.lab("cut-short", &(scanners(3) + LONG));
    let mut lab = mac.start("cut-short");
    lab.reaches(PhaseKind::Storm, 300);
    send(lab.launcher(), Signal::SIGINT);
    let finished = lab.finish();
    assert_eq!(finished.code, Some(130), "{}", finished.stderr);
    mac.nothing_remains();
    let report = finished.report();
    sums_add_up(&report);
    assert_eq!(report.storm.decisions, 12 * report.storm.root_ops);
}
