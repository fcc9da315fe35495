//! Endpoint Security as the client core's kernel: events in batches, answers, mutes and cached results.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use lab_client_core::{Backend, BackendError, Disposition, Event, FileFacts, Intake, Listener};
use lab_model::{AuthEvents, EventKind, FileId, LifeStep, NotifyEvents, ProcessId, ProcessLife, Verdict};

use crate::{
    Answer, Arena, Cache, Delivery, Facts, Gap, Grounds, Message, MessageHandler, MuteStep, Observer,
    Question, RespondError, Responder, change_of_selection,
    message::{life_seen, life_told},
    notify::{Missing, Notices, facts_of},
    places::{Places, Seat, lock},
    subscription::{NOT_CONNECTED, refused, resubscribe},
    ticket::{BATCH_MAX, Stub, Ticket},
};

/// The most steps in the lives of processes kept for [`Backend::lives`]; what comes beyond is counted as lost.
const LIVES_MAX: usize = 8_192;
/// The most processes that are remembered as known by their signature; those that come after are told of again
/// with each of their events.
const KNOWN_MAX: usize = 65_536;

/// A client's kernel, made of a [`MessageHandler`] and the queue between the framework's thread and the client's own.
///
/// The framework calls its handler serially and must get it back at once, so the handler only files the
/// question and wakes the thread in [`Backend::receive`]. Nothing is allocated for an event but the question.
///
/// What the client is told of comes over a [second connection](EsBackend::told), with nothing in common with the first.
pub struct EsBackend<R: Responder + 'static> {
    handler: Arc<MessageHandler<R, Counts>>,
    questions: Places<Question<R, Counts>>,
    notices: Notices<R>,
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

/// What a backend counted beside the client's own trace.
#[derive(Debug, Default)]
pub struct Counts {
    lost: AtomicU64,
    abandoned: AtomicU64,
    late: AtomicU64,
    refused: AtomicU64,
    panics: AtomicU64,
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

impl<R: Responder + 'static> EsBackend<R> {
    /// A backend for at most `pending_max` questions at a time; what comes beyond is allowed at once and
    /// counted as lost. It has no connection until its [handler](EsBackend::handler) is opened.
    #[must_use]
    pub fn new(pending_max: u32) -> Arc<EsBackend<R>> {
        EsBackend::observing(pending_max, 0)
    }

    /// The same, for a client that is also told of what has happened: of at most `notices_max` events at a time; what
    /// comes beyond is counted as lost. For that it needs a second connection, for [`EsBackend::told`].
    #[must_use]
    pub fn observing(pending_max: u32, notices_max: u32) -> Arc<EsBackend<R>> {
        Arc::new(EsBackend {
            handler: MessageHandler::new(Counts::default()),
            questions: Places::new(pending_max),
            notices: Notices::new(notices_max),
            lives: Mutex::new(VecDeque::with_capacity(LIVES_MAX)),
            known: Mutex::new(BTreeSet::new()),
            seen: Mutex::new(Seen { arena: None, selected: BTreeSet::new(), events: AuthEvents::ALL }),
            kept: AtomicBool::new(false),
        })
    }

    /// Tells what the arena holds to which the client is confined: only then can paths of it be hidden.
    pub fn confined_to(&self, arena: Arena) {
        let mut seen = lock(&self.seen);
        seen.selected = arena.selection(&[]);
        seen.arena = Some(arena);
    }

    /// The handler that answers.
    #[must_use]
    pub fn handler(&self) -> &Arc<MessageHandler<R, Counts>> {
        &self.handler
    }

    /// The handler of the second connection, over which only notices come.
    #[must_use]
    pub fn notify_handler(&self) -> &Arc<MessageHandler<R, Missing>> {
        &self.notices.handler
    }

    /// What was counted so far.
    #[must_use]
    pub fn counts(&self) -> &Counts {
        self.handler.observer()
    }

    /// Takes in one message, on the framework's thread.
    pub fn handle(&self, message: R::Message, cache: Cache) {
        self.handler.handle(message, cache, |delivery| self.file_away(delivery));
    }

    /// Takes in one message of the second connection, on the framework's thread.
    pub fn handle_told(&self, message: R::Message) {
        self.notices.handle(message);
    }

    /// Takes one delivery of the handler, on the framework's thread.
    pub fn file_away(&self, delivery: Delivery<R, Counts>) {
        match delivery {
            Delivery::Notice(notice) => {
                if let Some(life) = life_told(&notice.message, &notice.facts) {
                    self.note(life);
                }
            }
            Delivery::Question(question) => {
                let refused = self.questions.file(question).err();
                if refused.is_some_and(|question| question.answer(Verdict::Allow).is_some()) {
                    self.counts().lost.fetch_add(1, Ordering::AcqRel);
                }
            }
        }
    }

    /// Hands one batch over, as [`Backend::receive`] does until the end: for tests that go step by step.
    pub fn receive_one<I: Intake<Ticket>>(&self, intake: &mut I) {
        let (mut batch, mut answers) = (Vec::new(), Vec::new());
        if self.questions.wait(&mut batch).is_some() {
            self.hand_over(&batch, intake, &mut answers);
        }
    }

    /// Lets [`Backend::receive`] and [`Backend::observe`] return once they have handed over what has arrived.
    pub fn close(&self) {
        self.questions.close();
        self.notices.close();
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

    /// The question behind a ticket; `None` when it has been released.
    fn question(&self, ticket: Ticket) -> Option<Question<R, Counts>> {
        match ticket.0 {
            Stub::Question(seat) => self.questions.look(seat, Question::clone),
            Stub::Notice(_) => None,
        }
    }

    /// Hands one batch over and sends the answers that are given at once.
    fn hand_over<I: Intake<Ticket>>(
        &self,
        seats: &[Seat],
        intake: &mut I,
        answers: &mut Vec<(Ticket, Verdict)>,
    ) {
        intake.batch();
        for &seat in seats {
            let ticket = Ticket(Stub::Question(seat));
            let Some(question) = self.question(ticket) else { continue };
            match intake.event(&event_of(ticket, question.facts())) {
                Disposition::Answer(verdict) => answers.push((ticket, verdict)),
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
/// The kinds of these events.
fn kinds(events: AuthEvents) -> Vec<EventKind> {
    events.iter().map(EventKind::Auth).collect()
}

/// Answers what is still open when the client's reader goes away, by a panic for instance.
struct Reader<'a, R: Responder + 'static>(&'a EsBackend<R>);

impl<R: Responder + 'static> Drop for Reader<'_, R> {
    fn drop(&mut self) {
        self.0.close();
        if !std::thread::panicking() {
            return;
        }
        // Dropping a question answers it; a worker that still has it answers first, or not at all.
        self.0.questions.abandon();
    }
}

impl<R: Responder + 'static> Backend for EsBackend<R> {
    type Token = Ticket;

    fn receive<I: Intake<Ticket>>(&self, intake: &mut I) -> Result<(), BackendError> {
        let reader = Reader(self);
        let mut batch = Vec::with_capacity(self.questions.max());
        let mut answers = Vec::with_capacity(BATCH_MAX);
        while reader.0.questions.wait(&mut batch).is_some() {
            let lost = self.counts().lost.swap(0, Ordering::AcqRel);
            if lost > 0 {
                intake.lost(lost, 0);
            }
            for seats in batch.chunks(BATCH_MAX) {
                self.hand_over(seats, intake, &mut answers);
            }
            batch.clear();
        }
        let lost = self.counts().lost.swap(0, Ordering::AcqRel);
        if lost > 0 {
            intake.lost(lost, 0);
        }
        Ok(())
    }

    fn answer(&self, token: Ticket, verdict: Verdict) -> Result<(), u32> {
        self.send(token, verdict)
    }

    fn cache_answer(&self, token: Ticket, _: EventKind) -> Result<(), u32> {
        let question = self.question(token).ok_or(RespondError::NotFound.code())?;
        question.keep();
        self.kept.store(true, Ordering::Release);
        Ok(())
    }

    fn mute(&self, paths: &[Vec<u8>]) -> Result<(), (Vec<u8>, u32)> {
        let first = || paths.first().cloned().unwrap_or_default();
        if self.kept.swap(false, Ordering::AcqRel) {
            let cleared = self.handler.with(Responder::clear_cache);
            cleared.ok_or(NOT_CONNECTED).and_then(refused).map_err(|code| (first(), code))?;
        }
        let mut seen = lock(&self.seen);
        let Some(arena) = &seen.arena else {
            return if paths.is_empty() { Ok(()) } else { Err((first(), NOT_SUPPORTED)) };
        };
        let wanted = arena.selection(paths);
        for step in change_of_selection(&seen.selected, &wanted) {
            let changed = self.handler.with(|responder| responder.mute(&step));
            changed.ok_or(NOT_CONNECTED).and_then(refused).map_err(|code| (first(), code))?;
            // Most clients have no second connection.
            let told = self.notices.handler.with(|responder| responder.mute(&step));
            told.map_or(Ok(()), refused).map_err(|code| (first(), code))?;
        }
        seen.selected = wanted;
        Ok(())
    }

    fn subscribe(&self, events: AuthEvents) -> Result<(), u32> {
        let mut seen = lock(&self.seen);
        resubscribe(&self.handler, &kinds(seen.events), &kinds(events))?;
        seen.events = events;
        Ok(())
    }

    fn notify(&self, events: NotifyEvents) -> Result<(), u32> {
        self.notices.subscribe(events)
    }

    fn observe<L: Listener<Ticket>>(&self, listener: &mut L) -> Result<(), BackendError> {
        self.notices.observe(listener);
        Ok(())
    }

    fn unread_notices(&self) -> u64 {
        self.notices.unread()
    }

    fn reopen_path(&self, token: Ticket, path: &mut Vec<u8>) {
        match token.0 {
            Stub::Notice(seat) => self.notices.path(seat, path),
            Stub::Question(seat) => {
                self.questions.look(seat, |question| {
                    path.extend(question.message().target().into_iter().flat_map(|target| target.path));
                });
            }
        }
        path.push(0);
    }

    fn read_content(&self, _: Ticket, _: u64, _: &mut [u8]) -> Result<usize, u32> {
        // A message names its file and hands over no descriptor of it.
        Err(NOT_SUPPORTED)
    }

    fn file(&self, token: Ticket, with_names: &dyn Fn(FileId) -> bool) -> Option<FileFacts> {
        let seat = match token.0 {
            Stub::Notice(seat) => return self.notices.file(seat, with_names),
            Stub::Question(seat) => seat,
        };
        let question = self.questions.look(seat, Question::clone)?;
        self.meet(&question);
        facts_of(question.message(), question.facts(), with_names)
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
        match token.0 {
            Stub::Question(seat) => self.questions.release(seat),
            Stub::Notice(seat) => self.notices.release(seat),
        }
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

    fn cache_answer(&self, token: B::Token, event: EventKind) -> Result<(), u32> {
        self.0.cache_answer(token, event)
    }

    fn mute(&self, paths: &[Vec<u8>]) -> Result<(), (Vec<u8>, u32)> {
        self.0.mute(paths)
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
