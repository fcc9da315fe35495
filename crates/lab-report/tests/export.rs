//! Exports of runs whose answer is known.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use lab_analysis::{
    findings::Findings,
    import::{Import, Importer, Options},
};
use lab_model::{NotifyEvent, OperationKind, PhaseKind, SubjectClass, Ticks, Timebase};
use lab_report::{
    export::{Caps, Exported, jsonl, perfetto},
    text::Style,
};
use lab_testing::synthetic::{Builder, Dec, Op, Run, analyse_bytes, lab};
use lab_trace::{MemoryTrace, Trace, WriterOptions};

const ROOTS: u64 = 50;
const CLIENTS: u64 = 3;
const DECISIONS: u64 = ROOTS * CLIENTS * (CLIENTS + 1);

/// A storm of scanned opens by three clients: twelve decisions and four operations for each.
fn storm(name: &str) -> Run {
    let mut builder = Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), name, lab(3));
    builder.path(1, b"/arena/files/\"quoted\"\n<b>\xff");
    let mut now = 1000;
    for root in 0..ROOTS {
        now = builder.scanned_open(now, 900, 100 + root % 10) + 50;
    }
    builder.phase(PhaseKind::Storm, 500, now);
    builder.phase(PhaseKind::Drain, now, now + 1000);
    builder.finish()
}

fn exported(bytes: &[&[u8]], findings: &Findings, caps: &Caps) -> (Exported, Vec<u8>) {
    let traces: Vec<Trace<'_>> = bytes.iter().filter_map(|bytes| Trace::parse(bytes).ok()).collect();
    let mut file = Vec::new();
    let exported = perfetto(&traces, findings, caps, &mut file).unwrap();
    (exported, file)
}

fn lines(bytes: &[&[u8]]) -> Vec<serde_json::Value> {
    let traces: Vec<Trace<'_>> = bytes.iter().filter_map(|bytes| Trace::parse(bytes).ok()).collect();
    let mut text = Vec::new();
    let written = jsonl(&traces, &mut text).unwrap();
    let lines: Vec<_> =
        String::from_utf8(text).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len() as u64, written);
    lines
}

/// The packets of a Perfetto trace, as bytes: field 1, length-delimited, and nothing else.
fn packets(mut file: &[u8]) -> Vec<&[u8]> {
    let mut packets = Vec::new();
    while let Some((&key, rest)) = file.split_first() {
        assert_eq!(key, 0x0a, "a packet begins");
        let (mut length, mut rest) = (0_usize, rest);
        for shift in (0..).step_by(7) {
            let (&byte, behind) = rest.split_first().unwrap();
            length |= usize::from(byte & 0x7f) << shift;
            rest = behind;
            if byte < 0x80 {
                break;
            }
        }
        packets.push(&rest[..length]);
        file = &rest[length..];
    }
    packets
}

#[test]
fn every_decision_is_exported_with_an_arrow_from_its_cause() {
    let run = storm("export-all");
    let findings = run.analyse();
    let copies = run.copies();
    let bytes: Vec<&[u8]> = copies.iter().map(Vec::as_slice).collect();
    let (counts, file) = exported(&bytes, &findings, &Caps::default());
    assert_eq!(counts.decisions, findings.totals.decisions);
    assert_eq!(counts.decisions, DECISIONS);
    assert_eq!((counts.flows, counts.flows_left_out, counts.unexplained), (findings.totals.explained, 0, 0));
    assert_eq!(counts.operations, findings.totals.operations);
    assert_eq!((counts.decisions_outside, counts.decisions_without_lane), (0, 0));
    // Two packets for each slice, one for the moment each operation asks, and the tracks and counters beside them.
    let least = 2 * (DECISIONS + counts.operations) + counts.operations;
    assert!(packets(&file).len() as u64 > least);
    assert!(exported(&bytes, &findings, &Caps::default()).1 == file, "the same traces give the same bytes");
}

#[test]
fn caps_hold_and_are_counted() {
    let run = storm("export-caps");
    let findings = run.analyse();
    let copies = run.copies();
    let bytes: Vec<&[u8]> = copies.iter().map(Vec::as_slice).collect();
    let caps = Caps { decisions: 100, flows_per_cascade: 4, flows: 10, lanes: 1 };
    let (counts, file) = exported(&bytes, &findings, &caps);
    let all = counts.decisions + counts.decisions_outside + counts.decisions_without_lane;
    assert_eq!(all, DECISIONS, "every decision is accounted for: {counts:?}");
    assert!(counts.decisions > 0 && counts.decisions <= 100, "{counts:?}");
    assert!(
        counts.decisions_without_lane > 0,
        "a client with two decisions at once needs two lanes: {counts:?}"
    );
    assert_eq!(counts.flows, 10);
    assert!(counts.flows_left_out > 0);
    let told = String::from_utf8_lossy(&file);
    assert!(told.contains("not everything: see the counts") && told.contains("arrows left out"));
}

#[test]
fn a_decision_without_cause_is_exported_and_counted() {
    let mut builder = Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), "export-stranger", lab(1));
    builder.decision(1, Dec::at_once(2000, 7777, SubjectClass::Workload));
    builder.decision(1, Dec::never(3000, 7777, SubjectClass::Workload));
    builder.phase(PhaseKind::Storm, 500, 5000);
    let run = builder.finish();
    let copies = run.copies();
    let bytes: Vec<&[u8]> = copies.iter().map(Vec::as_slice).collect();
    let (counts, _) = exported(&bytes, &run.analyse(), &Caps::default());
    assert_eq!((counts.decisions, counts.unexplained, counts.flows), (2, 2, 0));
    let lines = lines(&bytes);
    assert!(lines[0]["lab"]["cause"].is_null());
    assert!(lines[1]["action"].is_null() && lines[1]["lab"]["answered_ns"].is_null());
}

#[test]
fn json_lines_name_what_eslogger_names_and_say_who_caused_it() {
    let run = storm("export-lines");
    let copies = run.copies();
    let bytes: Vec<&[u8]> = copies.iter().map(Vec::as_slice).collect();
    let lines = lines(&bytes);
    assert_eq!(lines.len() as u64, DECISIONS);
    let of = |actor: &str| lines.iter().filter(|line| line["lab"]["cause"]["actor"] == actor).count() as u64;
    assert_eq!(of("driver"), ROOTS * CLIENTS);
    for client in ["client-1", "client-2", "client-3"] {
        assert_eq!(of(client), ROOTS * CLIENTS, "each client's opens are asked about three times");
    }
    let first = &lines[0];
    assert_eq!((first["event_type"].as_u64(), first["action_type"].as_u64()), (Some(1), Some(0)));
    assert_eq!(first["event"]["open"]["file"]["stat"]["st_ino"], 100);
    assert_eq!(first["action"]["result"]["result"]["auth"], 0);
    assert_eq!(first["thread"]["thread_id"], 900);
    assert_eq!(first["time"], "1970-01-01T00:00:00.000001099Z");
    let by_client = lines.iter().find(|line| line["lab"]["cause"]["actor"] == "client-2").unwrap();
    assert_eq!(by_client["lab"]["cause"]["decision"]["client"], "client-2");
}

#[test]
fn damage_anywhere_is_no_panic() {
    let run = storm("export-damage");
    let whole = run.copies();
    let mut seed = 12_345_u64;
    for round in 0..60 {
        let mut copies = whole.clone();
        for copy in &mut copies {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let at = usize::try_from(seed >> 33).unwrap() % copy.len();
            if round % 2 == 0 {
                copy.truncate(at);
            } else {
                let end = (at + 64).min(copy.len());
                copy[at..end].fill(0xa5);
            }
        }
        let bytes: Vec<&[u8]> = copies.iter().map(Vec::as_slice).collect();
        let findings = analyse_bytes(&run.lab, &bytes);
        let (counts, file) = exported(&bytes, &findings, &Caps::default());
        packets(&file);
        assert_eq!(lines(&bytes).len() as u64, counts.decisions + counts.decisions_without_lane);
    }
}

/// Ten opens; the second client, who is asked about none, is told of them, of their closes, and of somebody unknown;
/// it opens again what it is told of.
fn with_notices(name: &str) -> Run {
    let mut lab = lab(2);
    lab.clients[1].behavior.notify = [NotifyEvent::Open, NotifyEvent::Close].into_iter().collect();
    let mut builder = Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), name, lab);
    let driver = builder.driver();
    for turn in 0..10 {
        let at = 1000 + 1000 * turn;
        builder.operation(driver, Op::root(at, at + 90, 900));
        builder.decision(1, Dec::at_once(at + 10, 900, SubjectClass::Workload));
        let both = [NotifyEvent::Open, NotifyEvent::Close];
        let record = builder.notice(2, at + 200, (900, 100), &both[..1 + usize::from(turn < 4)]);
        builder.operation(2, Op::child(at + 300, at + 400, 77, 2, record));
    }
    builder.notice(2, 20_000, (4711, 100), &[NotifyEvent::Close]);
    builder.phase(PhaseKind::Storm, 500, 30_000);
    builder.finish()
}

#[test]
fn a_notice_is_a_moment_with_an_arrow_from_what_it_tells_of() {
    let run = with_notices("export-told");
    let copies = run.copies();
    let bytes: Vec<&[u8]> = copies.iter().map(Vec::as_slice).collect();
    let findings = run.analyse();
    let (counts, file) = exported(&bytes, &findings, &Caps::default());
    assert_eq!((counts.notices, counts.notices_unexplained, counts.notices_outside), (11, 1, 0));
    assert_eq!((findings.totals.notices, findings.totals.notices_explained), (11, 10));
    assert_eq!(counts.flows, 10 + 10, "of ten decisions and ten notices");
    let text = String::from_utf8_lossy(&file);
    for name in ["notices", "notify_open, notify_close", "is told of", "notice 0 of client-2"] {
        assert!(text.contains(name), "{name}");
    }
}

#[test]
fn a_notice_is_a_line_for_each_kind_of_event_and_its_reaction_names_it() {
    let run = with_notices("export-told-lines");
    let copies = run.copies();
    let bytes: Vec<&[u8]> = copies.iter().map(Vec::as_slice).collect();
    let lines = lines(&bytes);
    let notices: Vec<_> = lines.iter().filter(|line| line["lab"]["kind"] == "notice").collect();
    assert_eq!((lines.len(), notices.len()), (10 + 15, 15));
    let records: std::collections::BTreeSet<u64> =
        notices.iter().filter_map(|line| line["lab"]["record"].as_u64()).collect();
    assert_eq!(records.len() as u64, run.analyse().totals.notices);
    let kinds = |code: u64| notices.iter().filter(|line| line["event_type"] == code).count();
    assert_eq!((kinds(10), kinds(12)), (10, 5));
    let merged = notices.iter().filter(|line| line["lab"]["merged"] == 2).count();
    assert_eq!(merged, 2 * 4);
    for line in &notices {
        assert_eq!((line["action_type"].as_u64(), line["action"].is_null()), (Some(1), true));
        assert!(line["lab"]["answered_ns"].is_null() && line["lab"]["reacts"] == true);
    }
    assert_eq!(notices[0]["lab"]["cause"]["actor"], "driver");
    assert!(notices[14]["lab"]["cause"].is_null(), "nobody in the lab");
    assert_eq!(notices[14]["event"]["close"]["target"]["stat"]["st_ino"], 100);
    let (import, _) =
        imported(&lines.iter().map(|line| format!("{line}\n")).collect::<String>().into_bytes());
    assert_eq!((import.events, import.damaged), (25, 0), "they are read back");
}

#[test]
fn what_was_made_because_of_a_notice_says_so() {
    let run = with_notices("export-told-reaction");
    let copies = run.copies();
    let bytes: Vec<&[u8]> = copies.iter().map(Vec::as_slice).collect();
    let mut builder = Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), "export-made", lab(2));
    let driver = builder.driver();
    let exec = Op { kind: OperationKind::Exec, pid: 20, ..Op::root(1000, 1900, 20) };
    let root = builder.operation(driver, exec);
    builder.operation(driver, Op { parent: Some(root), pid: 21, ..Op::root(1100, 1800, 21) });
    builder.decision(1, Dec::at_once(1200, 21, SubjectClass::Workload));
    builder.phase(PhaseKind::Storm, 500, 3000);
    let made = builder.finish();
    let copies = made.copies();
    let trees: Vec<&[u8]> = copies.iter().map(Vec::as_slice).collect();
    assert_eq!(lines(&trees)[0]["lab"]["cause"]["parent"], root.0, "the parent within the tree");
    assert!(lines(&bytes)[0]["lab"]["cause"]["parent"].is_null());
    let (_, file) = exported(&trees, &made.analyse(), &Caps::default());
    assert!(String::from_utf8_lossy(&file).contains("made by the process of record"));
}

/// Reads lines back as `lab import` does.
fn imported(text: &[u8]) -> (Import, Vec<u8>) {
    let options =
        Options { name: "export.jsonl".into(), timebase: Some(Timebase::NANOSECONDS), ..Options::default() };
    let importer = Importer::begin(text, &options).unwrap();
    let mut trace = MemoryTrace::new(&importer.header(), WriterOptions::default()).unwrap();
    let import = importer.finish(&mut trace).unwrap();
    let last = import.ticks.map_or(0, |(_, last)| last);
    (import, trace.close(Ticks(last)))
}

#[test]
fn json_lines_read_back_have_the_same_decisions() {
    let run = storm("export-back");
    let copies = run.copies();
    let bytes: Vec<&[u8]> = copies.iter().map(Vec::as_slice).collect();
    let traces: Vec<Trace<'_>> = bytes.iter().filter_map(|bytes| Trace::parse(bytes).ok()).collect();
    let mut text = Vec::new();
    let written = jsonl(&traces, &mut text).unwrap();
    let (import, trace) = imported(&text);
    assert_eq!((import.events, import.damaged), (written, 0));
    assert_eq!((import.events, import.missing_fields.own_lines, import.missing()), (DECISIONS, DECISIONS, 0));
    let clients: u64 = run.analyse().causes.observed.iter().map(|row| row[0] + row[2]).sum();
    assert_eq!(import.by_es_clients, clients, "own and peers' events are those of clients");
    assert_eq!(import.span_ns() > 0, import.ticks.unwrap().0 < import.ticks.unwrap().1);
    // And once more: an export of the import has as many lines.
    let mut again = Vec::new();
    assert_eq!(jsonl(&[Trace::parse(&trace).unwrap()], &mut again).unwrap(), written);
}

#[test]
fn an_import_of_eslogger_can_be_exported_again() {
    let text = include_str!("../../lab-analysis/tests/eslogger/version-10.jsonl");
    let (import, trace) = imported(text.as_bytes());
    let traces = [Trace::parse(&trace).unwrap()];
    let lines = lines(&[&trace]);
    assert_eq!(lines.len() as u64, import.events);
    for (line, original) in lines.iter().zip(text.lines()) {
        let original: serde_json::Value = serde_json::from_str(original).unwrap();
        for key in ["event_type", "action_type", "mach_time", "seq_num", "schema_version"] {
            assert_eq!(line[key], original[key], "{key}");
        }
        assert_eq!(line["process"]["audit_token"]["pid"], original["process"]["audit_token"][5]);
        assert_eq!(line["process"]["is_es_client"], original["process"]["is_es_client"]);
        assert_eq!(line["event"]["open"]["file"]["path"], original["event"]["open"]["file"]["path"]);
        assert_eq!(line["event"]["close"]["target"]["path"], original["event"]["close"]["target"]["path"]);
    }
    let findings = lab_analysis::import::findings(&import, "a run", "lab import export.jsonl");
    // What is told takes no time, so that one lane holds all of it.
    let mut file = Vec::new();
    let counts = perfetto(&traces, &findings, &Caps { lanes: 1, ..Caps::default() }, &mut file).unwrap();
    assert_eq!((counts.decisions, counts.decisions_without_lane), (import.events, 0));
}

#[test]
fn the_reports_of_an_import_make_nothing_up() {
    let text = include_str!("../../lab-analysis/tests/eslogger/version-9.jsonl");
    let (import, _) = imported(format!("{text}{{\"half\":").as_bytes());
    let findings = lab_analysis::import::findings(&import, "a run", "lab import rec.jsonl");
    let told = lab_report::text::run(&findings, &Style::plain());
    assert_eq!(told, lab_report::text::screen(&findings, &Style::plain()));
    for expected in
        ["12 events told, none asked", "ES clients", "com.example.guard", "cut off", "combined verdict"]
    {
        assert!(told.contains(expected), "{expected}:\n{told}");
    }
    for wrong in ["headroom", "misses", "unanswered", "storm", "deadline "] {
        assert!(!told.replace("no deadline, no headroom", "").contains(wrong), "{wrong}:\n{told}");
    }
    let html = lab_report::html::run(&findings);
    assert!(html.contains("12 events told") && html.len() < 1 << 20);
    assert_eq!(lab_report::html::client(&findings, "eslogger"), Some(html));
}
