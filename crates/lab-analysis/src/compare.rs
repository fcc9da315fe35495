//! Two sets of runs side by side: which settings differ, and which numbers do by more than chance.
//!
//! Runs of one and the same lab differ, live ones by far more than the samples of one run lead to expect. So nothing is
//! told from one run a side: a number is higher or lower when the runs of the two sides lie apart as they would in at most
//! [`ALARMS`] of pairs of sets in which nothing has changed, all numbers together (see `splits`), and when their medians
//! differ by more than [`BAND`]. Sides that are too small for that leave it open. What is exactly the same in all runs has
//! not changed. Where others kept the machine busier on one side than on the other, what depends on time differs for that
//! reason already.

mod fail_on;
mod machine;
mod numbers;
mod splits;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use self::{
    fail_on::{FailOn, Gate},
    machine::MachineChange,
    numbers::{Number, Unit, Worse, numbers},
    splits::ALARMS,
};
use crate::findings::{Findings, Interval, RunWord};

/// A difference smaller than this share of the larger value is no change.
pub const BAND: f64 = 0.05;

/// The setting in which runs of one set differ on purpose.
const SEED: &str = "seed";

/// One of the runs: its findings, and its settings as the stored `lab.yaml` has them. They may be of different labs.
#[derive(Clone, Copy, Debug)]
pub struct Run<'a> {
    /// What it showed.
    pub findings: &'a Findings,
    /// The lab as it ran: each setting by its path, as text.
    pub settings: &'a BTreeMap<String, String>,
}

/// What differs between a first and a second set of runs: settings as text, outcomes, and every number that either of them
/// has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// How many runs each side has.
    pub runs: [usize; 2],
    /// The sides have enough runs to tell a change from chance.
    pub enough: bool,
    /// Settings that differ between the sides.
    pub settings: Vec<SettingChange>,
    /// Settings, other than the seed, in which the runs of one side differ among each other.
    pub mixed: Vec<String>,
    /// How both ended up; where the runs of a side do not agree, with how many did.
    pub outcomes: [String; 2],
    /// Runs that are not whole, or were disturbed, by LAB/TIME, and their word.
    pub not_whole: Vec<(String, RunWord)>,
    /// In which phases others took another share of the processors on one side than on the other: nothing that depends on
    /// time can be told then.
    pub machine: Vec<MachineChange>,
    /// Numbers of the baseline that changed although neither load nor machine is said to be another: without clients it is the
    /// machine that did, and nothing else that depends on time can be told then.
    pub baseline: Vec<String>,
    /// Numbers of both.
    pub numbers: Vec<NumberChange>,
}

/// A setting that the two sides do not share, by its path in the lab file as it was resolved. Where the runs of a side do
/// not agree, all their values stand there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettingChange {
    /// Its path.
    pub path: String,
    /// Its value on the first side; `None` where it has none.
    pub before: Option<String>,
    /// Its value on the second side.
    pub after: Option<String>,
}

/// One number on both sides.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NumberChange {
    /// What it measures.
    pub name: String,
    /// What it counts in.
    pub unit: Unit,
    /// Which way is worse.
    pub worse: Worse,
    /// It depends on how fast the machine was.
    pub of_time: bool,
    /// The first side's: of several runs the median, from the lowest to the highest; of one run its value with the interval
    /// of its samples. `None` where no run knows it.
    pub before: Option<Interval>,
    /// The second side's.
    pub after: Option<Interval>,
    /// How many runs of each side know it.
    pub known: [usize; 2],
    /// The second less the first, as a share of the first; `None` where that says nothing.
    pub relative: Option<f64>,
    /// The chance that runs of which none differs would have differed so clearly in any of the numbers; `None` where that
    /// cannot be told.
    pub chance: Option<f64>,
    /// What became of it.
    pub change: Change,
}

impl NumberChange {
    /// True when it changed for the worse.
    #[must_use]
    pub fn is_worse(&self) -> bool {
        matches!((self.change, self.worse), (Change::Higher, Worse::Higher) | (Change::Lower, Worse::Lower))
    }
}

/// Whether a number is another one by more than chance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// Nothing that chance would not do.
    None,
    /// It rose.
    Higher,
    /// It fell.
    Lower,
    /// It cannot be told: a run does not know the number, there are too few runs, or it differs as it would since the machine
    /// was busier with other things on one side.
    Unknown,
}

/// Puts two sets of runs side by side. Numbers are in the order of the first report, then those that only others have.
#[must_use]
pub fn compare(before: &[Run<'_>], after: &[Run<'_>]) -> Comparison {
    let all: Vec<&Run<'_>> = before.iter().chain(after).collect();
    let table = Numbers::of(&all);
    let enough = splits::enough(before.len(), after.len());
    let machine = machine::changes(before, after);
    let mut changes: Vec<NumberChange> =
        table.rows.iter().map(|row| row.change(before.len(), enough)).collect();
    if enough {
        let told: Vec<usize> =
            (0..changes.len()).filter(|place| changes[*place].change != Change::Unknown).collect();
        let values: Vec<Vec<f64>> = told.iter().map(|place| table.rows[*place].known()).collect();
        for (place, chance) in told.into_iter().zip(splits::chances(&values, before.len())) {
            let number = &mut changes[place];
            number.chance = Some(chance);
            number.change = match change(number, chance) {
                Change::Higher | Change::Lower if number.of_time && !machine.is_empty() => Change::Unknown,
                change => change,
            };
        }
    }
    let settings = settings(before, after);
    let baseline = machine::baseline(&changes, &settings);
    if !baseline.is_empty() {
        let moved = |number: &&mut NumberChange| {
            number.of_time && matches!(number.change, Change::Higher | Change::Lower)
        };
        for number in changes.iter_mut().filter(moved).filter(|number| !baseline.contains(&number.name)) {
            number.change = Change::Unknown;
        }
    }
    Comparison {
        runs: [before.len(), after.len()],
        enough,
        settings,
        mixed: mixed(before).union(&mixed(after)).cloned().collect(),
        outcomes: [before, after].map(outcomes),
        not_whole: all.iter().filter_map(|run| not_whole(run.findings)).collect(),
        machine,
        baseline,
        numbers: changes,
    }
}

/// What became of a number that all runs know.
fn change(number: &NumberChange, chance: f64) -> Change {
    let (Some(before), Some(after)) = (number.before, number.after) else { return Change::Unknown };
    let by = after.value - before.value;
    let within_band = by.abs() <= BAND * before.value.abs().max(after.value.abs());
    match (chance <= ALARMS && !within_band, by > 0.0) {
        (false, _) => Change::None,
        (true, true) => Change::Higher,
        (true, false) => Change::Lower,
    }
}

/// How the runs of one lab spread over one number.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NumberSpread {
    /// What it measures.
    pub name: String,
    /// What it counts in.
    pub unit: Unit,
    /// It is one client's, not the whole lab's.
    pub of_client: bool,
    /// The lowest, the median and the highest of the runs that know it; `None` where none does.
    pub spread: Option<Interval>,
    /// How many runs know it.
    pub known: usize,
}

/// The spread of every number between these runs.
#[must_use]
pub fn spread(runs: &[Run<'_>]) -> Vec<NumberSpread> {
    let all: Vec<&Run<'_>> = runs.iter().collect();
    let spread = |row: &Row| NumberSpread {
        name: row.number.name.clone(),
        unit: row.number.unit,
        of_client: row.number.of_client,
        spread: of_several(&row.known()),
        known: row.known().len(),
    };
    Numbers::of(&all).rows.iter().map(spread).collect()
}

/// How many runs ended up how, as text: the word alone where all agree.
#[must_use]
pub fn outcomes(runs: &[Run<'_>]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for run in runs {
        let outcome = run.findings.outcome.name();
        match counts.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => counts.push((outcome, 1)),
        }
    }
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    match counts.as_slice() {
        [(one, _)] => (*one).to_owned(),
        several => {
            let words: Vec<String> =
                several.iter().map(|(outcome, count)| format!("{outcome} in {count}")).collect();
            words.join(", ")
        }
    }
}

/// One number over all runs.
struct Row {
    number: Number,
    /// The runs' values, in their order; `None` where one does not know it.
    values: Vec<Option<Interval>>,
}

impl Row {
    /// The values that are known.
    fn known(&self) -> Vec<f64> {
        self.values.iter().flatten().map(|interval| interval.value).collect()
    }

    /// The number on both sides; what became of it is open but for those that no division can tell.
    fn change(&self, before: usize, enough: bool) -> NumberChange {
        let (one, other) = self.values.split_at(before);
        let known = [one, other].map(|side| side.iter().flatten().count());
        let all_known = known == [one.len(), other.len()];
        let [one, other] = [one, other].map(side);
        let relative = match (one, other) {
            (Some(one), Some(other)) if one.value != 0.0 => Some((other.value - one.value) / one.value.abs()),
            _ => None,
        };
        let values = self.known();
        let same = values.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits());
        let told = all_known && !values.is_empty() && (enough || same);
        NumberChange {
            name: self.number.name.clone(),
            unit: self.number.unit,
            worse: self.number.worse,
            of_time: self.number.of_time,
            before: one,
            after: other,
            known,
            relative,
            chance: None,
            change: if told { Change::None } else { Change::Unknown },
        }
    }
}

/// The numbers of several runs.
struct Numbers {
    rows: Vec<Row>,
}

impl Numbers {
    fn of(runs: &[&Run<'_>]) -> Numbers {
        let mut rows: Vec<Row> = Vec::new();
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for (run, of_run) in runs.iter().map(|run| numbers(run.findings)).enumerate() {
            for number in of_run {
                let place = *places.entry(number.name.clone()).or_insert_with(|| {
                    rows.push(Row { number: number.clone(), values: vec![None; runs.len()] });
                    rows.len().saturating_sub(1)
                });
                rows[place].values[run] = number.value.filter(|interval| interval.value.is_finite());
            }
        }
        Numbers { rows }
    }
}

/// One side's value: of one run its own, of several the median and the range.
fn side(values: &[Option<Interval>]) -> Option<Interval> {
    match values {
        [one] => *one,
        several => {
            let values: Vec<f64> = several.iter().flatten().map(|interval| interval.value).collect();
            of_several(&values)
        }
    }
}

/// The median of several values, and the lowest and the highest of them.
fn of_several(values: &[f64]) -> Option<Interval> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (*sorted.first()?, *sorted.last()?);
    let [left, right] = [sorted.len().saturating_sub(1) / 2, sorted.len() / 2].map(|place| sorted[place]);
    Some(Interval { value: left + (right - left) / 2.0, low, high })
}

fn not_whole(findings: &Findings) -> Option<(String, RunWord)> {
    let word = findings.state.word;
    (word != RunWord::Whole).then(|| (format!("{}/{}", findings.lab, findings.run), word))
}

/// The values of a side for each setting, every one once.
fn values_of<'a>(side: &'a [Run<'_>]) -> BTreeMap<&'a String, BTreeSet<Option<&'a String>>> {
    let paths: BTreeSet<&String> = side.iter().flat_map(|run| run.settings.keys()).collect();
    paths.into_iter().map(|path| (path, side.iter().map(|run| run.settings.get(path)).collect())).collect()
}

fn mixed(side: &[Run<'_>]) -> BTreeSet<String> {
    let several = values_of(side).into_iter().filter(|(path, values)| *path != SEED && values.len() > 1);
    several.map(|(path, _)| path.clone()).collect()
}

fn settings(before: &[Run<'_>], after: &[Run<'_>]) -> Vec<SettingChange> {
    let (one, other) = (values_of(before), values_of(after));
    let none = BTreeSet::from([None]);
    let paths: BTreeSet<&&String> = one.keys().chain(other.keys()).collect();
    let changed = paths.into_iter().filter_map(|path| {
        let (before, after) = (one.get(*path).unwrap_or(&none), other.get(*path).unwrap_or(&none));
        (before != after).then(|| SettingChange {
            path: (**path).clone(),
            before: listed(before),
            after: listed(after),
        })
    });
    changed.collect()
}

/// The most values of a setting that are listed.
const VALUES_MAX: usize = 4;

/// All values of a side as text; `None` where it has none.
fn listed(values: &BTreeSet<Option<&String>>) -> Option<String> {
    let known: Vec<&str> = values.iter().flatten().map(|value| value.as_str()).collect();
    match known.split_at_checked(VALUES_MAX) {
        _ if known.is_empty() => None,
        Some((shown, more)) if !more.is_empty() => {
            Some(format!("{} and {} more", shown.join(", "), more.len()))
        }
        _ => Some(known.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_one_side_only_are_shown() {
        let map = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(path, value)| ((*path).to_owned(), (*value).to_owned())).collect()
        };
        let findings = Findings::default();
        let maps = [
            map(&[("seed", "1"), ("a", "x"), ("gone", "y")]),
            map(&[("seed", "2"), ("a", "x")]),
            map(&[("seed", "3"), ("a", "z")]),
        ];
        let [one, other, third] =
            [&maps[0], &maps[1], &maps[2]].map(|settings| Run { findings: &findings, settings });
        let change = |path: &str, before: Option<&str>, after: Option<&str>| SettingChange {
            path: path.to_owned(),
            before: before.map(str::to_owned),
            after: after.map(str::to_owned),
        };
        let found = settings(&[one], &[other]);
        assert_eq!(found, [change("gone", Some("y"), None), change("seed", Some("1"), Some("2"))]);
        let found = settings(&[one], &[other, third]);
        assert_eq!(
            found,
            [
                change("a", Some("x"), Some("x, z")),
                change("gone", Some("y"), None),
                change("seed", Some("1"), Some("2, 3"))
            ]
        );
        assert_eq!(
            (mixed(&[one, one]), mixed(&[other, third])),
            (BTreeSet::new(), BTreeSet::from(["a".into()]))
        );
    }

    #[test]
    fn several_values_are_their_median_and_their_range() {
        let check = |values: &[f64], expected: Option<(f64, f64, f64)>| {
            let found = of_several(values).map(|interval| (interval.low, interval.value, interval.high));
            assert_eq!(found, expected);
        };
        check(&[], None);
        check(&[3.0], Some((3.0, 3.0, 3.0)));
        check(&[3.0, 1.0], Some((1.0, 2.0, 3.0)));
        check(&[3.0, 1.0, 9.0], Some((1.0, 3.0, 9.0)));
    }
}
