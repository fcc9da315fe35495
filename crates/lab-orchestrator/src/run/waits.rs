//! Who waits for whom in the lab, whoever they are: clients, helpers, daemons, products, and what these wait for in turn.
//!
//! While something has waited for a while, a thread of its own looks at all threads of the lab and records what has
//! changed. While nothing waits, it does nothing; in a lab with products, whose threads sleep as they like, it notes four
//! times a second what each thread is in. It keeps a processor busy for at most one fiftieth of the time: the longer a look
//! takes, the longer the next one waits.
//!
//! Where threads do not show what they wait in, as on macOS, nobody looks and there is no record.

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

use lab_model::{Lab, Span, Ticks};
use lab_process::{clock, proc, process_id};
use lab_waits::{Descriptor, Process, RecordLine, Snapshot, Wait, WaitReport};

use super::{external::Externals, process::create_log, processes::Processes, warden::Warden};
use crate::{Failure, RunFolder};

/// A wait in the middle of something is recorded from this length on; with a short deadline, from half of that on.
const LASTING: Span = Span::from_millis(500);
/// Behind the time at which the next look may come, what was seen holds for so long.
const HOLDS_FOR: Duration = Duration::from_secs(1);
/// While nothing waits, it is noted so often what each thread is in.
const THREADS_EVERY: Duration = Duration::from_millis(250);
/// Longer than any lab runs.
const FOR_EVER: Duration = Duration::from_secs(1 << 30);
/// Looking takes at most this part of a processor.
const PART_OF_PROCESSOR: u32 = 50;
/// The most changes that are recorded.
const CHANGES_MAX: u64 = 1_000;
/// The most waits of one change that are recorded, the longest first.
const WAITS_MAX: usize = 64;

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

/// What was seen last.
#[derive(Debug)]
struct Seen {
    at: Ticks,
    /// Until when it is taken for what is so.
    until: Ticks,
    waits: WaitReport,
}

type LastSeen = Arc<Mutex<Option<Seen>>>;

/// The thread that looks.
#[derive(Debug)]
pub(super) struct WaitsRecorder {
    asks: Option<SyncSender<Members>>,
    seen: LastSeen,
    thread: Option<JoinHandle<()>>,
}

impl WaitsRecorder {
    /// Begins the record of a lab. Nobody looks before it is asked to.
    ///
    /// # Errors
    /// [`FailureKind::Output`](crate::FailureKind::Output) when the record cannot be written.
    pub(super) fn begin(folder: &RunFolder, lab: &Lab) -> Result<WaitsRecorder, Failure> {
        let seen = LastSeen::default();
        if lab_process::platform::IS_MAC {
            return Ok(WaitsRecorder { asks: None, seen, thread: None });
        }
        let file = create_log(&folder.root().join(RunFolder::WAITS))
            .map_err(|error| Failure::output("cannot record who waits for whom", &error))?;
        let lasting = LASTING.nanos().min(lab.deadline.nanos() / 2) / 1_000_000;
        let (asks, asked) = sync_channel(1);
        let looker = Looker {
            file,
            lasting_ms: lasting.max(1),
            seen: Arc::clone(&seen),
            follows_threads: !lab.external.is_empty(),
            rests_until: Ticks(0),
            previous: None,
            looked: Ticks(0),
            members: Members::new(),
            recorded: WaitReport::default(),
            looks: 0,
            took_us: 0,
            changes: 0,
        };
        let thread = std::thread::spawn(move || looker.run(&asked));
        Ok(WaitsRecorder { asks: Some(asks), seen, thread: Some(thread) })
    }

    /// Asks for a look; one that is under way serves as well.
    pub(super) fn look(&self, members: impl FnOnce() -> Members) {
        if let Some(asks) = &self.asks {
            match asks.try_send(members()) {
                Ok(()) | Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
            }
        }
    }

    /// What was seen last and when, unless that was too long ago.
    pub(super) fn seen(&self, now: Ticks) -> Option<(Ticks, WaitReport)> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().filter(|seen| now <= seen.until).map(|seen| (seen.at, seen.waits.clone()))
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

/// The processes of a lab, with what their boards show.
pub(super) fn members(processes: &Processes, externals: &Externals, warden: &Warden) -> Members {
    let named = |tid: u64, name: &str, decides_nothing| {
        Some((u32::try_from(tid).ok()?, Member { name: name.to_owned(), decides_nothing }))
    };
    let own = processes.iter().filter_map(|one| {
        let decides_nothing = one.is_client() && warden.decides_nothing(one.actor());
        named(one.pid().into(), one.name(), decides_nothing)
    });
    let helpers = processes.living_helpers();
    let helpers = helpers.filter_map(|(_, one)| named(*one.threads().first()?, one.name(), false));
    let products = externals.processes();
    let products = products.map(|(pid, name)| (pid, Member { name, decides_nothing: false }));
    own.chain(helpers).chain(products).collect()
}

/// The state of the thread.
struct Looker {
    file: File,
    lasting_ms: u64,
    seen: LastSeen,
    /// Threads are followed also while nothing waits.
    follows_threads: bool,
    /// The next look may come then.
    rests_until: Ticks,
    previous: Option<(Ticks, Snapshot)>,
    /// The last look.
    looked: Ticks,
    members: Members,
    recorded: WaitReport,
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
            let within =
                if self.follows_threads || !self.recorded.is_empty() { THREADS_EVERY } else { FOR_EVER };
            let is_asked = match asked.recv_timeout(within) {
                Ok(members) => {
                    self.members = members;
                    true
                }
                Err(RecvTimeoutError::Timeout) => false,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if clock::now() < self.rests_until {
                continue;
            }
            let began = clock::thread_time();
            // What was seen is looked after until it is over.
            let looks = is_asked || !self.recorded.is_empty();
            let waits = looks.then(|| self.look());
            if !looks {
                self.look_at_threads();
            }
            let took = clock::thread_time().saturating_sub(began);
            self.took_us = self.took_us.saturating_add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
            self.rests_until = later(clock::now(), took * (PART_OF_PROCESSOR - 1));
            if let (Some(waits), Some((at, _))) = (waits, &self.previous) {
                let seen = Seen { at: *at, until: later(self.rests_until, HOLDS_FOR), waits };
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(seen);
            }
        }
        self.finish();
    }

    /// Looks once at all threads, and records what has changed.
    fn look(&mut self) -> WaitReport {
        let pids: Vec<u32> =
            proc::processes().into_iter().flatten().filter(|&pid| pid != process_id()).collect();
        let mut snapshot = lab_observer::look_at(&pids);
        let now = clock::now();
        self.follow(&mut snapshot, now);
        for process in &mut snapshot.processes {
            let Some(member) = self.members.get(&process.pid) else { continue };
            process.name.clone_from(&member.name);
            if member.decides_nothing {
                leave_out(process);
            }
        }
        let waits = WaitReport::of(&snapshot, self.lasting_ms, &[]);
        self.looks += 1;
        self.previous = Some((now, snapshot));
        let mut recorded = waits.clone();
        recorded.waits.truncate(WAITS_MAX);
        if !recorded.says_the_same(&self.recorded) {
            self.changes += 1;
            if self.changes <= CHANGES_MAX {
                self.write(&RecordLine::Seen { at: now.0, before: self.looked.0, waits: recorded.clone() });
            }
            self.recorded = recorded;
        }
        self.looked = now;
        waits
    }

    /// Notes what each thread is in, so that a later look tells who has slept since before it was asked.
    fn look_at_threads(&mut self) {
        let mut snapshot = lab_observer::look_at_threads();
        let now = clock::now();
        self.follow(&mut snapshot, now);
        self.previous = Some((now, snapshot));
    }

    /// Says of each thread of a snapshot since when it has been as it is.
    fn follow(&mut self, snapshot: &mut Snapshot, now: Ticks) {
        if let Some((then, previous)) = self.previous.take() {
            let apart = clock::timebase().nanoseconds(now.since(then)) / 1_000_000;
            snapshot.follow(&previous, apart);
        }
    }

    fn finish(mut self) {
        let at = clock::now().0;
        if !self.recorded.is_empty() {
            self.write(&RecordLine::Seen { at, before: self.looked.0, waits: WaitReport::default() });
        }
        let left_out = self.changes.saturating_sub(CHANGES_MAX);
        let (looks, took_us) = (self.looks, self.took_us);
        self.write(&RecordLine::End { at, looks, took_us, left_out });
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

fn later(at: Ticks, by: Duration) -> Ticks {
    let by = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
    Ticks(at.0.saturating_add(clock::timebase().ticks(by)))
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
