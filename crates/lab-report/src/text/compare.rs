//! Two sets of runs side by side, and the spread of one, as text.

use lab_analysis::{
    compare::{ALARMS, BAND, Change, Comparison, NumberSpread, Unit},
    findings::Interval,
};

use super::{Style, table::lines};
use crate::{
    page::{Cell, Column, Table},
    visible::visible,
};
use lab_model::units;

/// Writes a comparison; `names` are those of the two sets of runs.
pub(super) fn render(comparison: &Comparison, names: [&str; 2], style: &Style) -> String {
    let [before, after] = names.map(visible);
    let name = |lead: &str, name: &str| format!("{lead:7} {}\n", style.strong(name));
    let mut text = name("before", &before) + &name("after", &after);
    let [one, other] = &comparison.outcomes;
    let outcome = if one == other {
        format!("outcome {one} on both sides")
    } else {
        format!("outcome {one}; then {other}")
    };
    text.push_str(&format!("{}\n", style.signs(&outcome)));
    for (run, word) in &comparison.not_whole {
        text.push_str(&format!(
            "{}   {}\n",
            style.strong("note"),
            style.signs(&format!("{} is {}", visible(run), word.name()))
        ));
    }
    for change in &comparison.machine {
        let words = format!(
            "other processes took {} of the processors' time in the {} before, and {} after: what depends on time cannot be compared",
            units::share(change.before),
            change.phase.name(),
            units::share(change.after)
        );
        text.push_str(&super::paragraph("note   ", &words, style));
    }
    if !comparison.baseline.is_empty() {
        let names: Vec<String> = comparison.baseline.iter().map(|name| visible(name)).collect();
        let words = format!(
            "{} changed, without a client: the machine is another one, and what else depends on time cannot be compared",
            names.join(", ")
        );
        text.push_str(&super::paragraph("note   ", &words, style));
    }
    if !comparison.mixed.is_empty() {
        let paths: Vec<String> = comparison.mixed.iter().map(|path| visible(path)).collect();
        let mixed = format!("the runs of one side differ among each other in {}", paths.join(", "));
        text.push_str(&super::paragraph("note   ", &mixed, style));
    }
    text.push_str(&format!("\n{}\n", style.strong("Settings that differ")));
    push_settings(&mut text, comparison, style);
    text.push_str(&format!("\n{}\n", style.strong("Numbers")));
    let mut table = table(&["number", "before", "after", "difference", "change"]);
    for number in &comparison.numbers {
        let difference = number.relative.map_or_else(|| "–".to_owned(), signed_share);
        let change = match number.change {
            Change::None => "no change",
            Change::Higher => "higher",
            Change::Lower => "lower",
            Change::Unknown => "not known",
        };
        table.rows.push(cells([
            visible(&number.name),
            value(number.unit, number.before),
            value(number.unit, number.after),
            difference,
            change.to_owned(),
        ]));
    }
    push(&mut text, &table, style);
    text.push('\n');
    for note in notes(comparison) {
        text.push_str(&format!("  {}\n", style.faint(&style.signs(&note))));
    }
    text
}

/// What the columns mean, and how a change is told from chance.
fn notes(comparison: &Comparison) -> Vec<String> {
    let mut notes = Vec::new();
    if comparison.runs.contains(&1) {
        notes.push("Of one run in brackets: the 95% interval of its own samples, which says nothing of the next run.".to_owned());
    }
    if comparison.runs != [1, 1] {
        notes.push("Of several runs: the median (from the lowest to the highest).".to_owned());
    }
    if comparison.enough {
        notes.push(format!(
            "Higher or lower: the runs of both sides lie apart as they do in at most {} of pairs of sets in which",
            units::share(ALARMS)
        ));
        notes.push(format!(
            "nothing has changed, all numbers together (permutation test), and the medians by more than {}.",
            units::share(BAND)
        ));
    } else {
        notes.push(format!("Not known: {}.", comparison.too_few()));
        notes.push("`lab up LAB --repeat 5` makes a set, and LAB@5 names the last five runs.".to_owned());
    }
    notes
}

fn push_settings(text: &mut String, comparison: &Comparison, style: &Style) {
    if comparison.settings.is_empty() {
        text.push_str("  none\n");
        return;
    }
    let mut table = table(&["setting", "before", "after"]);
    let value = |value: &Option<String>| value.as_deref().map_or_else(|| "–".to_owned(), visible);
    for setting in &comparison.settings {
        table.rows.push(cells([visible(&setting.path), value(&setting.before), value(&setting.after)]));
    }
    push(text, &table, style);
}

/// Writes how the runs of one lab spread: the numbers of the whole lab, or with `clients` those of each client as well.
pub(super) fn spread(numbers: &[NumberSpread], runs: usize, clients: bool, style: &Style) -> String {
    let mut table = table(&["between the runs", "lowest", "median", "highest", "range"]);
    for number in numbers.iter().filter(|number| clients || !number.of_client) {
        let show = |of: fn(Interval) -> f64| {
            number.spread.map_or_else(|| units::UNKNOWN.to_owned(), |spread| shown(number.unit, of(spread)))
        };
        let relative = number.spread.filter(|spread| spread.value != 0.0);
        let range = relative.map(|spread| units::share((spread.high - spread.low) / spread.value.abs()));
        let mut name = visible(&number.name);
        if number.known < runs && number.known > 0 {
            name.push_str(&format!(" (known in {})", number.known));
        }
        table.rows.push(cells([
            name,
            show(|spread| spread.low),
            show(|spread| spread.value),
            show(|spread| spread.high),
            range.unwrap_or_else(|| units::UNKNOWN.to_owned()),
        ]));
    }
    let mut text = String::new();
    push(&mut text, &table, style);
    text
}

fn table(headings: &[&str]) -> Table {
    let columns = headings.iter().enumerate().map(|(place, heading)| match (place, *heading) {
        (0, heading) => Column::words(heading),
        // What it comes to stays longest.
        (_, "change") => Column::numbers("change").rank(9),
        (_, heading) => Column::numbers(heading),
    });
    Table::new("", columns.collect())
}

fn cells<const N: usize>(texts: [String; N]) -> Vec<Cell> {
    texts.iter().map(|text| Cell::words(text)).collect()
}

fn push(text: &mut String, table: &Table, style: &Style) {
    for line in lines(table, style, 2) {
        text.push_str(&format!("  {line}\n"));
    }
}

/// Writes a value in its unit.
fn shown(unit: Unit, value: f64) -> String {
    match unit {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates; times are positive"
        )]
        Unit::Nanoseconds => units::time(value.round() as u64),
        Unit::Number => units::number(value),
        Unit::Share => units::share(value),
    }
}

fn value(unit: Unit, value: Option<Interval>) -> String {
    let Some(Interval { value, low, high }) = value else { return units::UNKNOWN.to_owned() };
    let [value, low, high] = [value, low, high].map(|value| shown(unit, value));
    if low == high { value } else { format!("{value} ({low} to {high})") }
}

/// Writes a share with its sign.
fn signed_share(share: f64) -> String {
    let sign = match share {
        share if share > 0.0 => "+",
        share if share < 0.0 => "-",
        _ => "",
    };
    format!("{sign}{}", units::share(share.abs()))
}
