//! Where everything lies in a trace file, and how a record part is checked.

/// The first eight bytes of a trace.
pub(crate) const MAGIC: [u8; 8] = *b"ESLABTRC";

/// A reader refuses another major version.
pub const FORMAT_MAJOR: u16 = 1;
/// A reader accepts a higher minor version: it only adds record kinds.
pub const FORMAT_MINOR: u16 = 0;

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

/// The commit word of a part: the check in the low half, the kind above it. Never zero, because no kind is.
pub(crate) fn commit(salt: u32, index: u64, span: Span, kind: u8, words: &[u64]) -> u64 {
    let [a, b, c, d, e, f, g, h] = index.to_le_bytes();
    let (low, high) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
    let part = match span {
        Span::Begin | Span::Whole => 0,
        Span::End => 1,
        Span::Target => 2,
    };
    let seed = salt ^ low.wrapping_mul(0x9E37_79B9) ^ high ^ (u32::from(kind) << 8) ^ part;
    let mut bytes = [0_u8; 15 * 8];
    for (place, word) in bytes.chunks_exact_mut(8).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&bytes[..words.len() * 8]);
    u64::from(hasher.finalize()) | (u64::from(kind) << 32)
}
