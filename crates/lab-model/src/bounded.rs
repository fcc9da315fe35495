//! Sums of numbers that somebody else wrote down. They stop at the end of their range: a forged count must neither
//! end the program nor wrap round to a small one.

use std::borrow::Borrow;

/// A count that stays within its range.
pub trait Bounded: Copy {
    /// Adds; at most the largest number of its type.
    fn raise(&mut self, by: Self);

    /// Takes away; at least the smallest number of its type.
    fn lower(&mut self, by: Self);
}

/// A sum that stays within its range.
pub trait Total<Number> {
    /// The sum of all; at most the largest number of its type.
    fn total(self) -> Number;
}

macro_rules! bounded {
    ($($number:ty)*) => {$(
        impl Bounded for $number {
            fn raise(&mut self, by: $number) {
                *self = self.saturating_add(by);
            }

            fn lower(&mut self, by: $number) {
                *self = self.saturating_sub(by);
            }
        }

        impl<Numbers> Total<$number> for Numbers
        where
            Numbers: Iterator,
            Numbers::Item: Borrow<$number>,
        {
            fn total(self) -> $number {
                self.fold(0, |sum: $number, number| sum.saturating_add(*number.borrow()))
            }
        }
    )*};
}

bounded!(u8 u16 u32 u64 u128 usize i64 i128);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_stops_at_the_end_of_its_range() {
        let mut count = u64::MAX - 1;
        count.raise(5);
        assert_eq!(count, u64::MAX);
        count.lower(u64::MAX);
        count.lower(1);
        assert_eq!(count, 0);
        let total: u64 = [u64::MAX, 1].iter().total();
        assert_eq!(total, u64::MAX);
        let total: u8 = [200_u8, 55].into_iter().total();
        assert_eq!(total, 255);
    }
}
