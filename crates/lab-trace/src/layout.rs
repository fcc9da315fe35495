//! Where everything lies in a trace file, and how a record part is checked.

/// The first eight bytes of a trace.
pub(crate) const MAGIC: [u8; 8] = *b"ESLABTRC";

/// A reader refuses another major version.
pub const FORMAT_MAJOR: u16 = 1;
/// A reader accepts a higher minor version: it only adds record kinds and values, which read as unknown.
pub const FORMAT_MINOR: u16 = 1;

/// The fixed header, in bytes.
pub const HEADER_BYTES: usize = 4096;
/// The room for the metadata (JSON) behind the header, in bytes.
pub const METADATA_BYTES_MAX: usize = 60 * 1024;
/// Where the live board begins.
pub(crate) const BOARD_OFFSET: usize = HEADER_BYTES + METADATA_BYTES_MAX;
/// Where the records begin: a multiple of every page size in use (4, 16 and 64 KiB).
pub const RECORDS_OFFSET: usize = 256 * 1024;

/// One record, in bytes.
pub const RECORD_BYTES: usize = 128;
/// One record, in words of eight bytes.
pub(crate) const RECORD_WORDS: usize = RECORD_BYTES / 8;
/// The unit in which a file grows, in records (1 MiB).
pub const CHUNK_RECORDS: u64 = 8192;
/// The unit in which a file grows, in bytes.
pub(crate) const CHUNK_BYTES: usize = 8192 * RECORD_BYTES;
const _: () = assert!(CHUNK_BYTES as u64 == CHUNK_RECORDS * RECORD_BYTES as u64, "both say the same");

/// The largest trace, in bytes (32 GiB): its chunks must stay below the mappings a process may have.
pub const TRACE_BYTES_MAX: u64 = 32 << 30;

/// The longest path that is recorded, in bytes (`PATH_MAX`); a longer one is cut there.
pub const PATH_BYTES_MAX: usize = 4096;
/// The bytes of a path that fit one record.
pub(crate) const PATH_FRAGMENT_BYTES: usize = 112;

/// The three separately committed parts of a record: the word of their commit and the words they cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// What is known at the beginning: words 1 to 7.
    Begin,
    /// What is known at the end: words 9 to 12.
    End,
    /// The target, resolved later: words 14 and 15.
    Target,
    /// A record written at once: words 1 to 15.
    Whole,
}

impl Span {
    pub(crate) const fn commit_word(self) -> usize {
        match self {
            Span::Begin | Span::Whole => 0,
            Span::End => 8,
            Span::Target => 13,
        }
    }

    pub(crate) const fn words(self) -> usize {
        match self {
            Span::Begin => 7,
            Span::End => 4,
            Span::Target => 2,
            Span::Whole => 15,
        }
    }
}

/// The multiplier of every word of a record by its place, and in the last place that of the record's index:
/// the powers 1 to 17 of the golden ratio's 64 bits. All are odd, so no change of one word goes unseen.
const MULTIPLIERS: [u64; RECORD_WORDS + 1] = {
    let golden: u64 = 0x9E37_79B9_7F4A_7C15;
    let mut powers = [golden; RECORD_WORDS + 1];
    let mut place = 1;
    while place < powers.len() {
        powers[place] = powers[place - 1].wrapping_mul(golden);
        place += 1;
    }
    powers
};

/// Brings a word's high half to bear on its low half, so that changes of the highest bits of two words do
/// not cancel in the sum. Distinct words stay distinct.
const fn folded(word: u64) -> u64 {
    word ^ (word >> 32)
}

/// The commit word of a part: the kind in the low byte, the check above it. Never zero, because no kind is.
///
/// A sum of products instead of a CRC, because the products do not wait for each other and no table has to
/// be in the cache while an answer is due.
#[inline]
pub(crate) fn commit(salt: u32, index: u64, span: Span, kind: u8, words: &[u64]) -> u64 {
    let place = span.commit_word();
    let about = u64::from(salt) | (u64::from(kind) << 32) | ((place as u64) << 40);
    let start = folded(about)
        .wrapping_mul(MULTIPLIERS[0])
        .wrapping_add(folded(index).wrapping_mul(MULTIPLIERS[RECORD_WORDS]));
    let sum = words
        .iter()
        .zip(&MULTIPLIERS[place.saturating_add(1)..])
        .fold(start, |sum, (&word, &multiplier)| sum.wrapping_add(folded(word).wrapping_mul(multiplier)));
    (sum & !0xff) | u64::from(kind)
}

/// The kind that a record's first word names; 0 in an empty place.
pub(crate) const fn kind_of(first: u64) -> u8 {
    first.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of `docs/formats/trace.md`.
    #[test]
    fn the_check_is_the_specified_one() {
        let check = |span, words: &[u64]| commit(0x5EED_5EED, 0, span, 1, words);
        let begin = [2_000, 4_711, 0, 0, 1_002_000, 0, 0xffff_0000_0001];
        assert_eq!(check(Span::Begin, &begin), 0x25fa_5c63_2e9f_1a01);
        assert_eq!(check(Span::End, &[2_100, 2_900, 0x0101, 0]), 0x160e_4727_35c3_5401);
        assert_eq!(check(Span::Target, &[99, 0x0000_0001_0010_0002]), 0x976b_88b9_8a7e_fe01);
    }

    /// A flip adds or takes a power of two and, from bit 32 on, a second one; whatever the word was, the sum
    /// must then change by more than the eight low bits that the commit word drops.
    #[test]
    fn no_single_flipped_bit_goes_unseen() {
        for multiplier in MULTIPLIERS {
            for bit in 0..64 {
                let folded = if bit < 32 { 0 } else { 1_u64 << (bit - 32) };
                for change in [(1_u64 << bit).wrapping_add(folded), (1_u64 << bit).wrapping_sub(folded)] {
                    let moved = change.wrapping_mul(multiplier);
                    assert!(moved.min(moved.wrapping_neg()) > 0xff, "bit {bit} of {multiplier:#x}");
                }
            }
        }
    }
}
