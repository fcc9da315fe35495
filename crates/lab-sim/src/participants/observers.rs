//! What a client's observer makes of what it is told (NOTIFY). Nobody waits for an observer; what its client does then is
//! work for its workers like any other.

use lab_client_core::{Input, Question, Task};
use lab_model::{EventKind, SubjectClass, ThreadId, Ticks};
use lab_trace::{LossKind, Notice, RecordId};

use crate::{
    hardware::{NONE, scheduler::Next, slab::Key},
    machine::Machine,
    participants::{
        client::{By, Decision},
        deciders::{apply, let_go, retire},
        notices::Happened,
        threads::Plan,
    },
    records::sink::Sink,
};

/// Sets an observer's draws apart from its reader's.
const DRAW: u64 = 0x6e6f_7469_6365;

/// A notice that its client reacts to.
struct Reaction {
    read: u64,
    event: EventKind,
    class: SubjectClass,
    record: RecordId,
    /// What it does.
    task: Task,
}

/// An observer takes in what lies unread: on fanotify a batch at a time.
pub(crate) fn enter_hear<S: Sink>(machine: &mut Machine<'_, S>, thread: u32, start: u64) -> u64 {
    let client = machine.participants.client_of(thread);
    let in_batches = machine.kernel.rules().delivers_in_batches();
    let most = if in_batches { usize::from(machine.pricing.costs().batch_max) } else { 1 };
    let count = machine.participants.clients[client].notices.unread.len().min(most);
    let read = start
        + machine
            .pricing
            .draw(machine.pricing.costs().read_call + count as u64 * machine.pricing.costs().read_event);
    let dropped = std::mem::take(&mut machine.participants.clients[client].notices.dropped);
    let actor = machine.participants.clients[client].actor;
    machine.recorder.lose(Ticks(read), actor, LossKind::Notices, dropped);
    for _ in 0..count {
        if let Some(happened) = machine.participants.clients[client].notices.pop() {
            machine.participants.unread -= 1;
            hear(machine, client, read, &happened);
        }
    }
    let wakes = machine.participants.clients[client].reactions.wakes.len() as u64;
    // It finds out which file each is about and closes it again.
    let each = machine.pricing.costs().decide + machine.pricing.costs().release;
    read + machine.pricing.draw(count as u64 * each + wakes * machine.pricing.costs().wake_up)
}

pub(crate) fn leave_hear<S: Sink>(machine: &mut Machine<'_, S>, thread: u32) -> Next {
    let client = machine.participants.client_of(thread);
    let_go(machine, client, By::Observer);
    if machine.participants.clients[client].notices.unread.is_empty() { Next::Block } else { Next::Continue }
}

/// A client is told of this, and its policy says what follows.
fn hear<S: Sink>(machine: &mut Machine<'_, S>, client: usize, read: u64, happened: &Happened) {
    if machine.kernel.cannot_read(&machine.participants.clients, client) {
        // The kernel has no descriptor to hand it over by, and drops it.
        machine.recorder.tally().notify(client, |heard| &mut heard.lost, happened.count);
        let actor = machine.participants.clients[client].actor;
        return machine.recorder.lose(Ticks(read), actor, LossKind::Notices, 1);
    }
    // Of what was merged one stands for all.
    let (events, opens) = happened.count;
    let one = (1, u64::from(opens > 0));
    machine.recorder.tally().notify(client, |heard| &mut heard.notices, one);
    machine.recorder.tally().notify(client, |heard| &mut heard.merged, (events - one.0, opens - one.1));
    let named = machine.kernel.rules().names_programs();
    let subject = happened.subject;
    let class = subject.class_for(u32::try_from(client).unwrap_or(NONE));
    let event = happened.events.iter().next().map_or(EventKind::Other(0), EventKind::Notify);
    let question = Question { read: Ticks(read), event, class, actor: subject.actor, deadline: None };
    let state = &mut machine.participants.clients[client];
    state.notices.read += 1;
    let draw = (machine.seed ^ (u64::from(state.actor.0) << 48) ^ DRAW).wrapping_add(state.notices.read);
    let task = state.core.policy().on_notify(&question, draw);
    let notice = Notice {
        read: Ticks(read),
        subject: ThreadId {
            pid: if named { subject.pid } else { 0 },
            tid: subject.tid,
            generation: u32::from(named),
        },
        kernel: named.then_some(Ticks(happened.at)),
        sequence: happened.sequence,
        events: happened.events,
        class,
        actor: subject.actor,
        reacts: task.is_some(),
        modified: happened.modified,
        target: None,
    };
    let file = (happened.file != NONE).then_some(happened.file);
    let record = machine.recorder.sink().notice(state.actor, &notice, file);
    if let Some(task) = task {
        react(machine, client, happened, Reaction { read, event, class, record, task });
    }
}

/// What follows from a notice is work for the client's workers, and settled at once when its queue is full.
fn react<S: Sink>(machine: &mut Machine<'_, S>, client: usize, happened: &Happened, reaction: Reaction) {
    let Reaction { read, event, class, record, task } = reaction;
    let subject = happened.subject;
    let state = &mut machine.participants.clients[client];
    let key = state.decisions.insert(Decision {
        operation: Key::NONE,
        file: happened.file,
        event,
        class,
        subject,
        asked: happened.at,
        due: u64::MAX,
        sequence: happened.sequence,
        read: Some(read),
        started: None,
        record,
        plan: Plan::Nothing,
        answer: None,
        answered: true,
        told: true,
        keep: false,
        settled: false,
        worker: NONE,
        budgeted: false,
    });
    machine.participants.pending += 1;
    if subject.originator() != NONE && machine.script.drains_late(read) {
        machine.recorder.tally().feeds_itself_late();
    }
    let input = Input::Notify { id: u64::from(key.place), class, task };
    state.core.step(Ticks(read), input, &mut machine.participants.actions);
    apply(machine, client, By::Observer);
    let refused = |decision: &Decision| decision.settled && decision.worker == NONE;
    if machine.participants.clients[client].decisions.get(key).is_some_and(refused) {
        retire(machine, client, key);
        let actor = machine.participants.clients[client].actor;
        machine.recorder.lose(Ticks(read), actor, LossKind::Reactions, 1);
    }
}

/// The run ends: what still lies unread is said.
pub(crate) fn tell_of_unread<S: Sink>(machine: &mut Machine<'_, S>, client: usize) {
    let (notices, count) = machine.participants.clients[client].notices.clear();
    machine.recorder.tally().notify(client, |heard| &mut heard.unread, count);
    let actor = machine.participants.clients[client].actor;
    machine.recorder.lose(machine.clock.ticks(), actor, LossKind::NoticesUnread, notices);
}

/// A client has died: nobody is told of what it has not read.
pub(crate) fn forget_unread<S: Sink>(machine: &mut Machine<'_, S>, client: usize) {
    let (notices, count) = machine.participants.clients[client].notices.clear();
    machine.participants.unread -= notices;
    machine.recorder.tally().notify(client, |heard| &mut heard.lost, count);
}
