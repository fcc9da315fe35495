//! One lab's live runs beside its simulated one, and all of them as a table.

use lab_analysis::findings::{Findings, Latency, Machine, Outcome};
use lab_model::units;
use lab_model::{Lab, PhaseKind, Rate};
use lab_sim::Range;
use serde_json::{Value, json};

use crate::{
    commands::{
        calibration::Calibrated,
        trials::{nanoseconds, range},
    },
    table::Table,
};

/// A simulated median that is further off than this share is said to be.
const ERROR_MAX: f64 = 0.25;

/// What several live runs and the simulator have of one figure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Figure {
    pub(super) real: Range,
    pub(super) simulated: Range,
}

impl Figure {
    /// `None` unless every run has one.
    fn of(
        real: impl Iterator<Item = Option<f64>>,
        simulated: impl Iterator<Item = Option<f64>>,
    ) -> Option<Figure> {
        Some(Figure {
            real: Range::of(real.collect::<Option<_>>()?)?,
            simulated: Range::of(simulated.collect::<Option<_>>()?)?,
        })
    }

    /// By which share the simulated figure is too high (or, below 0, too low).
    pub(super) fn error(self) -> f64 {
        let (real, simulated) = (self.real.median, self.simulated.median);
        if real == 0.0 { 0.0 } else { simulated / real - 1.0 }
    }

    /// The bar: the simulated median is near the median of the live runs.
    fn is_close(self) -> bool {
        self.error().abs() <= ERROR_MAX
    }

    /// The weaker question: some live run was as slow, or slower, and some as quick, or quicker. Where threads are
    /// placed together or apart for a whole run, live runs of one lab differ by more than the bar.
    fn is_between(self) -> bool {
        (self.real.low..=self.real.high).contains(&self.simulated.median)
    }

    fn json(self) -> Value {
        json!({
            "real": self.real.median, "low": self.real.low, "high": self.real.high,
            "simulated": self.simulated.median,
            "simulated_low": self.simulated.low, "simulated_high": self.simulated.high,
            "error": self.error(), "close": self.is_close(), "between": self.is_between(),
        })
    }
}

/// Why a lab's times are nobody's to predict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Untimed {
    /// Its median is that of the few operations before it locked up.
    LocksUp,
    /// Its median is that of a handful of operations that feed themselves.
    FeedsItself,
    /// It drives the machine past what it can do, to find where that is: how far past is the machine's.
    Overdriven,
}

impl Untimed {
    const fn name(self) -> &'static str {
        match self {
            Untimed::LocksUp => "locks up",
            Untimed::FeedsItself => "feeds itself",
            Untimed::Overdriven => "overdriven",
        }
    }
}

/// Whether the sizes of cascades follow the law that was planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Law {
    /// Every completed cascade has one of the planned sizes, live and simulated.
    Held,
    /// A live one has not.
    BrokenLive,
    /// A simulated one has not.
    BrokenSimulated,
    /// Nothing exact was planned: what is kept, denied or endless depends on what came before.
    None,
}

/// One lab on both.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    lab: String,
    outcomes: Vec<Outcome>,
    /// One a seed; none for a lab that the simulator does not model.
    simulated_outcomes: Vec<Outcome>,
    /// What of it is not modelled.
    not_modelled: Option<String>,
    /// It drives the machine past what it can do, to find where that is: how far past is the machine's.
    overdriven: bool,
    law: Law,
    sizes: Vec<u64>,
    amplification: Option<Figure>,
    p50: Option<Figure>,
    p99: Option<Figure>,
    /// Expectations that did not hold or could not be told: where, which, whether it failed, and what was seen.
    amiss: Vec<Amiss>,
    expectations: usize,
}

#[derive(Clone, Debug)]
struct Amiss {
    simulated: bool,
    text: String,
    failed: bool,
    observed: String,
}

impl Comparison {
    /// Compares; `law` has the planned size of every load's cascades where there is one.
    pub(super) fn of(
        lab: &Lab,
        live: &[&Findings],
        simulated: &[Findings],
        law: Vec<Option<u64>>,
    ) -> Comparison {
        let figure = |value: &dyn Fn(&Findings) -> Option<f64>| {
            Figure::of(live.iter().map(|findings| value(findings)), simulated.iter().map(value))
        };
        let storm = |value: fn(&Latency) -> u64| {
            figure(&|findings| {
                let storm = findings.phases.iter().find(|phase| phase.kind == PhaseKind::Storm)?;
                (storm.op_latency_ns.count > 0).then(|| units::float(value(&storm.op_latency_ns)))
            })
        };
        let sizes: Vec<u64> = law.iter().copied().collect::<Option<_>>().unwrap_or_default();
        let mut amiss: Vec<Amiss> = live.iter().flat_map(|findings| amiss(findings, false)).collect();
        // The lab's own seed is the one that its expectations are for.
        amiss.extend(simulated.first().into_iter().flat_map(|findings| self::amiss(findings, true)));
        Comparison {
            lab: lab.name.clone(),
            outcomes: live.iter().map(|findings| findings.outcome).collect(),
            simulated_outcomes: simulated.iter().map(|findings| findings.outcome).collect(),
            not_modelled: None,
            overdriven: lab.workload.iter().any(|load| matches!(load.rate, Rate::Knee(_))),
            law: law_of(live, simulated, &sizes),
            sizes,
            amplification: figure(&|findings| findings.amplification),
            p50: storm(|latency| latency.p50),
            p99: storm(|latency| latency.p99),
            amiss,
            expectations: live.first().map_or(0, |findings| findings.expectations.len()),
        }
    }

    /// A lab that only ran live: its own expectations are what is checked.
    pub(super) fn live_only(lab: &Lab, live: &[&Findings], parts: String) -> Comparison {
        Comparison { not_modelled: Some(parts), ..Comparison::of(lab, live, &[], Vec::new()) }
    }

    /// A lab that looks for the machine's knee may be saturated by its last step or not, on either side.
    fn outcomes_agree(&self) -> bool {
        let ends = |outcome: Outcome| matches!(outcome, Outcome::Stable | Outcome::Saturated);
        let alike =
            |one: Outcome, other: Outcome| one == other || self.overdriven && ends(one) && ends(other);
        let simulated = &self.simulated_outcomes;
        self.outcomes.iter().all(|outcome| simulated.iter().all(|other| alike(*outcome, *other)))
    }

    fn is_simulated(&self) -> bool {
        !self.simulated_outcomes.is_empty()
    }

    fn broken(&self) -> bool {
        let failed = self.amiss.iter().any(|amiss| amiss.failed);
        failed || !self.outcomes_agree() || matches!(self.law, Law::BrokenLive | Law::BrokenSimulated)
    }

    /// Why the storm's median says when the storm stopped, or nothing, and not how quick the machine is.
    fn untimed(&self) -> Option<Untimed> {
        if self.overdriven {
            return Some(Untimed::Overdriven);
        }
        self.outcomes.iter().find_map(|outcome| match outcome {
            Outcome::Deadlocked => Some(Untimed::LocksUp),
            Outcome::Divergent => Some(Untimed::FeedsItself),
            _ => None,
        })
    }

    /// The figure that is judged, where there is one.
    fn timed(&self) -> Option<Figure> {
        self.p50.filter(|_| self.untimed().is_none())
    }

    fn outcome_text(&self) -> String {
        let names = |outcomes: &[Outcome]| {
            let mut names: Vec<&str> = outcomes.iter().map(|outcome| outcome.name()).collect();
            names.dedup();
            names.join(", ")
        };
        let real = names(&self.outcomes);
        if !self.is_simulated() {
            return format!("{real}, live only");
        }
        if self.outcomes_agree() { real } else { format!("{real} / {}", names(&self.simulated_outcomes)) }
    }

    fn law_text(&self) -> String {
        let sizes: Vec<String> = self.sizes.iter().map(|size| units::count(*size)).collect();
        match self.law {
            Law::Held => format!("exactly {}", sizes.join(" and ")),
            Law::BrokenLive => format!("BROKEN live: planned {}", sizes.join(" and ")),
            Law::BrokenSimulated => format!("BROKEN simulated: planned {}", sizes.join(" and ")),
            Law::None => self.amplification.map_or_else(
                || units::UNKNOWN.to_owned(),
                |figure| {
                    format!(
                        "{} / {}",
                        units::number(figure.real.median),
                        units::number(figure.simulated.median)
                    )
                },
            ),
        }
    }

    fn expectations_text(&self) -> String {
        let (mut live, mut simulated) = (0, 0);
        for amiss in &self.amiss {
            if amiss.simulated { simulated += 1 } else { live += 1 }
        }
        match (live, simulated) {
            (0, 0) => format!("all {}", self.expectations),
            (live, simulated) => format!("{live} live and {simulated} simulated amiss"),
        }
    }

    fn cells(&self) -> [String; 10] {
        let untimed = self.untimed();
        let [real50, simulated50, error50] = time_cells(self.p50, untimed);
        let [real99, _, error99] = time_cells(self.p99, untimed);
        let within = match self.timed() {
            None => units::UNKNOWN.to_owned(),
            Some(figure) if figure.is_close() => "25%".to_owned(),
            Some(figure) if figure.is_between() => "live runs".to_owned(),
            Some(_) => "no".to_owned(),
        };
        [
            self.lab.clone(),
            self.outcome_text(),
            self.law_text(),
            real50,
            simulated50,
            error50,
            within,
            real99,
            error99,
            self.expectations_text(),
        ]
    }

    fn json(&self) -> Value {
        let amiss: Vec<Value> = self
            .amiss
            .iter()
            .map(|amiss| {
                json!({ "where": if amiss.simulated { "sim" } else { "live" }, "expectation": amiss.text,
                        "failed": amiss.failed, "observed": amiss.observed })
            })
            .collect();
        let law = match self.law {
            Law::Held => "held",
            Law::BrokenLive => "broken live",
            Law::BrokenSimulated => "broken simulated",
            Law::None => "none",
        };
        json!({
            "lab": self.lab,
            "outcome": { "real": self.outcomes.iter().map(|outcome| outcome.name()).collect::<Vec<_>>(),
                         "simulated": self.simulated_outcomes.first().copied().map(Outcome::name), "agree": self.outcomes_agree() },
            "not_modelled": self.not_modelled,
            "law": law,
            "planned_sizes": self.sizes,
            "amplification": self.amplification.map(Figure::json),
            "not_timed": self.untimed().map(Untimed::name),
            "open_p50_ns": self.p50.map(Figure::json),
            "open_p99_ns": self.p99.map(Figure::json),
            "expectations": self.expectations,
            "amiss": amiss,
        })
    }
}

fn time_cells(figure: Option<Figure>, untimed: Option<Untimed>) -> [String; 3] {
    let Some(figure) = figure else { return [(); 3].map(|()| units::UNKNOWN.to_owned()) };
    let error = match untimed {
        Some(untimed) => format!("{} ({})", units::UNKNOWN, untimed.name()),
        None => format!("{:+.0}%", figure.error() * 100.0),
    };
    let times = |of: Range| range(Some(of), &nanoseconds);
    [times(figure.real), times(figure.simulated), error]
}

/// What a run did not fulfil.
fn amiss(findings: &Findings, simulated: bool) -> impl Iterator<Item = Amiss> + '_ {
    findings.expectations.iter().filter(|expectation| expectation.held != Some(true)).map(
        move |expectation| Amiss {
            simulated,
            text: expectation.text.clone(),
            failed: expectation.held == Some(false),
            observed: expectation.observed.clone(),
        },
    )
}

fn law_of(live: &[&Findings], simulated: &[Findings], sizes: &[u64]) -> Law {
    if sizes.is_empty() {
        return Law::None;
    }
    let held = |findings: &Findings| {
        let found = &findings.cascades.size.histogram;
        !found.is_empty() && found.iter().all(|(size, _)| sizes.contains(size))
    };
    if !live.iter().all(|findings| held(findings)) {
        Law::BrokenLive
    } else if !simulated.iter().all(held) {
        Law::BrokenSimulated
    } else {
        Law::Held
    }
}

/// All labs that were compared.
#[derive(Clone, Debug)]
pub(super) struct Conformance {
    pub(super) rows: Vec<Comparison>,
    /// Labs that were not, and why.
    pub(super) skipped: Vec<(String, String)>,
    /// Which live runs there are of each.
    pub(super) runs: String,
    pub(super) short: bool,
    /// The runs that the costs were taken from.
    pub(super) calibrated: Calibrated,
    pub(super) machine: Machine,
}

const HEADINGS: [&str; 10] = [
    "lab",
    "outcome",
    "decisions per root op",
    "p50 live",
    "p50 simulated",
    "error",
    "within",
    "p99 live",
    "error",
    "expectations",
];

impl Conformance {
    /// 1 when anything disagrees or an expectation failed, 2 when one could not be told, else 0.
    pub(super) fn exit_code(&self) -> u8 {
        if self.rows.iter().any(Comparison::broken) {
            return 1;
        }
        if self.rows.iter().any(|row| !row.amiss.is_empty()) { 2 } else { 0 }
    }

    fn summary(&self) -> Vec<String> {
        let count = |holds: &dyn Fn(&&Comparison) -> bool| self.rows.iter().filter(holds).count();
        let of = count(&|row| row.is_simulated());
        let lawful = count(&|row| row.law != Law::None);
        let timed = count(&|row| row.timed().is_some());
        let close = count(&|row| row.timed().is_some_and(Figure::is_close));
        let fair = count(&|row| row.timed().is_some_and(|figure| figure.is_close() || figure.is_between()));
        let mut lines = vec![
            format!(
                "outcome: the same in {} of {of} labs",
                count(&|row| row.is_simulated() && row.outcomes_agree())
            ),
            format!(
                "exact sizes: held in {} of {lawful} labs that have a law",
                count(&|row| row.law == Law::Held)
            ),
            format!(
                "p50: within 25% of the live median in {close} of {timed} labs that end (in the others it is that \
                 of the few operations before they locked up, or of a handful that feeds itself, or of a load raised \
                 beyond what the machine can do)"
            ),
            format!(
                "p50: within 25%, or between the lowest and the highest live run, in {fair} of {timed}: where \
                 threads are placed together or apart for a whole run, no single figure is right"
            ),
            "p99: the simulated machine has no interrupts and no other load, so its tail is the model's alone"
                .to_owned(),
            format!(
                "expectations: all held in {} of {} labs",
                count(&|row| row.amiss.is_empty()),
                self.rows.len()
            ),
            format!("skipped: {}", self.skipped.len()),
        ];
        for row in &self.rows {
            lines.extend(row.not_modelled.iter().map(|parts| {
                format!("{}: live only, because the simulator does not model {parts}", row.lab)
            }));
            lines.extend(row.amiss.iter().map(|amiss| {
                let place = if amiss.simulated { "simulated" } else { "live" };
                let how = if amiss.failed { "did not hold" } else { "cannot be told" };
                format!("{} ({place}): \"{}\" {how}: {}", row.lab, amiss.text, amiss.observed)
            }));
        }
        lines
    }

    fn about(&self) -> String {
        format!(
            "{} of each lab{}, costs from {}, {} with {} processors",
            self.runs,
            if self.short { " with short phases" } else { "" },
            self.calibrated.from(),
            self.machine.kernel,
            self.machine.cpus,
        )
    }

    pub(super) fn text(&self) -> String {
        let mut table = Table::new(HEADINGS).words([1, 2, 6, 9]);
        for row in &self.rows {
            table.row(row.cells());
        }
        let lines: String = self.summary().iter().map(|line| format!("  {line}\n")).collect();
        let mut text = format!("conformance: {}\n\n{}\n{lines}", self.about(), table.text());
        let spread = self.calibrated.spread_text();
        if !spread.is_empty() {
            text.push_str(&format!("\nthe runs that the costs come from\n\n{spread}"));
        }
        text
    }

    pub(super) fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = "# Conformance: the simulator beside the real kernel\n\n".to_owned();
        text.push_str(&format!(
            "Written by `lab conform --output docs/reference`: {}.\nWhere a cell has two values, the first is live, \
             the second simulated. A figure of several runs is\nthe median (of an even number the lower one in the middle), with the lowest and the highest. \
             Errors are the simulator's, and \"within\" says what its median is near enough to: 25% of the live\nmedian, \
             or else what lies between the live runs. No lab's storm latency was fitted, so all are predictions.\n\n",
            self.about()
        ));
        text.push_str(&line(&HEADINGS.map(str::to_owned)));
        text.push_str("|---|---|---|---:|---:|---:|---|---:|---:|---|\n");
        self.rows.iter().for_each(|row| text.push_str(&line(&row.cells())));
        text.push('\n');
        self.summary().iter().for_each(|line| text.push_str(&format!("- {line}\n")));
        self.skipped
            .iter()
            .for_each(|(name, reason)| text.push_str(&format!("- skipped {name}: {reason}\n")));
        text
    }

    pub(super) fn json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Comparison::json).collect();
        let skipped: Vec<Value> =
            self.skipped.iter().map(|(lab, reason)| json!({ "lab": lab, "reason": reason })).collect();
        json!({
            "schema": 1,
            "runs": self.runs,
            "short": self.short,
            "calibration": self.calibrated.json(),
            "machine": self.machine,
            "labs": rows,
            "skipped": skipped,
            "conforms": self.exit_code() == 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(real: &[f64], simulated: &[f64]) -> Option<Figure> {
        Figure::of(real.iter().copied().map(Some), simulated.iter().copied().map(Some))
    }

    #[test]
    fn a_figure_is_the_median_of_the_live_runs_and_the_error_the_simulators() {
        let of_three = figure(&[3.0, 1.0, 2.0], &[3.0]).unwrap();
        assert_eq!(of_three.real, Range { low: 1.0, median: 2.0, high: 3.0 });
        assert!((of_three.error() - 0.5).abs() < 1e-9);
        let unknown = Figure::of([Some(1.0), None].into_iter(), [Some(1.0)].into_iter());
        assert_eq!(unknown, None, "one run could not tell");
        assert_eq!(figure(&[1.0], &[]), None);
    }

    #[test]
    fn the_bar_is_the_live_median_and_lying_between_two_live_runs_is_said_apart() {
        let apart = figure(&[10.0, 10.0, 50.0], &[40.0, 39.0, 90.0]).unwrap();
        assert_eq!(apart.simulated, Range { low: 39.0, median: 40.0, high: 90.0 });
        assert!(!apart.is_close() && apart.is_between());
        let near = figure(&[10.0], &[12.5]).unwrap();
        assert!(near.is_close() && !near.is_between());
        assert!(!figure(&[10.0], &[12.6]).unwrap().is_close());
    }

    #[test]
    fn a_lab_that_locks_up_has_a_reason_instead_of_an_error() {
        let [live, simulated, error] = time_cells(figure(&[1_800.0], &[2e9]), Some(Untimed::LocksUp));
        assert_eq!((live.as_str(), simulated.as_str()), ("1.80 µs", "2.00 s"));
        assert_eq!(error, format!("{} (locks up)", units::UNKNOWN));
        let [_, _, error] = time_cells(figure(&[100.0], &[150.0]), None);
        assert_eq!(error, "+50%");
    }
}
