//! A histogram of bounded size and bounded relative error.

/// Counts by size, each known to within 1/32 of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
    sum: u128,
}

const PARTS_BITS: u32 = 5;
const PARTS: u64 = 1 << PARTS_BITS;
const BUCKETS: usize = (64 - PARTS_BITS as usize + 1) << PARTS_BITS;

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0, max: 0, sum: 0 }
    }
}

impl Histogram {
    pub(crate) fn record(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.total += 1;
        self.max = self.max.max(value);
        self.sum += u128::from(value);
    }

    /// How many values there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The largest value.
    #[must_use]
    pub fn max(&self) -> Option<u64> {
        (self.total > 0).then_some(self.max)
    }

    /// The mean, rounded down.
    #[must_use]
    pub fn mean(&self) -> Option<u64> {
        u64::try_from(self.sum.checked_div(u128::from(self.total))?).ok()
    }

    /// The value that `permille` of 1000 do not exceed, at most 1/32 too large; `None` without any.
    #[must_use]
    pub fn at(&self, permille: u64) -> Option<u64> {
        let rank = u128::from(self.total) * u128::from(permille.min(1000));
        let mut seen = 0_u128;
        for (place, count) in self.counts.iter().enumerate() {
            seen += u128::from(*count) * 1000;
            if *count > 0 && seen >= rank {
                return Some(highest(place).min(self.max));
            }
        }
        None
    }
}

fn bucket(value: u64) -> usize {
    if value < PARTS {
        return usize::try_from(value).unwrap_or(0);
    }
    let shift = value.ilog2() - PARTS_BITS;
    let part = (value >> shift) - PARTS;
    usize::try_from((u64::from(shift) + 1) * PARTS + part).unwrap_or(0)
}

/// The largest value of a bucket.
fn highest(place: usize) -> u64 {
    let (shift, part) = (place as u64 / PARTS, place as u64 % PARTS);
    if shift == 0 {
        return part;
    }
    let lowest = (PARTS + part) << (shift - 1);
    lowest + ((1 << (shift - 1)) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket() {
        for value in (0..200).chain([1_000, 12_345, 1 << 40, u64::MAX / 3, u64::MAX]) {
            let top = highest(bucket(value));
            assert!(top >= value && top - value <= value / 32, "{value}: {top}");
        }
    }

    #[test]
    fn quantiles_of_a_known_list() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.at(500), histogram.max(), histogram.mean()), (None, None, None));
        for value in 1..=1000 {
            histogram.record(value * 1000);
        }
        for (permille, exact) in [(1, 1_000), (500, 500_000), (990, 990_000), (1000, 1_000_000)] {
            let found = histogram.at(permille).unwrap();
            assert!(found >= exact && found - exact <= exact / 32 + 1, "{permille}: {found}");
        }
        assert_eq!((histogram.count(), histogram.mean()), (1000, Some(500_500)));
    }
}
