//! What a client needs of a kernel, AUTH and NOTIFY, as traits that each backend implements.

use lab_model::{
    AuthEvents, EventKind, FileId, NotifyEvents, ProcessLife, Signature, ThreadId, Ticks, Verdict,
};

/// An event as a kernel hands it over: owned, and with a token that stands for the pending answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<T> {
    /// Stands for the pending answer and for what the kernel keeps until it is released.
    pub token: T,
    /// What is asked.
    pub event: EventKind,
    /// Who acts. Parts that the kernel does not give are 0.
    pub subject: ThreadId,
    /// When the kernel stamped it, if it does.
    pub kernel: Option<Ticks>,
    /// By when the kernel wants the answer, if it says.
    pub deadline: Option<Ticks>,
    /// The kernel's own sequence number, or 0.
    pub sequence: u64,
}

/// What is known of a file once there is time to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// Which file.
    pub file: FileId,
    /// Its path, if names were asked for and it could be told.
    pub path: Option<Vec<u8>>,
    /// What the signature of the program says that an exec runs, if names were asked for; `None` for other events and
    /// where the kernel does not say.
    pub signature: Option<Signature>,
}

/// What becomes of an event that was just handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The backend answers it, together with the others of the same batch.
    Answer(Verdict),
    /// Somebody will call [`Backend::answer`].
    Keep,
}

/// What takes events in. Runs on the path to the answer: it must not block, open, allocate or log.
pub trait Intake<T> {
    /// A batch of events has been read.
    fn batch(&mut self);

    /// Takes one event of the batch.
    fn event(&mut self, event: &Event<T>) -> Disposition;

    /// All events of the batch were taken; the answers are about to leave.
    fn answering(&mut self);

    /// The answer to the `nth` event of the batch that was to be answered has been handed over; `error` is
    /// the `errno` of doing so, or 0.
    fn answered(&mut self, nth: usize, error: u32);

    /// The kernel dropped events, or could not hand one over and so denied it, with the `errno` of that; 0 where it says
    /// none. How many, if it says.
    fn lost(&mut self, events: u64, error: u32);
}

/// What a kernel tells of after it has happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notification<T> {
    /// Stands for what the kernel keeps until it is released.
    pub token: T,
    /// What happened: several where the kernel merges events that were not read yet.
    pub events: NotifyEvents,
    /// Who acted. Parts that the kernel does not give are 0.
    pub subject: ThreadId,
    /// When the kernel stamped it, if it does.
    pub kernel: Option<Ticks>,
    /// The kernel's own sequence number, or 0.
    pub sequence: u64,
    /// Whether the file was changed before it was closed; `None` for other events and where the kernel does not say.
    pub modified: Option<bool>,
}

/// What a kernel should have told of, and did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DroppedNotifications {
    /// So many events.
    Events(u64),
    /// Its queue was full; it does not say how many events it dropped.
    Overflow,
}

/// What takes in what is told. Nobody waits for it.
pub trait Listener<T> {
    /// A batch of events has been read.
    fn batch(&mut self);

    /// Takes one event of the batch; whoever takes it releases its token.
    fn on_notify(&mut self, notification: &Notification<T>);

    /// All events of the batch were taken.
    fn batch_over(&mut self);

    /// The kernel could not tell.
    fn on_dropped(&mut self, dropped: DroppedNotifications);
}

/// What a kernel has to offer a client.
pub trait Backend: Send + Sync + 'static {
    /// Stands for one pending answer.
    type Token: Copy + Send + Sync + std::fmt::Debug + 'static;

    /// Takes events in until the kernel refuses to give any more. Called once, from one thread.
    ///
    /// # Errors
    /// [`BackendError`] when reading fails.
    fn receive<I: Intake<Self::Token>>(&self, intake: &mut I) -> Result<(), BackendError>;

    /// Answers one event, from any thread. Must be called exactly once for an event that was kept.
    ///
    /// # Errors
    /// The `errno` of handing over the answer.
    fn answer(&self, token: Self::Token, verdict: Verdict) -> Result<(), u32>;

    /// Asks the kernel not to ask this client again for this kind of event on this event's file, until the
    /// file is written to. Called before the answer, by whoever answers: so it may be called on the path to
    /// an answer, and must neither block nor allocate.
    ///
    /// # Errors
    /// The `errno` of asking; the client is then asked again.
    fn cache_answer(&self, token: Self::Token, event: EventKind) -> Result<(), u32>;

    /// Forgets every answer that was kept, and has the kernel hide what happens to exactly these files and
    /// folders (with all below them, as they are now) from now on. Never called on the path to an answer.
    ///
    /// # Errors
    /// The path and the `errno` with which the kernel refused it.
    fn mute(&self, paths: &[Vec<u8>]) -> Result<(), (Vec<u8>, u32)>;

    /// Is asked about these events only, from now on.
    ///
    /// # Errors
    /// The `errno` with which the kernel refused.
    fn subscribe(&self, events: AuthEvents) -> Result<(), u32>;

    /// Is told of these events after they have happened, from now on, and of no others.
    ///
    /// # Errors
    /// The `errno` with which the kernel refused; `ENOTSUP` for an event that it tells nobody of.
    fn notify(&self, events: NotifyEvents) -> Result<(), u32>;

    /// Takes in what is told until the kernel tells no more; returns at once where nothing ever is. Called once, from
    /// a thread of its own.
    ///
    /// # Errors
    /// [`BackendError`] when reading fails.
    fn observe<L: Listener<Self::Token>>(&self, listener: &mut L) -> Result<(), BackendError>;

    /// Events of which the kernel would tell and that were not taken in yet, those among them that
    /// [`Listener::untold`] is still to hear of.
    fn unread_notices(&self) -> u64;

    /// Writes a path by which the client's own process can open the event's file again, in the way that
    /// every client is asked about, followed by a zero byte.
    fn reopen_path(&self, token: Self::Token, path: &mut Vec<u8>);

    /// Reads a piece of the event's file from `offset` through what the kernel handed over with the event;
    /// 0 bytes are its end. No client is asked about it. May block: never called on the path to an answer.
    ///
    /// # Errors
    /// The `errno` of reading; `ENOTSUP` where the kernel hands nothing over that could be read.
    fn read_content(&self, token: Self::Token, offset: u64, buffer: &mut [u8]) -> Result<usize, u32>;

    /// Finds out which file an event was about; its path and signature only when `with_names` says so of the file. May
    /// block briefly: never called on the path to an answer.
    fn file(&self, token: Self::Token, with_names: &dyn Fn(FileId) -> bool) -> Option<FileFacts>;

    /// Takes what was told of the lives of processes since the last call, in order; nothing where the kernel tells
    /// of none. Never called on the path to an answer.
    fn lives(&self, _into: &mut Vec<ProcessLife>) {}

    /// Lets go of what the kernel keeps for an answered event.
    fn release(&self, token: Self::Token);

    /// Lets go of many at once, in any order.
    fn release_all(&self, tokens: &mut [Self::Token]) {
        for &mut token in tokens {
            self.release(token);
        }
    }
}

/// Why a kernel gives no more events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackendError {
    /// What was tried.
    pub operation: &'static str,
    /// The `errno`, or the kernel's own number.
    pub code: i32,
}

impl std::fmt::Display for BackendError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} failed with error {}", self.operation, self.code)
    }
}

impl std::error::Error for BackendError {}
