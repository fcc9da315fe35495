//! Which threads cannot go on, whatever all others do.
//!
//! The largest set of threads in which each waits only for processes whose threads are all in the set, or wait for new work
//! themselves. Who runs, sleeps for a time, is stopped, reads from a disk, waits for somebody out of sight or in something
//! unknown is taken to be able to go on: what is merely slow is never in the set.
//!
//! An event loop may wait for anybody that it is connected with. It is able to go on when one of these has a thread that is
//! and is no event loop itself: else a bus that everybody is connected with would make everybody able to go on.

use crate::graph::ThreadWait;

/// How many threads of a process can go on.
#[derive(Clone, Copy, Debug, Default)]
struct Able {
    any: usize,
    no_event_loop: usize,
}

/// For each wait, in order, whether its thread cannot go on.
pub(crate) fn stuck(waits: &[ThreadWait], processes: usize) -> Vec<bool> {
    let mut able = vec![Able::default(); processes];
    let mut stuck: Vec<bool> = waits.iter().map(|_| true).collect();
    loop {
        let mut changed = false;
        for (place, wait) in waits.iter().enumerate() {
            if stuck[place] && can_go_on(wait, &able) {
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

fn can_go_on(wait: &ThreadWait, able: &[Able]) -> bool {
    use crate::wait::WaitKind::{Idle, Runs, Stopped, Storage, Timer, Unknown};
    let helps = |&process: &usize| {
        let able = able[process];
        if wait.event_loop { able.no_event_loop > 0 } else { able.any > 0 }
    };
    match wait.wait.kind {
        Runs | Timer | Stopped | Storage | Unknown => true,
        Idle => false,
        _ if wait.may_time_out => true,
        _ => match &wait.edge {
            Some(edge) => edge.others || edge.on.iter().any(helps),
            // Nobody in particular: new work.
            None => false,
        },
    }
}
