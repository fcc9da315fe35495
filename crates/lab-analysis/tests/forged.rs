//! Traces that are well formed and cannot all be true: copies, rivals, another clock, another time, counts that no run
//! would give. None of them ends the program or is counted, and each is named.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use lab_analysis::findings::Findings;
use lab_model::{PhaseKind, Ticks};
use lab_testing::sums::sums_hold;
use lab_testing::synthetic::{Builder, analyse_bytes, lab};
use lab_trace::{Loss, LossKind};

/// The number of the driver's trace.
const DRIVER: usize = 3;

fn builder(name: &str) -> Builder {
    let mut builder = Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), name, lab(2));
    let mut now = 1000;
    for root in 0..25 {
        now = builder.scanned_open(now, 900, 100 + root) + 50;
    }
    builder.phase(PhaseKind::Storm, 500, now);
    builder.phase(PhaseKind::Drain, now, now + 1000);
    builder
}

/// The traces of a small run: orchestrator, two clients, driver.
fn run(name: &str) -> Vec<Vec<u8>> {
    builder(name).finish().copies()
}

fn analyse(traces: &[Vec<u8>]) -> Findings {
    let bytes: Vec<&[u8]> = traces.iter().map(Vec::as_slice).collect();
    let findings = analyse_bytes(&lab(2), &bytes);
    sums_hold(&findings);
    findings
}

/// Writes over a trace's header, and puts its check right.
fn forge(trace: &mut [u8], at: usize, value: &[u8]) {
    trace[at..at + value.len()].copy_from_slice(value);
    let check = crc32fast::hash(&trace[..72]);
    trace[72..76].copy_from_slice(&check.to_le_bytes());
}

const SALT: usize = 20;
const CREATED: usize = 24;
const TIMEBASE: usize = 40;
const ACTOR: usize = 48;
const CLOSED: usize = 136;

/// Checks that an added trace changes nothing but one sentence, which says this.
fn check_left_out(traces: &[Vec<u8>], added: Vec<u8>, sentence: &str) {
    let before = analyse(traces);
    for place in [0, traces.len()] {
        let mut all = traces.to_vec();
        all.insert(place, added.clone());
        let mut after = analyse(&all);
        let said = after.not_observed.iter().position(|note| note.contains(sentence));
        let said = said.unwrap_or_else(|| panic!("{sentence}? {:?}", after.not_observed));
        assert!(after.not_observed[said].contains("it is left out, with its "), "{:?}", after.not_observed);
        after.not_observed.remove(said);
        assert_eq!(after, before, "{sentence}, at place {place}");
    }
}

#[test]
fn a_copy_of_any_trace_is_named_and_counted_once() {
    let traces = run("forged-copy");
    for (copy, name) in ["orchestrator", "client-1", "client-2", "driver"].into_iter().enumerate() {
        check_left_out(&traces, traces[copy].clone(), &format!("{name}'s trace is there twice"));
    }
}

#[test]
fn of_two_orchestrators_the_one_of_this_run_is_taken() {
    let traces = run("forged-orchestrators");
    let mut other = traces[0].clone();
    forge(&mut other, SALT, &7_u32.to_le_bytes());
    forge(&mut other, CREATED, &(u64::MAX - 5).to_le_bytes());
    forge(&mut other, CLOSED, &u64::MAX.to_le_bytes());
    check_left_out(&traces, other, "Two traces say that they are the orchestrator's");
}

#[test]
fn a_trace_of_another_run_is_no_part_of_this_one() {
    let traces = run("forged-other-run");
    for trace in [1, DRIVER] {
        let mut other = traces[trace].clone();
        forge(&mut other, ACTOR, &77_u16.to_le_bytes());
        forge(&mut other, CREATED, &(u64::MAX - 5).to_le_bytes());
        forge(&mut other, CLOSED, &u64::MAX.to_le_bytes());
        check_left_out(&traces, other, "trace is of another time than the run");
    }
}

#[test]
fn two_processes_of_one_number_are_never_taken_for_one() {
    let traces = run("forged-number");
    let mut other = traces[1].clone();
    forge(&mut other, ACTOR, &[traces[DRIVER][ACTOR], 0]);
    let mut all = traces.clone();
    all.push(other);
    let after = analyse(&all);
    let sentence = "client-1's trace says that it is process number 3 of the run, and so does driver's";
    assert!(after.not_observed.iter().any(|note| note.starts_with(sentence)), "{:?}", after.not_observed);
    assert_eq!(after.totals, analyse(&traces).totals);
}

#[test]
fn times_of_another_clock_are_not_compared() {
    let mut traces = run("forged-clock");
    let [numer, denom] = [125_u32, 3].map(u32::to_le_bytes);
    forge(&mut traces[2], TIMEBASE, &[numer, denom].concat());
    let findings = analyse(&traces);
    let sentence = "client-2's trace says that a tick is 125/3 nanoseconds and orchestrator's says 1/1";
    assert!(
        findings.not_observed.iter().any(|note| note.starts_with(sentence)),
        "{:?}",
        findings.not_observed
    );
    assert!(findings.not_observed.contains(&"There is no trace of client-2.".to_owned()));
    assert_eq!(findings.clients[1].decisions, 0);
    // A rate that is the same number is the same clock.
    let [numer, denom] = [7_u32, 7].map(u32::to_le_bytes);
    forge(&mut traces[2], TIMEBASE, &[numer, denom].concat());
    assert!(analyse(&traces).clients[1].decisions > 0);
    for odd in [[0_u32, 1], [1, 0], [0, 0]] {
        forge(&mut traces[2], TIMEBASE, &odd.map(u32::to_le_bytes).concat());
        let findings = analyse(&traces);
        assert!(findings.not_observed.iter().any(|note| note.contains("which no clock has")), "{odd:?}");
    }
}

#[test]
fn losses_of_any_number_stay_within_their_range() {
    let mut builder = builder("forged-losses");
    let kinds = [
        LossKind::Records,
        LossKind::Events,
        LossKind::Paths,
        LossKind::Targets,
        LossKind::Notices,
        LossKind::NoticesOverflowed,
        LossKind::NoticesUnread,
        LossKind::Reactions,
        LossKind::NotBegunLate,
        LossKind::NotBegunHalted,
    ];
    for writer in &builder.writers {
        for kind in kinds {
            for count in [u64::MAX, u64::MAX, 1] {
                writer.loss(&Loss { at: Ticks(1500), kind, count });
            }
        }
    }
    builder.latest = 5000;
    let traces = builder.finish().copies();
    let bytes: Vec<&[u8]> = traces.iter().map(Vec::as_slice).collect();
    let findings = analyse_bytes(&lab(2), &bytes);
    assert_eq!(findings.totals.lost, u64::MAX);
    let storm = findings.phases.iter().find(|phase| phase.kind == lab_model::PhaseKind::Storm).unwrap();
    assert_eq!(storm.planned.map(|planned| planned.planned), Some(u64::MAX));
    assert_eq!(findings.outcome, lab_analysis::findings::Outcome::Unknown);
}
