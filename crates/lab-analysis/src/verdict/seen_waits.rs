//! What was seen of who waits for whom, beyond what clients record of each other: products, daemons' own waits, and
//! whoever they wait for in turn.

use lab_model::Timebase;
use lab_trace::FaultKind;
use lab_waits::{ProcessName, Stretch, WaitCircle, WaitRecord, Waiting};

use crate::{
    findings::{CycleEnd, LongWait, WaitCycle},
    participants::timeline::Timeline,
};

/// The most long waits that are kept.
const WAITS_MAX: usize = 64;

/// A look may come so much later than what it sees, in nanoseconds.
const LOOK_SLACK_NS: u64 = 1_500_000_000;

/// The record, in the run's own time.
pub(crate) struct SeenWaits<'a> {
    pub(crate) record: &'a WaitRecord,
    pub(crate) timebase: Timebase,
    pub(crate) timeline: &'a Timeline,
}

impl SeenWaits<'_> {
    /// From when on something was so, from the run's origin.
    fn began_at<T>(&self, stretch: &Stretch<T>) -> u64 {
        let seen = self.timebase.nanoseconds(stretch.from);
        let began = seen.saturating_sub(stretch.since_ms.saturating_mul(1_000_000));
        began.saturating_sub(self.timeline.origin)
    }

    fn ended_at<T>(&self, stretch: &Stretch<T>) -> Option<u64> {
        let until = stretch.until.map(|ticks| self.timebase.nanoseconds(ticks));
        until.map(|until| until.saturating_sub(self.timeline.origin))
    }

    /// The circles that were seen and are not among those that the clients' records show.
    pub(crate) fn cycles(&self, recorded: &[WaitCycle]) -> Vec<WaitCycle> {
        let circles = self.record.circles();
        let cycles = circles.iter().filter(|circle| circle.what.sure).map(|circle| self.cycle(circle));
        cycles.filter(|cycle| !recorded.iter().any(|other| is_part(cycle, other))).collect()
    }

    fn cycle(&self, stretch: &Stretch<WaitCircle>) -> WaitCycle {
        let members = names(&stretch.what);
        let (began_ns, until_ns) = (self.began_at(stretch), self.ended_at(stretch));
        WaitCycle {
            members,
            through: Vec::new(),
            began_ns,
            lasted_ns: until_ns.map(|until| until.saturating_sub(began_ns)),
            ended_by: self.ended_by(began_ns, until_ns),
            evidence: stretch.what.links.iter().map(evidence).collect(),
            seen: true,
        }
    }

    /// What ended a circle, as far as anything is recorded that could have.
    fn ended_by(&self, began_ns: u64, until_ns: Option<u64>) -> CycleEnd {
        let Some(until_ns) = until_ns else { return CycleEnd::EndOfRun };
        let within = |at: u64| {
            let at = at.saturating_sub(self.timeline.origin);
            at >= began_ns && at <= until_ns && at.saturating_add(LOOK_SLACK_NS) >= until_ns
        };
        let mut faults = self.timeline.faults.iter();
        if faults.any(|fault| fault.kind == FaultKind::DeadlineKill && within(fault.at)) {
            return CycleEnd::DeadlineKill;
        }
        if self.timeline.ends.iter().any(|end| within(end.at)) {
            return CycleEnd::ProcessEnd;
        }
        CycleEnd::Answer
    }

    /// The threads that were seen waiting long in the middle of something, the longest first.
    pub(crate) fn long_waits(&self) -> Vec<LongWait> {
        let mut waits: Vec<LongWait> =
            self.record.waits().iter().map(|stretch| self.long_wait(stretch)).collect();
        waits.sort_by_key(|wait| (std::cmp::Reverse(wait.lasted_ns), wait.began_ns));
        waits.truncate(WAITS_MAX);
        waits
    }

    fn long_wait(&self, stretch: &Stretch<Waiting>) -> LongWait {
        let wait = &stretch.what;
        let began_ns = self.began_at(stretch);
        LongWait {
            who: wait.process.name.clone(),
            tid: wait.tid,
            words: wait.words.clone(),
            waits_for: wait.waits_for.iter().map(|process| process.name.clone()).collect(),
            hand_over: wait.hand_over,
            began_ns,
            lasted_ns: self.ended_at(stretch).unwrap_or_else(|| self.last_ns()).saturating_sub(began_ns),
            to_the_end: stretch.until.is_none(),
        }
    }

    /// The last moment that the record tells of, from the run's origin.
    fn last_ns(&self) -> u64 {
        let seen = self.record.seen.last().map(|(at, _)| *at);
        let last = self.record.ended.max(seen).unwrap_or(0);
        self.timebase.nanoseconds(last).saturating_sub(self.timeline.origin)
    }
}

/// The processes of a circle, each once; of those that are called alike, with their numbers.
fn names(circle: &WaitCircle) -> Vec<String> {
    let mut processes: Vec<&ProcessName> = Vec::new();
    for link in &circle.links {
        if !processes.contains(&&link.process) {
            processes.push(&link.process);
        }
    }
    let alike = |name: &String| processes.iter().filter(|other| other.name == *name).count() > 1;
    let name = |one: &&ProcessName| {
        if alike(&one.name) { format!("{} ({})", one.name, one.pid) } else { one.name.clone() }
    };
    processes.iter().map(name).collect()
}

/// What a thread of a circle was in.
fn evidence(link: &Waiting) -> String {
    let by = if link.evidence.is_empty() { String::new() } else { format!(" ({})", link.evidence) };
    format!("{}, thread {}, {}{by}", link.process.name, link.tid, link.words)
}

/// True when a circle that was seen is one that the clients' own records show, too.
fn is_part(seen: &WaitCycle, recorded: &WaitCycle) -> bool {
    let knows = |name: &String| recorded.members.contains(name) || recorded.through.contains(name);
    let ends =
        |cycle: &WaitCycle| cycle.lasted_ns.map_or(u64::MAX, |lasted| cycle.began_ns.saturating_add(lasted));
    let overlap = seen.began_ns <= ends(recorded) && recorded.began_ns <= ends(seen);
    overlap && seen.members.iter().all(knows)
}
