//! The trace's decoder on any bytes: as they are, and with header and checks put right, so that the decoders
//! behind the checks see arbitrary words too. The check is written down here a second time, from the
//! specification, so that a difference between the two shows.

use lab_trace::{Damage, Entry, HEADER_BYTES, RECORD_BYTES, RECORDS_OFFSET, Record, Trace};

const SALT: u32 = 0x5EED_5EED;
const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;

fn power(exponent: usize) -> u64 {
    (0..exponent).fold(1, |product: u64, _| product.wrapping_mul(GOLDEN))
}

fn product(word: u64, place: usize) -> u64 {
    (word ^ (word >> 32)).wrapping_mul(power(place + 1))
}

/// Puts the commit at word `place` right for the `count` words behind it.
fn repair(words: &mut [u64; 16], index: u64, kind: u8, place: usize, count: usize) {
    let about = u64::from(SALT) | u64::from(kind) << 32 | (place as u64) << 40;
    let covered = place + 1..place + 1 + count;
    let sum = covered
        .map(|at| product(words[at], at))
        .fold(product(about, 0).wrapping_add(product(index, 16)), u64::wrapping_add);
    words[place] = sum & !0xff | u64::from(kind);
}

/// A trace of these records, every one with its checks put right. The first byte of a record is its kind;
/// the top bits of the second say which of its later parts stay as they are.
fn repaired(data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; RECORDS_OFFSET];
    bytes[..8].copy_from_slice(b"ESLABTRC");
    bytes[8..10].copy_from_slice(&1_u16.to_le_bytes());
    bytes[12..16].copy_from_slice(&4096_u32.to_le_bytes());
    bytes[16..20].copy_from_slice(&128_u32.to_le_bytes());
    bytes[20..24].copy_from_slice(&SALT.to_le_bytes());
    bytes[50..52].copy_from_slice(&2_u16.to_le_bytes());
    let check = crc32fast::hash(&bytes[..72]);
    bytes[72..76].copy_from_slice(&check.to_le_bytes());
    for (index, record) in (0_u64..).zip(data.chunks_exact(RECORD_BYTES)) {
        let mut words = [0; 16];
        for (word, bytes) in words.iter_mut().zip(record.chunks_exact(8)) {
            *word = u64::from_le_bytes(bytes.try_into().unwrap());
        }
        let (kind, keep) = (record[0] % 12, record[1]);
        if kind == 1 || kind == 2 {
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
        words.iter().for_each(|word| bytes.extend(word.to_le_bytes()));
    }
    bytes
}

fn walk(bytes: &[u8]) -> Vec<Entry> {
    let Ok(trace) = Trace::parse(bytes) else { return Vec::new() };
    let _tail = trace.tail();
    trace.entries().collect()
}

/// Any bytes, and any records with their checks put right.
pub fn trace(data: &[u8]) {
    walk(data);

    // The same bytes as everything behind a good header.
    let mut behind = repaired(&[]);
    behind.truncate(HEADER_BYTES);
    behind.extend(data);
    assert!(walk(&behind).iter().all(|entry| matches!(entry, Entry::Damaged { .. })), "noise is no record");

    let whole = repaired(data);
    let entries = walk(&whole);
    assert!(entries.len() <= data.len() / RECORD_BYTES);
    for (index, entry) in (0_u64..).zip(&entries) {
        match entry {
            Entry::Record { index: at, record } => {
                assert_eq!(*at, index);
                if let Record::Path(piece) = record {
                    assert!(piece.bytes.len() <= usize::from(piece.length));
                }
            }
            // Every first check was put right: what is left is a kind or value of no known meaning.
            Entry::Damaged { damage, .. } => assert!(matches!(damage, Damage::Unknown { .. }), "{damage:?}"),
        }
    }
}
