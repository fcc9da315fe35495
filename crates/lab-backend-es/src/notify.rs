//! What a client is told of after it has happened.
//!
//! It comes over a connection of its own, so that the path to an answer is as it is without: another queue in the
//! kernel, which cannot push out a question; another handler, behind which no question waits; and sequence numbers of
//! its own, so that a gap in them is a loss of notices and of nothing else. A program may have several connections.
//! Each is a client to the machine and takes one of its slots.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use lab_client_core::{DroppedNotifications, FileFacts, Listener, Notification};
use lab_model::{EventKind, FileId, NotifyEvents, Signature};

use crate::{
    Answer, Cache, Delivery, Facts, Gap, Message, MessageHandler, Notice, Observer, Responder,
    places::{Places, Seat, lock},
    subscription::resubscribe,
    ticket::{BATCH_MAX, Stub, Ticket},
};

/// Counts the notices that were lost since it was last asked.
#[derive(Debug, Default)]
pub struct Missing(AtomicU64);

impl Missing {
    fn add(&self, events: u64) {
        self.0.fetch_add(events, Ordering::AcqRel);
    }
}

impl Observer for Missing {
    fn answered(&self, _: &Facts, _: &Answer) {
        // Nothing on this connection wants an answer.
    }

    fn lost(&self, gap: &Gap) {
        // Either number may be the only one; they count the same events.
        self.add(gap.of_all_kinds.max(gap.of_this_kind));
    }

    fn panicked(&self, _: &Facts) {
        self.add(1);
    }
}

/// The second connection, and the notices that came over it.
pub(crate) struct Notices<R: Responder + 'static> {
    pub(crate) handler: Arc<MessageHandler<R, Missing>>,
    places: Places<Notice<R>>,
    wanted: Mutex<NotifyEvents>,
}

impl<R: Responder + 'static> Notices<R> {
    /// Room for so many notices at a time; what comes beyond is counted as lost.
    pub(crate) fn new(max: u32) -> Notices<R> {
        Notices {
            handler: MessageHandler::new(Missing::default()),
            places: Places::new(max),
            wanted: Mutex::new(NotifyEvents::NONE),
        }
    }

    /// Takes in one message, on the framework's thread.
    pub(crate) fn handle(&self, message: R::Message) {
        self.handler.handle(message, Cache::Off, |delivery| match delivery {
            Delivery::Notice(notice) => {
                if self.places.file(notice).is_err() {
                    self.handler.observer().add(1);
                }
            }
            // Nothing of the kind is subscribed to here. Dropped, it answers itself: allow.
            Delivery::Question(question) => drop(question),
        });
    }

    /// Is told of these events from now on, and of no others.
    pub(crate) fn subscribe(&self, events: NotifyEvents) -> Result<(), u32> {
        let mut wanted = lock(&self.wanted);
        let kinds = |events: NotifyEvents| events.iter().map(EventKind::Notify).collect::<Vec<EventKind>>();
        resubscribe(&self.handler, &kinds(*wanted), &kinds(events))?;
        *wanted = events;
        Ok(())
    }

    /// Hands over what comes until the end.
    pub(crate) fn observe<L: Listener<Ticket>>(&self, listener: &mut L) {
        let mut batch = Vec::with_capacity(self.places.max());
        while self.places.wait(&mut batch).is_some() {
            for seats in batch.chunks(BATCH_MAX) {
                listener.batch();
                self.tell_of_losses(listener);
                for &seat in seats {
                    match self.places.look(seat, |notice| notification(seat, &notice.facts)) {
                        Some(Some(notification)) => listener.on_notify(&notification),
                        Some(None) => {
                            self.places.release(seat);
                            listener.on_dropped(DroppedNotifications::Events(1));
                        }
                        None => {}
                    }
                }
                listener.batch_over();
            }
            batch.clear();
        }
        self.tell_of_losses(listener);
    }

    fn tell_of_losses<L: Listener<Ticket>>(&self, listener: &mut L) {
        let missing = self.handler.observer().0.swap(0, Ordering::AcqRel);
        if missing > 0 {
            listener.on_dropped(DroppedNotifications::Events(missing));
        }
    }

    /// Notices that were not taken in yet, and those that are known to be lost and that nobody was told of. What still
    /// lies in the framework's own queue it does not say.
    pub(crate) fn unread(&self) -> u64 {
        self.places.waiting() as u64 + self.handler.observer().0.load(Ordering::Acquire)
    }

    pub(crate) fn path(&self, seat: Seat, path: &mut Vec<u8>) {
        self.places.look(seat, |notice| {
            if let Some(target) = notice.message.target() {
                path.extend_from_slice(target.path);
            }
        });
    }

    pub(crate) fn file(&self, seat: Seat, with_names: &dyn Fn(FileId) -> bool) -> Option<FileFacts> {
        self.places.look(seat, |notice| facts_of(&notice.message, &notice.facts, with_names)).flatten()
    }

    pub(crate) fn release(&self, seat: Seat) {
        self.places.release(seat);
    }

    pub(crate) fn close(&self) {
        self.places.close();
    }
}

/// Which file an event was about; its path and signature only when `with_names` says so.
pub(crate) fn facts_of<M: Message>(
    message: &M,
    facts: &Facts,
    with_names: &dyn Fn(FileId) -> bool,
) -> Option<FileFacts> {
    let file = facts.target?;
    if !with_names(file) {
        return Some(FileFacts { file, path: None, signature: None });
    }
    let path = message.target().map(|target| target.path.to_vec());
    Some(FileFacts { file, path, signature: message.made_signer().map(Signature::from) })
}

/// `None` for an event that no lab asks for.
fn notification(seat: Seat, facts: &Facts) -> Option<Notification<Ticket>> {
    Some(Notification {
        token: Ticket(Stub::Notice(seat)),
        events: NotifyEvents::of(facts.kind.notify()?),
        subject: facts.subject,
        kernel: Some(facts.window.generated),
        sequence: facts.sequence_of_all.or(facts.sequence).unwrap_or(0),
        modified: facts.modified,
    })
}
