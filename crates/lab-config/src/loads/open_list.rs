use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::{self, Write},
    ops::Range,
};

use lab_model::{Distribution, LoadKind};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::Kind;
use crate::{
    checks::{check_path, path_mistake},
    diagnostic::Diagnostic,
    distribution::RawBytes,
    limits::Beside,
    read::{At, Field, List, Problems, Read},
    tree::{Node, Value, shortened},
    write::Scalar,
};

/// The most paths of one list, and the most bytes of all of them: a lab is handed to its processes whole.
const PATHS_MAX: usize = 10_000;
const PATH_BYTES_MAX: usize = 512 << 10;

load! {
    /// Opens the files of a recorded list, in its order, again and again. Each is made again in the arena.
    #[schemars(rename = "OpenList", extend("oneOf" = [{ "required": ["list"] }, { "required": ["paths"] }]))]
    "`open_list`" OpenList {
        /// A file with one path a line, relative to the lab file. Empty lines and lines that begin with `#` are
        /// left out, and the slash at a path's beginning does not count.
        list [default]: String,
        /// The paths themselves, in place of `list`.
        paths [default]: RawPaths,
        /// The folder below the arena in which the files are made again.
        #[schemars(extend("default" = "list"))]
        directory [default]: String,
        /// Bytes in a file.
        #[schemars(extend("default" = 4096))]
        file_bytes [default]: RawBytes,
    }
    /// Threads that open, each one file at a time; they take turns in the list.
    #[schemars(extend("default" = 1))]
    workers;
    /// How fast.
    rate;
    /// Stops after this many operations in a phase. Left out, it goes on until the phase ends.
    operations_max;
}

impl Kind for OpenList {
    const WORKERS: u16 = 1;

    fn resolve(at: &At<OpenList>, beside: &Beside<'_>, problems: &mut Problems<'_>) -> Option<LoadKind> {
        let raw = &at.value;
        if let Some(at) = raw.directory.given() {
            check_path(at, problems);
        }
        let paths: Vec<(String, &Range<usize>)> = match (&raw.list, &raw.paths) {
            (Field::Given(list), Field::Absent) => match beside(&list.value) {
                Ok(text) => {
                    if let Some(diagnostic) = unfit(list, &text) {
                        problems.add(diagnostic);
                        return None;
                    }
                    listed(&text).map(|(_, path)| (path, &list.place)).collect()
                }
                Err(why) => {
                    let message = format!("the list `{}` cannot be read: {why}", shortened(&list.value));
                    let diagnostic = Diagnostic::new(list.place.clone(), message)
                        .label("a file beside the lab file")
                        .help("name a file that lies beside the lab file or below, one path a line");
                    problems.add(diagnostic);
                    return None;
                }
            },
            (Field::Absent, Field::Given(paths)) => {
                paths.value.0.items.iter().map(|at| (at.value.clone(), &at.place)).collect()
            }
            (Field::Bad, _) | (_, Field::Bad) => return None,
            _ => {
                let diagnostic = Diagnostic::new(at.place.clone(), "a list is named or written out")
                    .label("expected one of `list` and `paths`")
                    .help("write for example `list: recorded.txt`");
                problems.add(diagnostic);
                return None;
            }
        };
        check_paths(&paths, at, problems);
        Some(LoadKind::OpenList(lab_model::OpenList {
            paths: paths.into_iter().map(|(path, _)| path).collect(),
            directory: raw.directory.value().cloned().unwrap_or_else(|| "list".to_owned()),
            file_bytes: raw.file_bytes.value().map_or(Distribution::Fixed(4096), |bytes| bytes.0),
        }))
    }

    fn write(kind: &LoadKind, out: &mut String) -> fmt::Result {
        let LoadKind::OpenList(list) = kind else { return Ok(()) };
        writeln!(out, "      directory: {}", Scalar(&list.directory))?;
        writeln!(out, "      file_bytes: {}", list.file_bytes)?;
        writeln!(out, "      paths:")?;
        list.paths.iter().try_for_each(|path| writeln!(out, "        - {}", Scalar(path)))
    }
}

/// Paths of a list; more than other lists of a lab file may have.
#[derive(Clone, Debug)]
pub(crate) struct RawPaths(List<String>);

impl Read for RawPaths {
    fn read(node: &Node, problems: &mut Problems<'_>) -> Option<RawPaths> {
        match &node.value {
            Value::List(nodes) => Some(RawPaths(List::of(nodes, PATHS_MAX, problems))),
            _ => {
                problems.wrong_type(node, "a list of paths", "`[etc/passwd, usr/lib/libc.so.6]`");
                None
            }
        }
    }
}

impl JsonSchema for RawPaths {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Paths".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let path = json_schema!({ "type": "string" });
        json_schema!({ "type": "array", "minItems": 1, "maxItems": PATHS_MAX, "items": path })
    }
}

/// The paths of a list as it is recorded, with the numbers of their lines.
fn listed(text: &str) -> impl Iterator<Item = (usize, String)> {
    let lines = (1..).zip(text.lines().map(str::trim));
    let paths = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    paths.map(|(number, line)| (number, line.trim_start_matches('/').to_owned()))
}

/// Why a list cannot be used. The lines are told by their numbers and never by what they say: a file that was named by
/// mistake may be nobody's to see.
fn unfit(list: &At<String>, text: &str) -> Option<Diagnostic> {
    let why = |number: usize, why: &str| {
        let message = format!("line {number} of the list `{}` is not a path", shortened(&list.value));
        Diagnostic::new(list.place.clone(), message)
            .label(why.to_owned())
            .help("write one path a line, below the arena, such as `files/deep`")
    };
    let mut first_with: BTreeMap<String, usize> = BTreeMap::new();
    for (number, path) in listed(text) {
        if let Some(mistake) = path_mistake(&path) {
            return Some(why(number, mistake));
        }
        first_with.entry(path).or_insert(number);
    }
    first_with.iter().find_map(|(path, &number)| {
        let mut parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        let file = parents.find_map(|parent| first_with.get(parent))?;
        Some(why(number, &format!("its folder is the file of line {file}")))
    })
}

fn check_paths(paths: &[(String, &Range<usize>)], list: &At<OpenList>, problems: &mut Problems<'_>) {
    let bytes: usize = paths.iter().map(|(path, _)| path.len()).sum();
    if paths.is_empty() || paths.len() > PATHS_MAX || bytes > PATH_BYTES_MAX {
        let message = format!("a list of {} paths and {bytes} bytes cannot be opened", paths.len());
        let diagnostic = Diagnostic::new(list.place.clone(), message)
            .label(format!("expected 1 to {PATHS_MAX} paths of together at most {PATH_BYTES_MAX} bytes"));
        problems.add(diagnostic);
        return;
    }
    for (path, place) in paths {
        check_path(&At { value: path.clone(), place: (*place).clone() }, problems);
    }
    // A path that is also the folder of another cannot be made.
    let mut sorted: Vec<&str> = paths.iter().map(|(path, _)| path.as_str()).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let known: std::collections::BTreeSet<&str> = sorted.iter().copied().collect();
    let folder_too = sorted.iter().find_map(|path| {
        let parents = path.match_indices('/').map(|(at, _)| &path[..at]);
        parents.into_iter().find(|parent| known.contains(parent))
    });
    if let Some(path) = folder_too {
        let message = format!("`{}` is a file and the folder of another", shortened(path));
        problems.add(Diagnostic::new(list.place.clone(), message).help("remove one of the two"));
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{Distribution, LoadKind, OpenList, Workload};

    use crate::loads::tests::check;

    #[test]
    fn a_path_may_come_again() {
        let list = OpenList {
            paths: ["a/b", "c", "a/b"].map(str::to_owned).to_vec(),
            directory: "list".to_owned(),
            file_bytes: Distribution::Fixed(4096),
        };
        check("open_list: {paths: [a/b, c, a/b]}", &Workload::of(LoadKind::OpenList(list)));
    }
}
