//! Decisions as JSON lines, with the fields that `eslogger` has named as it names them.
//!
//! A line is a decision in the order of its client's trace, client after client. What `eslogger` does not know
//! (whose decision, when it was read and answered, what caused it) stands under `lab`.

use std::io;

use lab_model::{EventKind, SubjectClass, Verdict};
use lab_trace::{Decision, Entry, Record, Trace};
use serde::Serialize;

use super::{clock::rfc3339, index::Index};

#[derive(Serialize)]
struct Line<'a> {
    schema_version: u32,
    event_type: u16,
    event: Event,
    action_type: u32,
    action: Option<Action>,
    process: Process,
    thread: Thread,
    time: String,
    mach_time: u64,
    seq_num: u64,
    lab: Lab<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Event {
    Open { file: File },
    Exec { target: ExecTarget },
    Close { target: File },
    Other { file: File },
}

#[derive(Serialize)]
struct File {
    path: Option<String>,
    path_truncated: bool,
    stat: Option<Stat>,
}

#[derive(Serialize)]
struct Stat {
    st_dev: u32,
    st_ino: u64,
}

#[derive(Serialize)]
struct ExecTarget {
    executable: File,
}

#[derive(Serialize)]
struct Action {
    result: ActionResult,
}

#[derive(Serialize)]
struct ActionResult {
    result_type: u32,
    result: AuthResult,
}

#[derive(Serialize)]
struct AuthResult {
    auth: u32,
}

#[derive(Serialize)]
struct Process {
    audit_token: AuditToken,
    is_es_client: bool,
}

#[derive(Serialize)]
struct AuditToken {
    pid: u32,
    pidversion: u32,
}

#[derive(Serialize)]
struct Thread {
    thread_id: u64,
}

#[derive(Serialize)]
struct Lab<'a> {
    client: &'a str,
    record: u64,
    read_ns: u64,
    started_ns: Option<u64>,
    answered_ns: Option<u64>,
    deadline_ns: Option<u64>,
    approval: Option<&'static str>,
    subject_class: SubjectClass,
    cause: Option<CausedBy<'a>>,
}

#[derive(Serialize)]
struct CausedBy<'a> {
    actor: &'a str,
    record: u64,
    decision: Option<ByDecision<'a>>,
}

#[derive(Serialize)]
struct ByDecision<'a> {
    client: &'a str,
    record: u64,
}

/// Writes one decision a line and returns how many were written.
///
/// # Errors
/// Only those of the writer.
pub fn jsonl(traces: &[Trace<'_>], out: &mut dyn io::Write) -> io::Result<u64> {
    let index = Index::new(traces);
    let mut written = 0;
    for (place, trace) in traces.iter().enumerate() {
        for entry in trace.entries() {
            if let Entry::Record { index: record, record: Record::Decision(decision) } = entry {
                serde_json::to_writer(&mut *out, &line(&index, place, record, &decision))?;
                out.write_all(b"\n")?;
                written += 1;
            }
        }
    }
    Ok(written)
}

fn line<'a>(index: &Index<'a>, trace: usize, record: u64, decision: &Decision) -> Line<'a> {
    let header = &index.traces[trace].header;
    let begin = &decision.begin;
    let end = decision.end.present();
    let nanoseconds = |ticks: u64| index.nanoseconds(trace, ticks);
    let since = |ticks: u64| nanoseconds(ticks).saturating_sub(index.origin);
    let read = nanoseconds(begin.read.0);
    // The wall clock was read once, when the trace was created.
    let unix_ns =
        i128::from(header.created_unix_ns) + i128::from(read) - i128::from(nanoseconds(header.created.0));
    Line {
        schema_version: 1,
        event_type: begin.event.code(),
        event: event(index, trace, decision),
        action_type: u32::from(is_told(begin.event)),
        action: end.map(|end| {
            let auth = u32::from(end.verdict == Verdict::Deny);
            Action { result: ActionResult { result_type: 0, result: AuthResult { auth } } }
        }),
        process: Process {
            audit_token: AuditToken { pid: begin.subject.pid, pidversion: begin.subject.generation },
            is_es_client: matches!(begin.class, SubjectClass::Own | SubjectClass::Peer),
        },
        thread: Thread { thread_id: begin.subject.tid },
        time: rfc3339(unix_ns),
        mach_time: begin.read.0,
        seq_num: begin.sequence,
        lab: Lab {
            client: index.name(trace),
            record,
            read_ns: since(begin.read.0),
            started_ns: end.and_then(|end| end.started).map(|started| since(started.0)),
            answered_ns: end.map(|end| since(end.answered.0)),
            deadline_ns: begin.deadline.map(|deadline| since(deadline.0)),
            approval: end.map(|end| end.approval.name()),
            subject_class: begin.class,
            cause: index.cause_of(read, decision).map(|op| caused_by(index, op)),
        },
    }
}

/// Whether a client is told of such an event and not asked (`ES_ACTION_TYPE_NOTIFY`). Kinds without a name in this
/// lab come from imports only, which have no others.
const fn is_told(kind: EventKind) -> bool {
    !matches!(kind, EventKind::AuthOpen | EventKind::AuthExec)
}

fn event(index: &Index<'_>, trace: usize, decision: &Decision) -> Event {
    let target = decision.target.present();
    let file = File {
        path: index.path(trace, target),
        path_truncated: false,
        stat: target
            .filter(|target| target.inode != 0)
            .map(|target| Stat { st_dev: target.device, st_ino: target.inode }),
    };
    match decision.begin.event {
        EventKind::AuthOpen | EventKind::NotifyOpen => Event::Open { file },
        EventKind::AuthExec | EventKind::NotifyExec => {
            Event::Exec { target: ExecTarget { executable: file } }
        }
        EventKind::NotifyClose => Event::Close { target: file },
        _ => Event::Other { file },
    }
}

fn caused_by<'a>(index: &Index<'a>, op: usize) -> CausedBy<'a> {
    let operation = &index.ops[op];
    let decision =
        index.parent_of(op).map(|(trace, record, _)| ByDecision { client: index.name(trace), record });
    CausedBy { actor: index.name(operation.trace), record: operation.record, decision }
}
