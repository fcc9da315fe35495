//! Threads that the kernel makes in a process: the workers of its io_uring. No tracer is told of them, and they act in the
//! process's name, so they are looked for while they live: an idle one stays for five seconds (io_uring/io-wq.c).

use std::{collections::BTreeSet, os::unix::ffi::OsStrExt};

use lab_model::{Actor, Lab, LoadKind, Ticks};
use lab_process::proc;
use lab_trace::{ThreadSeen, TraceWriter};

/// How many of the warden's looks come for one look at threads.
const LOOK_EVERY: u32 = 4;
/// How the kernel calls them: `iou-wrk-PID` and `iou-sqp-PID`.
const NAME: &[u8] = b"iou-";

/// The threads that were seen, in a lab that runs programs of others.
#[derive(Debug, Default)]
pub(super) struct KernelThreads {
    wanted: bool,
    rounds: u32,
    known: BTreeSet<(u32, u32)>,
}

impl KernelThreads {
    /// Only commands and products have any: the lab's own programs use no io_uring.
    pub(super) fn of(lab: &Lab) -> KernelThreads {
        let commands = lab.workload.iter().any(|load| matches!(load.kind, LoadKind::Run(_)));
        KernelThreads { wanted: commands || !lab.external.is_empty(), ..KernelThreads::default() }
    }

    /// Records whose the threads are that have come since the last look. Reads nothing but `/proc`.
    pub(super) fn look(&mut self, now: Ticks, trace: &TraceWriter) {
        self.rounds = self.rounds.wrapping_add(1);
        if !self.wanted || !self.rounds.is_multiple_of(LOOK_EVERY) {
            return;
        }
        let mut there = BTreeSet::new();
        for pid in proc::processes().into_iter().flatten().filter(|&pid| pid > 1) {
            for tid in proc::threads(pid).into_iter().filter(|&tid| tid != pid) {
                there.insert((pid, tid));
                let of_kernel = || proc::name(tid).is_some_and(|name| name.as_bytes().starts_with(NAME));
                if !self.known.contains(&(pid, tid)) && of_kernel() {
                    let (actor, tid) = (Actor::UNKNOWN, u64::from(tid));
                    trace.thread_seen(&ThreadSeen { at: now, actor, pid, tid, there: true });
                }
            }
        }
        self.known = there;
    }
}
