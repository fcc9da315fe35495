//! What the tests of the real `lab` share: lab files and a run store of their own, labs that run and are
//! disturbed, and what may be left of them. It asserts only what every lab must keep.
#![allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a helper of several test programs; tests read files, start programs and wait"
)]

mod control_group;
mod interrupting;
mod lacking;
mod machine;
mod running;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode, Output},
};

use lab_analysis::findings::Findings;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

pub use control_group::ControlGroup;
pub use interrupting::{PROMPTLY, interrupted, listens};
pub use lacking::{limited, nothing_was_made, on_tmpfs};
pub use machine::{host_opens_are_free, obstacle, remains, wait_until};
pub use running::{Running, descendants, send, send_to_group};

/// The program under test.
pub const LAB: &str = env!("CARGO_BIN_EXE_lab");

/// A lab of two clients that takes under a second.
pub const QUICK_OF_TWO: &str = "clients: { count: 2, behavior: noop }\n\
                                phases: { baseline: 50ms, control: 50ms, storm: 200ms, drain: 1s }\n\
                                workload:\n  - open_storm: { workers: 1, files: 5 }\n";

/// A lab of eight clients that takes under a second.
pub const QUICK_OF_EIGHT: &str = "clients: { count: 8, behavior: noop }\n\
                                  phases: { baseline: 50ms, control: 50ms, storm: 300ms, drain: 1s }\n\
                                  workload:\n  - open_storm: { workers: 1, files: 5, rate: 200 }\n";

/// The clients of most tests: scanners that react to the workload.
pub fn scanners(count: usize) -> String {
    format!(
        "defaults:\n  behavior: {{ preset: scanner, react_to: workload }}\nclients: {{ count: {count} }}\n"
    )
}

/// A folder with lab files and a run store of its own.
#[derive(Clone, Debug)]
pub struct Rig {
    pub root: PathBuf,
}

impl Rig {
    /// An empty one. What an earlier run of the test left there is removed.
    pub fn new(name: &str) -> Rig {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).canonicalize().unwrap().join(name);
        if root.exists() {
            fs::remove_dir_all(&root).unwrap();
        }
        fs::create_dir_all(root.join("configs")).unwrap();
        Rig { root }
    }

    /// One with a lab.
    pub fn with_lab(name: &str, lab: &str, body: &str) -> Rig {
        let rig = Rig::new(name);
        rig.lab(lab, body);
        rig
    }

    pub fn configs(&self) -> PathBuf {
        self.root.join("configs")
    }

    pub fn runs(&self) -> PathBuf {
        self.root.join("runs")
    }

    /// Writes a lab file: the heading lines that all have, and `body`.
    pub fn lab(&self, name: &str, body: &str) {
        // Live, whatever the machine: without the privilege a run must say so, not be simulated.
        let text = format!("schema: 1\nname: {name}\n{}\nbackend: fanotify\n", body.trim_end());
        fs::write(self.configs().join(format!("{name}.yaml")), text).unwrap();
    }

    /// The `lab` command with this rig's folders.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(LAB);
        command.arg("--configs").arg(self.configs()).arg("--runs").arg(self.runs()).args(arguments);
        command.env("NO_COLOR", "1").env_remove("RUST_LOG").env_remove("RUST_BACKTRACE");
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        Finished::of(&self.command(arguments).output().unwrap())
    }

    /// Runs a lab to its end, which must be good, and returns its report.
    pub fn report(&self, name: &str) -> Findings {
        let finished = self.run(&["up", name, "--json"]);
        assert!(matches!(finished.code, Some(0..=2)), "lab up {name} ended well: {finished:#?}");
        assert_eq!(self.remains(), Vec::<String>::new(), "nothing is left of {name}");
        finished.report()
    }

    /// Simulates a lab, and returns its report as it is stored.
    pub fn simulated(&self, name: &str) -> Vec<u8> {
        let finished = self.run(&["up", name, "--backend", "sim"]);
        assert!(matches!(finished.code, Some(0..=2)), "{finished:?}");
        fs::read(self.latest(name).join("report.json")).unwrap()
    }

    /// The folder of a lab's latest run.
    pub fn latest(&self, name: &str) -> PathBuf {
        self.runs().join(name).join("latest").canonicalize().unwrap()
    }

    /// What is left of this rig's labs, anywhere on the machine.
    pub fn remains(&self) -> Vec<String> {
        remains(&self.root)
    }
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Finished {
    /// The run went to its end and is reported, and failed only because of something that its lab does not expect.
    pub fn failed_for(&self, condition: &str) {
        assert_eq!(self.code, Some(1), "the run goes on: {}", self.stderr);
        let failed: Vec<String> = self
            .report()
            .expectations
            .into_iter()
            .filter(|checked| checked.held == Some(false))
            .map(|checked| checked.text)
            .collect();
        assert_eq!(failed, [format!("{condition} (`expect` says nothing of it)")]);
    }

    pub fn of(output: &Output) -> Finished {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Finished { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    /// The report that it printed.
    pub fn report(&self) -> Findings {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("no report: {error}: {self:#?}"))
    }
}

/// What must hold of the counts of every report.
pub fn sums_add_up(report: &Findings) {
    for totals in [&report.totals, &report.storm] {
        assert_eq!(totals.decisions, totals.explained + totals.unexplained, "{totals:?}");
        let answered: u64 = totals.by_approval.values().sum();
        assert_eq!(totals.decisions, answered + totals.unanswered, "{totals:?}");
    }
    let cells = report.causes.decisions.iter().flatten();
    assert_eq!(cells.sum::<u64>(), report.causes.total, "the cause matrix");
    let decisions: u64 = report.clients.iter().map(|client| client.decisions).sum();
    assert_eq!(decisions, report.causes.total, "the clients' decisions");
    for client in &report.clients {
        for row in &client.requests {
            assert_eq!(row.made, row.carried_out + row.failed + row.refused + row.unheard, "{row:?}");
            let times = &row.times;
            let legs = [&times.to_worker, &times.queued, &times.working, &times.operating, &times.back];
            let legs: u64 = legs.iter().map(|leg| leg.total_ns).sum();
            assert_eq!(times.total_ns, legs + times.not_told_ns, "{row:?}");
        }
        let approvals = &client.approvals;
        let asked: u64 = approvals.asked.values().sum();
        let hidden: u64 = approvals.hidden.values().sum();
        assert_eq!(approvals.operations, asked + hidden + approvals.unknown, "{client:?}");
        assert_eq!(client.decisions, asked + approvals.further + approvals.elsewhere, "{client:?}");
    }
}

/// A test of a live lab.
pub struct Live {
    pub name: &'static str,
    pub needs_kernel: bool,
    /// What this test needs beside and the machine lacks.
    pub lacks: Option<String>,
    pub body: Box<dyn FnOnce() + Send>,
}

/// A test of a live lab by its name.
pub fn live(name: &'static str, body: impl FnOnce() + Send + 'static) -> Live {
    Live { name, needs_kernel: true, lacks: None, body: Box::new(body) }
}

/// A test that any machine can run.
pub fn anywhere(name: &'static str, body: impl FnOnce() + Send + 'static) -> Live {
    Live { needs_kernel: false, ..live(name, body) }
}

/// Runs the tests one after the other: each lab wants the machine for itself. On a machine without fanotify or the
/// privilege each says so and counts as ignored.
pub fn main(arguments: Arguments, tests: Vec<Live>) -> ExitCode {
    main_beside(1, arguments, tests)
}

/// Runs so many tests side by side: for labs of which nothing is timed. What a lab leaves behind is told from what its
/// neighbours do by its rig's folder.
pub fn main_beside(threads: usize, mut arguments: Arguments, tests: Vec<Live>) -> ExitCode {
    arguments.test_threads = Some(threads);
    let trials = tests.into_iter().map(|test| {
        Trial::ignorable_test(test.name, move || {
            match machine::obstacle().filter(|_| test.needs_kernel).or(test.lacks) {
                Some(obstacle) => {
                    eprintln!("SKIPPED: {}: {obstacle}", test.name);
                    Ok(Completion::ignored_with(obstacle))
                }
                None => {
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(test.body))
                        .map_err(|_| Failed::from("see the message above"))?;
                    Ok(Completion::Completed)
                }
            }
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
