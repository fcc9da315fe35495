//! Ends recording at one moment, so that a trace that is closed lacks nothing that was begun before.
//!
//! Every thread that begins records passes the gate first and leaves it before it waits for anything. When the
//! gate shuts, whoever is inside finishes and whoever comes later stands still until the process ends. A client
//! that stood still instead of answering on without recording also leaves no operation of another unexplained.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// One thread's own place, on cache lines that it shares with nobody.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Place(AtomicBool);

/// The gate of one process.
#[derive(Debug)]
pub struct Gate {
    shut: AtomicBool,
    places: Box<[Place]>,
}

impl Gate {
    /// An open gate for so many threads.
    pub fn new(threads: usize) -> Gate {
        Gate { shut: AtomicBool::new(false), places: (0..threads).map(|_| Place::default()).collect() }
    }

    /// Goes in; false when the gate is shut. Neither locks nor calls the kernel.
    #[must_use]
    pub fn try_enter(&self, place: usize) -> bool {
        let inside = &self.places[place].0;
        // Sequentially consistent, as in `shut`: either that thread sees this one inside, or this one sees it shut.
        inside.store(true, Ordering::SeqCst);
        if !self.shut.load(Ordering::SeqCst) {
            return true;
        }
        inside.store(false, Ordering::Release);
        false
    }

    /// Goes in, or stands still for good when the gate is shut.
    pub fn enter(&self, place: usize) {
        while !self.try_enter(place) {
            thread::park();
        }
    }

    /// Goes out.
    pub fn leave(&self, place: usize) {
        self.places[place].0.store(false, Ordering::Release);
    }

    /// Shuts the gate for good and waits until nobody is inside.
    pub fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
        for place in &self.places {
            while place.0.load(Ordering::SeqCst) {
                thread::yield_now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU64, Ordering::SeqCst},
    };

    use super::*;

    #[test]
    fn nobody_is_inside_once_it_is_shut() {
        for _ in 0..50 {
            let (gate, count) = (Arc::new(Gate::new(3)), Arc::new(AtomicU64::new(0)));
            let threads = [0, 1, 2].map(|place| {
                let (gate, count) = (Arc::clone(&gate), Arc::clone(&count));
                thread::spawn(move || {
                    while gate.try_enter(place) {
                        count.fetch_add(1, SeqCst);
                        gate.leave(place);
                    }
                })
            });
            while count.load(SeqCst) < 100 {
                thread::yield_now();
            }
            gate.shut();
            let then = count.load(SeqCst);
            for thread in threads {
                thread.join().unwrap();
            }
            assert_eq!(count.load(SeqCst), then, "nothing was counted after the gate was shut");
        }
    }
}
