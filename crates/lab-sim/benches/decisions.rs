//! How many decisions the simulator makes a second, on one core.
//!
//! `cargo bench -p lab-sim` prints a line for each lab and fails when a goal is missed: 3 million decisions a
//! second, and 10 million decisions of 64 clients in 10 s and 1 GiB.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock and its own memory use")]

use std::time::Instant;

use lab_model::{
    BackendChoice, Behavior, Client, Lab, LoadKind, OpenStorm, Phases, Preset, Rate, Safety, Span, Workload,
};
use lab_sim::{Counting, Kernel, Options, simulate};

const DECISIONS: u64 = 10_000_000;
const PER_SECOND_MIN: f64 = 3e6;
const SECONDS_MAX: f64 = 10.0;
const RESIDENT_KIB_MAX: u64 = 1 << 20;

fn lab(clients: usize, behavior: &Behavior) -> Lab {
    let client = |number: usize| Client {
        id: format!("c{number}").parse().expect("a client ID"),
        bundle_id: format!("com.example.c{number}").parse().expect("a bundle ID"),
        behavior: behavior.clone(),
        restart: None,
    };
    Lab {
        name: "bench".to_owned(),
        about: String::new(),
        seed: 42,
        backend: BackendChoice::Sim,
        deadline: Span::from_secs(5),
        clients: (0..clients).map(client).collect(),
        daemons: Vec::new(),
        external: Vec::new(),
        faults: Vec::new(),
        hold: Vec::new(),
        phases: Phases {
            baseline: Span::default(),
            control: Span::default(),
            external: Span::default(),
            storm: Span::from_secs(100_000),
            drain: Span::from_secs(10),
        },
        workload: vec![Workload {
            workers: 2,
            rate: Rate::Max,
            operations_max: None,
            ..Workload::of(LoadKind::OpenStorm(OpenStorm {
                files: 500,
                directory: "files".to_owned(),
                file_bytes: 4096,
            }))
        }],
        expect: Vec::new(),
        safety: Safety { run_max: Span::from_secs(1_000_000), ..Safety::default() },
    }
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
