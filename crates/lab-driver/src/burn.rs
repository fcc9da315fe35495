//! A load on the processors, as a planned fault of a lab: threads that never rest. It makes no operation, so it
//! has no trace.

use std::thread;

/// The most threads.
const THREADS_MAX: u16 = 256;

/// Keeps processors busy with so many threads until the process is killed.
pub fn burn(threads: u16) -> ! {
    for _ in 1..threads.min(THREADS_MAX) {
        // One thread less is a lighter load, not a reason to end it.
        drop(thread::Builder::new().spawn(spin));
    }
    spin()
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}
