//! A lab that runs, and its processes as the outside sees them.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "as the module above")]

use std::{
    fs::{self, File},
    io::Read,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Child, Stdio},
};

use lab_model::{PhaseKind, Span};
use lab_trace::{Board, Counter};
use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use serde_json::Value;

use super::{Finished, Rig, wait_until};

/// How long a lab may take to reach a phase; a first run builds client and driver.
const PHASE_WITHIN: Span = Span::from_secs(300);
/// How long a lab may take to end once it was disturbed.
const END_WITHIN: Span = Span::from_secs(60);

/// A `lab up` under way.
#[derive(Debug)]
pub struct Running {
    child: Child,
    rig: Rig,
    name: String,
}

impl Running {
    /// Starts a lab. Its output goes to files, so that nothing waits for a reader.
    pub fn start(rig: &Rig, name: &str) -> Running {
        Running::start_with(rig, name, &[])
    }

    /// Starts a lab with further arguments.
    pub fn start_with(rig: &Rig, name: &str, arguments: &[&str]) -> Running {
        Running::start_command(rig, name, &[&["up", name, "--json"], arguments].concat())
    }

    /// Starts a command that runs a lab, maybe among others.
    pub fn start_command(rig: &Rig, name: &str, arguments: &[&str]) -> Running {
        let output = |stream: &str| Stdio::from(File::create(rig.root.join(stream)).unwrap());
        let child = rig
            .command(arguments)
            .stdin(Stdio::null())
            .stdout(output("stdout"))
            .stderr(output("stderr"))
            // As a shell starts it: in a process group of its own.
            .process_group(0)
            .spawn()
            .unwrap();
        Running { child, rig: rig.clone(), name: name.to_owned() }
    }

    /// The launcher's process ID.
    pub fn launcher(&self) -> u32 {
        self.child.id()
    }

    /// True when the launcher has ended, whether or not anybody has asked how.
    pub fn has_ended(&self) -> bool {
        lab_process::process_state(self.launcher()).is_none()
    }

    /// The run's folder, once its controller was started: the one whose marker names this launcher.
    pub fn folder(&self) -> Option<PathBuf> {
        let below =
            |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let runs = below(self.rig.runs()).flat_map(below).filter(|run| !run.is_symlink());
        runs.into_iter().find(|run| {
            let marker = fs::read(run.join("active.json")).unwrap_or_default();
            let marker: Value = serde_json::from_slice(&marker).unwrap_or_default();
            marker["launcher"]["pid"] == self.launcher() && marker["controller"]["pid"].is_u64()
        })
    }

    /// Waits until the driver has begun so many operations of the phase, and returns the run's folder.
    pub fn reaches(&mut self, phase: PhaseKind, operations: u64) -> PathBuf {
        let mut folder = None;
        let mut before = None;
        let reached = wait_until(PHASE_WITHIN, || {
            if folder.is_none() {
                folder = self.folder();
            }
            let driver = folder.as_ref().map(|folder| folder.join("traces/driver.trace"));
            let board = driver.and_then(|trace| Board::attach(&trace).ok());
            if let Some(board) = board.filter(|board| board.get(Counter::Phase) == u64::from(phase.code())) {
                let now = board.get(Counter::OperationsEnded);
                return now >= *before.get_or_insert(now) + operations;
            }
            self.child.try_wait().unwrap().is_some()
        });
        assert!(
            reached && self.child.try_wait().unwrap().is_none(),
            "{} reaches {phase:?}: {}",
            self.name,
            self.stderr()
        );
        folder.unwrap()
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(self.rig.root.join("stderr")).unwrap_or_default()
    }

    /// The first process of the lab's namespaces.
    pub fn controller(&self) -> u32 {
        let found = children(self.launcher());
        *found.first().unwrap_or_else(|| panic!("the launcher has a controller: {}", self.stderr()))
    }

    /// The process whose program's path contains this text.
    pub fn process(&self, program: &str) -> u32 {
        self.child_of(self.controller(), program)
    }

    /// The child of a process whose program's path contains this text.
    pub fn child_of(&self, parent: u32, program: &str) -> u32 {
        let found = children(parent).into_iter().find(|pid| {
            let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
            exe.to_string_lossy().contains(program)
        });
        found.unwrap_or_else(|| panic!("the lab has a process {program}: {}", self.stderr()))
    }

    /// Waits for the end of the launcher, however it comes.
    pub fn finish(mut self) -> Finished {
        let mut status = None;
        let ended = wait_until(END_WITHIN, || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        if !ended {
            send(self.child.id(), Signal::SIGKILL);
            panic!("{} did not end: {}", self.name, self.stderr());
        }
        let mut stdout = String::new();
        File::open(self.rig.root.join("stdout")).unwrap().read_to_string(&mut stdout).unwrap();
        Finished { code: status.unwrap().code(), stdout, stderr: self.stderr() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Only a test that failed has not waited for it.
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            send(self.child.id(), Signal::SIGKILL);
            drop(self.child.wait());
        }
    }
}

/// Sends a signal to one process, which must exist.
pub fn send(pid: u32, signal: Signal) {
    kill(Pid::from_raw(pid.try_into().unwrap()), signal).unwrap();
}

/// Sends a signal to a process and all others of its group, as a terminal does.
pub fn send_to_group(leader: u32, signal: Signal) {
    killpg(Pid::from_raw(leader.try_into().unwrap()), signal).unwrap();
}

/// The children of a process, their children, and so on.
pub fn descendants(pid: u32) -> Vec<u32> {
    let direct = children(pid);
    let below = direct.iter().flat_map(|&child| descendants(child)).collect::<Vec<u32>>();
    [direct, below].concat()
}

/// The children of a process.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let of = |task: PathBuf| fs::read_to_string(task.join("children")).unwrap_or_default();
    let all = threads.filter_map(Result::ok).map(|thread| of(thread.path()));
    all.flat_map(|pids| pids.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
