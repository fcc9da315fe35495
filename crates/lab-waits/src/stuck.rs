//! Which threads cannot go on, whatever all others do.
//!
//! The largest set of threads in which each waits only for processes whose threads are all in the set, or wait for new work
//! themselves. Who runs, is stopped, reads from a disk, waits for somebody out of sight or in something unknown is taken to be
//! able to go on: what is merely slow is never in the set.
//!
//! An event loop may wait for anybody that it is connected with. It is able to go on when one of these has a thread that is
//! and is no event loop itself: else a bus that everybody is connected with would make everybody able to go on.
//!
//! A thread that sleeps may be deciding, slowly. It is not when it has slept since before its process was asked, nor when it
//! has woken since and gone to sleep again.

use crate::{graph::ThreadWait, snapshot::Snapshot};

/// What is made of threads that sleep and may be deciding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sleepers {
    /// They can go on, so that what is found to be stuck is.
    Help,
    /// They only look after something now and then.
    ComeRound,
}

/// How many threads of a process can go on.
#[derive(Clone, Copy, Debug, Default)]
struct Able {
    any: usize,
    no_event_loop: usize,
}

/// For each wait, in order, whether its thread cannot go on.
pub(crate) fn stuck(snapshot: &Snapshot, waits: &[ThreadWait], sleepers: Sleepers) -> Vec<bool> {
    let asked = asked_for_ms(snapshot, waits);
    let mut able = vec![Able::default(); snapshot.processes.len()];
    let mut stuck: Vec<bool> = waits.iter().map(|_| true).collect();
    let may_decide = |wait: &ThreadWait| {
        let rested = snapshot.processes[wait.process].threads[wait.thread].rested_ms;
        sleepers == Sleepers::Help && wait.sleeps && rested == asked[wait.process]
    };
    loop {
        let mut changed = false;
        for (place, wait) in waits.iter().enumerate() {
            if stuck[place] && (may_decide(wait) || can_go_on(wait, &able)) {
                stuck[place] = false;
                able[wait.process].any += 1;
                able[wait.process].no_event_loop += usize::from(!wait.event_loop);
                changed = true;
            }
        }
        if !changed {
            return stuck;
        }
    }
}

/// For how long each process has been waited for by who is in the middle of something, in milliseconds.
fn asked_for_ms(snapshot: &Snapshot, waits: &[ThreadWait]) -> Vec<u64> {
    let mut asked = vec![0; snapshot.processes.len()];
    for wait in waits.iter().filter(|wait| wait.wait.kind.is_hard()) {
        let rested = snapshot.processes[wait.process].threads[wait.thread].rested_ms;
        for &process in wait.edge.iter().flat_map(|edge| &edge.on) {
            asked[process] = rested.max(asked[process]);
        }
    }
    asked
}

fn can_go_on(wait: &ThreadWait, able: &[Able]) -> bool {
    use crate::wait::WaitKind::{Idle, Runs, Stopped, Storage, Timer, Unknown};
    let helps = |&process: &usize| {
        let able = able[process];
        if wait.event_loop { able.no_event_loop > 0 } else { able.any > 0 }
    };
    match wait.wait.kind {
        Runs | Stopped | Storage | Unknown => true,
        Idle | Timer => false,
        _ => match &wait.edge {
            Some(edge) => edge.others || edge.on.iter().any(helps),
            // Nobody in particular: new work.
            None => false,
        },
    }
}
