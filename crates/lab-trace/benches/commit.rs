//! What it costs to commit one decision record (begin, end and target, page faults excluded), and to read it.
//!
//! `cargo bench -p lab-trace` prints the medians and the spreads over nine rounds. For a quiet number pin it:
//! `taskset -c 1 cargo bench -p lab-trace`. Every round writes a new trace whose chunks are allocated and
//! populated before the clock starts; in a run the housekeeping thread does that ahead of the writers.
//! With the argument `--threads N` as many threads record into one trace at once.
#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock and its arguments")]
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot write its trace has nothing to say")]

use std::{hint::black_box, path::PathBuf, time::Instant};

use lab_model::{Actor, Approval, EventKind, Role, SubjectClass, ThreadId, Ticks, Verdict};
use lab_testing::traces;
use lab_trace::{
    CHUNK_RECORDS, DecisionBegin, DecisionEnd, Entry, Header, Target, Trace, TraceWriter, WriterOptions,
};

const ROUNDS: usize = 9;
/// What is mapped when a trace is created, less one, so that no store needs `grow`.
const RECORDS_A_ROUND: u64 = CHUNK_RECORDS * 3 - 1;
/// The most that committing one decision may cost, in nanoseconds.
const BAR_NS: f64 = 100.0;

fn header() -> Header {
    traces::header(3, Role::Client, "bench")
}

fn commit_one(writer: &TraceWriter, now: u64) {
    let id = writer.begin_decision(black_box(&DecisionBegin {
        read: Ticks(now),
        subject: ThreadId { pid: 0, tid: 4711, generation: 0 },
        kernel: None,
        deadline: Some(Ticks(now + 1_000_000)),
        sequence: now,
        event: EventKind::AUTH_OPEN,
        class: SubjectClass::Workload,
        actor: Actor::UNKNOWN,
    }));
    writer.end_decision(
        id,
        black_box(&DecisionEnd {
            started: None,
            answered: Ticks(now + 1),
            verdict: Verdict::Allow,
            approval: Approval::Rule,
            error: 0,
        }),
    );
    writer.decision_target(id, black_box(&Target { inode: now, device: 7, path: 3 }));
}

/// Nanoseconds to write and to read each record of one round.
fn round(threads: u64) -> [f64; 2] {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("bench.trace");
    drop(std::fs::remove_file(&path));
    let writer = TraceWriter::create(&path, &header(), WriterOptions::default()).unwrap();
    let each = RECORDS_A_ROUND / threads;
    let start = Instant::now();
    if threads == 1 {
        (0..each).for_each(|now| commit_one(&writer, now));
    } else {
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..each).for_each(|now| commit_one(&writer, now)));
            }
        });
    }
    let elapsed = start.elapsed();
    assert_eq!(writer.lost(), 0, "everything fitted, so everything was measured");
    writer.close(Ticks(1)).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    drop(std::fs::remove_file(&path));
    let start = Instant::now();
    let trace = Trace::parse(&bytes).unwrap();
    let whole = trace.entries().filter(|entry| matches!(entry, Entry::Record { .. })).count();
    let read = start.elapsed();
    assert_eq!(whole as u64, each * threads, "what was written is what was read");
    [elapsed.as_secs_f64() * 1e9 / each as f64, read.as_secs_f64() * 1e9 / whole as f64]
}

/// The least, the median and the most of one figure of all rounds.
fn spread(rounds: &[[f64; 2]], figure: usize) -> [f64; 3] {
    let mut figures: Vec<f64> = rounds.iter().map(|round| round[figure]).collect();
    figures.sort_by(f64::total_cmp);
    [figures[0], figures[ROUNDS / 2], figures[ROUNDS - 1]]
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let threads = arguments
        .iter()
        .position(|argument| argument == "--threads")
        .and_then(|at| arguments.get(at + 1)?.parse().ok())
        .unwrap_or(1);
    round(threads);
    let rounds: Vec<[f64; 2]> = (0..ROUNDS).map(|_| round(threads)).collect();
    let ([least, median, most], [read_least, read, read_most]) = (spread(&rounds, 0), spread(&rounds, 1));
    let verdict = if median <= BAR_NS { "met" } else { "missed" };
    println!(
        "one decision (begin + end + target), {ROUNDS} rounds of {RECORDS_A_ROUND}, {threads} thread(s)"
    );
    println!("commit: median {median:.1} ns, {least:.1} to {most:.1} ns; bar {BAR_NS} ns: {verdict}");
    println!("read:   median {read:.1} ns, {read_least:.1} to {read_most:.1} ns");
}
