//! A trace of each version of the format as it was written once. It must read the same for good: whoever has to
//! change a file of `golden/` or the values below has broken every trace that people have kept.
//!
//! A file is kept as text: its length, then each 16 bytes that are not all zero behind their offset.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::fmt::Write;

use common::{Item, Places, scratch, write};
use lab_model::{
    Actor, Approval, Cause, EventKind, OperationKind, PhaseKind, Role, SubjectClass, ThreadId, Ticks,
    Timebase, Verdict,
};
use lab_trace::{
    Counter, Damage, Decision, DecisionBegin, DecisionEnd, Entry, Fault, FaultKind, Header, HostFacts,
    Identity, Loss, LossKind, Operation, OperationBegin, OperationEnd, PhaseMark, ProcessMark,
    ProcessMarkKind, Record, RecordPart, Target, ThreadMark, ThreadPurpose, Trace, TraceWriter, Unwatched,
    WriterOptions,
};

const GOLDEN_1_0: &str = include_str!("golden/v1.0.trace.hex");
const GOLDEN_1_1: &str = include_str!("golden/v1.1.trace.hex");
const LINE_BYTES: usize = 16;

fn header() -> Header {
    Header {
        created: Ticks(1_000),
        created_unix_ns: 1_700_000_000_123_456_789,
        timebase: Timebase { numer: 125, denom: 3 },
        actor: Actor(3),
        role: Role::Client,
        pid: 4_242,
        salt: 0x5EED_5EED,
        identity: Identity {
            name: "alpha".into(),
            bundle_id: Some("com.example.alpha".into()),
            version: "0.1.0".into(),
            arena: "/arena".into(),
            settings: serde_json::json!({ "preset": "scanner" }),
            host: HostFacts { kernel: "Linux 6.1".into(), machine: "x86_64".into(), cpus: vec![0, 1] },
        },
    }
}

fn decisions() -> [Record; 2] {
    let begin = DecisionBegin {
        read: Ticks(2_000),
        subject: ThreadId { pid: 0, tid: 4_711, generation: 0 },
        kernel: None,
        deadline: Some(Ticks(1_002_000)),
        sequence: 0,
        event: EventKind::AUTH_OPEN,
        class: SubjectClass::Workload,
        actor: Actor::UNKNOWN,
    };
    let end = DecisionEnd {
        started: Some(Ticks(2_100)),
        answered: Ticks(2_900),
        verdict: Verdict::Allow,
        approval: Approval::Rule,
        error: 0,
    };
    let target = Target { inode: 99, device: 0x0010_0002, path: 1 };
    let unanswered = DecisionBegin {
        subject: ThreadId { pid: 55, tid: 56, generation: 57 },
        kernel: Some(Ticks(1_990)),
        sequence: 12,
        event: EventKind::Other(600),
        class: SubjectClass::Peer,
        actor: Actor(4),
        ..begin
    };
    [
        Record::Decision(Decision {
            begin,
            end: RecordPart::Present(end),
            target: RecordPart::Present(target),
        }),
        Record::Decision(Decision { begin: unanswered, end: RecordPart::Absent, target: RecordPart::Absent }),
    ]
}

fn operations() -> [Record; 2] {
    let begin = OperationBegin {
        started: Ticks(2_200),
        subject: ThreadId { pid: 4_242, tid: 4_243, generation: 1 },
        cause: Cause::Decision { client: Actor(3), record: 0 },
        planned: None,
        kind: OperationKind::Open,
        worker: 7,
        phase: Some(PhaseKind::Storm),
        parent: None,
    };
    let end = OperationEnd {
        ended: Ticks(2_700),
        error: 13,
        status: 0,
        finished: Some(Ticks(2_800)),
        bytes: 4_096,
    };
    let target = Target { inode: 99, device: 0x0010_0002, path: 1 };
    let exec = OperationBegin {
        cause: Cause::Workload,
        planned: Some(Ticks(2_150)),
        kind: OperationKind::Exec,
        phase: None,
        ..begin
    };
    let killed = OperationEnd { error: 0, status: 9, finished: None, bytes: 0, ..end };
    [
        Record::Operation(Operation {
            begin,
            end: RecordPart::Present(end),
            target: RecordPart::Present(target),
        }),
        Record::Operation(Operation {
            begin: exec,
            end: RecordPart::Present(killed),
            target: RecordPart::Absent,
        }),
    ]
}

fn items() -> Vec<Item> {
    let at = Ticks(3_000);
    let [answered, unanswered] = decisions();
    let [open, exec] = operations();
    let marks = [
        Record::Phase(PhaseMark { at, phase: PhaseKind::Storm, begins: true }),
        Record::Phase(PhaseMark { at, phase: PhaseKind::Storm, begins: false }),
        Record::Fault(Fault { at, kind: FaultKind::DeadlineKill, actor: Actor(4), detail: 17 }),
        Record::Loss(Loss { at, kind: LossKind::Events, count: 5 }),
        Record::Process(ProcessMark {
            at,
            actor: Actor(4),
            kind: ProcessMarkKind::Ended,
            pid: 4_300,
            status: 9,
        }),
        Record::Thread(ThreadMark { at, tid: 4_243, purpose: ThreadPurpose::Worker, number: 7 }),
    ];
    let mut items: Vec<Item> = [answered, unanswered].map(Item::Record).into();
    items.push(Item::Path(format!("/arena/{}", "a".repeat(120)).into_bytes()));
    items.push(Item::Hole);
    items.extend([open, exec].into_iter().chain(marks).map(Item::Record));
    items
}

/// What version 1.1 has beside: a time in which nobody watched.
fn items_1_1() -> Vec<Item> {
    let unwatched = Unwatched { from: Ticks(3_100), until: Ticks(3_900) };
    let mut items = items();
    items.push(Item::Record(Record::Unwatched(unwatched)));
    items
}

fn from_text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(length) = line.strip_prefix("length ") {
            bytes = vec![0; length.parse().unwrap()];
            continue;
        }
        let (offset, row) = line.split_once(": ").unwrap();
        let offset = usize::from_str_radix(offset, 16).unwrap();
        for (place, byte) in row.split(' ').enumerate() {
            bytes[offset + place] = u8::from_str_radix(byte, 16).unwrap();
        }
    }
    bytes
}

fn to_text(bytes: &[u8]) -> String {
    let mut text = format!("length {}\n", bytes.len());
    for (line, row) in
        bytes.chunks(LINE_BYTES).enumerate().filter(|(_, row)| row.iter().any(|&byte| byte != 0))
    {
        let row: Vec<String> = row.iter().map(|byte| format!("{byte:02x}")).collect();
        writeln!(text, "{:06x}: {}", line * LINE_BYTES, row.join(" ")).unwrap();
    }
    text
}

fn entries(places: &Places) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (index, place) in (0..).zip(places) {
        entries.push(match place {
            Some(record) => Entry::Record { index, record: record.clone() },
            None => Entry::Damaged { index, damage: Damage::Uncommitted },
        });
    }
    entries
}

/// Writes values with the writer of today.
fn written_now(name: &str, items: &[Item]) -> (Vec<u8>, Places) {
    let path = scratch(name);
    let writer = TraceWriter::create(&path, &header(), WriterOptions::default()).unwrap();
    writer.board().add(Counter::Events, 2);
    writer.board().add(Counter::Answers, 1);
    writer.board().pend(1, Ticks(2_000), 1, 56);
    writer.board().operate(2, Ticks(2_200), 5, 4_243);
    let places = write(&writer, items);
    writer.close(Ticks(4_000)).unwrap();
    (std::fs::read(&path).unwrap(), places)
}

/// Checks that a kept file reads as these items.
fn reads_as_ever(golden: &str, version: &str, items: &[Item]) {
    let bytes = from_text(golden);
    let trace = Trace::parse(&bytes).unwrap();
    assert_eq!(trace.header, header());
    assert!(trace.metadata_whole && !trace.tail().is_cut());
    assert_eq!((trace.closed, trace.lost), (Some(Ticks(4_000)), 0));
    let (_, places) = written_now(&format!("golden_reads_{version}"), items);
    assert_eq!(trace.entries().collect::<Vec<_>>(), entries(&places));

    let path = scratch(&format!("golden_board_{version}"));
    std::fs::write(&path, &bytes).unwrap();
    let board = lab_trace::Board::attach(&path).unwrap();
    assert_eq!((board.get(Counter::Events), board.get(Counter::Answers)), (2, 1));
    let pending: Vec<_> =
        board.pending().map(|slot| (slot.slot, slot.since, slot.record, slot.tid)).collect();
    assert_eq!(pending, [(1, Ticks(2_000), 1, 56)]);
    let under_way: Vec<_> =
        board.operations().map(|slot| (slot.slot, slot.since, slot.record, slot.tid)).collect();
    assert_eq!(under_way, [(2, Ticks(2_200), 5, 4_243)]);
}

#[test]
fn a_trace_of_version_1_0_reads_as_ever() {
    reads_as_ever(GOLDEN_1_0, "1_0", &items());
}

#[test]
fn a_trace_of_version_1_1_reads_as_ever() {
    reads_as_ever(GOLDEN_1_1, "1_1", &items_1_1());
}

/// May go when the writer writes a later version; the tests above stay.
#[test]
fn the_writer_writes_version_1_1_to_the_byte() {
    let text = to_text(&written_now("golden_writes", &items_1_1()).0);
    let golden: Vec<&str> = GOLDEN_1_1.lines().filter(|line| !line.starts_with('#')).collect();
    let now = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("golden.trace.hex");
    std::fs::write(&now, &text).unwrap();
    assert_eq!(text.lines().collect::<Vec<_>>(), golden, "what is written now is in {}", now.display());
}
