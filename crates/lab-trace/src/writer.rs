//! The writer: any thread of the process may record, none waits for another.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::OpenOptionsExt,
    path::Path,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use lab_model::{ProcessLife, Ticks};

use crate::{
    board::{BOARD_WORDS, Board},
    header::{Header, LIVE_CLOSED, LIVE_LOST, LIVE_PLACES},
    layout::{
        BOARD_OFFSET, CHUNK_BYTES, CHUNK_RECORDS, PATH_BYTES_MAX, PATH_FRAGMENT_BYTES, RECORD_BYTES,
        RECORD_WORDS, RECORDS_OFFSET, Span, TRACE_BYTES_MAX, commit,
    },
    mapped::Region,
    record::{
        DecisionBegin, DecisionEnd, Fault, GroupMark, Loss, Notice, OperationBegin, OperationEnd,
        PathFragment, PhaseMark, ProcessMark, QueueSample, RequestBegin, RequestEnd, Target, ThreadMark,
        ThreadSeen, Unwatched, kind, life,
    },
};

/// The chunks that are kept mapped ahead of the writer at first.
const CHUNKS_AHEAD: u64 = 2;
/// The most chunks that are kept mapped ahead of the writer; the unused ones are cut off when the trace is closed.
const CHUNKS_AHEAD_MAX: u64 = 16;
/// The share of what is written that is kept ahead: whoever writes much has more to lose when growing comes late.
const AHEAD_PART: u64 = 4;
/// Set in the next place when the trace is closed: what is claimed after that lies in no chunk and is lost.
const CLOSED: u64 = 1 << 63;

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
    /// The largest size of the file in bytes, at most [`TRACE_BYTES_MAX`]; what comes after is counted as
    /// lost. There is always room for [`CHUNK_RECORDS`] records.
    pub bytes_max: u64,
}

impl Default for WriterOptions {
    fn default() -> WriterOptions {
        WriterOptions { bytes_max: 4 << 30 }
    }
}

/// Writes one trace. Cloning makes another handle to the same trace.
///
/// A forked child shares the memory of the records and not the counter of places: it may only call
/// [`TraceWriter::begin_claimed`].
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
    chunks: Box<[OnceLock<Region>]>,
    /// Held while mapping more and while closing. Never taken by a thread that records.
    growth: Mutex<Growth>,
    next: Alone,
    paths: Alone,
}

/// A counter that shares its cache lines with nothing, least of all with what every record reads.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Alone(AtomicU64);

#[derive(Debug, Default)]
struct Growth {
    /// How many chunks are mapped.
    chunks: u64,
    closed: bool,
}

/// A place that lies in a mapped chunk.
struct Place<'a> {
    index: u64,
    words: &'a [AtomicU64],
}

impl TraceWriter {
    /// Creates the trace at `path`, which must not exist, and maps its first chunks.
    ///
    /// # Errors
    /// Those of creating, allocating and mapping the file (a full disk among them; nothing is left behind),
    /// and [`io::ErrorKind::InvalidInput`] when the header's metadata or the limit is too large.
    pub fn create(path: &Path, header: &Header, options: WriterOptions) -> io::Result<TraceWriter> {
        let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
        let encoded =
            header.encode().ok_or_else(|| invalid("the trace's metadata is larger than its room"))?;
        if options.bytes_max > TRACE_BYTES_MAX {
            return Err(invalid("the trace's limit is above 32 GiB"));
        }
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        TraceWriter::begin(file, header.salt, &encoded, options).inspect_err(|_| {
            // The reason that counts is the one at hand.
            drop(std::fs::remove_file(path));
        })
    }

    fn begin(file: File, salt: u32, header: &[u8], options: WriterOptions) -> io::Result<TraceWriter> {
        allocate(&file, 0, RECORDS_OFFSET)?;
        write_at(&file, header, 0)?;
        let head = Region::map(&file, 0, RECORDS_OFFSET)?;
        let board = Board::new(Arc::new(Region::map(&file, BOARD_OFFSET, RECORDS_OFFSET - BOARD_OFFSET)?));
        let chunks = options.bytes_max.saturating_sub(RECORDS_OFFSET as u64) / CHUNK_BYTES as u64;
        let shared = Shared {
            file,
            salt,
            head,
            board,
            chunks: (0..chunks.max(1)).map(|_| OnceLock::new()).collect(),
            growth: Mutex::default(),
            next: Alone::default(),
            paths: Alone::default(),
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
        let mut growth = shared.growth.lock().unwrap_or_else(PoisonError::into_inner);
        if growth.closed {
            return Ok(false);
        }
        let claimed = self.claimed();
        let written = claimed / CHUNK_RECORDS;
        let ahead = (written / AHEAD_PART).clamp(CHUNKS_AHEAD, CHUNKS_AHEAD_MAX);
        let wanted = (written + 1 + ahead).min(shared.chunks.len() as u64);
        let before = growth.chunks;
        while growth.chunks < wanted {
            let place = usize::try_from(growth.chunks).map_err(io::Error::other)?;
            let offset = RECORDS_OFFSET + place * CHUNK_BYTES;
            allocate(&shared.file, offset, CHUNK_BYTES)?;
            let region = Region::map(&shared.file, offset, CHUNK_BYTES)?;
            region.populate();
            assert!(shared.chunks[place].set(region).is_ok(), "a chunk is mapped once");
            growth.chunks += 1;
        }
        shared.live(LIVE_PLACES).store(claimed.min(growth.chunks * CHUNK_RECORDS), Ordering::Relaxed);
        Ok(growth.chunks > before)
    }

    /// Records that did not fit so far.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.shared.live(LIVE_LOST).load(Ordering::Relaxed)
    }

    /// Records claimed so far, whether they fitted or not.
    #[must_use]
    pub fn claimed(&self) -> u64 {
        self.shared.next.0.load(Ordering::Relaxed) & !CLOSED
    }

    /// Marks the trace as whole and cuts the unused rest. A record begun after that is counted as lost; the
    /// missing parts of an earlier one may still come, for its place stays in the file. Closing again does
    /// nothing.
    ///
    /// # Errors
    /// Those of cutting the file; the trace is whole all the same.
    pub fn close(&self, at: Ticks) -> io::Result<()> {
        let shared = &self.shared;
        let mut growth = shared.growth.lock().unwrap_or_else(PoisonError::into_inner);
        if growth.closed {
            return Ok(());
        }
        growth.closed = true;
        // In one step with the count: whoever claims later gets no place in what is cut off below.
        let claimed = shared.next.0.fetch_or(CLOSED, Ordering::AcqRel);
        let places = claimed.min(growth.chunks * CHUNK_RECORDS);
        shared.live(LIVE_PLACES).store(places, Ordering::Relaxed);
        shared.live(LIVE_CLOSED).store(at.0.max(1), Ordering::Release);
        shared.file.set_len(RECORDS_OFFSET as u64 + places * RECORD_BYTES as u64)
    }

    /// Records that an event was read.
    #[must_use]
    pub fn begin_decision(&self, begin: &DecisionBegin) -> RecordId {
        self.shared.begin(Span::Begin, kind::DECISION, &begin.words())
    }

    /// Records the answer to it.
    pub fn end_decision(&self, id: RecordId, end: &DecisionEnd) {
        self.shared.add(id, Span::End, kind::DECISION, &end.words());
    }

    /// Records what file a decision was about.
    pub fn decision_target(&self, id: RecordId, target: &Target) {
        self.shared.add(id, Span::Target, kind::DECISION, &target.words());
    }

    /// Takes the place of an operation whose beginning another process will record (an exec's new process).
    #[must_use]
    pub fn claim_operation(&self) -> RecordId {
        self.shared.claim().map_or(RecordId::LOST, |place| RecordId(place.index))
    }

    /// Records the beginning of an operation in a place that was claimed. Makes no allocation, takes no lock
    /// and calls nothing, so a forked child may call it before its exec.
    pub fn begin_claimed(&self, id: RecordId, begin: &OperationBegin) {
        self.shared.add(id, Span::Begin, kind::OPERATION, &begin.words());
    }

    /// Records the beginning of an operation.
    #[must_use]
    pub fn begin_operation(&self, begin: &OperationBegin) -> RecordId {
        self.shared.begin(Span::Begin, kind::OPERATION, &begin.words())
    }

    /// Records its end.
    pub fn end_operation(&self, id: RecordId, end: &OperationEnd) {
        self.shared.add(id, Span::End, kind::OPERATION, &end.words());
    }

    /// Records what file an operation was about.
    pub fn operation_target(&self, id: RecordId, target: &Target) {
        self.shared.add(id, Span::Target, kind::OPERATION, &target.words());
    }

    /// Records that a worker outside the process was asked.
    #[must_use]
    pub fn begin_request(&self, begin: &RequestBegin) -> RecordId {
        self.shared.begin(Span::Begin, kind::REQUEST, &begin.words())
    }

    /// Records the reply.
    pub fn end_request(&self, id: RecordId, end: &RequestEnd) {
        if let Some(served) = &end.served {
            self.shared.add(id, Span::Target, kind::REQUEST, &served.words());
        }
        self.shared.add(id, Span::End, kind::REQUEST, &end.words());
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

    /// Records what this client was told; the record is what a reaction names as its cause.
    #[must_use]
    pub fn notice(&self, notice: &Notice) -> RecordId {
        self.shared.begin(Span::Whole, kind::NOTICE, &notice.words())
    }

    /// Records that an external product's thread came into sight or went out of it.
    pub fn thread_seen(&self, thread_seen: &ThreadSeen) {
        self.shared.whole(kind::THREAD_SEEN, &thread_seen.words());
    }

    /// Records a mark of an external product's group.
    pub fn group_mark(&self, mark: &GroupMark) {
        self.shared.whole(kind::GROUP_MARK, &mark.words());
    }

    /// Records a step in the life of a process.
    pub fn life(&self, life: &ProcessLife) {
        self.shared.whole(kind::LIFE, &life::words(life));
    }

    /// Records a time in which nobody watched.
    pub fn unwatched(&self, unwatched: &Unwatched) {
        self.shared.whole(kind::UNWATCHED, &unwatched.words());
    }

    /// Records what waited for an external product.
    pub fn queue_sample(&self, queue_sample: &QueueSample) {
        self.shared.whole(kind::QUEUE_SAMPLE, &queue_sample.words());
    }

    /// Records a path, cut at [`PATH_BYTES_MAX`], and returns its number; 0 when it did not fit as a whole,
    /// and then its records are counted as lost and none of them is written.
    #[must_use]
    pub fn path(&self, bytes: &[u8]) -> u32 {
        let shared = &self.shared;
        let bytes = &bytes[..bytes.len().min(PATH_BYTES_MAX)];
        let fragments = bytes.len().div_ceil(PATH_FRAGMENT_BYTES).max(1);
        let first = shared.next.0.fetch_add(fragments as u64, Ordering::Relaxed);
        let number = shared.paths.0.fetch_add(1, Ordering::Relaxed) + 1;
        let last = first + fragments as u64 - 1;
        // Chunks are mapped in order: where the last piece has a place, all have.
        let (Ok(number), Some(_)) = (u32::try_from(number), shared.place(last)) else {
            shared.live(LIVE_LOST).fetch_add(fragments as u64, Ordering::Relaxed);
            return 0;
        };
        for (fragment, index) in (first..=last).enumerate() {
            if let Some(words) = PathFragment::words(number, bytes, fragment) {
                shared.add(RecordId(index), Span::Whole, kind::PATH, &words);
            }
        }
        number
    }
}

impl Shared {
    fn live(&self, word: usize) -> &AtomicU64 {
        &self.head.words()[word]
    }

    fn place(&self, index: u64) -> Option<Place<'_>> {
        let chunk = self.chunks.get(usize::try_from(index / CHUNK_RECORDS).ok()?)?.get()?;
        let start = usize::try_from(index % CHUNK_RECORDS).ok()? * RECORD_WORDS;
        Some(Place { index, words: chunk.words().get(start..start + RECORD_WORDS)? })
    }

    /// Takes the next place; counts a loss when the file does not reach it.
    fn claim(&self) -> Option<Place<'_>> {
        let place = self.place(self.next.0.fetch_add(1, Ordering::Relaxed));
        if place.is_none() {
            self.live(LIVE_LOST).fetch_add(1, Ordering::Relaxed);
        }
        place
    }

    /// Writes the first part of a record in the next place.
    fn begin(&self, span: Span, kind: u8, words: &[u64]) -> RecordId {
        let Some(place) = self.claim() else { return RecordId::LOST };
        place.store(self.salt, span, kind, words);
        RecordId(place.index)
    }

    fn whole(&self, kind: u8, words: &[u64; 15]) {
        let _place = self.begin(Span::Whole, kind, words);
    }

    /// Writes a part in a place that was claimed before; a lost record has none.
    fn add(&self, RecordId(index): RecordId, span: Span, kind: u8, words: &[u64]) {
        if let Some(place) = self.place(index) {
            place.store(self.salt, span, kind, words);
        }
    }
}

impl Place<'_> {
    /// Stores a part's words and then, with one store, its commit.
    #[inline]
    fn store(&self, salt: u32, span: Span, kind: u8, words: &[u64]) {
        assert!(words.len() == span.words(), "a part has its words");
        let at = span.commit_word();
        for (cell, word) in self.words[at + 1..].iter().zip(words) {
            cell.store(word.to_le(), Ordering::Relaxed);
        }
        self.words[at].store(commit(salt, self.index, span, kind, words).to_le(), Ordering::Release);
    }
}

const _: () = assert!(BOARD_OFFSET + BOARD_WORDS * 8 <= RECORDS_OFFSET, "the board ends before the records");

/// Makes room on the disk, so that a later store cannot fail: storing to a hole of a full disk is a `SIGBUS`.
/// `offset` is the end of the file. macOS has no `posix_fallocate`, and this crate lies below the one that knows the system.
#[cfg(target_os = "linux")]
fn allocate(file: &File, offset: usize, bytes: usize) -> io::Result<()> {
    use nix::errno::Errno;
    let at = nix::libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let length = nix::libc::off_t::try_from(bytes).map_err(io::Error::other)?;
    loop {
        match nix::fcntl::posix_fallocate(file, at, length) {
            Err(Errno::EINTR) => {}
            // The C library that does not help itself where the file system cannot.
            Err(Errno::EOPNOTSUPP | Errno::ENOSYS) => return write_at(file, &vec![0; bytes], offset),
            done => return done.map_err(io::Error::from),
        }
    }
}

/// Makes room on the disk by writing zeros, so that a later store cannot fail. `offset` is the file's end.
#[cfg(not(target_os = "linux"))]
fn allocate(file: &File, offset: usize, bytes: usize) -> io::Result<()> {
    write_at(file, &vec![0; bytes], offset)
}

fn write_at(file: &File, bytes: &[u8], offset: usize) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    file.write_all_at(bytes, offset as u64)
}
