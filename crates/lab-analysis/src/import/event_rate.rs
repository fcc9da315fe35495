//! Events over time, in stretches that double when the recording goes on for longer.

use lab_model::{Bounded, Total};

use super::summary::EventRate;

/// The most stretches, as in a run's series.
const BUCKETS_MAX: usize = 240;

impl EventRate {
    /// Counts an event of a class at a tick. What lies before the first tick counts in the first stretch.
    pub(super) fn count(&mut self, at: u64, class: usize) {
        let origin = *self.origin.get_or_insert(at);
        self.bucket_ticks = self.bucket_ticks.max(1);
        let after = at.saturating_sub(origin);
        while after.checked_div(self.bucket_ticks).unwrap_or(0) >= BUCKETS_MAX as u64 {
            self.double();
        }
        let place = usize::try_from(after.checked_div(self.bucket_ticks).unwrap_or(0)).unwrap_or(0);
        if self.events.len() <= place {
            self.events.resize(place.saturating_add(1), [0; 3]);
        }
        self.events[place][class].raise(1);
    }

    fn double(&mut self) {
        self.bucket_ticks = self.bucket_ticks.saturating_mul(2);
        let pairs = self.events.chunks(2);
        let sum =
            |pair: &[[u64; 3]]| std::array::from_fn(|class| pair.iter().map(|counts| counts[class]).total());
        self.events = pairs.map(sum).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_when_stretches_double() {
        let mut course = EventRate::default();
        for at in 0..1000 {
            course.count(100 + at, 0);
        }
        course.count(5, 2);
        assert_eq!((course.bucket_ticks, course.events.len()), (8, 125));
        assert_eq!(course.events[0], [8, 0, 1]);
        assert!(course.events[1..].iter().all(|counts| *counts == [8, 0, 0]));
        course.count(u64::MAX, 1);
        assert!(course.events.len() <= BUCKETS_MAX);
        assert_eq!(course.events.iter().flatten().sum::<u64>(), 1002);
    }
}
