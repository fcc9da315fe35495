//! What clients were told after it had happened: joined to operations, counted apart from decisions.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use lab_analysis::findings::{CascadeNodeKind, Findings, NotifySummary};
use lab_model::{
    AuthEvents, Behavior, Lab, NotifyEvent, NotifyEvents, PhaseKind, Reaction, SubjectClass, Ticks,
};
use lab_testing::sums::sums_hold;
use lab_testing::synthetic::{Builder, Dec, MS, Op, analyse_bytes, lab};
use lab_trace::{Loss, LossKind, RecordId};

const DRIVER_THREAD: u64 = 900;

/// Client 1 answers at once; client 2 is only told of opens, and opens again what it is told of.
fn observed() -> Lab {
    let mut lab = lab(2);
    lab.clients[0].behavior = Behavior::noop();
    lab.clients[1].behavior = Behavior {
        subscribe: AuthEvents::NONE,
        notify: NotifyEvents::of(NotifyEvent::Open),
        on_notify: Reaction { reopen: true, ..Reaction::none() },
        ..Behavior::noop()
    };
    lab
}

fn builder(name: &str) -> Builder {
    let mut builder = Builder::new(Path::new(env!("CARGO_TARGET_TMPDIR")), name, observed());
    builder.phase(PhaseKind::Storm, 500, 900 * MS);
    builder
}

/// A root open that client 1 allows at once.
fn open(builder: &mut Builder, at: u64, inode: u64) {
    let driver = builder.driver();
    builder.operation(driver, Op { inode, ..Op::root(at, at + 900, DRIVER_THREAD) });
    let asked = Dec::at_once(at + 10, DRIVER_THREAD, SubjectClass::Workload);
    builder.decision(1, Dec { inode, ..asked });
}

fn notice(builder: &mut Builder, read: u64, tid: u64, inode: u64, events: &[NotifyEvent]) -> RecordId {
    builder.notice(2, read, (tid, inode), events)
}

fn analyse(builder: Builder) -> (Findings, NotifySummary) {
    let findings = builder.finish().analyse();
    sums_hold(&findings);
    assert_eq!(findings.clients[0].told, None, "it is only asked");
    assert!(findings.storm.notices_explained <= findings.storm.notices);
    let told = findings.clients[1].told.clone().unwrap();
    assert_eq!(told.by_author.iter().map(|(_, count)| count).sum::<u64>(), told.notices);
    (findings, told)
}

#[test]
fn a_notice_is_no_decision_and_what_it_sets_off_hangs_below_its_operation() {
    let mut builder = builder("told-reopen");
    open(&mut builder, 1000, 100);
    // Read long after the operation has ended, as notices may be.
    let record = notice(&mut builder, 5000, DRIVER_THREAD, 100, &[NotifyEvent::Open]);
    builder.operation(2, Op::child(6000, 6900, 77, 2, record));
    builder.decision(1, Dec::at_once(6010, 77, SubjectClass::Peer));
    let (findings, told) = analyse(builder);
    assert_eq!((findings.storm.decisions, findings.clients[1].decisions), (2, 0));
    assert_eq!((told.notices, told.opens, told.opens_not_told_apart), (1, Some(2), Some(1)));
    assert_eq!((told.reacted, told.operations, told.inflicted), (1, 1, 1));
    assert_eq!((findings.totals.notices, findings.storm.notices_explained), (1, 1));
    assert_eq!(told.by_author, [("workload".to_owned(), 1)]);
    assert_eq!(told.lag_ns.max, 5000 - 1900);
    assert_eq!((findings.cascades.count, findings.cascades.depth.max), (1, 2));
    assert_eq!(findings.amplification, Some(2.0));
    let nodes = findings.cascades.worst[0].nodes.iter();
    let tree: Vec<(u32, CascadeNodeKind)> =
        nodes.map(|node| (node.level, *node.kind.known().unwrap())).collect();
    let expected = [
        (0, CascadeNodeKind::Open),
        (1, CascadeNodeKind::Decision),
        (1, CascadeNodeKind::Notice),
        (2, CascadeNodeKind::Open),
        (3, CascadeNodeKind::Decision),
    ];
    assert_eq!(tree, expected);
    assert!(findings.not_observed.iter().any(|note| note.contains("lower bound")));
    assert_eq!(findings.prediction.unwrap().predicted_size, Some(2.0), "notices are in no cascade's size");
}

#[test]
fn a_loop_through_notices_has_a_gain() {
    let mut builder = builder("told-loop");
    open(&mut builder, 1000, 100);
    let mut record = notice(&mut builder, 2000, DRIVER_THREAD, 100, &[NotifyEvent::Open]);
    // Its own open is told to it again, a hundred times.
    for turn in 1..=100 {
        let at = 2000 + turn * 1000;
        builder.operation(2, Op::child(at, at + 200, 77, 2, record));
        builder.decision(1, Dec::at_once(at + 10, 77, SubjectClass::Peer));
        record = notice(&mut builder, at + 300, 77, 100, &[NotifyEvent::Open]);
    }
    let (findings, told) = analyse(builder);
    assert_eq!((told.notices, told.operations, told.inflicted), (101, 100, 100));
    assert!(findings.loop_gain.unwrap().value > 0.98, "{:?}", findings.loop_gain);
    assert!(findings.gain.iter().flatten().all(|gain| *gain == 0.0), "no decision brings another");
    assert_eq!((told.opens, told.opens_not_told_apart), (Some(101), Some(0)));
}

#[test]
fn what_was_merged_is_known_by_what_was_opened() {
    let mut builder = builder("told-merged");
    for turn in 0..10 {
        open(&mut builder, 1000 + 2000 * turn, 100);
    }
    open(&mut builder, 30_000, 101);
    // One notice for ten opens of one file, and their closes; one for the open of the other.
    notice(&mut builder, 40_000, DRIVER_THREAD, 100, &[NotifyEvent::Open, NotifyEvent::Close]);
    notice(&mut builder, 40_000, DRIVER_THREAD, 101, &[NotifyEvent::Open]);
    // Somebody of whom no lab process knows.
    notice(&mut builder, 40_000, 12_345, 101, &[NotifyEvent::Close]);
    builder.writers[2].loss(&Loss { at: Ticks(40_000), kind: LossKind::NoticesOverflowed, count: 1 });
    let (findings, told) = analyse(builder);
    assert_eq!((told.notices, told.mixed), (3, 1));
    assert_eq!((findings.totals.notices, findings.totals.notices_explained), (3, 2));
    assert_eq!((told.opens, told.opens_not_told_apart), (Some(11), Some(9)));
    assert_eq!(told.by_event.get(&NotifyEvent::Close.into()), Some(&2));
    assert_eq!((told.execs, told.execs_not_told), (None, None), "it does not listen to execs");
    assert_eq!(told.by_author, [("workload".to_owned(), 2), ("external".to_owned(), 1)]);
    assert_eq!(told.lost, None, "how many an overflow drops is unknown");
    assert!(findings.not_observed.iter().any(|note| note.contains("overflowed")));
}

#[test]
fn a_trace_with_notices_is_read_without_its_end() {
    let mut builder = builder("told-cut");
    open(&mut builder, 1000, 100);
    let record = notice(&mut builder, 5000, DRIVER_THREAD, 100, &[NotifyEvent::Open]);
    builder.operation(2, Op::child(6000, 6900, 77, 2, record));
    let run = builder.finish();
    let mut copies = run.copies();
    // The notice's record is the first of client 2's trace; without it its reopen has no known cause.
    let at = lab_trace::RECORDS_OFFSET + 8;
    copies[2][at] ^= 1;
    let bytes: Vec<&[u8]> = copies.iter().map(Vec::as_slice).collect();
    let findings = analyse_bytes(&run.lab, &bytes);
    sums_hold(&findings);
    assert_eq!(findings.clients[1].told.as_ref().map(|told| told.notices), Some(0));
    assert!(
        findings
            .not_observed
            .iter()
            .any(|note| note.contains("1 operation names a cause that is not in the traces"))
    );
}
