//! Which threads cannot go on, whatever all others do.
//!
//! The largest set of threads in which each waits only for processes whose threads are all in the set, or wait for new work
//! themselves. Who runs, sleeps for a time, is stopped, reads from a disk, waits for somebody out of sight or in something
//! unknown is taken to be able to go on: what is merely slow is never in the set.

use crate::graph::ThreadWait;

/// For each wait, in order, whether its thread cannot go on.
pub(crate) fn stuck(waits: &[ThreadWait], processes: usize) -> Vec<bool> {
    // How many threads of each process can go on.
    let mut able = vec![0_usize; processes];
    let mut stuck: Vec<bool> = waits.iter().map(|_| true).collect();
    loop {
        let mut changed = false;
        for (place, wait) in waits.iter().enumerate() {
            if stuck[place] && can_go_on(wait, &able) {
                stuck[place] = false;
                able[wait.process] += 1;
                changed = true;
            }
        }
        if !changed {
            return stuck;
        }
    }
}

fn can_go_on(wait: &ThreadWait, able: &[usize]) -> bool {
    use crate::wait::WaitKind::{Idle, Runs, Stopped, Storage, Timer, Unknown};
    match wait.wait.kind {
        Runs | Timer | Stopped | Storage | Unknown => true,
        Idle => false,
        _ if wait.may_time_out => true,
        _ => match &wait.edge {
            Some(edge) => edge.others || edge.on.iter().any(|&process| able[process] > 0),
            // Nobody in particular: new work.
            None => false,
        },
    }
}
