//! Waits and circles as they are written: by `lab why --json`, beside a run, and in `report.json`. Everything in it is a name
//! or a number; nothing refers to the snapshot any more.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    graph::{ThreadWait, WaitGraph},
    sentence::{circle_sentence, process_to_end, wait_words},
    snapshot::Snapshot,
    wait::WaitKind,
};

/// Who waits, for whom, and in which circles.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitReport {
    /// The threads that have waited long in the middle of something, the longest first.
    pub waits: Vec<Waiting>,
    /// The circles that nobody in them can leave, the longest first.
    pub circles: Vec<WaitCircle>,
    /// What could not be read, in words.
    pub unreadable: Vec<String>,
}

/// A process by number and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct ProcessName {
    /// Its number.
    pub pid: u32,
    /// What it calls itself.
    pub name: String,
}

/// One thread that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Waiting {
    /// Whose thread it is.
    pub process: ProcessName,
    /// The thread.
    pub tid: u32,
    /// What it waits in.
    pub kind: WaitKind,
    /// It has taken an event of a fanotify group, whose file the kernel cannot hand over.
    pub hand_over: bool,
    /// The file, where that could be read.
    pub file: Option<String>,
    /// For how long at least, in milliseconds: as long as it was watched.
    pub since_ms: u64,
    /// Who could end it, the likeliest first; any one of them could.
    pub waits_for: Vec<ProcessName>,
    /// Somebody else could as well, who is not in sight.
    pub others: bool,
    /// It cannot go on, whatever all others do.
    pub stuck: bool,
    /// What says for whom it waits.
    pub evidence: String,
    /// All of it in words, without who it is.
    pub words: String,
}

/// A circle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WaitCircle {
    /// Its threads: each waits for the process of the next one, the last for that of the first.
    pub links: Vec<Waiting>,
    /// For how long at least all of it has lasted, in milliseconds.
    pub lasted_ms: u64,
    /// Nobody in it can leave it. Otherwise a thread of it that sleeps may be deciding, slowly.
    pub sure: bool,
    /// The circle as one sentence.
    pub sentence: String,
    /// The one process to end.
    pub end: Option<ProcessName>,
}

impl WaitCircle {
    /// The processes in it, each once.
    #[must_use]
    pub fn processes(&self) -> Vec<&ProcessName> {
        let mut processes: Vec<&ProcessName> = Vec::new();
        for link in &self.links {
            if !processes.contains(&&link.process) {
                processes.push(&link.process);
            }
        }
        processes
    }
}

impl WaitReport {
    /// What a snapshot shows of waits that have lasted for at least so many milliseconds. With processes named, of those and
    /// whoever they wait for only, whatever their threads wait in.
    #[must_use]
    pub fn of(snapshot: &Snapshot, lasting_ms: u64, about: &[u32]) -> WaitReport {
        let graph = WaitGraph::of(snapshot, lasting_ms);
        let line = |wait: &ThreadWait| waiting(snapshot, wait);
        let circles = graph.circles.iter().map(|circle| WaitCircle {
            links: circle.links.iter().map(|&place| line(&graph.waits[place])).collect(),
            lasted_ms: circle.lasted_ms,
            sure: circle.sure,
            sentence: circle_sentence(snapshot, &graph, circle),
            end: process_to_end(&graph, circle).map(|place| name(snapshot, place)),
        });
        let near = reach(snapshot, &graph, about);
        let is_near = |process: &ProcessName| about.is_empty() || near.contains(&process.pid);
        let long = graph.long_waits(snapshot, lasting_ms, about).into_iter().map(line);
        WaitReport {
            waits: long.filter(|wait| is_near(&wait.process)).collect(),
            circles: circles
                .filter(|circle| circle.links.iter().any(|link| is_near(&link.process)))
                .collect(),
            unreadable: snapshot.unreadable.clone(),
        }
    }

    /// True when nobody has waited long.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waits.is_empty() && self.circles.is_empty()
    }
}

/// These processes, and all that they wait for in the end.
fn reach(snapshot: &Snapshot, graph: &WaitGraph, from: &[u32]) -> BTreeSet<u32> {
    let mut reached: BTreeSet<u32> = from.iter().copied().collect();
    loop {
        let waits = graph.waits.iter().filter(|wait| reached.contains(&snapshot.processes[wait.process].pid));
        let on = waits.filter_map(|wait| wait.edge.as_ref()).flat_map(|edge| &edge.on);
        let more: Vec<u32> = on.map(|&place| snapshot.processes[place].pid).collect();
        let before = reached.len();
        reached.extend(more);
        if reached.len() == before {
            return reached;
        }
    }
}

fn name(snapshot: &Snapshot, place: usize) -> ProcessName {
    let process = &snapshot.processes[place];
    ProcessName { pid: process.pid, name: process.name.clone() }
}

fn waiting(snapshot: &Snapshot, wait: &ThreadWait) -> Waiting {
    let thread = &snapshot.processes[wait.process].threads[wait.thread];
    let edge = wait.edge.clone().unwrap_or_default();
    Waiting {
        process: name(snapshot, wait.process),
        tid: thread.tid,
        kind: wait.wait.kind,
        hand_over: wait.wait.hand_over,
        file: thread.call.as_ref().and_then(|call| call.path.clone()),
        since_ms: thread.since_ms,
        waits_for: edge.on.iter().map(|&place| name(snapshot, place)).collect(),
        others: edge.others,
        stuck: wait.stuck,
        evidence: edge.evidence,
        words: wait_words(snapshot, wait),
    }
}
