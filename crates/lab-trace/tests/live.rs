//! Many threads record at once: a reader beside them, a process that is killed, a close that comes too early.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use common::{header, scratch};
use lab_model::{Actor, Approval, EventKind, SubjectClass, ThreadId, Ticks, Verdict};
use lab_trace::{
    CHUNK_RECORDS, Counter, Damage, Decision, DecisionBegin, DecisionEnd, Entry, RECORD_BYTES,
    RECORDS_OFFSET, Record, RecordPart, StoredTrace, Target, Trace, TraceWriter, WriterOptions,
};

const SALT: u32 = 7;
const CHILD_TRACE: &str = "LAB_TRACE_TEST_CHILD";
const CHILD_THREADS: u64 = 3;
const KILLS: u64 = 50;
/// One acknowledgement: a thread and how many decisions it has committed.
const ACKNOWLEDGEMENT_BYTES: usize = 16;

/// Everything in decision `number` of thread `tid` follows from the two.
fn decision(tid: u64, number: u64) -> Decision {
    let seed = (tid << 32 | number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    Decision {
        begin: DecisionBegin {
            read: Ticks(seed),
            subject: ThreadId { pid: 0, tid, generation: 0 },
            kernel: None,
            deadline: Some(Ticks(seed | 1)),
            sequence: number,
            event: EventKind::AUTH_OPEN,
            class: SubjectClass::Workload,
            actor: Actor::UNKNOWN,
        },
        end: RecordPart::Present(DecisionEnd {
            started: None,
            answered: Ticks(!seed),
            verdict: Verdict::Allow,
            approval: Approval::Rule,
            error: 0,
        }),
        target: RecordPart::Present(Target { inode: seed, device: 1, path: 0 }),
    }
}

fn commit(writer: &TraceWriter, decision: &Decision) {
    let id = writer.begin_decision(&decision.begin);
    writer.end_decision(id, decision.end.present().unwrap());
    writer.decision_target(id, decision.target.present().unwrap());
}

/// Asserts that a part is either not there yet or what it should be.
fn as_written<T: PartialEq + std::fmt::Debug>(read: &RecordPart<T>, written: &RecordPart<T>) {
    assert!(matches!(read, RecordPart::Absent) || read == written, "{read:?} is not {written:?}");
}

/// Counts the whole decisions of each thread, after a look at every record of the trace.
fn whole_decisions(trace: &Trace<'_>, holes_max: u64) -> BTreeMap<u64, u64> {
    let (mut whole, mut holes) = (BTreeMap::new(), 0);
    for entry in trace.entries() {
        let read = match entry {
            Entry::Record { record: Record::Decision(read), .. } => read,
            Entry::Damaged { damage: Damage::Uncommitted, .. } => {
                holes += 1;
                continue;
            }
            other => panic!("nobody wrote {other:?}"),
        };
        let (tid, number) = (read.begin.subject.tid, read.begin.sequence);
        let written = decision(tid, number);
        assert_eq!(read.begin, written.begin);
        as_written(&read.end, &written.end);
        as_written(&read.target, &written.target);
        if read == written {
            let count = whole.entry(tid).or_insert(0);
            assert_eq!(number, *count, "a thread's decisions come in order and without a gap");
            *count += 1;
        }
    }
    assert!(holes <= holes_max, "{holes} places were claimed and not committed");
    whole
}

#[test]
fn what_several_threads_have_committed_reads_back_whole_while_they_go_on() {
    let path = scratch("several_threads");
    let writer = TraceWriter::create(&path, &header(SALT), WriterOptions::default()).unwrap();
    const EACH: u64 = 20_000;
    let committed: [AtomicU64; 3] = Default::default();
    let (mut looks_midway, looked) = (0, AtomicBool::new(false));
    std::thread::scope(|scope| {
        for (tid, committed) in (0..).zip(&committed) {
            let (writer, looked) = (&writer, &looked);
            scope.spawn(move || {
                for number in 0..EACH {
                    if number % 256 == 0 {
                        writer.grow().unwrap();
                    }
                    // Half way, whatever the scheduler does, the reader has its look.
                    while number == EACH / 2 && !looked.load(Ordering::Acquire) {
                        std::thread::yield_now();
                    }
                    commit(writer, &decision(tid, number));
                    committed.store(number + 1, Ordering::Release);
                }
            });
        }
        loop {
            let before = committed.each_ref().map(|count| count.load(Ordering::Acquire));
            let file = StoredTrace::open(&path).unwrap();
            let read = whole_so_far(&Trace::of(&file).unwrap());
            for (tid, &count) in (0..).zip(&before) {
                let seen = read.get(&tid).copied().unwrap_or(0);
                assert!(seen >= count, "thread {tid} had committed {count}, {seen} are whole");
            }
            let total: u64 = before.iter().sum();
            let midway = total > 0 && total < EACH * 3;
            looks_midway += u64::from(midway);
            looked.fetch_or(midway, Ordering::Release);
            if total == EACH * 3 {
                break;
            }
        }
    });
    assert!(looks_midway > 0, "the reader looked while the threads were recording");
    assert_eq!(writer.lost(), 0);
    writer.close(Ticks(1)).unwrap();
    let file = StoredTrace::open(&path).unwrap();
    let trace = Trace::of(&file).unwrap();
    let whole = whole_decisions(&trace, 0);
    assert_eq!(whole, BTreeMap::from([(0, EACH), (1, EACH), (2, EACH)]));
}

/// Counts the whole decisions of a trace that is being written: a part that is just being stored may look
/// damaged to a reader on a machine that reorders loads, so only what is whole counts.
fn whole_so_far(trace: &Trace<'_>) -> BTreeMap<u64, u64> {
    let mut whole = BTreeMap::new();
    for entry in trace.entries() {
        if let Entry::Record { record: Record::Decision(read), .. } = entry
            && read == decision(read.begin.subject.tid, read.begin.sequence)
        {
            *whole.entry(read.begin.subject.tid).or_insert(0) += 1;
        }
    }
    whole
}

/// The child's half of the next test: records until it is killed, and says what it has committed.
#[test]
#[ignore = "runs as the child of the test below"]
#[expect(clippy::disallowed_methods, reason = "the parent names the file in the environment")]
fn child_records_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD_TRACE) else { return };
    let writer = TraceWriter::create(Path::new(&path), &header(SALT), WriterOptions::default()).unwrap();
    std::thread::scope(|scope| {
        for tid in 0..CHILD_THREADS {
            let writer = &writer;
            scope.spawn(move || {
                for number in 0.. {
                    if number % 256 == 0 {
                        writer.grow().unwrap();
                    }
                    commit(writer, &decision(tid, number));
                    writer.board().add(Counter::Answers, 1);
                    if (number ^ tid) % 5 == 0 {
                        let mut acknowledgement = [0; ACKNOWLEDGEMENT_BYTES];
                        acknowledgement[..8].copy_from_slice(&tid.to_le_bytes());
                        acknowledgement[8..].copy_from_slice(&(number + 1).to_le_bytes());
                        // One write of less than PIPE_BUF arrives in one piece.
                        std::io::stderr().write_all(&acknowledgement).unwrap();
                    }
                }
            });
        }
    });
}

/// Runs a child, kills it once it has acknowledged so often, and returns what each of its threads had
/// acknowledged by then.
#[expect(clippy::disallowed_methods, reason = "only another process can be killed")]
fn killed_child(path: &Path, acknowledgements: u64) -> BTreeMap<u64, u64> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_records_until_it_is_killed", "--ignored", "--nocapture"])
        .env(CHILD_TRACE, path)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stderr.take().unwrap();
    let mut committed = BTreeMap::new();
    let mut seen = 0;
    let mut bytes = [0; ACKNOWLEDGEMENT_BYTES];
    // What was in the pipe when the child died counts too.
    while pipe.read_exact(&mut bytes).is_ok() {
        let [tid, count] = [0, 8].map(|at| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()));
        assert!(tid < CHILD_THREADS, "the child failed: {}", String::from_utf8_lossy(&bytes));
        committed.insert(tid, count);
        seen += 1;
        if seen == acknowledgements {
            child.kill().unwrap();
        }
    }
    assert_eq!(child.wait().unwrap().signal(), Some(9), "the child was killed and did not end by itself");
    committed
}

#[test]
fn a_killed_process_loses_nothing_that_it_had_committed() {
    let path = scratch("killed");
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    for kill in 0..KILLS {
        drop(std::fs::remove_file(&path));
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let committed = killed_child(&path, 1 + (random >> 33) % 4000);
        let file = StoredTrace::open(&path).unwrap();
        let trace = Trace::of(&file).unwrap();
        assert_eq!((trace.closed, trace.lost), (None, 0));
        let whole = whole_decisions(&trace, CHILD_THREADS);
        for (tid, count) in committed {
            let read = whole.get(&tid).copied().unwrap_or(0);
            assert!(read >= count, "kill {kill}: thread {tid} had committed {count}, {read} are whole");
        }
        let answers = lab_trace::Board::attach(&path).unwrap().get(Counter::Answers);
        assert!(whole.values().sum::<u64>() >= answers, "the board counts only what was committed");
    }
}

#[test]
fn a_thread_that_records_into_a_closed_trace_is_not_harmed_and_its_records_count_as_lost() {
    let path = scratch("closed_early");
    let writer = TraceWriter::create(&path, &header(SALT), WriterOptions::default()).unwrap();
    let closed = AtomicBool::new(false);
    let begun = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for tid in 0..2 {
            let (writer, closed, begun) = (&writer, &closed, &begun);
            scope.spawn(move || {
                let mut number = 0;
                let mut rest = 3 * CHUNK_RECORDS;
                while rest > 0 {
                    commit(writer, &decision(tid, number));
                    number += 1;
                    begun.fetch_add(1, Ordering::Relaxed);
                    rest -= u64::from(closed.load(Ordering::Relaxed));
                    // The file still grows until it is closed, and not after.
                    if number % 256 == 0 {
                        writer.grow().unwrap();
                    }
                }
            });
        }
        while begun.load(Ordering::Relaxed) < 10_000 {
            std::hint::spin_loop();
        }
        writer.close(Ticks(5)).unwrap();
        closed.store(true, Ordering::Relaxed);
    });
    assert!(!writer.grow().unwrap(), "a closed trace does not grow");
    writer.close(Ticks(6)).unwrap();
    let file = StoredTrace::open(&path).unwrap();
    let trace = Trace::of(&file).unwrap();
    assert_eq!(trace.closed, Some(Ticks(5)), "the first close counts");
    assert!(!trace.tail().is_cut());
    let whole: u64 = whole_decisions(&trace, 0).values().sum();
    // Of what a thread records once it knows of the closing, the first may have come before.
    assert!(trace.lost >= 2 * (3 * CHUNK_RECORDS - 1), "{} are lost", trace.lost);
    assert_eq!(whole + trace.lost, begun.load(Ordering::Relaxed), "recorded and lost are all");
    assert_eq!(file.bytes() - RECORDS_OFFSET as u64, whole * RECORD_BYTES as u64);
}
