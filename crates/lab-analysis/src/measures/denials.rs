//! Why operations were denied that no client of the lab denied: which, about which files, and how many waited at once.
//!
//! A rule denies a file whenever it is opened. A queue that is full denies whatever comes, and only while many wait. The
//! kernel denies what it cannot hand over to a client, and says so to that client alone.

use std::collections::BTreeMap;

use lab_model::{Bounded, OperationKind};

use crate::{
    findings::{DeniedFile, DeniedKind, KernelDenial},
    pass::{
        facts::{BegunOperation, EndedOperation, Ending},
        slots::{Op, Table},
    },
    show::Show,
};

/// The files that are told apart.
const FILES_MAX: usize = 4096;
/// The files that are named.
const NAMED_MAX: usize = 8;
/// From so many at once on a queue may be full; one or two always wait.
const CROWD_MIN: u64 = 3;

/// What was denied and what was not.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    denied: u64,
    all: u64,
}

impl Sum {
    fn add(&mut self, denied: bool) {
        self.denied.raise(u64::from(denied));
        self.all.raise(1);
    }
}

/// Counts over the operations of storm and drain.
#[derive(Clone, Debug, Default)]
pub(super) struct Refusals {
    /// Operations under way now, and for each how many there were when it began.
    under_way: u64,
    begun: Table<(u16, u64), u64>,
    /// By how many were under way at once, itself among them.
    crowds: BTreeMap<u64, Sum>,
    /// By the file, with an operation on it that names it.
    files: BTreeMap<(u64, u32), (Sum, u16, u64)>,
    /// By what it does.
    all: BTreeMap<u16, u64>,
    /// By what it does, the error, and the most questions about it that one client had read.
    kinds: BTreeMap<(u16, u32, u64), u64>,
}

impl Refusals {
    pub(super) fn begun(&mut self, begun: &BegunOperation<'_>) {
        self.under_way.raise(1);
        self.begun.insert((begun.trace, begun.record), self.under_way);
    }

    /// Takes in an operation that is over; whether somebody denied it, and no client of the lab did.
    pub(super) fn ended(&mut self, ended: &EndedOperation<'_>, denied: bool) {
        let op = ended.op;
        let at_end = self.under_way;
        self.under_way = self.under_way.saturating_sub(1);
        let at_begin = self.begun.remove(&(op.trace, op.record)).unwrap_or(1);
        if !op.counted || ended.ending != Ending::Itself {
            return;
        }
        self.crowds.entry(at_begin.max(at_end)).or_default().add(denied);
        self.all.entry(op.kind.code()).or_default().raise(1);
        if let Some(file) = op.target
            && (self.files.len() < FILES_MAX || self.files.contains_key(&file))
        {
            let (sum, ..) = self.files.entry(file).or_insert((Sum::default(), op.trace, op.record));
            sum.add(denied);
        }
        if denied {
            self.kinds.entry((op.kind.code(), op.error, questions_read(op))).or_default().raise(1);
        }
    }

    /// The fewest and the most operations that were under way when one was denied.
    pub(super) fn crowd(&self) -> Option<(u64, u64)> {
        let mut denied = self.crowds.iter().filter(|(_, sum)| sum.denied > 0).map(|(crowd, _)| *crowd);
        let least = denied.next()?;
        Some((least, denied.next_back().unwrap_or(least)))
    }

    /// Whether only a full queue explains what was denied: never while few waited, and of files that passed at other times.
    pub(super) fn queue_was_full(&self) -> bool {
        let Some((least, _)) = self.crowd() else { return false };
        let fewer = self.crowds.range(..least).map(|(_, sum)| sum.all).fold(0, u64::saturating_add);
        let mut denied = self.files.values().filter(|(sum, ..)| sum.denied > 0).peekable();
        let passed = denied.peek().is_some() && denied.all(|(sum, ..)| sum.denied < sum.all);
        least >= CROWD_MIN && fewer > 0 && passed
    }

    pub(super) fn kinds(&self) -> Vec<DeniedKind> {
        let all = |kind| self.all.get(&kind).copied().unwrap_or(0);
        let kind = |(&(kind, error, questions_read), &operations): (&(u16, u32, u64), &u64)| DeniedKind {
            kind: OperationKind::from_code(kind).map_or_else(String::new, |kind| kind.name().to_owned()),
            error: error_name(error),
            questions_read,
            operations,
            of: all(kind),
        };
        self.kinds.iter().map(kind).collect()
    }

    /// The files of which most operations were denied.
    pub(super) fn files(&self, show: &Show<'_>) -> Vec<DeniedFile> {
        let mut denied: Vec<_> = self.files.values().filter(|(sum, ..)| sum.denied > 0).collect();
        denied.sort_by_key(|(sum, trace, record)| (std::cmp::Reverse(sum.denied), *trace, *record));
        denied.truncate(NAMED_MAX);
        let named = denied.into_iter().map(|&(Sum { denied, all }, trace, record)| DeniedFile {
            path: show
                .operation_path(trace, record)
                .unwrap_or_else(|| "a file whose path is not known".to_owned()),
            operations: denied,
            of: all,
        });
        named.collect()
    }
}

/// The events that the kernel could not hand over to clients and denied.
pub(super) fn by_kernel(show: &Show<'_>) -> Vec<KernelDenial> {
    let mut denials = Vec::new();
    for (side, trace) in show.merge.sides().iter().zip(0_u16..) {
        denials.extend(side.not_handed_over.iter().map(|(&error, &operations)| KernelDenial {
            client: show.name(trace).to_owned(),
            error: error_name(error.into()),
            operations,
        }));
    }
    denials
}

/// The most questions about an operation that one client has read: an exec has several.
fn questions_read(op: &Op) -> u64 {
    let of = |client| op.asked.iter().filter(|asked| asked.client == client).count() as u64;
    let most = op.asked.iter().map(|asked| of(asked.client)).max().unwrap_or(0);
    most.max(u64::from(op.asked_by != 0))
}

/// The name of an error of Linux (asm-generic/errno-base.h, errno.h).
pub(crate) fn error_name(error: u32) -> String {
    let name = match error {
        1 => "EPERM",
        5 => "EIO",
        11 => "EAGAIN",
        12 => "ENOMEM",
        13 => "EACCES",
        16 => "EBUSY",
        23 => "ENFILE",
        24 => "EMFILE",
        26 => "ETXTBSY",
        28 => "ENOSPC",
        103 => "ECONNABORTED",
        107 => "ENOTCONN",
        122 => "EDQUOT",
        other => return format!("error {other}"),
    };
    name.to_owned()
}
