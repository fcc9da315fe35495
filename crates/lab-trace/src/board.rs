//! The live board: what the warden sees of a running process, by shared memory and without asking it.
//!
//! Counters only grow, but for those that say how things stand now. A slot is free when its first word is 0. Its other words are written after that 0 and
//! before the first word of the next use, and a reader checks the first word again, so it never takes a
//! mixture of two uses for one, unless both began at the same tick.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering, fence},
};
use std::{fs::OpenOptions, io, os::unix::fs::FileExt, path::Path};

use lab_model::{Actor, Ticks};

use crate::{
    layout::{BOARD_OFFSET, RECORDS_OFFSET},
    mapped::Region,
};

/// Decisions that may wait for a worker or be worked on at once in one client.
pub const PENDING_SLOTS: usize = 4096;
/// Operations that may be under way at once in one process.
pub const OPERATION_SLOTS: usize = 1024;
/// Workers of one client that may wait for a helper or a daemon at once.
pub const ASK_SLOTS: usize = 256;

const COUNTER_WORDS: usize = 64;
const SLOT_WORDS: usize = 3;
const PENDING_AT: usize = COUNTER_WORDS;
const OPERATIONS_AT: usize = PENDING_AT + PENDING_SLOTS * SLOT_WORDS;
const ASKS_AT: usize = OPERATIONS_AT + OPERATION_SLOTS * SLOT_WORDS;
pub(crate) const BOARD_WORDS: usize = ASKS_AT + ASK_SLOTS * SLOT_WORDS;

/// What a process counts on its board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counter {
    /// Reads of the kernel's queue that have returned.
    Reads = 0,
    /// Events read.
    Events = 1,
    /// Events answered, by anyone in the process.
    Answers = 2,
    /// Events answered by the deadline budget.
    Fallbacks = 3,
    /// Operations begun.
    OperationsBegun = 4,
    /// Operations ended.
    OperationsEnded = 5,
    /// The phase the process is in, by number.
    Phase = 6,
    /// Since when the reader holds events that it is about to answer itself, in ticks; 0 when it holds none.
    Answering = 7,
    /// Requests that a client made of helpers and daemons.
    Requests = 8,
    /// Of those, the ones that are over: replied to, or failed.
    Replies = 9,
    /// Requests that a helper or a daemon has taken in.
    ErrandsBegun = 10,
    /// Of those, the ones that it has carried out.
    ErrandsEnded = 11,
    /// Decisions that a client can work on at once now, or requests that a helper or a daemon can: its limit, and
    /// those beyond it that were under way when it was lowered. 0 says that nobody has said.
    Workers = 12,
}

/// The board of one process. Cloning it makes another handle to the same memory.
#[derive(Clone, Debug)]
pub struct Board {
    region: Arc<Region>,
}

/// A busy slot as the warden sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotView {
    /// Its place.
    pub slot: usize,
    /// Since when it is busy.
    pub since: Ticks,
    /// The record that it is about.
    pub record: u64,
    /// The thread that waits: a decision's subject, an operation's own thread. Of a worker that waits for a reply
    /// it is the number of whom it has asked: its own client for the client's helpers, else a daemon.
    pub tid: u64,
}

impl Board {
    pub(crate) fn new(region: Arc<Region>) -> Board {
        assert!(region.words().len() >= BOARD_WORDS, "the board has its room");
        Board { region }
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        &self.region.words()[at]
    }

    /// Adds to a counter.
    pub fn add(&self, counter: Counter, amount: u64) {
        self.word(counter as usize).fetch_add(amount, Ordering::Relaxed);
    }

    /// Takes away from a counter that says how many there are now.
    pub fn subtract(&self, counter: Counter, amount: u64) {
        self.word(counter as usize).fetch_sub(amount, Ordering::Relaxed);
    }

    /// Sets a counter that only one thread writes.
    pub fn set(&self, counter: Counter, value: u64) {
        self.word(counter as usize).store(value, Ordering::Relaxed);
    }

    /// Reads a counter.
    #[must_use]
    pub fn get(&self, counter: Counter) -> u64 {
        self.word(counter as usize).load(Ordering::Relaxed)
    }

    fn occupy(&self, base: usize, slot: usize, since: Ticks, record: u64, tid: u64) {
        let at = base + slot * SLOT_WORDS;
        // A reader that sees a word of this use must see, when it looks again, that the last use is over.
        fence(Ordering::Release);
        self.word(at + 1).store(record, Ordering::Relaxed);
        self.word(at + 2).store(tid, Ordering::Relaxed);
        self.word(at).store(since.0.max(1), Ordering::Release);
    }

    fn view(&self, base: usize, slot: usize) -> Option<SlotView> {
        let at = base + slot * SLOT_WORDS;
        let since = self.word(at).load(Ordering::Acquire);
        let view = SlotView {
            slot,
            since: Ticks(since),
            record: self.word(at + 1).load(Ordering::Relaxed),
            tid: self.word(at + 2).load(Ordering::Relaxed),
        };
        fence(Ordering::Acquire);
        (since != 0 && self.word(at).load(Ordering::Relaxed) == since).then_some(view)
    }

    /// Shows a decision as pending in `slot`, which must be below [`PENDING_SLOTS`] and free.
    pub fn pend(&self, slot: usize, since: Ticks, record: u64, tid: u64) {
        assert!(slot < PENDING_SLOTS, "a slot of the board");
        self.occupy(PENDING_AT, slot, since, record, tid);
    }

    /// Frees a decision's slot.
    pub fn settle(&self, slot: usize) {
        assert!(slot < PENDING_SLOTS, "a slot of the board");
        self.word(PENDING_AT + slot * SLOT_WORDS).store(0, Ordering::Release);
    }

    /// Shows an operation as under way in `slot`, which must be below [`OPERATION_SLOTS`] and free.
    pub fn operate(&self, slot: usize, since: Ticks, record: u64, tid: u64) {
        assert!(slot < OPERATION_SLOTS, "a slot of the board");
        self.occupy(OPERATIONS_AT, slot, since, record, tid);
    }

    /// Frees an operation's slot.
    pub fn rest(&self, slot: usize) {
        assert!(slot < OPERATION_SLOTS, "a slot of the board");
        self.word(OPERATIONS_AT + slot * SLOT_WORDS).store(0, Ordering::Release);
    }

    /// Shows a worker as waiting for a reply to what it asked of `whom` for the decision `record`. `slot` is the
    /// worker's number, below [`ASK_SLOTS`].
    pub fn ask(&self, slot: usize, since: Ticks, record: u64, whom: Actor) {
        assert!(slot < ASK_SLOTS, "a slot of the board");
        self.occupy(ASKS_AT, slot, since, record, u64::from(whom.0));
    }

    /// Frees a worker's slot: the reply is there, or never will be.
    pub fn heard(&self, slot: usize) {
        assert!(slot < ASK_SLOTS, "a slot of the board");
        self.word(ASKS_AT + slot * SLOT_WORDS).store(0, Ordering::Release);
    }

    /// True when an operation of this thread is under way in one of the first `slots`. Neither locks nor calls
    /// the kernel.
    #[must_use]
    pub fn is_operating(&self, tid: u64, slots: usize) -> bool {
        let mut slots = (0..slots.min(OPERATION_SLOTS)).map(|slot| OPERATIONS_AT + slot * SLOT_WORDS);
        slots.any(|at| {
            self.word(at).load(Ordering::Acquire) != 0 && self.word(at + 2).load(Ordering::Relaxed) == tid
        })
    }

    /// The decisions that are pending now.
    pub fn pending(&self) -> impl Iterator<Item = SlotView> {
        (0..PENDING_SLOTS).filter_map(|slot| self.view(PENDING_AT, slot))
    }

    /// The operations that are under way now.
    pub fn operations(&self) -> impl Iterator<Item = SlotView> {
        (0..OPERATION_SLOTS).filter_map(|slot| self.view(OPERATIONS_AT, slot))
    }

    /// The workers that wait for a reply now.
    pub fn asks(&self) -> impl Iterator<Item = SlotView> {
        (0..ASK_SLOTS).filter_map(|slot| self.view(ASKS_AT, slot))
    }
}

impl Board {
    /// Maps the board of another process's trace, to watch it while that process lives.
    ///
    /// A mapped page that is cut off its file ends whoever touches it. The writer never cuts the board, which lies before
    /// its records; a trace is its owner's alone (mode 0600, in folders of mode 0700), and whoever else could shorten it
    /// is root or the caller of sudo, who may end this process anyway. Whoever looks once takes [`Board::read`], to which
    /// a short file is an error.
    ///
    /// # Errors
    /// Those of opening and mapping the file, and [`io::ErrorKind::UnexpectedEof`] when it is too short.
    pub fn attach(trace: &Path) -> io::Result<Board> {
        let file = OpenOptions::new().read(true).write(true).open(trace)?;
        if file.metadata()?.len() < RECORDS_OFFSET as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let region = Region::map(&file, BOARD_OFFSET, RECORDS_OFFSET - BOARD_OFFSET)?;
        Ok(Board::new(Arc::new(region)))
    }

    /// Reads one counter of a trace on disk, as it is now. Nothing is mapped.
    ///
    /// # Errors
    /// Those of opening and reading the file, and [`io::ErrorKind::UnexpectedEof`] when it is too short.
    pub fn read(trace: &Path, counter: Counter) -> io::Result<u64> {
        let file = lab_files::open_regular(trace)?;
        let mut word = [0; 8];
        file.read_exact_at(&mut word, (BOARD_OFFSET + counter as usize * 8) as u64)?;
        Ok(u64::from_ne_bytes(word))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_counter_of_a_file_that_is_cut_is_an_error() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp");
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("board-that-is-cut.trace");
        let mut bytes = vec![0; RECORDS_OFFSET];
        let at = BOARD_OFFSET + Counter::OperationsBegun as usize * 8;
        bytes[at..at + 8].copy_from_slice(&7_u64.to_ne_bytes());
        fs::write(&path, bytes).unwrap();
        assert_eq!(Board::read(&path, Counter::OperationsBegun).unwrap(), 7);
        let board = Board::attach(&path).unwrap();
        assert_eq!(board.get(Counter::OperationsBegun), 7, "what is mapped says the same");
        drop(board);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(at as u64 + 3).unwrap();
        let error = Board::read(&path, Counter::OperationsBegun).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(Board::attach(&path).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        fs::remove_file(&path).unwrap();
    }
}
