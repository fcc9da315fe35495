//! What things cost on the simulated machine, in nanoseconds.

use serde::{Deserialize, Serialize};

/// What things cost on the simulated machine: the calibration of the model. Times are nanoseconds.
///
/// The defaults describe one small virtual machine (two cores, Linux 6.18) as it was measured with the leanest
/// responder that answers permission events; *assumed* marks a figure that nobody measured. With these,
/// an open costs 1.5 + 8.7·N µs on one core (measured: 1.7 + 8.7·N) and 1.5 + 21·N µs on two (measured,
/// unpinned: 11.6 + 21·N).
///
/// Endpoint Security has no published costs of its own, so its rules run with the same figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Costs {
    /// Processors that the lab's threads run on: 1 to 64. 1 stands for everything pinned to one.
    pub cores: u16,
    /// A processor goes over to another thread. Measured: switches and wake-ups are half of the 8.7 µs a
    /// client costs, and there are two of each.
    pub context_switch: u64,
    /// Waking a thread, on the waker's processor. Measured together with `context_switch`.
    pub wake_up: u64,
    /// An idle processor starts to run a thread. Derived from the 21 µs a client costs on two cores.
    pub idle_exit: u64,
    /// How much longer that takes on average, drawn from an exponential distribution: a virtual processor is woken by
    /// its host, which has other things to do. Fitted by calibration to the spread of the control phase.
    #[serde(default)]
    pub idle_tail: u64,
    /// How much longer it takes a processor that has slept. Fitted by calibration to how late an opener begins that
    /// wakes at a planned time; 0 until then.
    #[serde(default)]
    pub sleep_exit: u64,
    /// How much longer a thread's first piece of work takes after a long absence: its code and data have left the
    /// processor's caches. Fitted by calibration to opens at a slow pace without clients; 0 until then.
    #[serde(default)]
    pub cold: u64,
    /// After this long an absence half of `cold` is due. Fitted by calibration to an open of many clients that
    /// answer at once.
    #[serde(default)]
    pub cold_half: u64,
    /// A thread that never waits lets another one run after this long. The base slice of Linux's scheduler.
    pub time_slice: u64,
    /// From the call of `open` to the first question. Measured with the next two: 1.5 µs without any client.
    pub open_entry: u64,
    /// From the last answer to the return of `open`.
    pub open_exit: u64,
    /// Closing a file.
    pub close: u64,
    /// The kernel's work to put one question to one client. What is left of the 8.7 µs.
    pub ask: u64,
    /// The call that reads questions. Measured: 1.6 µs a read of one question, with the next.
    pub read_call: u64,
    /// Each question in it (it opens a descriptor).
    pub read_event: u64,
    /// Deciding what to do with one question and recording it. Assumed.
    pub decide: u64,
    /// The call that hands over answers. Measured: 1.6 µs a write of one answer, with the next; the wake-up
    /// it does is counted apart.
    pub answer_call: u64,
    /// Each answer in it.
    pub answer_event: u64,
    /// Letting go of an answered question (closing its descriptor). Measured: 0.6 µs.
    pub release: u64,
    /// Each other opener that an answer wakes for nothing, because a group has one wait queue: a wake-up
    /// and a switch. fanotify only.
    pub herd: u64,
    /// From a worker's waking to its taking a decision up. Assumed.
    pub hand_over: u64,
    /// What a worker's answer takes longer to reach the opener than a reader's. Assumed; calibration fits it to the
    /// time from the last answer to the return of the open.
    pub worker_answer: u64,
    /// What opening the event's own file again takes longer than any other open: the way through `/proc` to its
    /// descriptor. Measured: 13 µs, whatever the number of clients.
    pub reopen: u64,
    /// What a round of a client's housekeeper costs its processor, beside switches and what it lets go of: a timer,
    /// a look around. Measured, with two switches and a look at a file: 22 to 25 µs.
    pub housekeeping: u64,
    /// Finding out which path an event is about. Measured: 2.9 µs, hot.
    pub resolve: u64,
    /// Having the kernel keep an answer. Assumed: as long as a call that answers.
    pub keep: u64,
    /// Reading a file's content, beside its bytes. Measured: two calls, 0.8 µs.
    pub read_content: u64,
    /// Each KiB of content. Measured: 38 µs a MiB.
    pub read_kibibyte: u64,
    /// Hashing each KiB of it. Assumed: a processor with instructions for SHA-256.
    #[serde(default)]
    pub hash_kibibyte: u64,
    /// A process is made and starts a program, up to the first question. Measured, without any client, together
    /// with the next: p50 0.41 ms for a static program.
    pub exec_entry: u64,
    /// A program runs and ends, and its parent learns of it.
    pub exec_exit: u64,
    /// What the dynamic loader adds. Measured: p50 0.13 ms.
    pub exec_dynamic: u64,
    /// How much longer than the static program's start a process of a tree takes up to its first question: it is a larger
    /// program. Fitted by calibration; 0 until then.
    #[serde(default)]
    pub exec_tree: u64,
    /// How much longer a start of a program takes that finds everything cold, beside `cold`. Fitted by calibration to
    /// programs at a slow pace; 0 until then.
    #[serde(default)]
    pub exec_cold: u64,
    /// From the kill of a client to the release of the openers that wait for it. Measured: p50 0.3 ms.
    pub kill_release: u64,
    /// Starting a client up to its readiness. Assumed; before the phases, so nothing depends on it.
    pub start_client: u64,
    /// How far each piece of work is drawn around its cost, in percent (0 to 90), evenly. Assumed; it is what
    /// makes one seed's interleavings differ from another's.
    pub jitter_percent: u8,
    /// Questions taken by one read. fanotify only; Endpoint Security hands over one at a time.
    pub batch_max: u16,
}

impl Default for Costs {
    fn default() -> Costs {
        Costs {
            cores: 2,
            context_switch: 1_200,
            wake_up: 1_000,
            idle_exit: 7_050,
            idle_tail: 0,
            sleep_exit: 0,
            cold: 0,
            cold_half: 250_000,
            time_slice: 2_800_000,
            open_entry: 900,
            open_exit: 300,
            close: 300,
            ask: 400,
            read_call: 1_000,
            read_event: 600,
            decide: 100,
            answer_call: 800,
            answer_event: 800,
            release: 600,
            herd: 2_200,
            hand_over: 3_000,
            worker_answer: 0,
            reopen: 13_000,
            housekeeping: 18_000,
            resolve: 2_900,
            keep: 800,
            read_content: 800,
            read_kibibyte: 37,
            hash_kibibyte: 700,
            exec_entry: 200_000,
            exec_exit: 210_000,
            exec_dynamic: 130_000,
            exec_tree: 0,
            exec_cold: 0,
            kill_release: 300_000,
            start_client: 5_000_000,
            jitter_percent: 10,
            batch_max: 128,
        }
    }
}

impl Costs {
    /// The same machine with everything on one processor, nothing left to chance and clients that keep no house,
    /// as the leanest responder: for exact times.
    #[must_use]
    pub fn pinned() -> Costs {
        Costs { cores: 1, jitter_percent: 0, housekeeping: 0, ..Costs::default() }
    }

    /// What a thread's first piece of work costs more after an absence: nearly all of `cold` after many times
    /// `cold_half`, and nothing after none.
    #[inline]
    pub(crate) const fn cold_after(&self, away: u64) -> u64 {
        if self.cold == 0 { 0 } else { self.cold * away / (away + self.cold_half + 1) }
    }

    /// The same for the start of a program.
    pub(crate) const fn exec_cold_after(&self, away: u64) -> u64 {
        if self.exec_cold == 0 { 0 } else { self.exec_cold * away / (away + self.cold_half + 1) }
    }

    /// The costs with what must be limited limited: cores, jitter and batch.
    #[must_use]
    pub(crate) fn bounded(self) -> Costs {
        Costs {
            cores: self.cores.clamp(1, 64),
            jitter_percent: self.jitter_percent.min(90),
            batch_max: self.batch_max.max(1),
            ..self
        }
    }
}
