//! Measures how long the analysis of a synthetic storm of scanners takes, and how much memory.
//!
//! ```text
//! cargo run --release -p lab-analysis --example measure -- 1000000 3 target
//! cargo run --release -p lab-analysis --example measure -- 10000000 3 target
//! ```
//!
//! Arguments: about how many decisions, how many clients, a folder for the traces (removed afterwards).
//! The bars on two cores: a million decisions in 2 s, ten million in 15 s and 512 MiB. `anonymous` is the
//! memory of the analysis itself; mapped trace pages, which the system can drop at any time, are apart.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measurement needs a clock and prints"
)]
#![allow(clippy::unwrap_used, reason = "a failed measurement may end with a panic")]

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

use std::{path::Path, time::Instant};

use lab_model::PhaseKind;
use synthetic::{Builder, lab, sums_hold};

fn memory(line: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = status.lines().find_map(|text| text.strip_prefix(line)).unwrap_or("0");
    value.trim_matches(|c: char| !c.is_ascii_digit()).parse::<u64>().unwrap_or(0) / 1024
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let decisions: u64 = arguments.next().map_or(1_000_000, |text| text.parse().unwrap());
    let clients: usize = arguments.next().map_or(3, |text| text.parse().unwrap());
    let folder = arguments.next().unwrap_or_else(|| "target".into());
    let each = (clients * (clients + 1)) as u64;
    let roots = decisions.div_ceil(each);
    let mut builder = Builder::new(Path::new(&folder), "measure", lab(clients));
    let mut now = 1000;
    for root in 0..roots {
        now = builder.scanned_open(now, 900 + root % 2, 100 + root % 500) + 50;
    }
    builder.phase(PhaseKind::Storm, 500, now);
    builder.phase(PhaseKind::Drain, now, now + 1000);
    let run = builder.finish();
    let before = memory("RssAnon:");
    let start = Instant::now();
    let findings = run.analyse();
    let seconds = start.elapsed().as_secs_f64();
    sums_hold(&findings);
    assert_eq!(findings.storm.decisions, roots * each);
    println!(
        "{} decisions, {} operations, {clients} clients: {seconds:.2} s, {:.0} ns a decision; anonymous {} MiB \
         before, {} MiB after; peak with mapped pages {} MiB; {}",
        findings.totals.decisions,
        findings.totals.operations,
        seconds * 1e9 / findings.totals.decisions as f64,
        before,
        memory("RssAnon:"),
        memory("VmHWM:"),
        findings.outcome.name(),
    );
}
