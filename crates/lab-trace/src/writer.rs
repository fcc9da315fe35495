//! The writer: any thread of the process may record, none waits for another.

use std::{
    fs::{File, OpenOptions},
    io,
    path::Path,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use lab_model::Ticks;

use crate::{
    board::{BOARD_WORDS, Board},
    header::{Header, LIVE_CLAIMED, LIVE_CLOSED, LIVE_LOST},
    layout::{
        BOARD_OFFSET, CHUNK_BYTES, CHUNK_RECORDS, PATH_BYTES_MAX, PATH_FRAGMENT_BYTES, RECORD_BYTES,
        RECORD_WORDS, RECORDS_OFFSET, Span, commit,
    },
    mapped::Region,
    record::{
        DecisionBegin, DecisionEnd, Fault, Loss, OperationBegin, OperationEnd, PathFragment, PhaseMark,
        ProcessMark, Target, ThreadMark, kind,
    },
};

/// The chunks that are kept mapped ahead of the writer.
const CHUNKS_AHEAD: u64 = 2;

/// The place of a record in its trace, from 0; or [`RecordId::LOST`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordId(pub u64);

impl RecordId {
    /// A record that did not fit. What is added to it later is ignored; it was counted when it was lost.
    pub const LOST: RecordId = RecordId(u64::MAX);

    /// True for a record that did not fit.
    #[must_use]
    pub const fn is_lost(self) -> bool {
        self.0 == RecordId::LOST.0
    }
}

/// Limits of a trace.
#[derive(Clone, Copy, Debug)]
pub struct WriterOptions {
    /// The largest size of the file in bytes; what comes after is counted as lost.
    pub bytes_max: u64,
}

impl Default for WriterOptions {
    fn default() -> WriterOptions {
        WriterOptions { bytes_max: 4 << 30 }
    }
}

/// Writes one trace. Cloning makes another handle to the same trace.
#[derive(Clone, Debug)]
pub struct TraceWriter {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    file: File,
    salt: u32,
    head: Region,
    board: Board,
    next: AtomicU64,
    paths: AtomicU64,
    chunks: Box<[OnceLock<Region>]>,
    /// How many chunks are mapped; held while mapping more. Never taken by a thread that records.
    grown: Mutex<u64>,
}

impl TraceWriter {
    /// Creates the trace at `path`, which must not exist, and maps its first chunks.
    ///
    /// # Errors
    /// Those of creating, allocating and mapping the file (a full disk among them), and
    /// [`io::ErrorKind::InvalidInput`] when the header's metadata is too large.
    pub fn create(path: &Path, header: &Header, options: WriterOptions) -> io::Result<TraceWriter> {
        let encoded = header.encode().ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidInput, "the trace's metadata is larger than its room")
        })?;
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(path)?;
        allocate(&file, 0, RECORDS_OFFSET)?;
        write_at_start(&file, &encoded)?;
        let head = Region::map(&file, 0, RECORDS_OFFSET)?;
        let board = Board::new(Arc::new(Region::map(&file, BOARD_OFFSET, RECORDS_OFFSET - BOARD_OFFSET)?));
        let records_max = options.bytes_max.saturating_sub(RECORDS_OFFSET as u64) / RECORD_BYTES as u64;
        let chunks = (0..records_max.div_ceil(CHUNK_RECORDS).max(1)).map(|_| OnceLock::new()).collect();
        let shared = Shared {
            file,
            salt: header.salt,
            head,
            board,
            next: AtomicU64::new(0),
            paths: AtomicU64::new(0),
            chunks,
            grown: Mutex::new(0),
        };
        let writer = TraceWriter { shared: Arc::new(shared) };
        writer.grow()?;
        Ok(writer)
    }

    /// The process's board.
    #[must_use]
    pub fn board(&self) -> &Board {
        &self.shared.board
    }

    /// Maps more of the file when the writers come near its end. To be called every few milliseconds from a
    /// thread that may wait for the disk. Returns whether it mapped anything.
    ///
    /// # Errors
    /// Those of allocating and mapping. The trace goes on without: what does not fit is counted.
    pub fn grow(&self) -> io::Result<bool> {
        let shared = &self.shared;
        let mut grown = shared.grown.lock().unwrap_or_else(PoisonError::into_inner);
        let next = shared.next.load(Ordering::Relaxed);
        let wanted = (next / CHUNK_RECORDS + 1 + CHUNKS_AHEAD).min(shared.chunks.len() as u64);
        let before = *grown;
        while *grown < wanted {
            let place = usize::try_from(*grown).map_err(io::Error::other)?;
            let offset = RECORDS_OFFSET + place * CHUNK_BYTES;
            allocate(&shared.file, offset, CHUNK_BYTES)?;
            let region = Region::map(&shared.file, offset, CHUNK_BYTES)?;
            region.populate();
            assert!(shared.chunks[place].set(region).is_ok(), "a chunk is mapped once");
            *grown += 1;
        }
        shared.live(LIVE_CLAIMED).store(next, Ordering::Relaxed);
        Ok(*grown > before)
    }

    /// Records that did not fit so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.live(LIVE_LOST).load(Ordering::Relaxed)
    }

    /// Records claimed so far, whether they fitted or not.
    #[must_use]
    pub fn claimed(&self) -> u64 {
        self.shared.next.load(Ordering::Relaxed)
    }

    /// Marks the trace as whole and cuts the unused rest. No thread may record any more.
    ///
    /// # Errors
    /// Those of cutting the file; the trace is whole all the same.
    pub fn close(&self, at: Ticks) -> io::Result<()> {
        let shared = &self.shared;
        let mapped = *shared.grown.lock().unwrap_or_else(PoisonError::into_inner) * CHUNK_RECORDS;
        let claimed = shared.next.load(Ordering::Acquire);
        shared.live(LIVE_CLAIMED).store(claimed, Ordering::Relaxed);
        shared.live(LIVE_CLOSED).store(at.0.max(1), Ordering::Release);
        shared.file.set_len(RECORDS_OFFSET as u64 + claimed.min(mapped) * RECORD_BYTES as u64)
    }

    /// Records that an event was read.
    #[must_use]
    pub fn begin_decision(&self, begin: &DecisionBegin) -> RecordId {
        let id = self.shared.claim(1);
        self.shared.store(id, Span::Begin, kind::DECISION, &begin.words());
        id
    }

    /// Records the answer to it.
    pub fn end_decision(&self, id: RecordId, end: &DecisionEnd) {
        self.shared.store(id, Span::End, kind::DECISION, &end.words());
    }

    /// Records what file a decision was about.
    pub fn decision_target(&self, id: RecordId, target: &Target) {
        self.shared.store(id, Span::Target, kind::DECISION, &target.words());
    }

    /// Takes the place of an operation whose beginning another process will record (an exec's new process).
    #[must_use]
    pub fn claim_operation(&self) -> RecordId {
        self.shared.claim(1)
    }

    /// Records the beginning of an operation in a place that was claimed. Makes no allocation, takes no lock
    /// and calls nothing, so a forked child may call it before its exec.
    pub fn begin_claimed(&self, id: RecordId, begin: &OperationBegin) {
        self.shared.store(id, Span::Begin, kind::OPERATION, &begin.words());
    }

    /// Records the beginning of an operation.
    #[must_use]
    pub fn begin_operation(&self, begin: &OperationBegin) -> RecordId {
        let id = self.claim_operation();
        self.begin_claimed(id, begin);
        id
    }

    /// Records its end.
    pub fn end_operation(&self, id: RecordId, end: &OperationEnd) {
        self.shared.store(id, Span::End, kind::OPERATION, &end.words());
    }

    /// Records what file an operation was about.
    pub fn operation_target(&self, id: RecordId, target: &Target) {
        self.shared.store(id, Span::Target, kind::OPERATION, &target.words());
    }

    /// Records the begin or end of a phase.
    pub fn phase(&self, mark: &PhaseMark) {
        self.shared.whole(kind::PHASE, &mark.words());
    }

    /// Records a fault.
    pub fn fault(&self, fault: &Fault) {
        self.shared.whole(kind::FAULT, &fault.words());
    }

    /// Records a loss.
    pub fn loss(&self, loss: &Loss) {
        self.shared.whole(kind::LOSS, &loss.words());
    }

    /// Records what happened to a process.
    pub fn process(&self, mark: &ProcessMark) {
        self.shared.whole(kind::PROCESS, &mark.words());
    }

    /// Records a thread of this process.
    pub fn thread(&self, mark: &ThreadMark) {
        self.shared.whole(kind::THREAD, &mark.words());
    }

    /// Records a path, cut at [`PATH_BYTES_MAX`], and returns its number.
    #[must_use]
    pub fn path(&self, bytes: &[u8]) -> u32 {
        let bytes = &bytes[..bytes.len().min(PATH_BYTES_MAX)];
        let number = self.shared.paths.fetch_add(1, Ordering::Relaxed) + 1;
        let number = u32::try_from(number).unwrap_or(0);
        let fragments = bytes.len().div_ceil(PATH_FRAGMENT_BYTES).max(1);
        let RecordId(first) = self.shared.claim(fragments as u64);
        for (fragment, place) in (first..).take(fragments).enumerate() {
            if let Some(words) = PathFragment::words(number, bytes, fragment) {
                self.shared.store(RecordId(place), Span::Whole, kind::PATH, &words);
            }
        }
        number
    }
}

impl Shared {
    fn live(&self, word: usize) -> &AtomicU64 {
        &self.head.words()[word]
    }

    fn claim(&self, records: u64) -> RecordId {
        RecordId(self.next.fetch_add(records, Ordering::Relaxed))
    }

    fn whole(&self, kind: u8, words: &[u64; 15]) {
        let id = self.claim(1);
        self.store(id, Span::Whole, kind, words);
    }

    /// Stores a part's words and then, with one store, its commit.
    fn store(&self, RecordId(index): RecordId, span: Span, kind: u8, words: &[u64]) {
        debug_assert_eq!(words.len(), span.words());
        let Some(record) = self.record(index) else {
            if matches!(span, Span::Begin | Span::Whole) {
                self.live(LIVE_LOST).fetch_add(1, Ordering::Relaxed);
            }
            return;
        };
        let place = span.commit_word();
        for (cell, word) in record[place + 1..].iter().zip(words) {
            cell.store(word.to_le(), Ordering::Relaxed);
        }
        record[place].store(commit(self.salt, index, span, kind, words).to_le(), Ordering::Release);
    }

    fn record(&self, index: u64) -> Option<&[AtomicU64]> {
        let chunk = self.chunks.get(usize::try_from(index / CHUNK_RECORDS).ok()?)?.get()?;
        let start = usize::try_from(index % CHUNK_RECORDS).ok()? * RECORD_WORDS;
        chunk.words().get(start..start + RECORD_WORDS)
    }
}

const _: () = assert!(BOARD_OFFSET + BOARD_WORDS * 8 <= RECORDS_OFFSET, "the board ends before the records");

/// Makes room on the disk, so that a later store cannot fail: storing to a hole of a full disk is a `SIGBUS`.
#[cfg(target_os = "linux")]
fn allocate(file: &File, offset: usize, bytes: usize) -> io::Result<()> {
    let offset = nix::libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let bytes = nix::libc::off_t::try_from(bytes).map_err(io::Error::other)?;
    nix::fcntl::posix_fallocate(file, offset, bytes).map_err(io::Error::from)
}

/// Makes room on the disk by writing zeros, so that a later store cannot fail.
#[cfg(not(target_os = "linux"))]
fn allocate(file: &File, offset: usize, bytes: usize) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    file.write_all_at(&vec![0; bytes], offset as u64)
}

fn write_at_start(file: &File, bytes: &[u8]) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    file.write_all_at(bytes, 0)
}
