//! The reader: believes nothing that its check does not confirm, and never panics on any bytes.

use lab_model::{Bounded, Cause, ProcessLife, Ticks};

use crate::{
    StoredTrace,
    error::TraceError,
    header::{Header, LIVE_CLOSED, LIVE_LOST, LIVE_PLACES},
    layout::{BOARD_OFFSET, RECORD_BYTES, RECORD_WORDS, RECORDS_OFFSET, Span, commit, kind_of},
    record::{
        Decision, DecisionBegin, DecisionEnd, Operation, OperationBegin, OperationEnd, Record, RecordPart,
        Request, RequestBegin, RequestEnd, Target, kind, life, whole,
    },
    stored::PIECE_BYTES,
};

/// The bytes of a place.
const PLACE_BYTES: u64 = RECORD_BYTES as u64;

/// A trace with its header read.
#[derive(Clone, Debug)]
pub struct Trace<'a> {
    /// Whose trace it is.
    pub header: Header,
    /// False when the header's metadata was damaged: names and settings are then unknown.
    pub metadata_whole: bool,
    /// When the writer closed the trace; `None` when its process was cut off.
    pub closed: Option<Ticks>,
    /// Records that did not fit, as the writer counted them.
    pub lost: u64,
    places: u64,
    walked: u64,
    source: Source<'a>,
}

/// Where a trace's bytes are.
#[derive(Clone, Copy, Debug)]
enum Source<'a> {
    Memory(&'a [u8]),
    File(&'a StoredTrace),
}

impl Source<'_> {
    fn bytes(self) -> u64 {
        match self {
            Source::Memory(bytes) => bytes.len() as u64,
            Source::File(file) => file.bytes(),
        }
    }

    /// How many whole places there are behind the head.
    fn places(self) -> u64 {
        self.bytes().saturating_sub(RECORDS_OFFSET as u64) / PLACE_BYTES
    }

    /// How many places there are up to the last one that is not empty, if that is more than `at_least`.
    fn used(self, at_least: u64) -> u64 {
        let last = |records: &[u8]| {
            records.chunks_exact(RECORD_BYTES).rposition(|place| place.iter().any(|&byte| byte != 0))
        };
        let file = match self {
            Source::Memory(bytes) => {
                let used = last(bytes.get(RECORDS_OFFSET..).unwrap_or_default())
                    .map_or(0, |last| last.saturating_add(1));
                return at_least.max(used as u64);
            }
            Source::File(file) => file,
        };
        let mut piece = vec![0; PIECE_BYTES];
        let mut end = self.places();
        while end > at_least {
            let begin = end.saturating_sub((PIECE_BYTES / RECORD_BYTES) as u64).max(at_least);
            let places = usize::try_from(end.saturating_sub(begin)).unwrap_or(0);
            let piece = &mut piece[..places.saturating_mul(RECORD_BYTES)];
            file.read_unused(piece, offset_of(begin));
            if let Some(last) = last(piece) {
                return begin.saturating_add(last as u64).saturating_add(1);
            }
            end = begin;
        }
        at_least
    }
}

/// Where a place lies in the file; behind every end for a number that no file has.
fn offset_of(index: u64) -> u64 {
    index.saturating_mul(RECORD_BYTES as u64).saturating_add(RECORDS_OFFSET as u64)
}

/// One place of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A record.
    Record {
        /// Its place, from 0.
        index: u64,
        /// What it says.
        record: Record,
    },
    /// Something that should be a record and is not.
    Damaged {
        /// Its place, from 0.
        index: u64,
        /// What is wrong.
        damage: Damage,
    },
}

/// Why a place holds no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// It was claimed and never committed: the process was ended in between, the claim was given up, or the
    /// record came while the file was too short for it (and is counted in [`Trace::lost`]).
    Uncommitted,
    /// Its check does not hold.
    Check,
    /// Its check holds, and this version does not know its kind or a value in it.
    Unknown {
        /// The kind's number.
        kind: u8,
    },
}

/// What is missing at the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Bytes missing of the part before the records: the file was cut within it.
    pub head_missing_bytes: usize,
    /// Bytes at the end that are no whole place: the file was cut within it.
    pub cut_bytes: usize,
    /// Whole places that the writer had claimed and the file no longer has; of an unclosed trace at least so
    /// many.
    pub missing_places: u64,
}

impl Tail {
    /// True when the end of the file is missing.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.head_missing_bytes > 0 || self.cut_bytes > 0 || self.missing_places > 0
    }
}

impl<'a> Trace<'a> {
    /// Reads the header of a trace.
    ///
    /// # Errors
    /// [`TraceError`] when there is no header to believe. Everything after it is reported record by record.
    pub fn parse(bytes: &'a [u8]) -> Result<Trace<'a>, TraceError> {
        Trace::begin(bytes, Source::Memory(bytes))
    }

    /// Reads the header of a trace on disk. Walking it reads the file in pieces, so that the memory in use does not grow
    /// with it. [`StoredTrace::check`] says afterwards whether all of it could be read.
    ///
    /// # Errors
    /// As [`Trace::parse`].
    pub fn of(file: &'a StoredTrace) -> Result<Trace<'a>, TraceError> {
        let mut head = vec![0; BOARD_OFFSET];
        let read = file.read(&mut head, 0);
        Trace::begin(&head[..read], Source::File(file))
    }

    fn begin(head: &[u8], source: Source<'a>) -> Result<Trace<'a>, TraceError> {
        let (header, metadata_whole) = Header::decode(head)?;
        let live = |word: usize| word_at(head, word).unwrap_or(0);
        let closed = Some(live(LIVE_CLOSED)).filter(|&at| at != 0).map(Ticks);
        let places = live(LIVE_PLACES);
        let claimed = if closed.is_some() { places.min(source.places()) } else { 0 };
        let walked = source.used(claimed);
        Ok(Trace { header, metadata_whole, closed, lost: live(LIVE_LOST), places, walked, source })
    }

    /// The places of the trace in order: of a closed trace those that were claimed, else up to the last one
    /// that is not empty.
    #[must_use]
    pub fn entries(&self) -> Entries<'a> {
        Entries { places: Places::of(self), salt: self.header.salt }
    }

    /// What is missing at the end of the file.
    #[must_use]
    pub fn tail(&self) -> Tail {
        let records = self.source.bytes().saturating_sub(RECORDS_OFFSET as u64);
        let missing = (RECORDS_OFFSET as u64).saturating_sub(self.source.bytes());
        Tail {
            head_missing_bytes: usize::try_from(missing).unwrap_or(0),
            cut_bytes: usize::try_from(records % PLACE_BYTES).unwrap_or(0),
            missing_places: self.places.saturating_sub(records / PLACE_BYTES),
        }
    }

    /// One place by its number; `None` behind the last.
    #[must_use]
    pub fn entry(&self, index: u64) -> Option<Entry> {
        let offset = index.checked_mul(RECORD_BYTES as u64)?.checked_add(RECORDS_OFFSET as u64)?;
        let mut record = [0; RECORD_BYTES];
        match self.source {
            Source::Memory(bytes) => {
                let start = usize::try_from(offset).ok()?;
                record.copy_from_slice(bytes.get(start..start.checked_add(RECORD_BYTES)?)?);
            }
            Source::File(file) if index < self.source.places() => {
                file.look_up(&mut record, offset).then_some(())?;
            }
            Source::File(_) => return None,
        }
        entry_of(&record, index, self.header.salt)
    }

    /// What the trace says of the lives of processes, in record order, without reading anything else.
    pub fn lives(&self) -> impl Iterator<Item = ProcessLife> + '_ {
        let salt = self.header.salt;
        self.of_kind(kind::LIFE).filter_map(move |(index, words)| {
            match part(salt, index, kind::LIFE, Span::Whole, &words) {
                RecordPart::Present(whole) => Some(life::from_words(whole)),
                RecordPart::Absent | RecordPart::Damaged => None,
            }
        })
    }

    /// The causes of the trace's operations, in record order, without reading anything else: a first look at
    /// which decisions had consequences. What cannot be believed is left out.
    pub fn causes(&self) -> impl Iterator<Item = Cause> + '_ {
        let salt = self.header.salt;
        self.of_kind(kind::OPERATION).filter_map(move |(index, words)| {
            match part(salt, index, kind::OPERATION, Span::Begin, &words) {
                RecordPart::Present(begin) => OperationBegin::from_words(begin).map(|begin| begin.cause),
                RecordPart::Absent | RecordPart::Damaged => None,
            }
        })
    }

    /// The places that say they are of one kind, as words.
    fn of_kind(&self, kind: u8) -> impl Iterator<Item = (u64, [u64; RECORD_WORDS])> + 'a {
        let mut places = Places::of(self);
        std::iter::from_fn(move || {
            loop {
                let (index, record) = places.next()?;
                if record[0] == kind {
                    return Some((index, words_of(record)));
                }
            }
        })
    }
}

/// The place that these bytes are; `None` when they are too few.
pub(crate) fn entry_of(bytes: &[u8], index: u64, salt: u32) -> Option<Entry> {
    let words = words_of(bytes.get(..RECORD_BYTES)?);
    Some(match decode(salt, index, &words) {
        Ok(record) => Entry::Record { index, record },
        Err(damage) => Entry::Damaged { index, damage },
    })
}

fn word_at(bytes: &[u8], word: usize) -> Option<u64> {
    let bytes = bytes.get(word.saturating_mul(8)..word.saturating_mul(8).saturating_add(8))?;
    bytes.try_into().ok().map(u64::from_le_bytes)
}

/// Walks the places of a trace as bytes.
#[derive(Clone, Debug)]
struct Places<'a> {
    source: Source<'a>,
    index: u64,
    end: u64,
    /// The piece of a file that is being walked, and how far that is.
    piece: Vec<u8>,
    at: usize,
}

impl<'a> Places<'a> {
    fn of(trace: &Trace<'a>) -> Places<'a> {
        Places { source: trace.source, index: 0, end: trace.walked, piece: Vec::new(), at: 0 }
    }

    /// The next place and its number; `None` at the end, or where the file cannot be read any further.
    fn next(&mut self) -> Option<(u64, &[u8])> {
        if self.index >= self.end {
            return None;
        }
        let index = self.index;
        let record = match self.source {
            Source::Memory(bytes) => {
                let start = usize::try_from(offset_of(index)).ok()?;
                bytes.get(start..start.checked_add(RECORD_BYTES)?)?
            }
            Source::File(file) => {
                if self.at == self.piece.len() {
                    self.fill(file);
                }
                let Some(record) = self.piece.get(self.at..self.at.saturating_add(RECORD_BYTES)) else {
                    self.end = index;
                    return None;
                };
                self.at.raise(RECORD_BYTES);
                record
            }
        };
        self.index.raise(1);
        Some((index, record))
    }

    fn fill(&mut self, file: &StoredTrace) {
        let places = usize::try_from(self.end.saturating_sub(self.index)).unwrap_or(usize::MAX);
        self.piece.resize(PIECE_BYTES.min(places.saturating_mul(RECORD_BYTES)), 0);
        let read = file.read(&mut self.piece, offset_of(self.index));
        self.piece.truncate(read.saturating_sub(read % RECORD_BYTES));
        self.at = 0;
    }
}

/// Walks the places of a trace.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    places: Places<'a>,
    salt: u32,
}

impl Entries<'_> {
    /// How many places are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        usize::try_from(self.places.end.saturating_sub(self.places.index)).unwrap_or(usize::MAX)
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let salt = self.salt;
        let (index, record) = self.places.next()?;
        entry_of(record, index, salt)
    }
}

fn words_of(record: &[u8]) -> [u64; RECORD_WORDS] {
    let mut words = [0_u64; RECORD_WORDS];
    for (word, bytes) in words.iter_mut().zip(record.chunks_exact(8)) {
        *word = bytes.try_into().map_or(0, u64::from_le_bytes);
    }
    words
}

/// A part's words if its commit holds.
fn part(salt: u32, index: u64, kind: u8, span: Span, words: &[u64; RECORD_WORDS]) -> RecordPart<&[u64]> {
    let place = span.commit_word();
    let content = &words[place.saturating_add(1)..place.saturating_add(1).saturating_add(span.words())];
    if words[place] == 0 {
        // Words without a commit are an unfinished store; that part was never committed.
        return RecordPart::Absent;
    }
    if words[place] == commit(salt, index, span, kind, content) {
        RecordPart::Present(content)
    } else {
        RecordPart::Damaged
    }
}

fn map<T>(part: RecordPart<&[u64]>, decode: impl FnOnce(&[u64]) -> Option<T>) -> RecordPart<T> {
    match part {
        RecordPart::Absent => RecordPart::Absent,
        RecordPart::Damaged => RecordPart::Damaged,
        RecordPart::Present(words) => decode(words).map_or(RecordPart::Damaged, RecordPart::Present),
    }
}

fn decode(salt: u32, index: u64, words: &[u64; RECORD_WORDS]) -> Result<Record, Damage> {
    let kind = kind_of(words[0]);
    let parted = kind::is_parted(kind);
    let span = if parted { Span::Begin } else { Span::Whole };
    let unknown = Damage::Unknown { kind };
    let begin = match part(salt, index, kind, span, words) {
        RecordPart::Absent => return Err(Damage::Uncommitted),
        RecordPart::Damaged => return Err(Damage::Check),
        RecordPart::Present(begin) => begin,
    };
    if !parted {
        return whole(kind, begin).ok_or(unknown);
    }
    let end = part(salt, index, kind, Span::End, words);
    if kind == kind::REQUEST {
        let begin = RequestBegin::from_words(begin).ok_or(unknown)?;
        // The end is whole without what the worker said, and that is worth nothing without the end.
        let served = part(salt, index, kind, Span::Target, words);
        let end = map(end, |words| Some(RequestEnd::from_words(words, served.present().copied())));
        return Ok(Record::Request(Request { begin, end }));
    }
    let target = map(part(salt, index, kind, Span::Target, words), |words| Some(Target::from_words(words)));
    if kind == kind::DECISION {
        let end = map(end, DecisionEnd::from_words);
        let begin = DecisionBegin::from_words(begin).ok_or(unknown)?;
        return Ok(Record::Decision(Decision { begin, end, target }));
    }
    let begin = OperationBegin::from_words(begin).ok_or(unknown)?;
    let end = map(end, |words| Some(OperationEnd::from_words(words)));
    Ok(Record::Operation(Operation { begin, end, target }))
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "a test that overflows fails")]
mod tests {
    use super::*;

    /// Decodes a place whose parts are committed as they should be.
    fn committed(kind: u8, mut words: [u64; RECORD_WORDS]) -> Result<Record, Damage> {
        let parted = kind::is_parted(kind);
        let spans: &[Span] = if parted { &[Span::Begin, Span::End, Span::Target] } else { &[Span::Whole] };
        for &span in spans {
            let at = span.commit_word();
            words[at] = commit(1, 5, span, kind, &words[at + 1..=at + span.words()]);
        }
        decode(1, 5, &words)
    }

    fn with(word: usize, value: u64) -> [u64; RECORD_WORDS] {
        let mut words = [0; RECORD_WORDS];
        words[6] = 1; // an operation's kind
        words[11] = 0x0101; // a decision's verdict and how it came about
        words[word] = value;
        words
    }

    #[test]
    fn what_a_later_minor_version_adds_reads_as_unknown_and_never_as_something_else() {
        let unknown = |kind| Err(Damage::Unknown { kind });
        assert_eq!(committed(10, [0; RECORD_WORDS]), unknown(10), "a kind");
        assert_eq!(committed(255, [7; RECORD_WORDS]), unknown(255), "a kind");
        assert!(committed(kind::DECISION, with(7, 3 << 16)).is_ok());
        assert_eq!(committed(kind::DECISION, with(7, 4 << 16)), unknown(kind::DECISION), "a class");
        assert!(committed(kind::OPERATION, with(6, 1)).is_ok());
        assert_eq!(committed(kind::OPERATION, with(6, 4)), unknown(kind::OPERATION), "an operation");
        assert_eq!(committed(kind::OPERATION, with(6, 1 | 3 << 16)), unknown(kind::OPERATION), "a cause");
        assert_eq!(committed(kind::OPERATION, with(7, 6)), unknown(kind::OPERATION), "a phase");
        assert!(committed(kind::REQUEST, with(3, 1 << 32)).is_ok());
        assert_eq!(committed(kind::REQUEST, with(3, 2 << 32)), unknown(kind::REQUEST), "a way of waiting");
        assert!(committed(kind::NOTICE, with(6, 0x1ff)).is_ok());
        assert_eq!(committed(kind::NOTICE, with(6, 0x200)), unknown(kind::NOTICE), "an event");
        assert_eq!(committed(kind::NOTICE, with(6, 2 << 48)), unknown(kind::NOTICE), "a reaction");
        assert_eq!(committed(kind::PHASE, with(2, 6)), unknown(kind::PHASE), "a phase");
        assert_eq!(
            committed(kind::PHASE, with(2, 1 | 2 << 16)),
            unknown(kind::PHASE),
            "neither begin nor end"
        );
        assert_eq!(
            committed(kind::PATH, with(1, 112 << 32 | 1 << 48)),
            unknown(kind::PATH),
            "behind its end"
        );
    }

    #[test]
    fn the_list_of_kinds_is_whole() {
        // Words that every kind understands: an operation's kind, a phase's, a way of marking.
        let words = with(2, 1);
        for kind in 1..=u8::MAX {
            let known = committed(kind, words).is_ok();
            assert_eq!(known, Record::KINDS.contains(&kind), "kind {kind}: {:?}", committed(kind, words));
        }
    }

    #[test]
    fn an_unknown_value_in_a_later_part_spoils_that_part_only() {
        for how in [0x0103, 0x0901, 0] {
            let Ok(Record::Decision(decision)) = committed(kind::DECISION, with(11, how)) else {
                panic!("the record is lost with its end");
            };
            assert_eq!(decision.end, RecordPart::Damaged, "{how:#x}");
            assert!(decision.target.present().is_some());
        }
    }
}
