//! The images run for real: a program that the kernel or the loader refuses is found here.
#![cfg(target_os = "linux")]
#![allow(clippy::disallowed_methods, reason = "unlike the crate, this test writes the images and runs them")]
#![allow(clippy::unwrap_used, reason = "helpers of a test")]

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use lab_model::{ExecProgram, ExecStorm, LoadKind, Rate, Workload};
use lab_workload::{ArenaEntry, ArenaHost, Content, HostFile, arena, elf::Machine, fill, program_path};

fn create(root: &Path, entry: &ArenaEntry) {
    let path = root.join(&entry.path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let bytes = match &entry.content {
        Content::Fill { bytes, seed } => fill(*bytes, *seed),
        Content::Image(image) => image.clone(),
        Content::HostFile(HostFile::Driver) => panic!("this machine has images"),
        Content::HostFile(file) => {
            let candidates = file.candidates(Machine::this());
            let found = candidates.iter().find_map(|candidate| fs::read(candidate).ok());
            found.unwrap_or_else(|| panic!("none of {candidates:?} is there"))
        }
    };
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(entry.mode)).unwrap();
}

/// All in one test: while one thread writes a program, another must not fork (the child would hold it open
/// for writing, and its exec would fail).
#[test]
fn all_programs_end_with_status_0() {
    let root = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("images");
    drop(fs::remove_dir_all(&root));
    let programs = [ExecProgram::Static, ExecProgram::Dynamic, ExecProgram::Script];
    let workload = programs.map(|program| Workload {
        workers: 1,
        rate: Rate::Max,
        operations_max: None,
        ..Workload::of(LoadKind::ExecStorm(ExecStorm { program }))
    });
    let ground = ArenaHost { root: root.to_str().unwrap().to_owned(), machine: Machine::this() };
    for entry in arena(&workload, &[], &ground).unwrap() {
        create(&root, &entry);
    }
    for program in programs {
        let path = root.join(program_path(program));
        let status = Command::new(&path).env_clear().stdin(Stdio::null()).status().unwrap();
        assert_eq!(status.code(), Some(0), "{program:?}: {status}");
    }
    // The loader's copy is what starts the dynamic one: without it the kernel finds no such file.
    let loader = fs::read_dir(root.join("lib")).unwrap().map(|entry| entry.unwrap().path());
    let loader = loader.into_iter().find(|path| path.to_string_lossy().contains("ld-linux")).unwrap();
    fs::remove_file(loader).unwrap();
    let refused = Command::new(root.join(program_path(ExecProgram::Dynamic))).env_clear().status();
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::NotFound);
}
