//! What is written is read back, and what was not committed is not invented.

use std::path::PathBuf;

use lab_model::{
    Actor, Approval, Cause, EventKind, OperationKind, PhaseKind, Role, SubjectClass, ThreadId, Ticks, Verdict,
};
use lab_testing::traces;
use lab_trace::{
    AttachedTrace, Board, Damage, DecisionBegin, DecisionEnd, Entry, Header, Identity, OperationBegin,
    PhaseMark, Record, RecordId, RecordPart, StoredTrace, Target, Trace, TraceWriter, WriterOptions,
};

fn scratch(name: &str) -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let path = folder.join(format!("{name}.trace"));
    drop(std::fs::remove_file(&path));
    path
}

fn header() -> Header {
    traces::header(3, Role::Client, "alpha")
}

fn begin(read: u64) -> DecisionBegin {
    DecisionBegin {
        read: Ticks(read),
        subject: ThreadId { pid: 1, tid: 2, generation: 3 },
        kernel: None,
        deadline: Some(Ticks(read + 10)),
        sequence: 9,
        event: EventKind::AUTH_OPEN,
        class: SubjectClass::Peer,
        actor: Actor(4),
    }
}

fn end(answered: u64) -> DecisionEnd {
    DecisionEnd {
        started: Some(Ticks(answered - 1)),
        answered: Ticks(answered),
        verdict: Verdict::Allow,
        approval: Approval::Rule,
        error: 0,
    }
}

#[test]
fn what_is_written_is_read_back() {
    let path = scratch("what_is_written");
    let writer = TraceWriter::create(&path, &header(), WriterOptions::default()).unwrap();
    let target = Target { inode: 12, device: 0x1_0002, path: 1 };
    let id = writer.begin_decision(&begin(100));
    writer.end_decision(id, &end(110));
    writer.decision_target(id, &target);
    let name = vec![0xff; 300];
    assert_eq!(writer.path(&name), 1);
    let operation = OperationBegin {
        started: Ticks(101),
        subject: ThreadId { pid: 0, tid: 8, generation: 0 },
        cause: Cause::Decision { client: Actor(3), record: id.0 },
        planned: None,
        kind: OperationKind::Open,
        worker: 7,
        phase: None,
        parent: None,
    };
    let _unfinished = writer.begin_operation(&operation);
    writer.close(Ticks(200)).unwrap();

    let file = StoredTrace::open(&path).unwrap();
    let trace = Trace::of(&file).unwrap();
    assert_eq!(trace.header, header());
    assert_eq!((trace.closed, trace.lost, trace.tail().cut_bytes), (Some(Ticks(200)), 0, 0));
    let entries: Vec<Entry> = trace.entries().collect();
    assert_eq!(entries.len(), 5, "one decision, three pieces of a path, one operation");
    let Entry::Record { record: Record::Decision(decision), .. } = &entries[0] else { panic!("{entries:?}") };
    assert_eq!(decision.begin, begin(100));
    assert_eq!(decision.end, RecordPart::Present(end(110)));
    assert_eq!(decision.target, RecordPart::Present(target));
    let read: Vec<u8> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Record { record: Record::Path(fragment), .. } => Some(fragment.bytes.clone()),
            _ => None,
        })
        .flatten()
        .collect();
    assert_eq!(read, name);
    let Entry::Record { record: Record::Operation(read), .. } = &entries[4] else { panic!("{entries:?}") };
    assert_eq!(read.begin, operation);
    assert_eq!(read.end, RecordPart::Absent);
}

#[test]
fn a_claim_without_a_commit_is_told_apart() {
    let path = scratch("a_claim");
    let writer = TraceWriter::create(&path, &header(), WriterOptions::default()).unwrap();
    let _never_begun = writer.claim_operation();
    let id = writer.begin_decision(&begin(1));
    let file = StoredTrace::open(&path).unwrap();
    let trace = Trace::of(&file).unwrap();
    assert_eq!(trace.closed, None);
    let entries: Vec<Entry> = trace.entries().collect();
    assert_eq!(entries[0], Entry::Damaged { index: 0, damage: Damage::Uncommitted });
    assert!(matches!(&entries[1], Entry::Record { index, .. } if *index == id.0));
    assert_eq!(entries.len(), 2);
}

#[test]
fn what_does_not_fit_is_counted() {
    let path = scratch("what_does_not_fit");
    let writer = TraceWriter::create(&path, &header(), WriterOptions { bytes_max: 0 }).unwrap();
    for read in 0..lab_trace::CHUNK_RECORDS + 10 {
        let id = writer.begin_decision(&begin(read));
        writer.end_decision(id, &end(read + 1));
    }
    writer.end_decision(RecordId::LOST, &end(5));
    assert_eq!(writer.lost(), 10);
    writer.close(Ticks(9)).unwrap();
    let file = StoredTrace::open(&path).unwrap();
    let trace = Trace::of(&file).unwrap();
    assert_eq!(trace.lost, 10);
    assert_eq!(trace.entries().count() as u64, lab_trace::CHUNK_RECORDS);
}

#[test]
fn a_live_trace_is_readable_and_its_board_shows_what_is_pending() {
    let path = scratch("a_live_trace");
    let writer = TraceWriter::create(&path, &header(), WriterOptions::default()).unwrap();
    writer.board().pend(3, Ticks(50), 17, 99);
    let pending: Vec<_> = writer.board().pending().collect();
    assert_eq!(pending.len(), 1);
    assert_eq!(
        (pending[0].slot, pending[0].since, pending[0].record, pending[0].tid),
        (3, Ticks(50), 17, 99)
    );
    writer.board().settle(3);
    assert_eq!(writer.board().pending().count(), 0);
    writer.board().ask(255, Ticks(60), 17, Actor(5));
    let asks: Vec<_> = Board::attach(&path).unwrap().asks().collect();
    assert_eq!(asks.iter().map(|ask| (ask.slot, ask.record, ask.tid)).collect::<Vec<_>>(), [(255, 17, 5)]);
    writer.board().heard(255);
    assert_eq!(writer.board().asks().count(), 0);
}

#[test]
fn a_record_of_a_trace_in_use_is_found_by_its_place_until_it_is_cut_off() {
    let path = scratch("attached");
    let writer = TraceWriter::create(&path, &header(), WriterOptions::default()).unwrap();
    let mark = PhaseMark { at: Ticks(7), phase: PhaseKind::Storm, begins: true };
    writer.phase(&mark);
    let attached = AttachedTrace::open(&path).unwrap();
    assert_eq!(attached.entry(0), Some(Entry::Record { index: 0, record: Record::Phase(mark) }));
    let empty = Some(Entry::Damaged { index: 1, damage: Damage::Uncommitted });
    assert_eq!(attached.entry(1), empty, "a place that nobody has written to");
    writer.close(Ticks(9)).unwrap();
    assert_eq!(attached.entry(1), None, "closing cuts the file");
    assert_eq!(attached.entry(u64::MAX), None);
}

#[test]
fn a_record_that_was_lost_stays_lost_when_the_file_grows_after_all() {
    let path = scratch("stays_lost");
    let writer = TraceWriter::create(&path, &header(), WriterOptions::default()).unwrap();
    let mapped = 3 * lab_trace::CHUNK_RECORDS;
    for read in 0..mapped {
        assert!(!writer.begin_decision(&begin(read)).is_lost());
    }
    let lost = [writer.begin_decision(&begin(1)), writer.claim_operation()];
    assert!(lost.iter().all(|id| id.is_lost()), "{lost:?}");
    assert!(writer.grow().unwrap());
    for id in lost {
        writer.end_decision(id, &end(2));
    }
    assert_eq!(writer.begin_decision(&begin(3)), RecordId(mapped + 2));
    writer.close(Ticks(9)).unwrap();
    let file = StoredTrace::open(&path).unwrap();
    let trace = Trace::of(&file).unwrap();
    assert_eq!(trace.lost, 2);
    let holes: Vec<Entry> = trace.entries().filter(|entry| matches!(entry, Entry::Damaged { .. })).collect();
    let hole = |index| Entry::Damaged { index, damage: Damage::Uncommitted };
    assert_eq!(holes, [hole(mapped), hole(mapped + 1)]);
    assert_eq!(trace.entries().count() as u64, mapped + 3);
}

#[test]
fn a_claim_given_up_at_the_very_end_of_a_closed_trace_is_seen() {
    let path = scratch("last_claim");
    let writer = TraceWriter::create(&path, &header(), WriterOptions::default()).unwrap();
    let _first = writer.begin_decision(&begin(1));
    let _given_up = writer.claim_operation();
    writer.close(Ticks(9)).unwrap();
    let file = StoredTrace::open(&path).unwrap();
    let entries: Vec<Entry> = Trace::of(&file).unwrap().entries().collect();
    assert_eq!(entries.len(), 2);
    assert_eq!(entries[1], Entry::Damaged { index: 1, damage: Damage::Uncommitted });
}

#[test]
fn the_file_keeps_within_its_limit_and_the_limit_within_reason() {
    let limit = lab_trace::RECORDS_OFFSET as u64 + (5 << 20) - 1;
    let path = scratch("limit");
    let writer = TraceWriter::create(&path, &header(), WriterOptions { bytes_max: limit }).unwrap();
    for read in 0..6 * lab_trace::CHUNK_RECORDS {
        if read % lab_trace::CHUNK_RECORDS == 0 {
            writer.grow().unwrap();
        }
        let _kept_or_lost = writer.begin_decision(&begin(read));
    }
    assert_eq!(writer.lost(), 2 * lab_trace::CHUNK_RECORDS);
    let length = std::fs::metadata(&path).unwrap().len();
    assert_eq!(length, lab_trace::RECORDS_OFFSET as u64 + (4 << 20), "whole chunks below {limit}");

    let path = scratch("limit_too_large");
    let options = WriterOptions { bytes_max: lab_trace::TRACE_BYTES_MAX + 1 };
    let error = TraceWriter::create(&path, &header(), options).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(!path.exists());
}

#[allow(clippy::unwrap_used, reason = "a helper of tests")]
/// A trace whose process was told a great deal, as it is read back.
fn told(settings: serde_json::Value) -> Identity {
    let mut header = header();
    header.identity.settings = settings;
    let path = scratch("much-to-tell");
    let writer = TraceWriter::create(&path, &header, WriterOptions::default()).unwrap();
    writer.close(Ticks(9)).unwrap();
    let memory = lab_trace::MemoryTrace::new(&header, WriterOptions::default()).unwrap().close(Ticks(9));
    let identity = Trace::parse(&memory).unwrap().header.identity;
    let map = StoredTrace::open(&path).unwrap();
    let trace = Trace::of(&map).unwrap();
    assert!(trace.metadata_whole);
    assert_eq!(trace.header.identity, identity, "in a file as in memory");
    identity
}

#[test]
fn settings_that_have_no_room_are_left_out_from_the_largest_on_and_the_rest_stays() {
    let small = serde_json::json!({ "client": 7, "workload": ["a".repeat(1000)] });
    assert_eq!(told(small.clone()).settings, small);
    let large = |letter: &str| letter.repeat(50_000);
    let settings =
        serde_json::json!({ "client": 7, "workload": [large("a"), large("b")], "about": large("c") });
    let read = told(settings).settings;
    assert_eq!(read["client"], 7);
    assert_eq!(read["workload"], "left out: 100007 bytes");
    assert_eq!(read["about"], large("c"));
    assert_eq!(told(serde_json::json!([large("a"), large("b")])).settings, "left out: 100007 bytes");
    let many: serde_json::Map<_, _> = (0..9000).map(|n| (format!("key-{n:05}"), n.into())).collect();
    assert!(told(many.into()).settings.as_str().unwrap().starts_with("left out: "));
}
