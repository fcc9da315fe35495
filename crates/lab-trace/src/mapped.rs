//! The only unsafe code of the crate: a file as memory.
#![expect(unsafe_code, reason = "mapped memory is what lets a committed record outlive its process")]

use std::{fs::File, io, path::Path, sync::atomic::AtomicU64};

use memmap2::{Advice, Mmap, MmapOptions, MmapRaw, UncheckedAdvice};

/// A writable stretch of a trace file, shared with whoever else maps it, as words.
#[derive(Debug)]
pub(crate) struct Region {
    map: MmapRaw,
}

impl Region {
    /// Maps `bytes` bytes from `offset`; both are multiples of the page size, and the file is that long.
    pub(crate) fn map(file: &File, offset: usize, bytes: usize) -> io::Result<Region> {
        let offset = u64::try_from(offset).map_err(io::Error::other)?;
        let map = MmapOptions::new().offset(offset).len(bytes).map_raw(file)?;
        Ok(Region { map })
    }

    /// Makes every page writable in advance, so that the first store to it does not fault.
    pub(crate) fn populate(&self) {
        #[cfg(target_os = "linux")]
        if self.map.advise(Advice::PopulateWrite).is_err() {
            // An older kernel: the stores will fault the pages in one by one.
        }
        #[cfg(not(target_os = "linux"))]
        if self.map.advise(Advice::WillNeed).is_err() {
            // Only advice.
        }
    }

    /// The stretch as words of eight bytes.
    pub(crate) fn words(&self) -> &[AtomicU64] {
        let (start, words) = (self.map.as_ptr().cast::<AtomicU64>(), self.map.len() / 8);
        // SAFETY: the mapping is page-aligned, `len` bytes long, readable and writable, and lives as long as
        // `self`. Other processes may change it at any time, which atomics allow. The writer allocates a
        // stretch before it maps it, and closing cuts off only places that it gives to nobody any more.
        unsafe { std::slice::from_raw_parts(start, words) }
    }
}

/// A whole trace file as read-only bytes.
#[derive(Debug)]
pub struct MappedTrace {
    map: Mmap,
}

impl MappedTrace {
    /// Maps a trace for reading. Its writer must be gone, or at least not close it meanwhile: closing cuts the
    /// file, and touching what was cut off ends the reading process. In a trace that is still being written, a
    /// part that is being stored at that moment may read as damaged; what was committed before reads whole.
    ///
    /// # Errors
    /// Those of opening and mapping the file.
    pub fn open(path: &Path) -> io::Result<MappedTrace> {
        let file = File::open(path)?;
        // SAFETY: the caller promises that nobody shortens the file any more. A writer may still store to it:
        // its content is only ever copied out as bytes and then believed or refused by its check.
        let map = unsafe { Mmap::map(&file)? };
        // Only advice: reading works without it.
        let _advice = map.advise(Advice::Sequential);
        Ok(MappedTrace { map })
    }

    /// The bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// Lets go of the memory of a stretch that has been read; reading it again fetches it again.
    pub(crate) fn forget(&self, offset: usize, bytes: usize) {
        // SAFETY: the mapping is of a file and never written to, so dropping its pages changes no content.
        let forgotten = unsafe { self.map.unchecked_advise_range(UncheckedAdvice::DontNeed, offset, bytes) };
        // Only memory is at stake.
        drop(forgotten);
    }
}
