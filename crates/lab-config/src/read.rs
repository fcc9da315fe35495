//! Reading typed values off the tree, going on after every mistake.

use std::{borrow::Cow, collections::BTreeMap, ops::Range};

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::{
    diagnostic::{DIAGNOSTICS_MAX, Diagnostic},
    nearest::nearest,
    tree::{Node, Value, shortened},
};

/// Collects mistakes while a lab file is read.
pub(crate) struct Problems<'a> {
    pub(crate) source: &'a str,
    pub(crate) found: Vec<Diagnostic>,
    pub(crate) more: usize,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(source: &'a str) -> Problems<'a> {
        Problems { source, found: Vec::new(), more: 0 }
    }

    pub(crate) fn add(&mut self, diagnostic: Diagnostic) {
        if self.is_full() {
            self.more += 1;
        } else {
            self.found.push(diagnostic);
        }
    }

    /// True when further mistakes are only counted, so that their help need not be worked out.
    pub(crate) fn is_full(&self) -> bool {
        self.found.len() >= DIAGNOSTICS_MAX
    }

    /// Adds that `node` is not what was expected, with one example of what would be.
    pub(crate) fn wrong_type(&mut self, node: &Node, expected: &str, example: &str) {
        let found = node.describe(self.source);
        let diagnostic = Diagnostic::new(node.place.clone(), format!("expected {expected}, found {found}"))
            .label(format!("expected {expected}"))
            .help(format!("write for example {example}"));
        self.add(diagnostic);
    }
}

/// The most items of a list of loads or expectations.
const LIST_ITEMS_MAX: usize = 256;

/// A value of a lab file, read from the tree.
pub(crate) trait Read: Sized {
    /// Reads the value; adds the mistakes it finds and gives `None` when no value remains.
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<Self>;
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Range<usize>,
}

impl<T: Read> At<T> {
    pub(crate) fn read(node: &Node, problems: &mut Problems<'_>) -> Option<At<T>> {
        T::read(node, problems).map(|value| At { value, place: node.place.clone() })
    }
}

/// A field of a mapping: absent, there but wrong (and reported so), or there with a value.
#[derive(Clone, Debug, Default)]
pub(crate) enum Field<T> {
    #[default]
    Absent,
    Bad,
    Given(At<T>),
}

impl<T> Field<T> {
    pub(crate) fn given(&self) -> Option<&At<T>> {
        match self {
            Field::Given(at) => Some(at),
            Field::Absent | Field::Bad => None,
        }
    }

    pub(crate) fn value(&self) -> Option<&T> {
        self.given().map(|at| &at.value)
    }
}

impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A list; an item that is wrong leaves `complete` false and is reported.
#[derive(Clone, Debug)]
pub(crate) struct List<T> {
    pub(crate) items: Vec<At<T>>,
    pub(crate) complete: bool,
}

impl<T: Read> List<T> {
    /// Reads at most `items_max` items.
    pub(crate) fn of(nodes: &[Node], items_max: usize, problems: &mut Problems<'_>) -> List<T> {
        if let Some(first_too_many) = nodes.get(items_max) {
            let message = format!("the list has {} items, at most {} are allowed", nodes.len(), items_max);
            problems.add(Diagnostic::new(first_too_many.place.clone(), message).label("the first too many"));
        }
        let read = nodes.iter().take(items_max);
        let items: Vec<At<T>> = read.filter_map(|node| At::read(node, problems)).collect();
        List { complete: items.len() == nodes.len(), items }
    }
}

impl<T: Read> Read for List<T> {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<List<T>> {
        match &node.value {
            Value::List(nodes) => Some(List::of(nodes, LIST_ITEMS_MAX, problems)),
            _ => {
                problems.wrong_type(node, "a list", "`- …` on a line of its own for each item");
                None
            }
        }
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("List_of_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = <Vec<T>>::json_schema(generator);
        schema.insert("maxItems".to_owned(), LIST_ITEMS_MAX.into());
        schema
    }
}

/// The entries of a mapping, its keys checked.
pub(crate) struct Fields<'a> {
    entries: BTreeMap<&'a str, &'a Node>,
    place: Range<usize>,
    /// Valid keys that an unknown key was probably meant to be: not to be reported as missing as well.
    misspelt: Vec<String>,
}

impl<'a> Fields<'a> {
    /// Checks the keys of a mapping against the valid ones; `what` names the mapping in messages.
    pub(crate) fn of(
        node: &'a Node,
        what: &str,
        keys: &[&str],
        problems: &mut Problems<'_>,
    ) -> Option<Fields<'a>> {
        let Value::Map(entries) = &node.value else {
            let message =
                format!("expected {what} to be a mapping, found {}", node.describe(problems.source));
            problems.add(
                Diagnostic::new(node.place.clone(), message)
                    .label("expected a mapping")
                    .help(format!("its keys are {}", listed(keys))),
            );
            return None;
        };
        let mut known: BTreeMap<&str, &Node> = BTreeMap::new();
        let mut places: BTreeMap<&str, Range<usize>> = BTreeMap::new();
        let mut misspelt = Vec::new();
        for (key, value) in entries {
            let Value::Text(name) = &key.value else {
                let written = problems.source[key.place.clone()].to_owned();
                problems.add(unknown_key(key.place.clone(), &written, what, keys, None));
                continue;
            };
            let name = name.as_str();
            if let Some(first) = places.get(name) {
                let message = format!("the key `{}` is given twice in {what}", shortened(name));
                let diagnostic = Diagnostic::new(key.place.clone(), message)
                    .label("given again here")
                    .related(first.clone(), "first given here")
                    .help("remove one of the two");
                problems.add(diagnostic);
                continue;
            }
            places.insert(name, key.place.clone());
            if keys.contains(&name) {
                known.insert(name, value);
            } else {
                let near = if problems.is_full() { None } else { nearest(name, keys.iter().copied()) };
                problems.add(unknown_key(key.place.clone(), name, what, keys, near));
                misspelt.extend(near.map(str::to_owned));
            }
        }
        if known.is_empty() && !entries.is_empty() {
            misspelt = keys.iter().map(|key| (*key).to_owned()).collect();
        }
        Some(Fields { entries: known, place: node.place.clone(), misspelt })
    }

    pub(crate) fn optional<T: Read>(&self, key: &str, problems: &mut Problems<'_>) -> Field<T> {
        match self.entries.get(key) {
            None if self.is_misspelt(key) => Field::Bad,
            None => Field::Absent,
            Some(node) => At::read(node, problems).map_or(Field::Bad, Field::Given),
        }
    }

    fn is_misspelt(&self, key: &str) -> bool {
        self.misspelt.iter().any(|meant| meant == key)
    }

    pub(crate) fn require(&self, key: &str, what: &str, problems: &mut Problems<'_>) {
        if !self.entries.contains_key(key) && !self.is_misspelt(key) {
            let diagnostic =
                Diagnostic::new(self.place.clone(), format!("{what} has no `{key}`, which is required"))
                    .help(format!("add `{key}: …`; `lab explain {key}` tells what it means"));
            problems.add(diagnostic);
        }
    }
}

fn unknown_key(place: Range<usize>, name: &str, what: &str, keys: &[&str], near: Option<&str>) -> Diagnostic {
    let diagnostic = Diagnostic::new(place, format!("unknown key `{}` in {what}", shortened(name)));
    match near {
        Some(near) => diagnostic.label(format!("did you mean `{near}`?")),
        None => diagnostic.label("no such key"),
    }
    .help(format!("valid keys: {}", listed(keys)))
}

/// Words as a message lists them.
pub(crate) fn listed(words: &[&str]) -> String {
    words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

/// The key that a field stands for: its name, without what marks a word that is Rust's own.
pub(crate) const fn key(field: &'static str) -> &'static str {
    if let [b'r', b'#', rest @ ..] = field.as_bytes()
        && let Ok(key) = std::str::from_utf8(rest)
    {
        return key;
    }
    field
}

/// Declares the mappings of a lab file: each becomes a struct, a part of the JSON Schema and a reader that
/// checks its keys. A field marked `[default]` may be left out.
macro_rules! records {
    ($(
        $(#[$meta:meta])*
        $what:literal $name:ident {
            $( $(#[$field_meta:meta])* $field:ident $([$optional:ident])? : $type:ty, )*
        }
    )*) => {$(
        #[derive(Clone, Debug, schemars::JsonSchema)]
        #[schemars(deny_unknown_fields)]
        $(#[$meta])*
        pub(crate) struct $name {
            $( $(#[$field_meta])* $(#[schemars($optional)])? pub(crate) $field: $crate::read::Field<$type>, )*
        }

        impl $crate::read::Read for $name {
            fn read(node: &$crate::tree::Node, problems: &mut $crate::read::Problems<'_>) -> Option<$name> {
                const KEYS: &[&str] = &[$($crate::read::key(stringify!($field))),*];
                let fields = $crate::read::Fields::of(node, $what, KEYS, problems)?;
                $(
                    if stringify!($($optional)?).is_empty() {
                        fields.require($crate::read::key(stringify!($field)), $what, problems);
                    }
                )*
                Some($name { $( $field: fields.optional($crate::read::key(stringify!($field)), problems), )* })
            }
        }
    )*};
}
pub(crate) use records;
