//! `lab sweep` and `lab ladder`: one lab with many settings, in virtual time.

use std::{num::NonZeroU32, ops::RangeInclusive};

use lab_model::{Concurrency, Lab, ReactTo, Span, When};
use lab_report::units;
use lab_sim::{Axis, Cell, Options, Range, Rung, Trials};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{
    Stop,
    up::{refuse_what_is_not_simulated, rules_here},
};
use crate::{
    arguments::{Ladder, Sweep},
    labs::Places,
    parallel,
    table::Table,
    terminal,
};

/// The most combinations of one sweep.
const CELLS_MAX: usize = 10_000;

/// What a setting may be called: its name, and where a lab file has it.
const SETTINGS: [(&str, &str); 7] = [
    ("clients", "clients"),
    ("concurrency", "defaults.behavior.concurrency"),
    ("extra_opens", "defaults.behavior.on_open.extra_opens"),
    ("react_to", "defaults.behavior.react_to"),
    ("when", "defaults.behavior.on_open.when"),
    ("workers", "workload.open_storm.workers"),
    ("deadline", "deadline"),
];

pub(super) fn sweep(places: &Places, arguments: &Sweep) -> Result<u8, Stop> {
    let lab = storm_only(places.read(&arguments.name)?);
    refuse_what_is_not_simulated(&lab)?;
    let axes = arguments.vary.iter().map(|text| axis(text)).collect::<Result<Vec<Axis>, Stop>>()?;
    for (place, axis) in axes.iter().enumerate() {
        if axes[..place].iter().any(|other| other.name() == axis.name()) {
            return Err(Stop::usage(
                format!("{} is varied twice", axis.name()),
                "give all its values in one --vary",
            ));
        }
    }
    let count = axes.iter().try_fold(1_usize, |count, axis| count.checked_mul(axis.len()));
    if count.is_none_or(|count| count > CELLS_MAX) {
        return Err(Stop::usage(
            format!("these are more than {CELLS_MAX} combinations"),
            "vary fewer settings, or fewer values of each",
        ));
    }
    let cells = lab_sim::cells(&lab, &axes);
    let kernel = rules_here(arguments.rules);
    let seeds = seeds(&lab, arguments.trials);
    let progress = terminal::Progress::new(&format!("sweeping {}", lab.name));
    let trials = parallel::map(
        &cells,
        parallel::threads(arguments.jobs),
        |done| progress.at(done, cells.len()),
        |cell| lab_sim::run_cell(cell, &Options::new(&cell.lab, kernel), &seeds),
    );
    progress.end();
    if arguments.json {
        let rows: Vec<Value> =
            cells.iter().zip(&trials).map(|(cell, trials)| cell_json(cell, trials)).collect();
        let whole = json!({
            "schema": 1, "lab": lab.name, "backend": "sim", "rules": kernel.name(), "seeds": seeds, "cells": rows,
        });
        terminal::print_json(&whole)?;
        return Ok(0);
    }
    let mut headings: Vec<String> = axes.iter().map(|axis| axis.name().to_owned()).collect();
    headings.extend(HEADINGS.map(str::to_owned));
    let mut table = Table::with(headings).words([axes.len()]);
    for (cell, trials) in cells.iter().zip(&trials) {
        table.row(cell.settings.iter().map(|(_, value)| value.clone()).chain(figures(trials)));
    }
    let text = about(&lab, kernel.name(), &seeds) + "\n" + &table.text();
    terminal::say(&text)?;
    Ok(0)
}

pub(super) fn ladder(places: &Places, arguments: &Ladder) -> Result<u8, Stop> {
    let lab = storm_only(places.read(&arguments.name)?);
    refuse_what_is_not_simulated(&lab)?;
    let kernel = rules_here(arguments.rules);
    let seeds = seeds(&lab, arguments.trials);
    let progress = terminal::Progress::new(&format!("trying mitigations on {}", lab.name));
    let ladder = lab_sim::ladder(&lab, &Options::new(&lab, kernel), &seeds);
    progress.end();
    if arguments.json {
        let rungs = |rungs: &[Rung]| -> Vec<Value> { rungs.iter().map(rung_json).collect() };
        let whole = json!({
            "schema": 1, "lab": lab.name, "backend": "sim", "rules": kernel.name(), "seeds": seeds,
            "base": trials_json(&ladder.base), "alone": rungs(&ladder.alone), "climb": rungs(&ladder.climb),
        });
        terminal::print_json(&whole)?;
        return Ok(0);
    }
    let table = |lead: &str, first: (&str, &Trials), rungs: &[Rung], name: &dyn Fn(&Rung) -> String| {
        let headings = [lead].into_iter().chain(HEADINGS).map(str::to_owned).collect();
        let mut table = Table::with(headings).words([1]);
        table.row([first.0.to_owned()].into_iter().chain(figures(first.1)));
        for rung in rungs {
            table.row([name(rung)].into_iter().chain(figures(&rung.trials)));
        }
        table.text()
    };
    let last =
        |rung: &Rung| rung.with.last().map(|mitigation| mitigation.name()).unwrap_or_default().to_owned();
    let mut text = about(&lab, kernel.name(), &seeds) + "\n";
    text.push_str(&table("one at a time", ("as it is", &ladder.base), &ladder.alone, &last));
    text.push('\n');
    if ladder.climb.is_empty() {
        text.push_str("  none of them helps\n");
    } else {
        let more = |rung: &Rung| format!("+ {}", last(rung));
        text.push_str(&table("best order", ("as it is", &ladder.base), &ladder.climb, &more));
    }
    text.push_str("\n  what each one is blind to\n");
    let mut blind = Table::default().words([1]);
    for rung in &ladder.alone {
        for mitigation in &rung.with {
            blind.row([mitigation.name(), mitigation.blind_spot()].map(str::to_owned));
        }
    }
    terminal::say(&(text + &blind.text()))?;
    Ok(0)
}

/// Baseline and control tell nothing that a sweep shows.
fn storm_only(mut lab: Lab) -> Lab {
    lab.phases.baseline = Span::default();
    lab.phases.control = Span::default();
    lab
}

/// The lab's own seed and those after it.
fn seeds(lab: &Lab, trials: NonZeroU32) -> Vec<u64> {
    (0..u64::from(trials.get())).map(|more| lab.seed.wrapping_add(more)).collect()
}

const HEADINGS: [&str; 6] = ["outcome", "amplification", "open p50", "open p99", "missed", "in flight"];

fn about(lab: &Lab, rules: &str, seeds: &[u64]) -> String {
    let runs = units::counted(units::count_of(seeds.len()), "run");
    let spread = if seeds.len() > 1 { "; median, and lowest to highest where they differ" } else { "" };
    format!("{}: {rules} rules, {runs} of each{spread}\n", lab.name)
}

fn figures(trials: &Trials) -> [String; 6] {
    let outcomes: Vec<String> = match trials.outcomes.iter().collect::<Vec<_>>().as_slice() {
        [(outcome, _)] => vec![outcome.name().to_owned()],
        several => several.iter().map(|(outcome, count)| format!("{count} {}", outcome.name())).collect(),
    };
    [
        outcomes.join(", "),
        range(trials.amplification, &units::number),
        range(trials.open_p50, &nanoseconds),
        range(trials.open_p99, &nanoseconds),
        range(trials.missed, &units::number),
        range(trials.in_flight, &units::number),
    ]
}

fn nanoseconds(value: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates; times are positive"
    )]
    units::time(value as u64)
}

fn range(range: Option<Range>, show: &dyn Fn(f64) -> String) -> String {
    let Some(range) = range else { return units::UNKNOWN.to_owned() };
    let (low, median, high) = (show(range.low), show(range.median), show(range.high));
    if low == high { median } else { format!("{median} ({low} to {high})") }
}

fn cell_json(cell: &Cell, trials: &Trials) -> Value {
    let settings: serde_json::Map<String, Value> =
        cell.settings.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    json!({ "settings": settings, "trials": trials_json(trials) })
}

fn rung_json(rung: &Rung) -> Value {
    let with: Vec<&str> = rung.with.iter().map(|mitigation| mitigation.name()).collect();
    json!({ "with": with, "trials": trials_json(&rung.trials) })
}

fn trials_json(trials: &Trials) -> Value {
    let range = |range: Option<Range>| {
        range.map(|range| json!({ "low": range.low, "median": range.median, "high": range.high }))
    };
    let outcomes: serde_json::Map<String, Value> =
        trials.outcomes.iter().map(|(outcome, count)| (outcome.name().to_owned(), json!(count))).collect();
    json!({
        "outcomes": outcomes,
        "amplification": range(trials.amplification),
        "open_p50_ns": range(trials.open_p50),
        "open_p99_ns": range(trials.open_p99),
        "deadline_misses": range(trials.missed),
        "in_flight": range(trials.in_flight),
    })
}

/// Reads `SETTING=VALUES`.
fn axis(text: &str) -> Result<Axis, Stop> {
    let names = || SETTINGS.map(|(name, _)| name).join(", ");
    let Some((path, values)) = text.split_once('=') else {
        return Err(Stop::usage(
            format!("\"{text}\" names no values"),
            "write a setting and its values, such as clients=1..12 or concurrency=1,4,16",
        ));
    };
    let Some((name, _)) = SETTINGS.into_iter().find(|(name, long)| path == *name || path == *long) else {
        return Err(Stop::usage(format!("\"{path}\" cannot be varied"), format!("these can: {}", names())));
    };
    let bad = |value: &str| {
        Stop::usage(format!("\"{value}\" is no value of {name}"), "write numbers as 1,4,16 or 1..12")
    };
    let numbers = |most: u64| numbers(values, most).map_err(|value| bad(&value));
    Ok(match name {
        "clients" => Axis::Clients(narrow(numbers(u64::from(u16::MAX))?)),
        "concurrency" => Axis::Concurrency(narrow(numbers(u64::from(Concurrency::MAX))?)),
        "extra_opens" => Axis::ExtraOpens(narrow(numbers(u64::from(u32::MAX))?)),
        "workers" => Axis::Workers(narrow(numbers(256)?)),
        "react_to" => Axis::ReactTo(words::<ReactTo>(values, "workload, peers, self or all", name)?),
        "when" => Axis::When(words::<When>(values, "before or after", name)?),
        _ => Axis::Deadline(words::<Span>(values, "lengths of time such as 500ms,3s", name)?),
    })
}

fn narrow<T: TryFrom<u64>>(numbers: Vec<u64>) -> Vec<T> {
    numbers.into_iter().filter_map(|number| T::try_from(number).ok()).collect()
}

/// Reads `1,4,16`, `1..12` (both included) or both; gives back what is none.
fn numbers(values: &str, most: u64) -> Result<Vec<u64>, String> {
    let mut numbers = Vec::new();
    for part in values.split(',') {
        let number = |text: &str| {
            text.parse::<u64>().ok().filter(|number| *number <= most).ok_or_else(|| part.to_owned())
        };
        let range: RangeInclusive<u64> = match part.split_once("..") {
            Some((first, last)) => number(first)?..=number(last.trim_start_matches('='))?,
            None => number(part)?..=number(part)?,
        };
        if range.is_empty() || range.end() - range.start() >= CELLS_MAX as u64 {
            return Err(part.to_owned());
        }
        numbers.extend(range);
    }
    Ok(numbers)
}

/// Reads words as a lab file writes them.
fn words<T: DeserializeOwned>(values: &str, good: &str, name: &str) -> Result<Vec<T>, Stop> {
    let word = |value: &str| {
        serde_json::from_value(Value::String(value.to_owned()))
            .map_err(|_| Stop::usage(format!("\"{value}\" is no value of {name}"), format!("write {good}")))
    };
    values.split(',').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_are_read_by_their_short_and_their_long_names() {
        assert_eq!(axis("clients=1..3,8").unwrap(), Axis::Clients(vec![1, 2, 3, 8]));
        let long = axis("defaults.behavior.concurrency=1,4").unwrap();
        assert_eq!(long, Axis::Concurrency(vec![1, 4]));
        assert_eq!(axis("react_to=self,all").unwrap(), Axis::ReactTo(vec![ReactTo::Own, ReactTo::All]));
        assert_eq!(axis("deadline=500ms").unwrap(), Axis::Deadline(vec![Span::from_millis(500)]));
    }

    #[test]
    fn what_is_no_axis_is_a_wrong_use() {
        for text in
            ["clients", "color=1", "clients=3..1", "clients=x", "clients=", "concurrency=257", "when=now"]
        {
            assert_eq!(axis(text).unwrap_err().code, 64, "{text}");
        }
    }
}
