//! Labs with their clients' switches thrown at random: what nobody thought of trying together.

use lab_model::{AuthEvent, Cache, Concurrency, Lab, ReactTo, When};

use crate::{Counting, Hit, Options, Summary, hardware::random::Random, simulate};

/// A lab that showed what was looked for, and the run in which it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwarmHit {
    /// The lab, with its switches as they were thrown.
    pub lab: Lab,
    /// The run.
    pub hit: Hit,
}

/// The lab with every client's concurrency, extra opens, budget, cache, peer check, and whom and when it reacts to
/// drawn from the seed. What a client does at all (reopening, reading, its delay) stays.
#[must_use]
pub fn swarm(lab: &Lab, seed: u64) -> Lab {
    let mut random = Random::new(seed, 3);
    let mut lab = lab.clone();
    for client in &mut lab.clients {
        let behavior = &mut client.behavior;
        behavior.concurrency = Concurrency::new(*pick(&mut random, &[1, 2, 4, 8, 16]));
        behavior.react_to =
            *pick(&mut random, &[ReactTo::Workload, ReactTo::Peers, ReactTo::Own, ReactTo::All]);
        behavior.answer_by_percent = *pick(&mut random, &[None, Some(50), Some(80)]);
        let when = *pick(&mut random, &[When::Before, When::After]);
        (behavior.reactions[AuthEvent::Open].when, behavior.reactions[AuthEvent::Exec].when) = (when, when);
        behavior.reactions[AuthEvent::Open].extra_opens = *pick(&mut random, &[0, 0, 1, 4]);
        behavior.ignore_es_clients = *pick(&mut random, &[false, false, true]);
        behavior.cache = *pick(&mut random, &[Cache::Off, Cache::Off, Cache::On]);
    }
    lab
}

fn pick<'a, T>(random: &mut Random, values: &'a [T]) -> &'a T {
    &values[random.below(values.len())]
}

/// Runs one swarm lab for each seed, with that seed, until `find` says yes. `options.seed` is not used.
pub fn search_swarm(
    lab: &Lab,
    options: &Options,
    seeds: impl IntoIterator<Item = u64>,
    mut find: impl FnMut(&Summary) -> bool,
) -> Option<SwarmHit> {
    seeds.into_iter().find_map(|seed| {
        let lab = swarm(lab, seed);
        let summary = simulate(&lab, &Options { seed, ..*options }, &mut Counting::default());
        find(&summary).then_some(SwarmHit { lab, hit: Hit { seed, summary } })
    })
}
