//! The only unsafe code of the crate: a stretch of a file that its own writer shares as memory.
#![expect(unsafe_code, reason = "mapped memory is what lets a committed record outlive its process")]

use std::{fs::File, io, sync::atomic::AtomicU64};

use memmap2::{Advice, MmapOptions, MmapRaw};

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

    /// Makes every page writable in advance, so that the first store to it does not fault. Only Linux has that advice, and
    /// this crate lies below the one that knows the system.
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
