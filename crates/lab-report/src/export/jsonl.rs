//! Decisions and notices as JSON lines, with the fields that `eslogger` has named as it names them.
//!
//! A line is a decision, or one kind of event that a notice tells of, in the order of its client's trace, client after
//! client. What `eslogger` does not know
//! (whose decision, when it was read and answered, what caused it) stands under `lab`.

use std::io;

use lab_model::{AuthEvent, Bounded, EventKind, NotifyEvent, SubjectClass, ThreadId, Verdict, Visible};
use lab_trace::{Decision, Entry, Notice, Record, RecordPart, Target, Trace};
use serde::{Serialize, Serializer};

use super::{clock::rfc3339, index::Index};

#[derive(Serialize)]
pub(super) struct Line<'a> {
    pub(super) schema_version: u32,
    pub(super) event_type: u16,
    pub(super) event: Event,
    pub(super) action_type: u32,
    pub(super) action: Option<Action>,
    pub(super) process: Process,
    pub(super) thread: Thread,
    /// In nanoseconds since 1970; in the line as RFC 3339.
    #[serde(serialize_with = "as_rfc3339")]
    pub(super) time: i128,
    pub(super) mach_time: u64,
    pub(super) seq_num: u64,
    pub(super) lab: Lab<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Event {
    Open {
        file: File,
    },
    Exec {
        target: ExecTarget,
    },
    Close {
        /// `null` where the kernel did not say.
        modified: Option<bool>,
        target: File,
    },
    Write {
        target: File,
    },
    Create {
        destination: Destination,
    },
    Unlink {
        target: File,
    },
    Other {
        file: File,
    },
}

#[derive(Serialize)]
pub(super) struct Destination {
    pub(super) existing_file: File,
}

#[derive(Serialize)]
pub(super) struct File {
    pub(super) path: Option<String>,
    pub(super) path_truncated: bool,
    pub(super) stat: Option<Stat>,
}

#[derive(Serialize)]
pub(super) struct Stat {
    pub(super) st_dev: u32,
    pub(super) st_ino: u64,
}

#[derive(Serialize)]
pub(super) struct ExecTarget {
    pub(super) executable: File,
}

#[derive(Serialize)]
pub(super) struct Action {
    pub(super) result: ActionResult,
}

#[derive(Serialize)]
pub(super) struct ActionResult {
    pub(super) result_type: u32,
    pub(super) result: AuthResult,
}

#[derive(Serialize)]
pub(super) struct AuthResult {
    pub(super) auth: u32,
}

#[derive(Serialize)]
pub(super) struct Process {
    pub(super) audit_token: AuditToken,
    pub(super) is_es_client: bool,
}

#[derive(Serialize)]
pub(super) struct AuditToken {
    pub(super) pid: u32,
    pub(super) pidversion: u32,
}

#[derive(Serialize)]
pub(super) struct Thread {
    pub(super) thread_id: u64,
}

#[derive(Serialize)]
pub(super) struct Lab<'a> {
    pub(super) client: &'a str,
    pub(super) record: u64,
    /// `decision` or `notice`.
    pub(super) kind: &'static str,
    /// The kinds of event that the notice tells of together, one line each; of a decision 1.
    pub(super) merged: u32,
    /// The notice set the client's reaction off; `null` of a decision.
    pub(super) reacts: Option<bool>,
    pub(super) read_ns: u64,
    pub(super) started_ns: Option<u64>,
    pub(super) answered_ns: Option<u64>,
    /// A decision that was never answered was open at least until then: its client's end, or the record's.
    pub(super) open_until_ns: Option<u64>,
    pub(super) deadline_ns: Option<u64>,
    pub(super) approval: Option<&'static str>,
    pub(super) subject_class: SubjectClass,
    pub(super) cause: Option<CausedBy<'a>>,
}

#[derive(Serialize)]
pub(super) struct CausedBy<'a> {
    pub(super) actor: &'a str,
    pub(super) record: u64,
    /// The record of the exec whose process made this one: the parent within a tree of programs.
    pub(super) parent: Option<u64>,
    pub(super) decision: Option<ByRecord<'a>>,
    pub(super) notice: Option<ByRecord<'a>>,
}

#[derive(Serialize)]
pub(super) struct ByRecord<'a> {
    pub(super) client: &'a str,
    pub(super) record: u64,
}

/// Writes a line for each decision and for each kind of event of a notice, and returns how many were written.
///
/// # Errors
/// Only those of the writer.
pub fn jsonl(traces: &[Trace<'_>], out: &mut dyn io::Write) -> io::Result<u64> {
    // What analysis leaves out is left out here.
    let traces = lab_analysis::admit(traces).traces;
    let index = Index::new(&traces);
    let mut written = 0;
    for (place, trace) in traces.iter().enumerate() {
        for entry in trace.entries() {
            let Entry::Record { index: record, record: content } = entry else { continue };
            for line in lines(&index, place, record, &content) {
                // For a terminal as well as for a program: names in it are from outside.
                writeln!(out, "{}", Visible::json(&serde_json::to_string(&line)?))?;
                written.raise(1);
            }
        }
    }
    Ok(written)
}

/// The lines of one record: one of a decision, one of a notice for each kind of event, none of any other.
pub(super) fn lines<'a>(index: &Index<'a>, trace: usize, record: u64, content: &Record) -> Vec<Line<'a>> {
    match content {
        Record::Decision(decision) => vec![line(index, trace, record, decision)],
        Record::Notice(notice) => {
            let kinds = notice.events.iter().map(EventKind::Notify);
            kinds.map(|kind| notice_line(index, trace, record, notice, kind)).collect()
        }
        _ => Vec::new(),
    }
}

/// When a record was read, as nanoseconds since 1970: the wall clock was read once, when the trace was created.
fn unix_ns(index: &Index<'_>, trace: usize, read: u64) -> i128 {
    let header = &index.traces[trace].header;
    i128::from(header.created_unix_ns)
        .saturating_add(i128::from(read))
        .saturating_sub(i128::from(index.nanoseconds(trace, header.created.0)))
}

fn process(subject: ThreadId, class: SubjectClass) -> Process {
    Process {
        audit_token: AuditToken { pid: subject.pid, pidversion: subject.generation },
        is_es_client: matches!(class, SubjectClass::Own | SubjectClass::Peer),
    }
}

/// What is known of one kind of event of a notice, named as `eslogger` names it.
fn notice_line<'a>(
    index: &Index<'a>,
    trace: usize,
    record: u64,
    notice: &Notice,
    kind: EventKind,
) -> Line<'a> {
    let read = index.nanoseconds(trace, notice.read.0);
    Line {
        schema_version: 1,
        event_type: kind.code(),
        event: event(index, trace, kind, notice.target.as_ref(), notice.modified),
        action_type: 1,
        action: None,
        process: process(notice.subject, notice.class),
        thread: Thread { thread_id: notice.subject.tid },
        time: unix_ns(index, trace, read),
        mach_time: notice.read.0,
        seq_num: notice.sequence,
        lab: Lab {
            client: index.name(trace),
            record,
            kind: "notice",
            merged: notice.events.bits().count_ones(),
            reacts: Some(notice.reacts),
            read_ns: read.saturating_sub(index.origin),
            started_ns: None,
            answered_ns: None,
            open_until_ns: None,
            deadline_ns: None,
            approval: None,
            subject_class: notice.class,
            cause: index.operation_of(read, notice).map(|op| caused_by(index, op)),
        },
    }
}

/// What is known of one decision, named as `eslogger` names it.
fn line<'a>(index: &Index<'a>, trace: usize, record: u64, decision: &Decision) -> Line<'a> {
    let begin = &decision.begin;
    let end = decision.end.present();
    let nanoseconds = |ticks: u64| index.nanoseconds(trace, ticks);
    let since = |ticks: u64| nanoseconds(ticks).saturating_sub(index.origin);
    let read = nanoseconds(begin.read.0);
    // Who is told has nothing to answer.
    let is_open = begin.event.is_auth() && matches!(decision.end, RecordPart::Absent);
    Line {
        schema_version: 1,
        event_type: begin.event.code(),
        event: event(index, trace, begin.event, decision.target.present(), None),
        action_type: u32::from(!begin.event.is_auth()),
        action: end.map(|end| {
            let auth = u32::from(end.verdict == Verdict::Deny);
            Action { result: ActionResult { result_type: 0, result: AuthResult { auth } } }
        }),
        process: process(begin.subject, begin.class),
        thread: Thread { thread_id: begin.subject.tid },
        time: unix_ns(index, trace, read),
        mach_time: begin.read.0,
        seq_num: begin.sequence,
        lab: Lab {
            client: index.name(trace),
            record,
            kind: "decision",
            merged: 1,
            reacts: None,
            read_ns: since(begin.read.0),
            started_ns: end.and_then(|end| end.started).map(|started| since(started.0)),
            answered_ns: end.map(|end| since(end.answered.0)),
            open_until_ns: is_open.then(|| index.until(trace).max(read).saturating_sub(index.origin)),
            deadline_ns: begin.deadline.map(|deadline| since(deadline.0)),
            approval: end.map(|end| end.approval.name()),
            subject_class: begin.class,
            cause: index.cause_of(read, decision).map(|op| caused_by(index, op)),
        },
    }
}

fn as_rfc3339<S: Serializer>(unix_ns: &i128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*unix_ns))
}

/// What happened to which file; `modified` is what a close says of it.
fn event(
    index: &Index<'_>,
    trace: usize,
    kind: EventKind,
    target: Option<&Target>,
    modified: Option<bool>,
) -> Event {
    let file = File {
        path: index.path(trace, target),
        path_truncated: false,
        stat: target
            .filter(|target| target.inode != 0)
            .map(|target| Stat { st_dev: target.device, st_ino: target.inode }),
    };
    match kind {
        EventKind::Auth(AuthEvent::Open) | EventKind::Notify(NotifyEvent::Open) => Event::Open { file },
        EventKind::Auth(AuthEvent::Exec) | EventKind::Notify(NotifyEvent::Exec) => {
            Event::Exec { target: ExecTarget { executable: file } }
        }
        EventKind::Notify(NotifyEvent::Close) => Event::Close { modified, target: file },
        EventKind::Notify(NotifyEvent::Write) => Event::Write { target: file },
        EventKind::Notify(NotifyEvent::Create) => {
            Event::Create { destination: Destination { existing_file: file } }
        }
        EventKind::Notify(NotifyEvent::Unlink) => Event::Unlink { target: file },
        _ => Event::Other { file },
    }
}

fn caused_by<'a>(index: &Index<'a>, op: usize) -> CausedBy<'a> {
    let operation = &index.ops[op];
    let by = index.parent_of(op);
    let of = |notified: bool| {
        by.filter(|by| by.notified == notified)
            .map(|by| ByRecord { client: index.name(by.trace), record: by.record })
    };
    CausedBy {
        actor: index.name(operation.trace),
        record: operation.record,
        parent: operation.made_by,
        decision: of(false),
        notice: of(true),
    }
}
