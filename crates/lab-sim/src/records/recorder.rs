//! What a run leaves behind, on its way there: records for the sink, and the simulator's own counts.

use lab_model::{Actor, Ticks};
use lab_trace::{
    Fault, FaultKind, Loss, LossKind, PhaseMark, ProcessMark, ProcessMarkKind, ThreadMark, ThreadPurpose,
};

use crate::records::{sink::Sink, tally::Tally};

/// Takes the records of a run, and counts.
pub(crate) struct Recorder<'a, S> {
    sink: &'a mut S,
    tally: Tally,
}

impl<'a, S: Sink> Recorder<'a, S> {
    pub(crate) fn new(sink: &'a mut S, clients: usize) -> Recorder<'a, S> {
        Recorder { sink, tally: Tally::new(clients) }
    }

    /// Where the records go.
    #[inline]
    pub(crate) const fn sink(&mut self) -> &mut S {
        self.sink
    }

    /// The simulator's own counts.
    #[inline]
    pub(crate) const fn tally(&mut self) -> &mut Tally {
        &mut self.tally
    }

    /// The counts, at the end.
    pub(crate) fn into_tally(self) -> Tally {
        self.tally
    }

    /// Decisions read so far.
    pub(crate) const fn decisions(&self) -> u64 {
        self.tally.decisions
    }

    /// Clients have been found to wait for each other in a circle.
    pub(crate) const fn has_cycle(&self) -> bool {
        self.tally.cycle.is_some()
    }

    /// Something was under way when the last phase ended.
    pub(crate) const fn is_in_flight(&self) -> bool {
        self.tally.in_flight > 0
    }

    /// Something happened to a process.
    pub(crate) fn mark_process(&mut self, at: Ticks, actor: Actor, pid: u32, kind: ProcessMarkKind) {
        self.sink.process(Actor::ORCHESTRATOR, &ProcessMark { at, actor, kind, pid, status: 0 });
    }

    /// A process has ended with this wait status.
    pub(crate) fn mark_end(&mut self, at: Ticks, actor: Actor, pid: u32, status: i32) {
        let mark = ProcessMark { at, actor, kind: ProcessMarkKind::Ended, pid, status };
        self.sink.process(Actor::ORCHESTRATOR, &mark);
    }

    /// A process has begun a thread.
    pub(crate) fn mark_thread(
        &mut self,
        at: Ticks,
        actor: Actor,
        tid: u64,
        purpose: ThreadPurpose,
        number: u16,
    ) {
        self.sink.thread(actor, &ThreadMark { at, tid, purpose, number });
    }

    /// A phase begins or ends.
    pub(crate) fn mark_phase(&mut self, mark: &PhaseMark) {
        self.sink.phase(Actor::ORCHESTRATOR, mark);
    }

    /// A fault, or what the warden does.
    pub(crate) fn fault(&mut self, at: Ticks, kind: FaultKind, actor: Actor, detail: u64) {
        self.sink.fault(Actor::ORCHESTRATOR, &Fault { at, kind, actor, detail });
    }

    /// Something was lost on the way to a process; nothing when it was nothing.
    pub(crate) fn lose(&mut self, at: Ticks, actor: Actor, kind: LossKind, count: u64) {
        if count > 0 {
            self.sink.loss(actor, &Loss { at, kind, count });
        }
    }
}
