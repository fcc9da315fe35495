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
    /// Ticks of the record as nanoseconds from the run's origin.
    fn at(&self, ticks: u64) -> u64 {
        self.timebase.nanoseconds(ticks).saturating_sub(self.timeline.origin)
    }

    /// From when on something was so at least.
    fn began_at<T>(&self, stretch: &Stretch<T>) -> u64 {
        self.at(stretch.from).saturating_sub(stretch.since_ms.saturating_mul(1_000_000))
    }

    /// The circles that were seen and are not among those that the clients' records show.
    pub(crate) fn cycles(&self, recorded: &[WaitCycle]) -> Vec<WaitCycle> {
        let circles = self.record.circles();
        let cycles = circles.iter().filter(|circle| circle.what.sure).map(|circle| self.cycle(circle));
        cycles.filter(|cycle| !recorded.iter().any(|other| is_part(cycle, other))).collect()
    }

    fn cycle(&self, stretch: &Stretch<WaitCircle>) -> WaitCycle {
        let members = names(&stretch.what);
        let began_ns = self.began_at(stretch);
        let (ended_by, ended_ns) = self.end(stretch, began_ns);
        WaitCycle {
            members,
            through: Vec::new(),
            began_ns,
            lasted_ns: ended_ns.map(|ended| ended.saturating_sub(began_ns)),
            ended_by,
            evidence: stretch.what.links.iter().map(evidence).collect(),
            seen: true,
        }
    }

    /// What ended a circle, as far as anything is recorded that could have, and until when it lasted at least.
    fn end(&self, stretch: &Stretch<WaitCircle>, began_ns: u64) -> (CycleEnd, Option<u64>) {
        let Some(gone) = stretch.gone else { return (CycleEnd::EndOfRun, None) };
        let (last, gone) = (self.at(stretch.last), self.at(gone));
        let within = |at: u64| {
            let at = at.saturating_sub(self.timeline.origin);
            let fits = at >= began_ns && at <= gone && at.saturating_add(LOOK_SLACK_NS) >= last;
            fits.then_some(at.max(last))
        };
        let kills = self.timeline.faults.iter().filter(|fault| fault.kind == FaultKind::DeadlineKill);
        if let Some(at) = kills.filter_map(|fault| within(fault.at)).max() {
            return (CycleEnd::DeadlineKill, Some(at));
        }
        match self.timeline.ends.iter().filter_map(|end| within(end.at)).max() {
            Some(at) => (CycleEnd::ProcessEnd, Some(at)),
            None => (CycleEnd::Answer, Some(last)),
        }
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
            lasted_ns: self.last_ns(stretch).saturating_sub(began_ns),
            to_the_end: stretch.gone.is_none(),
        }
    }

    /// When something was seen last: to the end of the record, or as far as its line says.
    fn last_ns<T>(&self, stretch: &Stretch<T>) -> u64 {
        let end = self.record.ended.filter(|_| stretch.gone.is_none());
        self.at(end.unwrap_or(stretch.last))
    }
}

/// The processes of a circle, each once; of those that are called alike, with their numbers.
fn names(circle: &WaitCircle) -> Vec<String> {
    let processes = circle.processes();
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
