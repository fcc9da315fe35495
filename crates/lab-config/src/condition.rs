//! Conditions: `metric comparison value`, such as `op_latency.storm.p99 < 3ms`.

use std::ops::Range;

use lab_model::{Comparison, Decimal, Expected, METRICS, Metric, MetricUnit, PhaseKind};

use crate::{diagnostic::Diagnostic, nearest::nearest, tree::shortened};

/// The longest condition, in bytes.
const CONDITION_BYTES_MAX: usize = 512;

/// A condition taken apart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) metric: String,
    pub(crate) comparison: Comparison,
    pub(crate) value: Expected,
}

/// Takes a condition apart and checks it against the metrics and the lab's clients.
///
/// `clients` is `None` when the clients are not known because of other mistakes. The places of the mistakes
/// are counted from the start of `text`.
pub(crate) fn condition(text: &str, clients: Option<&[String]>) -> Result<Condition, Box<Diagnostic>> {
    if text.len() > CONDITION_BYTES_MAX {
        let message =
            format!("a condition has at most {CONDITION_BYTES_MAX} bytes, this one has {}", text.len());
        return Err(Diagnostic::new(0..text.len(), message).into());
    }
    let shape = Shape::of(text)?;
    let metric = find(text, &shape, clients)?;
    let value = value(text, &shape, metric)?;
    Ok(Condition { metric: text[shape.metric].to_owned(), comparison: shape.comparison, value })
}

/// Where the three parts of a condition stand.
struct Shape {
    metric: Range<usize>,
    comparison: Comparison,
    sign: Range<usize>,
    value: Range<usize>,
}

const EXAMPLE: &str = "write a metric, a comparison and a value, such as `deadline.misses == 0`";

impl Shape {
    fn of(text: &str) -> Result<Shape, Box<Diagnostic>> {
        let whole = trimmed(text, 0..text.len());
        let Some(sign_start) = text.find(['<', '>', '=', '!']) else {
            return Err(Diagnostic::new(whole, format!("`{}` compares nothing", shortened(text)))
                .label("expected a comparison: <, <=, ==, !=, >= or >")
                .help(EXAMPLE)
                .into());
        };
        let rest = &text[sign_start..];
        let Some(comparison) = Comparison::ALL.into_iter().find(|one| rest.starts_with(one.sign())) else {
            let sign = sign_start..sign_start + 1;
            return Err(Diagnostic::new(sign, format!("`{}` is not a comparison", &rest[..1]))
                .label(if rest.starts_with('=') { "did you mean `==`?" } else { "did you mean `!=`?" })
                .help("comparisons are <, <=, ==, !=, >= and >")
                .into());
        };
        let sign = sign_start..sign_start + comparison.sign().len();
        let metric = trimmed(text, 0..sign.start);
        let value = trimmed(text, sign.end..text.len());
        if metric.is_empty() {
            return Err(Diagnostic::new(sign, "the comparison has no metric before it").help(EXAMPLE).into());
        }
        if value.is_empty() {
            return Err(Diagnostic::new(sign, "the comparison has no value after it").help(EXAMPLE).into());
        }
        Ok(Shape { metric, comparison, sign, value })
    }
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let part = &text[range.clone()];
    let start = range.start + (part.len() - part.trim_start().len());
    start..start + part.trim().len()
}

fn find(text: &str, shape: &Shape, clients: Option<&[String]>) -> Result<&'static Metric, Box<Diagnostic>> {
    let name = &text[shape.metric.clone()];
    let parts: Vec<&str> = name.split('.').collect();
    for metric in &METRICS {
        let Some(client_parts) = matches(metric, &parts) else { continue };
        let Some(clients) = clients else { return Ok(metric) };
        for index in client_parts {
            if !clients.iter().any(|client| client == parts[index]) {
                return Err(unknown_client(shape, &parts, index, clients).into());
            }
        }
        return Ok(metric);
    }
    Err(unknown_metric(name, shape, &parts, clients.unwrap_or_default()).into())
}

/// The places of client IDs among the parts when the parts have the pattern's form.
fn matches(metric: &Metric, parts: &[&str]) -> Option<Vec<usize>> {
    let pattern: Vec<&str> = metric.pattern.split('.').collect();
    if pattern.len() != parts.len() {
        return None;
    }
    let mut clients = Vec::new();
    for (index, (pattern, part)) in pattern.iter().zip(parts).enumerate() {
        match *pattern {
            "<client>" => clients.push(index),
            "<phase>" if PhaseKind::ALL.iter().any(|phase| phase.name() == *part) => {}
            words if words.split('|').any(|word| word == *part) => {}
            _ => return None,
        }
    }
    Some(clients)
}

fn unknown_client(shape: &Shape, parts: &[&str], index: usize, clients: &[String]) -> Diagnostic {
    let start = shape.metric.start + parts[..index].iter().map(|part| part.len() + 1).sum::<usize>();
    let part = parts[index];
    let diagnostic =
        Diagnostic::new(start..start + part.len(), format!("no client `{}` in this lab", shortened(part)));
    match nearest(part, clients.iter().map(String::as_str)) {
        Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
        None => diagnostic.label("no such client"),
    }
    .help(format!("the clients are {}", list(clients.iter().map(String::as_str))))
}

fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    const SHOWN_MAX: usize = 12;
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.len() {
        0..=SHOWN_MAX => words.join(", "),
        count => format!("{} and {} more", words[..SHOWN_MAX].join(", "), count - SHOWN_MAX),
    }
}

fn unknown_metric(name: &str, shape: &Shape, parts: &[&str], clients: &[String]) -> Diagnostic {
    let names: Vec<String> = METRICS.iter().flat_map(|metric| expand(metric, parts, clients)).collect();
    let longer: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|full| full.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
        .collect();
    let diagnostic = Diagnostic::new(shape.metric.clone(), format!("unknown metric `{}`", shortened(name)));
    if !longer.is_empty() {
        return diagnostic.label("say which").help(format!("metrics that begin so: {}", list(longer)));
    }
    let diagnostic = match nearest(name, names.iter().map(String::as_str)) {
        Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
        None => diagnostic.label("no such metric"),
    };
    diagnostic.help("`lab explain expect` lists the metrics")
}

/// The names a pattern stands for, a client's place taken by the client that was most likely meant.
fn expand(metric: &Metric, parts: &[&str], clients: &[String]) -> Vec<String> {
    let mut names = vec![String::new()];
    for (index, pattern) in metric.pattern.split('.').enumerate() {
        let written = parts.get(index).copied().unwrap_or_default();
        let words: Vec<&str> = match pattern {
            "<client>" => {
                let near = nearest(written, clients.iter().map(String::as_str));
                near.or(clients.first().map(String::as_str)).into_iter().collect()
            }
            "<phase>" => PhaseKind::ALL.iter().map(|phase| phase.name()).collect(),
            words => words.split('|').collect(),
        };
        let dot = if index == 0 { "" } else { "." };
        names = names
            .iter()
            .flat_map(|start| words.iter().map(move |word| format!("{start}{dot}{word}")))
            .collect();
    }
    names
}

fn value(text: &str, shape: &Shape, metric: &Metric) -> Result<Expected, Box<Diagnostic>> {
    let written = &text[shape.value.clone()];
    let wrong = |message: String| Diagnostic::new(shape.value.clone(), message);
    if let MetricUnit::Word(words) = metric.unit {
        if !matches!(shape.comparison, Comparison::Equal | Comparison::Unequal) {
            let message = format!("`{}` is a word: it has no order", metric.pattern);
            return Err(Diagnostic::new(shape.sign.clone(), message).label("expected == or !=").into());
        }
        if words.contains(&written) {
            return Ok(Expected::Word(written.to_owned()));
        }
        let diagnostic = wrong(format!("`{}` is no value of `{}`", shortened(written), metric.pattern));
        return Err(match nearest(written, words.iter().copied()) {
            Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
            None => diagnostic.label("no such word"),
        }
        .help(format!("valid words: {}", list(words.iter().copied())))
        .into());
    }
    let unit_start = written.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(written.len());
    let (number, unit) = written.split_at(unit_start);
    let unit = unit.trim_start();
    let name = &text[shape.metric.clone()];
    let Ok(number) = number.parse::<Decimal>() else {
        return Err(wrong(format!("`{}` is not a number", shortened(written)))
            .label("expected a number of 0 or more")
            .help(unit_help(metric.unit, name))
            .into());
    };
    in_unit(number, unit, metric.unit).map(Expected::Number).ok_or_else(|| {
        wrong(format!("`{}` does not fit what `{name}` counts", shortened(written)))
            .label(expected_unit(metric.unit))
            .help(unit_help(metric.unit, name))
            .into()
    })
}

const fn expected_unit(unit: MetricUnit) -> &'static str {
    match unit {
        MetricUnit::Count => "expected a whole number",
        MetricUnit::Ratio => "expected a number without a unit",
        MetricUnit::Share => "expected a percentage from 0% to 100%",
        MetricUnit::Time => "expected a number and a unit of time",
        MetricUnit::Word(_) => "expected a word",
    }
}

fn unit_help(unit: MetricUnit, name: &str) -> String {
    let example = match unit {
        MetricUnit::Count => "0",
        MetricUnit::Ratio => "1.5",
        MetricUnit::Share => "50%",
        MetricUnit::Time => "3ms` (units: ns, us, ms, s, m, h), or `1.5s",
        MetricUnit::Word(_) => "stable",
    };
    format!("compare `{name}` for example with `{example}`")
}

/// The number in the metric's own unit.
fn in_unit(number: Decimal, unit: &str, metric: MetricUnit) -> Option<Decimal> {
    const HOUR_SECONDS: u64 = 3_600;
    const MINUTE_SECONDS: u64 = 60;
    let times = |factor: u64, places: u8| {
        number.times(factor).and_then(|number| number.times_power_of_ten(places)).filter(|n| n.is_whole())
    };
    match (metric, unit) {
        (MetricUnit::Count, "") => Some(number).filter(|number| number.is_whole()),
        (MetricUnit::Ratio, "") => Some(number),
        (MetricUnit::Share, "") => Some(number).filter(|number| number.order_of_count(1).is_ge()),
        (MetricUnit::Share, "%") => {
            number.divided_by_power_of_ten(2).filter(|number| number.order_of_count(1).is_ge())
        }
        (MetricUnit::Time, "") => Some(number).filter(|number| *number == Decimal::from(0)),
        (MetricUnit::Time, "ns") => times(1, 0),
        (MetricUnit::Time, "us" | "µs") => times(1, 3),
        (MetricUnit::Time, "ms") => times(1, 6),
        (MetricUnit::Time, "s") => times(1, 9),
        (MetricUnit::Time, "m") => times(MINUTE_SECONDS, 9),
        (MetricUnit::Time, "h") => times(HOUR_SECONDS, 9),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients() -> Vec<String> {
        ["alpha", "bravo"].map(str::to_owned).to_vec()
    }

    fn number(text: &str) -> Decimal {
        match condition(text, Some(&clients())) {
            Ok(Condition { value: Expected::Number(number), .. }) => number,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn values_are_kept_in_the_metrics_own_unit() {
        for (text, value) in [
            ("deadline.misses == 0", "0"),
            ("headroom.p01 > 50%", "0.5"),
            ("headroom.p01 > 0.5", "0.5"),
            ("headroom.p01 >= 99.5%", "0.995"),
            ("loop_gain < 1", "1"),
            ("amplification <= 12.50", "12.5"),
            ("op_latency.storm.p99<3ms", "3000000"),
            ("op_latency.storm.p99 < 1.5 us", "1500"),
            ("latency.max < 0", "0"),
            ("clients.alpha.latency.p99 < 2m", "120000000000"),
            ("decisions < 18446744073709551615", "18446744073709551615"),
        ] {
            assert_eq!(number(text).to_string(), value, "{text}");
        }
    }

    #[test]
    fn words_are_compared_for_equality() {
        let parsed = condition("outcome == deadlocked", Some(&[])).unwrap();
        assert_eq!(parsed.value, Expected::Word("deadlocked".to_owned()));
        assert!(condition("outcome < deadlocked", Some(&[])).is_err());
        assert!(condition("outcome == deadlock", Some(&[])).is_err());
    }

    #[test]
    fn mistakes_are_placed() {
        for (text, place) in [
            ("deadline.misses", "deadline.misses"),
            ("deadline.misses = 0", "="),
            ("deadline.mises == 0", "deadline.mises"),
            ("clients.delta.decisions > 0", "delta"),
            ("gain.alpha.brav > 0", "brav"),
            ("deadline.misses == 1.5", "1.5"),
            ("deadline.misses == -1", "-1"),
            ("loop_gain < 1ms", "1ms"),
            ("headroom.p01 > 150%", "150%"),
            ("op_latency.storm.p99 < 3", "3"),
            ("op_latency.strom.p99 < 3ms", "op_latency.strom.p99"),
            ("op_latency.storm.p99 < 0.5ns", "0.5ns"),
            ("latency.max < 99999999999h", "99999999999h"),
            ("== 0", "=="),
            ("lost ==", "=="),
            ("lost == 0 0", "0 0"),
            ("", ""),
        ] {
            let diagnostic = condition(text, Some(&clients())).unwrap_err();
            assert_eq!(&text[diagnostic.place], place, "{text}");
        }
    }

    #[test]
    fn every_metric_can_be_named() {
        let clients = clients();
        for metric in &METRICS {
            let names = expand(metric, &[], &clients);
            assert!(!names.is_empty());
            for name in names {
                let value = match metric.unit {
                    MetricUnit::Word(words) => words[0],
                    _ => "0",
                };
                let parsed = condition(&format!("{name} == {value}"), Some(&clients)).unwrap();
                assert_eq!(parsed.metric, name);
            }
        }
    }
}
