//! The table of unsafe code in `docs/reference/unsafe.md` is that of the sources.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test reads the sources")]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Every Rust file below a folder, but what cargo builds.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// How often a text uses the keyword `unsafe` outside comments: blocks, implementations, foreign functions.
fn uses(text: &str) -> usize {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or_default());
    let words = code.flat_map(|line| line.split(|c: char| !c.is_alphanumeric() && c != '_'));
    words.filter(|word| *word == "unsafe").count()
}

#[test]
fn the_table_of_unsafe_code_is_that_of_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap();
    let mut files = Vec::new();
    sources(&root.join("crates"), &mut files);
    let own = Path::new(file!()).file_name();
    let mut counted = BTreeMap::new();
    for file in files.iter().filter(|file| file.file_name() != own) {
        let uses = uses(&fs::read_to_string(file).unwrap());
        if uses > 0 {
            let name = file.strip_prefix(root.join("crates")).unwrap().display().to_string();
            counted.insert(name, uses);
        }
    }
    let table = fs::read_to_string(root.join("docs/reference/unsafe.md")).unwrap();
    let rows = table.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
        Some((cells.next()?.trim_end_matches('`').to_owned(), cells.next()?.parse().ok()?))
    });
    let written: BTreeMap<String, usize> = rows.collect();
    assert!(!written.is_empty(), "the table is there");
    assert_eq!(written, counted, "docs/reference/unsafe.md (left) says what the sources have (right)");
}

#[test]
fn words_are_counted_and_comments_are_not() {
    assert_eq!(
        uses("// unsafe\nunsafe { one() } // unsafe\n#![deny(unsafe_code)]\nunsafe impl Send for X {}"),
        2
    );
}
