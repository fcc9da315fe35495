//! The files that a workload needs, as a plan: which, how large, with which mode.

use std::collections::BTreeMap;

use lab_model::{ExecProgram, LoadKind, Workload, file_bytes, file_path, path_seed};

use crate::{
    elf::{self, Machine},
    random::Random,
};

/// The mode of an ordinary file of the arena.
pub const MODE_FILE: u32 = 0o644;
/// The mode of a program or library of the arena.
pub const MODE_PROGRAM: u32 = 0o755;

const PROGRAMS: &str = "bin";
const LIBRARIES: &str = "lib";
const LIBC: &str = "libc.so.6";
/// What the script names behind its `#!`.
const INTERPRETER: &str = "interpreter";

/// The arena that a plan is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArenaHost {
    /// The arena's absolute path as the driver sees it: the dynamic program has it built in.
    pub root: String,
    /// The machine that runs the programs.
    pub machine: Machine,
}

/// A file to create in the arena before anything watches it; its folders are created as needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArenaEntry {
    /// Its path, relative to the arena.
    pub path: String,
    /// Its mode.
    pub mode: u32,
    /// What is in it.
    pub content: Content,
}

/// What is in a file of the arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// So many bytes that [`fill`] makes.
    Fill {
        /// The length.
        bytes: u32,
        /// What determines them.
        seed: u64,
    },
    /// These bytes.
    Image(Vec<u8>),
    /// A copy of a file of this machine.
    HostFile(HostFile),
}

/// A file of the machine that programs in the arena need a copy of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostFile {
    /// The dynamic loader.
    Loader,
    /// The C library that belongs to it.
    LibC,
    /// The driver's own executable: it ends at once with status 0 when its standard input is `/dev/null`.
    /// The program where the lab writes no image of its own (macOS wants every program signed).
    Driver,
}

impl HostFile {
    /// Where the file is usually found, most likely first; empty for the driver, which its caller knows.
    #[must_use]
    pub const fn candidates(self, machine: Machine) -> &'static [&'static str] {
        match (self, machine) {
            (HostFile::Loader, Machine::LinuxX86_64) => &["/lib64/ld-linux-x86-64.so.2"],
            (HostFile::Loader, Machine::LinuxAarch64) => &["/lib/ld-linux-aarch64.so.1"],
            (HostFile::LibC, Machine::LinuxX86_64) => {
                &["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6"]
            }
            (HostFile::LibC, Machine::LinuxAarch64) => {
                &["/lib/aarch64-linux-gnu/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6"]
            }
            (HostFile::Driver, _) | (_, Machine::Other) => &[],
        }
    }
}

/// Why a workload has no arena.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArenaError {
    /// The folder lies outside the arena or is none.
    #[error("the folder {0:?} is no relative path inside the arena")]
    Outside(String),
    /// The folder belongs to the lab's programs.
    #[error("the folder {0:?} is taken by the lab's own programs")]
    Taken(String),
    /// Two loads want different files at one path.
    #[error("two loads want files of different sizes in {0:?}")]
    Conflict(String),
    /// The arena's own path cannot be built into a program.
    #[error("the arena's path {0:?} is not absolute or holds a colon, a dollar sign or a NUL byte")]
    Root(String),
}

/// The files that the workload and the programs which clients run need, in the order of their paths, each once.
///
/// # Errors
/// [`ArenaError`] when a load names a folder that is not inside the arena, or two loads disagree.
pub fn arena(
    workload: &[Workload],
    programs: &[ExecProgram],
    ground: &ArenaHost,
) -> Result<Vec<ArenaEntry>, ArenaError> {
    let mut entries = BTreeMap::new();
    for program in programs {
        add_program(*program, ground, &mut entries)?;
    }
    for load in workload {
        match &load.kind {
            LoadKind::OpenStorm(storm) => add_files(load, &storm.directory, &mut entries)?,
            LoadKind::FileMix(mix) => add_files(load, &mix.directory, &mut entries)?,
            LoadKind::OpenList(list) => add_files(load, &list.directory, &mut entries)?,
            LoadKind::ExecStorm(storm) => add_program(storm.program, ground, &mut entries)?,
            // Its command is the user's, and so is what that needs.
            LoadKind::Run(_) => {}
            LoadKind::ExecTree(_) => {
                // What records its own children is more than a few hundred bytes can do.
                entries.insert(tree_path(), (MODE_PROGRAM, Content::HostFile(HostFile::Driver)));
            }
        }
    }
    Ok(entries.into_iter().map(|(path, (mode, content))| ArenaEntry { path, mode, content }).collect())
}

type Entries = BTreeMap<String, (u32, Content)>;

fn add_files(load: &Workload, directory: &str, entries: &mut Entries) -> Result<(), ArenaError> {
    let good = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
    if !directory.split('/').all(good) {
        return Err(ArenaError::Outside(directory.to_owned()));
    }
    let first = directory.split('/').next().unwrap_or_default();
    if first == PROGRAMS || first == LIBRARIES {
        return Err(ArenaError::Taken(directory.to_owned()));
    }
    for index in 0..load.files() {
        let path = file_path(load, index);
        if !path.split('/').all(good) {
            return Err(ArenaError::Outside(path));
        }
        let seed = path_seed(&path);
        let content = Content::Fill { bytes: file_bytes(load, index), seed };
        let entry = entries.entry(path).or_insert_with(|| (MODE_FILE, content.clone()));
        if entry.1 != content {
            return Err(ArenaError::Conflict(directory.to_owned()));
        }
    }
    Ok(())
}

fn add_program(program: ExecProgram, ground: &ArenaHost, entries: &mut Entries) -> Result<(), ArenaError> {
    let root = &ground.root;
    if !root.starts_with('/') || root.contains([':', '$', '\0']) {
        return Err(ArenaError::Root(root.clone()));
    }
    let root = root.trim_end_matches('/');
    let loader = loader_path(ground.machine);
    let interpreter = loader.as_ref().map(|loader| format!("{root}/{loader}"));
    let image = match (program, &interpreter) {
        (ExecProgram::Static, _) => elf::static_program(ground.machine),
        (ExecProgram::Dynamic, Some(loader)) => elf::dynamic_program(ground.machine, loader, LIBC),
        (ExecProgram::Script, Some(loader)) => elf::interpreter_program(ground.machine, loader, LIBC),
        (ExecProgram::Dynamic | ExecProgram::Script, None) => None,
    };
    let dynamic = program != ExecProgram::Static && image.is_some();
    let content = image.map_or(Content::HostFile(HostFile::Driver), Content::Image);
    let mut path = program_path(program);
    if program == ExecProgram::Script {
        let interpreter = interpreter_path();
        let script = format!("#!{root}/{interpreter}\n").into_bytes();
        entries.insert(path, (MODE_PROGRAM, Content::Image(script)));
        path = interpreter;
    }
    entries.insert(path, (MODE_PROGRAM, content));
    if let (true, Some(loader)) = (dynamic, loader) {
        entries.insert(loader, (MODE_PROGRAM, Content::HostFile(HostFile::Loader)));
        let libc = format!("{LIBRARIES}/{LIBC}");
        entries.insert(libc, (MODE_PROGRAM, Content::HostFile(HostFile::LibC)));
    }
    Ok(())
}

/// The loader's copy keeps its name: the C library names it as something it needs.
fn loader_path(machine: Machine) -> Option<String> {
    let host = HostFile::Loader.candidates(machine).first()?;
    let name = host.rsplit('/').next()?;
    Some(format!("{LIBRARIES}/{name}"))
}

/// The bytes of a [`Content::Fill`].
#[must_use]
pub fn fill(bytes: u32, seed: u64) -> Vec<u8> {
    let length = usize::try_from(bytes).unwrap_or(usize::MAX);
    let mut random = Random::new(seed, &[]);
    let mut content = Vec::with_capacity(length.next_multiple_of(8));
    while content.len() < length {
        content.extend(random.word().to_le_bytes());
    }
    content.truncate(length);
    content
}

/// The path of a program, relative to the arena.
#[must_use]
pub fn program_path(program: ExecProgram) -> String {
    let name = match program {
        ExecProgram::Static => "static",
        ExecProgram::Dynamic => "dynamic",
        ExecProgram::Script => "script",
    };
    format!("{PROGRAMS}/{name}")
}

/// The path of the program that runs itself again as often as it is told, relative to the arena: a copy of the
/// driver, which a client is asked about twice for each exec on fanotify.
#[must_use]
pub fn tree_path() -> String {
    format!("{PROGRAMS}/tree")
}

/// The path of the script's interpreter, relative to the arena.
#[must_use]
pub fn interpreter_path() -> String {
    format!("{PROGRAMS}/{INTERPRETER}")
}

#[cfg(test)]
mod tests {
    use lab_model::{ExecStorm, OpenStorm, Rate};
    use proptest::prelude::*;

    use super::*;
    use crate::files::target;

    fn storm(directory: &str, files: u32, file_bytes: u32) -> Workload {
        Workload {
            workers: 1,
            rate: Rate::Max,
            operations_max: None,
            ..Workload::of(LoadKind::OpenStorm(OpenStorm {
                files,
                directory: directory.to_owned(),
                file_bytes,
            }))
        }
    }

    fn exec(program: ExecProgram) -> Workload {
        Workload {
            workers: 1,
            rate: Rate::Max,
            operations_max: None,
            ..Workload::of(LoadKind::ExecStorm(ExecStorm { program }))
        }
    }

    fn ground(machine: Machine) -> ArenaHost {
        ArenaHost { root: "/arena".to_owned(), machine }
    }

    fn paths(workload: &[Workload], machine: Machine) -> Vec<String> {
        let entries = arena(workload, &[], &ground(machine)).unwrap();
        entries.into_iter().map(|entry| entry.path).collect()
    }

    #[test]
    fn a_dynamic_program_brings_its_loader_and_library() {
        let workload = [exec(ExecProgram::Dynamic), exec(ExecProgram::Static), storm("files", 2, 8)];
        assert_eq!(
            paths(&workload, Machine::LinuxX86_64),
            [
                "bin/dynamic",
                "bin/static",
                "files/f000000",
                "files/f000001",
                "lib/ld-linux-x86-64.so.2",
                "lib/libc.so.6"
            ]
        );
        let entries = arena(&workload, &[], &ground(Machine::Other)).unwrap();
        assert_eq!(entries.len(), 4);
        assert_eq!(entries[0].content, Content::HostFile(HostFile::Driver));
    }

    #[test]
    fn programs_of_clients_are_there_without_a_load_that_runs_them() {
        let made = |programs: &[ExecProgram]| {
            let entries = arena(&[storm("files", 1, 8)], programs, &ground(Machine::LinuxX86_64)).unwrap();
            entries.into_iter().map(|entry| entry.path).collect::<Vec<_>>()
        };
        assert_eq!(made(&[]), ["files/f000000"]);
        assert_eq!(made(&[ExecProgram::Static, ExecProgram::Static]), ["bin/static", "files/f000000"]);
        let script = made(&[ExecProgram::Script]);
        let expected =
            ["bin/interpreter", "bin/script", "files/f000000", "lib/ld-linux-x86-64.so.2", "lib/libc.so.6"];
        assert_eq!(script, expected);
    }

    #[test]
    fn loads_share_a_folder_if_they_agree() {
        let entries = arena(&[storm("a", 2, 8), storm("a", 3, 8)], &[], &ground(Machine::Other)).unwrap();
        assert_eq!(entries.len(), 3);
        let clash = arena(&[storm("a", 2, 8), storm("a", 3, 9)], &[], &ground(Machine::Other));
        assert_eq!(clash, Err(ArenaError::Conflict("a".to_owned())));
    }

    #[test]
    fn folders_outside_the_arena_are_refused() {
        for bad in ["", "/", "/etc", "a/../b", "..", ".", "a//b", "a/", "a\0b"] {
            let refused = arena(&[storm(bad, 1, 1)], &[], &ground(Machine::Other));
            assert_eq!(refused, Err(ArenaError::Outside(bad.to_owned())));
        }
        for taken in ["bin", "lib/x"] {
            let refused = arena(&[storm(taken, 1, 1)], &[], &ground(Machine::Other));
            assert_eq!(refused, Err(ArenaError::Taken(taken.to_owned())));
        }
        let relative = ArenaHost { root: "arena".to_owned(), machine: Machine::LinuxX86_64 };
        assert!(matches!(arena(&[exec(ExecProgram::Static)], &[], &relative), Err(ArenaError::Root(_))));
    }

    #[test]
    fn targets_walk_over_all_storms_and_start_again() {
        let workload = [storm("a", 2, 1), exec(ExecProgram::Static), storm("b", 1, 1)];
        let walked: Vec<_> = (0..4).filter_map(|number| target(&workload, number)).collect();
        assert_eq!(walked, ["a/f000000", "a/f000001", "b/f000000", "a/f000000"]);
        assert_eq!(target(&workload, u64::MAX), Some("a/f000000".to_owned()), "2^64 - 1 is a multiple of 3");
        assert_eq!(target(&[exec(ExecProgram::Static)], 7), None);
    }

    #[test]
    fn a_file_is_filled_the_same_way_each_time() {
        assert_eq!(fill(13, 1).len(), 13);
        assert_eq!(fill(13, 1), fill(20, 1)[..13]);
        assert_ne!(fill(13, 1), fill(13, 2));
        assert!(fill(0, 1).is_empty());
    }

    proptest! {
        #[test]
        fn names_never_leave_the_arena(directory in "[a-z./\\x00]{0,12}", files in 1_u32..5) {
            let workload = [storm(&directory, files, 1), exec(ExecProgram::Dynamic)];
            if let Ok(entries) = arena(&workload, &[], &ground(Machine::LinuxAarch64)) {
                let planned: Vec<_> = entries.iter().map(|entry| entry.path.clone()).collect();
                for path in &planned {
                    prop_assert!(!path.starts_with('/') && !path.contains('\0'), "{path}");
                    prop_assert!(path.split('/').all(|part| !matches!(part, "" | "." | "..")), "{path}");
                }
                for number in 0..u64::from(files) * 2 {
                    let path = target(&workload, number).unwrap();
                    prop_assert!(planned.contains(&path), "{path}");
                }
            }
        }
    }
}
