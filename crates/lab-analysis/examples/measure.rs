//! Measures how long the analysis of a synthetic storm of scanners takes, and how much memory.
//!
//! ```text
//! cargo run --release -p lab-analysis --example measure -- 1000000 3 target
//! cargo run --release -p lab-analysis --example measure -- 10000000 3 target
//! cargo run --release -p lab-analysis --example measure -- 1000000 2 target echo
//! ```
//!
//! Arguments: about how many decisions, how many clients, a folder for the traces (removed afterwards), and
//! the shape: `scan` (every open is scanned by every client; the default) or `echo` (a thousand opens, and each
//! open of one of two clients is answered by an open of the other, for ever).
//! The bars on two cores: a million decisions in 2 s, ten million in 15 s and 512 MiB. `anonymous` is the
//! memory of the analysis itself; mapped trace pages, which the system can drop at any time, are apart.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement needs a clock, looks at its own memory and prints"
)]
#![allow(clippy::unwrap_used, reason = "a failed measurement may end with a panic")]

use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use lab_model::{PhaseKind, SubjectClass};
use lab_testing::sums::sums_hold;
use lab_testing::synthetic::{Builder, Dec, Op, lab};

fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = status.lines().find_map(|text| text.strip_prefix(line)).unwrap_or("0");
    value.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap_or(0) / 1024
}

/// A thousand root opens, each of which two clients echo in turn until there are enough decisions.
fn echo(builder: &mut Builder, decisions: u64) -> u64 {
    const ROOTS: u64 = 1000;
    let driver = builder.driver();
    let mut now = 1000;
    let mut tails = Vec::new();
    for root in 0..ROOTS {
        builder.operation(driver, Op::root(now, now + 90, 900));
        tails.push(builder.decision(1, Dec::at_once(now + 10, 900, SubjectClass::Workload)));
        builder.decision(2, Dec::at_once(now + 30, 900, SubjectClass::Workload));
        now += 100 + root % 3;
    }
    for round in 0..decisions.saturating_sub(ROOTS * 2) / (ROOTS * 2) {
        let client = 1 + usize::try_from(round % 2).unwrap();
        let (other, tid) = (3 - client, client as u64);
        for tail in &mut tails {
            builder.operation(client, Op::child(now, now + 90, tid, client, *tail));
            builder.decision(client, Dec::at_once(now + 20, tid, SubjectClass::Own));
            *tail = builder.decision(other, Dec::at_once(now + 50, tid, SubjectClass::Peer));
            now += 100;
        }
    }
    now
}

/// Root opens that every client scans.
fn scan(builder: &mut Builder, decisions: u64) -> u64 {
    let clients = builder.lab.clients.len() as u64;
    let mut now = 1000;
    for root in 0..decisions.div_ceil(clients * (clients + 1)) {
        now = builder.scanned_open(now, 900 + root % 2, 100 + root % 500) + 50;
    }
    now
}

/// Watches the analysis's own memory from beside it.
fn watch(done: &AtomicBool) -> u64 {
    let mut most = 0;
    while !done.load(Ordering::Relaxed) {
        most = most.max(memory("RssAnon:"));
        std::thread::sleep(Duration::from_millis(5));
    }
    most
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let decisions: u64 = arguments.next().map_or(1_000_000, |text| text.parse().unwrap());
    let clients: usize = arguments.next().map_or(3, |text| text.parse().unwrap());
    let folder = arguments.next().unwrap_or_else(|| "target".into());
    let shape = arguments.next().unwrap_or_else(|| "scan".into());
    let mut builder = Builder::new(Path::new(&folder), "measure", lab(clients));
    let now = if shape == "echo" { echo(&mut builder, decisions) } else { scan(&mut builder, decisions) };
    builder.phase(PhaseKind::Storm, 500, now / 2);
    builder.phase(PhaseKind::Drain, now / 2, now);
    let run = builder.finish();
    let (before, done) = (memory("RssAnon:"), AtomicBool::new(false));
    let (findings, seconds, most) = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| watch(&done));
        let start = Instant::now();
        let findings = run.analyse();
        let seconds = start.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        (findings, seconds, watcher.join().unwrap())
    });
    sums_hold(&findings);
    assert_eq!(findings.totals.unexplained, 0);
    println!(
        "{shape}: {} decisions, {} operations, {clients} clients: {seconds:.2} s, {:.0} ns a decision; anonymous \
         memory {before} MiB before, at most {most} MiB within; {}: {}",
        findings.totals.decisions,
        findings.totals.operations,
        seconds * 1e9 / findings.totals.decisions as f64,
        findings.outcome.name(),
        findings.outcome_rule,
    );
}
