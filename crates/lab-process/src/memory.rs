//! The end of a process that cannot have the memory it needs: a sentence and an exit code in place of an abort, which
//! says neither and looks like a bug.
#![expect(unsafe_code, reason = "an allocator is unsafe by its interface; all of it is left to the system's")]

use std::alloc::{GlobalAlloc, Layout, System};

const SENTENCE: &[u8] =
    b"error: this process cannot have the memory that it needs\n  help: give it more (`ulimit -v`, or \
memory.max of its control group), or look at a smaller run; no report was replaced\n";

/// The system's allocator, with an end of its own when there is no memory.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// The exit code of that end.
    pub exit_code: u8,
}

impl Memory {
    fn had(self, memory: *mut u8) -> *mut u8 {
        if memory.is_null() { self.end() } else { memory }
    }

    #[cold]
    fn end(self) -> ! {
        // SAFETY: writes bytes that live for ever. That nobody reads them changes nothing.
        let _written = unsafe { libc::write(libc::STDERR_FILENO, SENTENCE.as_ptr().cast(), SENTENCE.len()) };
        // SAFETY: ends the process without running anything of it, which might want memory as well.
        unsafe { libc::_exit(i32::from(self.exit_code)) }
    }
}

// SAFETY: every call is passed on to the system's allocator as it came, and every answer back but null.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps to the contract, which is the system's.
        self.had(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        self.had(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // SAFETY: as above.
        self.had(unsafe { System.realloc(memory, layout, bytes) })
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}
