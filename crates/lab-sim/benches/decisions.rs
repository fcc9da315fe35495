//! How many decisions the simulator makes a second, on one core.
//!
//! `cargo bench -p lab-sim` prints a line for each lab and fails when a goal is missed: 3 million decisions a
//! second, and 10 million decisions of 64 clients in 10 s and 1 GiB.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock and its own memory use")]

use std::time::Instant;

use lab_model::{Behavior, Lab, LoadKind, Preset, Span};
use lab_sim::{Counting, Kernel, Options, simulate};
use lab_testing::labs;

const DECISIONS: u64 = 10_000_000;
const PER_SECOND_MIN: f64 = 3e6;
const SECONDS_MAX: f64 = 10.0;
const RESIDENT_KIB_MAX: u64 = 1 << 20;

/// Two workers that open 500 files without a pause and without an end.
fn lab(clients: usize, behavior: &Behavior) -> Lab {
    let mut lab = labs::lab(clients, behavior, 0);
    lab.deadline = Span::from_secs(5);
    lab.phases.storm = Span::from_secs(100_000);
    lab.safety.run_max = Span::from_secs(1_000_000);
    lab.workload[0].operations_max = None;
    if let LoadKind::OpenStorm(storm) = &mut lab.workload[0].kind {
        storm.files = 500;
    }
    lab
}

/// The time this process has had a processor, in nanoseconds; `None` where the system does not say.
fn processor_ns() -> Option<u64> {
    std::fs::read_to_string("/proc/self/schedstat").ok()?.split_whitespace().next()?.parse().ok()
}

/// The most memory this process ever had, in KiB; `None` where the system does not say.
fn resident_kib_max() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn main() {
    let mut missed = false;
    let rows = [
        ("3 scanners", 3, Preset::Scanner, Kernel::Fanotify),
        ("64 scanners", 64, Preset::Scanner, Kernel::Fanotify),
        ("64 scanners", 64, Preset::Scanner, Kernel::EndpointSecurity),
        ("64 pathological", 64, Preset::Pathological, Kernel::Fanotify),
        ("1 noop", 1, Preset::Noop, Kernel::Fanotify),
    ];
    for (name, clients, preset, kernel) in rows {
        let lab = lab(clients, &preset.behavior());
        let options = Options { decisions_max: DECISIONS, ..Options::new(&lab, kernel) };
        // Time on the processor, and the best of three: a busy machine only ever takes time away. Where the system
        // does not say how long this thread had one, the time that passed counts.
        let (mut seconds, mut processor, mut decisions) = (f64::INFINITY, f64::INFINITY, 0);
        for _ in 0..3 {
            let (begun, had) = (Instant::now(), processor_ns());
            decisions = simulate(&lab, &options, &mut Counting::default()).decisions;
            let took = begun.elapsed().as_secs_f64();
            seconds = seconds.min(took);
            let had = had.zip(processor_ns()).map(|(before, after)| (after - before) as f64 / 1e9);
            processor = processor.min(had.unwrap_or(took));
        }
        let per_second = decisions as f64 / processor;
        let kibibytes = resident_kib_max();
        println!(
            "{name:16} {:18} {:>9} decisions {seconds:6.2} s ({processor:.2} s of one core) {:6.2} M/s, resident at most {} MiB",
            kernel.name(),
            decisions,
            per_second / 1e6,
            kibibytes.map_or_else(|| "?".to_owned(), |kibibytes| (kibibytes / 1024).to_string()),
        );
        missed |= decisions < DECISIONS || per_second < PER_SECOND_MIN || processor > SECONDS_MAX;
        missed |= kibibytes.is_some_and(|kibibytes| kibibytes > RESIDENT_KIB_MAX);
    }
    assert!(!missed, "a goal was missed");
}
