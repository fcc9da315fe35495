//! What the orchestrator wrote down: phases, faults and the ends of processes. Small, so it is read first.

use lab_model::{PhaseKind, Role};
use lab_trace::{Entry, FaultKind, ProcessMarkKind, Record, Trace};

use crate::{
    findings::ProcessEnd,
    participants::gaps::Gaps,
    participants::{
        deaths::Deaths,
        lives::seen_until,
        marks::{EndAt, FaultAt},
        products::Products,
        roster::Roster,
        standing::stood_still,
    },
};

/// The places at a trace's end that are looked at to find when the run ended.
const TAIL_PLACES: u64 = 64;

/// A phase as marked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Marked {
    pub(crate) kind: PhaseKind,
    pub(crate) began: u64,
    pub(crate) ended: Option<u64>,
}

/// The frame of the run. All times are nanoseconds of the shared clock.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    pub(crate) phases: Vec<Marked>,
    pub(crate) faults: Vec<FaultAt>,
    pub(crate) ends: Vec<EndAt>,
    /// What was seen of products that the lab did not build.
    pub(crate) products: Products,
    /// When nobody watched the clients.
    pub(crate) gaps: Gaps,
    /// Those of them in which the whole lab stood still.
    pub(crate) standing: Gaps,
    /// When processes said that they are ready.
    pub(crate) readies: Vec<EndAt>,
    /// The earliest record.
    pub(crate) origin: u64,
    /// The latest moment any trace speaks of.
    pub(crate) last: u64,
    /// When clients were dead.
    pub(crate) deaths: Deaths,
    /// By trace, until when its process was certainly there, as far as that was seen.
    pub(crate) until: Vec<u64>,
    /// The moment at which what is still open counts as in flight: the drain's end; without a drain the first
    /// end of a process after the storm; else the end of everything.
    pub(crate) closing: u64,
}

/// When a record begins, in raw ticks.
pub(crate) fn begins(record: &Record) -> Option<u64> {
    Some(match record {
        Record::Decision(decision) => decision.begin.read.0,
        Record::Operation(operation) => operation.begin.started.0,
        Record::Phase(mark) => mark.at.0,
        Record::Fault(fault) => fault.at.0,
        Record::Loss(loss) => loss.at.0,
        Record::Process(mark) => mark.at.0,
        Record::Thread(mark) => mark.at.0,
        Record::Request(request) => request.begin.at.0,
        Record::ThreadSeen(thread_seen) => thread_seen.at.0,
        Record::GroupMark(mark) => mark.at.0,
        Record::QueueSample(queue_sample) => queue_sample.at.0,
        Record::Notice(notice) => notice.read.0,
        Record::Life(life) => life.at.0,
        Record::Unwatched(unwatched) => unwatched.from.0,
        Record::Path(_) => return None,
    })
}

impl Timeline {
    pub(crate) fn new(roster: &Roster, traces: &[Trace<'_>]) -> Timeline {
        let mut timeline = Timeline { origin: u64::MAX, ..Timeline::default() };
        let mut gaps = Vec::new();
        for (trace, participant) in traces.iter().zip(&roster.participants) {
            if participant.role == Role::Orchestrator {
                timeline.read(trace, &mut gaps);
            }
            timeline.frame(trace);
        }
        timeline.gaps = Gaps::new(gaps);
        timeline.standing = stood_still(&timeline.gaps, roster, traces);
        timeline.origin = timeline.origin.min(timeline.last);
        timeline.faults.sort_by_key(|fault| fault.at);
        timeline.ends.sort_by_key(|end| (end.at, end.actor));
        timeline.phases.sort_by_key(|phase| phase.began);
        timeline.closing = timeline.find_closing();
        timeline.until = seen_until(&timeline, roster, traces);
        timeline.deaths = Deaths::new(&timeline, roster, traces);
        timeline
    }

    fn read(&mut self, trace: &Trace<'_>, gaps: &mut Vec<(u64, u64)>) {
        let timebase = trace.header.timebase;
        for entry in trace.entries() {
            let Entry::Record { record, .. } = entry else { continue };
            if let Some(at) = begins(&record) {
                self.products.read(&record, timebase.nanoseconds(at), |ticks| timebase.nanoseconds(ticks));
            }
            match record {
                Record::Phase(mark) => self.phase(mark.phase, mark.begins, timebase.nanoseconds(mark.at.0)),
                Record::Fault(fault) => self.faults.push(FaultAt {
                    at: timebase.nanoseconds(fault.at.0),
                    kind: fault.kind,
                    actor: fault.actor.0,
                    detail: fault.detail,
                }),
                Record::Unwatched(gap) => {
                    gaps.push((timebase.nanoseconds(gap.from.0), timebase.nanoseconds(gap.until.0)));
                }
                Record::Process(mark) => {
                    let (at, actor) = (timebase.nanoseconds(mark.at.0), mark.actor.0);
                    let step = EndAt { at, actor, status: mark.status };
                    match mark.kind {
                        ProcessMarkKind::Ended => self.ends.push(step),
                        ProcessMarkKind::Ready => self.readies.push(step),
                        ProcessMarkKind::Started | ProcessMarkKind::Other(_) => {}
                    }
                }
                _ => {}
            }
        }
    }

    /// A second begin of the same kind opens a second stretch; an end closes the latest open one.
    fn phase(&mut self, kind: PhaseKind, begins: bool, at: u64) {
        if begins {
            self.phases.push(Marked { kind, began: at, ended: None });
        } else if let Some(open) =
            self.phases.iter_mut().rev().find(|phase| phase.kind == kind && phase.ended.is_none())
        {
            open.ended = Some(at.max(open.began));
        }
    }

    /// Widens the frame by the first and last records of a trace.
    fn frame(&mut self, trace: &Trace<'_>) {
        let timebase = trace.header.timebase;
        let places = trace.entries().remaining() as u64;
        let head = 0..places.min(TAIL_PLACES);
        let tail = places.saturating_sub(TAIL_PLACES).max(head.end)..places;
        let mut used = false;
        for index in head.chain(tail) {
            let Some(Entry::Record { record, .. }) = trace.entry(index) else { continue };
            let Some(at) = begins(&record) else { continue };
            let at = timebase.nanoseconds(at);
            self.origin = self.origin.min(at);
            self.last = self.last.max(at);
            used = true;
        }
        if let (Some(closed), true) = (trace.closed, used) {
            self.last = self.last.max(timebase.nanoseconds(closed.0));
        }
    }

    /// When clients were dead. Figures about a phase are of the time while all lived, and this alone says which that is.
    pub(crate) const fn deaths(&self) -> &Deaths {
        &self.deaths
    }

    /// How long something took that lasted from one time until another: without what of it the whole lab stood still for, since
    /// nobody could do anything about that. Times that follow on each other add up to that of the whole.
    pub(crate) fn took(&self, from: u64, until: u64) -> u64 {
        self.standing.outside(from, until)
    }

    /// Until when a trace's process was there: its end; where nobody saw that, the end of the record.
    pub(crate) fn until(&self, trace: u16) -> u64 {
        self.until.get(usize::from(trace)).copied().unwrap_or(self.last)
    }

    /// The phase at a time; `None` outside all phases.
    pub(crate) fn phase_at(&self, at: u64) -> Option<PhaseKind> {
        let phase = self.phases.iter().rev().find(|phase| phase.began <= at)?;
        phase.ended.is_none_or(|ended| at <= ended).then_some(phase.kind)
    }

    /// The first stretch of a phase.
    pub(crate) fn marked(&self, kind: PhaseKind) -> Option<Marked> {
        self.phases.iter().find(|phase| phase.kind == kind).copied()
    }

    /// True when the orchestrator has marked the end of the storm, and so of all that was planned for it.
    pub(crate) fn closing_is_marked(&self) -> bool {
        self.storm_end().is_some()
    }

    /// When the storm ended.
    pub(crate) fn storm_end(&self) -> Option<u64> {
        self.phases.iter().rev().find(|phase| phase.kind == PhaseKind::Storm)?.ended
    }

    /// How a process ended.
    pub(crate) fn end_of(&self, actor: u16, status: Option<i32>) -> ProcessEnd {
        if self.killed_at_deadline(actor) {
            return ProcessEnd::DeadlineKill;
        }
        status.map_or(ProcessEnd::Unknown, ProcessEnd::of_status)
    }

    /// True when a process was killed because it did not answer in time.
    pub(crate) fn killed_at_deadline(&self, actor: u16) -> bool {
        self.faults.iter().any(|fault| fault.kind == FaultKind::DeadlineKill && fault.actor == actor)
    }

    /// From when on the lab ends its processes itself.
    pub(crate) fn teardown(&self) -> u64 {
        let cut = |fault: &&FaultAt| {
            matches!(fault.kind, FaultKind::Interrupted | FaultKind::RunTooLong | FaultKind::Aborted)
        };
        let cut = self.faults.iter().find(cut).map_or(self.closing, |fault| fault.at);
        cut.min(self.closing)
    }

    fn find_closing(&self) -> u64 {
        let drain = self.phases.iter().rev().find(|phase| phase.kind == PhaseKind::Drain);
        if let Some(ended) = drain.and_then(|phase| phase.ended) {
            return ended;
        }
        let begun = self.storm_end().unwrap_or(self.last);
        let teardown = self.ends.iter().map(|end| end.at).find(|&at| at > begun);
        teardown.unwrap_or(self.last)
    }
}
