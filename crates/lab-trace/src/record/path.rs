//! Paths, in pieces of a record's size.

use crate::layout::PATH_FRAGMENT_BYTES;

use super::words::{low, u16_at};

/// A piece of a path. The pieces of one path are consecutive records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathFragment {
    /// The path's number in this trace, from 1.
    pub path: u32,
    /// The length of the whole path, in bytes.
    pub length: u16,
    /// The place of this piece, from 0.
    pub fragment: u16,
    /// The piece.
    pub bytes: Vec<u8>,
}

impl PathFragment {
    /// The words of piece `fragment` of a path; `None` behind its end.
    pub(crate) fn words(path: u32, bytes: &[u8], fragment: usize) -> Option<[u64; 15]> {
        let piece = bytes.get(fragment.saturating_mul(PATH_FRAGMENT_BYTES)..)?;
        let piece = &piece[..piece.len().min(PATH_FRAGMENT_BYTES)];
        let (length, number) = (u16::try_from(bytes.len()).ok()?, u16::try_from(fragment).ok()?);
        let mut words = [0; 15];
        words[0] = u64::from(path) | (u64::from(length) << 32) | (u64::from(number) << 48);
        for (word, chunk) in words[1..].iter_mut().zip(piece.chunks(8)) {
            let mut padded = [0; 8];
            padded[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_le_bytes(padded);
        }
        Some(words)
    }

    /// `None` for a piece that lies outside its own path.
    pub(super) fn from_words(words: &[u64]) -> Option<PathFragment> {
        let (length, fragment) = (u16_at(words[0], 32), u16_at(words[0], 48));
        let before = usize::from(fragment) * PATH_FRAGMENT_BYTES;
        let left = usize::from(length).checked_sub(before)?;
        if left == 0 && fragment > 0 {
            return None;
        }
        let mut bytes: Vec<u8> = words[1..].iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.truncate(left.min(PATH_FRAGMENT_BYTES));
        Some(PathFragment { path: low(words[0]), length, fragment, bytes })
    }
}
