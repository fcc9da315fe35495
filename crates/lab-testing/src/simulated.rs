//! Runs in virtual time, and what the analysis finds in their traces.

use lab_analysis::{Context, analyse, findings::Findings};
use lab_model::{FaultAction, Lab, PlannedFault, Span};
use lab_sim::{Kernel, Options, Summary, TraceFile, Traces, not_simulated, simulate};
use lab_trace::Trace;

use crate::labs;

/// Simulates a lab whole, with the usual costs, and analyses its traces as those of a live run.
pub fn analysed(lab: &Lab, kernel: Kernel) -> (Summary, Findings) {
    let (summary, files) = traced(lab, &Options::new(lab, kernel));
    let findings = findings(lab, kernel, &files);
    (summary, findings)
}

/// A short run of three clients with their switches drawn from the seed, some with a client that stands still past its
/// deadline or a storm that is cut off, and what the analysis finds in it.
pub fn swarm(seed: u64) -> Findings {
    let mut lab = lab_sim::swarm(&labs::lab(3, &labs::scanner(), 200), seed);
    (lab.phases.storm, lab.phases.drain) = (Span::from_millis(20), Span::from_millis(5));
    lab.deadline = Span::from_millis(if seed.is_multiple_of(3) { 5 } else { 1000 });
    if seed.is_multiple_of(4) {
        let stalled = FaultAction::Stall { span: Span::from_millis(15) };
        lab.faults = vec![PlannedFault { on: "c1".into(), at: Span::from_nanos(10_000), action: stalled }];
    }
    if seed.is_multiple_of(5) {
        for client in &mut lab.clients {
            client.behavior.delay = Span::from_millis(30).into();
        }
    }
    let kernel = if seed.is_multiple_of(2) { Kernel::Fanotify } else { Kernel::EndpointSecurity };
    analysed(&lab, kernel).1
}

/// Simulates a lab whole; its traces have one file a process.
pub fn traced(lab: &Lab, options: &Options) -> (Summary, Vec<TraceFile>) {
    assert_eq!(not_simulated(lab), None, "it would be another lab");
    let mut traces = Traces::new(lab.safety.trace_bytes_max);
    let summary = simulate(lab, options, &mut traces);
    let files = traces.into_files();
    let mut names: Vec<&str> = files.iter().map(|file| file.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), files.len(), "each process has a trace of its own");
    (summary, files)
}

/// What the analysis finds in the traces of a simulated run.
pub fn findings(lab: &Lab, kernel: Kernel, files: &[TraceFile]) -> Findings {
    let traces: Vec<Trace<'_>> = files.iter().map(|file| Trace::parse(&file.bytes).unwrap()).collect();
    let context = Context {
        lab,
        run: "run",
        backend: lab_model::BackendChoice::Live(kernel),
        replay: "replay",
        unreadable: &[],
        waits: None,
    };
    analyse(&traces, &context)
}
