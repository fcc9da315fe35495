//! Exports of runs whose answer is known.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(
    dead_code,
    unused_imports,
    reason = "the synthetic runs are shared with the analysis, which uses more of them"
)]

#[path = "../../lab-analysis/tests/synthetic/mod.rs"]
mod synthetic;

use std::path::Path;

use lab_analysis::findings::Findings;
use lab_model::{PhaseKind, SubjectClass};
use lab_report::export::{Caps, Exported, jsonl, perfetto};
use lab_trace::Trace;
use synthetic::{Builder, Dec, Run, analyse_bytes, lab};

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
