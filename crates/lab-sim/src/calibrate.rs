//! The costs of a machine from the traces of a live run on it.
//!
//! A run measures what the model needs in three places: the baseline (an operation without clients), the
//! control (what being asked costs) and the clients' own operations (what reading costs). Single costs such as
//! a context switch do not show in a trace, so the parts of a question keep their proportions and are scaled
//! together until a simulated control phase takes as long as the live one did.

use lab_model::{Lab, OperationKind, PhaseKind, Rate, Role, Span, Workload};
use lab_trace::{Entry, Operation, Record, Trace, TraceError};

use crate::{Costs, Counting, Histogram, Kernel, Options, simulate};

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
    let mut cores = None;
    for trace in traces {
        let trace = Trace::parse(trace)?;
        let (timebase, role) = (trace.header.timebase, trace.header.role);
        if role == Role::Driver {
            let cpus = u16::try_from(trace.header.identity.host.cpus.len()).ok();
            cores = cpus.filter(|&cpus| cpus > 0);
        }
        for entry in trace.entries() {
            let Entry::Record { record: Record::Operation(operation), .. } = entry else { continue };
            let Some(end) = operation.end.present().filter(|end| end.error == 0) else { continue };
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
        PhaseKind::Drain => return None,
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
}

/// The scales that are tried, in thousandths: from a machine ten times as fast to one forty times as slow.
const SCALES: (u64, u64) = (100, 40_000);

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
    let wanted = measured.control_open.or(measured.control_exec);
    let Some(wanted) = wanted else {
        return Calibration { costs: base, scale_permille: 1000, control_ratio: None };
    };
    // More cost never makes the control phase faster, so halving the interval finds the scale.
    let (mut low, mut high) = SCALES;
    while high - low > 1 {
        let middle = low.midpoint(high);
        if control_median(lab, kernel, scaled(base, middle)).is_some_and(|found| found < wanted) {
            low = middle;
        } else {
            high = middle;
        }
    }
    let costs = scaled(base, high);
    let found = control_median(lab, kernel, costs);
    let control_ratio = found.map(|found| found as f64 / wanted.max(1) as f64);
    Calibration { costs, scale_permille: high, control_ratio }
}

fn is_dynamic(lab: &Lab) -> bool {
    let dynamic = lab_model::ExecProgram::Dynamic;
    lab.workload.iter().any(|load| matches!(load, Workload::ExecStorm(storm) if storm.program == dynamic))
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
        hand_over: scale(costs.hand_over),
        ..costs
    }
}

/// The median root operation of a simulated control phase.
fn control_median(lab: &Lab, kernel: Kernel, costs: Costs) -> Option<u64> {
    const OPERATIONS: u64 = 500;
    let mut control = lab.clone();
    control.phases.baseline = Span::default();
    control.phases.control = Span::from_secs(10);
    control.phases.storm = Span::default();
    control.phases.drain = Span::default();
    // Opens are what the scale is fitted to if there are any.
    let opens = |load: &Workload| matches!(load, Workload::OpenStorm(_));
    if control.workload.iter().any(opens) {
        control.workload.retain(opens);
    }
    for load in &mut control.workload {
        let (rate, most) = match load {
            Workload::OpenStorm(storm) => (storm.rate, &mut storm.operations_max),
            Workload::ExecStorm(storm) => (storm.rate, &mut storm.operations_max),
        };
        let limit = if rate == Rate::Max { OPERATIONS } else { OPERATIONS / 5 };
        *most = Some(most.unwrap_or(limit).min(limit));
    }
    let options = Options { costs, ..Options::new(&control, kernel) };
    let summary = simulate(&control, &options, &mut Counting::default());
    summary.phase(PhaseKind::Control).and_then(|phase| phase.root_latency.at(500))
}
