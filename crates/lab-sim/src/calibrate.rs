//! The costs of a machine from the traces of a live run on it.
//!
//! A run measures what the model needs in three places: the baseline (an operation without clients), the
//! control (what being asked costs) and the clients' own operations (what reading costs). Single costs such as
//! a context switch do not show in a trace, so the parts of a question keep their proportions and are scaled
//! together until a simulated control phase takes as long as the live one did. What workers cost follows from a
//! storm that ends: from the clients' own operations, from how long a decision lies before a worker takes it up,
//! and, for what is left, from how long the whole takes.

use lab_model::{Lab, PhaseKind, Rate, Span, Workload};

use crate::{
    Costs, Counting, Evidence, Kernel, Measured, Options, Sink, Spread, Summary, Traces, measure, simulate,
};

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
/// What waking an idle processor may cost, in nanoseconds.
const IDLE_COSTS: (u64, u64) = (0, 200_000);
/// How often costs that move each other are fitted.
const ROUNDS: usize = 3;
/// The most decisions that one simulated phase takes to fit.
const DECISIONS_MAX: u64 = 500_000;

/// Fits the costs to what was measured, beginning with `start`: to the first lab that shows anything, and what
/// starting a program costs to the first that runs one, as no client takes part in that.
#[must_use]
pub fn calibrate(evidence: &[Evidence], kernel: Kernel, start: Costs) -> Calibration {
    let Some(Evidence { lab, measured }) = evidence.first() else {
        return Calibration { costs: start, scale_permille: 1000, control_ratio: None, storm_ratio: None };
    };
    let any = |figure: fn(&Measured) -> Option<u64>| evidence.iter().find_map(|runs| figure(&runs.measured));
    let mut base = start;
    base.cores = measured.cores.unwrap_or(start.cores).clamp(1, 64);
    if let Some(open) = measured.baseline_open {
        let parts = (base.open_entry + base.open_exit).max(1);
        base.open_entry = open * base.open_entry / parts;
        base.open_exit = open - base.open_entry;
    }
    let (without, with) = (any(|found| found.baseline_static), any(|found| found.baseline_dynamic));
    if let Some(exec) = without.or(with) {
        let parts = (base.exec_entry + base.exec_exit).max(1);
        base.exec_entry = exec * base.exec_entry / parts;
        base.exec_exit = exec - base.exec_entry;
    }
    if let (Some(without), Some(with)) = (without, with) {
        base.exec_dynamic = with.saturating_sub(without);
    }
    if let (Some(content), Some(bytes)) = (measured.content, measured.content_bytes) {
        let kibibytes = bytes.div_ceil(1024);
        base.read_content = content.saturating_sub(base.close + kibibytes * base.read_kibibyte);
    }
    let (costs, scale_permille, control_ratio) = fit_control(lab, kernel, base, measured);
    let (costs, storm_ratio) = fit_workers(lab, kernel, costs, measured);
    Calibration { costs, scale_permille, control_ratio, storm_ratio }
}

/// Scales the parts of a question until a client on the caller's processor is reached as quickly as it was, and
/// fits what waking an idle processor costs until the control phase takes as long as it did.
///
/// Where nothing shows the first, or there is one processor only, all of it is scaled together.
fn fit_control(lab: &Lab, kernel: Kernel, base: Costs, measured: &Measured) -> (Costs, u64, Option<f64>) {
    let Some(wanted) = measured.control_open.or(measured.control_exec) else { return (base, 1000, None) };
    let median = |costs| root_latency(lab, kernel, costs, PhaseKind::Control, 500);
    let spread = |costs| root_latency(lab, kernel, costs, PhaseKind::Control, 900);
    let nearby = measured.control_nearby.filter(|_| base.cores > 1);
    let (mut costs, mut scale) = (base, 1000);
    match nearby {
        None => {
            scale =
                least(SCALES, |permille| median(scaled(base, permille)).is_none_or(|found| found >= wanted));
            costs = scaled(base, scale);
        }
        Some(nearby) => {
            for _ in 0..ROUNDS {
                let Costs { idle_exit, idle_tail, .. } = costs;
                let with = |permille| Costs { idle_exit, idle_tail, ..scaled(base, permille) };
                let found = |permille| {
                    phase_measures(lab, kernel, with(permille), PhaseKind::Control)?.control_nearby
                };
                scale = least(SCALES, |permille| found(permille).is_none_or(|found| found >= nearby));
                costs = with(scale);
                let with = |idle_exit| Costs { idle_exit, ..costs };
                let is_enough = |cost| median(with(cost)).is_none_or(|found| found >= wanted);
                costs = with(least(IDLE_COSTS, is_enough));
                let Some(p90) = measured.control_open_p90 else { continue };
                let with = |idle_tail| Costs { idle_tail, ..costs };
                let is_enough = |cost| spread(with(cost)).is_none_or(|found| found >= p90);
                costs = with(least(IDLE_COSTS, is_enough));
            }
        }
    }
    (costs, scale, median(costs).map(|found| found as f64 / wanted.max(1) as f64))
}

/// A figure as it was measured, the cost that it shows, and where a simulated run has it.
type Part = (Option<u64>, fn(&mut Costs) -> &mut u64, fn(&Measured) -> Option<u64>);

/// Raises what a worker costs, one part after the other, until each takes as long as it did: opening the event's
/// file again, taking a decision up, and last, for all that is left, answering.
fn fit_workers(lab: &Lab, kernel: Kernel, base: Costs, measured: &Measured) -> (Costs, Option<f64>) {
    let works = |client: &lab_model::Client| !client.behavior.on_open.is_none();
    let wanted = measured.storm_open.filter(|_| lab.clients.iter().any(works));
    let Some(Spread { p50: wanted, .. }) = wanted else { return (base, None) };
    let storm = |costs| phase_measures(lab, kernel, costs, PhaseKind::Storm);
    if storm(base).is_none() {
        return (base, None);
    }
    let mut costs = base;
    let parts: [Part; 3] = [
        (measured.client_open, |costs| &mut costs.reopen, |found| found.client_open),
        (measured.hand_over, |costs| &mut costs.hand_over, |found| found.hand_over),
        (measured.resumed, |costs| &mut costs.worker_answer, |found| found.resumed),
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

/// A quantile of the root operations of one simulated phase with a few; `None` if they do not all end well.
fn root_latency(lab: &Lab, kernel: Kernel, costs: Costs, phase: PhaseKind, permille: u64) -> Option<u64> {
    let summary = short_run(lab, kernel, costs, phase, &mut Counting::default())?;
    summary.phase(phase).and_then(|phase| phase.root_latency.at(permille))
}

/// What the traces of a short simulated phase say of its machine; `None` if it does not end well.
fn phase_measures(lab: &Lab, kernel: Kernel, costs: Costs, phase: PhaseKind) -> Option<Measured> {
    let mut traces = Traces::default();
    short_run(lab, kernel, costs, phase, &mut traces)?;
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
