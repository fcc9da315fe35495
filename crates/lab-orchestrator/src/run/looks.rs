//! That the warden looks often enough, and what it records when it could not.

use std::time::Duration;

use lab_model::{Span, Ticks};
use lab_process::{clock, platform::KERNEL};
use lab_trace::Unwatched;

/// How often the warden looks.
pub(super) const WATCH_EVERY: Duration = Duration::from_millis(5);

/// Looks that the warden may miss in a row before nobody watched. Fewer are what a busy machine does.
const LOOKS_MISSED: u32 = 10;

/// A gap in the warden's looks matters from this part of the deadline on: whoever is overdue is ended so much too late.
const PART_OF_DEADLINE: u64 = 10;

/// When the warden looked.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Looks {
    /// When it last looked at clients.
    last: Option<Ticks>,
}

impl Looks {
    /// It looks now; the time in which it did not although there were clients to look at, if that was long.
    pub(super) fn look(&mut self, now: Ticks, has_clients: bool, deadline: Span) -> Option<Unwatched> {
        let gap = self.gap(now, deadline);
        self.last = has_clients.then_some(now);
        gap
    }

    /// It looks for the last time.
    pub(super) fn end(&mut self, now: Ticks, deadline: Span) -> Option<Unwatched> {
        self.look(now, false, deadline)
    }

    fn gap(&self, now: Ticks, deadline: Span) -> Option<Unwatched> {
        let from = self.last.filter(|&from| now.since(from) >= gap_ticks(deadline))?;
        Some(Unwatched { from, until: now })
    }
}

/// The ticks between two looks from which on nobody watched in between.
fn gap_ticks(deadline: Span) -> u64 {
    let looks = u64::try_from((WATCH_EVERY * LOOKS_MISSED).as_nanos()).unwrap_or(u64::MAX);
    clock::timebase().ticks(looks.max(deadline.nanos() / PART_OF_DEADLINE))
}

/// What is said of such a gap.
pub(super) fn unwatched_words(gap: &Unwatched) -> String {
    let lasted = Span::from_nanos(clock::timebase().nanoseconds(gap.until.since(gap.from)));
    let seconds = lasted.duration().as_secs_f64();
    // Where the kernel keeps the deadlines, it has kept them meanwhile.
    let deadlines = if KERNEL.enforces_deadlines() { "" } else { ", and no deadline was enforced" };
    format!("nobody watched the clients for {seconds:.2} s{deadlines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_is_one_only_where_there_were_clients_to_look_at() {
        let (mut looks, deadline) = (Looks::default(), Span::from_millis(2_000));
        let at = |millis: u64| Ticks(clock::timebase().ticks(millis * 1_000_000));
        assert_eq!(looks.look(at(1_000), true, deadline), None, "the first look");
        assert_eq!(looks.look(at(1_150), true, deadline), None, "less than a tenth of the deadline");
        let gap = looks.look(at(1_400), false, deadline).unwrap();
        assert_eq!((gap.from, gap.until), (at(1_150), at(1_400)));
        assert_eq!(looks.look(at(9_000), true, deadline), None, "nobody was there");
        assert!(looks.end(at(9_900), deadline).is_some());
        assert_eq!(looks.end(at(99_000), deadline), None);
        assert!(unwatched_words(&gap).starts_with("nobody watched the clients for 0.25 s"));
    }
}
