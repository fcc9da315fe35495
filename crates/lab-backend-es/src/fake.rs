//! A machine with Endpoint Security and one client, in memory: the contract without a Mac. A second connection of the
//! same process is a second fake machine to which the same happens: nothing that the headers promise passes from one
//! connection to another.
//!
//! It keeps what the headers promise: messages are delivered one after the other and in order, live until the
//! last retainer lets go, and take one answer each, in the right form, before their deadline; a full queue
//! drops events and allows them, visibly only by the sequence numbers; muting follows the framework's flow
//! chart. What Apple does not promise it leaves out. Time passes only when it is told to.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use lab_model::{EventKind, FileId, NotifyEvent, ThreadId, Ticks, Verdict};

use crate::{
    Cache, Connection, Facts, Message, MuteStep, ProcessId, RespondError, Responder, Signer, StepFailed,
    Target, Window,
};

/// A program whose AUTH events a new connection does not see.
pub const DEFAULT_MUTED_EXECUTABLE: &[u8] = b"/usr/libexec/watchdogd";
/// Files whose AUTH events a new connection does not see; selected, when inverted without having been cleared.
pub const DEFAULT_MUTED_TARGET: &[u8] = b"/private/var/db/protected/";

/// Something that happens on the fake machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FakeEvent {
    /// Which event.
    pub kind: EventKind,
    /// The thread that acts.
    pub subject: ThreadId,
    /// The program that acts.
    pub executable: Vec<u8>,
    /// The file acted on.
    pub target: Option<(Vec<u8>, FileId)>,
    /// The new process of a fork or an exec.
    pub made: Option<ProcessId>,
    /// Whether a file that is closed had been changed.
    pub modified: Option<bool>,
    /// How long the kernel waits for an answer, in ticks.
    pub window: u64,
}

/// How an AUTH event ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// The kernel waits.
    Waiting,
    /// The client answered in time.
    Answered(Verdict),
    /// Nobody answered in time; allowed.
    DeadlineMissed,
    /// The queue was full; allowed without being asked.
    QueueFull,
    /// The client went away; allowed.
    ClientGone,
}

/// What the fake machine counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// AUTH events that were asked about.
    pub asked: u64,
    /// AUTH events that the client answered in time.
    pub answered: u64,
    /// AUTH events allowed because the deadline passed.
    pub missed: u64,
    /// Events dropped because the queue was full.
    pub dropped: u64,
    /// AUTH events allowed because the client went away.
    pub orphaned: u64,
    /// Answers that the kernel refused: second ones, late ones, wrong forms.
    pub refused: u64,
    /// Messages handed out.
    pub retained: u64,
    /// Messages given back.
    pub released: u64,
}

#[derive(Debug)]
struct Entry {
    fate: Fate,
    facts: Facts,
}

#[derive(Debug)]
struct State {
    now: Ticks,
    connected: bool,
    /// The process that has the connection.
    owner: Option<u32>,
    subscribed: BTreeSet<EventKind>,
    queue: VecDeque<(usize, Arc<FakeEvent>)>,
    queue_max: usize,
    entries: Vec<Entry>,
    sequence: BTreeMap<EventKind, u64>,
    sequence_of_all: u64,
    target_prefixes: BTreeSet<Vec<u8>>,
    target_literals: BTreeSet<Vec<u8>>,
    kept: BTreeSet<(EventKind, FileId)>,
    target_inverted: bool,
    executables: BTreeSet<Vec<u8>>,
    processes: BTreeSet<ProcessId>,
    parents: BTreeMap<ProcessId, ProcessId>,
    tally: Tally,
}

/// The fake machine. Clones are the same machine.
#[derive(Clone, Debug)]
pub struct FakeMachine {
    state: Arc<Mutex<State>>,
}

/// A retained message of the fake machine.
#[derive(Debug)]
pub struct FakeMessage {
    state: Arc<Mutex<State>>,
    index: usize,
    facts: Facts,
    event: Arc<FakeEvent>,
    signing_id: String,
    made_signing_id: String,
    parent: Option<ProcessId>,
}

/// The answering half of the fake connection.
#[derive(Debug)]
pub struct FakeResponder {
    state: Arc<Mutex<State>>,
}

/// The creating thread's half of the fake connection.
#[derive(Debug)]
pub struct FakeConnection {
    state: Arc<Mutex<State>>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

const fn acting(event: &FakeEvent) -> ProcessId {
    ProcessId { pid: event.subject.pid, version: event.subject.generation }
}

/// On the fake machine every program is signed under its file's name.
fn signing_id(executable: &[u8]) -> String {
    let name = executable.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    format!("com.example.{}", String::from_utf8_lossy(name))
}

/// A fork runs the same program, an exec its target.
fn made_signing_id(event: &FakeEvent) -> String {
    signing_id(event.target.as_ref().map_or(&event.executable, |(path, _)| path))
}

impl FakeMachine {
    /// A machine whose client may have `queue_max` undelivered events.
    #[must_use]
    pub fn new(queue_max: usize) -> FakeMachine {
        let state = State {
            now: Ticks(1),
            connected: false,
            owner: None,
            subscribed: BTreeSet::new(),
            queue: VecDeque::new(),
            queue_max,
            entries: Vec::new(),
            sequence: BTreeMap::new(),
            sequence_of_all: 0,
            target_prefixes: BTreeSet::from([DEFAULT_MUTED_TARGET.to_vec()]),
            target_literals: BTreeSet::new(),
            kept: BTreeSet::new(),
            target_inverted: false,
            executables: BTreeSet::from([DEFAULT_MUTED_EXECUTABLE.to_vec()]),
            processes: BTreeSet::new(),
            parents: BTreeMap::new(),
            tally: Tally::default(),
        };
        FakeMachine { state: Arc::new(Mutex::new(state)) }
    }

    /// Connects the client.
    #[must_use]
    pub fn connect(&self) -> (FakeConnection, FakeResponder) {
        lock(&self.state).connected = true;
        let state = || Arc::clone(&self.state);
        (FakeConnection { state: state() }, FakeResponder { state: state() })
    }

    /// The process `pid` has the connection: it is not asked about what it does itself, and told of it all the same.
    pub fn belongs_to(&self, pid: u32) {
        lock(&self.state).owner = Some(pid);
    }

    /// Lets something happen; its number when the client is asked or told, `None` when it is not to see it.
    pub fn happen(&self, event: FakeEvent) -> Option<usize> {
        let mut state = lock(&self.state);
        state.bear(&event);
        if !state.connected || state.suppresses(&event) || state.answers_itself(&event) {
            return None;
        }
        let facts = state.next_facts(&event);
        let index = state.entries.len();
        if event.kind.is_auth() {
            state.tally.asked += 1;
        }
        if state.queue.len() < state.queue_max {
            state.entries.push(Entry { fate: Fate::Waiting, facts });
            state.queue.push_back((index, Arc::new(event)));
        } else {
            state.tally.dropped += 1;
            state.entries.push(Entry { fate: Fate::QueueFull, facts });
        }
        Some(index)
    }

    /// Takes the next message off the queue, retained.
    #[must_use]
    pub fn deliver(&self) -> Option<FakeMessage> {
        let mut state = lock(&self.state);
        let (index, event) = state.queue.pop_front()?;
        state.tally.retained += 1;
        let facts = state.entries[index].facts;
        let parent = state.parents.get(&acting(&event)).copied();
        drop(state);
        let (signing_id, made_signing_id) = (signing_id(&event.executable), made_signing_id(&event));
        let state = Arc::clone(&self.state);
        Some(FakeMessage { state, index, facts, event, signing_id, made_signing_id, parent })
    }

    /// Lets time pass; AUTH events whose deadline passes are allowed and counted as missed.
    pub fn advance(&self, ticks: u64) {
        let mut state = lock(&self.state);
        state.now = state.now.plus(ticks);
        let now = state.now;
        let mut missed = 0;
        for entry in &mut state.entries {
            if entry.facts.is_question && entry.fate == Fate::Waiting && entry.facts.window.is_missed(now) {
                entry.fate = Fate::DeadlineMissed;
                missed += 1;
            }
        }
        state.tally.missed += missed;
    }

    /// How the event with this number ended.
    #[must_use]
    pub fn fate(&self, index: usize) -> Option<Fate> {
        lock(&self.state).entries.get(index).map(|entry| entry.fate)
    }

    /// What was counted so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        lock(&self.state).tally
    }

    /// Events that wait to be delivered.
    #[must_use]
    pub fn queued(&self) -> usize {
        lock(&self.state).queue.len()
    }
}

impl State {
    fn next_facts(&mut self, event: &FakeEvent) -> Facts {
        let sequence = self.sequence.entry(event.kind).or_default();
        let facts = Facts {
            kind: event.kind,
            is_question: event.kind.is_auth(),
            window: Window { generated: self.now, deadline: self.now.plus(event.window) },
            subject: event.subject,
            subject_is_es_client: false,
            target: event.target.as_ref().map(|(_, file)| *file),
            made: event.made,
            modified: event.modified,
            sequence: Some(*sequence),
            sequence_of_all: Some(self.sequence_of_all),
        };
        *sequence += 1;
        self.sequence_of_all += 1;
        facts
    }

    /// Remembers who made whom: a new process is the child of who made it, a new program the child of its process's parent.
    fn bear(&mut self, event: &FakeEvent) {
        let Some(made) = event.made else { return };
        let acting = acting(event);
        let parent = if made.pid == acting.pid { self.parents.get(&acting).copied() } else { Some(acting) };
        if let Some(parent) = parent {
            self.parents.insert(made, parent);
        }
    }

    /// The framework's flow chart: own process (AUTH only), subscription, process, executable, target.
    fn suppresses(&self, event: &FakeEvent) -> bool {
        let process = acting(event);
        if event.kind.is_auth() && self.owner == Some(process.pid) {
            return true;
        }
        if !self.subscribed.contains(&event.kind)
            || self.processes.contains(&process)
            || self.executables.contains(&event.executable)
        {
            return true;
        }
        // Forks and exits have no target: no target-path muting touches them.
        let Some((path, _)) = &event.target else { return false };
        let in_set = self.target_literals.contains(path)
            || self.target_prefixes.iter().any(|prefix| path.starts_with(prefix));
        in_set != self.target_inverted
    }

    /// A kept answer serves as long as the file is not changed, which nothing here does.
    fn answers_itself(&self, event: &FakeEvent) -> bool {
        let file = event.target.as_ref().map(|(_, file)| *file);
        file.is_some_and(|file| self.kept.contains(&(event.kind, file)))
    }

    /// One muting call; what a client is confined by can only be changed before it subscribes.
    fn mute(&mut self, step: &MuteStep) -> Result<(), StepFailed> {
        let selects = matches!(
            step,
            MuteStep::MuteTargetPrefix(_)
                | MuteStep::MuteTargetLiteral(_)
                | MuteStep::UnmuteTargetPrefix(_)
                | MuteStep::UnmuteTargetLiteral(_)
        );
        let allowed = self.subscribed.is_empty() || (selects && self.target_inverted);
        if !allowed {
            return Err(StepFailed::Mute("change the muting of a client that is subscribed".to_owned()));
        }
        let absent = |removed: bool| {
            if removed { Ok(()) } else { Err(StepFailed::Mute("unmute what was not muted".to_owned())) }
        };
        match step {
            MuteStep::ClearTargetPaths => {
                self.target_prefixes.clear();
                self.target_literals.clear();
            }
            MuteStep::MuteTargetPrefix(prefix) => drop(self.target_prefixes.insert(prefix.clone())),
            MuteStep::MuteTargetLiteral(path) => drop(self.target_literals.insert(path.clone())),
            MuteStep::UnmuteTargetPrefix(prefix) => absent(self.target_prefixes.remove(prefix))?,
            MuteStep::UnmuteTargetLiteral(path) => absent(self.target_literals.remove(path))?,
            MuteStep::InvertTargetPaths => self.target_inverted = !self.target_inverted,
            MuteStep::MuteExecutable(path) => drop(self.executables.insert(path.clone())),
            MuteStep::MuteProcess(words) => drop(self.processes.insert(ProcessId::of_audit_token(*words))),
        }
        Ok(())
    }

    fn keep(&mut self, index: usize, verdict: Verdict, cache: Cache, target: Option<FileId>) {
        if let (Cache::On, Verdict::Allow, Some(file)) = (cache, verdict, target) {
            self.kept.insert((self.entries[index].facts.kind, file));
        }
    }

    fn respond(&mut self, index: usize, verdict: Verdict, form_fits: bool) -> Result<(), RespondError> {
        let connected = self.connected;
        let entry = &mut self.entries[index];
        let outcome = match entry.fate {
            _ if !connected => Err(RespondError::Internal),
            _ if !form_fits => Err(RespondError::EventType),
            Fate::Waiting => {
                entry.fate = Fate::Answered(verdict);
                Ok(())
            }
            Fate::Answered(_) => Err(RespondError::Duplicate),
            Fate::DeadlineMissed | Fate::QueueFull | Fate::ClientGone => Err(RespondError::NotFound),
        };
        match outcome {
            Ok(()) => self.tally.answered += 1,
            Err(_) => self.tally.refused += 1,
        }
        outcome
    }
}

fn signed_as(signing_id: &str) -> Signer<'_> {
    Signer { signing_id: signing_id.as_bytes(), team_id: b"ABCDE12345", cdhash: [0; 20], is_es_client: false }
}

impl Message for FakeMessage {
    fn facts(&self) -> Facts {
        self.facts
    }

    fn target(&self) -> Option<Target<'_>> {
        self.event.target.as_ref().map(|(path, _)| Target { path, truncated: false })
    }

    fn signer(&self) -> Signer<'_> {
        signed_as(&self.signing_id)
    }

    fn parent(&self) -> Option<ProcessId> {
        self.parent
    }

    fn made_signer(&self) -> Option<Signer<'_>> {
        self.event.made.map(|_| signed_as(&self.made_signing_id))
    }

    fn exit_status(&self) -> Option<i32> {
        (self.facts.kind == EventKind::Notify(NotifyEvent::Exit)).then_some(0)
    }

    fn executable(&self) -> &[u8] {
        &self.event.executable
    }
}

impl FakeMessage {
    /// The number that [`FakeMachine::happen`] gave it.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }
}

impl Drop for FakeMessage {
    fn drop(&mut self) {
        lock(&self.state).tally.released += 1;
    }
}

impl Responder for FakeResponder {
    type Message = FakeMessage;

    fn respond_auth(
        &self,
        message: &FakeMessage,
        verdict: Verdict,
        cache: Cache,
    ) -> Result<(), RespondError> {
        let fits = message.facts.is_question && message.facts.kind != EventKind::AUTH_OPEN;
        let mut state = lock(&self.state);
        state.respond(message.index, verdict, fits)?;
        state.keep(message.index, verdict, cache, message.facts.target);
        Ok(())
    }

    fn respond_flags(&self, message: &FakeMessage, flags: u32, cache: Cache) -> Result<(), RespondError> {
        let fits = message.facts.kind == EventKind::AUTH_OPEN;
        let verdict = if flags == 0 { Verdict::Deny } else { Verdict::Allow };
        let mut state = lock(&self.state);
        state.respond(message.index, verdict, fits)?;
        state.keep(message.index, verdict, cache, message.facts.target);
        Ok(())
    }

    fn mute(&self, step: &MuteStep) -> Result<(), StepFailed> {
        lock(&self.state).mute(step)
    }

    fn subscribe(&self, kinds: &[EventKind]) -> Result<(), StepFailed> {
        lock(&self.state).subscribed.extend(kinds);
        Ok(())
    }

    fn unsubscribe(&self, kinds: &[EventKind]) -> Result<(), StepFailed> {
        lock(&self.state).subscribed.retain(|kind| !kinds.contains(kind));
        Ok(())
    }

    fn clear_cache(&self) -> Result<(), StepFailed> {
        lock(&self.state).kept.clear();
        Ok(())
    }

    fn now(&self) -> Ticks {
        lock(&self.state).now
    }
}

impl FakeConnection {
    /// Deletes the connection: what the kernel still waits for is allowed, and what is queued is dropped.
    pub fn delete(self, responder: Option<FakeResponder>) {
        drop(responder);
        let mut state = lock(&self.state);
        state.connected = false;
        state.queue.clear();
        let mut orphaned = 0;
        for entry in &mut state.entries {
            if entry.facts.is_question && entry.fate == Fate::Waiting {
                entry.fate = Fate::ClientGone;
                orphaned += 1;
            }
        }
        state.tally.orphaned += orphaned;
    }
}

impl Connection for FakeConnection {
    fn mute(&mut self, step: &MuteStep) -> Result<(), StepFailed> {
        lock(&self.state).mute(step)
    }

    fn target_paths_are_inverted(&mut self) -> Result<bool, StepFailed> {
        Ok(lock(&self.state).target_inverted)
    }

    fn subscribe(&mut self, kinds: &[EventKind]) -> Result<(), StepFailed> {
        lock(&self.state).subscribed.extend(kinds);
        Ok(())
    }

    fn unsubscribe_all(&mut self) -> Result<(), StepFailed> {
        lock(&self.state).subscribed.clear();
        Ok(())
    }
}
