//! When the operations of an open loop start: a time for each, planned ahead and never moved.

use lab_model::{Knee, Rate, Span};

const SECOND: u128 = 1_000_000_000;

/// The times of one worker's operations: every `stride`-th of its load's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    next: u64,
    stride: u64,
    timing: Timing,
}

#[derive(Clone, Copy, Debug)]
enum Timing {
    Even { rate: u32 },
    Burst { operations: u64, every: u64 },
    Ramp { from: u32, to: u32, span: u64 },
    Knee(Stairs),
}

/// Where in its steps a load is.
#[derive(Clone, Copy, Debug)]
struct Stairs {
    knee: Knee,
    /// The length of a step in nanoseconds.
    length: u64,
    step: u16,
    /// The first operation of the step, and how many it has.
    first: u64,
    count: u64,
}

impl Pace {
    /// The pace of worker `place` of `workers`, in a phase of this length; `None` for a closed loop.
    pub(crate) fn of(rate: Rate, span: Span, place: u64, workers: u64) -> Option<Pace> {
        let timing = match rate {
            Rate::Max => return None,
            Rate::PerSecond(rate) => Timing::Even { rate: rate.max(1) },
            Rate::Burst { operations, every } => {
                Timing::Burst { operations: operations.max(1).into(), every: every.nanos() }
            }
            Rate::Ramp { from, to } => Timing::Ramp { from, to, span: span.nanos() },
            Rate::Knee(knee) => {
                let length = knee.step(span).nanos();
                let count = even(knee.rate(0), length);
                Timing::Knee(Stairs { knee, length, step: 0, first: 0, count })
            }
        };
        Some(Pace { next: place, stride: workers.max(1), timing })
    }

    /// When the worker's next operation starts, in nanoseconds from the phase's start.
    pub(crate) fn next(&mut self) -> u64 {
        let place = self.next;
        self.next = place.saturating_add(self.stride);
        match &mut self.timing {
            Timing::Even { rate } => narrow(u128::from(place) * SECOND / u128::from(*rate)),
            Timing::Burst { operations, every } => (place / *operations).saturating_mul(*every),
            Timing::Ramp { from, to, span } => ramp(*from, *to, *span, place),
            Timing::Knee(stairs) => stairs.at(place),
        }
    }
}

impl Stairs {
    fn at(&mut self, place: u64) -> u64 {
        while place - self.first >= self.count && self.step + 1 < self.knee.steps {
            self.first += self.count;
            self.step += 1;
            self.count = even(self.knee.rate(self.step), self.length);
        }
        let within = u128::from(place - self.first) * SECOND / u128::from(self.knee.rate(self.step).max(1));
        (u64::from(self.step) * self.length).saturating_add(narrow(within))
    }
}

/// How many operations start before the span has passed; `None` for a closed loop, of which nobody knows.
pub(crate) fn planned(rate: Rate, span: Span) -> Option<u64> {
    let nanoseconds = span.nanos();
    Some(match rate {
        Rate::Max => return None,
        Rate::PerSecond(rate) => even(rate, nanoseconds),
        Rate::Burst { operations, every } => {
            nanoseconds.div_ceil(every.nanos().max(1)).saturating_mul(operations.max(1).into())
        }
        Rate::Ramp { from, to } => {
            let twice = u128::from(nanoseconds) * (u128::from(from) + u128::from(to));
            narrow(twice.div_ceil(2 * SECOND))
        }
        Rate::Knee(knee) => {
            let length = knee.step(span).nanos();
            (0..knee.steps).map(|step| even(knee.rate(step), length)).fold(0, u64::saturating_add)
        }
    })
}

/// Operation k starts at k seconds / rate: as many as start before the span has passed.
fn even(rate: u32, nanoseconds: u64) -> u64 {
    narrow((u128::from(nanoseconds) * u128::from(rate)).div_ceil(SECOND))
}

/// When as many operations have been planned as the area below the growing rate says: in nanoseconds.
///
/// Only operations that IEEE 754 defines to the last bit, so that every machine plans the same.
fn ramp(from: u32, to: u32, span: u64, place: u64) -> u64 {
    if place == 0 {
        return 0;
    }
    let (from, to, place) = (f64::from(from), f64::from(to), place as f64);
    let slope = (to - from) / (span as f64 / 1e9);
    let root = (from * from + 2.0 * slope * place).max(0.0).sqrt();
    let nanoseconds = 2e9 * place / (from + root);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of floats saturates")]
    let nanoseconds = nanoseconds as u64;
    nanoseconds
}

fn narrow(wide: u128) -> u64 {
    u64::try_from(wide).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(rate: Rate, milliseconds: u64) -> Vec<u64> {
        let span = Span::from_millis(milliseconds);
        let mut pace = Pace::of(rate, span, 0, 1).unwrap();
        (0..planned(rate, span).unwrap()).map(|_| pace.next()).collect()
    }

    #[test]
    fn a_burst_starts_at_once() {
        let rate = Rate::Burst { operations: 3, every: Span::from_millis(400) };
        let (zero, one, two) = (0, 400_000_000, 800_000_000);
        assert_eq!(times(rate, 1000), [zero, zero, zero, one, one, one, two, two, two]);
        assert_eq!(times(rate, 800).len(), 6, "none starts when the phase is over");
    }

    #[test]
    fn a_ramp_has_the_area_of_its_rates() {
        for (from, to) in [(100, 5000), (5000, 100), (0, 1000), (700, 700)] {
            let found = times(Rate::Ramp { from, to }, 2000);
            assert_eq!(found.len() as u64, u64::from(from + to), "the mean rate for two seconds");
            assert!(found.is_sorted() && found.iter().all(|&at| at < 2_000_000_000));
            // Half the time, and as many operations as the first half of the area.
            let half = found.iter().filter(|&&at| at < 1_000_000_000).count() as f64;
            let area = f64::from(3 * from + to) / 4.0;
            assert!((half - area).abs() <= 1.0, "{from} to {to}: {half} in the first half, not {area}");
        }
    }

    #[test]
    fn a_knee_is_even_within_each_step() {
        let knee = Knee { from: 10, to: 40, steps: 3 };
        let found = times(Rate::Knee(knee), 3000);
        let in_step = |step: u64| {
            let within = step * 1_000_000_000..(step + 1) * 1_000_000_000;
            found.iter().copied().filter(|at| within.contains(at)).collect::<Vec<_>>()
        };
        assert_eq!([0, 1, 2].map(|step| in_step(step).len()), [10, 20, 40]);
        assert_eq!(found.len(), 70);
        assert!(in_step(1).windows(2).all(|pair| pair[1] - pair[0] == 50_000_000));
    }

    #[test]
    fn workers_share_every_schedule() {
        let span = Span::from_millis(1500);
        for rate in [
            Rate::PerSecond(70),
            Rate::Burst { operations: 5, every: Span::from_millis(300) },
            Rate::Ramp { from: 10, to: 90 },
            Rate::Knee(Knee { from: 20, to: 90, steps: 4 }),
        ] {
            let all = times(rate, 1500);
            let mut shared: Vec<u64> = Vec::new();
            for place in 0..3 {
                let mut pace = Pace::of(rate, span, place, 3).unwrap();
                let count = (all.len() as u64 - place).div_ceil(3);
                shared.extend((0..count).map(|_| pace.next()));
            }
            shared.sort_unstable();
            assert_eq!(shared, all, "{rate:?}");
        }
    }
}
