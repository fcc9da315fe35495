//! A client process on the simulated machine: its kernel queue, its threads, and the decisions in it.

use std::collections::VecDeque;

use lab_client_core::{Ask, ClientCore, OperationPlan, Rounds};
use lab_model::{Actor, Approval, EventKind, Span, SubjectClass, Verdict};
use lab_trace::RecordId;

use crate::{
    hardware::slab::{Key, Slab},
    kernel::hiding::Hidden,
    machine::NONE,
    participants::{deciders::By, observers::Notices, worker_processes::RequestQueues},
};

/// The questions that Endpoint Security queues for one client; what comes beyond is allowed silently.
/// Claimed, never confirmed.
pub(crate) const ES_QUEUE_MAX: usize = 3072;

/// A client process.
#[derive(Debug)]
pub(crate) struct Client {
    /// The client itself.
    pub(crate) core: ClientCore,
    pub(crate) actor: Actor,
    pub(crate) pid: u32,
    /// It runs: from its start to its end or kill.
    pub(crate) alive: bool,
    /// The kernel asks it: from its start until its descriptor has gone.
    pub(crate) listening: bool,
    /// It was killed, and its descriptor has not gone yet.
    pub(crate) dying: bool,
    /// Questions that it had no descriptor for: the kernel denies them.
    pub(crate) exhausted: Vec<Key>,
    /// What the kernel does not ask it.
    pub(crate) hidden: Hidden,
    /// When its housekeeper makes its rounds, and what it has to do in the next.
    pub(crate) rounds: Rounds,
    pub(crate) to_release: u64,
    /// The next round is on the agenda.
    pub(crate) round_planned: bool,
    /// It has the kernel keep answers.
    pub(crate) keeps: bool,
    /// Questions in the kernel's queue, unread.
    pub(crate) queue: VecDeque<Key>,
    /// Questions put and not settled.
    pub(crate) decisions: Slab<Decision>,
    /// Of those, not answered.
    pub(crate) unanswered: u64,
    pub(crate) reader: u32,
    pub(crate) housekeeper: u32,
    /// What it is told of after it has happened.
    pub(crate) notices: Notices,
    /// Its first worker and how many.
    pub(crate) workers: (u32, u16),
    /// Workers without a decision, the longest idle first.
    pub(crate) idle: VecDeque<u32>,
    /// What the reader answers at the end of its piece of work, and whom it wakes.
    pub(crate) batch: Batch,
    /// The same for the housekeeper, and for what a change of its behaviour sets off.
    pub(crate) fallbacks: Batch,
    pub(crate) commands: Batch,
    /// Whom the observer wakes.
    pub(crate) reactions: Batch,
    /// When the budget answers which decision, in the order of time.
    pub(crate) budget: VecDeque<(u64, Key)>,
    /// Messages so far, dropped ones included. Endpoint Security only.
    pub(crate) sequence: u64,
    /// Dropped messages that its trace does not tell of yet.
    pub(crate) dropped: u64,
    /// Where its requests to workers outside wait.
    pub(crate) request_queues: RequestQueues,
}

impl Client {
    /// What leaves together with what this one does.
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
    pub(crate) answers: Vec<(Key, Verdict, Approval)>,
    pub(crate) wakes: Vec<u32>,
    /// The last reading of the clock before they leave.
    pub(crate) at: u64,
}

/// What is known of the operation a question is about, and what becomes of the question; or of what a client was told,
/// and what becomes of its reaction.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decision {
    /// The operation that waits; gone when its process was killed.
    pub(crate) operation: Key,
    pub(crate) file: u32,
    pub(crate) event: EventKind,
    pub(crate) class: SubjectClass,
    pub(crate) subject: Subject,
    /// When the kernel put it.
    pub(crate) asked: u64,
    /// By when it must be answered: from `asked`, or from `read` where the kernel has no deadline.
    pub(crate) due: u64,
    pub(crate) sequence: u64,
    pub(crate) read: Option<u64>,
    pub(crate) started: Option<u64>,
    pub(crate) record: RecordId,
    pub(crate) plan: Plan,
    /// The answer its worker is about to give.
    pub(crate) answer: Option<(Verdict, Approval)>,
    pub(crate) answered: bool,
    /// It was told, not asked.
    pub(crate) told: bool,
    /// The kernel is to keep the answer.
    pub(crate) keep: bool,
    /// The core wants nothing more for it.
    pub(crate) settled: bool,
    /// A worker has it.
    pub(crate) worker: u32,
    /// The budget will answer it.
    pub(crate) budgeted: bool,
}

/// Who acts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject {
    pub(crate) pid: u32,
    pub(crate) tid: u64,
    /// The client it is a thread of, or [`crate::machine::NONE`].
    pub(crate) client: u32,
    /// The client that has started it as a program or helper, or [`crate::machine::NONE`].
    pub(crate) parent: u32,
    /// The client that a helper or daemon acts for, or [`crate::machine::NONE`].
    pub(crate) behalf: u32,
    /// As a client can tell.
    pub(crate) actor: Actor,
}

impl Subject {
    /// What it is to this client, as far as that can tell.
    pub(crate) fn class_for(&self, client: u32) -> SubjectClass {
        match self.client {
            NONE if self.parent == client => SubjectClass::OwnHelper,
            NONE => SubjectClass::Workload,
            own if own == client => SubjectClass::Own,
            _ => SubjectClass::Peer,
        }
    }

    /// The client whose doing it is, whoever can tell; or [`crate::machine::NONE`].
    pub(crate) const fn originator(&self) -> u32 {
        match (self.client, self.behalf) {
            (NONE, NONE) => self.parent,
            (NONE, behalf) => behalf,
            (client, _) => client,
        }
    }
}

/// What a worker does next for a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plan {
    Nothing,
    Wait(Span),
    /// Keeps a processor busy for so many nanoseconds more.
    Work(u64),
    /// The same, to find out the path that its rules judge by.
    Judge(u64),
    Operate(OperationPlan),
    /// Asks a worker outside.
    Ask(Ask),
}
