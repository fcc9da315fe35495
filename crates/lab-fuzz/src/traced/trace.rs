//! The trace's decoder on any bytes: as they are behind a good header, and as records and headers with checks put
//! right. One buffer for all runs, because a header takes 256 KiB and most inputs only a few records.

use std::cell::RefCell;

use lab_trace::{Damage, Entry, HEADER_BYTES, RECORD_BYTES, RECORDS_OFFSET, Record, Trace};

use super::{
    bytes::Bytes,
    traces::{Head, kind, put_head, repair},
};

/// The bytes of the header that are ever written, with the largest metadata that is made here.
const USED: usize = HEADER_BYTES + 256;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; RECORDS_OFFSET]);
}

/// Walks all places in both ways, and looks at what each says.
fn walk(bytes: &[u8], repaired: bool) {
    let Ok(trace) = Trace::parse(bytes) else { return };
    let places = bytes.len().saturating_sub(RECORDS_OFFSET) / RECORD_BYTES;
    let mut count = 0;
    for entry in trace.entries() {
        let index = match &entry {
            Entry::Record { index, record } => {
                if let Record::Path(piece) = record {
                    assert!(piece.bytes.len() <= usize::from(piece.length));
                }
                *index
            }
            Entry::Damaged { index, damage } => {
                let known = !repaired || matches!(damage, Damage::Unknown { .. });
                // Every first check was put right: what is left is a kind or value of no known meaning.
                assert!(known, "{damage:?}");
                *index
            }
        };
        assert_eq!(index, count);
        if count < 4 {
            assert_eq!(trace.entry(index).as_ref(), Some(&entry));
        }
        count += 1;
    }
    assert!(count <= places as u64);
    assert!(trace.lives().count() <= places && trace.causes().count() <= places);
    let tail = trace.tail();
    assert_eq!(tail.is_cut(), tail.head_missing_bytes > 0 || tail.cut_bytes > 0 || tail.missing_places > 0);
}

/// The trace's decoder.
pub fn trace(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let how = bytes.byte();
    BUFFER.with_borrow_mut(|buffer| {
        buffer.truncate(RECORDS_OFFSET);
        buffer[..USED].fill(0);
        let mut head = Head {
            role: 2,
            actor: 1,
            created: 1,
            created_unix_ns: 0,
            timebase: (1, 1),
            metadata: Vec::new(),
            metadata_check: 0,
            places: 0,
            closed: 0,
            lost: 0,
        };
        if how & 1 != 0 {
            head.role = u16::from(bytes.byte());
            head.timebase = (bytes.number() as u32, bytes.number() as u32);
            (head.places, head.closed, head.lost) = (bytes.number(), bytes.number(), bytes.number());
        }
        if how & 2 != 0 {
            let length = usize::from(bytes.byte());
            head.metadata = (0..length).map(|_| bytes.byte()).collect();
            head.metadata_check = crc32fast::hash(&head.metadata);
        }
        put_head(buffer, &head);
        let rest = bytes.rest();
        if how & 4 != 0 {
            // As they are: noise behind a good header is never a record, wherever the file ends.
            let keep = RECORDS_OFFSET - usize::from(how & 8 != 0) * rest.len().min(64);
            buffer.truncate(keep);
            buffer.extend(rest);
            walk(buffer, false);
            let noise = Trace::parse(buffer)
                .is_ok_and(|trace| trace.entries().any(|entry| matches!(entry, Entry::Record { .. })));
            assert!(!noise, "noise is no record");
            buffer.resize(RECORDS_OFFSET, 0);
            buffer[RECORDS_OFFSET - 64..].fill(0);
            return;
        }
        for (index, record) in (0_u64..).zip(rest.chunks_exact(RECORD_BYTES)) {
            put_record(buffer, index, record);
        }
        // A closed trace may claim places behind the last record, and those are empty.
        walk(buffer, head.closed == 0);
        if how & 16 != 0 {
            let cut = buffer.len() - usize::from(how >> 5) * 20;
            buffer.truncate(cut.max(RECORDS_OFFSET));
            walk(buffer, false);
        }
    });
}

/// Adds a record with its checks put right. The first byte chooses its kind; the top bits of the second say which of its
/// later parts stay as they are.
fn put_record(buffer: &mut Vec<u8>, index: u64, record: &[u8]) {
    let mut words = [0; 16];
    for (word, bytes) in words.iter_mut().zip(record.chunks_exact(8)) {
        *word = bytes.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte));
    }
    let (kind, keep) = (kind(record[0]), record[1]);
    if Record::is_parted(kind) {
        repair(&mut words, index, kind, 0, 7);
        if keep & 0x80 == 0 {
            repair(&mut words, index, kind, 8, 4);
        }
        if keep & 0x40 == 0 {
            repair(&mut words, index, kind, 13, 2);
        }
    } else {
        repair(&mut words, index, kind, 0, 15);
    }
    words.iter().for_each(|word| buffer.extend(word.to_le_bytes()));
}
