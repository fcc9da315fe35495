//! A machine that something else keeps busy is said, and judges nobody.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests start programs and look at what they leave"
)]

mod rig;

use std::process::{Child, Command, ExitCode, Stdio};

use lab_analysis::findings::{Findings, PhaseLoad, RunWord};
use lab_model::PhaseKind;
use libtest_mimic::Arguments;
use nix::sys::signal::Signal;
use rig::{Rig, Running, live, send};

/// Two clients that answer at once, and a workload that leaves the processors idle for most of the time.
const CALM: &str = "clients: { count: 2, behavior: noop }\n\
                    phases: { baseline: 50ms, control: 50ms, storm: 600ms, drain: 200ms }\n\
                    workload:\n  - open_storm: { workers: 1, files: 5, rate: 50 }\n";

fn main() -> ExitCode {
    let tests = vec![
        live("busy_processors_are_said_and_the_run_is_judged_all_the_same", busy_loops),
        live("another_lab_at_the_same_time_is_said", another_lab),
    ];
    rig::main(Arguments::from_args(), tests)
}

/// A process that only keeps a processor busy, until this is dropped.
struct BusyLoop(Child);

impl BusyLoop {
    fn start() -> BusyLoop {
        let mut command = Command::new("sh");
        BusyLoop(command.args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for BusyLoop {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn storm(report: &Findings) -> &PhaseLoad {
    let load = report.state.machine_load.as_ref().unwrap();
    load.phases.iter().find(|phase| phase.phase == PhaseKind::Storm).unwrap()
}

fn busy_loops() {
    let rig = Rig::with_lab("busy-loops", "calm", CALM);
    let processors = std::thread::available_parallelism().unwrap().get();
    let loops: Vec<BusyLoop> = (0..processors * 2).map(|_| BusyLoop::start()).collect();
    let finished = rig.run(&["up", "calm", "--json"]);
    drop(loops);
    assert_eq!(finished.code, Some(0), "it is judged as a whole run: {}", finished.stderr);
    let report = finished.report();
    let storm = storm(&report);
    let all = storm.lasted_ns * u64::from(storm.processors);
    let others = storm.busy_ns - storm.lab_ns;
    assert!(others * 2 > all, "others had more than half of the processors: {storm:?}");
    assert!(storm.lab_ns * 2 < all && storm.ran_ns.unwrap() > 0, "{storm:?}");
    assert_eq!(report.state.word, RunWord::Disturbed, "{:?}", report.state.reasons);
    let said = rig.run(&["report", "calm"]);
    assert_eq!(said.code, Some(0));
    let headline = said.stdout.lines().next().unwrap();
    assert!(headline.contains("disturbed"), "{headline}");
    assert!(said.stdout.contains("Of the processors' time other processes took "), "{}", said.stdout);
    let status = rig.run(&["status"]).stdout;
    assert!(status.contains("disturbed"), "{status}");
}

fn another_lab() {
    let rig = Rig::with_lab("another-lab", "calm", CALM);
    rig.lab("long", &CALM.replace("storm: 600ms", "storm: 60s"));
    let mut other = Running::start(&rig, "long");
    other.reaches(PhaseKind::Storm, 1);
    let driver = other.process("lab-driver");
    let finished = rig.run(&["up", "calm", "--json"]);
    send(other.launcher(), Signal::SIGTERM);
    other.finish();
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    let report = finished.report();
    let labs = &report.state.machine_load.as_ref().unwrap().other_labs;
    assert!(labs.contains(&driver), "{driver} of {labs:?}");
    assert_eq!(report.state.word, RunWord::Disturbed);
    assert!(report.state.reasons.iter().any(|reason| reason.text.contains("up at the same time")));
}
