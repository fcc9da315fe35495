//! A disk that takes no more: recording goes on, what does not fit is counted, and nothing half-made stays.
//!
//! The limit on a file's size stands in for the full disk: it needs no privilege and fails the same calls.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![expect(clippy::disallowed_methods, reason = "the limit counts for a whole process, so another one has it")]

mod common;

use std::{path::PathBuf, process::Command};

use common::{header, scratch};
use lab_model::{PhaseKind, Ticks};
use lab_trace::{CHUNK_RECORDS, Entry, PhaseMark, Record, StoredTrace, Trace, TraceWriter, WriterOptions};

const CHILD_TRACE: &str = "LAB_TRACE_TEST_FULL";
/// What is written of a path that does not fit: nothing of its three records.
const PATH_RECORDS: u64 = 3;

fn mark(at: u64) -> PhaseMark {
    PhaseMark { at: Ticks(at), phase: PhaseKind::Drain, begins: true }
}

/// Runs a test of this program in a process whose files end after `kib` KiB.
fn with_files_of(kib: u64, test: &str, path: &PathBuf) {
    let script = format!("trap '' XFSZ; ulimit -f {} && exec \"$0\" \"$@\"", kib * 2);
    let output = Command::new("sh")
        .args(["-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(CHILD_TRACE, path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "runs as the child of the tests below"]
fn child_cannot_create() {
    let Ok(path) = std::env::var(CHILD_TRACE) else { return };
    let error = TraceWriter::create(path.as_ref(), &header(1), WriterOptions::default()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::FileTooLarge);
}

#[test]
fn a_trace_that_cannot_be_created_leaves_no_file() {
    let path = scratch("full_at_once");
    with_files_of(2048, "child_cannot_create", &path);
    assert!(!path.exists());
}

#[test]
#[ignore = "runs as the child of the tests below"]
fn child_cannot_grow() {
    let Ok(path) = std::env::var(CHILD_TRACE) else { return };
    let writer = TraceWriter::create(path.as_ref(), &header(1), WriterOptions::default()).unwrap();
    let room = 3 * CHUNK_RECORDS;
    for at in 0..room - 1 {
        writer.phase(&mark(at));
    }
    writer.grow().unwrap_err();
    assert_eq!(writer.path(&[b'a'; 300]), 0, "the path does not fit as a whole");
    assert_eq!(writer.lost(), PATH_RECORDS);
    for at in 0..100 {
        writer.phase(&mark(at));
    }
    writer.grow().unwrap_err();
    writer.close(Ticks(7)).unwrap();
}

#[test]
fn what_a_full_disk_does_not_take_is_counted_and_the_rest_is_whole() {
    let path = scratch("full_later");
    with_files_of(4096, "child_cannot_grow", &path);
    let file = StoredTrace::open(&path).unwrap();
    let trace = Trace::of(&file).unwrap();
    assert_eq!((trace.closed, trace.lost), (Some(Ticks(7)), PATH_RECORDS + 100));
    assert!(!trace.tail().is_cut());
    let room = 3 * CHUNK_RECORDS;
    let entries: Vec<Entry> = trace.entries().collect();
    assert_eq!(entries.len() as u64, room, "the last place was claimed for the path and stayed empty");
    let (last, marks) = entries.split_last().unwrap();
    assert!(matches!(last, Entry::Damaged { .. }), "{last:?}");
    for (at, entry) in (0..).zip(marks) {
        assert_eq!(*entry, Entry::Record { index: at, record: Record::Phase(mark(at)) });
    }
}
