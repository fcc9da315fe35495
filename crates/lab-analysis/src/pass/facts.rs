//! What the pass says: each moment of a run once, with what the join knows of it.
//!
//! The pass fills one of these for every operation, decision and notice and says it to all measures. What a measure
//! counts is its own affair; what is a fact is decided here, once.

use lab_model::{Approval, EventKind, Lab, PhaseKind, SubjectClass};
use lab_trace::{Decision, Notice, Operation, Trace};

use super::{
    cascade::Cascade,
    slots::{Branch, By, Dec, NOBODY, NONE, Op},
};
use crate::{
    measures::latency::UsedUp,
    participants::{processes::Processes, roster::Participant, roster::Roster, timeline::Timeline},
};

/// What is known before the first record is joined, and does not change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) lab: &'a Lab,
    pub(crate) roster: &'a Roster,
    pub(crate) timeline: &'a Timeline,
    pub(crate) traces: &'a [Trace<'a>],
    /// What the kernel told of processes; nothing where it tells of none.
    pub(crate) processes: &'a Processes,
    /// The kernel asks a client about its own process too, one client after another, and the warden keeps the
    /// deadlines: fanotify. Endpoint Security does none of this.
    pub(crate) own_events: bool,
}

/// Why something is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It ended as recorded.
    Itself,
    /// Its process ended.
    Process,
    /// The run ended.
    Run,
}

/// True for the phases whose operations and decisions are in the clients' tables: storm and drain.
pub(crate) const fn counts(phase: Option<PhaseKind>) -> bool {
    matches!(phase, Some(PhaseKind::Storm | PhaseKind::Drain))
}

/// A client as a bit; clients beyond the 128th have none.
pub(crate) fn bit(client: u16) -> u128 {
    1_u128.checked_shl(u32::from(client)).unwrap_or(0)
}

/// An operation has begun. All times are nanoseconds of the shared clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BegunOperation<'a> {
    pub(crate) trace: u16,
    pub(crate) record: u64,
    pub(crate) at: u64,
    pub(crate) operation: &'a Operation,
    /// Whose process made it.
    pub(crate) participant: &'a Participant,
    /// The workload made it, not a client.
    pub(crate) root: bool,
    /// The phase of its cascade.
    pub(crate) phase: Option<PhaseKind>,
    /// It belongs to a cascade of the storm's workload.
    pub(crate) in_storm: bool,
    /// The decision or notice during which it was made.
    pub(crate) by: Option<By>,
    /// It was counted among [`Answered::reactions`] or [`Noticed::reactions`], and has come now.
    pub(crate) awaited: bool,
}

/// An operation is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndedOperation<'a> {
    pub(crate) op: &'a Op,
    pub(crate) at: u64,
    pub(crate) ending: Ending,
    pub(crate) phase: Option<PhaseKind>,
    pub(crate) in_storm: bool,
    /// The clients that could have been asked when it ended, as bits; operation up only for root operations of the storm
    /// that a client denied, and 0 for all others.
    pub(crate) alive: u128,
}

/// The process of an exec is gone while its program goes on by itself: nobody waits for the exec any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrphanedOperation {
    pub(crate) in_storm: bool,
}

/// A decision as the join understands it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The column of the cause matrix.
    pub(crate) column: usize,
    /// The client that brought it about, through whatever process; [`NOBODY`] for the workload.
    pub(crate) author: u16,
    pub(crate) own: bool,
    pub(crate) event: EventKind,
    pub(crate) class: SubjectClass,
    /// Nanoseconds from read to answer; `None` when never answered.
    pub(crate) took: Option<u64>,
    /// Never answered: nanoseconds from read to the client's end, or to the record's. It lasted at least that long.
    pub(crate) open_for: Option<u64>,
    pub(crate) approval: Option<Approval>,
    pub(crate) allowed: bool,
    pub(crate) file: Option<(u64, u32)>,
    pub(crate) path: (u16, u32),
    /// Clients whose decisions lie above it.
    pub(crate) above: u128,
}

impl Entry {
    /// How long it lasted as far as that was seen.
    pub(crate) fn lasted(&self) -> Option<u64> {
        self.took.or(self.open_for)
    }
}

/// What a decision is to the operation that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AskedAs {
    /// The client's first about it.
    First,
    /// One more: an exec raises several events.
    Further,
    /// It is about no recorded operation.
    Elsewhere,
}

/// A decision measured against its deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    /// It was answered after its deadline, or outlived it without an answer.
    pub(crate) late: bool,
    /// It was never answered, and its client was killed for that.
    pub(crate) killed: bool,
    /// From read to answer, or to its client's end, and the time that there was; `None` when it had no deadline or its
    /// answer cannot be read.
    pub(crate) used: Option<UsedUp>,
    /// It was late, or its client was killed for it, and would have been in time had the whole lab not stood still. It is
    /// neither `late` nor `killed` then.
    pub(crate) stood_still: bool,
}

/// A decision's place in a cascade.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hung<'a> {
    pub(crate) cascade: &'a Cascade,
    /// The node of the operation that it is about.
    pub(crate) above: u32,
    /// Its own node, if it was kept.
    pub(crate) node: Option<u32>,
    /// What it sets off has had its chance, and is in the record.
    pub(crate) reacted: bool,
    /// Operations that it sets off, as far as they are in the record; 255 stands for 255 or more.
    pub(crate) reactions: u8,
    /// By its client's settings it sets operations off, and its client had not got so far when the record ended.
    pub(crate) to_come: bool,
}

/// A decision was read, joined to its operation and hung below it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadDecision<'a> {
    pub(crate) trace: u16,
    pub(crate) record: u64,
    pub(crate) at: u64,
    pub(crate) decision: &'a Decision,
    pub(crate) client: u16,
    pub(crate) entry: &'a Entry,
    /// It was joined to an operation, or its thread is known to be a product's.
    pub(crate) explained: bool,
    pub(crate) phase: Option<PhaseKind>,
    /// Its times belong in the client's tables: storm and drain.
    pub(crate) counted: bool,
    /// The operation that it is about.
    pub(crate) op: Option<&'a Op>,
    pub(crate) asked: AskedAs,
    pub(crate) hung: Option<Hung<'a>>,
    /// Only of a decision that is counted.
    pub(crate) judged: Option<Judged>,
    /// When it was answered; `None` when never.
    pub(crate) answered: Option<u64>,
}

/// A decision was answered, or will not be any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answered<'a> {
    pub(crate) dec: &'a Dec,
    pub(crate) at: u64,
    pub(crate) ending: Ending,
    /// How long it lay before work on it began.
    pub(crate) queued: u64,
    /// Operations that it has caused and that are still to come.
    pub(crate) reactions: u64,
}

/// An operation of which clients may still be told: a thread's latest on its file, for the kernel names both.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noticeable {
    pub(crate) column: u16,
    pub(crate) exec: bool,
    pub(crate) ended: u64,
    /// It counts among the operations of storm and drain.
    pub(crate) counted: bool,
    /// It succeeded, so that whoever listens should be told.
    pub(crate) succeeded: bool,
    /// An exec: the clients that were told of it, as bits.
    pub(crate) notified: u128,
    pub(crate) root: bool,
    /// Held, so that reactions find it open; [`NONE`] where no client reacts.
    pub(crate) cascade: u32,
    pub(crate) in_storm: bool,
    pub(crate) node: u32,
    pub(crate) depth: u32,
    pub(crate) flame: u32,
    pub(crate) above: u128,
}

/// A notice was read and joined to the operation that it tells of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noticed<'a> {
    pub(crate) at: u64,
    pub(crate) client: u16,
    pub(crate) notice: &'a Notice,
    /// The column of the cause matrix of whoever acted.
    pub(crate) column: usize,
    /// The operation, if it is known.
    pub(crate) op: Option<&'a Noticeable>,
    pub(crate) phase: Option<PhaseKind>,
    pub(crate) counted: bool,
    /// What it sets off has had its chance, and is in the record.
    pub(crate) reacted: bool,
    /// Operations that it has caused and that are still to come.
    pub(crate) reactions: u64,
}

impl Noticeable {
    /// Its type in the branching of cascades.
    pub(crate) fn branch(&self) -> Branch {
        Branch::of(self.column, !self.exec, self.root)
    }
}

impl Noticed<'_> {
    /// The operation, if it belongs to a cascade that is held open for reactions.
    pub(crate) fn hung(&self) -> Option<&Noticeable> {
        self.op.filter(|op| op.cascade != NONE)
    }
}

/// Nothing in a cascade is open any more.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClosedCascade<'a> {
    pub(crate) cascade: &'a Cascade,
}

impl BegunOperation<'_> {
    /// It counts among the operations of storm and drain.
    pub(crate) const fn counted(&self) -> bool {
        counts(self.phase)
    }

    /// The client whose process made it, or [`NOBODY`].
    pub(crate) fn owner(&self) -> u16 {
        self.participant.client.unwrap_or(NOBODY)
    }
}
