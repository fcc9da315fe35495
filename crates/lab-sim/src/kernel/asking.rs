//! How the kernel asks about an operation, by two delivery rules, and how answers reach it.
//!
//! fanotify asks one group after the other, and the opener itself carries the question on. Endpoint Security asks all
//! clients but the subject's own at once and waits for all of them.

use lab_model::Verdict;
use lab_trace::LossKind;

use crate::{
    hardware::slab::Key,
    kernel::operation::{Asked, Lineage, Operation},
    machine::Machine,
    records::sink::Sink,
};

/// What the next questions will cost the opener; `None` when nobody is left to ask.
pub(crate) fn asking_cost<S: Sink>(machine: &mut Machine<'_, S>, operation: &Operation) -> Option<u64> {
    let (kernel, clients) = (&machine.kernel, machine.participants.clients());
    let (mut asked, mut wakes) = (0, 0);
    let mut count = |client: u16| {
        asked += 1;
        wakes += u64::from(machine.scheduler.is_blocked(clients[usize::from(client)].reader()));
    };
    if kernel.rules().asks_in_turn() {
        kernel.next_asked(clients, operation).into_iter().for_each(|(_, _, client)| count(client));
    } else {
        let pass = kernel.next_pass(clients, operation)?;
        let question = operation.question_of(pass, kernel.files());
        let all = 0..machine.participants.clients_max();
        all.filter(|&client| kernel.asks(clients, client, &question)).for_each(count);
    }
    let costs = machine.pricing.costs();
    let cost = asked * costs.ask + wakes * costs.wake_up;
    (asked > 0).then(|| machine.pricing.draw(cost))
}

/// Puts the next questions about an operation; false when there are none.
pub(crate) fn ask<S: Sink>(machine: &mut Machine<'_, S>, key: Key) -> bool {
    if machine.kernel.rules().asks_in_turn() { ask_one(machine, key) } else { ask_all(machine, key) }
}

/// fanotify: one group after the other, pass after pass; a deny ends it all.
fn ask_one<S: Sink>(machine: &mut Machine<'_, S>, key: Key) -> bool {
    let kernel = &mut machine.kernel;
    let Some(&operation) = kernel.operation(key) else { return false };
    let Some((pass, place, client)) = kernel.next_asked(machine.participants.clients(), &operation) else {
        return false;
    };
    kernel.waits(key, pass, place + 1, 1);
    let question = operation.question_of(pass, kernel.files());
    put(machine, key, question, client);
    true
}

/// Endpoint Security: every client but the subject's own at once; the operation waits for all of them.
fn ask_all<S: Sink>(machine: &mut Machine<'_, S>, key: Key) -> bool {
    while let Some(&operation) = machine.kernel.operation(key) {
        let Some(pass) = machine.kernel.next_pass(machine.participants.clients(), &operation) else {
            return false;
        };
        let question = operation.question_of(pass, machine.kernel.files());
        let mut asked = 0;
        for client in 0..machine.participants.clients_max() {
            if !machine.kernel.asks(machine.participants.clients(), client, &question) {
                continue;
            }
            if !machine.participants.has_room(usize::from(client)) {
                machine.recorder.tally().dropped();
                continue;
            }
            asked += 1;
            put(machine, key, question, client);
        }
        // Nobody has answered yet: an answer leaves at the end of a piece of work, which this is not.
        machine.kernel.waits(key, pass, 1, asked);
        if asked > 0 {
            return true;
        }
    }
    false
}

/// Puts one question into a client's queue.
fn put<S: Sink>(machine: &mut Machine<'_, S>, operation: Key, question: Asked, client: u16) {
    let now = machine.clock.now();
    let due = now.saturating_add(machine.kernel.deadline());
    let reader = machine.participants.put(client, operation, &question, now, due);
    machine.recorder.tally().asked(client, question.lineage, machine.participants.pending());
    if matches!(question.lineage, Lineage::Feedback(_)) && machine.script.drains_late(now) {
        machine.recorder.tally().feeds_itself_late();
    }
    machine.wake(reader);
    machine.kernel.watch_deadline(due, &mut machine.clock);
}

/// A client's answer reaches the kernel.
pub(crate) fn answer_reaches<S: Sink>(machine: &mut Machine<'_, S>, key: Key, verdict: Verdict) {
    if let Some(thread) = machine.kernel.answered(key, verdict == Verdict::Deny) {
        machine.wake(thread);
    }
}

/// Takes the operations of a killed process off the kernel: unread questions vanish, read ones remain
/// with their readers, who answer for nobody.
pub(crate) fn cancel<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) {
    debug_assert!(machine.scheduler.is_dead(thread), "only the dead are cancelled");
    let key = machine.participants.operation_of(thread);
    if machine.kernel.end(key).is_some() {
        machine.participants.withdraw(key);
    }
}

/// The kernel denies the opens about which a client could not be told.
pub(crate) fn deny_unread<S: Sink>(machine: &mut Machine<'_, S>, client: usize) {
    for operation in machine.participants.take_exhausted(client) {
        let actor = machine.participants.clients()[client].actor();
        machine.recorder.lose(machine.clock.ticks(), actor, LossKind::Events, 1);
        answer_reaches(machine, operation, Verdict::Deny);
    }
}
