//! The calls into Endpoint Security, and nothing else: every decision is made in the portable modules.
//!
//! The raw layer is used instead of `endpoint_sec::Client`, because that type can neither answer from another
//! thread nor survive a panic in its handler (it deletes the live client). Message contents are read through
//! `endpoint_sec::Message`, which knows which field exists in which message version.
#![expect(
    unsafe_code,
    reason = "the framework is a C interface; this module is the only place that calls it"
)]

use std::{
    ffi::{CStr, CString},
    marker::PhantomData,
    os::unix::ffi::OsStrExt,
    ptr::{self, NonNull},
    sync::Arc,
};

use block2::RcBlock;
use endpoint_sec::{AuditToken, Event, EventCreateDestinationFile, File, Process, sys};
use lab_model::{EventKind, FailureReason, FileId, NotifyEvent, ThreadId, Ticks, Timebase, Verdict};

use crate::{
    Cache, Connection, EsBackend, Facts, Message, MutePlan, MuteStep, NewClientResult, ProcessId, Refusal,
    RespondError, Responder, Scope, Signer, StepFailed, SystemVersion, Target, Window, confine, start,
};

/// What a client of the lab is asked and told about: the notices show the process tree.
const SUBSCRIPTION: [EventKind; 5] = [
    EventKind::AUTH_EXEC,
    EventKind::AUTH_OPEN,
    EventKind::Notify(NotifyEvent::Exec),
    EventKind::Notify(NotifyEvent::Fork),
    EventKind::Notify(NotifyEvent::Exit),
];

/// Reads `mach_absolute_time`.
#[must_use]
pub fn now() -> Ticks {
    // SAFETY: the call takes nothing and cannot fail.
    Ticks(unsafe { mach2::mach_time::mach_absolute_time() })
}

/// Reads how long a tick is.
#[must_use]
pub fn timebase() -> Timebase {
    let mut info = mach2::mach_time::mach_timebase_info { numer: 0, denom: 0 };
    // SAFETY: `info` is a valid place for the result.
    let status = unsafe { mach2::mach_time::mach_timebase_info(&raw mut info) };
    assert!(status == 0 && info.numer > 0 && info.denom > 0, "the kernel does not say how long a tick is");
    Timebase { numer: info.numer, denom: info.denom }
}

/// Reads the version of the running system; `None` when the kernel does not say it in the usual form.
#[doc(alias = "kern.osproductversion")]
fn system_version() -> Option<SystemVersion> {
    let mut text = [0_u8; 64];
    let mut length = text.len();
    // SAFETY: the name ends with a zero byte, and `length` is the size of `text`.
    let status = unsafe {
        libc::sysctlbyname(
            c"kern.osproductversion".as_ptr(),
            text.as_mut_ptr().cast(),
            &raw mut length,
            ptr::null_mut(),
            0,
        )
    };
    let text = CStr::from_bytes_until_nul(&text).ok()?;
    if status == 0 { text.to_str().ok()?.parse().ok() } else { None }
}

/// A retained message of Endpoint Security.
pub struct EsMessage {
    message: endpoint_sec::Message,
    // The same object: `message` keeps it alive and does not give its address away.
    raw: NonNull<sys::es_message_t>,
}

// SAFETY: `endpoint_sec::Message` is Send, and `raw` is only read, while `message` keeps it alive.
unsafe impl Send for EsMessage {}
// SAFETY: a message is never written to, by Apple's rule and by this module.
unsafe impl Sync for EsMessage {}

fn process_id(token: &AuditToken) -> ProcessId {
    ProcessId { pid: token.pid().cast_unsigned(), version: token.pidversion().cast_unsigned() }
}

fn file_id(file: &File<'_>) -> FileId {
    let stat = file.stat();
    // `dev_t` is signed; its bits are what `stat(2)` reports everywhere else.
    FileId { device: u64::from(stat.st_dev.cast_unsigned()), inode: stat.st_ino }
}

fn target_of(event: Option<Event<'_>>) -> Option<File<'_>> {
    match event? {
        Event::AuthOpen(open) | Event::NotifyOpen(open) => Some(open.file()),
        Event::AuthExec(exec) | Event::NotifyExec(exec) => Some(exec.target().executable()),
        Event::NotifyClose(close) => Some(close.target()),
        Event::NotifyWrite(write) => Some(write.target()),
        Event::NotifyCreate(create) => match create.destination()? {
            EventCreateDestinationFile::ExistingFile { file, .. } => Some(file),
            // Of what has happened the file is there; its folder is another file.
            _ => None,
        },
        // The file that has another name now; which one is in the message and is not taken down.
        Event::NotifyRename(rename) => Some(rename.source()),
        Event::NotifyUnlink(unlink) => Some(unlink.target()),
        _ => None,
    }
}

/// The new process of a fork or an exec.
fn made_process(event: Option<Event<'_>>) -> Option<Process<'_>> {
    match event? {
        Event::AuthExec(exec) | Event::NotifyExec(exec) => Some(exec.target()),
        Event::NotifyFork(fork) => Some(fork.child()),
        _ => None,
    }
}

/// Whether a file had been changed when it was closed.
fn modified(event: Option<Event<'_>>) -> Option<bool> {
    match event? {
        Event::NotifyClose(close) => Some(close.modified()),
        _ => None,
    }
}

fn signer_of<'a>(process: &Process<'a>) -> Signer<'a> {
    Signer {
        signing_id: process.signing_id().as_bytes(),
        team_id: process.team_id().as_bytes(),
        cdhash: process.cdhash(),
        is_es_client: process.is_es_client(),
    }
}

/// The kind of an event; a number beyond the trace's range is kept as its highest.
fn kind_of(kind: sys::es_event_type_t) -> EventKind {
    EventKind::from_code(u16::try_from(kind.0).unwrap_or(u16::MAX))
}

impl Message for EsMessage {
    fn facts(&self) -> Facts {
        let process = self.message.process();
        let subject = process_id(&process.audit_token());
        Facts {
            kind: kind_of(self.message.event_type()),
            is_question: self.message.action_type() == sys::es_action_type_t::ES_ACTION_TYPE_AUTH,
            window: Window {
                generated: Ticks(self.message.raw_mach_time()),
                deadline: Ticks(self.message.raw_deadline()),
            },
            subject: ThreadId {
                pid: subject.pid,
                tid: self.message.thread().map_or(0, |thread| thread.thread_id()),
                generation: subject.version,
            },
            subject_is_es_client: process.is_es_client(),
            target: target_of(self.message.event()).as_ref().map(file_id),
            made: made_process(self.message.event()).map(|process| process_id(&process.audit_token())),
            modified: modified(self.message.event()),
            sequence: self.message.seq_num(),
            sequence_of_all: self.message.global_seq_num(),
        }
    }

    fn target(&self) -> Option<Target<'_>> {
        let file = target_of(self.message.event())?;
        Some(Target { path: file.path().as_bytes(), truncated: file.path_truncated() })
    }

    fn signer(&self) -> Signer<'_> {
        signer_of(&self.message.process())
    }

    fn executable(&self) -> &[u8] {
        self.message.process().executable().path().as_bytes()
    }

    fn parent(&self) -> Option<ProcessId> {
        self.message.process().parent_audit_token().as_ref().map(process_id)
    }

    fn made_signer(&self) -> Option<Signer<'_>> {
        made_process(self.message.event()).as_ref().map(signer_of)
    }

    fn exit_status(&self) -> Option<i32> {
        match self.message.event()? {
            Event::NotifyExit(exit) => Some(exit.stat()),
            _ => None,
        }
    }
}

/// The answering half of a connection.
pub struct EsResponder {
    client: NonNull<sys::es_client_t>,
}

// SAFETY: the responding calls are made from concurrent queues by shipping products (Santa), although Apple does
// not promise it; the handler keeps the connection from being deleted under them.
unsafe impl Send for EsResponder {}
// SAFETY: as above.
unsafe impl Sync for EsResponder {}

impl Responder for EsResponder {
    type Message = EsMessage;

    fn respond_auth(&self, message: &EsMessage, verdict: Verdict, cache: Cache) -> Result<(), RespondError> {
        let result = match verdict {
            Verdict::Allow => sys::es_auth_result_t::ES_AUTH_RESULT_ALLOW,
            Verdict::Deny => sys::es_auth_result_t::ES_AUTH_RESULT_DENY,
        };
        let (client, message) = (self.client.as_ptr(), message.raw.as_ptr());
        // SAFETY: the handler holds the connection open, and `message` is retained.
        RespondError::check(
            unsafe { sys::es_respond_auth_result(client, message, result, cache == Cache::On) }.0,
        )
    }

    fn respond_flags(&self, message: &EsMessage, flags: u32, cache: Cache) -> Result<(), RespondError> {
        let (client, message) = (self.client.as_ptr(), message.raw.as_ptr());
        // SAFETY: the handler holds the connection open, and `message` is retained.
        RespondError::check(
            unsafe { sys::es_respond_flags_result(client, message, flags, cache == Cache::On) }.0,
        )
    }

    fn mute(&self, step: &MuteStep) -> Result<(), StepFailed> {
        mute(self.client, step)
    }

    fn subscribe(&self, kinds: &[EventKind]) -> Result<(), StepFailed> {
        subscribe(self.client, kinds)
    }

    fn unsubscribe(&self, kinds: &[EventKind]) -> Result<(), StepFailed> {
        let (types, count) = types(kinds)?;
        // SAFETY: the handler holds the connection open, and `types` has `count` elements.
        let result = unsafe { sys::es_unsubscribe(self.client.as_ptr(), types.as_ptr(), count) };
        if succeeded(result) { Ok(()) } else { Err(StepFailed::Unsubscribe) }
    }

    fn clear_cache(&self) -> Result<(), StepFailed> {
        // SAFETY: the handler holds the connection open.
        let result = unsafe { sys::es_clear_cache(self.client.as_ptr()) };
        let cleared = result == sys::es_clear_cache_result_t::ES_CLEAR_CACHE_RESULT_SUCCESS;
        if cleared { Ok(()) } else { Err(StepFailed::ClearCache) }
    }

    fn now(&self) -> Ticks {
        now()
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    /// It asks; and it tells of the process tree.
    Questions,
    /// It only tells.
    Notices,
}

/// A connected client. It stays on the thread that made it, because it has to be deleted there.
pub struct EsClient {
    backend: Arc<EsBackend<EsResponder>>,
    purpose: Purpose,
    client: NonNull<sys::es_client_t>,
    stays_on_its_thread: PhantomData<*mut ()>,
}

impl EsClient {
    /// Connects to Endpoint Security; every message goes to `backend`, on a queue of the framework.
    ///
    /// Connecting empties the result caches of all clients of the machine. Nothing arrives before
    /// [`start`](crate::start) has confined and subscribed the client, which is how everything the client ever
    /// opens can be open by then.
    ///
    /// # Errors
    /// With the framework's own result, which has [advice](NewClientResult::advice).
    #[doc(alias = "es_new_client")]
    pub fn connect(backend: &Arc<EsBackend<EsResponder>>, cache: Cache) -> Result<EsClient, NewClientResult> {
        EsClient::connect_for(Purpose::Questions, backend, cache)
    }

    fn connect_for(
        purpose: Purpose,
        backend: &Arc<EsBackend<EsResponder>>,
        cache: Cache,
    ) -> Result<EsClient, NewClientResult> {
        // First of all: without it the bindings manage messages as macOS 10.15 did.
        let version = system_version().unwrap_or(SystemVersion::OLDEST);
        endpoint_sec::version::set_runtime_version(version.major, version.minor, version.patch);

        let intake = Arc::clone(backend);
        let handler = RcBlock::new(move |_: NonNull<sys::es_client_t>, raw: NonNull<sys::es_message_t>| {
            // SAFETY: the framework hands a live message to its handler; `from_raw` retains it.
            let message = unsafe { endpoint_sec::Message::from_raw(raw) };
            let message = EsMessage { message, raw };
            match purpose {
                Purpose::Questions => intake.handle(message, cache),
                Purpose::Notices => intake.handle_told(message),
            }
        });
        let mut connection: *mut sys::es_client_t = ptr::null_mut();
        // SAFETY: `connection` is a valid place for the result; the framework retains the block, which owns all
        // that it uses.
        let result = unsafe { sys::es_new_client(&raw mut connection, &handler) };
        match (NewClientResult::from_code(result.0), NonNull::new(connection)) {
            (NewClientResult::Success, Some(client)) => {
                match purpose {
                    Purpose::Questions => backend.handler().open(EsResponder { client }),
                    Purpose::Notices => backend.notify_handler().open(EsResponder { client }),
                }
                Ok(EsClient {
                    backend: Arc::clone(backend),
                    purpose,
                    client,
                    stays_on_its_thread: PhantomData,
                })
            }
            (NewClientResult::Success, None) => Err(NewClientResult::Internal),
            (refusal, _) => Err(refusal),
        }
    }
}

/// Why a client could not be connected and confined.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The framework refused the client.
    #[error("{0}")]
    Refused(NewClientResult),
    /// The client would not have been confined to the arena.
    #[error(transparent)]
    Arena(#[from] Refusal),
    /// A muting or subscribing call failed.
    #[error(transparent)]
    Step(#[from] StepFailed),
}

impl From<&ConnectError> for FailureReason {
    fn from(error: &ConnectError) -> FailureReason {
        match error {
            ConnectError::Refused(result) => FailureReason::Refused { code: result.code() },
            ConnectError::Arena(_) | ConnectError::Step(_) => FailureReason::Other,
        }
    }
}

impl EsClient {
    /// Connects a client that sees `scope` and is asked about opens and execs. From here on they wait for it,
    /// so everything it ever opens has to be open by now.
    ///
    /// # Errors
    /// When the framework refuses a call, or the scope would not confine the client.
    pub fn open(
        backend: &Arc<EsBackend<EsResponder>>,
        scope: &Scope,
        cache: Cache,
    ) -> Result<EsClient, ConnectError> {
        let plan = MutePlan::new(scope, &[], &[])?;
        let mut client = EsClient::connect(backend, cache).map_err(ConnectError::Refused)?;
        start(&mut client, &plan, &SUBSCRIPTION)?;
        Ok(client)
    }

    /// Connects a second time, for what is only told: confined to `scope` as well, and subscribed to nothing before
    /// the backend is to be told of something.
    ///
    /// # Errors
    /// As [`EsClient::open`].
    pub fn listen(backend: &Arc<EsBackend<EsResponder>>, scope: &Scope) -> Result<EsClient, ConnectError> {
        let plan = MutePlan::new(scope, &[], &[])?;
        let purpose = Purpose::Notices;
        let mut client =
            EsClient::connect_for(purpose, backend, Cache::Off).map_err(ConnectError::Refused)?;
        confine(&mut client, &plan)?;
        Ok(client)
    }
}

impl Drop for EsClient {
    fn drop(&mut self) {
        // The order matters: no new events, then no answers on their way, then no connection.
        let _unsubscribed = self.unsubscribe_all();
        let _responder = match self.purpose {
            Purpose::Questions => self.backend.handler().close(),
            Purpose::Notices => self.backend.notify_handler().close(),
        };
        // SAFETY: this is the creating thread (the type is not Send), and the handler has given the connection back.
        let _deleted = unsafe { sys::es_delete_client(self.client.as_ptr()) };
    }
}

fn succeeded(result: sys::es_return_t) -> bool {
    result == sys::es_return_t::ES_RETURN_SUCCESS
}

fn c_path(path: &[u8]) -> Result<CString, StepFailed> {
    CString::new(path).map_err(|_| StepFailed::Mute("mute a path with a zero byte".to_owned()))
}

/// Makes one muting call; `client` must be connected.
fn mute(client: NonNull<sys::es_client_t>, step: &MuteStep) -> Result<(), StepFailed> {
    let client = client.as_ptr();
    let set = |path: &[u8], kind| {
        let path = c_path(path)?;
        // SAFETY: the caller keeps the connection open, and `path` ends with a zero byte.
        Ok(unsafe { sys::es_mute_path(client, path.as_ptr(), kind) })
    };
    let unset = |path: &[u8], kind| {
        let path = c_path(path)?;
        // SAFETY: as above.
        Ok(unsafe { sys::es_unmute_path(client, path.as_ptr(), kind) })
    };
    let prefix = sys::es_mute_path_type_t::ES_MUTE_PATH_TYPE_TARGET_PREFIX;
    let literal = sys::es_mute_path_type_t::ES_MUTE_PATH_TYPE_TARGET_LITERAL;
    let executable = sys::es_mute_path_type_t::ES_MUTE_PATH_TYPE_LITERAL;
    let inversion = sys::es_mute_inversion_type_t::ES_MUTE_INVERSION_TYPE_TARGET_PATH;
    let result = match step {
        // SAFETY: as above.
        MuteStep::ClearTargetPaths => unsafe { sys::es_unmute_all_target_paths(client) },
        MuteStep::MuteTargetPrefix(path) => set(path, prefix)?,
        MuteStep::MuteTargetLiteral(path) => set(path, literal)?,
        MuteStep::UnmuteTargetPrefix(path) => unset(path, prefix)?,
        MuteStep::UnmuteTargetLiteral(path) => unset(path, literal)?,
        // SAFETY: as above.
        MuteStep::InvertTargetPaths => unsafe { sys::es_invert_muting(client, inversion) },
        MuteStep::MuteExecutable(path) => set(path, executable)?,
        MuteStep::MuteProcess(words) => {
            let token = sys::audit_token_t { val: *words };
            // SAFETY: as above, and `token` lives through the call.
            unsafe { sys::es_mute_process(client, &raw const token) }
        }
    };
    if succeeded(result) { Ok(()) } else { Err(StepFailed::Mute(format!("take the step {step:?}"))) }
}

fn names(kinds: &[EventKind]) -> String {
    kinds.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ")
}

/// The kinds of events as the framework takes them, and how many.
fn types(kinds: &[EventKind]) -> Result<(Vec<sys::es_event_type_t>, u32), StepFailed> {
    let types: Vec<_> = kinds.iter().map(|kind| sys::es_event_type_t(u32::from(kind.code()))).collect();
    let count = u32::try_from(types.len()).map_err(|_| StepFailed::Subscribe(names(kinds)))?;
    Ok((types, count))
}

fn subscribe(client: NonNull<sys::es_client_t>, kinds: &[EventKind]) -> Result<(), StepFailed> {
    let (types, count) = types(kinds)?;
    // SAFETY: the caller keeps the connection open, and `types` has `count` elements.
    let result = unsafe { sys::es_subscribe(client.as_ptr(), types.as_ptr(), count) };
    if succeeded(result) { Ok(()) } else { Err(StepFailed::Subscribe(names(kinds))) }
}

impl Connection for EsClient {
    fn mute(&mut self, step: &MuteStep) -> Result<(), StepFailed> {
        mute(self.client, step)
    }

    fn target_paths_are_inverted(&mut self) -> Result<bool, StepFailed> {
        let kind = sys::es_mute_inversion_type_t::ES_MUTE_INVERSION_TYPE_TARGET_PATH;
        // SAFETY: the connection is open as long as `self` lives.
        match unsafe { sys::es_muting_inverted(self.client.as_ptr(), kind) } {
            sys::es_mute_inverted_return_t::ES_MUTE_INVERTED => Ok(true),
            sys::es_mute_inverted_return_t::ES_MUTE_NOT_INVERTED => Ok(false),
            _ => Err(StepFailed::NotConfined),
        }
    }

    fn subscribe(&mut self, kinds: &[EventKind]) -> Result<(), StepFailed> {
        subscribe(self.client, kinds)
    }

    fn unsubscribe_all(&mut self) -> Result<(), StepFailed> {
        // SAFETY: the connection is open as long as `self` lives.
        let result = unsafe { sys::es_unsubscribe_all(self.client.as_ptr()) };
        if succeeded(result) { Ok(()) } else { Err(StepFailed::Unsubscribe) }
    }
}
