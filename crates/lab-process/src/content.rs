//! Reading content, and hashing it where the behaviour wants that.

use std::io::Read;

use sha2::{Digest as _, Sha256};

/// The piece in which content is read, in bytes.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// The most that is read of one file, in bytes.
pub const CONTENT_BYTES_MAX: u64 = 64 << 20;

/// The hash of what has been read so far, if one is wanted.
#[derive(Clone, Debug)]
pub struct Digest(Option<Sha256>);

impl Digest {
    /// A hash in the making, or none.
    #[must_use]
    pub fn wanted(hash: bool) -> Digest {
        Digest(hash.then(Sha256::new))
    }

    /// Takes a piece in.
    pub fn add(&mut self, piece: &[u8]) {
        if let Some(hash) = &mut self.0 {
            hash.update(piece);
        }
    }

    /// Works the hash out. Nobody needs it: it is the work that counts, so that must not be left out.
    pub fn finish(self) {
        if let Some(hash) = self.0 {
            std::hint::black_box(hash.finalize());
        }
    }
}

/// Reads a file from start to end and returns how many bytes came.
pub(crate) fn read_through(file: &mut impl Read, buffer: &mut [u8], mut digest: Digest) -> u64 {
    let mut total = 0;
    while total < CONTENT_BYTES_MAX {
        match file.read(buffer) {
            Ok(0) | Err(_) => break,
            Ok(bytes) => {
                digest.add(&buffer[..bytes]);
                total += bytes as u64;
            }
        }
    }
    digest.finish();
    total
}
