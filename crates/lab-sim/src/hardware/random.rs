//! The simulator's random numbers: streams that a seed determines.

use lab_model::mix;

/// A stream of numbers that its seed determines (SplitMix64, Steele et al. 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

/// The quantiles of an exponential distribution in the middle of each 64th, in parts of 1024 of its mean.
#[rustfmt::skip]
const EXPONENTIAL: [u16; 64] = [
    8, 24, 41, 58, 75, 92, 110, 128, 146, 165, 184, 203, 223, 243, 263, 284,
    305, 327, 349, 372, 395, 419, 444, 469, 494, 520, 547, 575, 603, 633, 663, 694,
    726, 759, 793, 828, 865, 903, 942, 983, 1026, 1070, 1117, 1166, 1217, 1271, 1328, 1388,
    1452, 1520, 1594, 1672, 1758, 1851, 1953, 2067, 2195, 2342, 2513, 2719, 2976, 3320, 3844, 4968,
];

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

impl Random {
    /// A stream for one purpose: another purpose is another stream.
    pub(crate) const fn new(seed: u64, purpose: u64) -> Random {
        Random { state: mix(seed.wrapping_add(mix(purpose.wrapping_add(GOLDEN)))) }
    }

    pub(crate) const fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A draw from an exponential distribution with this mean, in whole numbers.
    pub(crate) fn exponential(&mut self, mean: u64) -> u64 {
        let place = usize::try_from(self.word() >> 58).unwrap_or(0);
        mean * u64::from(EXPONENTIAL[place]) / 1024
    }

    /// A number below `limit`, which is at least 1 and small: the bias is below `limit` / 2^64.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        let product = u128::from(self.word()) * limit as u128;
        usize::try_from(product >> 64).unwrap_or(0)
    }

    /// The numbers below `count` in an order in which each is as likely as any other (Fisher-Yates).
    pub(crate) fn permutation(&mut self, count: u16) -> Vec<u16> {
        let mut order: Vec<u16> = (0..count).collect();
        for place in (1..order.len()).rev() {
            let other = self.below(place + 1);
            order.swap(place, other);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permutation_holds_every_number_and_follows_from_its_seed() {
        let order = |seed| Random::new(seed, 1).permutation(64);
        let mut sorted = order(7);
        sorted.sort_unstable();
        assert_eq!(sorted, (0..64).collect::<Vec<u16>>());
        assert_eq!(order(7), order(7));
        assert_ne!(order(7), order(8));
        assert!(Random::new(1, 1).permutation(0).is_empty());
    }

    #[test]
    fn all_orders_of_three_are_equally_likely() {
        let mut counts = std::collections::BTreeMap::<Vec<u16>, u32>::new();
        for seed in 0..6000 {
            *counts.entry(Random::new(seed, 3).permutation(3)).or_default() += 1;
        }
        assert_eq!(counts.len(), 6);
        // Six standard deviations of a fair draw (29).
        assert!(counts.values().all(|count| count.abs_diff(1000) < 174), "{counts:?}");
    }
}
