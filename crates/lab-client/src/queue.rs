//! The queue between the reader and the workers.
//!
//! Bounded and without a lock. The reader wakes a worker only when one sleeps, which is the one system call
//! of handing work over; an event that the reader answers itself never comes here.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering, fence},
    },
    thread::{self, Thread},
};

use crossbeam_queue::ArrayQueue;

/// Jobs for workers, first come first served.
#[derive(Debug)]
pub(crate) struct WorkQueue<J> {
    jobs: ArrayQueue<J>,
    workers: Box<[Place]>,
    asleep: AtomicUsize,
    /// Workers with a number below this may take jobs.
    limit: AtomicUsize,
}

#[derive(Debug, Default)]
struct Place {
    sleeps: AtomicBool,
    thread: OnceLock<Thread>,
}

impl<J> WorkQueue<J> {
    pub(crate) fn new(capacity: usize, workers: usize) -> WorkQueue<J> {
        WorkQueue {
            jobs: ArrayQueue::new(capacity),
            workers: (0..workers).map(|_| Place::default()).collect(),
            asleep: AtomicUsize::new(0),
            limit: AtomicUsize::new(workers),
        }
    }

    /// Says that the calling thread is this worker. Before its first [`WorkQueue::next`].
    pub(crate) fn register(&self, worker: usize) {
        assert!(self.workers[worker].thread.set(thread::current()).is_ok(), "a worker registers once");
    }

    /// Lets only the first `limit` workers take jobs from now on.
    pub(crate) fn limit(&self, limit: usize) {
        self.limit.store(limit, Ordering::SeqCst);
        for place in &self.workers {
            if let Some(thread) = place.thread.get() {
                thread.unpark();
            }
        }
    }

    /// Adds a job and wakes a worker if one sleeps; gives it back when the queue is full.
    pub(crate) fn push(&self, job: J) -> Result<(), J> {
        self.jobs.push(job)?;
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) > 0 {
            self.wake_one();
        }
        Ok(())
    }

    fn wake_one(&self) {
        let limit = self.limit.load(Ordering::SeqCst);
        for place in self.workers.iter().take(limit) {
            if place.sleeps.swap(false, Ordering::SeqCst) {
                self.asleep.fetch_sub(1, Ordering::SeqCst);
                if let Some(thread) = place.thread.get() {
                    thread.unpark();
                }
                return;
            }
        }
    }

    /// The next job for this worker; waits for one. `takes` hears when the worker takes no more jobs because of the
    /// limit, and when it takes some again.
    pub(crate) fn next(&self, worker: usize, takes: impl Fn(bool)) -> J {
        let place = &self.workers[worker];
        let mut rests = false;
        loop {
            if worker < self.limit.load(Ordering::SeqCst) {
                if std::mem::replace(&mut rests, false) {
                    takes(true);
                }
                if let Some(job) = self.jobs.pop() {
                    return job;
                }
                self.asleep.fetch_add(1, Ordering::SeqCst);
                place.sleeps.store(true, Ordering::SeqCst);
                fence(Ordering::SeqCst);
                // A job may have come after the first look and before the flag: look again before sleeping.
                if !self.jobs.is_empty() && place.sleeps.swap(false, Ordering::SeqCst) {
                    self.asleep.fetch_sub(1, Ordering::SeqCst);
                    continue;
                }
                while place.sleeps.load(Ordering::SeqCst) {
                    if worker >= self.limit.load(Ordering::SeqCst)
                        && place.sleeps.swap(false, Ordering::SeqCst)
                    {
                        self.asleep.fetch_sub(1, Ordering::SeqCst);
                        break;
                    }
                    thread::park();
                }
            } else {
                if !std::mem::replace(&mut rests, true) {
                    takes(false);
                }
                thread::park();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, mpsc};

    use super::*;

    #[test]
    fn every_job_is_done_once_by_a_worker_within_the_limit() {
        let queue = Arc::new(WorkQueue::new(1024, 4));
        queue.limit(2);
        let (done, results) = mpsc::channel();
        for worker in 0..4 {
            let (queue, done) = (Arc::clone(&queue), done.clone());
            thread::spawn(move || {
                queue.register(worker);
                loop {
                    let job: u32 = queue.next(worker, |_| {});
                    if done.send((worker, job)).is_err() {
                        return;
                    }
                }
            });
        }
        let mut found = Vec::new();
        for round in 0..200 {
            for job in 0..100 {
                let mut job = round * 100 + job;
                while let Err(back) = queue.push(job) {
                    job = back;
                    thread::yield_now();
                }
            }
            found.extend((0..100).map(|_| results.recv().unwrap()));
        }
        assert!(found.iter().all(|&(worker, _)| worker < 2), "workers over the limit take nothing");
        found.sort_by_key(|&(_, job)| job);
        assert!(found.iter().map(|&(_, job)| job).eq(0..20_000));
    }

    #[test]
    fn a_full_queue_gives_the_job_back() {
        let queue = WorkQueue::new(1, 1);
        assert_eq!(queue.push('a'), Ok(()));
        assert_eq!(queue.push('b'), Err('b'));
    }
}
