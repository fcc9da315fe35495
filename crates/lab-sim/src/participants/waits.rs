//! Who waits for whom, and whether clients wait for each other in a circle that only a kill can open.

use crate::{
    hardware::{NONE, slab::Key},
    machine::Machine,
    participants::{client::Client, threads::Step},
    records::{sink::Sink, tally::Cycle},
};

/// Looks whether clients wait for each other in a circle that only a kill can open.
pub(crate) fn look_for_cycle<S: Sink>(machine: &mut Machine<'_, S>) {
    if !machine.recorder.has_cycle() {
        let members = stuck(machine);
        if !members.is_empty() {
            machine.recorder.tally().cycle(Cycle { at: machine.clock.now(), clients: members });
        }
    }
}

/// The clients that have a decision which cannot be answered whatever the threads do: the complement of
/// the smallest set of decisions and operations that can go on.
///
/// An operation goes on when all it waits for does. A decision goes on when it is not read yet, when its
/// answer is about to leave, when the budget will answer it, or when the operation of its worker goes on, or
/// the request that its worker waits for; one that waits for a worker does when any worker of the client does.
fn stuck<S: Sink>(machine: &Machine<'_, S>) -> Vec<u16> {
    let mut going: Vec<Vec<bool>> = machine.participants.clients.iter().map(|_| Vec::new()).collect();
    loop {
        let mut changed = false;
        for client in 0..machine.participants.clients.len() {
            changed |= spread(machine, client, &mut going);
        }
        if !changed {
            break;
        }
    }
    let stuck = |state: &Client, going: &[bool]| {
        state.alive && state.decisions.iter().any(|(key, _)| !going[key.place as usize])
    };
    let clients = (0_u16..).zip(machine.participants.clients.iter().zip(&going));
    clients.filter(|(_, (state, going))| stuck(state, going)).map(|(client, _)| client).collect()
}

/// Marks the decisions of a client that can go on because of what is marked already; true if there were any.
fn spread<S: Sink>(machine: &Machine<'_, S>, client: usize, going: &mut [Vec<bool>]) -> bool {
    let state = &machine.participants.clients[client];
    if !state.alive {
        return false;
    }
    let workers_go = any_worker_goes(machine, client, going);
    let leaving = |key| {
        let mut due = state.batch.answers.iter().chain(&state.fallbacks.answers);
        due.any(|&(answered, ..)| answered == key)
    };
    let mut changed = false;
    for (key, decision) in state.decisions.iter() {
        let place = key.place as usize;
        if going[client].len() <= place {
            going[client].resize(place + 1, false);
        }
        if going[client][place] {
            continue;
        }
        let answerable =
            decision.answered || decision.read.is_none() || decision.answer.is_some() || decision.budgeted;
        let goes = answerable
            || match decision.worker {
                NONE => workers_go,
                worker => thread_goes(machine, worker, going),
            }
            || leaving(key);
        going[client][place] = goes;
        changed |= goes;
    }
    changed
}

/// A worker that rests has nothing to wait for and nothing to offer: the core hands out a waiting decision
/// as soon as fewer tasks are under way than it may have, which only the busy ones decide.
fn any_worker_goes<S: Sink>(machine: &Machine<'_, S>, client: usize, going: &[Vec<bool>]) -> bool {
    let (first, count) = machine.participants.clients[client].workers;
    (first..first + u32::from(count)).any(|worker| {
        !machine.participants.clients[client].idle.contains(&worker) && thread_goes(machine, worker, going)
    })
}

fn thread_goes<S: Sink>(machine: &Machine<'_, S>, thread: u32, going: &[Vec<bool>]) -> bool {
    if !machine.scheduler.is_blocked(thread) {
        return !machine.scheduler.is_dead(thread);
    }
    let thread = &machine.participants.threads[thread as usize];
    if thread.step == Step::Replied {
        return request_goes(machine, thread.request, &|worker_process| {
            thread_goes(machine, worker_process, going)
        });
    }
    if machine.kernel.operation(thread.operation).is_none() {
        return true;
    }
    let waits_for = |(client, state): (usize, &Client)| {
        state.decisions.iter().all(|(key, decision)| {
            let asked = decision.operation == thread.operation && !decision.answered;
            !asked || !state.alive || going[client].get(key.place as usize).copied().unwrap_or(false)
        })
    };
    machine.participants.clients.iter().enumerate().all(waits_for)
}

/// True when a request that a client's worker waits for can still be carried out, as far as `goes` knows of
/// threads: by the thread that has it, or by any of those whom it is put to.
fn request_goes<S: Sink>(machine: &Machine<'_, S>, key: Key, goes: &dyn Fn(u32) -> bool) -> bool {
    let Some(request) = machine.participants.requests.get(key) else { return true };
    let threads = |worker_process: u32| {
        let (first, count) = machine.participants.worker_processes[worker_process as usize].threads;
        first..first + u32::from(count)
    };
    if request.worker_process != NONE {
        let own = threads(request.worker_process);
        let busy = own.clone().find(|&thread| machine.participants.threads[thread as usize].request == key);
        return busy.map_or_else(|| own.clone().any(goes), goes);
    }
    let request_queue =
        machine.participants.clients[request.client as usize].request_queues.get(request.whom);
    let Some((first, count)) = request_queue.map(|request_queue| request_queue.group) else {
        return true;
    };
    (first..first + count).flat_map(threads).any(goes)
}
