//! Whatever bytes come in: no panic, sums that add up, and what is missing is said.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use lab_analysis::findings::Findings;
use lab_model::{PhaseKind, SubjectClass};
use lab_testing::sums::sums_hold;
use lab_testing::synthetic::{Builder, Dec, Op, analyse_bytes, lab};
use lab_trace::{RECORD_BYTES, RECORDS_OFFSET};
use proptest::prelude::*;

/// The traces of a small run with everything in it, as bytes: orchestrator, two clients, driver.
fn run(name: &str) -> Vec<Vec<u8>> {
    let mut builder = Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), name, lab(2));
    let mut now = 1000;
    for root in 0..25 {
        now = builder.scanned_open(now, 900, 100 + root) + 50;
    }
    let driver = builder.driver();
    let number = builder.path(driver, b"/arena/files/a file");
    assert_eq!(number, 1);
    builder.operation(driver, Op { end: None, ..Op::root(now, 0, 900) });
    let overdue = builder.decision(1, Dec::never(now + 10, 900, SubjectClass::Workload));
    builder.phase(PhaseKind::Storm, 500, now);
    builder.phase(PhaseKind::Drain, now, now + 1000);
    builder.kill(1, now + 500, overdue);
    builder.finish().copies()
}

fn analyse(traces: &[Vec<u8>]) -> Findings {
    let bytes: Vec<&[u8]> = traces.iter().map(Vec::as_slice).collect();
    let findings = analyse_bytes(&lab(2), &bytes);
    sums_hold(&findings);
    findings
}

#[test]
fn damage_in_the_middle_is_counted_and_the_rest_still_read() {
    let mut traces = run("damage-middle");
    let before = analyse(&traces);
    assert_eq!((before.totals.lost, before.totals.damaged), (0, 0));
    // A decision of the first client, then an operation of the driver.
    for trace in [1, 3] {
        traces[trace][RECORDS_OFFSET + 10 * RECORD_BYTES + 20] ^= 0x10;
    }
    let after = analyse(&traces);
    assert_eq!((after.totals.lost, after.totals.damaged), (2, 2));
    assert_eq!(after.clients[0].lost, 1);
    assert_eq!(after.totals.operations, before.totals.operations - 1);
    assert!(after.totals.unexplained > 0, "the driver's operation is missing");
    assert!(after.causes.columns.iter().all(|column| column.kind.name() != "external"), "nobody can say so");
    let notes: Vec<&String> = after.not_observed.iter().filter(|note| note.contains("damaged")).collect();
    assert_eq!(notes.len(), 2, "{:?}", after.not_observed);
}

#[test]
fn a_cut_trace_says_so() {
    let mut traces = run("damage-cut");
    let whole = analyse(&traces);
    traces[2].truncate(RECORDS_OFFSET + 30 * RECORD_BYTES + 50);
    let cut = analyse(&traces);
    let kept = 30 - cut.clients[1].operations;
    assert_eq!(cut.totals.decisions, whole.totals.decisions - whole.clients[1].decisions + kept);
    let missing = whole.clients[1].decisions + whole.clients[1].operations - 30;
    let note = format!("client-2's trace is cut: at least {missing} records are missing at its end.");
    assert!(cut.not_observed.contains(&note), "{note} {:?}", cut.not_observed);
    assert_eq!((cut.totals.damaged, cut.totals.lost, cut.clients[1].lost), (1, missing, missing));
}

#[test]
fn a_trace_that_is_none_is_named() {
    let mut traces = run("damage-header");
    traces[1][3] ^= 1;
    let findings = analyse(&traces);
    assert!(findings.not_observed.iter().any(|note| note.contains("trace 1 could not be read")));
    assert!(findings.not_observed.iter().any(|note| note.contains("no trace of client-1")));
    assert_eq!(findings.clients[0].decisions, 0);
}

#[test]
fn damaged_metadata_costs_the_name_only() {
    let mut traces = run("damage-name");
    let whole = analyse(&traces);
    traces[1][lab_trace::HEADER_BYTES + 4] ^= 1;
    let findings = analyse(&traces);
    assert_eq!(findings.totals.decisions, whole.totals.decisions);
    assert_eq!(findings.clients[0].decisions, whole.clients[0].decisions, "the only one it can be");
    assert!(findings.not_observed.iter().any(|note| note.contains("it is taken for \"client-1\"")));
    traces[2][lab_trace::HEADER_BYTES + 4] ^= 1;
    let findings = analyse(&traces);
    let ids: Vec<&str> = findings.clients.iter().map(|client| client.id.as_str()).collect();
    assert_eq!(ids, ["client-1", "client-2", "unnamed-1", "unnamed-2"], "two that cannot be told apart");
    assert_eq!(findings.totals.decisions, whole.totals.decisions);
}

/// Ticks that no clock would give.
fn odd_ticks() -> impl Strategy<Value = u64> {
    prop_oneof![0..5_000_u64, Just(u64::MAX), Just(u64::MAX - 1), any::<u64>()]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn flipped_and_cut_bytes_never_panic(
        flips in prop::collection::vec((0..4_usize, 0..40_000_usize, any::<u8>()), 0..40),
        live in prop::collection::vec((0..4_usize, 120..160_usize, any::<u8>()), 0..4),
        cut in prop::option::of((0..4_usize, 0..40_000_usize)),
    ) {
        let mut traces = FLIPPED.with(Clone::clone);
        for (trace, place, mask) in flips {
            let length = traces[trace].len();
            traces[trace][(RECORDS_OFFSET + place) % length] ^= mask;
        }
        // The words of the header that no check covers.
        for (trace, place, mask) in live {
            traces[trace][place] ^= mask;
        }
        if let Some((trace, place)) = cut {
            traces[trace].truncate(RECORDS_OFFSET + place);
        }
        analyse(&traces);
    }

    #[test]
    fn any_bytes_at_all_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..5000)) {
        let mut traces = FLIPPED.with(Clone::clone);
        let place = RECORDS_OFFSET.min(traces[2].len());
        traces[2].truncate(place);
        traces[2].extend_from_slice(&bytes);
        traces.push(bytes);
        analyse(&traces);
    }

    #[test]
    fn well_formed_nonsense_never_panics(
        records in prop::collection::vec(
            (odd_ticks(), odd_ticks(), 0..4_u64, 0..3_u8, 1..4_usize, odd_ticks()), 1..60),
        marks in prop::collection::vec((odd_ticks(), odd_ticks(), 0..4_usize), 0..4),
        case in any::<u32>(),
        scale in 1..4_u32,
    ) {
        let name = format!("nonsense-{case}");
        let mut builder = Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), &name, lab(2));
        builder.latest = 10;
        let driver = builder.driver();
        for (begin, end, tid, what, process, other) in records {
            let process = process.min(driver);
            let client = process.clamp(1, 2);
            match what {
                0 => {
                    let cause = lab_trace::RecordId(other % 8);
                    let op = Op { end: (end % 3 != 0).then_some(end), ..Op::child(begin, 0, tid, client, cause) };
                    builder.operation(process, op);
                }
                1 => {
                    builder.operation(driver, Op { end: Some(end), ..Op::root(begin, 0, tid) });
                }
                _ => {
                    let dec = Dec::worked(begin, tid, end);
                    let answered = (other % 4 != 0).then_some(end);
                    builder.decision(client, Dec { answered, started: Some(other), ..dec });
                }
            }
        }
        for (began, ended, phase) in marks {
            builder.phase(PhaseKind::ALL[phase], began, ended);
            builder.ended(phase, ended, 9);
        }
        builder.latest = 10;
        let mut traces = builder.finish().copies();
        if scale > 1 {
            rescale(&mut traces[1], scale);
        }
        analyse(&traces);
    }
}

thread_local! {
    static FLIPPED: Vec<Vec<u8>> = run("damage-flipped");
}

/// Gives a trace another timebase, with a header whose check holds.
fn rescale(bytes: &mut [u8], numer: u32) {
    bytes[40..44].copy_from_slice(&numer.to_le_bytes());
    let check = crc32(&bytes[..72]);
    bytes[72..76].copy_from_slice(&check.to_le_bytes());
}

/// The check of headers (CRC-32, IEEE), bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in bytes {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

#[test]
fn a_count_of_losses_that_no_check_covers_may_be_any_number() {
    let mut traces = run("damage-live");
    for trace in &mut traces {
        trace[120..160].fill(0xff);
    }
    let findings = analyse(&traces);
    assert_eq!(findings.totals.lost, u64::MAX);
    assert_eq!(findings.outcome, lab_analysis::findings::Outcome::Unknown);
}
