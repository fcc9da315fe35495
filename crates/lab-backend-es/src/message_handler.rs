//! From the framework's handler to one answer for each message, whoever gives it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use lab_model::{Ticks, Verdict};

use crate::{Cache, Facts, Gap, Message, RespondError, Responder, Sequences, message::respond};

/// Takes down what happens at a [`MessageHandler`]. It runs on the path of the events, so it may store into memory and
/// nothing else: no lock that another thread holds for long, no file, no log.
pub trait Observer: Send + Sync {
    /// An event was answered, once and for all.
    fn answered(&self, facts: &Facts, answer: &Answer);

    /// Events are missing before this one.
    fn lost(&self, gap: &Gap);

    /// The client's own code panicked over an event; the event has been answered.
    fn panicked(&self, facts: &Facts);
}

/// Where messages come in and answers go out: exactly one answer for each message that wants one.
///
/// The handler of the framework hands every message to [`MessageHandler::handle`]. What it gets for a message is a
/// [`Question`], which any thread may answer, once. A question that is dropped unanswered, because a worker
/// panicked for instance, answers itself: allow, marked as abandoned.
pub struct MessageHandler<R: Responder, O: Observer> {
    // Written twice in its life: when the connection stands, and when it is deleted. An answer holds it for
    // reading, so that the connection cannot be deleted under it.
    responder: RwLock<Option<R>>,
    // Only the handler locks it, and the framework runs that serially: the lock is never waited for.
    sequences: Mutex<Sequences>,
    outstanding: AtomicU64,
    observer: O,
}

/// What the handler makes of one message.
pub enum Delivery<R: Responder, O: Observer> {
    /// The kernel waits.
    Question(Question<R, O>),
    /// The kernel only tells.
    Notice(Notice<R>),
}

/// An event nobody waits for.
pub struct Notice<R: Responder> {
    /// What happened.
    pub facts: Facts,
    /// The retained message, for paths and names.
    pub message: R::Message,
}

/// An event that wants one answer. Clones are the same question: the first answer wins, the others do nothing.
pub struct Question<R: Responder, O: Observer> {
    slot: Arc<Slot<R, O>>,
}

/// A question seen from a timer: it does not keep the message alive once everybody else is done with it.
pub struct Watch<R: Responder, O: Observer> {
    slot: Weak<Slot<R, O>>,
}

struct Slot<R: Responder, O: Observer> {
    handler: Arc<MessageHandler<R, O>>,
    message: R::Message,
    facts: Facts,
    entry: Ticks,
    /// The kernel may keep the answer.
    kept: AtomicBool,
    answered: AtomicBool,
}

/// Why an answer is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grounds {
    /// Somebody decided.
    Decided,
    /// The budget ran out first.
    Expired,
    /// Everybody who could have decided dropped the question.
    Abandoned,
}

/// One answer as it left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What was answered.
    pub verdict: Verdict,
    /// Why.
    pub grounds: Grounds,
    /// When the handler got the event.
    pub entry: Ticks,
    /// When the answer left.
    pub at: Ticks,
    /// What the kernel said to it.
    pub result: Result<(), RespondError>,
}

impl Answer {
    /// True when the deadline had passed before the answer left.
    #[must_use]
    pub const fn is_late(&self, facts: &Facts) -> bool {
        facts.window.is_missed(self.at)
    }
}

impl<R: Responder, O: Observer> MessageHandler<R, O> {
    /// A handler without a connection: nothing can be answered until [`MessageHandler::open`].
    pub fn new(observer: O) -> Arc<MessageHandler<R, O>> {
        Arc::new(MessageHandler {
            responder: RwLock::new(None),
            sequences: Mutex::new(Sequences::new()),
            outstanding: AtomicU64::new(0),
            observer,
        })
    }

    /// Gives the handler its connection. Has to come before the connection subscribes to anything.
    pub fn open(&self, responder: R) {
        *self.responder.write().unwrap_or_else(PoisonError::into_inner) = Some(responder);
    }

    /// Takes the connection back, after every answer that is on its way has left.
    ///
    /// Returns it with the number of questions still open; those can no longer be answered, and the kernel
    /// allows them when the connection is deleted.
    pub fn close(&self) -> (Option<R>, u64) {
        let responder = self.responder.write().unwrap_or_else(PoisonError::into_inner).take();
        (responder, self.outstanding())
    }

    /// Makes calls on the connection, which cannot be deleted in the meantime; `None` when there is none.
    pub fn with<T>(&self, calls: impl FnOnce(&R) -> T) -> Option<T> {
        self.responder.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(calls)
    }

    /// Questions that have no answer yet.
    #[must_use]
    pub fn outstanding(&self) -> u64 {
        self.outstanding.load(Ordering::Acquire)
    }

    /// The observer.
    #[must_use]
    pub fn observer(&self) -> &O {
        &self.observer
    }

    /// Takes in one message on the framework's thread and lets `client` have it.
    ///
    /// When `client` panics, the panic ends here and the question answers itself: an unwinding that reached
    /// the framework would end the process, or worse, delete the connection under everybody else.
    pub fn handle(self: &Arc<Self>, message: R::Message, cache: Cache, client: impl FnOnce(Delivery<R, O>)) {
        let facts = message.facts();
        let entry = self.now();
        let gap = self.sequences.lock().unwrap_or_else(PoisonError::into_inner).observe(
            facts.kind,
            facts.sequence,
            facts.sequence_of_all,
        );
        if let Some(gap) = gap {
            self.observer.lost(&gap);
        }
        let delivery = if facts.is_question {
            self.outstanding.fetch_add(1, Ordering::AcqRel);
            let handler = Arc::clone(self);
            let (kept, answered) = (AtomicBool::new(cache == Cache::On), AtomicBool::new(false));
            let slot = Slot { handler, message, facts, entry, kept, answered };
            Delivery::Question(Question { slot: Arc::new(slot) })
        } else {
            Delivery::Notice(Notice { facts, message })
        };
        // The handler is left consistent by a panic: the question is dropped, and answers itself, on the way up.
        if catch_unwind(AssertUnwindSafe(|| client(delivery))).is_err() {
            self.observer.panicked(&facts);
        }
    }

    fn now(&self) -> Ticks {
        let responder = self.responder.read().unwrap_or_else(PoisonError::into_inner);
        responder.as_ref().map_or(Ticks(0), Responder::now)
    }
}

impl<R: Responder, O: Observer> Slot<R, O> {
    /// Answers unless somebody has; the winner gets what was sent.
    fn answer(&self, verdict: Verdict, grounds: Grounds) -> Option<Answer> {
        if self.answered.swap(true, Ordering::AcqRel) {
            return None;
        }
        let (at, result) = {
            let responder = self.handler.responder.read().unwrap_or_else(PoisonError::into_inner);
            match responder.as_ref() {
                Some(responder) => {
                    let at = responder.now();
                    let cache = if self.kept.load(Ordering::Acquire) { Cache::On } else { Cache::Off };
                    (at, respond(responder, &self.message, self.facts.kind, verdict, cache))
                }
                None => (self.entry, Err(RespondError::Closed)),
            }
        };
        let answer = Answer { verdict, grounds, entry: self.entry, at, result };
        self.handler.outstanding.fetch_sub(1, Ordering::AcqRel);
        self.handler.observer.answered(&self.facts, &answer);
        Some(answer)
    }
}

impl<R: Responder, O: Observer> Drop for Slot<R, O> {
    fn drop(&mut self) {
        // `None` is the usual case: the question has its answer.
        let _abandoned = self.answer(Verdict::Allow, Grounds::Abandoned);
    }
}

impl<R: Responder, O: Observer> Question<R, O> {
    /// What happened.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.slot.facts
    }

    /// The retained message, for paths and names.
    #[must_use]
    pub fn message(&self) -> &R::Message {
        &self.slot.message
    }

    /// When the handler got the event.
    #[must_use]
    pub fn entry(&self) -> Ticks {
        self.slot.entry
    }

    /// Answers, from any thread; `None` when somebody else was first, and then nothing is sent.
    pub fn answer(&self, verdict: Verdict) -> Option<Answer> {
        self.slot.answer(verdict, Grounds::Decided)
    }

    /// Lets the kernel keep the answer that is still to be given.
    pub fn keep(&self) {
        self.slot.kept.store(true, Ordering::Release);
    }

    /// A handle for the timer that answers when the budget runs out.
    #[must_use]
    pub fn watch(&self) -> Watch<R, O> {
        Watch { slot: Arc::downgrade(&self.slot) }
    }
}

impl<R: Responder, O: Observer> Clone for Question<R, O> {
    fn clone(&self) -> Question<R, O> {
        Question { slot: Arc::clone(&self.slot) }
    }
}

impl<R: Responder, O: Observer> Watch<R, O> {
    /// Answers because the budget has run out; `None` when the question has its answer.
    pub fn expire(&self, verdict: Verdict) -> Option<Answer> {
        self.slot.upgrade()?.answer(verdict, Grounds::Expired)
    }
}
