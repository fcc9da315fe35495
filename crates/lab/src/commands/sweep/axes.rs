//! The settings that a sweep varies, as the command line names them.

use std::ops::RangeInclusive;

use lab_model::{Concurrency, ReactTo, Span, When};
use lab_sim::{Axis, CELLS_MAX};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ExitError;

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

/// Reads all of them; each setting is varied once, and the combinations are not too many.
pub(super) fn axes(texts: &[String]) -> Result<Vec<Axis>, ExitError> {
    let axes = texts.iter().map(|text| axis(text)).collect::<Result<Vec<Axis>, ExitError>>()?;
    for (place, axis) in axes.iter().enumerate() {
        if axes[..place].iter().any(|other| other.name() == axis.name()) {
            return Err(ExitError::usage(
                format!("{} is varied twice", axis.name()),
                "give all its values in one --vary",
            ));
        }
    }
    let count = axes.iter().try_fold(1_usize, |count, axis| count.checked_mul(axis.len()));
    if count.is_none_or(|count| count > CELLS_MAX) {
        return Err(ExitError::usage(
            format!("these are more than {CELLS_MAX} combinations"),
            "vary fewer settings, or fewer values of each",
        ));
    }
    Ok(axes)
}

/// Reads `SETTING=VALUES`.
fn axis(text: &str) -> Result<Axis, ExitError> {
    let names = || SETTINGS.map(|(name, _)| name).join(", ");
    let Some((path, values)) = text.split_once('=') else {
        return Err(ExitError::usage(
            format!("\"{text}\" names no values"),
            "write a setting and its values, such as clients=1..12 or concurrency=1,4,16",
        ));
    };
    let Some((name, _)) = SETTINGS.into_iter().find(|(name, long)| path == *name || path == *long) else {
        return Err(ExitError::usage(
            format!("\"{path}\" cannot be varied"),
            format!("these can: {}", names()),
        ));
    };
    let bad = |value: &str| {
        ExitError::usage(format!("\"{value}\" is no value of {name}"), "write numbers as 1,4,16 or 1..12")
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
fn words<T: DeserializeOwned>(values: &str, good: &str, name: &str) -> Result<Vec<T>, ExitError> {
    let word = |value: &str| {
        serde_json::from_value(Value::String(value.to_owned())).map_err(|_| {
            ExitError::usage(format!("\"{value}\" is no value of {name}"), format!("write {good}"))
        })
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
