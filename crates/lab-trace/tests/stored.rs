//! Traces on disk that change under their reader.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests make files and cut them")]

mod common;

use std::{fs, io::ErrorKind};

use common::{header, scratch};
use lab_files::ReadError;
use lab_model::{PhaseKind, Ticks};
use lab_trace::{
    Entry, PhaseMark, RECORD_BYTES, RECORDS_OFFSET, StoredTrace, Trace, TraceWriter, WriterOptions,
};

/// Records enough for several pieces.
const RECORDS: u64 = 5000;

fn recorded(name: &str) -> (std::path::PathBuf, TraceWriter) {
    let path = scratch(name);
    let writer = TraceWriter::create(&path, &header(7), WriterOptions::default()).unwrap();
    for at in 0..RECORDS {
        writer.phase(&PhaseMark { phase: PhaseKind::Storm, begins: true, at: Ticks(at) });
    }
    (path, writer)
}

fn cut(path: &std::path::Path, records: u64) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(RECORDS_OFFSET as u64 + records * RECORD_BYTES as u64).unwrap();
}

#[test]
fn a_stored_trace_reads_as_its_bytes_do() {
    let (path, writer) = recorded("stored_equal");
    for closed in [false, true] {
        if closed {
            writer.close(Ticks(9)).unwrap();
        }
        let stored = StoredTrace::open(&path).unwrap();
        let (bytes, from_disk) = (fs::read(&path).unwrap(), Trace::of(&stored).unwrap());
        let in_memory = Trace::parse(&bytes).unwrap();
        assert_eq!(from_disk.closed, in_memory.closed);
        assert_eq!(from_disk.tail(), in_memory.tail());
        assert_eq!(from_disk.entries().remaining() as u64, RECORDS);
        let entries: Vec<Entry> = from_disk.entries().collect();
        assert!(entries == in_memory.entries().collect::<Vec<_>>(), "closed: {closed}");
        for index in [0, 31, 32, 4999, 4321, 5000, 1 << 40, u64::MAX] {
            assert_eq!(from_disk.entry(index), in_memory.entry(index), "{index}, closed: {closed}");
        }
        stored.check().unwrap();
    }
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_trace_that_is_cut_while_it_is_read_is_an_error_of_the_reading() {
    let (path, writer) = recorded("stored_cut");
    writer.close(Ticks(9)).unwrap();
    let stored = StoredTrace::open(&path).unwrap();
    let trace = Trace::of(&stored).unwrap();
    let mut entries = trace.entries();
    assert!(entries.next().is_some());
    cut(&path, 600);
    assert!(entries.count() < 1000, "the walk ends");
    assert_eq!(stored.check().unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(trace.entry(4000), None);
    assert_eq!(trace.causes().count(), 0);
    // What is opened now is as long as it is now.
    let stored = StoredTrace::open(&path).unwrap();
    assert_eq!(Trace::of(&stored).unwrap().entries().count(), 600);
    stored.check().unwrap();
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_writer_that_closes_takes_nothing_from_a_reader() {
    let (path, writer) = recorded("stored_closes");
    let stored = StoredTrace::open(&path).unwrap();
    let length = stored.bytes();
    writer.close(Ticks(9)).unwrap();
    assert!(fs::metadata(&path).unwrap().len() < length, "closing cuts what nobody uses");
    let trace = Trace::of(&stored).unwrap();
    assert_eq!(trace.entries().count() as u64, RECORDS);
    stored.check().unwrap();
    fs::remove_file(&path).unwrap();
}

#[test]
fn what_is_no_regular_file_is_no_trace() {
    for path in ["/dev/zero", "/"] {
        assert!(matches!(StoredTrace::open(path.as_ref()), Err(ReadError::NotRegular)), "{path}");
    }
}
