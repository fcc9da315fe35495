//! When nobody watched the clients, and what may have passed unseen.

use std::ops::Range;

use lab_model::{
    Bounded, PhaseKind, Total,
    units::{counted, time},
};
use lab_trace::FaultKind;

use crate::{
    findings::{Findings, StoodStill, Unwatched, UnwatchedGap},
    measure::{Closing, Measure},
    participants::{gaps::Gaps, timeline::Timeline},
    pass::facts::{ReadDecision, Scope},
};

/// How soon after a gap in its looks the orchestrator has noticed who ended in it, in nanoseconds.
const NOTICED_WITHIN_NS: u64 = 100_000_000;

/// The gaps that are listed.
const LISTED_MAX: usize = 16;

/// What a report says of gaps; `None` without any.
fn section(gaps: &Gaps, timeline: &Timeline, kept_by_kernel: bool) -> Option<Unwatched> {
    if gaps.is_empty() {
        return None;
    }
    let length = |gap: &(u64, u64)| gap.1.saturating_sub(gap.0);
    let mut longest = gaps.list().to_vec();
    longest.sort_by_key(|gap| (std::cmp::Reverse(length(gap)), gap.0));
    longest.truncate(LISTED_MAX);
    longest.sort_unstable();
    let listed = longest.iter().map(|gap| UnwatchedGap {
        began_ns: gap.0.saturating_sub(timeline.origin),
        lasted_ns: length(gap),
        phases: phases(timeline, &(gap.0..gap.1)),
    });
    Some(Unwatched {
        times: u64::try_from(gaps.list().len()).unwrap_or(u64::MAX),
        total_ns: gaps.list().iter().map(length).fold(0, u64::saturating_add),
        longest_ns: gaps.list().iter().map(length).max().unwrap_or(0),
        gaps: listed.collect(),
        kept_by_kernel,
        late: 0,
        doubtful: 0,
    })
}

/// What may have passed while nobody watched, by client.
#[derive(Clone, Debug)]
pub(crate) struct Unseen {
    /// Answers after the deadline for which nobody was killed.
    let_pass: Vec<u64>,
    /// Events that may have lain unread past the deadline.
    doubtful: Vec<u64>,
    /// Misses that are none, because the whole lab stood still.
    stood_still: Vec<u64>,
}

impl Unseen {
    /// Counts an event that may have lain unread past the deadline while nobody watched: a client is killed for that, too,
    /// and no record shows it. An event is made when its operation begins, or when the client before has answered.
    fn suspect(&mut self, read: &ReadDecision<'_>, scope: &Scope<'_>) {
        let (gaps, deadline) = (&scope.timeline.gaps, scope.lab.deadline.nanos().max(1));
        let overdue = match read.op {
            Some(op) => op.started.max(op.answered).saturating_add(deadline),
            // Made at any time; while the warden looked, it did not lie.
            None => match gaps.within(read.at, read.at) {
                Some((from, _)) => from.saturating_add(deadline),
                None => return,
            },
        };
        // It lay as long as it did because nobody could read it.
        let lain = read.at.saturating_sub(overdue.saturating_sub(deadline));
        let standing = scope.timeline.standing.shared(overdue.saturating_sub(deadline), read.at);
        if lain.saturating_sub(standing) < deadline {
            return;
        }
        if overdue <= read.at && gaps.within(overdue, read.at).is_some() {
            self.doubtful[usize::from(read.client)].raise(1);
        }
    }
}

/// By client: ends that were noticed when somebody looked again. Such a client may have been past a deadline before.
fn suspect_ends(scope: &Scope<'_>) -> Vec<u64> {
    let Scope { roster, timeline, .. } = *scope;
    let deadline = scope.lab.deadline.nanos().max(1);
    let mut suspects = vec![0_u64; roster.clients.len()];
    for end in timeline.ends.iter().filter(|end| end.status != 0 && scope.own_events) {
        let faults = &timeline.faults;
        let killed =
            faults.iter().any(|fault| fault.kind == FaultKind::DeadlineKill && fault.actor == end.actor);
        let gap = timeline.gaps.within(end.at.saturating_sub(NOTICED_WITHIN_NS), end.at);
        let gap = gap.filter(|gap| timeline.standing.shared(gap.0, gap.1) == 0);
        let long = gap.is_some_and(|(from, until)| until.saturating_sub(from) >= deadline);
        let client =
            roster.trace_of(end.actor).and_then(|trace| roster.participants[usize::from(trace)].client);
        if let Some(client) = client.filter(|_| long && !killed) {
            suspects[usize::from(client)].raise(1);
        }
    }
    suspects
}

impl Measure for Unseen {
    fn of(scope: &Scope<'_>) -> Self {
        let clients = scope.roster.clients.len();
        Unseen { let_pass: vec![0; clients], doubtful: vec![0; clients], stood_still: vec![0; clients] }
    }

    fn decision_read(&mut self, read: &ReadDecision<'_>, scope: &Scope<'_>) {
        // Elsewhere the kernel keeps the deadlines, and says when it made the event.
        let gaps = &scope.timeline.gaps;
        if !read.counted || gaps.is_empty() || !scope.own_events {
            return;
        }
        let stood_still = read.judged.is_some_and(|judged| judged.stood_still);
        self.stood_still[usize::from(read.client)].raise(u64::from(stood_still));
        let late = read.judged.is_some_and(|judged| judged.late);
        if let (true, Some(deadline), Some(answered)) = (late, read.decision.begin.deadline, read.answered) {
            let passed = gaps.within(deadline.0, answered).is_some();
            self.let_pass[usize::from(read.client)].raise(u64::from(passed));
        }
        self.suspect(read, scope);
    }

    fn finish(&self, closing: &Closing<'_>, findings: &mut Findings) {
        let scope = &closing.scope;
        let mut doubtful = self.doubtful.clone();
        for (sum, suspects) in doubtful.iter_mut().zip(suspect_ends(scope)) {
            sum.raise(suspects);
        }
        for (client, doubtful) in findings.clients.iter_mut().zip(&doubtful) {
            client.deadline_misses_possible = *doubtful;
        }
        let section = section(&scope.timeline.gaps, scope.timeline, !scope.own_events);
        findings.stood_still = standing(scope.timeline, self.stood_still.iter().total());
        let all = findings.clients.iter().map(|client| client.deadline_misses).total();
        findings.stood_still = findings.stood_still.take().map(|still| {
            let misses_of = all.saturating_add(still.misses);
            StoodStill { misses_of, ..still }
        });
        findings.unwatched = section.map(|unwatched| Unwatched {
            late: self.let_pass.iter().total(),
            doubtful: doubtful.iter().total(),
            ..unwatched
        });
    }
}

/// What a report says of times in which the whole lab stood still; `None` without any.
fn standing(timeline: &Timeline, misses: u64) -> Option<StoodStill> {
    let still = section(&timeline.standing, timeline, true)?;
    let Unwatched { times, total_ns, longest_ns, gaps, .. } = still;
    Some(StoodStill { times, total_ns, longest_ns, gaps, misses, misses_of: 0 })
}

fn phases(timeline: &Timeline, gap: &Range<u64>) -> Vec<PhaseKind> {
    let mut touched: Vec<PhaseKind> = Vec::new();
    for phase in &timeline.phases {
        let touches = phase.began < gap.end && phase.ended.is_none_or(|ended| ended > gap.start);
        if touches && !touched.contains(&phase.kind) {
            touched.push(phase.kind);
        }
    }
    touched
}

/// In one sentence: how long nobody watched, when, and what that means.
pub(crate) fn sentence(unwatched: &Unwatched, deadline_ns: u64) -> String {
    let times = match unwatched.times {
        1 => String::new(),
        gaps => format!(" in {}", counted(gaps, "gap")),
    };
    let longest = unwatched.gaps.iter().max_by_key(|gap| gap.lasted_ns);
    let when = longest.map(|gap| {
        let which = if unwatched.times == 1 { "" } else { "the longest " };
        let phases: Vec<&str> = gap.phases.iter().map(|phase| phase.name()).collect();
        let phases = if phases.is_empty() { String::new() } else { format!(" ({})", phases.join(", ")) };
        let length =
            if unwatched.times == 1 { String::new() } else { format!("of {} ", time(gap.lasted_ns)) };
        format!(", {which}{length}from {} on{phases}", time(gap.began_ns))
    });
    let meaning = if unwatched.kept_by_kernel {
        "the kernel kept the deadlines meanwhile".to_owned()
    } else {
        format!("the deadline of {} was not enforced then", time(deadline_ns))
    };
    let (total, when) = (time(unwatched.total_ns), when.unwrap_or_default());
    let mut text = format!("Nobody watched the clients for {total}{times}{when}: {meaning}");
    match (unwatched.late, unwatched.doubtful) {
        (0, 0) if unwatched.kept_by_kernel => {}
        (0, 0) => text.push_str(", and the traces show that nobody was past it"),
        (late, doubtful) => {
            if late > 0 {
                let answers = counted(late, "answer");
                text.push_str(&format!("; {answers} came after it, and nobody was killed"));
            }
            if doubtful > 0 {
                let events = counted(doubtful, "event");
                text.push_str(&format!("; {events} may have lain unread past it"));
            }
        }
    }
    text.push('.');
    text
}
