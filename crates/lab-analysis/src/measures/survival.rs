//! How long things last of which some had not ended when they were last seen.
//!
//! What had not ended has lasted at least until then, and is not left out: it counts as the estimator of Kaplan and Meier
//! has it ("Nonparametric estimation from incomplete observations", 1958). Where the unfinished ones are also the longest,
//! that is the plain rank of all of them.

/// Everything that was seen to last for one length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// The length.
    pub(crate) at: u64,
    /// Those that ended.
    pub(crate) ended: u64,
    /// Those that had not when they were last seen.
    pub(crate) open: u64,
}

/// A value, or a lower bound of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Estimate {
    pub(crate) value: u64,
    /// The value is this or more.
    pub(crate) at_least: bool,
}

/// Where `value` takes rounding errors to: far below one part of the largest count.
const ROUNDING: f64 = 1e-12;

/// The share that has ended, over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Survival {
    /// Rising: a length at which some ended, and the share that had ended by then.
    ended: Vec<(u64, f64)>,
    /// Rising: a length, and how many were seen to last for it at most.
    seen: Vec<(u64, u64)>,
    all: u64,
}

impl Survival {
    /// Takes the steps, each of another length and in rising order.
    pub(crate) fn of(steps: impl Iterator<Item = Step>) -> Survival {
        let steps: Vec<Step> = steps.collect();
        let count = |step: &Step| step.ended.saturating_add(step.open);
        let all = steps.iter().map(count).fold(0, u64::saturating_add);
        let mut survival = Survival { all, ..Survival::default() };
        // From one unfinished to the next the share falls in proportion, so it is exact up to the first of them.
        let (mut left, mut since, mut share) = (all, all, 1.0);
        for step in &steps {
            if step.ended > 0 {
                let after = left.saturating_sub(step.ended);
                let going_on = share * after as f64 / since.max(1) as f64;
                survival.ended.push((step.at, 1.0 - going_on));
            }
            left = left.saturating_sub(step.ended);
            if step.open > 0 {
                // Who was last seen at the moment when others ended had outlived them.
                share *= left as f64 / since.max(1) as f64;
                left = left.saturating_sub(step.open);
                since = left;
            }
            let before = survival.seen.last().map_or(0, |&(_, seen)| seen);
            survival.seen.push((step.at, before.saturating_add(count(step))));
        }
        survival
    }

    /// The length that a share from 0 to 1 lasts for at most. Where not so many have ended, what is certain: the rank
    /// among all lengths that were seen, but not less than the last that ended.
    pub(crate) fn quantile(&self, share: f64) -> Estimate {
        let known = self.ended.partition_point(|&(_, ended)| ended + ROUNDING < share);
        if let Some(&(value, _)) = self.ended.get(known) {
            return Estimate { value, at_least: false };
        }
        let rank = (self.all as f64 * share).ceil().max(1.0);
        let place = self.seen.partition_point(|&(_, seen)| (seen as f64) < rank);
        let seen = self.seen.get(place).or(self.seen.last()).map_or(0, |&(at, _)| at);
        let last = self.ended.last().map_or(0, |&(at, _)| at);
        Estimate { value: seen.max(last), at_least: self.all > 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The estimator as the book has it: one after the other, the share multiplied by what is left of those at risk.
    fn naive(lengths: &[(u64, bool)], share: f64) -> Option<u64> {
        let mut lengths = lengths.to_vec();
        // Of equal lengths those that ended come first.
        lengths.sort_by_key(|&(at, open)| (at, open));
        let mut going_on = 1.0;
        for (place, &(at, open)) in lengths.iter().enumerate() {
            let at_risk = (lengths.len() - place) as f64;
            if !open {
                going_on *= (at_risk - 1.0) / at_risk;
                // All of one length end together.
                let last = lengths.get(place + 1).is_none_or(|&next| next != (at, false));
                if last && 1.0 - going_on + 1e-9 >= share {
                    return Some(at);
                }
            }
        }
        None
    }

    fn of(lengths: &[(u64, bool)]) -> Survival {
        let mut ats: Vec<u64> = lengths.iter().map(|&(at, _)| at).collect();
        ats.sort_unstable();
        ats.dedup();
        let count = |at: u64, open: bool| lengths.iter().filter(|&&one| one == (at, open)).count() as u64;
        Survival::of(ats.into_iter().map(|at| Step { at, ended: count(at, false), open: count(at, true) }))
    }

    #[test]
    fn it_agrees_with_the_estimator_as_it_is_defined() {
        // A generator of its own (Knuth's MMIX), so that each case is the same every time.
        let mut state = 14_u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        let mut bounds = 0;
        for _ in 0..2000 {
            let lengths: Vec<(u64, bool)> = (0..=next(40)).map(|_| (next(25), next(4) == 0)).collect();
            let survival = of(&lengths);
            let mut before = 0;
            for share in [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1.0] {
                let found = survival.quantile(share);
                match naive(&lengths, share) {
                    Some(at) => assert_eq!(found, Estimate { value: at, at_least: false }, "{lengths:?}"),
                    None => {
                        bounds += 1;
                        assert!(found.at_least, "{share} of {lengths:?}");
                        assert!(lengths.iter().any(|&(at, _)| at == found.value));
                    }
                }
                assert!(found.value >= before, "{share} of {lengths:?}");
                before = found.value;
            }
        }
        assert!(bounds > 1000, "{bounds}");
    }

    #[test]
    fn what_never_ended_is_the_plain_rank_where_it_is_longest() {
        let survival = of(&[(1, false), (2, false), (3, false), (50, true)]);
        let check = |share, value, at_least| {
            assert_eq!(survival.quantile(share), Estimate { value, at_least }, "{share}");
        };
        check(0.25, 1, false);
        check(0.5, 2, false);
        check(0.75, 3, false);
        check(0.76, 50, true);
        check(1.0, 50, true);
    }

    #[test]
    fn a_bound_is_what_is_certain() {
        // Whatever became of the nine, the third of ten need not have lasted longer than 3.
        let lengths: Vec<(u64, bool)> = (1..=10).map(|at| (at, at > 1)).collect();
        assert_eq!(of(&lengths).quantile(0.1), Estimate { value: 1, at_least: false });
        assert_eq!(of(&lengths).quantile(0.3), Estimate { value: 3, at_least: true });
        assert_eq!(of(&[]).quantile(0.5), Estimate { value: 0, at_least: false });
        assert_eq!(of(&[(7, true)]).quantile(0.5), Estimate { value: 7, at_least: true });
    }
}
