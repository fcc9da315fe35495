//! Many traces, one order: decisions and operations of all processes by the time they began.
//!
//! A file holds its records in the order in which they were claimed, which is nearly the order in which they
//! began: a thread can be interrupted between reading the clock and claiming a place. A window for each file
//! puts them right; what lies further out is passed on late and counted.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, VecDeque},
};

use lab_model::{Bounded, Ticks, Timebase};
use lab_trace::{
    Damage, Decision, Entries, Entry, LossKind, Notice, Operation, PathFragment, Record, RecordPart, Request,
    ThreadPurpose, Trace,
};

use crate::pass::requests::Tally;

/// The records of one file among which order is restored.
pub(crate) const WINDOW: usize = 4096;

/// A decision or an operation.
#[derive(Clone, Debug)]
pub(crate) enum Body {
    Operation(Operation),
    Decision(Decision),
    Notice(Notice),
}

/// One record in the order of time. All ticks in it are nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// When it began.
    pub(crate) at: u64,
    /// The trace it is in.
    pub(crate) trace: u16,
    /// Its place there.
    pub(crate) record: u64,
    pub(crate) body: Body,
}

/// An operation comes before the decisions and notices that it causes, also when they carry the same time.
type Key = (u64, bool, u64);

impl Item {
    fn key(&self) -> Key {
        (self.at, !matches!(self.body, Body::Operation(_)), self.record)
    }
}

/// What one trace held beside decisions and operations.
#[derive(Clone, Debug, Default)]
pub(crate) struct Side {
    /// Where each path of the trace begins, by its number less one; 0 = not seen, else the place plus one.
    paths: Vec<u64>,
    /// Places whose content cannot be believed.
    pub(crate) damaged: u64,
    /// Records whose end or target cannot be believed.
    pub(crate) parts_damaged: u64,
    /// Places that were claimed and never committed.
    pub(crate) uncommitted: u64,
    /// Events that the kernel dropped, as the process counted them.
    pub(crate) events_lost: u64,
    /// Those of them that the kernel could not hand over and so denied, by the error of the read.
    pub(crate) not_handed_over: BTreeMap<u16, u64>,
    /// NOTIFY events that the kernel could not hand over.
    pub(crate) notices_lost: u64,
    /// How often the kernel's queue of NOTIFY events overflowed.
    pub(crate) notices_overflowed: u64,
    /// NOTIFY events that lay unread at the end.
    pub(crate) notices_unread: u64,
    /// Reactions to NOTIFY events that were not begun.
    pub(crate) reactions_dropped: u64,
    /// Planned operations that were not begun: two notes a worker and phase at the most, unless the trace is damaged.
    pub(crate) not_begun: Vec<NotBegun>,
    /// Paths and targets that were not recorded.
    pub(crate) unresolved: u64,
    /// Records of kinds this version does not know.
    pub(crate) unknown: u64,
    /// Records that came further out of order than the window.
    pub(crate) late: u64,
    /// Threads that read events.
    pub(crate) readers: usize,
    /// Requests to workers outside the process, by the number of whom it asked.
    pub(crate) requests: BTreeMap<u16, Tally>,
}

/// Planned operations of which a driver says that they will never begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotBegun {
    /// When it said so, in nanoseconds of the shared clock.
    pub(crate) at: u64,
    /// The phase was halted; else the driver was too far behind.
    pub(crate) halted: bool,
    /// How many.
    pub(crate) count: u64,
}

impl Side {
    /// The place at which a path begins.
    pub(crate) fn path(&self, number: u32) -> Option<u64> {
        let place = usize::try_from(number).ok()?.checked_sub(1)?;
        self.paths.get(place).copied()?.checked_sub(1)
    }

    fn note_path(&mut self, fragment: &PathFragment, record: u64) {
        // Numbers are given in order, so one beyond the records read so far is not to be believed.
        let place = u64::from(fragment.path);
        if fragment.fragment != 0 || place == 0 || place > record.saturating_add(1) {
            return;
        }
        let Ok(place) = usize::try_from(place.saturating_sub(1)) else { return };
        if self.paths.len() <= place {
            self.paths.resize(place.saturating_add(1), 0);
        }
        self.paths[place] = record.saturating_add(1);
    }
}

/// One file with its window.
#[derive(Debug)]
struct Source<'a> {
    trace: u16,
    entries: Entries<'a>,
    timebase: Timebase,
    window: VecDeque<Item>,
    side: Side,
}

/// All files.
#[derive(Debug)]
pub(crate) struct Merge<'a> {
    sources: Vec<Source<'a>>,
    heads: BinaryHeap<Reverse<(Key, u16)>>,
    /// The threads of lab processes, and whether each reads events.
    threads: BTreeMap<u64, bool>,
    /// The time of the last item that was passed on.
    reached: u64,
}

impl<'a> Merge<'a> {
    pub(crate) fn new(traces: &[Trace<'a>]) -> Merge<'a> {
        let sources = (0_u16..).zip(traces).map(|(trace, bytes)| Source {
            trace,
            entries: bytes.entries(),
            timebase: bytes.header.timebase,
            window: VecDeque::new(),
            side: Side::default(),
        });
        let mut merge = Merge {
            sources: sources.collect(),
            heads: BinaryHeap::new(),
            threads: BTreeMap::new(),
            reached: 0,
        };
        for source in &mut merge.sources {
            source.fill(&mut merge.threads);
            if let Some(head) = source.window.front() {
                merge.heads.push(Reverse((head.key(), source.trace)));
            }
        }
        merge
    }

    /// The next item in the order of time.
    pub(crate) fn next(&mut self) -> Option<Item> {
        let Reverse((_, trace)) = self.heads.pop()?;
        let source = &mut self.sources[usize::from(trace)];
        let item = source.window.pop_front()?;
        source.fill(&mut self.threads);
        if let Some(head) = source.window.front() {
            self.heads.push(Reverse((head.key(), trace)));
        }
        if item.at < self.reached {
            source.side.late.raise(1);
        }
        self.reached = self.reached.max(item.at);
        Some(item)
    }

    /// What the traces held beside decisions and operations, complete once [`Merge::next`] has returned `None`.
    pub(crate) fn sides(&self) -> Vec<&Side> {
        self.sources.iter().map(|source| &source.side).collect()
    }

    /// True for a thread that registered as a lab process's.
    pub(crate) fn is_lab_thread(&self, tid: u64) -> bool {
        self.threads.contains_key(&tid)
    }

    /// True for a thread that reads a client's events.
    pub(crate) fn is_reader(&self, tid: u64) -> bool {
        self.threads.get(&tid).copied().unwrap_or(false)
    }

    pub(crate) fn side(&self, trace: u16) -> &Side {
        &self.sources[usize::from(trace)].side
    }
}

impl Source<'_> {
    /// Reads on until the window is full or the file ends.
    fn fill(&mut self, threads: &mut BTreeMap<u64, bool>) {
        while self.window.len() < WINDOW {
            let Some(entry) = self.entries.next() else { return };
            match entry {
                Entry::Record { index, record } => self.take(index, record, threads),
                Entry::Damaged { damage, .. } => self.damaged(damage),
            }
        }
    }

    fn damaged(&mut self, damage: Damage) {
        match damage {
            Damage::Uncommitted => self.side.uncommitted.raise(1),
            Damage::Check => self.side.damaged.raise(1),
            Damage::Unknown { .. } => self.side.unknown.raise(1),
        }
    }

    fn take(&mut self, record: u64, content: Record, threads: &mut BTreeMap<u64, bool>) {
        match content {
            Record::Decision(decision) => {
                let parts = [
                    matches!(decision.end, RecordPart::Damaged),
                    matches!(decision.target, RecordPart::Damaged),
                ];
                self.side.parts_damaged.raise(u64::from(parts[0]).saturating_add(u64::from(parts[1])));
                let decision = in_nanoseconds(decision, self.timebase);
                self.insert(decision.begin.read.0, record, Body::Decision(decision));
            }
            Record::Operation(operation) => {
                let parts = [
                    matches!(operation.end, RecordPart::Damaged),
                    matches!(operation.target, RecordPart::Damaged),
                ];
                self.side.parts_damaged.raise(u64::from(parts[0]).saturating_add(u64::from(parts[1])));
                let operation = operation_in_nanoseconds(operation, self.timebase);
                self.insert(operation.begin.started.0, record, Body::Operation(operation));
            }
            Record::Notice(notice) => {
                let notice = notice_in_nanoseconds(notice, self.timebase);
                self.insert(notice.read.0, record, Body::Notice(notice));
            }
            Record::Request(request) => {
                let request = request_in_nanoseconds(request, self.timebase);
                self.side.requests.entry(request.begin.whom.0).or_default().count(&request);
            }
            Record::Path(fragment) => self.side.note_path(&fragment, record),
            Record::Thread(mark) => {
                let reads = mark.purpose == ThreadPurpose::Reader;
                threads.insert(mark.tid, reads);
                self.side.readers.raise(usize::from(reads));
            }
            Record::Loss(loss) => match loss.kind {
                LossKind::Events => {
                    self.side.events_lost = self.side.events_lost.saturating_add(loss.count);
                }
                LossKind::NotHandedOver(error) => {
                    self.side.events_lost = self.side.events_lost.saturating_add(loss.count);
                    self.side.not_handed_over.entry(error).or_default().raise(loss.count);
                }
                LossKind::Paths | LossKind::Targets => {
                    self.side.unresolved = self.side.unresolved.saturating_add(loss.count);
                }
                LossKind::Notices => self.side.notices_lost.raise(loss.count),
                LossKind::NoticesOverflowed => self.side.notices_overflowed.raise(loss.count),
                LossKind::NoticesUnread => self.side.notices_unread.raise(loss.count),
                LossKind::Reactions => self.side.reactions_dropped.raise(loss.count),
                LossKind::NotBegunLate | LossKind::NotBegunHalted => {
                    let (at, halted) =
                        (self.timebase.nanoseconds(loss.at.0), loss.kind == LossKind::NotBegunHalted);
                    self.side.not_begun.push(NotBegun { at, halted, count: loss.count });
                }
                // The header counts lost records as well.
                LossKind::Records | LossKind::Other(_) => {}
            },
            Record::Phase(_)
            | Record::Fault(_)
            | Record::Process(_)
            | Record::ThreadSeen(_)
            | Record::GroupMark(_)
            | Record::QueueSample(_)
            | Record::Life(_)
            | Record::Unwatched(_) => {}
        }
    }

    /// Puts an item in its place, nearly always the last.
    fn insert(&mut self, at: u64, record: u64, body: Body) {
        let item = Item { at, trace: self.trace, record, body };
        let key = item.key();
        let mut place = self.window.len();
        if self.window.back().is_some_and(|last| last.key() > key) {
            place = self.window.partition_point(|other| other.key() <= key);
        }
        if place == self.window.len() {
            self.window.push_back(item);
        } else {
            self.window.insert(place, item);
        }
    }
}

fn in_nanoseconds(mut decision: Decision, timebase: Timebase) -> Decision {
    if timebase.numer == timebase.denom {
        return decision;
    }
    let convert = |ticks: Ticks| Ticks(timebase.nanoseconds(ticks.0));
    let begin = &mut decision.begin;
    begin.read = convert(begin.read);
    begin.kernel = begin.kernel.map(convert);
    begin.deadline = begin.deadline.map(convert);
    if let RecordPart::Present(end) = &mut decision.end {
        end.started = end.started.map(convert);
        end.answered = convert(end.answered);
    }
    decision
}

fn request_in_nanoseconds(mut request: Request, timebase: Timebase) -> Request {
    let convert = |ticks: Ticks| Ticks(timebase.nanoseconds(ticks.0));
    request.begin.at = convert(request.begin.at);
    if let RecordPart::Present(end) = &mut request.end {
        end.at = convert(end.at);
        if let Some(served) = &mut end.served {
            let moments = [&mut served.read, &mut served.begun, &mut served.ended];
            moments.into_iter().for_each(|moment| *moment = convert(*moment));
            served.operations = timebase.nanoseconds(served.operations);
        }
    }
    request
}

fn notice_in_nanoseconds(mut notice: Notice, timebase: Timebase) -> Notice {
    notice.read = Ticks(timebase.nanoseconds(notice.read.0));
    notice.kernel = notice.kernel.map(|ticks| Ticks(timebase.nanoseconds(ticks.0)));
    notice
}

fn operation_in_nanoseconds(mut operation: Operation, timebase: Timebase) -> Operation {
    if timebase.numer == timebase.denom {
        return operation;
    }
    let convert = |ticks: Ticks| Ticks(timebase.nanoseconds(ticks.0));
    let begin = &mut operation.begin;
    begin.started = convert(begin.started);
    begin.planned = begin.planned.map(convert);
    if let RecordPart::Present(end) = &mut operation.end {
        end.ended = convert(end.ended);
        end.finished = end.finished.map(convert);
    }
    operation
}
