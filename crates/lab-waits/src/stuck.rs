//! Which threads cannot go on, whatever all others do.
//!
//! The largest set of threads in which each waits only for processes whose threads are all in the set, or wait for new work
//! themselves. Who runs, is stopped, reads from a disk, waits for somebody out of sight or in something unknown is taken to be
//! able to go on: what is merely slow is never in the set.
//!
//! An event loop may wait for anybody that it is connected with. It is able to go on when one of these has a thread that is
//! and is no event loop itself: else a bus that everybody is connected with would make everybody able to go on.
//!
//! A thread that sleeps may be deciding, slowly. It is not when it was in that very sleep, or came back to it, since before
//! its process was asked, and did not go to sleep when somebody began to wait: such a thread only comes round now and then.

use crate::{graph::ThreadWait, snapshot::Snapshot, wait::WaitKind};

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
        let thread = &snapshot.processes[wait.process].threads[wait.thread];
        let asked = &asked[wait.process];
        let since_before = asked.iter().all(|&asked| thread.since_ms > asked);
        let with_them = asked.contains(&thread.rested_ms);
        sleepers == Sleepers::Help && wait.sleeps && (asked.is_empty() || !since_before || with_them)
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

/// For how long each process has been waited for, in milliseconds, by everybody who is in the middle of something or has
/// asked it.
fn asked_for_ms(snapshot: &Snapshot, waits: &[ThreadWait]) -> Vec<Vec<u64>> {
    let mut asked = vec![Vec::new(); snapshot.processes.len()];
    let asks = |wait: &&ThreadWait| {
        let kind = wait.wait.kind;
        kind.is_hard()
            || !wait.event_loop
                && matches!(kind, WaitKind::SocketInput | WaitKind::PipeInput | WaitKind::Poll)
    };
    for wait in waits.iter().filter(asks) {
        let rested = snapshot.processes[wait.process].threads[wait.thread].rested_ms;
        for &process in wait.edge.iter().flat_map(|edge| &edge.on) {
            asked[process].push(rested);
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
