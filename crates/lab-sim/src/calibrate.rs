//! The costs of a machine from the traces of a live run on it.
//!
//! A run measures what the model needs in three places: the baseline (an operation without clients), the
//! control (what being asked costs) and the clients' own operations (what reading costs). Single costs such as
//! a context switch do not show in a trace, so the parts of a question keep their proportions and are scaled
//! together until a simulated control phase takes as long as the live one did. What workers cost follows from a
//! storm that ends: from the clients' own operations, from how long a decision lies before a worker takes it up,
//! and, for what is left, from how long the whole takes.

use lab_model::{Lab, OperationKind, PhaseKind, Rate, Role, Span, Workload};
use lab_trace::{Entry, Operation, Record, Trace, TraceError};

use crate::{Costs, Counting, Histogram, Kernel, Options, Sink, Summary, Traces, simulate};

/// What a run's traces say of its machine. Medians, in nanoseconds; `None` where there was nothing to measure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// The processors that the driver was allowed to use.
    pub cores: Option<u16>,
    /// An open of the workload without clients.
    pub baseline_open: Option<u64>,
    /// An exec of the workload without clients.
    pub baseline_exec: Option<u64>,
    /// An open of the workload with clients that answer at once.
    pub control_open: Option<u64>,
    /// An exec of the workload with clients that answer at once.
    pub control_exec: Option<u64>,
    /// Reading and closing a file once it is open.
    pub content: Option<u64>,
    /// The bytes of the files that were read, on average.
    pub content_bytes: Option<u64>,
    /// From the reading of an event to a worker's taking it up.
    pub hand_over: Option<u64>,
    /// An open that a client makes itself, while others are asked about it.
    pub client_open: Option<u64>,
    /// From a worker's taking an event up to its answer.
    pub work: Option<u64>,
    /// An open of the workload in the storm: what the calibrated model is to be compared with.
    pub storm_open: Option<Spread>,
    /// An exec of the workload in the storm.
    pub storm_exec: Option<Spread>,
}

/// A median and a high quantile, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The median.
    pub p50: u64,
    /// 99 % are at most this.
    pub p99: u64,
}

/// Reads from the traces of one run, in any order, what they say of its machine.
///
/// # Errors
/// [`TraceError`] for a file that is no trace. Damage within one is passed over.
pub fn measure(traces: &[&[u8]]) -> Result<Measured, TraceError> {
    let mut roots: [[Histogram; 2]; 3] = std::array::from_fn(|_| Default::default());
    let (mut content, mut bytes) = (Histogram::default(), Histogram::default());
    let (mut handed, mut client_open, mut work) =
        (Histogram::default(), Histogram::default(), Histogram::default());
    let mut cores = None;
    for trace in traces {
        let trace = Trace::parse(trace)?;
        let (timebase, role) = (trace.header.timebase, trace.header.role);
        if role == Role::Driver {
            let cpus = u16::try_from(trace.header.identity.host.cpus.len()).ok();
            cores = cpus.filter(|&cpus| cpus > 0);
        }
        for entry in trace.entries() {
            let operation = match entry {
                Entry::Record { record: Record::Operation(operation), .. } => operation,
                Entry::Record { record: Record::Decision(decision), .. } => {
                    let end = decision.end.present();
                    if let Some((started, answered)) = end.and_then(|end| Some((end.started?, end.answered)))
                    {
                        handed.record(timebase.nanoseconds(started.since(decision.begin.read)));
                        work.record(timebase.nanoseconds(answered.since(started)));
                    }
                    continue;
                }
                _ => continue,
            };
            let Some(end) = operation.end.present().filter(|end| end.error == 0) else { continue };
            if role == Role::Client && operation.begin.kind == OperationKind::Open {
                client_open.record(timebase.nanoseconds(end.ended.since(operation.begin.started)));
            }
            match (role, end.finished) {
                (Role::Driver, _) => {
                    if let Some(place) = place(&operation) {
                        let took = timebase.nanoseconds(end.ended.since(operation.begin.started));
                        roots[place.0][place.1].record(took);
                    }
                }
                (_, Some(finished)) => {
                    content.record(timebase.nanoseconds(finished.since(end.ended)));
                    bytes.record(end.bytes);
                }
                (_, None) => {}
            }
        }
    }
    let median = |phase: usize, kind: usize| roots[phase][kind].at(500);
    let spread = |kind: usize| {
        let (p50, p99) = (roots[2][kind].at(500)?, roots[2][kind].at(990)?);
        Some(Spread { p50, p99 })
    };
    Ok(Measured {
        cores,
        baseline_open: median(0, 0),
        baseline_exec: median(0, 1),
        control_open: median(1, 0),
        control_exec: median(1, 1),
        hand_over: handed.at(500),
        client_open: client_open.at(500),
        work: work.at(500),
        content: content.at(500),
        content_bytes: bytes.mean(),
        storm_open: spread(0),
        storm_exec: spread(1),
    })
}

/// The phase and the kind of a root operation, as places in a table.
fn place(operation: &Operation) -> Option<(usize, usize)> {
    let phase = match operation.begin.phase? {
        PhaseKind::Baseline => 0,
        PhaseKind::Control => 1,
        PhaseKind::Storm => 2,
        PhaseKind::External | PhaseKind::Drain => return None,
    };
    Some((phase, usize::from(operation.begin.kind == OperationKind::Exec)))
}

/// Costs that follow from a run, and how well they fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Calibration {
    /// The costs.
    pub costs: Costs,
    /// By how much the parts of a question were scaled, in thousandths.
    pub scale_permille: u64,
    /// The simulated median of the control phase over the measured one; `None` where none was measured.
    pub control_ratio: Option<f64>,
    /// The same of the storm; `None` where it was not fitted: nothing measured, nothing for a worker to do, or
    /// a storm whose cascades do not end. Far from 1 when no cost of a worker explains what was measured.
    pub storm_ratio: Option<f64>,
}

/// The scales that are tried, in thousandths: from a machine ten times as fast to one forty times as slow.
const SCALES: (u64, u64) = (100, 40_000);
/// What a worker's single costs may be, in nanoseconds.
const WORKER_COSTS: (u64, u64) = (0, 1_000_000);
/// How often all of them are fitted.
const ROUNDS: usize = 3;
/// The most decisions that one simulated phase takes to fit.
const DECISIONS_MAX: u64 = 500_000;

/// Fits the costs to what was measured in a run of `lab`, beginning with `start`.
#[must_use]
pub fn calibrate(lab: &Lab, kernel: Kernel, start: Costs, measured: &Measured) -> Calibration {
    let mut base = start;
    base.cores = measured.cores.unwrap_or(start.cores).clamp(1, 64);
    if let Some(open) = measured.baseline_open {
        let parts = (base.open_entry + base.open_exit).max(1);
        base.open_entry = open * base.open_entry / parts;
        base.open_exit = open - base.open_entry;
    }
    if let Some(exec) = measured.baseline_exec {
        let dynamic = if is_dynamic(lab) { base.exec_dynamic } else { 0 };
        let parts = (base.exec_entry + base.exec_exit + dynamic).max(1);
        base.exec_dynamic = exec * dynamic / parts;
        base.exec_entry = exec * base.exec_entry / parts;
        base.exec_exit = exec - base.exec_entry - base.exec_dynamic;
    }
    if let (Some(content), Some(bytes)) = (measured.content, measured.content_bytes) {
        let kibibytes = bytes.div_ceil(1024);
        base.read_content = content.saturating_sub(base.close + kibibytes * base.read_kibibyte);
    }
    let (costs, scale_permille, control_ratio) = fit_control(lab, kernel, base, measured);
    let (costs, storm_ratio) = fit_workers(lab, kernel, costs, measured);
    Calibration { costs, scale_permille, control_ratio, storm_ratio }
}

/// Scales the parts of a question until the control phase takes as long as it did.
fn fit_control(lab: &Lab, kernel: Kernel, base: Costs, measured: &Measured) -> (Costs, u64, Option<f64>) {
    let Some(wanted) = measured.control_open.or(measured.control_exec) else { return (base, 1000, None) };
    let median = |permille| root_median(lab, kernel, scaled(base, permille), PhaseKind::Control);
    let scale = least(SCALES, |permille| median(permille).is_none_or(|found| found >= wanted));
    let ratio = median(scale).map(|found| found as f64 / wanted.max(1) as f64);
    (scaled(base, scale), scale, ratio)
}

/// A figure as it was measured, the cost that it shows, and where a simulated run has it.
type Part = (Option<u64>, fn(&mut Costs) -> &mut u64, fn(&Measured) -> Option<u64>);

/// Raises what a worker costs, one part after the other, until each takes as long as it did: opening the event's
/// file again, taking a decision up, and last, for all that is left, answering.
fn fit_workers(lab: &Lab, kernel: Kernel, base: Costs, measured: &Measured) -> (Costs, Option<f64>) {
    let works = |client: &lab_model::Client| !client.behavior.on_open.is_none();
    let wanted = measured.storm_open.filter(|_| lab.clients.iter().any(works));
    let Some(Spread { p50: wanted, .. }) = wanted else { return (base, None) };
    let storm = |costs| storm_measures(lab, kernel, costs);
    if storm(base).is_none() {
        return (base, None);
    }
    let mut costs = base;
    let parts: [Part; 3] = [
        (measured.client_open, |costs| &mut costs.reopen, |found| found.client_open),
        (measured.hand_over, |costs| &mut costs.hand_over, |found| found.hand_over),
        (Some(wanted), |costs| &mut costs.worker_answer, |found| found.storm_open.map(|spread| spread.p50)),
    ];
    // Where processors are scarce each part moves the others, so all are fitted again.
    for (wanted, part, figure) in parts.into_iter().cycle().take(parts.len() * ROUNDS) {
        let Some(wanted) = wanted else { continue };
        let is_enough = |cost| {
            let mut tried = costs;
            *part(&mut tried) = cost;
            storm(tried).as_ref().and_then(figure).is_none_or(|found| found >= wanted)
        };
        let least = least(WORKER_COSTS, is_enough);
        *part(&mut costs) = least;
    }
    let reached = storm(costs).and_then(|found| found.storm_open);
    (costs, reached.map(|reached| reached.p50 as f64 / wanted.max(1) as f64))
}

/// The least number between two for which something is true that stays true from there on; the highest if it
/// never is.
fn least((mut low, mut high): (u64, u64), mut is_enough: impl FnMut(u64) -> bool) -> u64 {
    if is_enough(low) {
        return low;
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        if is_enough(middle) { high = middle } else { low = middle }
    }
    high
}

fn is_dynamic(lab: &Lab) -> bool {
    let one = lab_model::ExecProgram::Static;
    lab.workload.iter().any(|load| matches!(load, Workload::ExecStorm(storm) if storm.program != one))
}

/// All parts of putting, reading and answering a question, scaled.
fn scaled(costs: Costs, permille: u64) -> Costs {
    let scale = |cost: u64| cost * permille / 1000;
    Costs {
        context_switch: scale(costs.context_switch),
        wake_up: scale(costs.wake_up),
        idle_exit: scale(costs.idle_exit),
        ask: scale(costs.ask),
        read_call: scale(costs.read_call),
        read_event: scale(costs.read_event),
        decide: scale(costs.decide),
        answer_call: scale(costs.answer_call),
        answer_event: scale(costs.answer_event),
        release: scale(costs.release),
        herd: scale(costs.herd),
        ..costs
    }
}

/// The median root operation of one simulated phase with a few operations; `None` if they do not all end well.
fn root_median(lab: &Lab, kernel: Kernel, costs: Costs, phase: PhaseKind) -> Option<u64> {
    let summary = short_run(lab, kernel, costs, phase, &mut Counting::default())?;
    summary.phase(phase).and_then(|phase| phase.root_latency.at(500))
}

/// What the traces of a short simulated storm say of its machine; `None` if it does not end well.
fn storm_measures(lab: &Lab, kernel: Kernel, costs: Costs) -> Option<Measured> {
    let mut traces = Traces::default();
    short_run(lab, kernel, costs, PhaseKind::Storm, &mut traces)?;
    let files = traces.into_files();
    let bytes: Vec<&[u8]> = files.iter().map(|file| file.bytes.as_slice()).collect();
    measure(&bytes).ok()
}

/// One simulated phase with a few operations; `None` if they do not all end well.
fn short_run(
    lab: &Lab,
    kernel: Kernel,
    costs: Costs,
    phase: PhaseKind,
    sink: &mut impl Sink,
) -> Option<Summary> {
    const OPERATIONS: u64 = 500;
    let span = |kind, longest| if kind == phase { longest } else { Span::default() };
    let mut short = lab.clone();
    short.phases.baseline = Span::default();
    short.phases.control = span(PhaseKind::Control, Span::from_secs(10));
    short.phases.storm = span(PhaseKind::Storm, Span::from_secs(10));
    short.phases.drain = span(PhaseKind::Storm, Span::from_millis(200));
    // Opens are what is fitted if there are any.
    let opens = |load: &Workload| !load.runs_programs();
    if short.workload.iter().any(opens) {
        short.workload.retain(opens);
    }
    for load in &mut short.workload {
        let rate = load.rate();
        let most = load.operations_max_mut();
        let limit = if rate == Rate::Max { OPERATIONS } else { OPERATIONS / 5 };
        *most = Some(most.unwrap_or(limit).min(limit));
    }
    let options = Options { costs, decisions_max: DECISIONS_MAX, ..Options::new(&short, kernel) };
    let summary = simulate(&short, &options, sink);
    (summary.kills == 0 && summary.in_flight == 0 && summary.cut.is_none()).then_some(summary)
}
