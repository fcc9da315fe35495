use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use lab_client_core::{Backend, BackendError, Disposition, Event, FileFacts, Intake, Listener};
use lab_model::{
    AuthEvents, EventKind, FileId, LifeStep, NotifyEvents, ProcessId, ProcessLife, Signature, Verdict,
};

use crate::{
    Answer, Arena, Cache, Delivery, Desk, Facts, Gap, Grounds, Message, MuteStep, Observer, Question,
    RespondError, Responder, StepFailed, change_of_selection,
    message::{life_seen, life_told},
};

/// The most events handed over as one batch.
const BATCH_MAX: usize = 1_024;
/// The most steps in the lives of processes kept for [`Backend::lives`]; what comes beyond is counted as lost.
const LIVES_MAX: usize = 8_192;
/// The most processes that are remembered as known by their signature; those that come after are told of again
/// with each of their events.
const KNOWN_MAX: usize = 65_536;

/// A client's kernel, made of a [`Desk`] and the queue between the framework's thread and the client's own.
///
/// The framework calls its handler serially and must get it back at once, so the handler only files the
/// question and wakes the thread in [`Backend::receive`]. Nothing is allocated for an event but the question.
pub struct EsBackend<R: Responder + 'static> {
    desk: Arc<Desk<R, Counts>>,
    slots: Box<[Mutex<Filed<R>>]>,
    counter: Mutex<Counter>,
    arrived: Condvar,
    lives: Mutex<VecDeque<ProcessLife>>,
    /// The processes whose signature was told.
    known: Mutex<BTreeSet<ProcessId>>,
    seen: Mutex<Seen>,
    /// An answer was kept since the caches were last emptied.
    kept: AtomicBool,
}

/// What the client sees, and what it could see.
struct Seen {
    arena: Option<Arena>,
    selected: BTreeSet<MuteStep>,
    events: AuthEvents,
}

/// A backend that several owners have.
#[derive(Debug)]
pub struct Shared<B>(pub Arc<B>);

/// Stands for one pending answer: a place, and the number of its use, so that a token that was released
/// cannot answer its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    place: u32,
    use_number: u32,
}

/// What a backend counted beside the client's own trace.
#[derive(Debug, Default)]
pub struct Counts {
    lost: AtomicU64,
    abandoned: AtomicU64,
    late: AtomicU64,
    refused: AtomicU64,
    panics: AtomicU64,
}

struct Filed<R: Responder + 'static> {
    use_number: u32,
    question: Option<Question<R, Counts>>,
}

struct Counter {
    waiting: Vec<Ticket>,
    free: Vec<u32>,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Questions are filed.
    Open,
    /// Nobody receives any more: questions are answered where they arrive.
    Closed,
}

impl Counts {
    /// Answers nobody gave: the question was dropped by whoever had it.
    #[must_use]
    pub fn abandoned(&self) -> u64 {
        self.abandoned.load(Ordering::Acquire)
    }

    /// Answers that left after their deadline.
    #[must_use]
    pub fn late(&self) -> u64 {
        self.late.load(Ordering::Acquire)
    }

    /// Answers that the kernel did not take.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Acquire)
    }

    /// Events over which the lab's own handler panicked.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Acquire)
    }
}

impl Observer for Counts {
    fn answered(&self, facts: &Facts, answer: &Answer) {
        self.abandoned.fetch_add(u64::from(answer.grounds == Grounds::Abandoned), Ordering::AcqRel);
        self.late.fetch_add(u64::from(answer.is_late(facts)), Ordering::AcqRel);
        self.refused.fetch_add(u64::from(answer.result.is_err()), Ordering::AcqRel);
    }

    fn lost(&self, gap: &Gap) {
        // Either number may be the only one; they count the same events.
        self.lost.fetch_add(gap.of_all_kinds.max(gap.of_this_kind), Ordering::AcqRel);
    }

    fn panicked(&self, _: &Facts) {
        self.panics.fetch_add(1, Ordering::AcqRel);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<R: Responder + 'static> EsBackend<R> {
    /// A backend for at most `pending_max` questions at a time; what comes beyond is allowed at once and
    /// counted as lost. It has no connection until its [desk](EsBackend::desk) is opened.
    #[must_use]
    pub fn new(pending_max: u32) -> Arc<EsBackend<R>> {
        let slots = (0..pending_max).map(|_| Mutex::new(Filed { use_number: 0, question: None })).collect();
        let capacity = usize::try_from(pending_max).unwrap_or(usize::MAX);
        let counter = Counter {
            waiting: Vec::with_capacity(capacity),
            free: (0..pending_max).rev().collect(),
            state: State::Open,
        };
        Arc::new(EsBackend {
            desk: Desk::new(Counts::default()),
            slots,
            counter: Mutex::new(counter),
            arrived: Condvar::new(),
            lives: Mutex::new(VecDeque::with_capacity(LIVES_MAX)),
            known: Mutex::new(BTreeSet::new()),
            seen: Mutex::new(Seen { arena: None, selected: BTreeSet::new(), events: AuthEvents::All }),
            kept: AtomicBool::new(false),
        })
    }

    /// Tells what the arena holds to which the client is confined: only then can paths of it be hidden.
    pub fn confined_to(&self, arena: Arena) {
        let mut seen = lock(&self.seen);
        seen.selected = arena.selection(&[]);
        seen.arena = Some(arena);
    }

    /// The desk that answers.
    #[must_use]
    pub fn desk(&self) -> &Arc<Desk<R, Counts>> {
        &self.desk
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        self.desk.observer()
    }

    /// Takes in one message, on the framework's thread.
    pub fn handle(&self, message: R::Message, cache: Cache) {
        self.desk.handle(message, cache, |delivery| self.file_away(delivery));
    }

    /// Takes one delivery of the desk, on the framework's thread.
    pub fn file_away(&self, delivery: Delivery<R, Counts>) {
        match delivery {
            Delivery::Notice(notice) => {
                if let Some(life) = life_told(&notice.message, &notice.facts) {
                    self.note(life);
                }
            }
            Delivery::Question(question) => {
                let mut counter = lock(&self.counter);
                let place = if counter.state == State::Open { counter.free.pop() } else { None };
                let Some(place) = place else {
                    // Not under the lock: answering is a system call.
                    drop(counter);
                    if question.answer(Verdict::Allow).is_some() {
                        self.counts().lost.fetch_add(1, Ordering::AcqRel);
                    }
                    return;
                };
                let use_number = self.occupy(place, question);
                counter.waiting.push(Ticket { place, use_number });
                drop(counter);
                self.arrived.notify_one();
            }
        }
    }

    /// Hands one batch over, as [`Backend::receive`] does until the end: for tests that go step by step.
    pub fn receive_one<I: Intake<Ticket>>(&self, intake: &mut I) {
        let (mut batch, mut answers) = (Vec::new(), Vec::new());
        if self.wait(&mut batch).is_some() {
            self.hand_over(&batch, intake, &mut answers);
        }
    }

    /// Lets [`Backend::receive`] return once it has handed over what has arrived.
    pub fn close(&self) {
        lock(&self.counter).state = State::Closed;
        self.arrived.notify_all();
    }

    fn note(&self, life: ProcessLife) {
        let mut lives = lock(&self.lives);
        if lives.len() < LIVES_MAX {
            lives.push_back(life);
        } else {
            drop(lives);
            self.counts().lost.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Takes down who asked, the first time that this process asks. Never on the path to an answer.
    fn meet(&self, question: &Question<R, Counts>) {
        let life = life_seen(question.message(), question.facts());
        let mut known = lock(&self.known);
        let is_new = !known.contains(&life.process);
        if is_new && known.len() < KNOWN_MAX {
            known.insert(life.process);
        }
        drop(known);
        if is_new {
            self.note(life);
        }
    }

    fn slot(&self, place: u32) -> Option<MutexGuard<'_, Filed<R>>> {
        self.slots.get(usize::try_from(place).ok()?).map(lock)
    }

    fn occupy(&self, place: u32, question: Question<R, Counts>) -> u32 {
        let Some(mut slot) = self.slot(place) else { return 0 };
        assert!(slot.question.is_none(), "a free place is empty");
        slot.question = Some(question);
        slot.use_number
    }

    /// The question behind a ticket; `None` when it has been released.
    fn question(&self, ticket: Ticket) -> Option<Question<R, Counts>> {
        let slot = self.slot(ticket.place)?;
        if slot.use_number == ticket.use_number { slot.question.clone() } else { None }
    }

    /// Waits for events; the tickets that have arrived, or `None` when there will be no more.
    fn wait(&self, batch: &mut Vec<Ticket>) -> Option<()> {
        let mut counter = lock(&self.counter);
        while counter.waiting.is_empty() {
            if counter.state == State::Closed {
                return None;
            }
            counter = self.arrived.wait(counter).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut counter.waiting, batch);
        Some(())
    }

    /// Hands one batch over and sends the answers that are given at once.
    fn hand_over<I: Intake<Ticket>>(
        &self,
        tickets: &[Ticket],
        intake: &mut I,
        answers: &mut Vec<(Ticket, Verdict)>,
    ) {
        intake.batch();
        for ticket in tickets {
            let Some(question) = self.question(*ticket) else { continue };
            match intake.event(&event_of(*ticket, question.facts())) {
                Disposition::Answer(verdict) => answers.push((*ticket, verdict)),
                Disposition::Keep => {}
            }
        }
        intake.answering();
        for (nth, (ticket, verdict)) in answers.drain(..).enumerate() {
            let error = self.send(ticket, verdict).err().unwrap_or(0);
            intake.answered(nth, error);
        }
    }

    fn send(&self, ticket: Ticket, verdict: Verdict) -> Result<(), u32> {
        let question = self.question(ticket).ok_or(RespondError::NotFound.code())?;
        let answer = question.answer(verdict).ok_or(RespondError::Duplicate.code())?;
        answer.result.map_err(RespondError::code)
    }
}

/// `ENOTSUP` as macOS numbers it.
const NOT_SUPPORTED: u32 = 45;
/// `ENOTCONN` as macOS numbers it.
const NOT_CONNECTED: u32 = 57;
/// `EIO`: the framework says no more than that it refused.
const REFUSED: u32 = 5;

/// A refusal as an error number.
fn refused(result: Result<(), StepFailed>) -> Result<(), u32> {
    result.map_err(|_| REFUSED)
}

/// The events that a choice stands for.
const fn kinds(events: AuthEvents) -> &'static [EventKind] {
    match events {
        AuthEvents::All => &[EventKind::AuthOpen, EventKind::AuthExec],
        AuthEvents::Open => &[EventKind::AuthOpen],
        AuthEvents::Exec => &[EventKind::AuthExec],
        AuthEvents::None => &[],
    }
}

/// Answers what is still open when the client's reader goes away, by a panic for instance.
struct Reader<'a, R: Responder + 'static>(&'a EsBackend<R>);

impl<R: Responder + 'static> Drop for Reader<'_, R> {
    fn drop(&mut self) {
        self.0.close();
        if !std::thread::panicking() {
            return;
        }
        for slot in &self.0.slots {
            // Dropping the question answers it; a worker that still has it answers first, or not at all.
            let question = lock(slot).question.take();
            drop(question);
        }
    }
}

impl<R: Responder + 'static> Backend for EsBackend<R> {
    type Token = Ticket;

    fn receive<I: Intake<Ticket>>(&self, intake: &mut I) -> Result<(), BackendError> {
        let reader = Reader(self);
        let mut batch = Vec::with_capacity(self.slots.len());
        let mut answers = Vec::with_capacity(BATCH_MAX);
        while reader.0.wait(&mut batch).is_some() {
            let lost = self.counts().lost.swap(0, Ordering::AcqRel);
            if lost > 0 {
                intake.lost(lost);
            }
            for tickets in batch.chunks(BATCH_MAX) {
                self.hand_over(tickets, intake, &mut answers);
            }
            batch.clear();
        }
        let lost = self.counts().lost.swap(0, Ordering::AcqRel);
        if lost > 0 {
            intake.lost(lost);
        }
        Ok(())
    }

    fn answer(&self, token: Ticket, verdict: Verdict) -> Result<(), u32> {
        self.send(token, verdict)
    }

    fn keep(&self, token: Ticket, _: EventKind) -> Result<(), u32> {
        let question = self.question(token).ok_or(RespondError::NotFound.code())?;
        question.keep();
        self.kept.store(true, Ordering::Release);
        Ok(())
    }

    fn hide(&self, paths: &[Vec<u8>]) -> Result<(), (Vec<u8>, u32)> {
        let first = || paths.first().cloned().unwrap_or_default();
        if self.kept.swap(false, Ordering::AcqRel) {
            let cleared = self.desk.with(Responder::clear_cache);
            cleared.ok_or(NOT_CONNECTED).and_then(refused).map_err(|code| (first(), code))?;
        }
        let mut seen = lock(&self.seen);
        let Some(arena) = &seen.arena else {
            return if paths.is_empty() { Ok(()) } else { Err((first(), NOT_SUPPORTED)) };
        };
        let wanted = arena.selection(paths);
        for step in change_of_selection(&seen.selected, &wanted) {
            let changed = self.desk.with(|responder| responder.mute(&step));
            changed.ok_or(NOT_CONNECTED).and_then(refused).map_err(|code| (first(), code))?;
        }
        seen.selected = wanted;
        Ok(())
    }

    fn subscribe(&self, events: AuthEvents) -> Result<(), u32> {
        let mut seen = lock(&self.seen);
        let (before, after) = (kinds(seen.events), kinds(events));
        let only = |of: &[EventKind], not: &[EventKind]| -> Vec<EventKind> {
            of.iter().filter(|kind| !not.contains(kind)).copied().collect()
        };
        let (new, gone) = (only(after, before), only(before, after));
        let changed = self.desk.with(|responder| {
            if !new.is_empty() {
                responder.subscribe(&new)?;
            }
            if gone.is_empty() { Ok(()) } else { responder.unsubscribe(&gone) }
        });
        changed.ok_or(NOT_CONNECTED).and_then(refused)?;
        seen.events = events;
        Ok(())
    }

    fn notify(&self, events: NotifyEvents) -> Result<(), u32> {
        if events.is_empty() { Ok(()) } else { Err(NOT_SUPPORTED) }
    }

    fn observe<L: Listener<Ticket>>(&self, _: &mut L) -> Result<(), BackendError> {
        Ok(())
    }

    fn unread_notices(&self) -> u64 {
        0
    }

    fn reopen_path(&self, token: Ticket, path: &mut Vec<u8>) {
        if let Some(question) = self.question(token)
            && let Some(target) = question.message().target()
        {
            path.extend_from_slice(target.path);
        }
        path.push(0);
    }

    fn read_content(&self, _: Ticket, _: u64, _: &mut [u8]) -> Result<usize, u32> {
        // A message names its file and hands over no descriptor of it.
        Err(NOT_SUPPORTED)
    }

    fn file(&self, token: Ticket, with_names: &dyn Fn(FileId) -> bool) -> Option<FileFacts> {
        let question = self.question(token)?;
        self.meet(&question);
        let file = question.facts().target?;
        if !with_names(file) {
            return Some(FileFacts { file, path: None, signature: None });
        }
        let message = question.message();
        let path = message.target().map(|target| target.path.to_vec());
        Some(FileFacts { file, path, signature: message.made_signer().map(Signature::from) })
    }

    fn lives(&self, into: &mut Vec<ProcessLife>) {
        // Room first: the handler waits for the lock.
        into.reserve(LIVES_MAX);
        let from = into.len();
        into.extend(lock(&self.lives).drain(..));
        let mut known = lock(&self.known);
        for life in into[from..].iter().filter(|life| life.step == LifeStep::Became) {
            if known.len() < KNOWN_MAX {
                known.insert(life.process);
            }
        }
    }

    fn release(&self, token: Ticket) {
        let question = {
            let Some(mut slot) = self.slot(token.place) else { return };
            if slot.use_number != token.use_number {
                return;
            }
            slot.use_number = slot.use_number.wrapping_add(1);
            slot.question.take()
        };
        // Outside the slot's lock: the last owner releases the message, and answers it if nobody has.
        drop(question);
        lock(&self.counter).free.push(token.place);
    }
}

/// The framework's handler shares a backend with the client's threads.
impl<B: Backend> Backend for Shared<B> {
    type Token = B::Token;

    fn receive<I: Intake<B::Token>>(&self, intake: &mut I) -> Result<(), BackendError> {
        self.0.receive(intake)
    }

    fn answer(&self, token: B::Token, verdict: Verdict) -> Result<(), u32> {
        self.0.answer(token, verdict)
    }

    fn keep(&self, token: B::Token, event: EventKind) -> Result<(), u32> {
        self.0.keep(token, event)
    }

    fn hide(&self, paths: &[Vec<u8>]) -> Result<(), (Vec<u8>, u32)> {
        self.0.hide(paths)
    }

    fn subscribe(&self, events: AuthEvents) -> Result<(), u32> {
        self.0.subscribe(events)
    }

    fn notify(&self, events: NotifyEvents) -> Result<(), u32> {
        self.0.notify(events)
    }

    fn observe<L: Listener<B::Token>>(&self, listener: &mut L) -> Result<(), BackendError> {
        self.0.observe(listener)
    }

    fn unread_notices(&self) -> u64 {
        self.0.unread_notices()
    }

    fn reopen_path(&self, token: B::Token, path: &mut Vec<u8>) {
        self.0.reopen_path(token, path);
    }

    fn read_content(&self, token: B::Token, offset: u64, buffer: &mut [u8]) -> Result<usize, u32> {
        self.0.read_content(token, offset, buffer)
    }

    fn file(&self, token: B::Token, with_names: &dyn Fn(FileId) -> bool) -> Option<FileFacts> {
        self.0.file(token, with_names)
    }

    fn lives(&self, into: &mut Vec<ProcessLife>) {
        self.0.lives(into);
    }

    fn release(&self, token: B::Token) {
        self.0.release(token);
    }

    fn release_all(&self, tokens: &mut [B::Token]) {
        self.0.release_all(tokens);
    }
}

fn event_of(token: Ticket, facts: &Facts) -> Event<Ticket> {
    Event {
        token,
        event: facts.kind,
        subject: facts.subject,
        kernel: Some(facts.window.generated),
        deadline: Some(facts.window.deadline),
        sequence: facts.sequence_of_all.or(facts.sequence).unwrap_or(0),
    }
}
