//! What to change: the changes of settings that were tried on the simulator, and the settings of the best.

use lab_analysis::findings::{Advice, Effect, Outcome, TriedMitigation};
use lab_model::units::{number, time};

use crate::{
    page::{Block, Cell, Code, Column, Mood, Section, Table, listed},
    visible::visible,
};

pub(super) fn changes(advice: &Advice) -> Section {
    let mut lead = vec![sentence(&advice.sentence())];
    let mut blocks = Vec::new();
    if advice.untried.is_none() && !(advice.helps.is_empty() && advice.idle.is_empty()) {
        lead.push(advice.method());
        blocks.push(Block::Table(tried(advice)));
        blocks.extend(blind_spots(advice).map(Block::List));
    }
    if let Some(best) = advice.helps.first() {
        blocks.extend(best.settings.iter().map(|settings| {
            let clients: Vec<String> = settings.clients.iter().map(|id| visible(id)).collect();
            Block::Code(Code {
                caption: format!("To write into the lab file below {}:", listed(&clients)),
                lines: settings.yaml.lines().map(visible).collect(),
            })
        }));
    }
    Section { id: "changes", title: "What to change", lead, blocks }
}

/// What a client no longer sees with the changes that help, each by itself; `None` where none is blind to anything.
fn blind_spots(advice: &Advice) -> Option<Vec<String>> {
    let blind = advice.helps.iter().filter(|one| one.names.len() == 1 && !one.blind_spots.is_empty());
    let blind: Vec<String> = blind
        .map(|one| {
            format!("blind spot of {}: {}", visible(&one.name()), visible(&one.blind_spots.join("; ")))
        })
        .collect();
    (!blind.is_empty()).then_some(blind)
}

/// A text as a sentence of its own.
fn sentence(text: &str) -> String {
    let text = visible(text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| format!("{}{}.", first.to_uppercase(), letters.as_str()))
}

/// The lab as it is, and each change in a row.
fn tried(advice: &Advice) -> Table {
    let columns = vec![
        Column::words("change"),
        Column::words("outcome"),
        Column::numbers("missed"),
        Column::numbers("decisions an operation"),
        Column::numbers("p50").rank(2),
        Column::numbers("p99").rank(1),
        Column::words("of decisions").rank(2),
        Column::words("of p99").rank(2),
    ];
    let mut table = Table::new("Changes that were tried, the best first", columns);
    let before = advice.helps.first().or(advice.idle.first());
    let figure = |effect: Option<Effect>, show: fn(f64) -> String, of: fn(Effect) -> f64| {
        effect.map_or_else(|| Cell::words("–"), |effect| Cell::words(&show(of(effect))))
    };
    let was = |effect: Effect| effect.before;
    table.rows.push(vec![
        Cell::words("as it is"),
        outcome(advice.outcome),
        Cell::words(&number(advice.missed)),
        figure(before.and_then(|one| one.decisions), number, was),
        figure(before.and_then(|one| one.p50_ns), nanoseconds, was),
        figure(before.and_then(|one| one.p99_ns), nanoseconds, was),
        Cell::words(""),
        Cell::words(""),
    ]);
    let row = |one: &TriedMitigation| {
        let is = |effect: Effect| effect.after;
        let change = |effect: Option<Effect>| {
            let text = effect.map(|effect| effect.text().unwrap_or_else(|| "the same".to_owned()));
            Cell::words(&text.unwrap_or_else(|| "–".to_owned()))
        };
        vec![
            Cell::words(&visible(&one.name())),
            outcome(one.outcome),
            Cell::words(&number(one.missed)),
            figure(one.decisions, number, is),
            figure(one.p50_ns, nanoseconds, is),
            figure(one.p99_ns, nanoseconds, is),
            change(one.decisions),
            change(one.p99_ns),
        ]
    };
    table.rows.extend(advice.helps.iter().map(row));
    table.rows.extend(advice.idle.iter().map(|one| {
        let mut row = row(one);
        row[0] = Cell::words(&format!("{} (does not help)", visible(&one.name())));
        row
    }));
    table
}

fn outcome(outcome: Outcome) -> Cell {
    let mood =
        if matches!(outcome, Outcome::Divergent | Outcome::Deadlocked) { Mood::Bad } else { Mood::Plain };
    Cell::words(outcome.name()).mood(mood)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates; a time is not negative"
)]
fn nanoseconds(value: f64) -> String {
    time(value as u64)
}
