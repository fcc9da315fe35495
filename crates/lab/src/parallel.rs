//! Many independent pieces of work on several threads, with a result that does not depend on how many.

use std::{
    io,
    num::NonZeroUsize,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

/// Threads that do no harm to this machine: one a processor, unless somebody says otherwise.
pub(crate) fn threads(wanted: Option<NonZeroUsize>) -> usize {
    wanted.or_else(|| thread::available_parallelism().ok()).map_or(1, NonZeroUsize::get)
}

/// Does each piece of work; the results stand in the order of the items. `done` hears how many are.
pub(crate) fn map<T: Sync, R: Send>(
    items: &[T],
    threads: usize,
    done: impl Fn(usize) + Sync,
    work: impl Fn(&T) -> R + Sync,
) -> Vec<R> {
    let (next, finished) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let one_thread = || {
        let mut results = Vec::new();
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(place) else { return results };
            results.push((place, work(item)));
            done(finished.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    let mut results = thread::scope(|scope| {
        let beside = beside(threads.clamp(1, items.len().max(1)), || start(scope, &one_thread));
        let mut results = one_thread();
        results.extend(beside.into_iter().flat_map(joined));
        results
    });
    results.sort_by_key(|(place, _)| *place);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The lowest number of the range for which `shows` gives something, and that. Every lower one has been looked
/// at, whatever the number of threads. `done` hears how many were.
pub(crate) fn lowest<R: Send>(
    range: std::ops::RangeInclusive<u64>,
    threads: usize,
    done: impl Fn(usize) + Sync,
    shows: impl Fn(u64) -> Option<R> + Sync,
) -> Option<(u64, R)> {
    let (first, last) = range.into_inner();
    let (next, found, finished) = (AtomicU64::new(0), AtomicU64::new(u64::MAX), AtomicUsize::new(0));
    let one_thread = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let number = first.checked_add(place).filter(|number| *number <= last)?;
            // Numbers are handed out in order, so all below the lowest hit are in somebody's hands.
            if place > found.load(Ordering::Relaxed) {
                return None;
            }
            if let Some(result) = shows(number) {
                found.fetch_min(place, Ordering::Relaxed);
                return Some((number, result));
            }
            done(finished.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    thread::scope(|scope| {
        let beside = beside(threads, || start(scope, &one_thread));
        let own = one_thread();
        let hits = own.into_iter().chain(beside.into_iter().filter_map(joined));
        hits.min_by_key(|(number, _)| *number)
    })
}

/// Starts threads beside the calling one, which does its share: as many as there are to be, or as the system has.
fn beside<T>(threads: usize, start: impl Fn() -> io::Result<T>) -> Vec<T> {
    let mut running = Vec::new();
    for _ in 1..threads {
        match start() {
            Ok(thread) => running.push(thread),
            Err(error) => {
                tracing::debug!("no more than {} threads: {error}", running.len() + 1);
                break;
            }
        }
    }
    running
}

fn start<'scope, T: Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    work: &'scope (impl Fn() -> T + Sync),
) -> io::Result<thread::ScopedJoinHandle<'scope, T>> {
    thread::Builder::new().spawn_scoped(scope, work)
}

fn joined<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_the_order_of_the_items() {
        let items: Vec<u64> = (0..100).collect();
        let squares: Vec<u64> = items.iter().map(|item| item * item).collect();
        for threads in [1, 2, 7, 200] {
            assert_eq!(map(&items, threads, |_| {}, |item| item * item), squares, "{threads}");
        }
        assert_eq!(map(&[], 4, |_| {}, |item: &u64| *item), Vec::<u64>::new());
    }

    #[test]
    fn the_lowest_hit_is_found_by_any_number_of_threads() {
        for threads in [1, 2, 7] {
            let hit = lowest(5..=1000, threads, |_| {}, |number| (number % 91 == 90).then_some(number * 2));
            assert_eq!(hit, Some((90, 180)), "{threads}");
            assert_eq!(lowest(1..=50, threads, |_| {}, |_| None::<u64>), None, "{threads}");
            assert_eq!(lowest(u64::MAX..=u64::MAX, threads, |_| {}, Some), Some((u64::MAX, u64::MAX)));
        }
    }
}
