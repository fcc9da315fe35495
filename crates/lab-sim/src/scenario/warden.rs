//! Deadlines: who is overdue, and what happens to it.

use lab_trace::FaultKind;

use crate::{
    hardware::slab::Key, machine::Machine, participants::waits::look_for_cycle, records::sink::Sink,
    scenario::faults::kill,
};

/// Kills every client that is overdue, and looks again when the next one may be.
///
/// Any question put from now on is due later than any put before, so one check on the agenda is enough.
pub(crate) fn check_deadlines<S: Sink>(machine: &mut Machine<'_, S>) {
    let mut next = None::<u64>;
    for client in 0..machine.participants.clients().len() {
        let Some((due, key)) = machine.participants.clients()[client].first_due() else { continue };
        if due <= machine.clock.now() {
            deadline_kill(machine, client, key);
        } else {
            next = Some(next.map_or(due, |next| next.min(due)));
        }
    }
    machine.kernel.watched(next, &mut machine.clock);
}

fn deadline_kill<S: Sink>(machine: &mut Machine<'_, S>, client: usize, overdue: Key) {
    look_for_cycle(machine);
    let state = &machine.participants.clients()[client];
    let detail = state.record_of(overdue).unwrap_or(u64::MAX);
    machine.recorder.fault(machine.clock.ticks(), FaultKind::DeadlineKill, state.actor(), detail);
    machine.recorder.tally().killed();
    kill(machine, client);
}
