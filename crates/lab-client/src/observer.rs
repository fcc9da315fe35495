//! The observer: takes in what the client is told of after it has happened. Nobody waits for this thread, so it finds
//! out each event's file at once and lets go of it; a reaction is work for the workers like any other.

use std::sync::Arc;

use lab_client_core::{Backend, DroppedNotifications, FileFacts, Listener, Notification, Question};
use lab_model::{EventKind, Ticks};
use lab_process::clock;
use lab_trace::{Loss, LossKind, Notice};

use crate::{
    job::Job,
    settings::Followed,
    shared::{AdmissionRules, Client, Decisions, Events},
};

/// Sets the observer's draws apart from the reader's.
const DRAW: u64 = 0x6e6f_7469_6365;

/// The observer's own state.
pub(crate) struct Watcher<B: Backend> {
    events: Arc<Events<B>>,
    decisions: Arc<Decisions<B::Token>>,
    admission: Arc<AdmissionRules>,
    followed: Followed,
    /// Its place at the gate.
    place: usize,
    read: Ticks,
    told: u64,
    /// Reactions of this batch for which the queue had no place.
    dropped: u64,
    /// Events of this batch that nothing follows from.
    done: Vec<B::Token>,
}

impl<B: Backend> Watcher<B> {
    pub(crate) fn new(client: &Client<B>, place: usize) -> Watcher<B> {
        let Client { events, decisions, admission, .. } = client;
        let followed = Followed::new(&admission.settings);
        let (events, decisions) = (Arc::clone(events), Arc::clone(decisions));
        Watcher {
            events,
            decisions,
            admission: Arc::clone(admission),
            followed,
            place,
            read: Ticks(0),
            told: 0,
            dropped: 0,
            done: Vec::new(),
        }
    }

    fn loss(&self, kind: LossKind, count: u64) {
        self.events.trace.loss(&Loss { at: clock::now(), kind, count });
    }
}

impl<B: Backend> Listener<B::Token> for Watcher<B> {
    fn batch(&mut self) {
        self.read = clock::now();
        self.events.gate.enter(self.place);
    }

    fn on_notify(&mut self, notification: &Notification<B::Token>) {
        self.told += 1;
        let (events, admission) = (&self.events, &self.admission);
        let settings = self.followed.settings(&admission.settings);
        let (class, actor) = settings.classify(notification.subject, &events.trace, admission.workers);
        let event = notification.events.iter().next().map_or(EventKind::Other(0), EventKind::Notify);
        let question = Question { read: self.read, event, class, actor, deadline: None };
        let task = settings.policy.on_notify(&question, (admission.seed ^ DRAW).wrapping_add(self.told));
        let facts = events.backend.file(notification.token, &|file| events.paths.wants(file));
        let target = |facts: FileFacts| events.paths.target(&events.trace, facts.file, facts.path.as_deref());
        let record = events.trace.notice(&Notice {
            read: self.read,
            subject: notification.subject,
            kernel: notification.kernel,
            sequence: notification.sequence,
            events: notification.events,
            class,
            actor,
            modified: notification.modified,
            reacts: task.is_some(),
            target: facts.and_then(target),
        });
        let token = notification.token;
        let Some(task) = task else { return self.done.push(token) };
        let job = Job { token, record, task, event, judge: None, keep: false, resolved: true, owed: None };
        if self.decisions.queue.push(job).is_err() {
            self.dropped += 1;
            self.done.push(token);
        }
    }

    fn batch_over(&mut self) {
        if self.dropped > 0 {
            self.loss(LossKind::Reactions, self.dropped);
            self.dropped = 0;
        }
        self.events.gate.leave(self.place);
        self.events.backend.release_all(&mut self.done);
        self.done.clear();
    }

    fn on_dropped(&mut self, dropped: DroppedNotifications) {
        match dropped {
            DroppedNotifications::Events(count) => self.loss(LossKind::Notices, count),
            DroppedNotifications::Overflow => self.loss(LossKind::NoticesOverflowed, 1),
        }
    }
}
