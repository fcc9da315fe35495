//! Findings for whoever renders them: what the analysis says of a few simulated runs, each the same every time. By
//! hand is only what cannot be simulated: a product beside the clients, and names that mean ill.

mod beside;
mod hostile;

use std::sync::OnceLock;

use lab_analysis::{Context, analyse, findings::Findings};
use lab_config::Limits;
use lab_model::Lab;
use lab_sim::{Kernel, Options};
use lab_trace::Trace;

pub use beside::{beside, outside};
pub use hostile::hostile;

use crate::simulated;

/// All of them by name.
pub fn all() -> Vec<(&'static str, Findings)> {
    vec![
        ("stable", stable()),
        ("deadlocked", deadlocked()),
        ("divergent", divergent()),
        ("disturbed", disturbed()),
        ("endpoint-security", endpoint_security()),
        ("knee", knee()),
        ("beside", beside()),
        ("empty", empty()),
        ("hostile", hostile()),
    ]
}

const STABLE: &str = "
schema: 1
name: three-clients
about: Three copies of one scanner. Nine of twelve decisions are about the lab's own opens.
defaults: { behavior: { preset: scanner, react_to: workload } }
clients: [{ id: alpha }, { id: bravo }, { id: charlie }]
phases: { baseline: 10ms, control: 10ms, storm: 30s, drain: 1s }
workload:
  - open_storm: { workers: 2, files: 500, rate: max, operations_max: 2000 }
expect:
  - deadline.misses == 0
  - headroom.p01 > 50%
  - loop_gain < 1
  - sometimes: cascade.depth >= 2
";

const DEADLOCKED: &str = "
schema: 1
name: deadlock-pair
about: Two clients, one event at a time, each waiting for the other's answer.
deadline: 2s
defaults: { behavior: { concurrency: 1, react_to: peers, on_open: { reopen: true, read: true, when: before } } }
clients: [{ id: alpha }, { id: bravo }]
phases: { baseline: 5ms, control: 5ms, storm: 5s, drain: 1s }
workload:
  - open_storm: { workers: 2, files: 50, rate: max, operations_max: 100 }
expect:
  - deadline.misses == 0
  - sometimes: cascade.depth >= 2
";

const DIVERGENT: &str = "
schema: 1
name: echo-chamber
about: Two clients that answer first and open afterwards. Ten opens never come to an end.
deadline: 2s
defaults: { behavior: { concurrency: 1, react_to: peers, on_open: { reopen: true, read: true, when: after } } }
clients: [{ id: alpha }, { id: bravo }, { id: watcher, behavior: noop }]
phases: { baseline: 0s, control: 5ms, storm: 200ms, drain: 200ms }
workload:
  - open_storm: { workers: 1, files: 10, rate: max, operations_max: 10 }
expect:
  - loop_gain < 1
  - drain.half_life < 100ms
  - deadline.misses == 0
";

const DISTURBED: &str = "
schema: 1
name: disturbed
about: Helpers, a daemon, an observer, caches and faults in one lab.
deadline: 1s
defaults: { behavior: { preset: scanner, react_to: workload } }
clients:
  - id: alpha
    behavior:
      on_open: { reopen: false }
      mute: { helpers: true }
      helpers: { count: 2, open: true, read: true, wait: true, on: open }
  - { id: bravo, restart: 300ms, behavior: { cache: on, mute: { paths: [noise] } } }
  - { id: charlie, behavior: { daemons: [{ ask: indexer, on: exec, wait: false }] } }
  - { id: observer, behavior: { preset: noop, subscribe: none, notify: [open, close] } }
daemons:
  - { id: indexer, workers: 1, open: true, read: true }
phases: { baseline: 5ms, control: 5ms, storm: 4s, drain: 1s }
workload:
  - open_storm: { workers: 1, files: 50, rate: 500 }
  - open_storm: { workers: 1, files: 10, directory: noise, rate: 50 }
  - exec_tree: { workers: 1, fanout: 2, depth: 2, rate: 5 }
faults:
  - kill: { on: bravo, at: 1s }
  - slow: { on: charlie, at: 2s, for: 500ms, by: 5ms }
  - stall: { on: alpha, at: 3s, for: 3s }
expect:
  - deadline.misses == 0
  - clients.bravo.restarts == 1
  - clients.bravo.approvals.dead-client > 500
";

const PARALLEL: &str = "
schema: 1
name: asked-at-once
about: Two scanners, of which one caches and mutes, on a kernel that asks them at the same time.
defaults: { behavior: { preset: scanner, react_to: workload } }
clients: [{ id: alpha }, { id: bravo, behavior: { mute: { processes: [alpha] }, cache: on } }]
phases: { baseline: 5ms, control: 5ms, storm: 10s, drain: 1s }
workload:
  - exec_storm: { workers: 2, program: static, rate: max, operations_max: 300 }
  - open_storm: { workers: 2, files: 20, rate: max, operations_max: 1500 }
expect:
  - decisions.unexplained == 0
";

const KNEE: &str = "
schema: 1
name: knee
about: Two scanners and a rate that is raised step by step.
clients: [{ id: alpha, behavior: scanner }, { id: bravo, behavior: scanner }]
phases: { baseline: 0s, control: 0s, storm: 1200ms, drain: 1s }
workload:
  - open_storm:
      workers: 4
      files: 20
      find_knee: { from: 500, to: 16000, steps: 6, hold: ['op_latency.storm.p99 < 250ms'] }
expect:
  - knee.rate < 1000
";

const EMPTY: &str = "
schema: 1
name: one-client
about: One scanner.
clients: [{ id: alpha, behavior: scanner }]
workload:
  - open_storm: { workers: 2, files: 500, rate: max }
expect:
  - loop_gain < 1
";

/// Three scanners that react to the workload only: twelve decisions for each open, exactly.
pub fn stable() -> Findings {
    static REPORT: OnceLock<Findings> = OnceLock::new();
    REPORT.get_or_init(|| report(STABLE, Kernel::Fanotify)).clone()
}

/// Two clients of one thread that open what the other must approve, until the deadline kills one.
pub fn deadlocked() -> Findings {
    static REPORT: OnceLock<Findings> = OnceLock::new();
    REPORT.get_or_init(|| report(DEADLOCKED, Kernel::Fanotify)).clone()
}

/// Two clients that answer first, open after, and react to each other: an echo that never ends.
pub fn divergent() -> Findings {
    static REPORT: OnceLock<Findings> = OnceLock::new();
    REPORT.get_or_init(|| report(DIVERGENT, Kernel::Fanotify)).clone()
}

/// Helpers, a daemon, an observer, trees of processes, and faults: a client dies and comes back, another misses its
/// deadline.
pub fn disturbed() -> Findings {
    static REPORT: OnceLock<Findings> = OnceLock::new();
    REPORT.get_or_init(|| report(DISTURBED, Kernel::Fanotify)).clone()
}

/// Opens and executions on the rules of Endpoint Security: all clients are asked at once, and one caches and mutes.
pub fn endpoint_security() -> Findings {
    static REPORT: OnceLock<Findings> = OnceLock::new();
    REPORT.get_or_init(|| report(PARALLEL, Kernel::EndpointSecurity)).clone()
}

/// A rate that is raised until the clients no longer keep up.
pub fn knee() -> Findings {
    static REPORT: OnceLock<Findings> = OnceLock::new();
    REPORT.get_or_init(|| report(KNEE, Kernel::Fanotify)).clone()
}

/// A run that left no trace.
pub fn empty() -> Findings {
    analyse(&[], &context(&lab(EMPTY)))
}

fn lab(source: &str) -> Lab {
    lab_config::parse("a lab of the tests", source, &Limits::default())
        .unwrap_or_else(|mistakes| panic!("{mistakes}"))
}

fn context(lab: &Lab) -> Context<'_> {
    Context {
        lab,
        run: "2026-11-23T17-30-12",
        backend: lab_model::BackendChoice::Simulated,
        replay: "cargo lab up a-lab --backend sim --seed 42",
        unreadable: &[],
        waits: None,
    }
}

fn report(source: &str, kernel: Kernel) -> Findings {
    let lab = lab(source);
    let (_, files) = simulated::traced(&lab, &Options::new(&lab, kernel));
    let traces: Vec<Trace<'_>> = files.iter().map(|file| Trace::parse(&file.bytes).unwrap()).collect();
    analyse(&traces, &context(&lab))
}
