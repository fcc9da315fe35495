//! What an export needs to know of all traces before it writes: the operations by thread, and where paths lie.
//!
//! Takes a few dozen bytes for each operation and a few for each path; nothing for each decision.

use std::collections::BTreeMap;

use lab_model::{Cause, OperationKind};
use lab_trace::{Decision, Entry, Notice, Operation, ProcessMarkKind, Record, Target, Trace};

/// The pieces of one path that are put together.
const PIECES_MAX: u64 = 64;

/// An operation as the index keeps it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Op {
    /// The thread that acts.
    pub(super) tid: u64,
    /// When it began, in nanoseconds of the shared clock.
    pub(super) started: u64,
    /// When it ended; `u64::MAX` when it never did.
    pub(super) ended: u64,
    /// Its trace's place.
    pub(super) trace: usize,
    /// Its record.
    pub(super) record: u64,
    /// What it does.
    pub(super) kind: OperationKind,
    /// Its parent.
    pub(super) cause: Cause,
    /// The record, in the same trace, of the exec whose process made this one.
    pub(super) made_by: Option<u64>,
    target: Option<(u64, u32)>,
}

/// Why an operation was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct By {
    /// The trace of the client that decided, or was told.
    pub(super) trace: usize,
    /// The decision or the notice.
    pub(super) record: u64,
    /// It is a notice.
    pub(super) notified: bool,
    /// The operation that it is about.
    pub(super) op: Option<usize>,
}

/// What a notice is looked up by: the thread, and the file; zeros for all files of a process.
type NoticeKey = (u64, u64, u32);

/// The traces with what was found in a first look.
#[derive(Debug)]
pub(super) struct Index<'a> {
    /// The traces.
    pub(super) traces: &'a [Trace<'a>],
    /// The earliest record, in nanoseconds of the shared clock: what the findings' instants count from.
    pub(super) origin: u64,
    /// The latest moment of any record.
    pub(super) last: u64,
    /// Operations by thread and start.
    pub(super) ops: Vec<Op>,
    /// The places in `ops`, by thread and file and then by start; empty in a run without notices.
    by_file: BTreeMap<NoticeKey, Vec<usize>>,
    by_actor: BTreeMap<u16, usize>,
    /// When processes ended, by their actors, as the orchestrator saw it.
    ends: BTreeMap<u16, u64>,
    paths: Vec<BTreeMap<u32, u64>>,
}

impl<'a> Index<'a> {
    /// Looks through the traces once.
    pub(super) fn new(traces: &'a [Trace<'a>]) -> Index<'a> {
        let mut index = Index {
            traces,
            origin: u64::MAX,
            last: 0,
            ops: Vec::new(),
            by_file: BTreeMap::new(),
            by_actor: BTreeMap::new(),
            ends: BTreeMap::new(),
            paths: vec![BTreeMap::new(); traces.len()],
        };
        let mut listens = false;
        for (place, trace) in traces.iter().enumerate() {
            index.by_actor.entry(trace.header.actor.0).or_insert(place);
            for entry in trace.entries() {
                if let Entry::Record { index: record, record: content } = entry {
                    listens |= matches!(content, Record::Notice(_));
                    index.look(place, record, &content);
                }
            }
        }
        index.origin = index.origin.min(index.last);
        index.ops.sort_unstable_by_key(|op| (op.tid, op.started, op.trace, op.record));
        if listens {
            index.file();
        }
        index
    }

    /// Notes which operations a notice may tell of, as the analysis does: an open whose file is known, by that, and
    /// a process by its thread.
    fn file(&mut self) {
        for (place, op) in self.ops.iter().enumerate() {
            let key = match (op.kind, op.target) {
                (OperationKind::Open, Some((inode, device))) => (op.tid, inode, device),
                (OperationKind::Open, None) => continue,
                _ => (op.tid, 0, 0),
            };
            self.by_file.entry(key).or_default().push(place);
        }
    }

    /// The operation that a notice tells of: its thread's latest on its file, or else its thread's program.
    pub(super) fn operation_of(&self, read: u64, notice: &Notice) -> Option<usize> {
        let tid = notice.subject.tid;
        let latest = |key: &NoticeKey| {
            let places = self.by_file.get(key)?;
            let behind = places.partition_point(|&place| self.ops[place].started <= read);
            places.get(behind.checked_sub(1)?).copied()
        };
        let of_file = notice.target.and_then(|file| latest(&(tid, file.inode, file.device)));
        of_file.or_else(|| latest(&(tid, 0, 0)))
    }

    fn look(&mut self, trace: usize, record: u64, content: &Record) {
        let timebase = self.traces[trace].header.timebase;
        let (begins, ends) = match content {
            Record::Decision(decision) => {
                (decision.begin.read, decision.end.present().map(|end| end.answered))
            }
            Record::Operation(operation) => {
                (operation.begin.started, operation.end.present().map(|end| end.ended))
            }
            Record::Request(request) => (request.begin.at, request.end.present().map(|end| end.at)),
            Record::Phase(mark) => (mark.at, None),
            Record::Fault(fault) => (fault.at, None),
            Record::Loss(loss) => (loss.at, None),
            Record::Process(mark) => (mark.at, None),
            Record::Thread(mark) => (mark.at, None),
            Record::ThreadSeen(thread_seen) => (thread_seen.at, None),
            Record::GroupMark(mark) => (mark.at, None),
            Record::QueueSample(queue_sample) => (queue_sample.at, None),
            Record::Notice(notice) => (notice.read, None),
            Record::Life(life) => (life.at, None),
            Record::Unwatched(unwatched) => (unwatched.from, Some(unwatched.until)),
            Record::Path(piece) => {
                if piece.fragment == 0 {
                    self.paths[trace].entry(piece.path).or_insert(record);
                }
                return;
            }
        };
        let begins = timebase.nanoseconds(begins.0);
        let ends = ends.map(|ends| timebase.nanoseconds(ends.0));
        self.origin = self.origin.min(begins);
        self.last = self.last.max(begins).max(ends.unwrap_or(0));
        if let Record::Process(mark) = content
            && mark.kind == ProcessMarkKind::Ended
        {
            self.ends.entry(mark.actor.0).or_insert(begins);
        }
        if let Record::Operation(operation) = content {
            self.ops.push(Op {
                tid: operation.begin.subject.tid,
                started: begins,
                ended: ends.unwrap_or(u64::MAX),
                trace,
                record,
                kind: operation.begin.kind,
                cause: operation.begin.cause,
                made_by: operation.begin.parent,
                target: known(operation.target.present()),
            });
        }
    }

    /// Until when a trace's process was there: its end, or the end of the record.
    pub(super) fn until(&self, trace: usize) -> u64 {
        self.ends.get(&self.traces[trace].header.actor.0).copied().unwrap_or(self.last)
    }

    /// The operation that a decision is about: the one its subject's thread was in, on that file.
    pub(super) fn cause_of(&self, read: u64, decision: &Decision) -> Option<usize> {
        let tid = decision.begin.subject.tid;
        let behind = self.ops.partition_point(|op| (op.tid, op.started) <= (tid, read));
        let place = behind.checked_sub(1)?;
        let op = &self.ops[place];
        if op.tid != tid || op.ended < read {
            return None;
        }
        // An exec asks about its interpreter and loader too, so only an open has one target.
        match (op.kind, op.target, known(decision.target.present())) {
            (OperationKind::Open, Some(mine), Some(asked)) if !same(mine, asked) => None,
            _ => Some(place),
        }
    }

    /// The decision or notice that caused an operation.
    pub(super) fn parent_of(&self, op: usize) -> Option<By> {
        let Cause::Decision { client, record } = self.ops[op].cause else { return None };
        let &trace = self.by_actor.get(&client.0)?;
        let Entry::Record { record: content, .. } = self.traces[trace].entry(record)? else { return None };
        let (notified, op) = match content {
            Record::Decision(decision) => {
                let read = self.nanoseconds(trace, decision.begin.read.0);
                (false, self.cause_of(read, &decision))
            }
            Record::Notice(notice) => {
                let read = self.nanoseconds(trace, notice.read.0);
                (true, self.operation_of(read, &notice))
            }
            _ => return None,
        };
        Some(By { trace, record, notified, op })
    }

    /// The looked at the root of each operation's cascade. Each link is followed once: a cascade that feeds
    /// itself is one chain as long as the run.
    pub(super) fn roots(&self) -> Vec<usize> {
        const UNSEEN: usize = usize::MAX;
        let mut roots = vec![UNSEEN; self.ops.len()];
        let mut chain = Vec::new();
        for op in 0..self.ops.len() {
            let mut at = op;
            while roots[at] == UNSEEN {
                // Until it is known better; so a damaged chain that comes back to itself ends there.
                roots[at] = at;
                chain.push(at);
                let Some(above) = self.parent_of(at).and_then(|by| by.op) else { break };
                at = above;
            }
            let root = roots[at];
            for at in chain.drain(..) {
                roots[at] = root;
            }
        }
        roots
    }

    /// Ticks of a trace in nanoseconds of the shared clock.
    pub(super) fn nanoseconds(&self, trace: usize, ticks: u64) -> u64 {
        self.traces[trace].header.timebase.nanoseconds(ticks)
    }

    /// The name of a trace's process.
    pub(super) fn name(&self, trace: usize) -> &'a str {
        &self.traces[trace].header.identity.name
    }

    /// The operation in full; `None` when its record cannot be read again.
    pub(super) fn operation(&self, op: &Op) -> Option<Operation> {
        match self.traces[op.trace].entry(op.record)? {
            Entry::Record { record: Record::Operation(operation), .. } => Some(operation),
            _ => None,
        }
    }

    /// A target's path relative to the arena, as text; bytes that are no UTF-8 show as `\xNN`.
    pub(super) fn path(&self, trace: usize, target: Option<&Target>) -> Option<String> {
        let number = target?.path;
        let first = *self.paths[trace].get(&number)?;
        let mut bytes = Vec::new();
        let mut length = usize::MAX;
        for place in first..first.saturating_add(PIECES_MAX) {
            if bytes.len() >= length {
                break;
            }
            match self.traces[trace].entry(place)? {
                Entry::Record { record: Record::Path(piece), .. }
                    if piece.path == number && u64::from(piece.fragment) == place.saturating_sub(first) =>
                {
                    length = usize::from(piece.length);
                    bytes.extend_from_slice(&piece.bytes);
                }
                _ => return None,
            }
        }
        let arena = self.traces[trace].header.identity.arena.as_bytes();
        let inside = bytes.strip_prefix(arena).filter(|_| !arena.is_empty());
        let inside = inside.map(|rest| rest.strip_prefix(b"/").unwrap_or(rest));
        Some(text(inside.filter(|rest| !rest.is_empty()).unwrap_or(&bytes)))
    }
}

fn known(target: Option<&Target>) -> Option<(u64, u32)> {
    target.filter(|target| target.inode != 0).map(|target| (target.inode, target.device))
}

/// A device of 0 is not known and stands for any.
fn same(one: (u64, u32), other: (u64, u32)) -> bool {
    one.0 == other.0 && (one.1 == 0 || other.1 == 0 || one.1 == other.1)
}

fn text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}
