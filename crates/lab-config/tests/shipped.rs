//! The labs that ship: each one is read, and says what it has to.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test reads the files that ship")]

use std::{fs, path::PathBuf};

use lab_config::{Limits, parse};

fn shipped() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../lab-configs");
    let mut labs: Vec<(String, String)> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            (path.file_stem().unwrap().to_str().unwrap().to_owned(), fs::read_to_string(&path).unwrap())
        })
        .collect();
    labs.sort();
    labs
}

#[test]
fn every_shipped_lab_is_read_and_named_as_its_file() {
    let labs = shipped();
    assert!(labs.len() >= 8);
    for (name, text) in labs {
        let lab = parse(&format!("lab-configs/{name}.yaml"), &text, &Limits::default())
            .unwrap_or_else(|report| panic!("{report}"));
        assert_eq!(lab.name, name);
        assert!(!lab.about.is_empty(), "{name}");
    }
}
