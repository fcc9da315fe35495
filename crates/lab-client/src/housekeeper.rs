//! The housekeeper: everything that must be done and that nobody waits for.
//!
//! It finds out which files the answered events were about and lets go of them, grows the trace ahead of the
//! writers, and answers decisions whose deadline budget has run out.

use std::{sync::atomic::Ordering, thread};

use lab_client_core::{Backend, Rounds};
use lab_model::{Approval, Ticks, Verdict};
use lab_process::clock;
use lab_trace::{Counter, DecisionEnd, Loss, LossKind};

use crate::{
    pending::PendingTable,
    shared::{Decisions, Events, HOUSEKEEPER_PLACE, Watch},
};

/// Events that are let go of together.
const RELEASE_AT_ONCE: usize = 64;

/// The most events of one round: what else is due must not wait for a queue that fills as fast as it is emptied.
const ROUND_MAX: usize = 1024;

/// What the housekeeper has already recorded, so that it is recorded once.
#[derive(Debug, Default)]
struct Noted {
    trace_full: bool,
    paths_full: bool,
    not_kept: bool,
}

/// Works for ever; the process's end is the housekeeper's.
pub(crate) fn run<B: Backend>(events: &Events<B>, decisions: &Decisions<B::Token>, watch: &Watch) -> ! {
    let mut noted = Noted::default();
    let mut rounds = Rounds::default();
    let mut done = Vec::with_capacity(RELEASE_AT_ONCE);
    let mut lives = Vec::new();
    loop {
        events.gate.enter(HOUSEKEEPER_PLACE);
        let mut count = 0;
        while count < ROUND_MAX
            && let Some((token, record)) = events.answered.pop()
        {
            events.look_at(token, record);
            done.push(token);
            count += 1;
            if done.len() == RELEASE_AT_ONCE {
                events.backend.release_all(&mut done);
                done.clear();
            }
        }
        events.backend.release_all(&mut done);
        done.clear();
        let mut urgent = fall_back(events, &decisions.pending, clock::now());
        match events.trace.grow() {
            Ok(grown) => urgent |= grown,
            Err(error) if !noted.trace_full => {
                noted.trace_full = true;
                tracing::warn!("the trace cannot grow, what follows is counted as lost: {error}");
            }
            Err(_) => {}
        }
        events.record_lives(&mut lives);
        note_losses(events, watch, &mut noted);
        events.gate.leave(HOUSEKEEPER_PLACE);
        urgent |= watch.watches_time.load(Ordering::Relaxed);
        let nap = rounds.nap_after(count, urgent);
        if count < ROUND_MAX {
            thread::sleep(nap.duration());
        }
    }
}

/// Answers what is nearly overdue; true when there was anything.
fn fall_back<B: Backend>(events: &Events<B>, pending: &PendingTable<B::Token>, now: Ticks) -> bool {
    let mut any = false;
    for overdue in pending.overdue(now) {
        any = true;
        // Answered, so no longer pending, even though its task may go on.
        events.trace.board().settle(usize::from(overdue.slot));
        let answered = clock::now();
        let error = events.backend.answer(overdue.token, Verdict::Allow).err().unwrap_or(0);
        let (verdict, approval) = (Verdict::Allow, Approval::DeadlineFallback);
        let end = DecisionEnd { started: None, answered, verdict, approval, error };
        events.trace.end_decision(overdue.record, &end);
        events.trace.board().add(Counter::Fallbacks, 1);
    }
    any
}

fn note_losses<B: Backend>(events: &Events<B>, watch: &Watch, noted: &mut Noted) {
    for (error, count) in std::mem::take(&mut *watch.lost_events.lock()) {
        let error = u16::try_from(error).ok().filter(|error| (1..4096).contains(error));
        let kind = error.map_or(LossKind::Events, LossKind::NotHandedOver);
        events.trace.loss(&Loss { at: clock::now(), kind, count });
    }
    if !noted.not_kept && events.not_kept.load(Ordering::Relaxed) > 0 {
        noted.not_kept = true;
        tracing::warn!("the kernel does not keep answers: this client is asked again and again");
    }
    if !noted.paths_full && events.paths.full() {
        noted.paths_full = true;
        events.trace.loss(&Loss { at: clock::now(), kind: LossKind::Paths, count: 1 });
    }
}
