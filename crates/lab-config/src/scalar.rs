//! The single values of a lab file: words, numbers with bounds, times, rates.

use std::borrow::Cow;

use lab_model::{
    ArenaKind, AuthEvents, BackendChoice, Cache, ExecProgram, InvalidSpan, NotifyEvent, Preset, ReactTo,
    Span, Via, When,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    diagnostic::Diagnostic,
    nearest::nearest,
    read::{Problems, Read, listed},
    tree::{Node, Value, shortened},
};

impl Read for String {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<String> {
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            Value::Bool(_) | Value::Integer(_) | Value::Float => {
                let text = &problems.source[node.place.clone()];
                problems.wrong_type(node, "text", &format!("`\"{}\"` with the quotes", shortened(text)));
                None
            }
            Value::Null | Value::List(_) | Value::Map(_) => {
                problems.wrong_type(node, "text", "`\"some words\"`");
                None
            }
        }
    }
}

impl Read for bool {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<bool> {
        if let Value::Bool(value) = node.value {
            return Some(value);
        }
        let meant = match &node.value {
            Value::Text(text) if ["no", "off", "n", "f"].contains(&text.to_lowercase().as_str()) => "`false`",
            Value::Integer(0) => "`false`",
            _ => "`true`",
        };
        problems.wrong_type(node, "`true` or `false`", meant);
        None
    }
}

/// A whole number from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounded<const MIN: u64, const MAX: u64>(pub(crate) u64);

impl<const MIN: u64, const MAX: u64> Bounded<MIN, MAX> {
    /// The number as a type that holds all numbers from `MIN` to `MAX`.
    pub(crate) fn get<T: TryFrom<u64> + Default>(self) -> T {
        T::try_from(self.0).unwrap_or_default()
    }
}

/// The number that a text stands for to a person, though not to YAML.
fn meant_number(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, '_' | ',' | ' ')).collect();
    let number = digits.parse::<u64>().ok()?;
    Some(format!("`{number}`, without quotes, separators or leading zeros"))
}

fn range(min: u64, max: u64) -> String {
    match max {
        u64::MAX => format!("a whole number of {min} or more"),
        _ => format!("a whole number from {min} to {max}"),
    }
}

impl<const MIN: u64, const MAX: u64> Read for Bounded<MIN, MAX> {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self> {
        let expected = range(MIN, MAX);
        let Value::Integer(number) = node.value else {
            let example = match &node.value {
                Value::Text(text) => meant_number(text),
                _ => None,
            };
            let example = example.unwrap_or_else(|| format!("`{}`", MIN.max(1)));
            problems.wrong_type(node, &expected, &example);
            return None;
        };
        match u64::try_from(number) {
            Ok(number) if (MIN..=MAX).contains(&number) => Some(Bounded(number)),
            _ => {
                let end = if number < i128::from(MIN) { MIN } else { MAX };
                let side = if number < i128::from(MIN) { "small" } else { "large" };
                let diagnostic = Diagnostic::new(
                    node.place.clone(),
                    format!("{number} is too {side}: expected {expected}"),
                )
                .label(format!("too {side}"))
                .help(format!("the {}est valid number is {end}", side.trim_end_matches('e')));
                problems.add(diagnostic);
                None
            }
        }
    }
}

impl<const MIN: u64, const MAX: u64> JsonSchema for Bounded<MIN, MAX> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Bounded_{MIN}_{MAX}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        if MAX == u64::MAX {
            json_schema!({ "type": "integer", "minimum": MIN })
        } else {
            json_schema!({ "type": "integer", "minimum": MIN, "maximum": MAX })
        }
    }
}

impl Read for Span {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Span> {
        const EXPECTED: &str = "a length of time";
        let text = match &node.value {
            Value::Text(text) => text.as_str(),
            Value::Integer(number) => {
                problems.wrong_type(node, EXPECTED, &format!("`{number}s`: a whole number and its unit"));
                return None;
            }
            _ => {
                problems.wrong_type(node, EXPECTED, "`3s`");
                return None;
            }
        };
        match text.parse::<Span>() {
            Ok(span) => Some(span),
            Err(InvalidSpan::Form(_)) => {
                let diagnostic = Diagnostic::new(
                    node.place.clone(),
                    format!("`{}` is not a length of time", shortened(text)),
                )
                .label("expected a whole number and a unit")
                .help("units are ns, us, ms, s, m, h; write for example `250us`, `500ms`, `3s` or `2m`");
                problems.add(diagnostic);
                None
            }
            Err(InvalidSpan::Range(_)) => {
                let diagnostic = Diagnostic::new(
                    node.place.clone(),
                    format!("`{}` is longer than any time the lab can keep", shortened(text)),
                )
                .label("too long");
                problems.add(diagnostic);
                None
            }
        }
    }
}

/// A value that is written as one of a few words.
pub(crate) trait Choice: Copy + 'static {
    /// What the words are, as a message says it.
    const WHAT: &'static str;
    /// The words and what they stand for.
    fn words() -> Vec<(&'static str, Self)>;
}

/// Reads one of a few words; offers the nearest when it is none of them.
pub(crate) fn read_choice<T: Choice>(node: &Node, problems: &mut Problems<'_>) -> Option<T> {
    let choices = T::words();
    let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
    let Value::Text(text) = &node.value else {
        problems.wrong_type(node, T::WHAT, &format!("`{}`", words.first().unwrap_or(&"")));
        return None;
    };
    if let Some((_, value)) = choices.iter().find(|(word, _)| word == text) {
        return Some(*value);
    }
    let diagnostic = Diagnostic::new(node.place.clone(), format!("`{}` is not {}", shortened(text), T::WHAT))
        .help(format!("valid words: {}", listed(&words)));
    problems.add(match nearest(text, words) {
        Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
        None => diagnostic.label("no such word"),
    });
    None
}

macro_rules! read_by_word {
    ($type:ty) => {
        impl Read for $type {
            fn read(node: &Node, problems: &mut Problems<'_>) -> Option<$type> {
                read_choice(node, problems)
            }
        }
    };
}

macro_rules! choices {
    ($( $type:ty, $what:literal, [$( $word:literal => $value:expr ),* $(,)?]; )*) => {$(
        impl Choice for $type {
            const WHAT: &'static str = $what;
            fn words() -> Vec<(&'static str, Self)> {
                vec![$(($word, $value)),*]
            }
        }
        read_by_word!($type);
    )*};
}

impl Choice for AuthEvents {
    const WHAT: &'static str = "a choice of events";

    fn words() -> Vec<(&'static str, AuthEvents)> {
        AuthEvents::words().collect()
    }
}

read_by_word!(AuthEvents);

impl Choice for NotifyEvent {
    const WHAT: &'static str = "a NOTIFY event";

    fn words() -> Vec<(&'static str, NotifyEvent)> {
        NotifyEvent::ALL.iter().map(|&event| (event.word(), event)).collect()
    }
}

read_by_word!(NotifyEvent);

choices! {
    ArenaKind, "a kind of file system", ["tmpfs" => ArenaKind::Tmpfs, "ramfs" => ArenaKind::Ramfs];
    Preset, "a preset", [
        "noop" => Preset::Noop, "sample" => Preset::Sample, "scanner" => Preset::Scanner,
        "pathological" => Preset::Pathological, "well-behaved" => Preset::WellBehaved,
        "worst-enemy" => Preset::WorstEnemy,
    ];
    ReactTo, "a value of `react_to`", [
        "workload" => ReactTo::Workload, "peers" => ReactTo::Peers, "self" => ReactTo::Own,
        "all" => ReactTo::All,
    ];
    Via, "a value of `via`", ["path" => Via::Path, "descriptor" => Via::Descriptor];
    Cache, "a value of `cache`", ["off" => Cache::Off, "on" => Cache::On];
    When, "a value of `when`", ["before" => When::Before, "after" => When::After];
    ExecProgram, "a value of `program`", [
        "static" => ExecProgram::Static, "dynamic" => ExecProgram::Dynamic,
        "script" => ExecProgram::Script,
    ];
    RawSpawn, "a value of `spawn`", [
        "none" => RawSpawn(None), "static" => RawSpawn(Some(ExecProgram::Static)),
        "dynamic" => RawSpawn(Some(ExecProgram::Dynamic)), "script" => RawSpawn(Some(ExecProgram::Script)),
    ];
}

impl Choice for BackendChoice {
    const WHAT: &'static str = "a backend";

    fn words() -> Vec<(&'static str, BackendChoice)> {
        BackendChoice::ALL.map(|choice| (choice.name(), choice)).to_vec()
    }
}

impl Read for BackendChoice {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<BackendChoice> {
        read_choice(node, problems)
    }
}

/// A program that a client runs, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RawSpawn(pub(crate) Option<ExecProgram>);

impl JsonSchema for RawSpawn {
    fn schema_name() -> Cow<'static, str> {
        "Spawn".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let program = generator.subschema_for::<ExecProgram>();
        json_schema!({
            "description": "A program of the arena, or `none`.",
            "anyOf": [{ "const": "none", "description": "Runs nothing." }, program]
        })
    }
}

/// When a client answers without having finished: a percentage of the deadline, or `never`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AnswerBy(pub(crate) Option<u8>);

type Percent = Bounded<1, 99>;

impl Read for AnswerBy {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<AnswerBy> {
        match &node.value {
            Value::Text(text) if text == "never" => Some(AnswerBy(None)),
            Value::Integer(_) => Percent::read(node, problems).map(|percent| AnswerBy(Some(percent.get()))),
            _ => {
                problems.wrong_type(node, "`never` or a percentage from 1 to 99", "`never`, or `80`");
                None
            }
        }
    }
}

impl JsonSchema for AnswerBy {
    fn schema_name() -> Cow<'static, str> {
        "AnswerBy".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let percent = generator.subschema_for::<Percent>();
        json_schema!({
            "description": "A percentage of the deadline, or `never`.",
            "anyOf": [{ "const": "never", "description": "Lets the deadline hit." }, percent]
        })
    }
}

/// The version of the lab file's schema; 1 is the only one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SchemaVersion;

impl Read for SchemaVersion {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<SchemaVersion> {
        match node.value {
            Value::Integer(1) => Some(SchemaVersion),
            Value::Integer(version) => {
                let diagnostic =
                    Diagnostic::new(node.place.clone(), format!("schema version {version} is not known"))
                        .label("this lab reads version 1")
                        .help(
                            "write `schema: 1`, or use the version of the lab that the file was written for",
                        );
                problems.add(diagnostic);
                None
            }
            _ => {
                problems.wrong_type(node, "the schema's version", "`schema: 1`");
                None
            }
        }
    }
}

impl JsonSchema for SchemaVersion {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SchemaVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "const": 1 })
    }
}
