//! Whether two sides of runs differ by more than runs of one and the same lab do: a permutation test over all numbers at
//! once.
//!
//! If nothing has changed, which of the runs stand before and which after is as good as drawn. So all divisions of the runs
//! into sides of these sizes are tried, and it is counted in how many of them chance alone would have made a difference as
//! clear as the one that was seen. How clear it is, is the share of a number's spread over all runs that lies between the
//! sides (R², for two sides another scale of Student's t). That makes no assumption on how a number is distributed from
//! run to run.
//!
//! Many numbers are looked at, and one of them is always the most unlucky. So a number is held against the clearest
//! difference of *any* number in each division: the step-down maxT procedure of Westfall and Young ("Resampling-Based
//! Multiple Testing", 1993, algorithm 2.8), which takes numbers that go together for what they are and keeps the chance
//! that any number is marked without a reason below [`ALARMS`].

#![cfg_attr(
    not(test),
    expect(
        clippy::arithmetic_side_effects,
        reason = "what is added here are places among runs, and counts of divisions, of which there are few"
    )
)]

use crate::draw::Draw;

/// How often two sides of runs of one and the same lab may have any number marked, as a share of such pairs. Below the five
/// of a hundred that are promised: runs that follow each other drift a little together with their machine.
pub const ALARMS: f64 = 0.03;

/// The most divisions that are all tried; where there are more, this many are drawn.
const DIVISIONS_MAX: u64 = 5_000;

/// The seed of drawn divisions: the same runs always give the same answer.
const SEED: u64 = 0x6c61_6220_6469_6666;

/// Differences of rounding are none.
const ROUNDING: f64 = 1e-9;

/// True when sides of so many runs can tell a change from chance at all: at 4 and 4, 3 and 4, or 1 and 33.
pub(super) fn enough(before: usize, after: usize) -> bool {
    if before == 0 || after == 0 {
        return false;
    }
    // With sides of one size, a division and the one that exchanges its sides are equally clear.
    let alike = if before == after { 2.0 } else { 1.0 };
    alike / float(divisions(before + after, before)) <= ALARMS
}

/// For each number the chance that a difference as clear as the one between its first `before` values and the others would
/// come about in *any* of the numbers if nothing had changed. All numbers have as many values.
pub(super) fn chances(numbers: &[Vec<f64>], before: usize) -> Vec<f64> {
    let Some(runs) = numbers.first().map(Vec::len) else { return Vec::new() };
    let scaled: Vec<Option<Vec<f64>>> = numbers.iter().map(|values| scaled(values)).collect();
    let first: Vec<usize> = (0..before).collect();
    // A number that is the same in all runs differs in no division.
    let mut by_clearness: Vec<(usize, &[f64], f64)> = scaled
        .iter()
        .enumerate()
        .filter_map(|(place, values)| {
            let values = values.as_deref()?;
            Some((place, values, clearness(values, &first)))
        })
        .collect();
    by_clearness.sort_by(|one, other| other.2.total_cmp(&one.2));
    let mut as_clear = vec![0_u64; by_clearness.len()];
    let tried = each_division(runs, before, |side| {
        let mut clearest = 0.0_f64;
        for ((_, values, seen), count) in by_clearness.iter().zip(&mut as_clear).rev() {
            clearest = clearest.max(clearness(values, side));
            *count += u64::from(clearest >= seen - ROUNDING);
        }
    });
    let mut chances = vec![1.0; numbers.len()];
    let mut least = 0.0_f64;
    for ((place, ..), count) in by_clearness.iter().zip(as_clear) {
        // A less clear difference is no less likely.
        least = least.max(float(count) / float(tried));
        chances[*place] = least;
    }
    chances
}

/// The values with their mean at 0 and the sum of their squares at 1; `None` where all are the same. Positive values by
/// their logarithms: what takes longer varies by more.
fn scaled(values: &[f64]) -> Option<Vec<f64>> {
    let positive = values.iter().all(|value| *value > 0.0);
    let mut values: Vec<f64> =
        values.iter().map(|value| if positive { value.ln() } else { *value }).collect();
    let mean = values.iter().sum::<f64>() / lab_model::units::length(values.len());
    let largest = values.iter().fold(0.0_f64, |largest, value| largest.max(value.abs()));
    values.iter_mut().for_each(|value| *value -= mean);
    let norm = values.iter().map(|value| value * value).sum::<f64>().sqrt();
    if norm.is_nan() || norm <= ROUNDING * largest {
        return None;
    }
    values.iter_mut().for_each(|value| *value /= norm);
    Some(values)
}

/// How clear the difference is between the runs of one side and all others. The share of the spread between the sides is the
/// square of this but for a factor, which is the same in every division into sides of these sizes.
fn clearness(values: &[f64], side: &[usize]) -> f64 {
    side.iter().map(|place| values[*place]).sum::<f64>().abs()
}

/// How many ways there are to choose so many of so many; at most one more than [`DIVISIONS_MAX`].
fn divisions(of: usize, chosen: usize) -> u64 {
    let mut ways = 1_u64;
    for place in 0..chosen.min(of - chosen) {
        let (more, less) = (u64::try_from(of - place), u64::try_from(place + 1));
        let (Ok(more), Ok(less)) = (more, less) else { return DIVISIONS_MAX + 1 };
        ways = ways.saturating_mul(more) / less;
        if ways > DIVISIONS_MAX {
            return DIVISIONS_MAX + 1;
        }
    }
    ways
}

/// Looks at all divisions, or at the one that was seen and many that are drawn, by their first sides. Returns at how many.
fn each_division(runs: usize, before: usize, mut look: impl FnMut(&[usize])) -> u64 {
    let mut side: Vec<usize> = (0..before).collect();
    let ways = divisions(runs, before);
    if ways <= DIVISIONS_MAX {
        loop {
            look(&side);
            // The next one: the last place that can still rise does, and those behind it follow closely.
            let Some(place) = (0..before).rev().find(|place| side[*place] < runs - before + place) else {
                return ways;
            };
            side[place] += 1;
            for behind in place + 1..before {
                side[behind] = side[behind - 1] + 1;
            }
        }
    }
    look(&side);
    let mut order: Vec<usize> = (0..runs).collect();
    let mut draw = Draw::new(SEED);
    for _ in 1..DIVISIONS_MAX {
        for place in 0..before {
            order.swap(place, place + draw.place(runs - place));
        }
        look(&order[..before]);
    }
    DIVISIONS_MAX
}

fn float(count: u64) -> f64 {
    lab_model::units::float(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_runs_cannot_tell() {
        for (before, after) in [(0, 9), (1, 1), (1, 32), (2, 6), (3, 3)] {
            assert!(!enough(before, after), "{before} and {after}");
        }
        for (before, after) in [(4, 4), (3, 4), (2, 7), (1, 33), (5, 5), (10, 10), (500, 500)] {
            assert!(enough(before, after), "{before} and {after}");
        }
    }

    #[test]
    fn every_division_is_looked_at_once() {
        let mut seen = Vec::new();
        assert_eq!(each_division(6, 3, |side| seen.push(side.to_vec())), 20);
        assert_eq!(seen[0], [0, 1, 2]);
        seen.dedup();
        assert_eq!((seen.len(), seen.is_sorted()), (20, true));
        let mut count = 0_u64;
        assert_eq!(each_division(20, 10, |_| count += 1), count);
        assert_eq!(count, DIVISIONS_MAX);
    }

    #[test]
    fn a_clear_difference_is_as_rare_as_the_divisions_allow() {
        let apart = vec![1.0, 1.1, 0.9, 1.0, 1.05, 2.0, 2.1, 1.9, 2.0, 2.05];
        let mixed = vec![1.0, 1.3, 1.2, 1.6, 1.5, 1.1, 1.4, 1.7, 1.5, 1.8];
        let found = chances(&[mixed.clone(), apart.clone(), vec![7.0; 10]], 5);
        // 252 divisions, and the one with its sides exchanged is as clear.
        assert!((found[1] - 2.0 / 252.0).abs() < 1e-12, "{found:?}");
        assert!(found[0] > 0.2 && (found[2] - 1.0).abs() < 1e-12, "{found:?}");
        // Counts that are the same on each side are no less clear.
        let counts = chances(&[vec![0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0]], 4);
        assert!((counts[0] - 2.0 / 70.0).abs() < 1e-12, "{counts:?}");
        assert_eq!(chances(&[], 3), Vec::<f64>::new());
    }
}
