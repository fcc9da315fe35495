//! The ends of a backend that decide by a closure and keep what they are given.

use lab_client_core::{Disposition, DroppedNotifications, Event, Intake, Listener, Notification};

/// Takes questions in: a closure says what becomes of each, another is told of each answer that went out.
pub struct RecordingIntake<T, D, A = fn(T)> {
    decide: D,
    after_answer: A,
    /// The tokens of the present batch that the backend is to answer.
    to_answer: Vec<T>,
    /// All questions so far, the first first.
    pub events: Vec<Event<T>>,
    /// The largest batch so far, in questions.
    pub batch_max: usize,
    in_batch: usize,
    /// `errno` of each answer that could not be handed over.
    pub errors: Vec<u32>,
    /// Questions that the kernel says it has dropped.
    pub lost: u64,
}

impl<T, D: FnMut(&Event<T>) -> Disposition> RecordingIntake<T, D> {
    /// Decides by this closure.
    pub fn new(decide: D) -> RecordingIntake<T, D> {
        RecordingIntake::telling(decide, |_| {})
    }
}

impl<T, D: FnMut(&Event<T>) -> Disposition, A: FnMut(T)> RecordingIntake<T, D, A> {
    /// Decides by the first closure, and hands the second the token of each question that the backend has answered.
    pub fn telling(decide: D, after_answer: A) -> RecordingIntake<T, D, A> {
        RecordingIntake {
            decide,
            after_answer,
            to_answer: Vec::new(),
            events: Vec::new(),
            batch_max: 0,
            in_batch: 0,
            errors: Vec::new(),
            lost: 0,
        }
    }
}

impl<T: Copy, D: FnMut(&Event<T>) -> Disposition, A: FnMut(T)> Intake<T> for RecordingIntake<T, D, A> {
    fn batch(&mut self) {
        self.to_answer.clear();
        self.in_batch = 0;
    }

    fn event(&mut self, event: &Event<T>) -> Disposition {
        self.events.push(*event);
        self.in_batch += 1;
        self.batch_max = self.batch_max.max(self.in_batch);
        let disposition = (self.decide)(event);
        if let Disposition::Answer(_) = disposition {
            self.to_answer.push(event.token);
        }
        disposition
    }

    fn answering(&mut self) {}

    fn answered(&mut self, nth: usize, error: u32) {
        if error != 0 {
            self.errors.push(error);
        }
        (self.after_answer)(self.to_answer[nth]);
    }

    fn lost(&mut self, events: u64, _: u32) {
        self.lost += events;
    }
}

/// Listens: a closure is handed each notification, and lets its token go if anybody must.
pub struct RecordingListener<T, H> {
    hear: H,
    /// All notifications so far, the first first.
    pub notifications: Vec<Notification<T>>,
    /// Notifications in each batch.
    pub batches: Vec<usize>,
    /// What the kernel says it did not tell.
    pub dropped: Vec<DroppedNotifications>,
}

impl<T, H: FnMut(&Notification<T>)> RecordingListener<T, H> {
    /// Hands each notification to this closure.
    pub fn new(hear: H) -> RecordingListener<T, H> {
        RecordingListener { hear, notifications: Vec::new(), batches: Vec::new(), dropped: Vec::new() }
    }
}

impl<T: Copy, H: FnMut(&Notification<T>)> Listener<T> for RecordingListener<T, H> {
    fn batch(&mut self) {
        self.batches.push(0);
    }

    fn on_notify(&mut self, notification: &Notification<T>) {
        *self.batches.last_mut().unwrap() += 1;
        self.notifications.push(*notification);
        (self.hear)(notification);
    }

    fn batch_over(&mut self) {}

    fn on_dropped(&mut self, dropped: DroppedNotifications) {
        self.dropped.push(dropped);
    }
}
