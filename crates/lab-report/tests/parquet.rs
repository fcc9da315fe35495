//! The Parquet export, read back and held against the JSON lines of the same run.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(clippy::disallowed_methods, reason = "what reads the file back reads a file")]

use std::{fs::File, path::Path};

use lab_model::{NotifyEvent, PhaseKind, SubjectClass};
use lab_report::export;
use lab_testing::synthetic::{Builder, Dec, Op, lab};
use lab_trace::Trace;
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::{Field, Row},
};

/// The value at a path such as `lab.cause.actor`, as text; `null` where there is none.
fn at(row: &Row, path: &str) -> String {
    let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
    let (_, field) = row.get_column_iter().find(|(name, _)| *name == first).unwrap();
    match (field, rest) {
        (Field::Group(group), Some(rest)) => at(group, rest),
        (Field::Str(text), None) => text.clone(),
        (value, None) => value.to_string(),
        (other, Some(_)) => panic!("{path}: {other}"),
    }
}

/// The value at a path of a JSON line, in the same words.
fn in_json(line: &serde_json::Value, path: &str) -> String {
    let value = path.split('.').fold(line, |value, key| &value[key]);
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[test]
fn the_columns_are_those_of_the_json_lines() {
    let mut builder = Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), "export-parquet", lab(2));
    builder.path(1, b"/arena/files/\"quoted\"\n<b>\xff");
    let mut now = 1000;
    for root in 0..20 {
        now = builder.scanned_open(now, 900, 100 + root) + 50;
    }
    builder.decision(1, Dec::never(now, 7777, SubjectClass::Workload));
    let record = builder.notice(2, now, (900, 119), &[NotifyEvent::Open]);
    builder.operation(2, Op::child(now + 1, now + 5, 78, 2, record));
    builder.decision(1, Dec::at_once(now + 2, 78, SubjectClass::Peer));
    builder.phase(PhaseKind::Storm, 500, now + 10);
    let run = builder.finish();
    let copies = run.copies();
    let traces: Vec<Trace<'_>> = copies.iter().map(|bytes| Trace::parse(bytes).unwrap()).collect();
    let mut text = Vec::new();
    let lines = export::jsonl(&traces, &mut text).unwrap();
    let mut bytes = Vec::new();
    assert_eq!(export::parquet(&traces, &mut bytes).unwrap(), lines);
    let mut again = Vec::new();
    export::parquet(&traces, &mut again).unwrap();
    assert!(bytes == again, "the same traces give the same bytes");

    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("export-{}.parquet", std::process::id()));
    std::fs::write(&path, &bytes).unwrap();
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    let rows: Vec<Row> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(rows.len() as u64, lines);
    let same = [
        "schema_version",
        "event_type",
        "action_type",
        "process.audit_token.pid",
        "process.audit_token.pidversion",
        "process.is_es_client",
        "thread.thread_id",
        "mach_time",
        "seq_num",
        "lab.client",
        "lab.record",
        "lab.read_ns",
        "lab.started_ns",
        "lab.answered_ns",
        "lab.deadline_ns",
        "lab.approval",
        "lab.subject_class",
        "lab.cause.actor",
        "lab.cause.record",
        "lab.cause.parent",
        "lab.kind",
        "lab.merged",
        "lab.reacts",
        "lab.cause.notice.client",
        "lab.cause.notice.record",
        "lab.cause.decision.client",
        "lab.cause.decision.record",
    ];
    for (row, line) in rows.iter().zip(std::str::from_utf8(&text).unwrap().lines()) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        for path in same {
            assert_eq!(at(row, path), in_json(&line, path), "{path} of {line}");
        }
        for (ours, theirs) in [
            ("event.path", "event.open.file.path"),
            ("event.st_ino", "event.open.file.stat.st_ino"),
            ("event.st_dev", "event.open.file.stat.st_dev"),
            ("action.auth", "action.result.result.auth"),
        ] {
            assert_eq!(at(row, ours), in_json(&line, theirs), "{ours} of {line}");
        }
        assert_eq!(at(row, "event.name"), "open");
        assert_eq!(in_json(&line, "time"), format!("1970-01-01T00:00:00.{:0>9}Z", at(row, "time")));
    }
    assert!(rows.iter().any(|row| at(row, "lab.cause.actor") == "null"), "a null is a null");
}

#[test]
fn many_rows_are_several_groups() {
    let mut builder = Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), "export-groups", lab(1));
    for at in 0..70_000 {
        builder.decision(1, Dec::at_once(1000 + at, 7777, SubjectClass::Workload));
    }
    let run = builder.finish();
    let copies = run.copies();
    let traces: Vec<Trace<'_>> = copies.iter().map(|bytes| Trace::parse(bytes).unwrap()).collect();
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("groups-{}.parquet", std::process::id()));
    let written = export::parquet(&traces, File::create(&path).unwrap()).unwrap();
    let reader = SerializedFileReader::new(File::open(&path).unwrap()).unwrap();
    std::fs::remove_file(&path).unwrap();
    let groups = reader.metadata().row_groups();
    let rows: Vec<i64> = groups.iter().map(|group| group.num_rows()).collect();
    assert_eq!(rows.iter().sum::<i64>().cast_unsigned(), written);
    assert_eq!(rows, [65_536, i64::try_from(written).unwrap() - 65_536]);
}
