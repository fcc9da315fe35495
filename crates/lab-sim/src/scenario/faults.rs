//! Planned faults: the course that a live run's controller takes, in virtual time.
//!
//! The same steps are recorded at the same turns, so that the analysis of live runs shades what was disturbed and
//! counts what a dead client approved. What a fault costs nobody measured is not modelled: a signal, a change of
//! behaviour and a limit take effect at once, but a thread finishes its piece of work first.

use lab_model::{Actor, Effect, FaultStage};
use lab_trace::{FaultKind, PlannedStep};
use lab_workload::{FaultStep, Participant, PendingChange};

use crate::{
    hardware::{NONE, agenda::SimEvent},
    kernel::{asking::cancel, errors::KILLED},
    machine::Machine,
    participants::{
        joining::behave,
        lives::ProcessNumbers,
        requests::{fail_on_channel, forget_requests, rouse},
        target::Target,
        threads::Step,
    },
    records::sink::Sink,
};

/// The storm begins: times count from now.
pub(crate) fn plan_faults<S: Sink>(machine: &mut Machine<'_, S>) {
    machine.faults.planned.storm_begins(machine.clock.now());
    for place in 0..machine.lab.faults.len() {
        if let Some(at) = machine.faults.planned.due(place) {
            let place = u32::try_from(place).unwrap_or(NONE);
            machine.clock.enter(at, SimEvent::FaultBegins { place });
        }
    }
}

/// The storm is over: what has not begun never will.
pub(crate) fn no_more_faults<S: Sink>(machine: &mut Machine<'_, S>) {
    let steps = machine.faults.planned.storm_ends();
    take_fault_steps(machine, steps);
}

/// The run ends: takes back what is still in effect, and nobody comes back any more.
pub(crate) fn end_faults<S: Sink>(machine: &mut Machine<'_, S>) {
    for place in 0..machine.lab.faults.len() {
        fault_ends(machine, place);
    }
    machine.faults.restarts.stop();
}

pub(crate) fn fault_begins<S: Sink>(machine: &mut Machine<'_, S>, place: usize) {
    let on = &machine.lab.faults[place].on;
    let target = match machine.participants.target(machine.lab, on) {
        Some((_, actor)) => lab_workload::Target::Present(actor),
        None => {
            let whom = Participant::named(machine.lab, on);
            let returns = whom.is_some_and(|whom| machine.faults.restarts.expects(whom));
            if returns { lab_workload::Target::Returning } else { lab_workload::Target::Gone }
        }
    };
    let steps = machine.faults.planned.begin(place, machine.clock.now(), target);
    take_fault_steps(machine, steps);
}

pub(crate) fn fault_ends<S: Sink>(machine: &mut Machine<'_, S>, place: usize) {
    let steps = machine.faults.planned.end(place);
    take_fault_steps(machine, steps);
}

fn take_fault_steps<S: Sink>(machine: &mut Machine<'_, S>, steps: Vec<FaultStep>) {
    for step in steps {
        match step {
            FaultStep::Record { place, actor, stage } => {
                record_step(machine, place, actor, stage);
                if stage == FaultStage::Begins
                    && let Some(until) = machine.faults.planned.due(place)
                {
                    let place = u32::try_from(place).unwrap_or(NONE);
                    machine.clock.enter(until, SimEvent::FaultEnds { place });
                }
            }
            FaultStep::Begin { place, actor, effect } => begin_effect(machine, place, actor, effect),
            FaultStep::End { place, actor, effect } => end_effect(machine, place, actor, effect),
            FaultStep::Tell { place, then } => tell(machine, place, then),
        }
    }
}

fn record_step<S: Sink>(machine: &mut Machine<'_, S>, place: usize, actor: Actor, stage: FaultStage) {
    let kind = FaultKind::Planned(machine.lab.faults[place].action.kind());
    let step = PlannedStep { place: u32::try_from(place).unwrap_or(u32::MAX), stage };
    machine.recorder.fault(machine.clock.ticks(), kind, actor, step.detail());
}

fn begin_effect<S: Sink>(machine: &mut Machine<'_, S>, place: usize, actor: Actor, effect: Effect) {
    match (effect, machine.participants.process(actor)) {
        (Effect::Standstill(_), _) => {
            for (target, _) in standing(machine, place, actor) {
                stop(machine, target);
            }
        }
        (Effect::Death { .. }, Some(Target::Client(client))) => kill(machine, client),
        (Effect::Death { .. }, Some(Target::WorkerProcess(place))) => kill_outsider(machine, place),
        (Effect::Load { threads }, _) => load(machine, place, threads),
        (Effect::Descriptors { limit }, _) => {
            machine.kernel.limit_descriptors(actor, limit);
        }
        // Nobody kills the driver, and who is gone is past everything.
        (Effect::Death { .. } | Effect::Behavior, _) => {}
    }
}

/// Whom a fault makes stand still, with their names: one process, or all living ones that it covers.
fn standing<S: Sink>(machine: &Machine<'_, S>, place: usize, actor: Actor) -> Vec<(Target, String)> {
    let fault = &machine.lab.faults[place];
    if actor != Actor::UNKNOWN {
        let target = machine.participants.process(actor);
        return target.into_iter().map(|target| (target, fault.on.clone())).collect();
    }
    let mut living = machine.participants.living(machine.lab);
    living.retain(|(_, name)| fault.covers(name));
    living
}

fn end_effect<S: Sink>(machine: &mut Machine<'_, S>, place: usize, actor: Actor, effect: Effect) {
    match effect {
        Effect::Standstill(means) => {
            for (target, name) in standing(machine, place, actor) {
                // What the other means has stopped stays so.
                if !machine.faults.planned.stands_still(&name, Some(means.other())) {
                    go_on(machine, target);
                }
            }
        }
        Effect::Load { .. } => {
            for thread in machine.faults.loads.remove(&place).into_iter().flatten() {
                machine.scheduler.kill(thread);
            }
        }
        Effect::Descriptors { .. } => {
            machine.kernel.unlimit_descriptors(actor);
        }
        Effect::Death { .. } | Effect::Behavior => {}
    }
}

/// Stops a process. What a thread is just doing it finishes.
fn stop<S: Sink>(machine: &mut Machine<'_, S>, target: Target) {
    for thread in machine.participants.threads_of(target) {
        machine.scheduler.stop(thread);
    }
}

fn go_on<S: Sink>(machine: &mut Machine<'_, S>, target: Target) {
    let actor = machine.participants.actor_of(target);
    let threads = machine.participants.threads_of(target);
    for &thread in &threads {
        machine.scheduler.release(thread);
    }
    for told in machine.faults.planned.following(|by| by == actor) {
        follow(machine, told);
    }
    for thread in threads {
        if machine.scheduler.resume(thread) {
            machine.wake(thread);
        }
    }
}

/// Tells a participant how to work now, if it is there. A stopped one does not hear of it before it goes on.
fn tell<S: Sink>(machine: &mut Machine<'_, S>, place: usize, then: FaultStage) {
    let Some((target, actor)) = machine.participants.target(machine.lab, &machine.lab.faults[place].on)
    else {
        return;
    };
    let by = machine.participants.told_by(target);
    let told = PendingChange { place, actor, by, then };
    if is_stopped(machine, by) {
        machine.faults.planned.await_change(told);
    } else {
        follow(machine, told);
    }
}

fn follow<S: Sink>(machine: &mut Machine<'_, S>, told: PendingChange) {
    match machine.participants.process(told.actor) {
        // A process that is not ready yet gets the behaviour that is due when it is.
        Some(Target::Client(client)) if machine.participants.clients()[client].is_listening() => {
            let behavior = machine.faults.behavior_due(machine.lab, client);
            behave(machine, client, behavior);
        }
        Some(Target::Client(_)) => {}
        Some(Target::WorkerProcess(place)) => serve_as_due(machine, place),
        Some(Target::Driver) | None => return,
    }
    record_step(machine, told.place, told.actor, told.then);
}

/// A helper or a daemon serves as is due from the next request on.
pub(crate) fn serve_as_due<S: Sink>(machine: &mut Machine<'_, S>, place: usize) {
    let name = machine.participants.worker_process_name(place);
    let Some(service) = machine.faults.planned.service(machine.lab, name) else { return };
    for _ in 0..machine.participants.serve(place, service) {
        rouse(machine, place);
    }
}

/// Lets threads that never rest compete for the processors.
fn load<S: Sink>(machine: &mut Machine<'_, S>, place: usize, threads: u16) {
    let first = machine.scheduler.count();
    for number in 0..threads {
        let thread = machine.add_thread(NONE, number, Step::Burn);
        machine.wake(thread);
    }
    machine.faults.loads.insert(place, first..first + u32::from(threads));
}

/// A process has gone: what was done to it is over, and it hears of nothing any more.
pub(crate) fn target_gone<S: Sink>(machine: &mut Machine<'_, S>, actor: Actor) {
    machine.kernel.unlimit_descriptors(actor);
    let steps = machine.faults.planned.target_died(actor);
    take_fault_steps(machine, steps);
}

/// Kills a client: its threads stop at once, and what waits for it is let go a little later.
pub(crate) fn kill<S: Sink>(machine: &mut Machine<'_, S>, client: usize) {
    machine.participants.kill_client(client);
    end_threads(machine, Target::Client(client));
    let number = u32::try_from(client).unwrap_or(NONE);
    end_outside(machine, Some(number));
    forget_requests(machine, number);
    let at = machine.clock.now() + machine.pricing.draw(machine.pricing.costs().kill_release);
    machine.clock.enter(at, SimEvent::Released { client: number });
}

/// Kills one helper, or one process of a daemon.
fn kill_outsider<S: Sink>(machine: &mut Machine<'_, S>, place: usize) {
    let name = machine.participants.worker_process_name(place).to_owned();
    let ProcessNumbers { actor, pid } = machine.participants.kill_worker_process(place);
    end_threads(machine, Target::WorkerProcess(place));
    machine.recorder.mark_end(machine.clock.ticks(), actor, pid, KILLED);
    target_gone(machine, actor);
    for key in machine.participants.carried_by(place) {
        fail_on_channel(machine, key);
    }
    let daemon = machine.participants.daemon_at(place);
    let after = daemon.and_then(|_| machine.faults.comes_back(&name));
    if let (Some(daemon), Some(after)) = (daemon, after)
        && let Some(due) =
            machine.faults.restarts.plan(Participant::Daemon(daemon), after, machine.clock.now())
    {
        let daemon = u32::try_from(daemon).unwrap_or(NONE);
        machine.clock.enter(due, SimEvent::DaemonAgain { daemon });
    }
}

/// The threads of a process stop for good, in the middle of whatever they do.
fn end_threads<S: Sink>(machine: &mut Machine<'_, S>, target: Target) {
    for thread in machine.participants.threads_of(target) {
        machine.scheduler.kill(thread);
        cancel(machine, thread);
    }
}

/// Ends the worker processes that still run; with a client only its helpers, whose channels break with it.
pub(crate) fn end_outside<S: Sink>(machine: &mut Machine<'_, S>, of_client: Option<u32>) {
    for place in 0..machine.participants.worker_processes() {
        let ended = machine.participants.end_worker_process(place, of_client);
        let Some(ProcessNumbers { actor, pid }) = ended else { continue };
        if of_client.is_some() {
            end_threads(machine, Target::WorkerProcess(place));
        }
        machine.recorder.sink().close(actor, machine.clock.ticks());
        machine.recorder.mark_end(machine.clock.ticks(), actor, pid, 0);
        target_gone(machine, actor);
    }
}

fn is_stopped<S: Sink>(machine: &Machine<'_, S>, actor: Actor) -> bool {
    machine.participants.first_thread(actor).is_some_and(|thread| machine.scheduler.is_stopped(thread))
}
