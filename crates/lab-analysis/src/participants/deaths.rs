//! When a client was dead: what began then tells nothing of a lab in which all decide.

use lab_trace::Trace;

use crate::{
    participants::{lives::Lives, roster::Roster, timeline::Timeline},
    pass::slots::NEVER,
};

/// The stretches in which at least one client was dead: from the end of its process to the next one's first look, or for
/// good. Rising and apart. Before its first process a client was not dead.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deaths(Vec<(u64, u64)>);

impl Deaths {
    pub(crate) fn new(timeline: &Timeline, roster: &Roster, traces: &[Trace<'_>]) -> Deaths {
        let lives = Lives::new(roster, timeline, traces);
        let mut stretches = Vec::new();
        for client in 0..roster.clients.len() {
            let lives = lives.of(client);
            for (place, life) in lives.iter().enumerate().filter(|(_, life)| life.gone != NEVER) {
                // Another that begins before this one is seen to end leaves no gap.
                let next = lives.get(place.saturating_add(1)).map_or(NEVER, |next| next.from);
                stretches.push((timeline.until(life.trace).min(life.gone), next));
            }
        }
        Deaths::of(stretches)
    }

    fn of(mut stretches: Vec<(u64, u64)>) -> Deaths {
        stretches.retain(|(from, until)| from < until);
        stretches.sort_unstable();
        let mut apart: Vec<(u64, u64)> = Vec::new();
        for (from, until) in stretches {
            match apart.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(until),
                _ => apart.push((from, until)),
            }
        }
        Deaths(apart)
    }

    /// True when every client that had begun was there.
    pub(crate) fn all_lived(&self, at: u64) -> bool {
        let place = self.0.partition_point(|&(from, _)| from <= at);
        place.checked_sub(1).is_none_or(|place| at >= self.0[place].1)
    }

    /// Nanoseconds between two moments in which one was dead.
    pub(crate) fn within(&self, began: u64, ended: u64) -> u64 {
        let shared = |&(from, until): &(u64, u64)| until.min(ended).saturating_sub(from.max(began));
        self.0.iter().map(shared).fold(0, u64::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_that_touch_are_one() {
        let deaths = Deaths::of(vec![(500, NEVER), (100, 200), (150, 300), (300, 310), (400, 400)]);
        assert_eq!(deaths.0, [(100, 310), (500, NEVER)]);
        let lived = [0, 99, 310, 499].map(|at| deaths.all_lived(at));
        let dead = [100, 200, 309, 500, NEVER - 1].map(|at| deaths.all_lived(at));
        assert_eq!((lived, dead), ([true; 4], [false; 5]));
        assert_eq!([deaths.within(0, 100), deaths.within(50, 320), deaths.within(300, 600)], [0, 210, 110]);
        assert!(Deaths::default().all_lived(7));
    }
}
