//! A trace in memory: the same bytes as a file, for whoever has no file.
//!
//! One owner, no mapped memory and no thread: the simulator and tests write with it. It holds no layout of
//! its own; words and commits are those of the writer over mapped memory.

use lab_model::{ProcessLife, Ticks};

use crate::{
    header::{Header, LIVE_CLOSED, LIVE_LOST, LIVE_PLACES},
    layout::{
        CHUNK_BYTES, CHUNK_RECORDS, PATH_BYTES_MAX, PATH_FRAGMENT_BYTES, RECORD_BYTES, RECORDS_OFFSET, Span,
        commit,
    },
    record::{
        DecisionBegin, DecisionEnd, Fault, GroupMark, Loss, Notice, OperationBegin, OperationEnd,
        PathFragment, PhaseMark, ProcessMark, QueueSample, RequestBegin, RequestEnd, Target, ThreadMark,
        ThreadSeen, Unwatched, kind, life,
    },
    writer::{RecordId, WriterOptions},
};

/// Writes one trace into memory.
#[derive(Clone, Debug)]
pub struct MemoryTrace {
    bytes: Vec<u8>,
    salt: u32,
    next: u64,
    paths: u32,
    lost: u64,
    records_max: u64,
}

impl MemoryTrace {
    /// An empty trace; `None` when the header's metadata is larger than its room.
    #[must_use]
    pub fn new(header: &Header, options: WriterOptions) -> Option<MemoryTrace> {
        let mut bytes = header.encode()?;
        bytes.resize(RECORDS_OFFSET, 0);
        // A file grows by whole chunks and has at least one, and so does this.
        let chunks = options.bytes_max.saturating_sub(RECORDS_OFFSET as u64) / CHUNK_BYTES as u64;
        let records_max = chunks.max(1) * CHUNK_RECORDS;
        Some(MemoryTrace { bytes, salt: header.salt, next: 0, paths: 0, lost: 0, records_max })
    }

    /// Records that have their place.
    #[must_use]
    pub fn claimed(&self) -> u64 {
        self.next
    }

    /// Records that did not fit so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// The bytes of a trace whose process was cut off now.
    #[must_use]
    pub fn cut_off(mut self) -> Vec<u8> {
        self.live(LIVE_PLACES, self.next.min(self.records_max));
        self.live(LIVE_LOST, self.lost);
        self.bytes
    }

    /// The bytes of a trace that was closed at `at`.
    #[must_use]
    pub fn close(mut self, at: Ticks) -> Vec<u8> {
        self.live(LIVE_CLOSED, at.0.max(1));
        self.cut_off()
    }

    /// Records that an event was read.
    pub fn begin_decision(&mut self, begin: &DecisionBegin) -> RecordId {
        let id = self.claim();
        self.store(id, Span::Begin, kind::DECISION, &begin.words());
        id
    }

    /// Records the answer to it.
    pub fn end_decision(&mut self, id: RecordId, end: &DecisionEnd) {
        self.store(id, Span::End, kind::DECISION, &end.words());
    }

    /// Records what file a decision was about.
    pub fn decision_target(&mut self, id: RecordId, target: &Target) {
        self.store(id, Span::Target, kind::DECISION, &target.words());
    }

    /// Records the beginning of an operation.
    pub fn begin_operation(&mut self, begin: &OperationBegin) -> RecordId {
        let id = self.claim();
        self.store(id, Span::Begin, kind::OPERATION, &begin.words());
        id
    }

    /// Records its end.
    pub fn end_operation(&mut self, id: RecordId, end: &OperationEnd) {
        self.store(id, Span::End, kind::OPERATION, &end.words());
    }

    /// Records what file an operation was about.
    pub fn operation_target(&mut self, id: RecordId, target: &Target) {
        self.store(id, Span::Target, kind::OPERATION, &target.words());
    }

    /// Records that a worker outside the process was asked.
    pub fn begin_request(&mut self, begin: &RequestBegin) -> RecordId {
        let id = self.claim();
        self.store(id, Span::Begin, kind::REQUEST, &begin.words());
        id
    }

    /// Records the reply.
    pub fn end_request(&mut self, id: RecordId, end: &RequestEnd) {
        if let Some(served) = &end.served {
            self.store(id, Span::Target, kind::REQUEST, &served.words());
        }
        self.store(id, Span::End, kind::REQUEST, &end.words());
    }

    /// Records the begin or end of a phase.
    pub fn phase(&mut self, mark: &PhaseMark) {
        self.whole(kind::PHASE, &mark.words());
    }

    /// Records a fault.
    pub fn fault(&mut self, fault: &Fault) {
        self.whole(kind::FAULT, &fault.words());
    }

    /// Records a loss.
    pub fn loss(&mut self, loss: &Loss) {
        self.whole(kind::LOSS, &loss.words());
    }

    /// Records what happened to a process.
    pub fn process(&mut self, mark: &ProcessMark) {
        self.whole(kind::PROCESS, &mark.words());
    }

    /// Records a thread of the process.
    pub fn thread(&mut self, mark: &ThreadMark) {
        self.whole(kind::THREAD, &mark.words());
    }

    /// Records what the client was told.
    pub fn notice(&mut self, notice: &Notice) -> RecordId {
        let id = self.claim();
        self.store(id, Span::Whole, kind::NOTICE, &notice.words());
        id
    }

    /// Records that an external product's thread came into sight or went out of it.
    pub fn thread_seen(&mut self, thread_seen: &ThreadSeen) {
        self.whole(kind::THREAD_SEEN, &thread_seen.words());
    }

    /// Records a mark of an external product's group.
    pub fn group_mark(&mut self, mark: &GroupMark) {
        self.whole(kind::GROUP_MARK, &mark.words());
    }

    /// Records a step in the life of a process.
    pub fn life(&mut self, life: &ProcessLife) {
        self.whole(kind::LIFE, &life::words(life));
    }

    /// Records a time in which nobody watched.
    pub fn unwatched(&mut self, unwatched: &Unwatched) {
        self.whole(kind::UNWATCHED, &unwatched.words());
    }

    /// Records what waited for an external product.
    pub fn queue_sample(&mut self, queue_sample: &QueueSample) {
        self.whole(kind::QUEUE_SAMPLE, &queue_sample.words());
    }

    /// Records a path, cut at [`PATH_BYTES_MAX`], and returns its number; 0 when it does not fit whole.
    pub fn path(&mut self, bytes: &[u8]) -> u32 {
        let bytes = &bytes[..bytes.len().min(PATH_BYTES_MAX)];
        let fragments = bytes.len().div_ceil(PATH_FRAGMENT_BYTES).max(1);
        let number = self.paths.checked_add(1).filter(|_| self.next + fragments as u64 <= self.records_max);
        let Some(number) = number else {
            self.lost += fragments as u64;
            return 0;
        };
        self.paths = number;
        for fragment in 0..fragments {
            if let Some(words) = PathFragment::words(number, bytes, fragment) {
                self.whole(kind::PATH, &words);
            }
        }
        number
    }

    fn claim(&mut self) -> RecordId {
        if self.next >= self.records_max {
            self.lost += 1;
            return RecordId::LOST;
        }
        self.next += 1;
        self.bytes.resize(self.bytes.len() + RECORD_BYTES, 0);
        RecordId(self.next - 1)
    }

    fn whole(&mut self, kind: u8, words: &[u64; 15]) {
        let id = self.claim();
        self.store(id, Span::Whole, kind, words);
    }

    /// Stores a part's words and its commit.
    fn store(&mut self, RecordId(index): RecordId, span: Span, kind: u8, words: &[u64]) {
        debug_assert_eq!(words.len(), span.words());
        let start = usize::try_from(index).ok().and_then(|index| index.checked_mul(RECORD_BYTES));
        let record = start
            .and_then(|start| start.checked_add(RECORDS_OFFSET))
            .and_then(|start| self.bytes.get_mut(start..start.checked_add(RECORD_BYTES)?));
        // What did not fit was counted when it was claimed.
        let Some(record) = record else { return };
        let place = span.commit_word();
        let commit = commit(self.salt, index, span, kind, words);
        let all = std::iter::once(&commit).chain(words);
        for (cell, word) in record[place * 8..].chunks_exact_mut(8).zip(all) {
            cell.copy_from_slice(&word.to_le_bytes());
        }
    }

    fn live(&mut self, word: usize, value: u64) {
        self.bytes[word * 8..word * 8 + 8].copy_from_slice(&value.to_le_bytes());
    }
}
