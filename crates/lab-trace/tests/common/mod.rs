//! What the tests of the trace share: arbitrary records, and a file written from them.
#![allow(dead_code, reason = "every test program uses its own part of this")]

use std::path::PathBuf;

use lab_model::{
    Actor, Approval, Cause, EventKind, LifeStep, NotifyEvents, OperationKind, PhaseKind, ProcessId,
    ProcessLife, Role, SignedBy, SubjectClass, ThreadId, Ticks, Timebase, Verdict,
};
use lab_trace::{
    Decision, DecisionBegin, DecisionEnd, Fault, FaultKind, GroupMark, Header, Identity, Loss, LossKind,
    MarkOn, Notice, Operation, OperationBegin, OperationEnd, PathFragment, PhaseMark, PlannedKind,
    ProcessMark, ProcessMarkKind, QueueSample, Record, RecordPart, Request, RequestBegin, RequestEnd, Served,
    Target, ThreadMark, ThreadPurpose, ThreadSeen, TraceWriter, Unwatched, WriterOptions,
};
use proptest::{collection::vec, option, prelude::*};

pub(crate) fn scratch(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.trace"));
    drop(std::fs::remove_file(&path));
    path
}

pub(crate) fn header(salt: u32) -> Header {
    Header {
        created: Ticks(5),
        created_unix_ns: 1_700_000_000_000_000_000,
        timebase: Timebase { numer: 125, denom: 3 },
        actor: Actor(3),
        role: Role::Client,
        pid: 77,
        salt,
        identity: Identity { name: "alpha".into(), arena: "/arena".into(), ..Identity::default() },
    }
}

/// One thing to write.
#[derive(Clone, Debug)]
pub(crate) enum Item {
    Record(Record),
    /// A path of these bytes.
    Path(Vec<u8>),
    /// A place that is claimed and never begun.
    Hole,
}

/// The places of a trace as they are to be read back; `None` is a hole.
pub(crate) type Places = Vec<Option<Record>>;

fn present<T>(part: &RecordPart<T>, write: impl FnOnce(&T)) {
    if let Some(part) = part.present() {
        write(part);
    }
}

/// Writes the items and says what is to be read back.
pub(crate) fn write(writer: &TraceWriter, items: &[Item]) -> Places {
    let mut places = Places::new();
    for item in items {
        match item {
            Item::Hole => {
                let _given_up = writer.claim_operation();
                places.push(None);
            }
            Item::Path(bytes) => {
                let path = writer.path(bytes);
                let length = u16::try_from(bytes.len()).unwrap();
                let pieces = if bytes.is_empty() { vec![&bytes[..]] } else { bytes.chunks(112).collect() };
                for (fragment, piece) in (0_u16..).zip(pieces) {
                    let piece = PathFragment { path, length, fragment, bytes: piece.to_vec() };
                    places.push(Some(Record::Path(piece)));
                }
            }
            Item::Record(record) => {
                record_one(writer, record);
                places.push(Some(record.clone()));
            }
        }
    }
    places
}

fn record_one(writer: &TraceWriter, record: &Record) {
    match record {
        Record::Decision(decision) => {
            let id = writer.begin_decision(&decision.begin);
            present(&decision.end, |end| writer.end_decision(id, end));
            present(&decision.target, |target| writer.decision_target(id, target));
        }
        Record::Operation(operation) => {
            let id = writer.begin_operation(&operation.begin);
            present(&operation.end, |end| writer.end_operation(id, end));
            present(&operation.target, |target| writer.operation_target(id, target));
        }
        Record::Request(request) => {
            let id = writer.begin_request(&request.begin);
            present(&request.end, |end| writer.end_request(id, end));
        }
        Record::Phase(mark) => writer.phase(mark),
        Record::Fault(fault) => writer.fault(fault),
        Record::Loss(loss) => writer.loss(loss),
        Record::Process(mark) => writer.process(mark),
        Record::Thread(mark) => writer.thread(mark),
        Record::ThreadSeen(thread_seen) => writer.thread_seen(thread_seen),
        Record::GroupMark(mark) => writer.group_mark(mark),
        Record::QueueSample(queue_sample) => writer.queue_sample(queue_sample),
        Record::Notice(notice) => drop(writer.notice(notice)),
        Record::Life(life) => writer.life(life),
        Record::Unwatched(unwatched) => writer.unwatched(unwatched),
        Record::Path(_) => unreachable!("a path is an item of its own"),
    }
}

/// The bytes of a closed trace of these items, and what is to be read back from it.
pub(crate) fn closed_trace(name: &str, header: &Header, items: &[Item]) -> (Vec<u8>, Places) {
    let path = scratch(name);
    let writer = TraceWriter::create(&path, header, WriterOptions::default()).unwrap();
    let places = write(&writer, items);
    writer.close(Ticks(9)).unwrap();
    (std::fs::read(&path).unwrap(), places)
}

fn ticks() -> impl Strategy<Value = Ticks> {
    any::<u64>().prop_map(Ticks)
}

/// No time is written as 0, so 0 itself is no optional time.
fn optional_ticks() -> impl Strategy<Value = Option<Ticks>> {
    option::of((1..=u64::MAX).prop_map(Ticks))
}

fn thread() -> impl Strategy<Value = ThreadId> {
    any::<(u32, u64, u32)>().prop_map(|(pid, tid, generation)| ThreadId { pid, tid, generation })
}

fn actor() -> impl Strategy<Value = Actor> {
    any::<u16>().prop_map(Actor)
}

fn part<T: Clone + std::fmt::Debug>(whole: impl Strategy<Value = T>) -> impl Strategy<Value = RecordPart<T>> {
    option::of(whole).prop_map(|part| part.map_or(RecordPart::Absent, RecordPart::Present))
}

fn target() -> impl Strategy<Value = Target> {
    any::<(u64, u32, u32)>().prop_map(|(inode, device, path)| Target { inode, device, path })
}

fn decision() -> impl Strategy<Value = Record> {
    let class = prop::sample::select(vec![
        SubjectClass::Workload,
        SubjectClass::Own,
        SubjectClass::OwnHelper,
        SubjectClass::Peer,
    ]);
    let begin =
        (ticks(), thread(), optional_ticks(), optional_ticks(), any::<u64>(), any::<u16>(), class, actor())
            .prop_map(|(read, subject, kernel, deadline, sequence, event, class, actor)| DecisionBegin {
                read,
                subject,
                kernel,
                deadline,
                sequence,
                event: EventKind::from_code(event),
                class,
                actor,
            });
    let verdict = prop::sample::select(vec![Verdict::Allow, Verdict::Deny]);
    let approval = prop::sample::select(Approval::ALL.to_vec());
    let end = (optional_ticks(), ticks(), verdict, approval, any::<u32>()).prop_map(
        |(started, answered, verdict, approval, error)| DecisionEnd {
            started,
            answered,
            verdict,
            approval,
            error,
        },
    );
    (begin, part(end), part(target()))
        .prop_map(|(begin, end, target)| Record::Decision(Decision { begin, end, target }))
}

fn operation() -> impl Strategy<Value = Record> {
    let cause = prop_oneof![
        Just(Cause::Workload),
        Just(Cause::Housekeeping),
        (actor(), any::<u64>()).prop_map(|(client, record)| Cause::Decision { client, record }),
    ];
    let kind = prop::sample::select(vec![OperationKind::Open, OperationKind::Exec]);
    let phase = option::of(prop::sample::select(PhaseKind::ALL.to_vec()));
    let parent = option::of(0..u64::MAX);
    let begin = (ticks(), thread(), cause, optional_ticks(), kind, any::<u16>(), phase, parent).prop_map(
        |(started, subject, cause, planned, kind, worker, phase, parent)| OperationBegin {
            started,
            subject,
            cause,
            planned,
            kind,
            worker,
            phase,
            // Only the workload's have one.
            parent: parent.filter(|_| cause == Cause::Workload),
        },
    );
    let end = (ticks(), any::<u32>(), any::<i32>(), optional_ticks(), any::<u64>()).prop_map(
        |(ended, error, status, finished, bytes)| OperationEnd { ended, error, status, finished, bytes },
    );
    (begin, part(end), part(target()))
        .prop_map(|(begin, end, target)| Record::Operation(Operation { begin, end, target }))
}

#[expect(clippy::too_many_lines, reason = "every kind of mark")]
fn mark() -> impl Strategy<Value = Record> {
    let other = || 100..=u16::MAX;
    let fault = prop_oneof![
        Just(FaultKind::DeadlineKill),
        Just(FaultKind::RunTooLong),
        Just(FaultKind::Interrupted),
        Just(FaultKind::Aborted),
        prop::sample::select(PlannedKind::ALL).prop_map(FaultKind::Planned),
        other().prop_map(FaultKind::Other)
    ];
    let loss = prop_oneof![
        Just(LossKind::Records),
        Just(LossKind::Events),
        Just(LossKind::Paths),
        Just(LossKind::Targets),
        Just(LossKind::Notices),
        Just(LossKind::NoticesOverflowed),
        Just(LossKind::NoticesUnread),
        Just(LossKind::Reactions),
        Just(LossKind::NotBegunLate),
        Just(LossKind::NotBegunHalted),
        (0_u16..4096).prop_map(LossKind::NotHandedOver),
        (100_u16..4096).prop_map(LossKind::Other)
    ];
    let process = prop_oneof![
        Just(ProcessMarkKind::Started),
        Just(ProcessMarkKind::Ready),
        Just(ProcessMarkKind::Ended),
        other().prop_map(ProcessMarkKind::Other)
    ];
    let purpose = prop_oneof![
        Just(ThreadPurpose::Control),
        Just(ThreadPurpose::Reader),
        Just(ThreadPurpose::Worker),
        Just(ThreadPurpose::Housekeeper),
        Just(ThreadPurpose::Observer),
        other().prop_map(ThreadPurpose::Other)
    ];
    prop_oneof![
        (ticks(), prop::sample::select(PhaseKind::ALL.to_vec()), any::<bool>())
            .prop_map(|(at, phase, begins)| Record::Phase(PhaseMark { at, phase, begins })),
        (ticks(), fault, actor(), any::<u64>()).prop_map(|(at, kind, actor, detail)| Record::Fault(Fault {
            at,
            kind,
            actor,
            detail
        })),
        (ticks(), loss, any::<u64>()).prop_map(|(at, kind, count)| Record::Loss(Loss { at, kind, count })),
        (ticks(), actor(), process, any::<u32>(), any::<i32>()).prop_map(|(at, actor, kind, pid, status)| {
            Record::Process(ProcessMark { at, actor, kind, pid, status })
        }),
        (ticks(), any::<u64>(), purpose, any::<u16>()).prop_map(|(at, tid, purpose, number)| {
            Record::Thread(ThreadMark { at, tid, purpose, number })
        }),
        (ticks(), actor(), any::<u32>(), any::<u64>(), any::<bool>()).prop_map(
            |(at, actor, pid, tid, there)| Record::ThreadSeen(ThreadSeen { at, actor, pid, tid, there })
        ),
        (ticks(), actor(), any::<[u32; 3]>(), 1..9_u16, any::<bool>(), any::<u64>()).prop_map(
            |(at, actor, [pid, descriptor, flags], on, arena, mask)| {
                let on = match on {
                    1 => MarkOn::Inode,
                    2 => MarkOn::Mount,
                    3 => MarkOn::FileSystem,
                    other => MarkOn::Other(other),
                };
                Record::GroupMark(GroupMark { at, actor, pid, descriptor, flags, on, arena, mask })
            }
        ),
        (ticks(), actor(), option::of(0..u64::MAX), any::<u32>(), option::of(1..u64::MAX)).prop_map(
            |(at, actor, unread, waiting, since)| {
                Record::QueueSample(QueueSample { at, actor, unread, waiting, since: since.map(Ticks) })
            }
        ),
        life().prop_map(Record::Life),
        (ticks(), ticks()).prop_map(|(from, until)| Record::Unwatched(Unwatched { from, until })),
    ]
}

fn notice() -> impl Strategy<Value = Record> {
    let class = prop::sample::select(vec![SubjectClass::Workload, SubjectClass::Own, SubjectClass::Peer]);
    let named = (ticks(), thread(), optional_ticks(), any::<u64>(), any::<u16>());
    let target = option::of(target().prop_filter("inode 0 is none", |target| target.inode != 0));
    (named, class, actor(), any::<(bool, Option<bool>)>(), target).prop_map(
        |((read, subject, kernel, sequence, bits), class, actor, (reacts, modified), target)| {
            Record::Notice(Notice {
                read,
                subject,
                kernel,
                sequence,
                events: NotifyEvents::from_bits(bits),
                class,
                actor,
                reacts,
                modified,
                target,
            })
        },
    )
}

fn life() -> impl Strategy<Value = ProcessLife> {
    let process = || (any::<u32>(), any::<u32>()).prop_map(|(pid, version)| ProcessId { pid, version });
    let signed = (vec(any::<u8>(), 0..80), "[A-Z0-9]{0,10}", any::<[u8; 20]>(), any::<bool>())
        .prop_map(|(id, team, cdhash, es)| SignedBy::new(&id, team.as_bytes(), cdhash, es));
    let step = (1..9_u16).prop_map(LifeStep::from_code);
    (ticks(), step, process(), option::of(process()), option::of(signed), any::<i32>()).prop_map(
        |(at, step, process, from, signed, status)| ProcessLife { at, step, process, from, signed, status },
    )
}

fn request() -> impl Strategy<Value = Record> {
    let begin = (ticks(), any::<u64>(), actor(), any::<u16>(), any::<bool>());
    let served = (ticks(), ticks(), ticks(), any::<u64>())
        .prop_map(|(read, begun, ended, operations)| Served { read, begun, ended, operations });
    let end = prop::option::of((ticks(), any::<u32>(), prop::option::of(served)));
    (begin, end).prop_map(|((at, decision, whom, worker, waits), end)| {
        let end = end.map_or(RecordPart::Absent, |(at, error, served)| {
            RecordPart::Present(RequestEnd { at, error, served })
        });
        Record::Request(Request { begin: RequestBegin { at, decision, whom, worker, waits }, end })
    })
}

/// Any item with any values.
pub(crate) fn item() -> impl Strategy<Value = Item> {
    prop_oneof![
        3 => decision().prop_map(Item::Record),
        3 => operation().prop_map(Item::Record),
        2 => request().prop_map(Item::Record),
        2 => notice().prop_map(Item::Record),
        5 => mark().prop_map(Item::Record),
        1 => vec(any::<u8>(), 0..300).prop_map(Item::Path),
        1 => Just(Item::Hole),
    ]
}
