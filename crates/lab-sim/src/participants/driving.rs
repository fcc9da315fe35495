//! What the driver's threads do: their operations, each at its planned time, and what becomes of the files.

use lab_model::{Cause, NotifyEvent, NotifyEvents, OperationKind, PhaseKind, Span, Ticks};
use lab_trace::OperationBegin;
use lab_workload::{Action, PhaseLimits, Planned};

use crate::{
    hardware::{NONE, scheduler::Next, slab::Key},
    kernel::{
        operation::{Lineage, Linkage, Operation},
        subject::Subject,
    },
    machine::Machine,
    participants::{growing::plant, notifying::notify, threads::Step},
    records::sink::Sink,
};

/// The workload begins for a phase.
pub(crate) fn drive<S: Sink>(machine: &mut Machine<'_, S>, phase: PhaseKind, span: Span) {
    let operations_max = match phase {
        PhaseKind::Baseline => Some(machine.lab.safety.baseline_operations_max),
        PhaseKind::Control | PhaseKind::External | PhaseKind::Storm | PhaseKind::Drain => None,
    };
    let limits = PhaseLimits { phase, span, operations_max };
    let schedules = lab_workload::schedules(&machine.lab.workload, machine.seed, &limits);
    machine.participants.driver.active = machine.participants.driver.workers.len();
    let mut threads = Vec::with_capacity(machine.participants.driver.workers.len());
    for (worker, schedule) in machine.participants.driver.workers.iter_mut().zip(schedules) {
        worker.schedule = Some(schedule);
        threads.push(worker.thread);
    }
    for thread in threads {
        if driver_next(machine, thread) == Next::Continue {
            machine.wake(thread);
        }
    }
}

/// What a driver thread does next: its next operation, now or at its planned time, or nothing more.
pub(crate) fn driver_next<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let number = usize::from(machine.participants.threads[thread as usize].number);
    let (began, ends) = (machine.script.phase_began(), machine.script.drive_ends());
    let worker = &mut machine.participants.driver.workers[number];
    let planned = worker.schedule.as_mut().filter(|_| machine.clock.now() < ends).and_then(Iterator::next);
    worker.planned = planned;
    let Some(planned) = planned else {
        if worker.schedule.take().is_some() {
            driver_done(machine);
        }
        return Next::Block;
    };
    machine.participants.threads[thread as usize].step = Step::Begin;
    let at = planned.offset.map_or(machine.clock.now(), |offset| began.saturating_add(offset));
    if at > machine.clock.now() {
        machine.sleep(thread, at);
        return Next::Block;
    }
    machine.script.late(machine.clock.now(), machine.clock.now() - at);
    Next::Continue
}

/// Every client has died and none comes back, so the workload alone shows nothing more: it ends with what is
/// under way.
pub(crate) fn halt<S: Sink>(machine: &mut Machine<'_, S>) {
    machine.script.stop_driving(machine.clock.now());
    for number in 0..machine.participants.driver.workers.len() {
        let thread = machine.participants.driver.workers[number].thread;
        let state = &machine.participants.threads[thread as usize];
        let sleeps = machine.scheduler.is_blocked(thread) && state.operation == Key::NONE;
        if sleeps && machine.participants.driver.workers[number].schedule.take().is_some() {
            machine.scheduler.forget_wait(thread);
            driver_done(machine);
        }
    }
}

fn driver_done<S: Sink>(machine: &mut Machine<'_, S>) {
    machine.participants.driver.active -= 1;
    if machine.participants.driver.active == 0 {
        machine.script.workload_done(&mut machine.clock);
    }
}

/// The next operation of the driver's schedule, and what it costs up to the first question.
pub(crate) fn driver_operation<S: Sink>(
    machine: &mut Machine<'_, S>,
    thread: u32,
    start: u64,
) -> (Operation, u64) {
    let state = machine.participants.threads[thread as usize];
    let planned = machine.participants.driver.workers[usize::from(state.number)].planned;
    let planned = planned.expect("a driver thread that begins has something to do");
    let (kind, linkage) = match planned.action {
        Action::Open { .. } | Action::Write { .. } | Action::Create => (OperationKind::Open, Linkage::Static),
        Action::Exec(program) => (OperationKind::Exec, Linkage::of(program)),
        Action::Tree | Action::Run => (OperationKind::Exec, Linkage::Static),
    };
    let subject = match kind {
        OperationKind::Open => Subject {
            pid: machine.participants.driver.pid,
            tid: state.tid,
            client: NONE,
            parent: NONE,
            behalf: NONE,
            actor: machine.participants.driver.actor,
        },
        // Labs with commands are refused before: see `not_simulated`.
        OperationKind::Exec | OperationKind::Process => machine.participants.driver.new_program(NONE),
    };
    let at = planned.offset.map(|offset| machine.script.phase_began().saturating_add(offset));
    let file = file_of(machine, thread, &planned);
    if machine.kernel.opens_for(planned.action, file) {
        machine.participants.forget_file(file);
    }
    let begin = OperationBegin {
        started: machine.clock.stamp(start),
        subject: machine.kernel.named(subject),
        cause: Cause::Workload,
        planned: at.map(Ticks),
        kind,
        worker: state.number,
        phase: machine.script.phase(),
        parent: None,
    };
    let record = machine.recorder.sink().begin_operation(machine.participants.driver.actor, &begin);
    machine.recorder.tally().began_root();
    if planned.action == Action::Tree {
        plant(machine, thread, planned.load, &begin);
    }
    let mut entry = linkage.entry_cost(kind, machine.pricing.costs());
    if kind == OperationKind::Exec {
        entry += machine.pricing.costs().exec_cold_after(machine.scheduler.away(thread));
    }
    if planned.action == Action::Tree {
        entry += machine.pricing.costs().exec_tree;
    }
    let passes = machine.kernel.passes(kind, linkage);
    let operation = Operation::begun(thread, record, &begin, subject, file, passes, Lineage::Root);
    (operation, entry)
}

/// The file of a driver's next operation.
fn file_of<S: Sink>(machine: &Machine<'_, S>, thread: u32, planned: &Planned) -> u32 {
    if planned.action != Action::Create {
        return machine.kernel.files().of(planned.load, planned.action);
    }
    let before = lab_workload::workers(&machine.lab.workload[..planned.load]);
    let number = usize::from(machine.participants.threads[thread as usize].number);
    machine.kernel.files().created(planned.load, number.saturating_sub(before))
}

/// The driver's thread has the file open, or was denied it: writes to it, or removes it, and closes it.
/// Returns what that costs.
pub(crate) fn wrote<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, operation: &Operation) -> u64 {
    let file = operation.file;
    let Some(planned) = machine.participants.planned_by(thread) else { return 0 };
    if !matches!(planned.action, Action::Write { .. } | Action::Create) {
        return 0;
    }
    machine.kernel.written(file);
    if operation.denied {
        return 0;
    }
    if matches!(planned.action, Action::Write { .. }) {
        machine.participants.forget_file(file);
    }
    let told = match planned.action {
        Action::Create => NotifyEvent::Unlink,
        _ => NotifyEvent::Write,
    };
    let tail = notify(machine, NotifyEvents::of(told), file, operation.subject);
    machine.scheduler.prolong(tail);
    // One more call, as long as reading a little.
    machine.pricing.costs().read_content
}
