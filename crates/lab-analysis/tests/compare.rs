//! Sets of runs are told apart when something has changed, and hardly ever otherwise.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    slice,
};

use lab_analysis::{
    compare::{Change, Comparison, FailOn, Gate, Run, compare, numbers},
    findings::{
        Client, Findings, Headroom, Interval, Latency, MachineLoad, Phase, PhaseLoad, RunState, RunWord,
        StateReason,
    },
};
use lab_model::{Distribution, Kernel, Lab, PhaseKind, Span, mix};
use lab_testing::{labs, simulated};

fn side(runs: &[Findings]) -> Vec<Run<'_>> {
    static NONE: BTreeMap<String, String> = BTreeMap::new();
    runs.iter().map(|findings| Run { findings, settings: &NONE }).collect()
}

fn compared(before: &[Findings], after: &[Findings]) -> Comparison {
    compare(&side(before), &side(after))
}

fn marked(comparison: &Comparison) -> Vec<&str> {
    let marked =
        comparison.numbers.iter().filter(|number| matches!(number.change, Change::Higher | Change::Lower));
    marked.map(|number| number.name.as_str()).collect()
}

/// Numbers that depend on nothing but the seed.
struct Draw(u64);

impl Draw {
    fn even(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        f64::from(u32::try_from(mix(self.0) >> 32).unwrap()) / f64::from(u32::MAX)
    }

    /// A normally distributed number (Box and Muller).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.even().max(1e-12).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.even()).cos()
    }
}

/// How the runs of a lab differ: each number is log-normal, half of its spread shared by all numbers of a run.
#[derive(Clone, Copy)]
struct Luck {
    /// The standard deviation of a number's logarithm.
    spread: f64,
    /// What the latencies of the storm are multiplied by.
    storm: f64,
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive and small")]
fn spectrum(p50: f64, p99: f64) -> Vec<(f64, u64)> {
    vec![(0.0, 1), (50.0, p50 as u64), (99.0, p99 as u64), (100.0, 2 * p99 as u64)]
}

/// A run of 21 numbers.
fn drawn(draw: &mut Draw, luck: Luck) -> Findings {
    let shared = draw.normal();
    let mut about = |typical: f64| {
        let own = draw.normal();
        typical * (luck.spread * (shared + own) / std::f64::consts::SQRT_2).exp()
    };
    let count = Latency { count: 10_000, ..Latency::default() };
    let phase = |kind, rate: f64, p50: f64, p99: f64| Phase {
        kind,
        began_ns: 0,
        seconds: 1.0,
        root_ops: 10_000,
        root_ops_unfinished: 0,
        root_ops_failed: 0,
        ops_per_second: rate,
        op_latency_ns: count.clone(),
        spectrum: spectrum(p50, p99),
        spectrum_at_least_from: None,
        after_death: None,
        planned: None,
        processes: None,
    };
    let phases = [PhaseKind::Baseline, PhaseKind::Control, PhaseKind::Storm].map(|kind| {
        let slower = if kind == PhaseKind::Storm { luck.storm } else { 1.0 };
        phase(kind, about(50_000.0), about(40_000.0) * slower, about(900_000.0) * slower)
    });
    let client = |id: &str, p50, p99| Client {
        id: id.to_owned(),
        latency_others_ns: count.clone(),
        spectrum: spectrum(p50, p99),
        deadline_misses: u64::from(p99 > 1_100_000.0),
        ..Client::default()
    };
    let clients = ["alpha", "bravo", "charlie"].map(|id| client(id, about(70_000.0), about(1_000_000.0)));
    let gain = about(0.5);
    Findings {
        amplification: Some(about(12.0)),
        loop_gain: Some(Interval { value: gain, low: gain, high: gain }),
        phases: phases.to_vec(),
        clients: clients.to_vec(),
        headroom: Headroom { min: Some(about(0.4)), ..Headroom::default() },
        ..Findings::default()
    }
}

fn set(draw: &mut Draw, runs: usize, luck: Luck) -> Vec<Findings> {
    (0..runs).map(|_| drawn(draw, luck)).collect()
}

/// Pairs of sets of which so many have a number marked although nothing has changed.
fn false_alarms(pairs: usize, runs: usize, spread: f64) -> usize {
    let mut draw = Draw(mix(u64::try_from(runs).unwrap()));
    let luck = Luck { spread, storm: 1.0 };
    let mut any = || !marked(&compared(&set(&mut draw, runs, luck), &set(&mut draw, runs, luck))).is_empty();
    (0..pairs).filter(|_| any()).count()
}

#[test]
fn sets_of_one_distribution_are_hardly_ever_told_apart() {
    for (pairs, runs, spread) in [(400, 5, 0.03), (400, 5, 0.3), (400, 4, 0.3), (40, 10, 0.3)] {
        let alarms = false_alarms(pairs, runs, spread);
        assert!(alarms * 20 <= pairs, "{alarms} of {pairs} pairs of {runs} runs with a spread of {spread}");
    }
}

#[test]
fn a_change_beyond_the_spread_is_found() {
    for runs in [4, 5, 10] {
        let mut draw = Draw(mix(7));
        let pairs = 20;
        let mut found = 0;
        for _ in 0..pairs {
            let before = set(&mut draw, runs, Luck { spread: 0.03, storm: 1.0 });
            let after = set(&mut draw, runs, Luck { spread: 0.03, storm: 1.3 });
            let comparison = compared(&before, &after);
            found += usize::from(["storm: operation p50", "storm: operation p99"].iter().all(|name| {
                let number = comparison.numbers.iter().find(|number| number.name == *name).unwrap();
                number.change == Change::Higher && number.is_worse() && number.chance.unwrap() <= 0.03
            }));
        }
        assert!(found * 100 >= pairs * 95, "{found} of {pairs} with {runs} runs");
    }
}

#[test]
fn one_run_a_side_tells_nothing_but_what_is_the_same() {
    let mut draw = Draw(1);
    let [one, other] = [(); 2].map(|()| drawn(&mut draw, Luck { spread: 0.1, storm: 1.0 }));
    let comparison = compared(slice::from_ref(&one), slice::from_ref(&other));
    assert_eq!((comparison.enough, comparison.numbers.len()), (false, 21));
    let unknown = |change: Change| comparison.numbers.iter().filter(|number| number.change == change).count();
    // Misses, circles and lost records are the same.
    assert_eq!((unknown(Change::Unknown), unknown(Change::None)), (18, 3));
    let itself = compared(slice::from_ref(&one), slice::from_ref(&one));
    assert!(itself.numbers.iter().all(|number| number.change == Change::None));
    assert_eq!(itself.gate(&[FailOn::Any]), Gate::Passed);
    assert!(matches!(comparison.gate(&[FailOn::Worse]), Gate::Unknown(_)));
    assert_eq!(comparison.gate(&[FailOn::Number("wait cycles".to_owned())]), Gate::Passed);
}

#[test]
fn what_not_all_runs_know_is_not_known() {
    let mut draw = Draw(2);
    let luck = Luck { spread: 0.03, storm: 1.0 };
    let (before, mut after) = (set(&mut draw, 5, luck), set(&mut draw, 5, Luck { storm: 2.0, ..luck }));
    // The slowest operations of one run never ended, so its p99 is only known to be at least something.
    after[3].phases[2].spectrum_at_least_from = Some(98.0);
    let comparison = compared(&before, &after);
    let number = |name: &str| comparison.numbers.iter().find(|number| number.name == name).unwrap();
    let p99 = number("storm: operation p99");
    assert_eq!((p99.change, p99.known, p99.chance), (Change::Unknown, [5, 4], None));
    assert_eq!(number("storm: operation p50").change, Change::Higher);
    let named = |name: &str| comparison.gate(&[FailOn::Number(name.to_owned())]);
    assert_eq!(named("storm: operation p50"), Gate::Failed(vec!["storm: operation p50".to_owned()]));
    assert!(matches!(named("storm: operation p99"), Gate::Unknown(_)));
    assert_eq!(named("baseline: operation p50"), Gate::Passed);
}

#[test]
fn better_is_no_failure_unless_any_change_is() {
    let mut draw = Draw(3);
    let luck = Luck { spread: 0.03, storm: 1.0 };
    let (before, after) = (set(&mut draw, 5, Luck { storm: 2.0, ..luck }), set(&mut draw, 5, luck));
    let comparison = compared(&before, &after);
    assert_eq!(
        BTreeSet::from_iter(marked(&comparison)),
        ["storm: operation p50", "storm: operation p99"].into()
    );
    assert_eq!(comparison.gate(&[FailOn::Worse]), Gate::Passed);
    assert!(matches!(comparison.gate(&[FailOn::Any]), Gate::Failed(names) if names.len() == 2));
}

#[test]
fn a_run_that_was_not_whole_leaves_it_open() {
    let mut draw = Draw(4);
    let luck = Luck { spread: 0.03, storm: 1.0 };
    let (before, mut after) = (set(&mut draw, 5, luck), set(&mut draw, 5, luck));
    after[0].lab = "tiny".to_owned();
    after[0].run = "now".to_owned();
    after[0].state = RunState::of(vec![StateReason {
        word: RunWord::Interrupted,
        text: "The user interrupted it.".to_owned(),
    }]);
    let comparison = compared(&before, &after);
    assert_eq!(comparison.not_whole, [("tiny/now".to_owned(), RunWord::Interrupted)]);
    assert_eq!(comparison.gate(&[FailOn::Worse]), Gate::Unknown(vec!["tiny/now is interrupted".to_owned()]));
}

/// The same runs on a machine of which others took this share in the storm.
fn beside(runs: &mut [Findings], share: f64) {
    for run in runs {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at most two seconds")]
        let busy_ns = (share * 2e9) as u64;
        let storm = PhaseLoad {
            phase: PhaseKind::Storm,
            lasted_ns: 1_000_000_000,
            processors: 2,
            busy_ns: busy_ns + 200_000_000,
            lab_ns: 200_000_000,
            stolen_ns: 0,
            ran_ns: None,
            waited_ns: None,
            stalled: None,
        };
        run.state.machine_load = Some(MachineLoad { phases: vec![storm], ..MachineLoad::default() });
    }
}

#[test]
fn times_of_a_machine_that_became_busier_are_not_compared() {
    let mut draw = Draw(5);
    let luck = Luck { spread: 0.03, storm: 1.0 };
    let (mut before, mut after) = (set(&mut draw, 5, luck), set(&mut draw, 5, Luck { storm: 2.0, ..luck }));
    after.iter_mut().for_each(|run| run.amplification = Some(24.0));
    let marked_with = |before: &[Findings], after: &[Findings]| {
        let comparison = compared(before, after);
        let marked = marked(&comparison).into_iter().map(str::to_owned).collect::<Vec<_>>();
        (
            marked,
            comparison.machine.len(),
            comparison.gate(&[FailOn::Number("storm: operation p50".to_owned())]),
        )
    };
    let all = ["amplification", "storm: operation p50", "storm: operation p99"].map(str::to_owned);
    for (one, other) in [(0.0, 0.08), (0.05, 0.14), (0.9, 0.95)] {
        beside(&mut before, one);
        beside(&mut after, other);
        assert!(
            matches!(marked_with(&before, &after), (marked, 0, Gate::Failed(_)) if marked == all),
            "{one} {other}"
        );
    }
    for (one, other) in [(0.0, 0.5), (0.9, 0.4), (0.05, 0.16)] {
        beside(&mut before, one);
        beside(&mut after, other);
        let found = marked_with(&before, &after);
        assert!(
            matches!(&found, (marked, 1, Gate::Unknown(_)) if *marked == all[..1]),
            "{one} {other}: {found:?}"
        );
    }
    // What was not measured cannot be held against anything.
    after[0].state.machine_load = None;
    assert!(matches!(marked_with(&before, &after), (marked, 0, _) if marked == all));
}

fn with<'a>(runs: &'a [Findings], settings: &'a BTreeMap<String, String>) -> Vec<Run<'a>> {
    runs.iter().map(|findings| Run { findings, settings }).collect()
}

/// A load takes longer without a client: that is the machine, unless the load is said to be another.
#[test]
fn times_on_a_machine_whose_baseline_moved_are_not_compared() {
    let mut draw = Draw(6);
    let luck = Luck { spread: 0.03, storm: 1.0 };
    let (before, mut after) = (set(&mut draw, 5, luck), set(&mut draw, 5, Luck { storm: 2.0, ..luck }));
    after.iter_mut().for_each(|run| run.amplification = Some(24.0));
    assert_eq!(
        marked(&compared(&before, &after)),
        ["amplification", "storm: operation p50", "storm: operation p99"]
    );
    for run in &mut after {
        run.phases[0].spectrum.iter_mut().for_each(|(_, nanoseconds)| *nanoseconds *= 2);
    }
    let of_baseline = ["baseline: operation p50", "baseline: operation p99"];
    let comparison = compared(&before, &after);
    assert_eq!(comparison.baseline, of_baseline);
    assert_eq!(marked(&comparison), [&["amplification"], &of_baseline[..]].concat());
    let lab = |rate: &str| BTreeMap::from([("workload[0].rate".to_owned(), rate.to_owned())]);
    let (slow, fast) = (lab("500"), lab("max"));
    let comparison = compare(&with(&before, &slow), &with(&after, &fast));
    assert!(comparison.baseline.is_empty(), "the load is another");
    assert_eq!(marked(&comparison).len(), 5);
}

/// A lab whose numbers depend on its seed: clients take their time, and operations come at random.
fn random_lab() -> Lab {
    let mut behavior = labs::scanner();
    behavior.delay = Distribution::Exponential(Span::from_nanos(50_000));
    labs::lab(2, &behavior, 30)
}

#[test]
fn simulated_runs_of_other_seeds_are_hardly_ever_told_apart() {
    let lab = random_lab();
    let run = |seed: u64| simulated::analysed(&Lab { seed, ..lab.clone() }, Kernel::Fanotify).1;
    let runs: Vec<Findings> = (0..400).map(run).collect();
    let p50: BTreeSet<u64> = runs
        .iter()
        .flat_map(numbers)
        .filter(|number| number.name == "storm: operation p50")
        .map(|number| number.value.unwrap().value.to_bits())
        .collect();
    assert!(p50.len() > 100, "the seed makes no difference");
    let pairs: Vec<&[Findings]> = runs.chunks(10).collect();
    assert_eq!(pairs.len(), 40);
    let alarms = pairs.iter().filter(|pair| !marked(&compared(&pair[..5], &pair[5..])).is_empty()).count();
    assert!(alarms <= 2, "{alarms} of 40 pairs");
}
