//! Who is ended for a deadline, where a client that is late is not the one that holds things up.
//!
//! A client whose reader is inside `read` has taken an event that the kernel cannot hand over: it opens the event's file on
//! the reader's behalf and waits for somebody, such as the holder of a lease. No board shows that. Such a client has the
//! whole deadline from then on; and whoever is late only because it waits for such a client is not ended in its place.

use std::collections::BTreeMap;

use lab_model::{Actor, Ticks};
use lab_process::{clock, proc};
use lab_waits::{WaitReport, Waiting};

use super::warden::Overdue;

/// How long whoever waited for a client that was ended has to go on, in nanoseconds.
const GRACE_NS: u64 = 500_000_000;
/// After this time a process that was killed should be gone, in nanoseconds.
const ENDS_WITHIN_NS: u64 = 1_000_000_000;

/// Who was ended in whose place, and who does not end.
#[derive(Debug, Default)]
pub(super) struct Blame {
    excused: BTreeMap<Actor, Ticks>,
    killed: Vec<Killed>,
}

#[derive(Debug)]
struct Killed {
    name: String,
    pid: u32,
    at: Ticks,
    said: bool,
}

impl Blame {
    /// Whom to end in place of a client that is overdue: itself, another one, or nobody yet. `actor` says whose process a
    /// number is.
    pub(super) fn whom_to_end(
        &mut self,
        now: Ticks,
        overdue: Overdue,
        seen: Option<&WaitReport>,
        actor: impl Fn(u32) -> Option<Actor>,
    ) -> Option<Overdue> {
        if self.excused.get(&overdue.actor).is_some_and(|until| now < *until) {
            return None;
        }
        let keeper = seen.and_then(|seen| stuck_behind(seen, overdue.pid));
        let Some((pid, actor)) = keeper.and_then(|pid| Some((pid, actor(pid)?))) else {
            return Some(overdue);
        };
        self.excused.insert(overdue.actor, Ticks(now.0.saturating_add(clock::timebase().ticks(GRACE_NS))));
        Some(Overdue { actor, pid, record: None })
    }

    /// Notes that a process was killed.
    pub(super) fn killed(&mut self, name: &str, pid: u32, at: Ticks) {
        self.killed.push(Killed { name: name.to_owned(), pid, at, said: false });
    }

    /// What is to be said of processes that were killed and do not end.
    pub(super) fn not_ended(&mut self, now: Ticks, seen: Option<&WaitReport>) -> Vec<String> {
        self.killed.retain(|killed| proc::stat(killed.pid).is_some_and(|stat| stat.state != 'Z'));
        let late = clock::timebase().ticks(ENDS_WITHIN_NS);
        let mut words = Vec::new();
        for killed in self.killed.iter_mut().filter(|killed| !killed.said && now.since(killed.at) >= late) {
            killed.said = true;
            let mut waits = seen.into_iter().flat_map(|seen| &seen.waits);
            let wait = waits.find(|wait| wait.process.pid == killed.pid);
            let why = wait.map_or_else(String::new, |wait| format!(": it {}", wait.words));
            words.push(format!(
                "{} was killed and does not end{why}{}",
                killed.name,
                wait.map_or("", remedy)
            ));
        }
        words
    }
}

/// The clients that have taken an event which the kernel cannot hand over, for a deadline or longer.
pub(super) fn past_deadline(seen: &WaitReport, age_ns: u64, deadline_ns: u64) -> impl Iterator<Item = u32> {
    let lasted = move |wait: &&Waiting| {
        let since = wait.since_ms.saturating_mul(1_000_000).saturating_add(age_ns);
        wait.hand_over && since >= deadline_ns
    };
    seen.waits.iter().filter(lasted).map(|wait| wait.process.pid)
}

/// The process that a process waits for, and that has taken an event which the kernel cannot hand over.
fn stuck_behind(seen: &WaitReport, pid: u32) -> Option<u32> {
    let stuck = |pid: u32| seen.waits.iter().any(|wait| wait.hand_over && wait.process.pid == pid);
    if stuck(pid) {
        return None;
    }
    let waits = seen.waits.iter().filter(|wait| wait.process.pid == pid && !wait.hand_over);
    let mut on = waits.flat_map(|wait| &wait.waits_for);
    on.find(|process| process.pid != pid && stuck(process.pid)).map(|process| process.pid)
}

/// What would end a process that SIGKILL does not.
const fn remedy(wait: &Waiting) -> &'static str {
    match wait.kind {
        lab_waits::WaitKind::Fuse => {
            "; end that daemon, or abort its connection (/sys/fs/fuse/connections/N/abort)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use lab_waits::{ProcessName, WaitKind};

    use super::*;

    fn waiting(pid: u32, hand_over: bool, on: &[u32]) -> Waiting {
        Waiting {
            process: ProcessName { pid, name: format!("p{pid}") },
            tid: pid,
            kind: if hand_over { WaitKind::Lease } else { WaitKind::PermissionEvent },
            hand_over,
            file: None,
            since_ms: 900,
            waits_for: on.iter().map(|&pid| ProcessName { pid, name: format!("p{pid}") }).collect(),
            others: false,
            stuck: false,
            evidence: String::new(),
            words: String::new(),
        }
    }

    #[test]
    fn who_waits_for_a_client_that_is_stuck_in_hand_over_is_not_ended_in_its_place() {
        let seen = WaitReport {
            waits: vec![waiting(2, false, &[2, 3]), waiting(3, true, &[9])],
            ..WaitReport::default()
        };
        let mut blame = Blame::default();
        let overdue = |pid: u32| Overdue { actor: Actor(u16::try_from(pid).unwrap()), pid, record: Some(7) };
        let actor = |pid: u32| u16::try_from(pid).ok().map(Actor);
        let mut whom = |now: u64, pid: u32| {
            blame.whom_to_end(Ticks(now), overdue(pid), Some(&seen), actor).map(|whom| whom.pid)
        };
        assert_eq!(whom(0, 2), Some(3), "two waits for three");
        assert_eq!(whom(1, 2), None, "it has some time to go on");
        assert_eq!(whom(clock::timebase().ticks(GRACE_NS) + 1, 3), Some(3));
        assert_eq!(whom(2, 5), Some(5), "nothing is seen of it");
        let late = |age_ns| past_deadline(&seen, age_ns, 1_000_000_000).collect::<Vec<_>>();
        assert_eq!((late(0), late(100_000_000)), (vec![], vec![3]));
    }
}
