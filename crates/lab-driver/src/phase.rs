//! What all workers share during one phase.

use std::{
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use lab_model::{PhaseKind, Span, Ticks};
use lab_protocol::{PhaseOrder, Reply};
use lab_workload::Schedule;

use lab_process::clock;

/// How long after a phase's span the operations that were planned inside it may still begin.
pub const CATCH_UP_MAX: Span = Span::from_secs(1);

/// From the order to the phase's start, so that all workers are awake by then.
const LEAD: Span = Span::from_millis(1);

/// The longest a worker waits before it looks whether the phase was halted.
const WAIT_MAX: Span = Span::from_millis(10);

/// Sends replies; any thread may.
#[derive(Clone, Debug)]
pub(crate) struct Replies {
    control: Arc<Mutex<UnixStream>>,
}

impl Replies {
    pub(crate) fn new(control: UnixStream) -> Replies {
        Replies { control: Arc::new(Mutex::new(control)) }
    }

    /// Sends a reply. A lost connection is noticed where orders are received, so it is no error here.
    pub(crate) fn send(&self, reply: &Reply) {
        let mut control = self.control.lock().unwrap_or_else(PoisonError::into_inner);
        let _lost = lab_protocol::send(&mut *control, reply);
    }
}

/// One phase under way.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) phase: PhaseKind,
    start: Ticks,
    /// No operation of a closed loop begins after this.
    end: Ticks,
    /// No looked at all begins after this.
    give_up: Ticks,
    halted: AtomicBool,
    running: AtomicUsize,
    begun: AtomicU64,
    replies: Replies,
}

/// One worker's part in a phase.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) round: Arc<Round>,
    pub(crate) schedule: Schedule,
}

impl Round {
    /// A phase that starts now, for so many workers.
    pub(crate) fn new(order: &PhaseOrder, workers: usize, replies: Replies) -> Round {
        let ticks = |span: Span| clock::timebase().ticks(span.nanos());
        let start = clock::now().plus(ticks(LEAD));
        let end = start.plus(ticks(order.span));
        Round {
            phase: order.phase,
            start,
            end,
            give_up: end.plus(ticks(CATCH_UP_MAX)),
            halted: AtomicBool::new(false),
            running: AtomicUsize::new(workers),
            begun: AtomicU64::new(0),
            replies,
        }
    }

    pub(crate) fn halt(&self) {
        self.halted.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_halted(&self) -> bool {
        self.halted.load(Ordering::Relaxed)
    }

    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Ordering::Acquire) > 0
    }

    /// The time at this many nanoseconds from the start.
    pub(crate) fn at(&self, offset: u64) -> Ticks {
        self.start.plus(clock::timebase().ticks(offset))
    }

    /// True when no operation of a closed loop may begin any more.
    pub(crate) fn is_over(&self, now: Ticks) -> bool {
        now >= self.end
    }

    /// True when not even a late operation may begin any more.
    pub(crate) fn is_given_up(&self, now: Ticks) -> bool {
        now >= self.give_up
    }

    /// Waits for the phase's start; false when the phase was halted first.
    pub(crate) fn wait_for_start(&self) -> bool {
        self.wait_until(self.start)
    }

    /// Waits for a time; false when the phase was halted first.
    pub(crate) fn wait_until(&self, at: Ticks) -> bool {
        let slice = clock::timebase().ticks(WAIT_MAX.nanos());
        while !self.is_halted() {
            let now = clock::now();
            if now >= at {
                return true;
            }
            clock::wait_until(at.min(now.plus(slice)));
        }
        false
    }

    /// Takes note that a worker has ended; the last one tells the orchestrator.
    pub(crate) fn leave(&self, begun: u64) {
        self.begun.fetch_add(begun, Ordering::Relaxed);
        if self.running.fetch_sub(1, Ordering::AcqRel) == 1 {
            let (operations, at) = (self.begun.load(Ordering::Relaxed), clock::now());
            self.replies.send(&Reply::PhaseEnded { operations, at });
        }
    }
}
