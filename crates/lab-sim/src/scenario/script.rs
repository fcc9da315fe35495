//! Where a run is on its way from its start to its end, and when the next step is due.

use lab_model::{Lab, Phase, PhaseKind};

use crate::hardware::{
    agenda::SimEvent,
    clock::{Clock, EPOCH},
};

/// A drain that has been calm for this long is over.
const CALM: u64 = 100_000_000;

/// Where the run is.
#[derive(Debug)]
pub(crate) struct Script {
    phases: Vec<Phase>,
    place: usize,
    phase: Option<PhaseKind>,
    phase_began: u64,
    phase_ends: u64,
    /// No operation of the workload begins from then on.
    drive_ends: u64,
    /// Tells the step that is due from one that has become pointless.
    step: u32,
    calm: u32,
    is_calm: bool,
    clients_run: bool,
    /// By how much the workload was behind its plan, at most, in each quarter of the storm.
    late: [u64; 4],
    quarter: u64,
    over: bool,
}

impl Script {
    pub(crate) fn new(lab: &Lab) -> Script {
        Script {
            phases: lab.phases.iter().collect(),
            place: 0,
            phase: None,
            phase_began: EPOCH,
            phase_ends: EPOCH,
            drive_ends: EPOCH,
            step: 0,
            calm: 0,
            is_calm: false,
            clients_run: false,
            late: [0; 4],
            quarter: 1,
            over: false,
        }
    }

    #[inline]
    pub(crate) fn draining(&self) -> bool {
        self.phase == Some(PhaseKind::Drain)
    }

    /// The workload begins an operation now and so much later than planned.
    #[inline]
    pub(crate) fn late(&mut self, now: u64, by: u64) {
        if by > 0 && self.phase == Some(PhaseKind::Storm) {
            let quarter = self.quarter_of(now);
            self.late[quarter] = self.late[quarter].max(by);
        }
    }

    /// The quarter of the phase that a time lies in.
    #[inline]
    pub(crate) fn quarter_of(&self, now: u64) -> usize {
        usize::try_from(now.saturating_sub(self.phase_began) / self.quarter).unwrap_or(3).min(3)
    }

    /// True in the last quarter of the drain.
    #[inline]
    pub(crate) fn drains_late(&self, now: u64) -> bool {
        self.draining() && self.quarter_of(now) == 3
    }

    /// The phase that the run is in, if it is in any.
    #[inline]
    pub(crate) const fn phase(&self) -> Option<PhaseKind> {
        self.phase
    }

    /// When the phase began, or the latest one if it is in none.
    #[inline]
    pub(crate) const fn phase_began(&self) -> u64 {
        self.phase_began
    }

    /// No operation of the workload begins from then on.
    #[inline]
    pub(crate) const fn drive_ends(&self) -> u64 {
        self.drive_ends
    }

    /// By how much the workload was behind its plan, at most, in each quarter of the storm.
    pub(crate) const fn late_by_quarter(&self) -> [u64; 4] {
        self.late
    }

    /// The next step is due so many nanoseconds from now, and no other that was.
    pub(crate) fn plan_step(&mut self, after: u64, clock: &mut Clock) {
        self.step += 1;
        clock.enter_after(after, SimEvent::Script { step: self.step });
    }

    /// True for the step that is due.
    pub(crate) const fn is_due(&self, step: u32) -> bool {
        step == self.step
    }

    /// The phase that comes next.
    pub(crate) fn next_phase(&self) -> Option<Phase> {
        self.phases.get(self.place).copied()
    }

    /// The phase that has come next is over. Returns the one after it.
    pub(crate) fn turn_to_next_phase(&mut self) -> Option<PhaseKind> {
        self.place += 1;
        self.next_phase().map(|phase| phase.kind)
    }

    /// True once: when the clients are to start.
    pub(crate) const fn starts_clients(&mut self) -> bool {
        !std::mem::replace(&mut self.clients_run, true)
    }

    /// A phase begins.
    pub(crate) fn begin_phase(&mut self, phase: Phase, now: u64) {
        let span = phase.span.nanos();
        self.phase = Some(phase.kind);
        (self.phase_began, self.phase_ends) = (now, now.saturating_add(span));
        self.quarter = (span / 4).max(1);
    }

    /// The phase is over: which it was.
    pub(crate) const fn end_phase(&mut self) -> Option<PhaseKind> {
        self.phase.take()
    }

    /// The workload runs until the phase ends.
    pub(crate) const fn drive_until_the_end(&mut self) {
        self.drive_ends = self.phase_ends;
    }

    /// No operation of the workload begins any more.
    pub(crate) const fn stop_driving(&mut self, now: u64) {
        self.drive_ends = now;
    }

    /// The last operation of the workload in this phase is over. The drain goes on: what the clients owe for it may
    /// still be under way.
    pub(crate) fn workload_done(&mut self, clock: &mut Clock) {
        if !self.draining() {
            self.plan_step(0, clock);
        }
    }

    /// In the drain: when it has become calm, it is over a while later.
    pub(crate) fn watch_for_calm(&mut self, calm: bool, clock: &mut Clock) {
        if calm && !self.is_calm {
            self.calm += 1;
            clock.enter_after(CALM, SimEvent::Quiet { calm: self.calm });
        }
        self.is_calm = calm;
    }

    /// It has been calm for that while, unless something has happened meanwhile.
    pub(crate) fn calm_over(&mut self, calm: u32, clock: &mut Clock) {
        if self.is_calm && calm == self.calm && self.draining() {
            self.plan_step(0, clock);
        }
    }

    /// The run is over.
    pub(crate) const fn finish(&mut self) {
        self.over = true;
    }

    #[inline]
    pub(crate) const fn is_over(&self) -> bool {
        self.over
    }
}
