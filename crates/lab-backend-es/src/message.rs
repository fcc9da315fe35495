//! The facts of an `es_message_t` that are read before the answer leaves: fixed sizes, no allocation.

use lab_model::{
    EventKind, FileId, LifeStep, NotifyEvent, ProcessId, ProcessLife, Signature, SignedBy, ThreadId, Ticks,
    Verdict,
};

use crate::{MuteStep, RespondError, StepFailed, Window};

/// What an event is, in fixed-size values that are read before the answer.
///
/// Paths and names are left in the retained message and looked at after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Which event.
    pub kind: EventKind,
    /// True when the kernel waits for an answer.
    pub is_question: bool,
    /// From the event to its deadline; without meaning when nobody waits.
    pub window: Window,
    /// The thread that acted; `tid` is 0 when the kernel did not say.
    pub subject: ThreadId,
    /// True when the subject's program has the Endpoint Security entitlement, connected or not.
    pub subject_is_es_client: bool,
    /// The file acted on; `None` for events without one.
    pub target: Option<FileId>,
    /// The new process of a fork or an exec; `None` for other events.
    pub made: Option<ProcessId>,
    /// Whether the file had been changed when it was closed; `None` for other events.
    pub modified: Option<bool>,
    /// Counts the events of this kind for this client.
    #[doc(alias = "seq_num")]
    pub sequence: Option<u64>,
    /// Counts all events for this client.
    #[doc(alias = "global_seq_num")]
    pub sequence_of_all: Option<u64>,
}

/// Who signed the program that acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signer<'a> {
    /// The signing identifier; empty when there is none.
    pub signing_id: &'a [u8],
    /// The team; empty for ad hoc and platform code.
    pub team_id: &'a [u8],
    /// The code directory's hash.
    pub cdhash: [u8; 20],
    /// The program has the Endpoint Security entitlement.
    pub is_es_client: bool,
}

impl From<Signer<'_>> for Signature {
    fn from(signer: Signer<'_>) -> Signature {
        let text = |bytes: &[u8]| (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned());
        Signature { signing_id: text(signer.signing_id), team_id: text(signer.team_id) }
    }
}

impl From<Signer<'_>> for SignedBy {
    fn from(signer: Signer<'_>) -> SignedBy {
        SignedBy::new(signer.signing_id, signer.team_id, signer.cdhash, signer.is_es_client)
    }
}

/// The file acted on, by path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// The path, as the kernel resolved it; any bytes but zero.
    pub path: &'a [u8],
    /// True when the kernel cut the path off.
    pub truncated: bool,
}

/// One retained message. Dropping it releases it.
#[doc(alias = "es_message_t")]
pub trait Message: Send + Sync {
    /// Reads the values that an answer may depend on.
    fn facts(&self) -> Facts;

    /// The file acted on; `None` for events without one.
    fn target(&self) -> Option<Target<'_>>;

    /// Who signed the program that acted.
    fn signer(&self) -> Signer<'_>;

    /// The program that acted, by path.
    fn executable(&self) -> &[u8];

    /// The process that started the one that acted; `None` when the kernel did not say.
    #[doc(alias = "parent_audit_token")]
    fn parent(&self) -> Option<ProcessId>;

    /// Who signed the program of the new process of a fork or an exec; `None` for other events.
    fn made_signer(&self) -> Option<Signer<'_>>;

    /// The wait status of a process that has ended; `None` for other events.
    fn exit_status(&self) -> Option<i32>;
}

/// What a notice says of a life; `None` for a notice of something else. Allocates nothing: the handler asks.
pub(crate) fn life_told<M: Message>(message: &M, facts: &Facts) -> Option<ProcessLife> {
    let subject = process_of(facts.subject);
    let (step, process, from) = match (facts.kind, facts.made) {
        (EventKind::Notify(NotifyEvent::Fork), Some(child)) => (LifeStep::Forked, child, Some(subject)),
        (EventKind::Notify(NotifyEvent::Exec), Some(program)) => (LifeStep::Became, program, Some(subject)),
        (EventKind::Notify(NotifyEvent::Exit), _) => (LifeStep::Ended, subject, None),
        _ => return None,
    };
    let signed = message.made_signer().map(SignedBy::from);
    let status = message.exit_status().unwrap_or(0);
    Some(ProcessLife { at: facts.window.generated, step, process, from, signed, status })
}

/// What a question says of whoever asks. Never on the path to an answer.
pub(crate) fn life_seen<M: Message>(message: &M, facts: &Facts) -> ProcessLife {
    ProcessLife {
        at: facts.window.generated,
        step: LifeStep::Seen,
        process: process_of(facts.subject),
        from: message.parent(),
        signed: Some(message.signer().into()),
        status: 0,
    }
}

const fn process_of(subject: ThreadId) -> ProcessId {
    ProcessId { pid: subject.pid, version: subject.generation }
}

/// Whether the kernel may answer later events of the same kind by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cache {
    /// Every event is asked about.
    #[default]
    Off,
    /// The answer may serve later events on the same files, for other clients too.
    On,
}

/// The half of a connection that any thread may use: it answers, tells the time, and changes what arrives.
#[doc(alias = "es_client_t")]
pub trait Responder: Send + Sync {
    /// A retained message of this connection.
    type Message: Message;

    /// Answers an event that takes a verdict.
    ///
    /// # Errors
    /// When the answer did not reach the kernel.
    #[doc(alias = "es_respond_auth_result")]
    fn respond_auth(
        &self,
        message: &Self::Message,
        verdict: Verdict,
        cache: Cache,
    ) -> Result<(), RespondError>;

    /// Answers an event that takes the set of permitted flags.
    ///
    /// # Errors
    /// When the answer did not reach the kernel.
    #[doc(alias = "es_respond_flags_result")]
    fn respond_flags(&self, message: &Self::Message, flags: u32, cache: Cache) -> Result<(), RespondError>;

    /// Makes one muting call. Never on the path to an answer.
    ///
    /// # Errors
    /// When the framework refuses it.
    fn mute(&self, step: &MuteStep) -> Result<(), StepFailed>;

    /// Subscribes to these events.
    ///
    /// # Errors
    /// When the framework refuses it.
    fn subscribe(&self, kinds: &[EventKind]) -> Result<(), StepFailed>;

    /// Ends the subscription to these events; what is queued still arrives.
    ///
    /// # Errors
    /// When the framework refuses it.
    #[doc(alias = "es_unsubscribe")]
    fn unsubscribe(&self, kinds: &[EventKind]) -> Result<(), StepFailed>;

    /// Empties the result caches: those of all clients of the machine.
    ///
    /// # Errors
    /// When the framework refuses it, as it does when it is asked too often.
    #[doc(alias = "es_clear_cache")]
    fn clear_cache(&self) -> Result<(), StepFailed>;

    /// Reads the clock that deadlines are on.
    #[doc(alias = "mach_absolute_time")]
    fn now(&self) -> Ticks;
}

/// Permits everything: the event's own flags would, with caching, deny later opens with other flags.
pub(crate) const ALL_FLAGS: u32 = u32::MAX;
/// Permits nothing.
pub(crate) const NO_FLAGS: u32 = 0;

/// Answers in the form that the kind of the event takes: an open by flags, all others by verdict.
pub(crate) fn respond<R: Responder>(
    responder: &R,
    message: &R::Message,
    kind: EventKind,
    verdict: Verdict,
    cache: Cache,
) -> Result<(), RespondError> {
    match (kind, verdict) {
        (EventKind::AUTH_OPEN, Verdict::Allow) => responder.respond_flags(message, ALL_FLAGS, cache),
        (EventKind::AUTH_OPEN, Verdict::Deny) => responder.respond_flags(message, NO_FLAGS, cache),
        (_, verdict) => responder.respond_auth(message, verdict, cache),
    }
}
