//! One product under test: started, and what is said of it when it does not become ready.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Stdio};

use lab_model::{Actor, External, Ready};
use lab_process::clock;
use lab_trace::{ProcessMark, ProcessMarkKind, TraceWriter};
use tokio::{process::Command, sync::mpsc};

use super::{
    ending::last_line,
    event::Event,
    family::MARKER,
    groups::HeldMark,
    private::OwnNamespace,
    process::{create_log, wait},
};
use crate::{Failure, FailureKind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Unstarted,
    Starting,
    Ready,
    Ended,
}

#[derive(Debug)]
pub(super) struct Product {
    pub(super) actor: Actor,
    pub(super) wanted: External,
    pub(super) log: PathBuf,
    pub(super) pid: u32,
    pub(super) state: State,
    /// The groups that were recorded.
    pub(super) held: BTreeSet<HeldMark>,
    pub(super) killed: bool,
    /// Where it runs when another product wants the same folders; else in the lab's.
    pub(super) namespace: Option<OwnNamespace>,
}

impl Product {
    pub(super) fn start(&mut self, trace: &TraceWriter, events: &mpsc::Sender<Event>) -> Result<(), Failure> {
        let id = self.wanted.id.to_string();
        let cannot = |error: std::io::Error| {
            Failure::new(FailureKind::Product, format!("{id} cannot be started: {error}"))
        };
        let (program, arguments) = self
            .wanted
            .start
            .split_first()
            .ok_or_else(|| Failure::new(FailureKind::Bug, format!("{id} has no program")))?;
        let log = create_log(&self.log).map_err(cannot)?;
        let (program, before) = self
            .namespace
            .as_ref()
            .map_or((program.as_str(), Vec::new()), |namespace| namespace.enter(program));
        let child = Command::new(program)
            .args(before)
            .args(arguments)
            .envs(self.wanted.environment.iter().map(|(name, text)| (name, text)))
            .env(MARKER, &id)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(cannot)?)
            .stderr(log)
            .kill_on_drop(true)
            .process_group(0)
            .spawn()
            .map_err(cannot)?;
        self.pid = child.id().unwrap_or(0);
        self.state = State::Starting;
        self.mark(trace, ProcessMarkKind::Started, 0);
        tokio::spawn(wait(self.actor, child, events.clone()));
        Ok(())
    }

    /// True when there is such a file where the product sees files.
    pub(super) fn has_file(&self, path: &str) -> bool {
        let path = match self.namespace {
            Some(_) => format!("/proc/{}/root{path}", self.pid),
            None => path.to_owned(),
        };
        fs::symlink_metadata(path).is_ok()
    }

    pub(super) const fn alive(&self) -> bool {
        matches!(self.state, State::Starting | State::Ready)
    }

    pub(super) fn mark(&self, trace: &TraceWriter, kind: ProcessMarkKind, status: i32) {
        trace.process(&ProcessMark { at: clock::now(), actor: self.actor, kind, pid: self.pid, status });
    }

    pub(super) fn never_ready(&self) -> Failure {
        let External { id, ready, ready_within, .. } = &self.wanted;
        let lacking = match ready {
            Ready::Mark => self.lacking_mark().to_owned(),
            Ready::Started => "it did not start".to_owned(),
            Ready::File(path) => format!("there is no {path}"),
            Ready::Line(text) => format!("it has not written \"{text}\""),
        };
        let words = last_line(&self.log).map(|line| format!("; its last words: {line}")).unwrap_or_default();
        self.failure(format!("{id} was not ready after {ready_within}: {lacking}{words}"))
    }

    /// What its marks lack to ask about opens in the arena.
    pub(super) fn lacking_mark(&self) -> &'static str {
        match (self.held.is_empty(), self.held.iter().any(|held| held.arena)) {
            (true, _) => "it has set no fanotify mark on the arena",
            (false, false) => "it has set fanotify marks, none of them on the arena",
            (false, true) => "its fanotify marks on the arena are for no permission events",
        }
    }

    pub(super) fn failure(&self, message: String) -> Failure {
        let mend = format!("run `{}` by hand and see what it says", self.wanted.start.join(" "));
        Failure::new(FailureKind::Product, message).mend(mend)
    }
}
