//! Lines of `eslogger`, of any bytes or with a few places changed: imported, counted and shown.

use std::{io, sync::OnceLock};

use lab_analysis::import::{Import, Importer, Options, Recorder, findings};
use lab_model::{Timebase, Total};
use lab_trace::{DecisionBegin, Loss, MemoryTrace, Target, WriterOptions};
use serde_json::Value;

use super::{bytes::Bytes, json, pages};

const RECORDED: [&str; 3] = [
    include_str!("../../../lab-analysis/tests/eslogger/version-9.jsonl"),
    include_str!("../../../lab-analysis/tests/eslogger/version-10.jsonl"),
    include_str!("../../../lab-analysis/tests/eslogger/version-11.jsonl"),
];

/// Recorded lines, as documents.
fn lines() -> &'static [Value] {
    static LINES: OnceLock<Vec<Value>> = OnceLock::new();
    LINES.get_or_init(|| {
        let lines = RECORDED.iter().flat_map(|text| text.lines());
        lines.filter_map(|line| serde_json::from_str(line).ok()).collect()
    })
}

/// Counts what it is told and keeps nothing: a trace takes 256 KiB before its first record.
#[derive(Default)]
struct Counted {
    events: u64,
    paths: u32,
}

impl Recorder for Counted {
    fn event(&mut self, _: &DecisionBegin, _: Option<&Target>) {
        self.events += 1;
    }

    fn path(&mut self, _: &[u8]) -> u32 {
        self.paths += 1;
        self.paths
    }

    fn loss(&mut self, _: &Loss) {}

    fn make_room(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn lost(&self) -> u64 {
        0
    }
}

/// The lines that the bytes say.
fn text(bytes: &mut Bytes<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..1 + bytes.below(4) {
        let which = bytes.below(lines().len());
        let mut line = lines()[which].clone();
        let count = bytes.below(24);
        let choices: Vec<u8> = (0..count).map(|_| bytes.byte()).collect();
        json::change(&mut line, &mut Bytes::new(&choices));
        if let Ok(line) = serde_json::to_vec(&line) {
            text.extend(line);
        }
        text.push(b'\n');
    }
    text.extend(bytes.rest());
    text
}

fn adds_up(import: &Import, events: u64) {
    assert_eq!(import.lines, import.events + import.damaged + import.blank);
    let damaged: u64 = import.damaged_by_reason.values().total();
    assert_eq!((import.damaged, import.events), (damaged, events));
}

/// Lines of `eslogger`.
pub fn eslogger(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let how = bytes.byte();
    let timebase = match how >> 1 & 3 {
        0 => None,
        1 => Some(Timebase { numer: 125, denom: 3 }),
        2 => Some(Timebase { numer: u32::MAX, denom: 1 }),
        _ => Some(Timebase { numer: 0, denom: 0 }),
    };
    let surface = bytes.byte();
    let options = Options { name: bytes.name().into(), timebase, version: bytes.name().into(), salt: 7 };
    let text = if how & 1 == 0 { text(&mut bytes) } else { bytes.rest().to_vec() };
    let importer = Importer::begin(text.as_slice(), &options).expect("memory is read");
    let import = if how & 0xf0 == 0xf0 {
        let mut trace =
            MemoryTrace::new(&importer.header(), WriterOptions::default()).expect("a header fits");
        importer.finish(&mut trace).expect("memory takes it")
    } else {
        let mut counted = Counted::default();
        let import = importer.finish(&mut counted).expect("memory is read");
        adds_up(&import, counted.events);
        import
    };
    let findings = findings(&import, "a run", "lab import recording.jsonl");
    let totals = &findings.totals;
    assert_eq!(totals.decisions, import.events);
    assert_eq!(totals.decisions, totals.explained + totals.unexplained);
    pages::show(&findings, surface);
}
