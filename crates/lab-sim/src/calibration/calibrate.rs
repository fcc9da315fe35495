//! The costs of a machine from the traces of a live run on it.
//!
//! A run measures what the model needs in three places: the baseline (an operation without clients), the
//! control (what being asked costs) and the clients' own operations (what reading costs). Single costs such as
//! a context switch do not show in a trace, so the parts of a question keep their proportions and are scaled
//! together until a simulated control phase takes as long as the live one did. What workers cost follows from a
//! storm that ends: from the clients' own operations, from how long a decision lies before a worker takes it up,
//! and from how long it takes from the last answer to the return of the open.

use lab_model::{AuthEvent, Lab, LoadKind, PhaseKind, Rate, Span, Workload};

use lab_trace::Trace;

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
/// What a tree's program may cost more than the static one, in nanoseconds.
const TREE_COSTS: (u64, u64) = (0, 50_000_000);
/// What one may cost more that finds everything cold, in nanoseconds: less than the pace of any lab that shows it, or
/// they would follow on each other and find nothing cold.
const COLD_COSTS: (u64, u64) = (0, 5_000_000);
/// How often costs that move each other are fitted.
const ROUNDS: usize = 3;
/// The most decisions that one simulated phase takes to fit.
const DECISIONS_MAX: u64 = 500_000;

/// What each lab's runs are good for.
struct Labs<'a> {
    /// Several clients that do something, at full speed; the first lab where there is none.
    first: &'a Evidence,
    /// More clients than the first lab, which answer at once: what has not run for a while is cold.
    many: Option<&'a Evidence>,
    /// Operations at planned times: they find everybody asleep.
    paced: Option<&'a Evidence>,
    /// Trees of processes.
    trees: Option<&'a Evidence>,
    all: &'a [Evidence],
}

impl<'a> Labs<'a> {
    fn of(all: &'a [Evidence]) -> Option<Labs<'a>> {
        let busy = |load: &Workload| !load.runs_programs() && load.rate == Rate::Max;
        let opens = |lab: &Lab| lab.workload.iter().all(busy);
        let acts = |lab: &Lab| {
            lab.clients.iter().any(|client| !client.behavior.reactions[AuthEvent::Open].is_none())
        };
        let crowd = |runs: &&Evidence| opens(&runs.lab) && runs.lab.clients.len() > 1 && acts(&runs.lab);
        let first = all.iter().find(crowd).or(all.first())?;
        let others = || all.iter().filter(|runs| !std::ptr::eq(*runs, first));
        let find = |is_it: &dyn Fn(&Lab) -> bool| others().find(|runs| is_it(&runs.lab));
        Some(Labs {
            first,
            many: find(&|lab| opens(lab) && lab.clients.len() > 2 * first.lab.clients.len()),
            paced: find(&|lab| lab.workload.iter().all(|load| load.rate != Rate::Max)),
            trees: find(&|lab| lab.workload.iter().all(|load| matches!(load.kind, LoadKind::ExecTree(_)))),
            all,
        })
    }

    /// The figure of the first lab that has it, of those whose operations follow on each other.
    fn any(&self, figure: fn(&Measured) -> Option<u64>) -> Option<u64> {
        let paced = |runs: &&Evidence| self.paced.is_some_and(|paced| std::ptr::eq(paced, *runs));
        self.all.iter().filter(|runs| !paced(runs)).find_map(|runs| figure(&runs.measured))
    }
}

/// Fits the costs to what was measured, beginning with `start`.
///
/// Control phase and workers are fitted to the first lab at full speed with several clients that do something. Others
/// add what they show, each by what it is: what is cold (many clients; operations at planned times), how late a sleeper
/// wakes (operations at planned times), what starting programs costs (a baseline that runs them). No storm's latency is
/// fitted.
#[must_use]
pub fn calibrate(evidence: &[Evidence], kernel: Kernel, start: Costs) -> Calibration {
    let Some(labs) = Labs::of(evidence) else {
        return Calibration { costs: start, scale_permille: 1000, control_ratio: None, storm_ratio: None };
    };
    let Evidence { lab, measured } = labs.first;
    let mut base = start;
    base.cores = measured.cores.unwrap_or(start.cores).clamp(1, 64);
    if let Some(open) = labs.any(|found| found.baseline_open) {
        let parts = (base.open_entry + base.open_exit).max(1);
        base.open_entry = open * base.open_entry / parts;
        base.open_exit = open - base.open_entry;
    }
    let (without, with) = (labs.any(|found| found.baseline_static), labs.any(|found| found.baseline_dynamic));
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
    let (costs, scale_permille, control_ratio) = fit_control(&labs, kernel, base);
    let (costs, storm_ratio) = fit_workers(lab, kernel, costs, measured);
    let costs = fit_programs(&labs, kernel, fit_sleep(&labs, kernel, costs));
    Calibration { costs, scale_permille, control_ratio, storm_ratio }
}

/// Scales the parts of a question until a client on the caller's processor is reached as quickly as it was, and
/// fits what waking an idle processor costs until the control phase takes as long as it did.
///
/// Where nothing shows the first, or there is one processor only, all of it is scaled together.
fn fit_control(labs: &Labs<'_>, kernel: Kernel, base: Costs) -> (Costs, u64, Option<f64>) {
    let Evidence { lab, measured } = labs.first;
    let Some(wanted) = measured.control_open.or(measured.control_exec) else { return (base, 1000, None) };
    let (cold, cold_half) = cooled(labs).unwrap_or((base.cold, base.cold_half));
    let base = Costs { cold, cold_half, ..base };
    let median = |costs| root_latency(lab, kernel, costs, PhaseKind::Control, 500);
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
                scale = fit_scale(labs, kernel, base, costs, nearby);
                costs = with_scale(base, costs, scale);
                let with = |idle_exit| Costs { idle_exit, ..costs };
                let is_enough = |cost| median(with(cost)).is_none_or(|found| found >= wanted);
                costs = with(least(IDLE_COSTS, is_enough));
                let Some(p90) = measured.control_open_p90 else { continue };
                let spread = |costs| root_latency(lab, kernel, costs, PhaseKind::Control, 900);
                let with = |idle_tail| Costs { idle_tail, ..costs };
                let is_enough = |cost| spread(with(cost)).is_none_or(|found| found >= p90);
                costs = with(least(IDLE_COSTS, is_enough));
            }
            // Where opener and clients were now together and now apart, no tail has both quantiles: the median counts.
            if median(costs).is_some_and(|found| found > wanted) {
                let with = |idle_tail| Costs { idle_tail, ..costs };
                let is_enough = |cost| median(with(cost)).is_none_or(|found| found >= wanted);
                costs = with(least((0, costs.idle_tail), is_enough));
            }
        }
    }
    (costs, scale, median(costs).map(|found| found as f64 / wanted.max(1) as f64))
}

/// The scale of a question's parts: from the quickest first readings of the control phase, which woke no processor.
fn fit_scale(labs: &Labs<'_>, kernel: Kernel, base: Costs, costs: Costs, nearby: u64) -> u64 {
    let with = |permille| with_scale(base, costs, permille);
    let found = |permille| {
        phase_measures(&labs.first.lab, kernel, with(permille), PhaseKind::Control)?.control_nearby
    };
    least(SCALES, |permille| found(permille).is_none_or(|found| found >= nearby))
}

/// The base's parts of a question scaled, beside what has been fitted already.
fn with_scale(base: Costs, costs: Costs, permille: u64) -> Costs {
    let Costs { idle_exit, idle_tail, .. } = costs;
    Costs { idle_exit, idle_tail, ..scaled(base, permille) }
}

/// What a thread's first piece of work takes longer after an absence, as two absences show it directly: a client's that
/// shares the processor with many others, up to its reading and from there to its answer, and an opener's between two
/// planned opens. Nothing where one of the two is not shown.
fn cooled(labs: &Labs<'_>) -> Option<(u64, u64)> {
    let (near, far) = (&labs.first.measured, &labs.many?.measured);
    let more = |figure: fn(&Measured) -> Option<u64>| Some(figure(far)?.saturating_sub(figure(near)?));
    let soon = more(|found| found.control_nearby)? + more(|found| found.control_answer)?;
    let paced = labs.paced?;
    let pace =
        paced.lab.workload.iter().filter(|load| !load.runs_programs()).find_map(|load| match load.rate {
            Rate::PerSecond(rate) => Some(1_000_000_000 / u64::from(rate.max(1))),
            _ => None,
        })?;
    let late = paced.measured.baseline_open?.saturating_sub(labs.any(|found| found.baseline_open)?);
    let short = Absence { lasts: far.control_open?, costs: soon };
    halfway(short, Absence { lasts: pace, costs: late })
}

/// How long a thread has been away, and how much longer its next operation takes; nanoseconds.
#[derive(Clone, Copy, Debug)]
struct Absence {
    lasts: u64,
    costs: u64,
}

/// The curve `cold · away / (away + half)` through two points, each an absence and what it costs; `None` where the longer
/// absence costs no more, or so much more that no such curve has both.
fn halfway(short: Absence, long: Absence) -> Option<(u64, u64)> {
    let (Absence { lasts: away, costs: soon }, Absence { lasts: pace, costs: late }) = (short, long);
    if soon == 0 || late <= soon || pace <= away {
        return None;
    }
    // 1/cost is a straight line over 1/absence.
    let (soon, late) = (soon as f64, late as f64);
    let slope = (1.0 / soon - 1.0 / late) / (1.0 / away as f64 - 1.0 / pace as f64);
    let rest = 1.0 / late - slope / pace as f64;
    (rest > 0.0).then(|| (whole(1.0 / rest), whole(slope / rest)))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates; times are positive")]
const fn whole(time: f64) -> u64 {
    time as u64
}

/// What a processor that has slept takes longer: an opener wakes later at its planned time.
fn fit_sleep(labs: &Labs<'_>, kernel: Kernel, mut costs: Costs) -> Costs {
    if let Some(Evidence { lab, measured }) = labs.paced {
        let part: Part = (measured.baseline_late, |costs| &mut costs.sleep_exit, |found| found.baseline_late);
        raise(&mut costs, part, IDLE_COSTS, |costs| phase_measures(lab, kernel, costs, PhaseKind::Baseline));
    }
    costs
}

/// What starting a program takes longer in a tree, and where it finds everything cold: from baselines.
fn fit_programs(labs: &Labs<'_>, kernel: Kernel, mut costs: Costs) -> Costs {
    let parts: [(Option<&Evidence>, (u64, u64), Cost); 2] = [
        (labs.trees, TREE_COSTS, |costs| &mut costs.exec_tree),
        (labs.paced, COLD_COSTS, |costs| &mut costs.exec_cold),
    ];
    for (runs, range, part) in parts {
        let Some(Evidence { lab, measured }) = runs else { continue };
        let programs = programs_of(lab);
        let baseline = |costs| phase_measures(&programs, kernel, costs, PhaseKind::Baseline);
        raise(&mut costs, (measured.baseline_exec, part, |found| found.baseline_exec), range, baseline);
    }
    costs
}

/// The lab with nothing but its programs.
fn programs_of(lab: &Lab) -> Lab {
    let mut lab = lab.clone();
    lab.workload.retain(Workload::runs_programs);
    lab
}

/// A figure as it was measured, the cost that it shows, and where a simulated run has it.
type Part = (Option<u64>, Cost, fn(&Measured) -> Option<u64>);

/// Where a cost lies.
type Cost = fn(&mut Costs) -> &mut u64;

/// Raises what a worker costs, one part after the other, until each takes as long as it did: opening the event's
/// file again, taking a decision up, and last, for all that is left, answering.
fn fit_workers(lab: &Lab, kernel: Kernel, base: Costs, measured: &Measured) -> (Costs, Option<f64>) {
    let works = |client: &lab_model::Client| !client.behavior.reactions[AuthEvent::Open].is_none();
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
    for part in parts.into_iter().cycle().take(parts.len() * ROUNDS) {
        raise(&mut costs, part, WORKER_COSTS, storm);
    }
    let reached = storm(costs).and_then(|found| found.storm_open);
    (costs, reached.map(|reached| reached.p50 as f64 / wanted.max(1) as f64))
}

/// Raises one cost until a simulated phase has the figure that was measured; leaves it where nothing was.
fn raise(
    costs: &mut Costs,
    (wanted, part, figure): Part,
    range: (u64, u64),
    measures: impl Fn(Costs) -> Option<Measured>,
) {
    let Some(wanted) = wanted else { return };
    let is_enough = |cost| {
        let mut tried = *costs;
        *part(&mut tried) = cost;
        measures(tried).as_ref().and_then(figure).is_none_or(|found| found >= wanted)
    };
    let cost = least(range, is_enough);
    *part(costs) = cost;
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
    let traces: Result<Vec<Trace<'_>>, _> = files.iter().map(|file| Trace::parse(&file.bytes)).collect();
    Some(measure(&traces.ok()?))
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
    short.phases.baseline = span(PhaseKind::Baseline, Span::from_secs(10));
    short.phases.control = span(PhaseKind::Control, Span::from_secs(10));
    short.phases.storm = span(PhaseKind::Storm, Span::from_secs(10));
    short.phases.drain = span(PhaseKind::Storm, Span::from_millis(200));
    // Opens are what is fitted if there are any.
    let opens = |load: &Workload| !load.runs_programs();
    if short.workload.iter().any(opens) {
        short.workload.retain(opens);
    }
    for load in &mut short.workload {
        let rate = load.rate;
        let most = &mut load.operations_max;
        let limit = if rate == Rate::Max { OPERATIONS } else { OPERATIONS / 5 };
        *most = Some(most.unwrap_or(limit).min(limit));
    }
    let options = Options { costs, decisions_max: DECISIONS_MAX, ..Options::new(&short, kernel) };
    let summary = simulate(&short, &options, sink);
    (summary.kills == 0 && summary.in_flight == 0 && summary.cut.is_none()).then_some(summary)
}
