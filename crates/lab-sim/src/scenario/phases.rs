//! The run from its start to its end: phases, and when it is calm.

use lab_model::{Actor, Phase, PhaseKind, Span};
use lab_trace::{FaultKind, PhaseMark, ProcessMarkKind};

use crate::{
    hardware::{agenda::SimEvent, clock::EPOCH},
    kernel::errors::KILLED,
    machine::Machine,
    participants::{
        deciders::client_connected,
        driving::drive,
        headers::headers,
        joining::{announce_client, announce_driver, behave},
        lives::ProcessNumbers,
        observers::{forget_unread, tell_of_unread},
        waits::look_for_cycle,
        worker_processes::start_outside,
    },
    records::{sink::Sink, tally::Cut},
    scenario::faults::{end_faults, end_outside, no_more_faults, plan_faults},
};

/// Between two phases.
const GAP: u64 = 1_000_000;

/// The run begins: everybody's trace, and the driver.
pub(crate) fn begin_script<S: Sink>(machine: &mut Machine<'_, S>) {
    let headers = headers(machine);
    machine.recorder.sink().open(&headers, machine.kernel.files());
    announce_driver(machine);
    machine.clock.enter_after(machine.lab.safety.run_max.nanos(), SimEvent::RunTooLong);
    machine.script.plan_step(GAP, &mut machine.clock);
}

/// The next step, if it is the one that is due: a phase begins or ends, or clients start.
pub(crate) fn script_step<S: Sink>(machine: &mut Machine<'_, S>, step: u32) {
    if !machine.script.is_due(step) {
        return;
    }
    if machine.script.phase().is_some() {
        end_phase(machine);
        return;
    }
    let Some(phase) = machine.script.next_phase() else {
        finish(machine);
        return;
    };
    if phase.kind != PhaseKind::Baseline && machine.script.starts_clients() {
        start_clients(machine);
        machine.script.plan_step(machine.pricing.costs().start_client, &mut machine.clock);
        return;
    }
    begin_phase(machine, phase);
}

fn start_clients<S: Sink>(machine: &mut Machine<'_, S>) {
    start_outside(machine);
    for client in 0..machine.participants.clients().len() {
        announce_client(machine, client, ProcessMarkKind::Started);
        announce_client(machine, client, ProcessMarkKind::Ready);
    }
    client_connected(machine);
}

fn begin_phase<S: Sink>(machine: &mut Machine<'_, S>, phase: Phase) {
    if phase.kind == PhaseKind::Storm {
        machine.faults.behave();
        for client in 0..machine.participants.clients().len() {
            if machine.participants.clients()[client].is_listening() {
                let behavior = machine.faults.behavior_due(machine.lab, client);
                behave(machine, client, behavior);
            }
        }
        plan_faults(machine);
    }
    let span = phase.span.nanos();
    machine.script.begin_phase(phase, machine.clock.now());
    machine.recorder.mark_phase(&PhaseMark { at: machine.clock.ticks(), phase: phase.kind, begins: true });
    match phase.kind {
        PhaseKind::Drain => machine.script.plan_step(span, &mut machine.clock),
        PhaseKind::Baseline | PhaseKind::Control | PhaseKind::External => {
            begin_drive(machine, phase.kind, phase.span)
        }
        PhaseKind::Storm => {
            machine.script.plan_step(span, &mut machine.clock);
            begin_drive(machine, phase.kind, phase.span);
        }
    }
}

fn begin_drive<S: Sink>(machine: &mut Machine<'_, S>, kind: PhaseKind, span: Span) {
    machine.script.drive_until_the_end();
    drive(machine, kind, span);
}

fn end_phase<S: Sink>(machine: &mut Machine<'_, S>) {
    close_phase(machine);
    machine.script.stop_driving(machine.clock.now());
    let next = machine.script.turn_to_next_phase();
    if next.is_none() {
        let in_flight = in_flight(machine);
        machine.recorder.tally().left_in_flight(in_flight);
    }
    // The drain follows on the storm at once: what is under way is what it is about.
    machine.script.plan_step(if next == Some(PhaseKind::Drain) { 0 } else { GAP }, &mut machine.clock);
}

fn in_flight<S: Sink>(machine: &Machine<'_, S>) -> u64 {
    machine.participants.under_way() + machine.kernel.under_way() as u64
}

/// In the drain: when nothing is under way any more, calm begins.
pub(crate) fn watch_for_calm<S: Sink>(machine: &mut Machine<'_, S>) {
    let calm = in_flight(machine) == 0 && !machine.faults.more_is_planned();
    machine.script.watch_for_calm(calm, &mut machine.clock);
}

pub(crate) fn calm_over<S: Sink>(machine: &mut Machine<'_, S>, calm: u32) {
    machine.script.calm_over(calm, &mut machine.clock);
}

pub(crate) fn run_too_long<S: Sink>(machine: &mut Machine<'_, S>) {
    machine.recorder.fault(machine.clock.ticks(), FaultKind::RunTooLong, Actor::ORCHESTRATOR, 0);
    close_phase_and_finish(machine, Some(Cut::RunMax));
}

/// The caller's limit on decisions is reached.
pub(crate) fn cut<S: Sink>(machine: &mut Machine<'_, S>) {
    close_phase_and_finish(machine, Some(Cut::DecisionsMax));
}

fn close_phase<S: Sink>(machine: &mut Machine<'_, S>) {
    if let Some(phase) = machine.script.end_phase() {
        if phase == PhaseKind::Storm {
            no_more_faults(machine);
        }
        machine.recorder.mark_phase(&PhaseMark { at: machine.clock.ticks(), phase, begins: false });
        let span = machine.clock.now() - machine.script.phase_began();
        machine.recorder.tally().phase_ended(phase, span);
    }
}

fn close_phase_and_finish<S: Sink>(machine: &mut Machine<'_, S>, cut: Option<Cut>) {
    machine.recorder.tally().cut(cut);
    close_phase(machine);
    let in_flight = in_flight(machine);
    machine.recorder.tally().left_in_flight(in_flight);
    finish(machine);
}

fn finish<S: Sink>(machine: &mut Machine<'_, S>) {
    machine.clock.reach_what_is_recorded();
    if machine.recorder.is_in_flight() {
        look_for_cycle(machine);
    }
    end_faults(machine);
    let at = machine.clock.ticks();
    for client in 0..machine.participants.clients().len() {
        if let Some(ProcessNumbers { actor, pid }) = machine.participants.end_dying_client(client) {
            forget_unread(machine, client);
            machine.recorder.mark_end(machine.clock.ticks(), actor, pid, KILLED);
        }
        if let Some(ProcessNumbers { actor, pid }) = machine.participants.end_living_client(client) {
            tell_of_unread(machine, client);
            machine.recorder.sink().close(actor, at);
            machine.recorder.mark_end(machine.clock.ticks(), actor, pid, 0);
        }
    }
    end_outside(machine, None);
    let ProcessNumbers { actor, pid } = machine.participants.driver_numbers();
    machine.recorder.sink().close(actor, at);
    machine.recorder.mark_end(at, actor, pid, 0);
    machine.recorder.sink().close(Actor::ORCHESTRATOR, at);
    machine.recorder.tally().ended(machine.clock.now() - EPOCH, machine.script.late_by_quarter());
    machine.script.finish();
}
