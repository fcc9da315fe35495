//! Circles: threads of which each waits for the next one's process, and the last for the first's.
//!
//! In every circle somebody is in the middle of something ([`WaitKind::is_hard`]): two processes that listen to each other
//! are at rest. And all of it has lasted: whoever is in a circle for less may just not have come to answer.

use std::collections::{BTreeMap, VecDeque, btree_map::Entry};

use crate::{graph::ThreadWait, snapshot::Snapshot, wait::WaitKind};

/// One circle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circle {
    /// Its threads, as places among the waits of the graph; each waits for the process of the next, the last for the first.
    pub links: Vec<usize>,
    /// For how long at least all of it has lasted, in milliseconds.
    pub lasted_ms: u64,
    /// Nobody in it can leave it. Otherwise a thread of it that sleeps may be deciding, slowly.
    pub sure: bool,
    /// Every process that is stuck with it, by its place in the snapshot.
    pub processes: Vec<usize>,
}

/// The circles of a graph. A thread is in one of them at most: they are taken from the longest wait on.
pub(crate) fn circles(snapshot: &Snapshot, waits: &[ThreadWait], lasting_ms: u64) -> Vec<Circle> {
    let since = |wait: &ThreadWait| snapshot.processes[wait.process].threads[wait.thread].since_ms;
    let takes_part = |wait: &ThreadWait| {
        wait.stuck && wait.edge.is_some() && wait.wait.kind != WaitKind::Idle && since(wait) >= lasting_ms
    };
    let mut of_process: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (place, wait) in waits.iter().enumerate().filter(|(_, wait)| takes_part(wait)) {
        of_process.entry(wait.process).or_default().push(place);
    }
    let next = |place: usize| -> Vec<usize> {
        let edge = waits[place].edge.as_ref();
        let processes = edge.into_iter().flat_map(|edge| &edge.on[..edge.likelier]);
        let mut next: Vec<usize> =
            processes.filter_map(|process| of_process.get(process)).flatten().copied().collect();
        // Who is in the middle of something says more than who waits for a message, and that more than a futex.
        next.sort_by_key(|&place| rank(waits[place].wait.kind));
        next
    };
    let mut starts: Vec<usize> = of_process.values().flatten().copied().collect();
    starts.retain(|&place| waits[place].wait.kind.is_hard());
    starts.sort_by_key(|&place| (std::cmp::Reverse(since(&waits[place])), place));
    let mut found: Vec<Circle> = Vec::new();
    for start in starts {
        if found.iter().any(|circle| circle.links.contains(&start)) {
            continue;
        }
        let Some(links) = shortest(start, next) else { continue };
        // Another thread in the same wait for the same processes is the same circle, entered elsewhere.
        let mut processes: Vec<usize> = links.iter().map(|&place| waits[place].process).collect();
        processes.sort_unstable();
        processes.dedup();
        if found.iter().any(|circle| circle.processes == processes) {
            continue;
        }
        let lasted_ms = links.iter().map(|&place| since(&waits[place])).min().unwrap_or(0);
        found.push(Circle { links, lasted_ms, sure: false, processes });
    }
    found
}

const fn rank(kind: WaitKind) -> u8 {
    match kind {
        _ if kind.is_hard() => 0,
        WaitKind::Futex => 2,
        _ => 1,
    }
}

/// The shortest way from a thread back to itself.
fn shortest(start: usize, next: impl Fn(usize) -> Vec<usize>) -> Option<Vec<usize>> {
    let mut came_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(place) = queue.pop_front() {
        for following in next(place) {
            if following == start {
                let mut way = vec![place];
                while let Some(&before) = way.last().filter(|&&last| last != start) {
                    way.push(*came_from.get(&before)?);
                }
                way.reverse();
                return Some(way);
            }
            if let Entry::Vacant(entry) = came_from.entry(following) {
                entry.insert(place);
                queue.push_back(following);
            }
        }
    }
    None
}
