//! When nobody watched the clients, and what may have passed unseen.

use lab_model::PhaseKind;

use crate::{
    findings::{Unwatched, UnwatchedGap},
    participants::timeline::Timeline,
    show::duration,
};

/// The gaps that are listed.
const LISTED_MAX: usize = 16;

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

    /// What a report says of them; `None` without any.
    pub(crate) fn finish(&self, timeline: &Timeline, kept_by_kernel: bool) -> Option<Unwatched> {
        if self.is_empty() {
            return None;
        }
        let length = |gap: &(u64, u64)| gap.1.saturating_sub(gap.0);
        let mut longest = self.0.clone();
        longest.sort_by_key(|gap| (std::cmp::Reverse(length(gap)), gap.0));
        longest.truncate(LISTED_MAX);
        longest.sort_unstable();
        let gaps = longest.iter().map(|gap| UnwatchedGap {
            began_ns: gap.0.saturating_sub(timeline.origin),
            lasted_ns: length(gap),
            phases: phases(timeline, *gap),
        });
        Some(Unwatched {
            times: u64::try_from(self.0.len()).unwrap_or(u64::MAX),
            total_ns: self.0.iter().map(length).fold(0, u64::saturating_add),
            longest_ns: self.0.iter().map(length).max().unwrap_or(0),
            gaps: gaps.collect(),
            kept_by_kernel,
            late: 0,
            doubtful: 0,
        })
    }
}

fn phases(timeline: &Timeline, (from, until): (u64, u64)) -> Vec<String> {
    let mut touched: Vec<PhaseKind> = Vec::new();
    for phase in &timeline.phases {
        let touches = phase.began < until && phase.ended.is_none_or(|ended| ended > from);
        if touches && !touched.contains(&phase.kind) {
            touched.push(phase.kind);
        }
    }
    touched.into_iter().map(|kind| kind.name().to_owned()).collect()
}

/// In one sentence: how long nobody watched, when, and what that means.
pub(crate) fn sentence(unwatched: &Unwatched, deadline_ns: u64) -> String {
    let times = match unwatched.times {
        1 => String::new(),
        times => format!(" in {times} gaps"),
    };
    let longest = unwatched.gaps.iter().max_by_key(|gap| gap.lasted_ns);
    let when = longest.map(|gap| {
        let which = if unwatched.times == 1 { "" } else { "the longest " };
        let phases =
            if gap.phases.is_empty() { String::new() } else { format!(" ({})", gap.phases.join(", ")) };
        let length =
            if unwatched.times == 1 { String::new() } else { format!("of {} ", duration(gap.lasted_ns)) };
        format!(", {which}{length}from {} on{phases}", duration(gap.began_ns))
    });
    let meaning = if unwatched.kept_by_kernel {
        "the kernel kept the deadlines meanwhile".to_owned()
    } else {
        format!("the deadline of {} was not enforced then", duration(deadline_ns))
    };
    let (total, when) = (duration(unwatched.total_ns), when.unwrap_or_default());
    let mut text = format!("Nobody watched the clients for {total}{times}{when}: {meaning}");
    match (unwatched.late, unwatched.doubtful) {
        (0, 0) if unwatched.kept_by_kernel => {}
        (0, 0) => text.push_str(", and the traces show that nobody was past it"),
        (late, doubtful) => {
            if late > 0 {
                let noun = if late == 1 { "answer" } else { "answers" };
                text.push_str(&format!("; {late} {noun} came after it, and nobody was killed"));
            }
            if doubtful > 0 {
                let noun = if doubtful == 1 { "event" } else { "events" };
                text.push_str(&format!("; {doubtful} {noun} may have lain unread past it"));
            }
        }
    }
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_put_in_order_and_joined() {
        let gaps = Gaps::new(vec![(50, 60), (10, 20), (20, 30), (9, 9), (8, 3), (52, 70)]);
        assert_eq!(gaps.0, [(10, 30), (50, 70)]);
        assert_eq!(gaps.within(0, 10), None);
        assert_eq!(gaps.within(0, 11), Some((10, 30)));
        assert_eq!(gaps.within(30, 50), None);
        assert_eq!(gaps.within(15, 15), Some((10, 30)));
        assert_eq!(gaps.within(29, 90), Some((10, 30)));
        assert_eq!(gaps.within(70, 90), None);
    }
}
