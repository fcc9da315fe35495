//! The reader: believes nothing that its check does not confirm, and never panics on any bytes.

use lab_model::{Cause, Ticks};

use crate::{
    header::{Header, LIVE_CLOSED, LIVE_LOST},
    layout::{HEADER_BYTES, RECORD_BYTES, RECORD_WORDS, RECORDS_OFFSET, Span, commit},
    record::{
        Decision, DecisionBegin, DecisionEnd, Operation, OperationBegin, OperationEnd, Part, Record, Target,
        kind, whole,
    },
};

/// Why a file cannot be read as a trace at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// Not even the header is there.
    #[error("the file ends within the trace's header, after {bytes} bytes")]
    TooShort {
        /// The length of the file.
        bytes: usize,
    },
    /// The first bytes are not those of a trace.
    #[error("the file is not a trace of this lab")]
    NotATrace,
    /// The header's check does not hold.
    #[error("the trace's header is damaged")]
    DamagedHeader,
    /// Another major version wrote it.
    #[error("the trace has format {major}.{minor}; this program reads format 1")]
    Version {
        /// The major version.
        major: u16,
        /// The minor version.
        minor: u16,
    },
}

/// A trace as bytes, with its header read.
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
    bytes: &'a [u8],
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
    /// It was claimed and never committed: the process was ended in between.
    Uncommitted,
    /// Its check does not hold.
    Check,
    /// Its check holds, and this version does not know its kind or a value in it.
    Unknown {
        /// The kind's number.
        kind: u8,
    },
}

/// What comes behind the last record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// Bytes at the end that are no whole record: the file was cut.
    pub cut_bytes: usize,
}

impl<'a> Trace<'a> {
    /// Reads the header of a trace.
    ///
    /// # Errors
    /// [`TraceError`] when there is no header to believe. Everything after it is reported record by record.
    pub fn parse(bytes: &'a [u8]) -> Result<Trace<'a>, TraceError> {
        let (header, metadata_whole) = Header::decode(bytes)?;
        let live = |word: usize| word_at(bytes, word).unwrap_or(0);
        let closed = Some(live(LIVE_CLOSED)).filter(|&at| at != 0).map(Ticks);
        Ok(Trace { header, metadata_whole, closed, lost: live(LIVE_LOST), bytes })
    }

    /// The places of the trace in order, up to the last one that is not empty.
    #[must_use]
    pub fn entries(&self) -> Entries<'a> {
        let records = self.bytes.get(RECORDS_OFFSET..).unwrap_or_default();
        let used =
            records.chunks_exact(RECORD_BYTES).rposition(|record| record.iter().any(|&byte| byte != 0));
        let places = used.map_or(0, |last| last + 1);
        Entries { records: &records[..places * RECORD_BYTES], index: 0, salt: self.header.salt }
    }

    /// One place by its number; `None` behind the last.
    #[must_use]
    pub fn entry(&self, index: u64) -> Option<Entry> {
        let start = usize::try_from(index).ok()?.checked_mul(RECORD_BYTES)?.checked_add(RECORDS_OFFSET)?;
        let record = self.bytes.get(start..start.checked_add(RECORD_BYTES)?)?;
        Entries { records: record, index, salt: self.header.salt }.next()
    }

    /// The causes of the trace's operations, in record order, without reading anything else: a first look at
    /// which decisions had consequences. What cannot be believed is left out.
    pub fn causes(&self) -> impl Iterator<Item = Cause> + '_ {
        let records = self.bytes.get(RECORDS_OFFSET..).unwrap_or_default();
        records.chunks_exact(RECORD_BYTES).zip(0_u64..).filter_map(|(record, index)| {
            if record[4] != kind::OPERATION {
                return None;
            }
            let words = words_of(record);
            match part(self.header.salt, index, kind::OPERATION, Span::Begin, &words) {
                Part::Present(begin) => OperationBegin::from_words(begin).map(|begin| begin.cause),
                Part::Absent | Part::Damaged => None,
            }
        })
    }

    /// What comes behind the last whole place.
    #[must_use]
    pub fn tail(&self) -> Tail {
        let records = self.bytes.len().saturating_sub(RECORDS_OFFSET);
        let missing_head = RECORDS_OFFSET.saturating_sub(self.bytes.len().max(HEADER_BYTES));
        Tail { cut_bytes: if missing_head > 0 { missing_head } else { records % RECORD_BYTES } }
    }
}

fn word_at(bytes: &[u8], word: usize) -> Option<u64> {
    let bytes = bytes.get(word * 8..word * 8 + 8)?;
    bytes.try_into().ok().map(u64::from_le_bytes)
}

/// Walks the places of a trace.
#[derive(Clone, Debug)]
pub struct Entries<'a> {
    records: &'a [u8],
    index: u64,
    salt: u32,
}

impl Entries<'_> {
    /// How many places are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.records.len() / RECORD_BYTES
    }
}

impl Iterator for Entries<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let (record, rest) = self.records.split_at_checked(RECORD_BYTES)?;
        self.records = rest;
        let index = self.index;
        self.index += 1;
        let words = words_of(record);
        Some(match decode(self.salt, index, &words) {
            Ok(record) => Entry::Record { index, record },
            Err(damage) => Entry::Damaged { index, damage },
        })
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
fn part(salt: u32, index: u64, kind: u8, span: Span, words: &[u64; RECORD_WORDS]) -> Part<&[u64]> {
    let place = span.commit_word();
    let content = &words[place + 1..place + 1 + span.words()];
    if words[place] == 0 {
        // Words without a commit are an unfinished store; that part was never committed.
        return Part::Absent;
    }
    if words[place] == commit(salt, index, span, kind, content) {
        Part::Present(content)
    } else {
        Part::Damaged
    }
}

fn map<T>(part: Part<&[u64]>, decode: impl FnOnce(&[u64]) -> Option<T>) -> Part<T> {
    match part {
        Part::Absent => Part::Absent,
        Part::Damaged => Part::Damaged,
        Part::Present(words) => decode(words).map_or(Part::Damaged, Part::Present),
    }
}

fn decode(salt: u32, index: u64, words: &[u64; RECORD_WORDS]) -> Result<Record, Damage> {
    let kind = words[0].to_le_bytes()[4];
    let parted = kind == kind::DECISION || kind == kind::OPERATION;
    let span = if parted { Span::Begin } else { Span::Whole };
    let unknown = Damage::Unknown { kind };
    let begin = match part(salt, index, kind, span, words) {
        Part::Absent => return Err(Damage::Uncommitted),
        Part::Damaged => return Err(Damage::Check),
        Part::Present(begin) => begin,
    };
    if !parted {
        return whole(kind, begin).ok_or(unknown);
    }
    let end = part(salt, index, kind, Span::End, words);
    let target = map(part(salt, index, kind, Span::Target, words), |words| Some(Target::from_words(words)));
    if kind == kind::DECISION {
        let end = map(end, DecisionEnd::from_words);
        return Ok(Record::Decision(Decision { begin: DecisionBegin::from_words(begin), end, target }));
    }
    let begin = OperationBegin::from_words(begin).ok_or(unknown)?;
    let end = map(end, |words| Some(OperationEnd::from_words(words)));
    Ok(Record::Operation(Operation { begin, end, target }))
}
