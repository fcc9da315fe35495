//! Who is ended for a deadline, where a client that is late is not the one that holds things up.
//!
//! A client whose reader is inside `read` has taken an event that the kernel cannot hand over: it opens the event's file on
//! the reader's behalf and waits for somebody, such as the holder of a lease. No board shows that. Such a client has the
//! whole deadline from then on; and whoever is late only because it waits for such a client is not ended in its place.

use std::collections::BTreeMap;

use lab_model::{Actor, Ticks};
use lab_process::{clock, proc};
use lab_trace::FaultKind;
use lab_waits::{WaitReport, Waiting};

use super::{controller::Controller, process::LabProcess, warden::Overdue};

/// How long whoever waited for a client that was ended has to go on, in nanoseconds.
const GRACE_NS: u64 = 500_000_000;
/// After this time a process that was killed should be gone, in nanoseconds.
const ENDS_WITHIN_NS: u64 = 1_000_000_000;

/// Who was ended in whose place, and who does not end.
#[derive(Debug, Default)]
pub(super) struct Enforcement {
    excused: BTreeMap<Actor, Ticks>,
    killed: Vec<Killed>,
}

#[derive(Debug)]
struct Killed {
    name: String,
    pid: u32,
    /// When the process started: another one may get its number.
    started: Option<u64>,
    at: Ticks,
    said: bool,
}

/// A client whose reader is inside `read`, with an event that it cannot be handed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct HandOver {
    client: Actor,
    pid: u32,
    /// Since when at least.
    since: Ticks,
}

/// Ends the clients that are overdue, or who holds them up.
pub(super) fn end_overdue(lab: &mut Controller, now: Ticks, deadline_ticks: u64) {
    let overdue = lab.warden.overdue(now, deadline_ticks);
    let looks = lab.warden.looks_closely();
    if overdue.is_empty() && !looks {
        return;
    }
    let Some((at, seen)) = lab.waits.seen(now) else {
        overdue.into_iter().for_each(|one| end_client(lab, now, one, None));
        return;
    };
    let hand_overs = hand_overs(lab, at, &seen);
    for one in overdue {
        let waits_for = stuck_behind(&seen, one.pid, &hand_overs);
        match lab.enforcement.whom_to_end(now, one, waits_for) {
            Some(whom) if whom == one => end_client(lab, now, one, None),
            Some(whom) => end_client(lab, now, whom, Some(one.actor)),
            None => {}
        }
    }
    for held in hand_overs.iter().filter(|held| looks && now.since(held.since) >= deadline_ticks) {
        if lab.warden.watches(held.client) {
            end_client(lab, now, Overdue { actor: held.client, pid: held.pid, record: None }, None);
        }
    }
}

/// Kills a client: it is overdue, or holds up one that is.
fn end_client(lab: &mut Controller, now: Ticks, overdue: Overdue, holds_up: Option<Actor>) {
    let Overdue { actor, pid, record } = overdue;
    lab.context.fault_at(now, FaultKind::DeadlineKill, actor, record.unwrap_or(u64::MAX));
    lab.processes.kill(actor, pid);
    lab.warden.forget(actor);
    let name = |actor| lab.processes.get(actor).map(|process| process.name().to_owned());
    let Some(killed) = name(actor) else { return };
    let deadline = lab.context.lab().deadline;
    let words = match holds_up.and_then(name) {
        None => format!("{killed} missed its deadline of {deadline} and is killed"),
        Some(other) => format!(
            "{other} is past its deadline of {deadline} because it waits for {killed}, whose event the kernel cannot hand \
             over: {killed} is killed"
        ),
    };
    lab.enforcement.note_killed(killed, pid, now);
    lab.progress.note(&words);
}

/// The clients that are stuck in hand-over, as a look `at` some moment has seen it. Whoever has returned from `read`
/// since is not; whoever has before has not been stuck for longer.
fn hand_overs(lab: &Controller, at: Ticks, seen: &WaitReport) -> Vec<HandOver> {
    let held = |wait: &Waiting| {
        let mut clients = lab.processes.clients().filter(|client| client.alive());
        let client = clients.find(|client| client.pid() == wait.process.pid).map(LabProcess::actor)?;
        let last_read = lab.warden.last_read(client).filter(|&read| read <= at)?;
        let lasted = clock::timebase().ticks(wait.since_ms.saturating_mul(1_000_000));
        let since = Ticks(at.0.saturating_sub(lasted)).max(last_read);
        Some(HandOver { client, pid: wait.process.pid, since })
    };
    seen.waits.iter().filter(|wait| wait.hand_over).filter_map(held).collect()
}

impl Enforcement {
    /// Whom to end for a client that is overdue: itself, the one that it waits for, or nobody yet.
    fn whom_to_end(&mut self, now: Ticks, overdue: Overdue, waits_for: Option<HandOver>) -> Option<Overdue> {
        if self.excused.get(&overdue.actor).is_some_and(|until| now < *until) {
            return None;
        }
        let Some(HandOver { client, pid, .. }) = waits_for else { return Some(overdue) };
        self.excused.insert(overdue.actor, Ticks(now.0.saturating_add(clock::timebase().ticks(GRACE_NS))));
        Some(Overdue { actor: client, pid, record: None })
    }

    fn note_killed(&mut self, name: String, pid: u32, at: Ticks) {
        let started = proc::stat(pid).map(|stat| stat.started);
        self.killed.push(Killed { name, pid, started, at, said: false });
    }

    /// What is to be said of processes that were killed and do not end.
    pub(super) fn not_ended(&mut self, now: Ticks, seen: Option<&WaitReport>) -> Vec<String> {
        self.killed.retain(|killed| {
            let stat = proc::stat(killed.pid).filter(|stat| Some(stat.started) == killed.started);
            stat.is_some_and(|stat| stat.state != 'Z')
        });
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

/// The client that is stuck in hand-over and that another process waits for, which is not stuck so itself.
fn stuck_behind(seen: &WaitReport, pid: u32, hand_overs: &[HandOver]) -> Option<HandOver> {
    let stuck = |pid: u32| hand_overs.iter().find(|held| held.pid == pid).copied();
    if stuck(pid).is_some() {
        return None;
    }
    let waits = seen.waits.iter().filter(|wait| wait.process.pid == pid);
    let mut on = waits.flat_map(|wait| &wait.waits_for);
    on.find_map(|process| stuck(process.pid))
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
        let held = HandOver { client: Actor(3), pid: 3, since: Ticks(0) };
        let mut enforcement = Enforcement::default();
        let overdue = |pid: u32| Overdue { actor: Actor(u16::try_from(pid).unwrap()), pid, record: Some(7) };
        let mut whom = |now: u64, pid: u32, hand_overs: &[HandOver]| {
            let behind = stuck_behind(&seen, pid, hand_overs);
            enforcement.whom_to_end(Ticks(now), overdue(pid), behind).map(|whom| whom.pid)
        };
        assert_eq!(whom(0, 2, &[held]), Some(3), "two waits for three");
        assert_eq!(whom(1, 2, &[held]), None, "it has some time to go on");
        let later = clock::timebase().ticks(GRACE_NS) + 1;
        assert_eq!(whom(later, 3, &[held]), Some(3));
        assert_eq!(whom(later, 2, &[]), Some(2), "three has read since");
        assert_eq!(whom(2, 5, &[held]), Some(5), "nothing is seen of it");
    }
}
