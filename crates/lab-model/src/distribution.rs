//! Quantities that are fixed or drawn, to the bit the same on every machine.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Span;

/// A quantity that can be drawn: a length of time in nanoseconds, or a number of bytes.
pub trait Quantity: Copy {
    /// The quantity as a whole number of its smallest unit.
    fn whole(self) -> u64;
    /// The quantity of so many of its smallest unit, at most the largest there is.
    fn of(whole: u64) -> Self;
}

impl Quantity for Span {
    fn whole(self) -> u64 {
        self.nanos()
    }

    fn of(whole: u64) -> Span {
        Span::from_nanos(whole)
    }
}

impl Quantity for u32 {
    fn whole(self) -> u64 {
        self.into()
    }

    fn of(whole: u64) -> u32 {
        u32::try_from(whole).unwrap_or(u32::MAX)
    }
}

/// A quantity that is fixed, or drawn anew each time.
///
/// The same number draws the same quantity on every machine: only additions, multiplications, divisions and
/// square roots are used, which IEEE 754 defines to the last bit. Logarithms and powers are made of these by the crate
/// `libm`; the standard library's differ from one machine to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution<T> {
    /// Always this much.
    Fixed(T),
    /// Each value from the first to the second, both among them, equally likely.
    Uniform(T, T),
    /// Exponential with this mean: many short ones and a few long ones.
    Exponential(T),
    /// Log-normal: half are at most the first, 99 % at most the second. A heavy tail.
    HeavyTail(T, T),
}

impl<T> From<T> for Distribution<T> {
    fn from(fixed: T) -> Distribution<T> {
        Distribution::Fixed(fixed)
    }
}

/// `z` of the 99th percentile of the normal distribution.
const Z_99: f64 = 2.326_347_874_040_840_8;

impl<T: Quantity> Distribution<T> {
    /// True when nothing but zero is ever drawn.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        match self {
            Distribution::Fixed(fixed) => fixed.whole() == 0,
            Distribution::Uniform(_, to) => to.whole() == 0,
            Distribution::Exponential(mean) => mean.whole() == 0,
            Distribution::HeavyTail(p50, _) => p50.whole() == 0,
        }
    }

    /// The same with every number of it larger by so much: the fixed quantity, both ends, the mean, or the median and
    /// the 99th percentile.
    #[must_use]
    pub fn shifted(&self, by: T) -> Distribution<T> {
        let up = |quantity: T| T::of(quantity.whole().saturating_add(by.whole()));
        match *self {
            Distribution::Fixed(fixed) => Distribution::Fixed(up(fixed)),
            Distribution::Uniform(from, to) => Distribution::Uniform(up(from), up(to)),
            Distribution::Exponential(mean) => Distribution::Exponential(up(mean)),
            Distribution::HeavyTail(p50, p99) => Distribution::HeavyTail(up(p50), up(p99)),
        }
    }

    /// The quantity that this number draws. Numbers that differ in one bit draw independently.
    #[must_use]
    pub fn draw(&self, number: u64) -> T {
        let word = || mix(number);
        let fraction = || (((word() >> 11) | 1) as f64) / ((1_u64 << 53) as f64);
        match *self {
            Distribution::Fixed(fixed) => fixed,
            Distribution::Uniform(from, to) => {
                let (from, to) = (from.whole(), to.whole().max(from.whole()));
                let width = u128::from(to - from) + 1;
                let above = (u128::from(word()) * width) >> 64;
                T::of(from + u64::try_from(above).unwrap_or(u64::MAX))
            }
            Distribution::Exponential(mean) => T::of(rounded(-libm::log(fraction()) * mean.whole() as f64)),
            Distribution::HeavyTail(p50, p99) => {
                let median = p50.whole().max(1) as f64;
                let sigma = libm::log(p99.whole().max(1) as f64 / median) / Z_99;
                T::of(rounded(median * libm::exp(sigma * normal_quantile(fraction()))))
            }
        }
    }
}

/// In lab files and reports: `2ms`, `{ uniform: [1ms, 5ms] }`, `{ exponential: 3ms }`, `{ p50: 1ms, p99: 20ms }`.
impl<T: fmt::Display> fmt::Display for Distribution<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Distribution::Fixed(fixed) => write!(f, "{fixed}"),
            Distribution::Uniform(from, to) => write!(f, "{{ uniform: [{from}, {to}] }}"),
            Distribution::Exponential(mean) => write!(f, "{{ exponential: {mean} }}"),
            Distribution::HeavyTail(p50, p99) => write!(f, "{{ p50: {p50}, p99: {p99} }}"),
        }
    }
}

/// The finaliser of SplitMix64 (Steele et al. 2014): a word in which every bit depends on every bit of `word`.
#[must_use]
pub const fn mix(word: u64) -> u64 {
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of floats saturates")]
fn rounded(value: f64) -> u64 {
    value.round() as u64
}

/// The value below which a normally distributed one lies with this probability (between 0 and 1); P. Acklam's
/// rational approximation, to 9 digits.
#[must_use]
pub fn normal_quantile(probability: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 6] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
        1.0,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 5] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
        1.0,
    ];
    const TAIL: f64 = 0.024_25;
    let polynomial = |terms: &[f64], at: f64| terms.iter().fold(0.0, |sum, term| sum * at + term);
    let tail = |probability: f64| {
        let at = (-2.0 * libm::log(probability)).sqrt();
        polynomial(&C, at) / polynomial(&D, at)
    };
    if probability < TAIL {
        tail(probability)
    } else if probability > 1.0 - TAIL {
        -tail(1.0 - probability)
    } else {
        let at = probability - 0.5;
        at * polynomial(&A, at * at) / polynomial(&B, at * at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Span = Span::from_millis;

    /// 100,000 draws, sorted.
    fn drawn(distribution: Distribution<Span>) -> Vec<u64> {
        let mut drawn: Vec<u64> = (0..100_000).map(|number| distribution.draw(number).nanos()).collect();
        drawn.sort_unstable();
        drawn
    }

    fn near(found: u64, expected: u64, permille: u64) {
        assert!(found.abs_diff(expected) <= expected * permille / 1000, "{found}, not about {expected}");
    }

    #[test]
    fn the_normal_quantile_is_that_of_mathematics() {
        for (probability, z) in
            [(0.5, 0.0), (0.99, Z_99), (0.01, -Z_99), (0.841_344_746, 1.0), (1e-6, -4.753_424)]
        {
            assert!((normal_quantile(probability) - z).abs() < 1e-6, "{probability}");
        }
    }

    #[test]
    fn draws_have_the_shape_that_was_asked_for() {
        let uniform = drawn(Distribution::Uniform(MS(1), MS(5)));
        assert!(uniform[0] >= 1_000_000 && uniform[99_999] <= 5_000_000);
        near(uniform[50_000], 3_000_000, 10);
        near(uniform[10_000], 1_400_000, 20);
        let exponential = drawn(Distribution::Exponential(MS(3)));
        near(exponential.iter().sum::<u64>() / 100_000, 3_000_000, 15);
        near(exponential[50_000], 2_079_442, 20);
        let heavy = drawn(Distribution::HeavyTail(MS(1), MS(20)));
        near(heavy[50_000], 1_000_000, 30);
        near(heavy[99_000], 20_000_000, 60);
        assert!(heavy[99_999] > 100_000_000, "the tail goes on: {}", heavy[99_999]);
        assert_eq!(drawn(MS(2).into())[0], 2_000_000);
    }

    /// A change here changes what every lab draws.
    #[test]
    fn the_same_number_draws_the_same_for_ever() {
        let all = [
            Distribution::Uniform(MS(1), MS(5)),
            Distribution::Exponential(MS(3)),
            Distribution::HeavyTail(MS(1), MS(20)),
        ];
        let drawn = all.map(|distribution| [1, 42].map(|number| distribution.draw(number).nanos()));
        assert_eq!(drawn, [[2_352_666, 3_614_863], [3_252_650, 1_275_248], [584_151, 1_663_853]]);
    }

    #[test]
    fn the_ends_hold() {
        let whole = Distribution::Uniform(Span::from_nanos(0), Span::from_nanos(u64::MAX));
        assert!((0..100).any(|number| whole.draw(number).nanos() > u64::MAX / 2));
        assert_eq!(Distribution::Uniform(7_u32, 7).draw(3), 7);
        assert_eq!(Distribution::Exponential(0_u32).draw(3), 0);
        assert!(Distribution::Exponential(MS(0)).is_zero() && !Distribution::Uniform(MS(0), MS(1)).is_zero());
    }

    #[test]
    fn distributions_are_written_as_in_lab_files() {
        assert_eq!(Distribution::from(MS(2)).to_string(), "2ms");
        assert_eq!(Distribution::Uniform(MS(1), MS(5)).to_string(), "{ uniform: [1ms, 5ms] }");
        assert_eq!(Distribution::Exponential(MS(3)).to_string(), "{ exponential: 3ms }");
        assert_eq!(Distribution::HeavyTail(MS(1), MS(20)).to_string(), "{ p50: 1ms, p99: 20ms }");
    }
}
