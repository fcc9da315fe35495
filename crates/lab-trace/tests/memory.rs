//! A trace in memory has the bytes of a trace in a file.
#![allow(clippy::unwrap_used, reason = "a test that cannot write has failed")]

use std::path::PathBuf;

use lab_model::{
    Actor, Approval, Cause, EventKind, OperationKind, PhaseKind, Role, SubjectClass, ThreadId, Ticks, Verdict,
};
use lab_testing::traces;
use lab_trace::{
    CHUNK_RECORDS, DecisionBegin, DecisionEnd, Fault, FaultKind, Header, Loss, LossKind, MemoryTrace,
    OperationBegin, OperationEnd, PhaseMark, ProcessMark, ProcessMarkKind, Target, ThreadMark, ThreadPurpose,
    Trace, TraceWriter, WriterOptions,
};

fn header() -> Header {
    traces::header(3, Role::Client, "alpha")
}

fn decision(read: u64) -> DecisionBegin {
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

fn operation() -> OperationBegin {
    OperationBegin {
        started: Ticks(8),
        subject: ThreadId { pid: 5, tid: 6, generation: 0 },
        cause: Cause::Decision { client: Actor(3), record: 0 },
        planned: None,
        kind: OperationKind::Open,
        worker: 2,
        phase: Some(PhaseKind::Storm),
        parent: None,
    }
}

/// The same calls on both kinds of writer.
macro_rules! write_all {
    ($trace:expr) => {{
        let first = $trace.begin_decision(&decision(1));
        let second = $trace.begin_decision(&decision(2));
        let made = $trace.begin_operation(&operation());
        let path = $trace.path(&[b'x'; 300]);
        let target = Target { inode: 12, device: 0x1_0002, path };
        let end = OperationEnd { ended: Ticks(9), error: 1, status: -1, finished: None, bytes: 4 };
        $trace.end_operation(made, &end);
        $trace.operation_target(made, &target);
        $trace.end_decision(
            first,
            &DecisionEnd {
                started: Some(Ticks(3)),
                answered: Ticks(4),
                verdict: Verdict::Allow,
                approval: Approval::Rule,
                error: 0,
            },
        );
        $trace.decision_target(second, &target);
        $trace.phase(&PhaseMark { at: Ticks(1), phase: PhaseKind::Storm, begins: true });
        $trace.fault(&Fault { at: Ticks(2), kind: FaultKind::DeadlineKill, actor: Actor(1), detail: 3 });
        $trace.loss(&Loss { at: Ticks(3), kind: LossKind::Events, count: 4 });
        let kind = ProcessMarkKind::Ended;
        $trace.process(&ProcessMark { at: Ticks(4), actor: Actor(1), kind, pid: 5, status: 9 });
        $trace.thread(&ThreadMark { at: Ticks(5), tid: 6, purpose: ThreadPurpose::Worker, number: 1 });
        for at in 0..CHUNK_RECORDS + 5 {
            // Whether it fits is the options' business.
            let _place = $trace.begin_decision(&decision(at));
        }
    }};
}

fn file_bytes(name: &str, options: WriterOptions) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.trace"));
    drop(std::fs::remove_file(&path));
    let writer = TraceWriter::create(&path, &header(), options).unwrap();
    write_all!(writer);
    writer.close(Ticks(99)).unwrap();
    std::fs::read(path).unwrap()
}

fn memory_bytes(options: WriterOptions) -> Vec<u8> {
    let mut trace = MemoryTrace::new(&header(), options).unwrap();
    write_all!(trace);
    trace.close(Ticks(99))
}

#[test]
fn memory_and_file_have_the_same_bytes() {
    let options = WriterOptions::default();
    assert!(file_bytes("memory_same", options) == memory_bytes(options));
}

#[test]
fn what_does_not_fit_is_lost_in_both() {
    let options = WriterOptions { bytes_max: 1 };
    let bytes = memory_bytes(options);
    assert!(file_bytes("memory_full", options) == bytes);
    let trace = Trace::parse(&bytes).unwrap();
    assert!(trace.lost > 0 && trace.closed == Some(Ticks(99)));
    assert_eq!(trace.entries().remaining() as u64, CHUNK_RECORDS);
}

#[test]
fn a_cut_off_trace_is_not_closed() {
    let mut trace = MemoryTrace::new(&header(), WriterOptions::default()).unwrap();
    let id = trace.begin_decision(&decision(1));
    assert_eq!((id.0, trace.claimed(), trace.lost()), (0, 1, 0));
    let bytes = trace.cut_off();
    assert_eq!(Trace::parse(&bytes).unwrap().closed, None);
}
