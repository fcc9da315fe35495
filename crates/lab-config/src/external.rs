//! The products under test of a lab: as written, as meant, and written out.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::{self, Write},
    ops::Range,
};

use lab_model::{ArenaKind, ClientId, External, PrivateFolder, Ready, Recognized, Span};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{
    checks::{CLIENT_ID_BYTES_MAX, RESERVED_IDS, mended_word, path_mistake},
    diagnostic::Diagnostic,
    read::{At, Field, List, Problems, Read, records},
    tree::{Node, Value, shortened},
    write::{Names, Scalar, word},
};

/// The longest wait for a product to become ready.
const READY_WITHIN_MAX: Span = Span::from_secs(600);
/// The wait for a product to become ready, when the lab file does not say.
const READY_WITHIN: Span = Span::from_secs(10);
/// The longest text in a product's arguments, environment or files, in bytes.
const TEXT_BYTES_MAX: usize = 65_536;

records! {
    /// A product under test that the lab did not build. The lab starts it inside its own namespaces, knows its
    /// processes and all that descend from them, and reports what it did and what it cost. fanotify only.
    #[schemars(rename = "External")]
    "an external product" RawExternal {
        /// The product's name in this lab: as a client's, and distinct from all of them.
        #[schemars(extend("pattern" = "^[a-z]([a-z0-9-]{0,30}[a-z0-9])?$"))]
        id: String,
        /// The program, by its absolute path, and its arguments. It has to stay in the foreground, or leave
        /// processes behind that `process` knows. `{arena}` stands for the arena's path.
        #[schemars(extend("minItems" = 1))]
        start: List<String>,
        /// Names and values for its environment. `{arena}` stands for the arena's path.
        environment [default]: TextMap,
        /// How to know that it takes part: `mark` (it has a fanotify mark on the arena), `started` (it runs),
        /// `{ file: /run/x.sock }` (a file or socket is there), `{ line: text }` (it has written a line with
        /// this text to its output).
        #[schemars(extend("default" = "mark"))]
        ready [default]: RawReady,
        /// How long that may take.
        #[schemars(extend("default" = "10s"))]
        ready_within [default]: Span,
        /// How to know processes of it that do not descend from the one that was started.
        process [default]: RawRecognized,
        /// The kind of file system that it needs the arena to be: some products choose by kind what to watch,
        /// and the arena is then the only one of its kind. `ramfs` has no limit of its own on its size.
        arena [default]: ArenaKind,
        /// Folders that it gets for itself: what is written there vanishes with the run.
        private [default]: List<RawPrivate>,
    }

    /// How a product's processes are known; all that is given has to fit.
    #[schemars(rename = "Process")]
    "`process`" RawRecognized {
        /// The executable, by its absolute path.
        path [default]: String,
        /// The signing ID of its code (macOS only).
        signing_id [default]: String,
        /// The team ID of its signature (macOS only).
        team_id [default]: String,
    }

    /// A folder that the product gets for itself: a file system in memory over the folder of that name, seen in
    /// the lab only.
    #[schemars(rename = "PrivateFolder")]
    "a private folder" RawPrivate {
        /// The folder, by its absolute path; it has to exist on this machine.
        path: String,
        /// A folder of this machine whose files are copied in first, by its absolute path.
        from [default]: String,
        /// Folders to make in it.
        folders [default]: List<String>,
        /// Files to write in it: path and content. `{arena}` in the content stands for the arena's path.
        files [default]: TextMap,
    }

    /// A sign that the product is ready; exactly one of its keys.
    #[schemars(rename = "ReadySign", extend("minProperties" = 1, "maxProperties" = 1))]
    "`ready`" RawReadySign {
        /// A file or socket that appears, by its absolute path.
        file [default]: String,
        /// A text in a line that the product writes to its output.
        line [default]: String,
    }
}

/// Texts by name.
#[derive(Clone, Debug)]
pub(crate) struct TextMap(Vec<(At<String>, At<String>)>);

impl Read for TextMap {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<TextMap> {
        let Value::Map(nodes) = &node.value else {
            problems.wrong_type(node, "a mapping from names to texts", "`{ name: \"some text\" }`");
            return None;
        };
        let mut entries: Vec<(At<String>, At<String>)> = Vec::new();
        for (name, text) in nodes {
            let (Some(name), Some(text)) =
                (At::<String>::read(name, problems), At::<String>::read(text, problems))
            else {
                continue;
            };
            if let Some((first, _)) = entries.iter().find(|(other, _)| other.value == name.value) {
                let message = format!("`{}` is given twice", shortened(&name.value));
                let diagnostic = Diagnostic::new(name.place.clone(), message)
                    .label("given again here")
                    .related(first.place.clone(), "first given here")
                    .help("remove one of the two");
                problems.add(diagnostic);
            } else if text.value.len() > TEXT_BYTES_MAX || text.value.contains('\0') {
                let message = format!("the text of `{}` cannot be used", shortened(&name.value));
                let diagnostic = Diagnostic::new(text.place.clone(), message)
                    .label("expected at most 65536 bytes, none of them zero");
                problems.add(diagnostic);
            } else {
                entries.push((name, text));
            }
        }
        Some(TextMap(entries))
    }
}

impl JsonSchema for TextMap {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Texts".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "additionalProperties": { "type": "string" } })
    }
}

/// The sign of being ready as it may be written: a word, or a mapping.
#[derive(Clone, Debug)]
pub(crate) enum RawReady {
    Word(Ready),
    Sign(RawReadySign),
}

impl Read for RawReady {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<RawReady> {
        match &node.value {
            Value::Text(text) if text == "mark" => Some(RawReady::Word(Ready::Mark)),
            Value::Text(text) if text == "started" => Some(RawReady::Word(Ready::Started)),
            Value::Map(_) => RawReadySign::read(node, problems).map(RawReady::Sign),
            _ => {
                let expected = "`mark`, `started` or a mapping";
                problems.wrong_type(node, expected, "`mark`, or `{ file: /run/product.sock }`");
                None
            }
        }
    }
}

impl JsonSchema for RawReady {
    fn schema_name() -> Cow<'static, str> {
        "Ready".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let sign = generator.subschema_for::<RawReadySign>();
        json_schema!({
            "description": "How to know that a product takes part.",
            "anyOf": [
                { "const": "mark", "description": "It has a fanotify group with a mark on the arena." },
                { "const": "started", "description": "It runs." },
                sign
            ]
        })
    }
}

/// The products that are good; `taken` are the IDs of clients and daemons.
pub(crate) fn externals(
    field: &Field<List<RawExternal>>,
    taken: &[String],
    problems: &mut Problems<'_>,
) -> Option<Vec<External>> {
    let list = match field {
        Field::Absent => return Some(Vec::new()),
        Field::Bad => return None,
        Field::Given(at) => &at.value,
    };
    let mut ids = BTreeMap::new();
    let mut kind: Option<At<ArenaKind>> = None;
    let mut externals = Vec::new();
    for at in &list.items {
        let raw = &at.value;
        if let Some(arena) = raw.arena.given() {
            match &kind {
                Some(first) if first.value != arena.value => {
                    let message = "two products need the arena to be of different kinds";
                    let diagnostic = Diagnostic::new(arena.place.clone(), message)
                        .label("another kind here")
                        .related(first.place.clone(), "one kind here")
                        .help("a lab has one arena: put the products into labs of their own");
                    problems.add(diagnostic);
                }
                _ => kind = Some(arena.clone()),
            }
        }
        externals.push(external(raw, taken, &mut ids, problems));
    }
    if list.complete { externals.into_iter().collect() } else { None }
}

fn external(
    raw: &RawExternal,
    taken: &[String],
    ids: &mut BTreeMap<String, Range<usize>>,
    problems: &mut Problems<'_>,
) -> Option<External> {
    let id = raw.id.given().and_then(|id| external_id(id, taken, ids, problems));
    let start = raw.start.given().and_then(|start| command(start, problems));
    let environment = environment(&raw.environment, problems);
    let ready = ready(&raw.ready, problems);
    let process = raw.process.value().map(|process| recognized(process, problems)).unwrap_or_default();
    let private = raw.private.value().map_or_else(
        || Some(Vec::new()),
        |list| list.items.iter().map(|at| private_folder(&at.value, problems)).collect(),
    );
    Some(External {
        id: id?,
        start: start?,
        environment,
        ready: ready?,
        ready_within: ready_within(&raw.ready_within, problems),
        process,
        arena: raw.arena.value().copied(),
        private: private?,
    })
}

fn external_id(
    written: &At<String>,
    taken: &[String],
    ids: &mut BTreeMap<String, Range<usize>>,
    problems: &mut Problems<'_>,
) -> Option<ClientId> {
    let text = &written.value;
    let wrong = |message: String| Diagnostic::new(written.place.clone(), message);
    let taken = taken.contains(text) || RESERVED_IDS.contains(&text.as_str());
    let diagnostic = if let Some(first) = ids.get(text) {
        wrong(format!("two products have the ID `{text}`"))
            .label("used again here")
            .related(first.clone(), "first used here")
            .help("give each product an ID of its own")
    } else if taken {
        wrong(format!("no product can be named `{text}`"))
            .label("the lab and its reports use this name for something else")
            .help("choose another name")
    } else if let Ok(id) = text.parse::<ClientId>() {
        ids.insert(text.clone(), written.place.clone());
        return Some(id);
    } else {
        let diagnostic = wrong(format!("`{}` is not a product's ID", shortened(text)))
            .label("expected 1 to 32 lower-case letters, digits and hyphens, a letter first");
        match mended_word(text, CLIENT_ID_BYTES_MAX) {
            Some(mended) => diagnostic.help(format!("write `{mended}`")),
            None => diagnostic.help("write for example `product`"),
        }
    };
    problems.add(diagnostic);
    None
}

fn command(start: &At<List<String>>, problems: &mut Problems<'_>) -> Option<Vec<String>> {
    let Some(program) = start.value.items.first() else {
        let diagnostic = Diagnostic::new(start.place.clone(), "`start` names no program")
            .label("nothing to start")
            .help("write for example `[/usr/sbin/product, --foreground]`");
        problems.add(diagnostic);
        return None;
    };
    absolute(program, problems)?;
    if !start.value.complete {
        return None;
    }
    Some(start.value.items.iter().map(|at| at.value.clone()).collect())
}

/// A path from the machine's root: nothing is searched for.
fn absolute(at: &At<String>, problems: &mut Problems<'_>) -> Option<String> {
    let path = at.value.as_str();
    let plain = path
        .strip_prefix('/')
        .is_some_and(|rest| rest.split('/').all(|part| !part.is_empty() && part != "." && part != ".."));
    if plain && path.len() <= 4095 && !path.contains(char::is_control) {
        return Some(path.to_owned());
    }
    let diagnostic = Diagnostic::new(at.place.clone(), format!("`{}` is not a whole path", shortened(path)))
        .label("expected plain names from `/` on")
        .help("write the whole path, such as `/usr/sbin/product`");
    problems.add(diagnostic);
    None
}

fn environment(field: &Field<TextMap>, problems: &mut Problems<'_>) -> Vec<(String, String)> {
    let Some(TextMap(entries)) = field.value() else { return Vec::new() };
    let mut environment = Vec::new();
    for (name, text) in entries {
        if name.value.is_empty() || name.value.contains(['=', '\0']) {
            let message = format!("`{}` cannot name a variable", shortened(&name.value));
            problems.add(Diagnostic::new(name.place.clone(), message).label("expected a name without `=`"));
        }
        environment.push((name.value.clone(), text.value.clone()));
    }
    environment
}

fn ready(field: &Field<RawReady>, problems: &mut Problems<'_>) -> Option<Ready> {
    let at = match field {
        Field::Absent => return Some(Ready::Mark),
        Field::Bad => return None,
        Field::Given(at) => at,
    };
    let sign = match &at.value {
        RawReady::Word(ready) => return Some(ready.clone()),
        RawReady::Sign(sign) => sign,
    };
    match (&sign.file, &sign.line) {
        (Field::Given(file), Field::Absent) => absolute(file, problems).map(Ready::File),
        (Field::Absent, Field::Given(line)) if !line.value.is_empty() => {
            Some(Ready::Line(line.value.clone()))
        }
        (Field::Bad, _) | (_, Field::Bad) => None,
        _ => {
            let diagnostic = Diagnostic::new(at.place.clone(), "one sign tells that the product is ready")
                .label("expected `file` or `line`")
                .help("write for example `ready: { line: \"listening\" }`, or `ready: mark`");
            problems.add(diagnostic);
            None
        }
    }
}

fn ready_within(field: &Field<Span>, problems: &mut Problems<'_>) -> Span {
    let Some(at) = field.given() else { return READY_WITHIN };
    if at.value.is_zero() || at.value > READY_WITHIN_MAX {
        let message = format!("a wait of {} for a product is no wait", at.value);
        problems
            .add(Diagnostic::new(at.place.clone(), message).label("expected more than 0s and at most 10m"));
    }
    at.value
}

fn recognized(raw: &RawRecognized, problems: &mut Problems<'_>) -> Recognized {
    Recognized {
        path: raw.path.given().and_then(|path| absolute(path, problems)),
        signing_id: raw.signing_id.value().cloned(),
        team_id: raw.team_id.value().cloned(),
    }
}

fn private_folder(raw: &RawPrivate, problems: &mut Problems<'_>) -> Option<PrivateFolder> {
    let path = raw.path.given().and_then(|path| absolute(path, problems));
    let from = raw.from.given().and_then(|from| absolute(from, problems));
    let mut relative = |at: &At<String>| {
        if let Some(why) = path_mistake(&at.value) {
            let message = format!("`{}` does not stay in the folder", shortened(&at.value));
            let diagnostic = Diagnostic::new(at.place.clone(), message)
                .label(why)
                .help("write a path below the private folder, such as `rules.d/10-allow.rules`");
            problems.add(diagnostic);
        }
        at.value.clone()
    };
    let folders = raw.folders.value().map(|list| list.items.iter().map(&mut relative).collect());
    let files = raw.files.value().map(|TextMap(entries)| {
        entries.iter().map(|(name, text)| (relative(name), text.value.clone())).collect()
    });
    Some(PrivateFolder {
        path: path?,
        from,
        folders: folders.unwrap_or_default(),
        files: files.unwrap_or_default(),
    })
}

/// Writes a product as an item of the list.
pub(crate) fn write_external(out: &mut String, external: &External) -> fmt::Result {
    writeln!(out, "  - id: {}", Scalar(external.id.as_str()))?;
    writeln!(out, "    start: {}", Names(&external.start))?;
    write_texts(out, "    environment", &external.environment)?;
    match &external.ready {
        Ready::Mark => writeln!(out, "    ready: mark")?,
        Ready::Started => writeln!(out, "    ready: started")?,
        Ready::File(path) => writeln!(out, "    ready: {{ file: {} }}", Scalar(path))?,
        Ready::Line(text) => writeln!(out, "    ready: {{ line: {} }}", Scalar(text))?,
    }
    writeln!(out, "    ready_within: {}", external.ready_within)?;
    let process = &external.process;
    let known = [("path", &process.path), ("signing_id", &process.signing_id), ("team_id", &process.team_id)];
    let known: Vec<String> =
        known.iter().filter_map(|(key, text)| Some(format!("{key}: {}", Scalar(text.as_deref()?)))).collect();
    if !known.is_empty() {
        writeln!(out, "    process: {{ {} }}", known.join(", "))?;
    }
    if let Some(arena) = external.arena {
        writeln!(out, "    arena: {}", word(arena))?;
    }
    if !external.private.is_empty() {
        writeln!(out, "    private:")?;
    }
    for folder in &external.private {
        writeln!(out, "      - path: {}", Scalar(&folder.path))?;
        if let Some(from) = &folder.from {
            writeln!(out, "        from: {}", Scalar(from))?;
        }
        if !folder.folders.is_empty() {
            writeln!(out, "        folders: {}", Names(&folder.folders))?;
        }
        write_texts(out, "        files", &folder.files)?;
    }
    Ok(())
}

fn write_texts(out: &mut String, key: &str, texts: &[(String, String)]) -> fmt::Result {
    if texts.is_empty() {
        return Ok(());
    }
    let indent = key.len() - key.trim_start().len() + 2;
    writeln!(out, "{key}:")?;
    texts
        .iter()
        .try_for_each(|(name, text)| writeln!(out, "{:indent$}{}: {}", "", Scalar(name), Scalar(text)))
}
