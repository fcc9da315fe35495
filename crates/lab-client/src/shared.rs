//! What the threads of a client share, each part for those that need it. [`Client`] has all of them, for the control
//! thread alone.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crossbeam_queue::ArrayQueue;
use lab_client_core::{Backend, FileFacts};
use lab_model::{Actor, EventKind, ProcessLife};
use lab_process::{Arena, Gate, Paths};
use lab_trace::{RecordId, TraceWriter};

use crate::{
    job::Job, pending::PendingTable, queue::WorkQueue, settings::Published, worker_processes::WorkerProcesses,
};

/// The reader's place at the gate.
pub(crate) const READER_PLACE: usize = 0;
/// The housekeeper's place at the gate.
pub(crate) const HOUSEKEEPER_PLACE: usize = 1;
/// The place of the first worker at the gate; the observer's comes after the last.
pub(crate) const WORKER_PLACES: usize = 2;

/// All that the threads of a client share, for whoever starts and changes them.
pub(crate) struct Client<B: Backend> {
    pub(crate) events: Arc<Events<B>>,
    pub(crate) decisions: Arc<Decisions<B::Token>>,
    pub(crate) admission: Arc<AdmissionRules>,
    pub(crate) means: Arc<Means>,
    pub(crate) watch: Arc<Watch>,
}

/// The kernel and the trace: an event from its reading until its record has its file. For every thread.
pub(crate) struct Events<B: Backend> {
    /// The client itself.
    pub(crate) actor: Actor,
    pub(crate) backend: B,
    pub(crate) trace: TraceWriter,
    pub(crate) gate: Arc<Gate>,
    pub(crate) paths: Arc<Paths>,
    /// Events that wait for the housekeeper to look at their file.
    pub(crate) answered: ArrayQueue<(B::Token, RecordId)>,
    /// Answers that the kernel has refused to keep.
    pub(crate) not_kept: AtomicU64,
}

/// Decisions on their way to the workers, and the race for their answers. For the reader, the observer, the workers and,
/// when a budget runs out, the housekeeper.
pub(crate) struct Decisions<T: Copy> {
    pub(crate) pending: PendingTable<T>,
    pub(crate) queue: WorkQueue<Job<T>>,
}

/// What an event is admitted by. For the reader and the observer.
pub(crate) struct AdmissionRules {
    pub(crate) settings: Published,
    pub(crate) seed: u64,
    /// How many workers there are.
    pub(crate) workers: usize,
}

/// What a worker carries tasks out with.
pub(crate) struct Means {
    pub(crate) arena: Arena,
    pub(crate) outside: WorkerProcesses,
    /// The kernel has refused to let an event's file be read; said once.
    pub(crate) unreadable: AtomicBool,
}

/// Events that could not be handed over, by the error. Nobody waits for it: the reader adds to it only when it has got
/// nothing.
#[derive(Debug, Default)]
pub(crate) struct LostEvents(std::sync::Mutex<std::collections::BTreeMap<u32, u64>>);

impl LostEvents {
    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeMap<u32, u64>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// What the housekeeper looks at in each of its rounds.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    /// Events that the reader has heard to be lost since the housekeeper last looked, by the error.
    pub(crate) lost_events: LostEvents,
    /// Decisions have a deadline budget.
    pub(crate) watches_time: AtomicBool,
}

impl<B: Backend> Events<B> {
    /// Passes an answered event on to the housekeeper, or looks at it here when there are too many.
    pub(crate) fn resolve(&self, token: B::Token, record: RecordId) {
        if let Err((token, record)) = self.answered.push((token, record)) {
            self.look_at(token, record);
            self.backend.release(token);
        }
    }

    /// Has the kernel keep the answer to an event. A refusal is counted, and the housekeeper tells of it.
    pub(crate) fn cache_answer(&self, token: B::Token, event: EventKind) {
        if self.backend.cache_answer(token, event).is_err() {
            self.not_kept.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Finds out which file an event was about and records it.
    pub(crate) fn look_at(&self, token: B::Token, record: RecordId) {
        let facts = self.backend.file(token, &|file| self.paths.wants(file));
        let target = |facts: FileFacts| self.paths.target(&self.trace, facts.file, facts.path.as_deref());
        if let Some(target) = facts.and_then(target) {
            self.trace.decision_target(record, &target);
        }
    }

    /// Records what the kernel told of the lives of processes; `lives` is room for it.
    pub(crate) fn record_lives(&self, lives: &mut Vec<ProcessLife>) {
        self.backend.lives(lives);
        for life in lives.drain(..) {
            self.trace.life(&life);
        }
    }
}
