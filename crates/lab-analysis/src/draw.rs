//! Numbers that depend on nothing but a seed: for parts that are drawn again, and for divisions of runs.

use lab_model::mix;

/// A small generator of numbers that depend on nothing but the seed (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) const fn new(seed: u64) -> Draw {
        Draw(seed)
    }

    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// A place in a list of this length, which is not empty.
    pub(crate) fn place(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap_or(0)
    }

    /// A number below `bound`, evenly drawn to within 2^-64.
    fn below(&mut self, bound: u64) -> u64 {
        u64::try_from(u128::from(self.next()).saturating_mul(u128::from(bound)) >> 64).unwrap_or(0)
    }
}
