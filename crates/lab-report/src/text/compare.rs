//! Two runs side by side, as text.

use lab_analysis::{
    compare::{BAND, Change, Comparison, NumberChange, Unit},
    findings::Interval,
};

use super::{Style, table::lines};
use crate::{
    page::{Cell, Column, Table},
    visible::visible,
};
use lab_model::units;

/// Writes a comparison; `names` are those of the runs.
pub(super) fn render(comparison: &Comparison, names: [&str; 2], style: &Style) -> String {
    let [before, after] = names.map(visible);
    let name = |lead: &str, name: &str| format!("{lead:7} {}\n", style.strong(name));
    let mut text = name("before", &before) + &name("after", &after);
    let [one, other] = &comparison.outcomes;
    let outcome =
        if one == other { format!("outcome {one} in both") } else { format!("outcome {one}, then {other}") };
    text.push_str(&format!("{}\n\n{}\n", style.signs(&outcome), style.strong("Settings that differ")));
    if comparison.settings.is_empty() {
        text.push_str("  none\n");
    } else {
        let mut table = table(&["setting", "before", "after"]);
        let value = |value: &Option<String>| value.as_deref().map_or_else(|| "–".to_owned(), visible);
        for setting in &comparison.settings {
            table.rows.push(cells([visible(&setting.path), value(&setting.before), value(&setting.after)]));
        }
        push(&mut text, &table, style);
    }
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
            value(number, number.before),
            value(number, number.after),
            difference,
            change.to_owned(),
        ]));
    }
    push(&mut text, &table, style);
    let notes = [
        "In brackets: 95% intervals; of quantiles by rank from the latency spectrum, of means from the spread of"
            .to_owned(),
        "the cascades, of the loop gain by bootstrap.".to_owned(),
        format!("No change: the intervals overlap, or the difference is below {}.", units::share(BAND)),
    ];
    text.push('\n');
    for note in notes {
        text.push_str(&format!("  {}\n", style.faint(&note)));
    }
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

fn value(number: &NumberChange, value: Option<Interval>) -> String {
    let show = |value: f64| match number.unit {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "saturates; times are positive"
        )]
        Unit::Nanoseconds => units::time(value.round() as u64),
        Unit::Number => units::number(value),
        Unit::Share => units::share(value),
    };
    let Some(Interval { value, low, high }) = value else { return units::UNKNOWN.to_owned() };
    if show(low) == show(high) {
        show(value)
    } else {
        format!("{} ({} to {})", show(value), show(low), show(high))
    }
}

/// Writes a share with its sign.
fn signed_share(share: f64) -> String {
    let sign = if share > 0.0 { "+" } else { "" };
    format!("{sign}{}", units::share(share))
}
