//! The times in which the warden did not look.

/// The gaps in the warden's looks, in nanoseconds of the shared clock: in the order of time, none touching another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gaps(Vec<(u64, u64)>);

impl Gaps {
    /// Puts gaps as they were recorded in order.
    pub(crate) fn new(mut recorded: Vec<(u64, u64)>) -> Gaps {
        recorded.retain(|(from, until)| from < until);
        recorded.sort_unstable();
        let mut gaps: Vec<(u64, u64)> = Vec::new();
        for (from, until) in recorded {
            match gaps.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(until),
                _ => gaps.push((from, until)),
            }
        }
        Gaps(gaps)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The gap that shares a moment with this time, the first if there are several.
    pub(crate) fn within(&self, from: u64, until: u64) -> Option<(u64, u64)> {
        let place = self.0.partition_point(|gap| gap.1 <= from);
        self.0.get(place).copied().filter(|gap| gap.0 < until || gap.0 == from)
    }

    /// How much of a time lies in gaps.
    pub(crate) fn shared(&self, from: u64, until: u64) -> u64 {
        let first = self.0.partition_point(|gap| gap.1 <= from);
        let touched = self.0[first..].iter().take_while(|gap| gap.0 < until);
        touched.map(|gap| gap.1.min(until).saturating_sub(gap.0.max(from))).fold(0, u64::saturating_add)
    }

    /// How much of a time lies outside of gaps.
    pub(crate) fn outside(&self, from: u64, until: u64) -> u64 {
        until.saturating_sub(from).saturating_sub(self.shared(from, until))
    }

    /// Each from and until when.
    pub(crate) fn list(&self) -> &[(u64, u64)] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_put_in_order_and_joined() {
        let gaps = Gaps::new(vec![(50, 60), (10, 20), (20, 30), (9, 9), (8, 3), (52, 70)]);
        assert_eq!(gaps.list(), [(10, 30), (50, 70)]);
        assert_eq!(gaps.within(0, 10), None);
        assert_eq!(gaps.within(0, 11), Some((10, 30)));
        assert_eq!(gaps.within(30, 50), None);
        assert_eq!(gaps.within(15, 15), Some((10, 30)));
        assert_eq!(gaps.within(29, 90), Some((10, 30)));
        assert_eq!(gaps.within(70, 90), None);
        assert_eq!([gaps.outside(0, 10), gaps.outside(15, 55), gaps.outside(55, 15)], [10, 20, 0]);
        assert_eq!([gaps.shared(0, 10), gaps.shared(15, 55), gaps.shared(0, 99)], [0, 20, 40]);
    }
}
