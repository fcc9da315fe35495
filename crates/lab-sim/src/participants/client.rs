//! A client process on the simulated machine: its kernel queue, its threads, and the decisions in it.

use std::collections::VecDeque;

use lab_client_core::{ClientCore, Question, Rounds};
use lab_model::{Actor, Approval, EventKind, SubjectClass, Ticks, Verdict};
use lab_trace::RecordId;

use crate::{
    Kernel,
    hardware::{
        NONE,
        slab::{Key, Slab},
    },
    kernel::{files::Files, hiding::Hidden, operation::Asked, subject::Subject},
    participants::{notices::Notices, outside::RequestQueues, threads::Plan},
};

/// The questions that Endpoint Security queues for one client; what comes beyond is allowed silently.
/// Claimed, never confirmed.
pub(crate) const ES_QUEUE_MAX: usize = 3072;

/// Who hands the core its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Reader,
    Housekeeper,
    Worker(u32),
    Command,
    Observer,
}

/// A client process.
#[derive(Debug)]
pub(crate) struct Client {
    /// The client itself.
    pub(super) core: ClientCore,
    pub(super) actor: Actor,
    pub(super) pid: u32,
    /// It runs: from its start to its end or kill.
    pub(super) alive: bool,
    /// The kernel asks it: from its start until its descriptor has gone.
    pub(super) listening: bool,
    /// It was killed, and its descriptor has not gone yet.
    pub(super) dying: bool,
    /// Questions that it had no descriptor for: the kernel denies them.
    pub(super) exhausted: Vec<Key>,
    /// What the kernel does not ask it.
    pub(super) hidden: Hidden,
    /// When its housekeeper makes its rounds, and what it has to do in the next.
    pub(super) rounds: Rounds,
    pub(super) to_release: u64,
    /// The next round is on the agenda.
    pub(super) round_planned: bool,
    /// It has the kernel keep answers.
    pub(super) keeps: bool,
    /// Questions in the kernel's queue, unread.
    pub(super) queue: VecDeque<Key>,
    /// Questions put and not settled.
    pub(super) decisions: Slab<Decision>,
    /// Of those, not answered.
    pub(super) unanswered: u64,
    pub(super) reader: u32,
    pub(super) housekeeper: u32,
    /// What it is told of after it has happened.
    pub(super) notices: Notices,
    /// Its first worker and how many.
    pub(super) workers: (u32, u16),
    /// Workers without a decision, the longest idle first.
    pub(super) idle: VecDeque<u32>,
    /// What the reader answers at the end of its piece of work, and whom it wakes.
    pub(super) batch: Batch,
    /// The same for the housekeeper, and for what a change of its behaviour sets off.
    pub(super) fallbacks: Batch,
    pub(super) commands: Batch,
    /// Whom the observer wakes.
    pub(super) reactions: Batch,
    /// When the budget answers which decision, in the order of time.
    pub(super) budget: VecDeque<(u64, Key)>,
    /// Messages so far, dropped ones included. Endpoint Security only.
    pub(super) sequence: u64,
    /// Dropped messages that its trace does not tell of yet.
    pub(super) dropped: u64,
    /// Where its requests to workers outside wait.
    pub(super) request_queues: RequestQueues,
}

impl Client {
    /// Its number in the trace.
    #[inline]
    pub(crate) const fn actor(&self) -> Actor {
        self.actor
    }

    /// The thread that reads its events.
    #[inline]
    pub(crate) const fn reader(&self) -> u32 {
        self.reader
    }

    /// True when the kernel asks it about such an event on this file.
    #[inline]
    pub(crate) fn is_asked(&self, file: u32, event: EventKind) -> bool {
        self.listening && !self.hidden.hides(file, event)
    }

    /// The kernel keeps an answer for it.
    #[inline]
    pub(crate) fn keep(&mut self, file: u32, event: EventKind, files: &Files) {
        self.hidden.keep(file, event, files);
    }

    /// Descriptors of events that it has read and not answered, or been told of.
    pub(crate) fn events_open(&self) -> usize {
        let open = |decision: &Decision| decision.told || (decision.read.is_some() && !decision.answered);
        self.decisions.iter().filter(|(_, decision)| open(decision)).count()
    }

    /// Endpoint Security: counts a message; false, and it is dropped, when there is no room for it.
    #[inline]
    pub(super) fn has_room(&mut self) -> bool {
        self.sequence += 1;
        let room = self.queue.len() < ES_QUEUE_MAX;
        self.dropped += u64::from(!room);
        room
    }

    /// A question of the kernel's for its reader. `client` is its own place.
    #[inline]
    pub(super) fn put(&mut self, operation: Key, question: &Asked, client: u32, now: u64, due: u64) {
        let key = self.decisions.insert(Decision {
            operation,
            file: question.file,
            event: question.event,
            class: question.subject.class_for(client),
            subject: question.subject,
            asked: now,
            due,
            sequence: self.sequence,
            read: None,
            started: None,
            record: RecordId::LOST,
            plan: Plan::Nothing,
            answer: None,
            answered: false,
            told: false,
            keep: false,
            settled: false,
            worker: NONE,
            budgeted: false,
        });
        self.queue.push_back(key);
        self.unanswered += 1;
    }

    /// The unread questions about an operation vanish. Returns how many those were.
    pub(super) fn withdraw(&mut self, operation: Key) -> u64 {
        let Client { queue, decisions, .. } = self;
        let before = queue.len();
        queue.retain(|&waiting| {
            let gone = decisions.get(waiting).is_some_and(|decision| decision.operation == operation);
            if gone {
                decisions.remove(waiting);
            }
            !gone
        });
        let gone = (before - queue.len()) as u64;
        self.unanswered -= gone;
        gone
    }

    /// The operations behind the questions that it had no descriptor for.
    #[inline]
    pub(super) fn take_exhausted(&mut self) -> Vec<Key> {
        if self.exhausted.is_empty() {
            return Vec::new();
        }
        let exhausted = std::mem::take(&mut self.exhausted);
        let decisions = exhausted.into_iter().filter_map(|key| self.decisions.remove(key));
        let operations: Vec<Key> = decisions.map(|decision| decision.operation).collect();
        self.unanswered -= operations.len() as u64;
        operations
    }

    /// What leaves together with what this one does.
    #[inline]
    pub(crate) fn batch_of(&mut self, by: By) -> &mut Batch {
        match by {
            By::Housekeeper => &mut self.fallbacks,
            By::Command => &mut self.commands,
            By::Observer => &mut self.reactions,
            By::Reader | By::Worker(_) => &mut self.batch,
        }
    }
}

/// Answers that leave together.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(super) answers: Vec<(Key, Verdict, Approval)>,
    pub(super) wakes: Vec<u32>,
    /// The last reading of the clock before they leave.
    pub(super) at: u64,
}

/// What is known of the operation a question is about, and what becomes of the question; or of what a client was told,
/// and what becomes of its reaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    /// The operation that waits; gone when its process was killed.
    pub(super) operation: Key,
    pub(super) file: u32,
    pub(super) event: EventKind,
    pub(super) class: SubjectClass,
    pub(super) subject: Subject,
    /// When the kernel put it.
    pub(super) asked: u64,
    /// By when it must be answered: from `asked`, or from `read` where the kernel has no deadline.
    pub(super) due: u64,
    pub(super) sequence: u64,
    pub(super) read: Option<u64>,
    pub(super) started: Option<u64>,
    pub(super) record: RecordId,
    pub(super) plan: Plan,
    /// The answer its worker is about to give.
    pub(super) answer: Option<(Verdict, Approval)>,
    pub(super) answered: bool,
    /// It was told, not asked.
    pub(super) told: bool,
    /// The kernel is to keep the answer.
    pub(super) keep: bool,
    /// The core wants nothing more for it.
    pub(super) settled: bool,
    /// A worker has it.
    pub(super) worker: u32,
    /// The budget will answer it.
    pub(super) budgeted: bool,
}

/// What a client knows of an event that it has read.
#[inline]
pub(super) fn question(decision: &Decision, kernel: Kernel) -> Question {
    Question {
        read: Ticks(decision.read.unwrap_or(decision.asked)),
        event: decision.event,
        class: decision.class,
        actor: decision.subject.actor,
        deadline: kernel.enforces_deadlines().then_some(Ticks(decision.due)),
    }
}
