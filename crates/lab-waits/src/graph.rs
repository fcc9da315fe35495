//! The graph: what each thread waits in, who could end it, who is stuck, and in which circles.

use crate::{
    circle::{self, Circle},
    edges::{Connections, Edge},
    snapshot::Snapshot,
    stuck::{Sleepers, stuck},
    wait::{Wait, WaitKind},
};

/// Who sleeps for longer, in milliseconds, is of no help to those who wait: no client's deadline is longer.
const TIMEOUT_HELPS_MS_MAX: u64 = 60_000;

/// One thread's wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadWait {
    /// Its process, by its place in the snapshot.
    pub process: usize,
    /// Its place among the threads of that process.
    pub thread: usize,
    /// What it waits in.
    pub wait: Wait,
    /// Who could end that; `None` when it waits for nobody in particular.
    pub edge: Option<Edge>,
    /// It waits for whatever comes first of several things, and is not known to have asked anybody.
    pub event_loop: bool,
    /// It sleeps, or waits with a timeout for what may come first: it may be deciding, slowly.
    pub sleeps: bool,
    /// It cannot go on, whatever all others do.
    pub stuck: bool,
}

/// Who waits for whom at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitGraph {
    /// Every thread that could be looked at.
    pub waits: Vec<ThreadWait>,
    /// What nobody in it can leave, the longest first.
    pub circles: Vec<Circle>,
}

impl WaitGraph {
    /// Makes the graph of a snapshot. Waits that have lasted less than `lasting_ms` milliseconds are in it, but make no
    /// circle.
    #[must_use]
    pub fn of(snapshot: &Snapshot, lasting_ms: u64) -> WaitGraph {
        let connections = Connections::of(snapshot);
        let mut waits = Vec::new();
        for (place, process) in snapshot.processes.iter().enumerate() {
            for (number, thread) in process.threads.iter().enumerate() {
                if matches!(thread.state, 'Z' | 'X') {
                    continue;
                }
                let mut wait = Wait::of(process, thread);
                let edge = connections.edge(place, thread, wait);
                let timeout = thread.call.as_ref().and_then(|call| call.timeout_ms);
                let times_out = timeout.is_some_and(|timeout| timeout <= TIMEOUT_HELPS_MS_MAX);
                if wait.kind == WaitKind::Poll && edge.is_none() {
                    wait.kind = if times_out { WaitKind::Timer } else { WaitKind::Idle };
                }
                // Who has asked somebody and waits for the answer is in a circle until then, even if it gives up in the end.
                let asks = connections.only_asks(place, thread);
                let sleeps = wait.kind == WaitKind::Timer || times_out && !wait.kind.is_hard() && !asks;
                let event_loop = wait.kind == WaitKind::Poll && !asks;
                waits.push(ThreadWait {
                    process: place,
                    thread: number,
                    wait,
                    edge,
                    event_loop,
                    sleeps,
                    stuck: false,
                });
            }
        }
        let mut circles: Vec<Circle> = Vec::new();
        for sleepers in [Sleepers::ComeRound, Sleepers::Help] {
            let stuck = stuck(snapshot, &waits, sleepers);
            for (wait, is_stuck) in waits.iter_mut().zip(stuck) {
                wait.stuck = is_stuck;
            }
            let sure = sleepers == Sleepers::Help;
            let found = circle::circles(snapshot, &waits, lasting_ms);
            circles.retain(|circle| !found.iter().any(|other| other.processes == circle.processes));
            circles.extend(found.into_iter().map(|circle| Circle { sure, ..circle }));
        }
        circles.sort_by_key(|circle| (!circle.sure, std::cmp::Reverse(circle.lasted_ms)));
        WaitGraph { waits, circles }
    }

    /// The threads that wait in the middle of something for at least so many milliseconds, the longest first; of the processes
    /// `about`, those as well that wait for anybody at all.
    #[must_use]
    pub fn long_waits(&self, snapshot: &Snapshot, lasting_ms: u64, about: &[u32]) -> Vec<&ThreadWait> {
        let since = |wait: &ThreadWait| snapshot.processes[wait.process].threads[wait.thread].since_ms;
        let is_asked =
            |wait: &ThreadWait| wait.edge.is_some() && about.contains(&snapshot.processes[wait.process].pid);
        let is_long =
            |wait: &&ThreadWait| (wait.wait.kind.is_hard() || is_asked(wait)) && since(wait) >= lasting_ms;
        let mut long: Vec<&ThreadWait> = self.waits.iter().filter(is_long).collect();
        long.sort_by_key(|wait| std::cmp::Reverse(since(wait)));
        long
    }
}
