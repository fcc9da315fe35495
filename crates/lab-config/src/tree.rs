//! The YAML document as a tree of nodes that know their place, duplicates of keys kept.
//!
//! Typed deserialization stops at the first mistake; a tree is walked to its end, so that all mistakes of a
//! lab file are found in one run. This module decides nothing about what a lab file may hold.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use serde_saphyr::{
    Location, Spanned,
    options::{DuplicateKeyPolicy, MergeKeyPolicy, NonFiniteFloatPolicy},
};

use crate::{diagnostic::Diagnostic, lines::Lines};

/// The most nested lists and mappings; a lab file needs six.
const DEPTH_MAX: usize = 24;

/// The most nodes of a document, aliases written out.
const NODES_MAX: usize = 50_000;

/// One value of the document.
#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) place: Range<usize>,
    pub(crate) value: Value,
}

/// What a node holds; no field of a lab file is a number with a fraction, so its value is not kept.
#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Integer(i128),
    Float,
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Node, Node)>),
}

impl Node {
    /// What the node is, as a message says it.
    pub(crate) fn describe(&self, source: &str) -> String {
        match &self.value {
            Value::Null => "nothing".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Integer(_) | Value::Float => {
                format!("the number {}", shortened(&source[self.place.clone()]))
            }
            Value::Text(text) => format!("the text `{}`", shortened(text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }
}

/// A text short enough to be quoted in a message.
pub(crate) fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    if text.chars().count() <= CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(CHARS_MAX).chain(['…']).collect()
}

/// Parses one YAML document; a mistake of YAML itself ends it.
pub(crate) fn parse(source: &str) -> Result<Node, Box<Diagnostic>> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEPTH_MAX,
            flow_nesting_limit: DEPTH_MAX * 2,
            max_nodes: NODES_MAX,
            max_events: 4 * NODES_MAX,
            max_documents: 2,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: NODES_MAX,
            max_replay_stack_depth: DEPTH_MAX,
        },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::AsOrdinary,
        non_finite_float_policy: NonFiniteFloatPolicy::PassThrough,
        strict_booleans: true,
        underscored_numbers_as_strings: true,
        leading_zero_numbers_as_strings: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options::<Spanned<RawNode>>(source, options)
        .map(|node| Built { source, lines: Lines::of(source) }.node(node))
        .map_err(|error| Box::new(syntax(source, &error)))
}

/// Turns the library's error into a mistake at its place, with what mends it.
fn syntax(source: &str, error: &serde_saphyr::Error) -> Diagnostic {
    let error = error.without_snippet();
    let lines = Lines::of(source);
    let place = error.location().map_or(0..0, |location| place_of(source, &lines, &location));
    let place = if place.is_empty() { place.start..one_char_on(source, place.start) } else { place };
    let text = error.to_string();
    let text = text.split(" at line ").next().unwrap_or(&text).trim_end_matches([' ', ',', '.', ':']);
    let message = format!("not readable as YAML: {text}");
    let line_place = lines.place(lines.of_byte(place.start));
    let (line_start, line) = (line_place.start, &source[line_place]);
    let indentation = &line[..line.len() - line.trim_start().len()];
    match error {
        serde_saphyr::Error::MultipleDocuments { .. } => {
            Diagnostic::new(place, "a lab file is one YAML document; a second one begins here")
                .help("remove the `---` and what follows, or make a file of its own of it")
        }
        serde_saphyr::Error::UnsupportedTag { .. } => {
            // The library places the tagged value; the tag stands before it.
            let tag = source[line_start..place.start].rfind('!').map_or(place.start, |at| line_start + at);
            Diagnostic::new(tag..place.end, "a lab file has no YAML tags")
                .help("remove the word that begins with `!`")
        }
        serde_saphyr::Error::UnknownAnchor { .. } => Diagnostic::new(place, message)
            .help("`*name` repeats what an earlier `&name` marks; put text that begins with `*` in quotes"),
        serde_saphyr::Error::Budget { .. } | serde_saphyr::Error::AliasReplayLimitExceeded { .. } => {
            Diagnostic::new(place, format!("more than a lab file may hold: {text}"))
        }
        _ if indentation.contains('\t') => {
            Diagnostic::new(place, message).help("indent with spaces: YAML allows no tabs there")
        }
        _ if text.contains("mapping values") => Diagnostic::new(place, message)
            .help("put text that contains `: ` in quotes, and indent the keys of one mapping alike"),
        _ if text.contains("flow ") => {
            Diagnostic::new(place, message).help("is a `{`, a `[` or a quote above this place left open?")
        }
        _ if text.contains("unexpected character") => {
            Diagnostic::new(place, message).help("put text that begins with a special sign in quotes")
        }
        _ => Diagnostic::new(place, message),
    }
}

fn one_char_on(source: &str, at: usize) -> usize {
    source[at..].chars().next().filter(|c| !matches!(c, '\n' | '\r')).map_or(at, |c| at + c.len_utf8())
}

/// The bytes of the source that a location covers.
fn place_of(source: &str, lines: &Lines<'_>, location: &Location) -> Range<usize> {
    let as_usize = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    let span = location.span();
    let start = match span.byte_offset() {
        Some(start) => as_usize(start),
        None => lines.byte(as_usize(location.line()), as_usize(location.column())),
    };
    let start = source.floor_char_boundary(start);
    let length = span.byte_len().map_or(0, as_usize);
    let end = source.floor_char_boundary(start.saturating_add(length)).max(start);
    let trimmed = source[start..end].trim_end();
    start..start + trimmed.len()
}

/// The tree as the YAML library hands it over.
enum RawNode {
    Null,
    Bool(bool),
    Integer(i128),
    Float,
    Text(String),
    List(Vec<Spanned<RawNode>>),
    Map(Vec<(Spanned<RawNode>, Spanned<RawNode>)>),
}

/// Brings the library's tree into ours.
struct Built<'a> {
    source: &'a str,
    lines: Lines<'a>,
}

impl Built<'_> {
    fn node(&self, raw: Spanned<RawNode>) -> Node {
        let place = place_of(self.source, &self.lines, &raw.defined);
        let value = match raw.value {
            RawNode::Null => Value::Null,
            RawNode::Bool(value) => Value::Bool(value),
            RawNode::Integer(value) => Value::Integer(value),
            RawNode::Float => Value::Float,
            RawNode::Text(text) => Value::Text(text),
            RawNode::List(items) => Value::List(items.into_iter().map(|item| self.node(item)).collect()),
            RawNode::Map(entries) => Value::Map(
                entries.into_iter().map(|(key, value)| (self.node(key), self.node(value))).collect(),
            ),
        };
        Node { place: self.whole(place, &value), value }
    }

    /// The library places a list or mapping at its first sign only; this extends the place to its end.
    fn whole(&self, place: Range<usize>, value: &Value) -> Range<usize> {
        let (first, last) = match value {
            Value::List(items) => (items.first(), items.last()),
            Value::Map(entries) => (entries.first().map(|(key, _)| key), entries.last().map(|(_, v)| v)),
            _ => return place,
        };
        let end = last.map_or(place.end, |node| node.place.end).max(place.end);
        if place.is_empty() {
            let start = first.map_or(place.start, |node| node.place.start);
            return start..end.max(start);
        }
        let rest = &self.source[end..];
        let closing = rest.trim_start_matches([' ', ',', '\n', '\r', '\t']);
        let closed = closing.starts_with([']', '}']);
        place.start..if closed { end + (rest.len() - closing.len()) + 1 } else { end }
    }
}

impl<'de> Deserialize<'de> for RawNode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<RawNode, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }
}

struct NodeVisitor;

impl<'de> Visitor<'de> for NodeVisitor {
    type Value = RawNode;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<RawNode, E> {
        Ok(RawNode::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<RawNode, E> {
        Ok(RawNode::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<RawNode, D::Error> {
        deserializer.deserialize_any(NodeVisitor)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<RawNode, E> {
        Ok(RawNode::Bool(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<RawNode, E> {
        Ok(RawNode::Integer(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<RawNode, E> {
        Ok(RawNode::Integer(value.into()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<RawNode, E> {
        Ok(RawNode::Integer(value))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<RawNode, E> {
        Ok(i128::try_from(value).map_or_else(|_| RawNode::Text(value.to_string()), RawNode::Integer))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<RawNode, E> {
        Ok(RawNode::Float)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<RawNode, E> {
        Ok(RawNode::Text(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<RawNode, E> {
        Ok(RawNode::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<RawNode, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(RawNode::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<RawNode, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = access.next_entry()? {
            entries.push(entry);
        }
        Ok(RawNode::Map(entries))
    }
}
