//! One line of `eslogger`, as far as it can be believed.
//!
//! `eslogger` is "not an API": keys come in random order, some may be null, later versions have more of them. So
//! only what an event cannot be without is demanded; everything else is *not known* when it is not as expected.

use std::fmt;

use lab_model::{EventKind, ThreadId};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::clock::unix_ns;

/// The longest text that is kept of a path or name, in bytes; `PATH_MAX` on macOS is 1,024.
const TEXT_BYTES_MAX: usize = 4096;
/// The fields of an audit token in version 10.
const TOKEN_FIELDS: usize = 8;
/// Where the process ID and its version stand among them.
const TOKEN_PID: usize = 5;
const TOKEN_PIDVERSION: usize = 7;

/// What an event cannot be without, and why a line has it not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Damage {
    /// It is longer than the limit.
    TooLong,
    /// It is not UTF-8.
    NotText,
    /// It ends within its object.
    CutOff,
    /// It is no JSON.
    NotJson,
    /// It is JSON, but no object.
    NotAnObject,
    /// `event_type` is missing or no event's number.
    NoEventType,
    /// `mach_time` is missing or no number.
    NoMachTime,
    /// `process` is missing or no object.
    NoProcess,
    /// `audit_token` is missing or has neither of its two shapes.
    NoAuditToken,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Damage::TooLong => "longer than 4 MiB",
            Damage::NotText => "not UTF-8",
            Damage::CutOff => "cut off",
            Damage::NotJson => "not JSON",
            Damage::NotAnObject => "not an object",
            Damage::NoEventType => "no event_type",
            Damage::NoMachTime => "no mach_time",
            Damage::NoProcess => "no process",
            Damage::NoAuditToken => "audit_token is neither an object with a pid nor eight integers",
        })
    }
}

/// How a line writes its audit token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenShape {
    /// With names, as in versions 9 and 11.
    Object,
    /// As eight integers, as in version 10.
    Array,
}

/// One event that `eslogger` was told about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) event: EventKind,
    /// The key under `event`.
    pub(super) name: Option<String>,
    pub(super) mach_time: u64,
    pub(super) unix_ns: Option<i64>,
    pub(super) schema_version: Option<u64>,
    pub(super) version: Option<u64>,
    pub(super) sequence: Option<u64>,
    pub(super) sequence_of_all: Option<u64>,
    /// The operation was denied.
    pub(super) denied: bool,
    pub(super) subject: ThreadId,
    pub(super) thread_known: bool,
    pub(super) shape: TokenShape,
    pub(super) is_es_client: Option<bool>,
    pub(super) is_platform_binary: Option<bool>,
    pub(super) path: Option<String>,
    pub(super) signing_id: Option<String>,
    pub(super) team_id: Option<String>,
    pub(super) file: Option<File>,
    /// It is a line of the lab's own export.
    pub(super) is_own: bool,
}

/// The file an event is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) path: Option<String>,
    pub(super) truncated: bool,
    /// 0 when not known.
    pub(super) inode: u64,
    pub(super) device: u32,
}

type Raw<'a> = Option<&'a RawValue>;

#[derive(Deserialize)]
struct RawLine<'a> {
    #[serde(borrow)]
    event_type: Raw<'a>,
    #[serde(borrow)]
    event: Raw<'a>,
    #[serde(borrow)]
    action: Raw<'a>,
    #[serde(borrow)]
    process: Raw<'a>,
    #[serde(borrow)]
    thread: Raw<'a>,
    #[serde(borrow)]
    time: Raw<'a>,
    #[serde(borrow)]
    mach_time: Raw<'a>,
    #[serde(borrow)]
    seq_num: Raw<'a>,
    #[serde(borrow)]
    global_seq_num: Raw<'a>,
    #[serde(borrow)]
    schema_version: Raw<'a>,
    #[serde(borrow)]
    version: Raw<'a>,
    #[serde(borrow)]
    lab: Raw<'a>,
}

#[derive(Deserialize)]
struct RawProcess<'a> {
    #[serde(borrow)]
    audit_token: Raw<'a>,
    #[serde(borrow)]
    is_platform_binary: Raw<'a>,
    #[serde(borrow)]
    is_es_client: Raw<'a>,
    #[serde(borrow)]
    signing_id: Raw<'a>,
    #[serde(borrow)]
    team_id: Raw<'a>,
    #[serde(borrow)]
    executable: Raw<'a>,
}

/// What an event's own part may name its file with: `file` (open), `target` (exec, close, unlink), `source`
/// (rename, link), `destination` (create), `executable` (a process as a target), `existing_file`, `new_path`.
#[derive(Deserialize)]
struct RawBody<'a> {
    #[serde(borrow)]
    file: Raw<'a>,
    #[serde(borrow)]
    target: Raw<'a>,
    #[serde(borrow)]
    source: Raw<'a>,
    #[serde(borrow)]
    destination: Raw<'a>,
    #[serde(borrow)]
    executable: Raw<'a>,
    #[serde(borrow)]
    existing_file: Raw<'a>,
    #[serde(borrow)]
    new_path: Raw<'a>,
}

/// A file that is not there yet: its folder and its name (`es_event_create_t`, `new_path`).
#[derive(Deserialize)]
struct RawNewPath<'a> {
    #[serde(borrow)]
    dir: Raw<'a>,
    #[serde(borrow)]
    filename: Raw<'a>,
}

#[derive(Deserialize)]
struct RawFile<'a> {
    #[serde(borrow)]
    path: Raw<'a>,
    #[serde(borrow)]
    path_truncated: Raw<'a>,
    #[serde(borrow)]
    stat: Raw<'a>,
}

#[derive(Deserialize)]
struct RawStat<'a> {
    #[serde(borrow)]
    st_ino: Raw<'a>,
    #[serde(borrow)]
    st_dev: Raw<'a>,
}

#[derive(Deserialize)]
struct RawToken<'a> {
    #[serde(borrow)]
    pid: Raw<'a>,
    #[serde(borrow)]
    pidversion: Raw<'a>,
}

#[derive(Deserialize)]
struct RawThread<'a> {
    #[serde(borrow)]
    thread_id: Raw<'a>,
}

#[derive(Deserialize)]
struct RawResult<'a> {
    #[serde(borrow)]
    result: Raw<'a>,
    #[serde(borrow)]
    auth: Raw<'a>,
    #[serde(borrow)]
    flags: Raw<'a>,
}

/// The value, if it is what is expected.
fn value<'a, T: Deserialize<'a>>(raw: Raw<'a>) -> Option<T> {
    serde_json::from_str(raw?.get()).ok()
}

/// The object's known parts. An array would fit a structure as well, and is none.
fn object<'a, T: Deserialize<'a>>(raw: Raw<'a>) -> Option<T> {
    raw.filter(|raw| raw.get().starts_with('{')).and_then(|raw| value(Some(raw)))
}

fn text(raw: Raw<'_>) -> Option<String> {
    let mut text: String = value(raw)?;
    text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    Some(text).filter(|text| !text.is_empty())
}

impl Line {
    /// Reads one line without its end; the second value tells what exactly is wrong with it.
    pub(super) fn parse(bytes: &[u8]) -> Result<Line, (Damage, String)> {
        let bare = |damage: Damage| (damage, String::new());
        let line = std::str::from_utf8(bytes).map_err(|error| (Damage::NotText, error.to_string()))?;
        let raw: RawLine<'_> = match serde_json::from_str(line) {
            Ok(raw) if line.trim_start().starts_with('{') => raw,
            Ok(_) => return Err(bare(Damage::NotAnObject)),
            Err(error) => {
                let damage = match error.classify() {
                    serde_json::error::Category::Eof => Damage::CutOff,
                    serde_json::error::Category::Data if !line.trim_start().starts_with('{') => {
                        Damage::NotAnObject
                    }
                    _ => Damage::NotJson,
                };
                return Err((damage, error.to_string()));
            }
        };
        let code: u16 = value(raw.event_type).ok_or_else(|| bare(Damage::NoEventType))?;
        let mach_time = value(raw.mach_time).ok_or_else(|| bare(Damage::NoMachTime))?;
        let process: RawProcess<'_> = object(raw.process).ok_or_else(|| bare(Damage::NoProcess))?;
        let (pid, generation, shape) =
            token(process.audit_token).ok_or_else(|| bare(Damage::NoAuditToken))?;
        let thread: Option<u64> =
            object(raw.thread).and_then(|thread: RawThread<'_>| value(thread.thread_id));
        let (name, file) = event(raw.event);
        Ok(Line {
            event: EventKind::from_code(code),
            name,
            mach_time,
            unix_ns: value(raw.time).and_then(|time: String| unix_ns(&time)),
            schema_version: value(raw.schema_version),
            version: value(raw.version),
            sequence: value(raw.seq_num),
            sequence_of_all: value(raw.global_seq_num),
            denied: denied(raw.action),
            subject: ThreadId { pid, tid: thread.unwrap_or(0), generation },
            thread_known: thread.is_some(),
            shape,
            is_es_client: value(process.is_es_client),
            is_platform_binary: value(process.is_platform_binary),
            path: file_of(process.executable).and_then(|file| file.path),
            signing_id: text(process.signing_id),
            team_id: text(process.team_id),
            file,
            is_own: raw.lab.is_some(),
        })
    }
}

/// Process ID and version of a token in either shape.
fn token(raw: Raw<'_>) -> Option<(u32, u32, TokenShape)> {
    if let Some(token) = object::<RawToken<'_>>(raw) {
        return Some((value(token.pid)?, value(token.pidversion).unwrap_or(0), TokenShape::Object));
    }
    // The user IDs among them may be -1, written with or without a sign.
    let fields: Vec<i64> = value(raw)?;
    let field = |place: usize| u32::try_from(fields[place]).ok();
    (fields.len() == TOKEN_FIELDS).then_some(())?;
    Some((field(TOKEN_PID)?, field(TOKEN_PIDVERSION)?, TokenShape::Array))
}

/// The event's name, and the file that it is about where one can be found.
fn event(raw: Raw<'_>) -> (Option<String>, Option<File>) {
    let Some(parts) = value::<OneKey<'_>>(raw) else { return (None, None) };
    let file = object(Some(parts.body)).and_then(|body: RawBody<'_>| {
        let direct = file_of(body.file).or_else(|| file_or_process(body.target));
        direct.or_else(|| file_of(body.source)).or_else(|| {
            let destination: RawBody<'_> = object(body.destination)?;
            file_of(destination.existing_file).or_else(|| new_file(destination.new_path))
        })
    });
    (Some(parts.name), file)
}

/// A file that does not exist yet, so that it has a path and no inode.
fn new_file(raw: Raw<'_>) -> Option<File> {
    let new: RawNewPath<'_> = object(raw)?;
    let (dir, name) = (file_of(new.dir)?, text(new.filename)?);
    let mut path = dir.path?;
    if !path.ends_with('/') {
        path.push('/');
    }
    path.push_str(&name);
    let truncated = dir.truncated || path.len() > TEXT_BYTES_MAX;
    path.truncate(path.floor_char_boundary(TEXT_BYTES_MAX));
    Some(File { path: Some(path), truncated, inode: 0, device: dir.device })
}

fn file_or_process(raw: Raw<'_>) -> Option<File> {
    file_of(raw).or_else(|| object(raw).and_then(|process: RawBody<'_>| file_of(process.executable)))
}

/// A file, if there is a path in it.
fn file_of(raw: Raw<'_>) -> Option<File> {
    let file: RawFile<'_> = object(raw)?;
    let path = text(file.path)?;
    let stat: Option<RawStat<'_>> = object(file.stat);
    let (inode, device) = stat.map_or((None, None), |stat| (value(stat.st_ino), value(stat.st_dev)));
    // `dev_t` has a sign on macOS; what counts is that equal devices stay equal.
    let device = device.and_then(|device: i64| u32::try_from(device & 0xffff_ffff).ok());
    Some(File {
        path: Some(path),
        truncated: value(file.path_truncated).unwrap_or(false),
        inode: inode.unwrap_or(0),
        device: device.unwrap_or(0),
    })
}

/// Whether the kernel's combined verdict was a denial: `auth` 1, or for an open no flag left.
fn denied(action: Raw<'_>) -> bool {
    let inner = object::<RawResult<'_>>(action).and_then(|action| object::<RawResult<'_>>(action.result));
    let Some(result) = inner.and_then(|result| object::<RawResult<'_>>(result.result)) else { return false };
    value::<u32>(result.auth) == Some(1) || value::<u32>(result.flags) == Some(0)
}

/// The first key of an object with its value; more keys are passed over.
struct OneKey<'a> {
    name: String,
    body: &'a RawValue,
}

impl<'de: 'a, 'a> Deserialize<'de> for OneKey<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<OneKey<'a>, D::Error> {
        struct First;
        impl<'de> serde::de::Visitor<'de> for First {
            type Value = OneKey<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object with a key")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<OneKey<'de>, A::Error> {
                let first = map.next_entry::<String, &'de RawValue>()?;
                let (mut name, body) = first.ok_or_else(|| serde::de::Error::invalid_length(0, &self))?;
                while map.next_entry::<serde::de::IgnoredAny, serde::de::IgnoredAny>()?.is_some() {}
                name.truncate(name.floor_char_boundary(64));
                Ok(OneKey { name, body })
            }
        }
        deserializer.deserialize_map(First)
    }
}
