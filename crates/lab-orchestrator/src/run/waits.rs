//! Who waits for whom in the lab, whoever they are: clients, helpers, daemons, products, and what these wait for in turn.
//!
//! While something has waited for a while, a thread of its own looks at all threads of the lab and records what has
//! changed. It takes at most one fiftieth of a processor: the longer a look takes, the longer the next one waits. While
//! nothing waits, it only notes four times a second how often each thread has run.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write,
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread::JoinHandle,
    time::Duration,
};

use lab_model::{Span, Ticks};
use lab_process::{clock, proc, process_id};
use lab_waits::{Descriptor, Process, RecordLine, Snapshot, Wait, WaitReport};

/// A wait in the middle of something is recorded from this length on; with a short deadline, from half of that on.
const LASTING: Span = Span::from_millis(500);
/// What was seen longer ago than this is not what is so now, and says nothing of the waits since.
const APART_MAX: Duration = Duration::from_secs(2);
/// While nothing waits, it is noted so often how often each thread has run.
const GLANCE_EVERY: Duration = Duration::from_millis(250);
/// The looks take at most this part of a processor.
const PART_OF_PROCESSOR: u32 = 50;
/// The most changes that are recorded.
const CHANGES_MAX: u64 = 2_000;

/// A process of the lab.
#[derive(Clone, Debug)]
pub(super) struct Member {
    /// How it is called.
    pub(super) name: String,
    /// A client of the lab whose board shows no decision: nobody waits for an answer that it is deciding on.
    pub(super) decides_nothing: bool,
}

/// The processes of the lab, by the numbers of their first threads.
pub(super) type Members = BTreeMap<u32, Member>;

/// What was seen last, and when.
type Seen = Arc<Mutex<Option<(Ticks, WaitReport)>>>;

/// The thread that looks.
#[derive(Debug)]
pub(super) struct WaitsRecorder {
    asks: Option<SyncSender<Members>>,
    seen: Seen,
    thread: Option<JoinHandle<()>>,
}

impl WaitsRecorder {
    /// Begins to record into a file, with the deadline of the lab. Nobody looks before it is asked to.
    pub(super) fn begin(file: File, deadline: Span) -> WaitsRecorder {
        let lasting = LASTING.nanos().min(deadline.nanos() / 2) / 1_000_000;
        let (asks, asked) = sync_channel(1);
        let seen = Seen::default();
        let looker = Looker {
            file,
            lasting_ms: lasting.max(1),
            seen: Arc::clone(&seen),
            previous: None,
            said: WaitReport::default(),
            looks: 0,
            took_us: 0,
            changes: 0,
        };
        let thread = std::thread::spawn(move || looker.run(&asked));
        WaitsRecorder { asks: Some(asks), seen, thread: Some(thread) }
    }

    /// Asks for a look; one that is under way serves as well.
    pub(super) fn look(&self, members: impl FnOnce() -> Members) {
        if let Some(asks) = &self.asks {
            match asks.try_send(members()) {
                Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// What was seen last, unless that was too long ago.
    pub(super) fn seen(&self, now: Ticks) -> Option<(Ticks, WaitReport)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = clock::timebase().ticks(u64::try_from(APART_MAX.as_nanos()).unwrap_or(u64::MAX));
        seen.as_ref().filter(|(at, _)| now.since(*at) <= fresh).cloned()
    }

    /// Ends the record.
    pub(super) fn end(&mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::warn!("the record of who waits for whom ends early");
        }
    }
}

/// The state of the thread.
struct Looker {
    file: File,
    lasting_ms: u64,
    seen: Seen,
    previous: Option<(Ticks, Snapshot)>,
    said: WaitReport,
    looks: u64,
    took_us: u64,
    changes: u64,
}

impl Looker {
    fn run(mut self, asked: &Receiver<Members>) {
        // It needs to see into other processes, and nothing that the controller has in reserve for what it starts.
        if let Err(error) = lab_process::privileges::keep_in_reserve(&[]) {
            tracing::warn!("who waits for whom is not recorded: {error}");
            return;
        }
        loop {
            match asked.recv_timeout(GLANCE_EVERY) {
                Ok(members) => {
                    let took = self.look(&members);
                    std::thread::sleep(took * (PART_OF_PROCESSOR - 1));
                }
                Err(RecvTimeoutError::Timeout) => self.glance(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let at = clock::now().0;
        if !self.said.is_empty() {
            self.write(&RecordLine::Seen { at, waits: WaitReport::default() });
        }
        let left_out = self.changes.saturating_sub(CHANGES_MAX);
        let (looks, took_us) = (self.looks, self.took_us);
        self.write(&RecordLine::End { at, looks, took_us, left_out });
    }

    /// Looks once; returns how long that took.
    fn look(&mut self, members: &Members) -> Duration {
        let began = clock::thread_time();
        let pids: Vec<u32> =
            proc::processes().into_iter().flatten().filter(|&pid| pid != process_id()).collect();
        let mut snapshot = lab_observer::look_at(&pids);
        let now = clock::now();
        self.follow(&mut snapshot, now);
        for process in &mut snapshot.processes {
            let Some(member) = members.get(&process.pid) else { continue };
            process.name.clone_from(&member.name);
            if member.decides_nothing {
                leave_out(process);
            }
        }
        let waits = WaitReport::of(&snapshot, self.lasting_ms, &[]);
        let took = clock::thread_time().saturating_sub(began);
        self.looks += 1;
        self.took_us = self.took_us.saturating_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        self.previous = Some((now, snapshot));
        if !waits.says_the_same(&self.said) {
            self.changes += 1;
            if self.changes <= CHANGES_MAX {
                self.write(&RecordLine::Seen { at: now.0, waits: waits.clone() });
            }
            self.said = waits.clone();
        }
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, waits));
        took
    }

    /// Notes how often each thread has run, so that a later look tells who has slept since before it was asked.
    fn glance(&mut self) {
        let mut snapshot = lab_observer::glance();
        let now = clock::now();
        self.follow(&mut snapshot, now);
        self.previous = Some((now, snapshot));
    }

    /// Says of each thread of a snapshot since when it has been as it is.
    fn follow(&mut self, snapshot: &mut Snapshot, now: Ticks) {
        let Some((then, previous)) = self.previous.take() else { return };
        let apart = Duration::from_nanos(clock::timebase().nanoseconds(now.since(then)));
        if apart <= APART_MAX {
            snapshot.follow(&previous, u64::try_from(apart.as_millis()).unwrap_or(u64::MAX));
        }
    }

    /// Writes a line, whole or cut off where the disk ends: whoever reads it counts the damage.
    fn write(&mut self, line: &RecordLine) {
        let mut text = serde_json::to_vec(line).unwrap_or_default();
        text.push(b'\n');
        if let Err(error) = self.file.write_all(&text) {
            tracing::debug!("who waits for whom is not recorded: {error}");
        }
    }
}

/// A client that has nothing to decide, has read all its events and waits for the next one is not who is waited for.
fn leave_out(process: &mut Process) {
    let takes_in = process.threads.iter().any(|thread| Wait::of(process, thread).hand_over);
    for descriptor in process.descriptors.values_mut() {
        if let Descriptor::Group(group) = descriptor
            && group.unread == Some(0)
            && !takes_in
        {
            group.marks.iter_mut().for_each(|mark| mark.asks = false);
        }
    }
}
