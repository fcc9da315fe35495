//! Seeded numbers (SplitMix64, Steele et al. 2014): one addition and one mix a number, the same everywhere.

use lab_model::mix;

const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

/// A stream of numbers that its seed determines.
#[derive(Clone, Debug)]
pub(crate) struct Random {
    state: u64,
}

impl Random {
    /// A stream for the thing that `parts` name: another name is another stream.
    pub(crate) fn new(seed: u64, parts: &[u64]) -> Random {
        let state = parts.iter().fold(mix(seed), |state, part| mix(state.wrapping_add(GOLDEN) ^ mix(*part)));
        Random { state }
    }

    pub(crate) fn word(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GOLDEN);
        mix(self.state)
    }

    /// A number below `limit`, which is at least 1, each equally likely (Lemire 2019).
    pub(crate) fn below(&mut self, limit: u32) -> u32 {
        let limit = u64::from(limit.max(1));
        let unfair = (1_u64 << 32) % limit;
        loop {
            let product = (self.word() >> 32) * limit;
            if product & 0xFFFF_FFFF >= unfair {
                return u32::try_from(product >> 32).unwrap_or(0);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_splitmix64() {
        // The first numbers of the reference implementation for the state 1234567.
        let mut random = Random { state: 1_234_567 };
        let drawn = [random.word(), random.word(), random.word()];
        assert_eq!(drawn, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn every_number_below_the_limit_is_equally_likely() {
        let mut random = Random::new(42, &[1]);
        let mut counts = [0_u32; 7];
        for _ in 0..70_000 {
            counts[random.below(7) as usize] += 1;
        }
        // Six standard deviations of a fair draw (93).
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 560), "{counts:?}");
        assert_eq!((0..100).map(|_| random.below(1)).max(), Some(0));
    }

    #[test]
    fn another_name_is_another_stream() {
        let first = |parts: &[u64]| Random::new(42, parts).word();
        assert_eq!(first(&[1, 2]), first(&[1, 2]));
        assert_ne!(first(&[1, 2]), first(&[2, 1]));
        assert_ne!(first(&[1]), first(&[1, 0]));
    }
}
