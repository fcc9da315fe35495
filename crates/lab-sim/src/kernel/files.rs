//! The files of the simulated arena: which exist, how large, which program needs which.

use std::collections::BTreeMap;

use lab_model::{ExecProgram, LoadKind, Workload};
use lab_workload::{Action, created_path, file_bytes, file_path, interpreter_path, program_path, tree_path};

/// The bytes of the loader and of the C library, as found on the machine of the default costs.
const LOADER_BYTES: u64 = 230 << 10;
const LIBC_BYTES: u64 = 2 << 20;
const PROGRAM_BYTES: u64 = 512;
/// A copy of the driver. Assumed.
const TREE_BYTES: u64 = 4 << 20;

/// The first inode: a fresh tmpfs counts from small numbers.
const INODE_FIRST: u64 = 16;

/// The files of the arena, by number.
#[derive(Clone, Debug)]
pub struct Files {
    /// For each load: the number of its first file and how many it has; none for one that runs programs.
    loads: Vec<Option<(u32, u32)>>,
    /// Where each folder's files begin, in the order of their numbers.
    folders: Vec<Folder>,
    /// The files of all loads one after another, as clients number them.
    wanted: u64,
    programs: u32,
    /// For each load: the number of the first file that it creates and how many it does, one a worker.
    created: Vec<(u32, u32)>,
    workload: Vec<Workload>,
}

#[derive(Clone, Debug)]
struct Folder {
    first: u32,
    /// A load that the files belong to.
    load: Workload,
}

/// Two storms in one folder share its files.
fn share(one: &Workload, other: &Workload) -> bool {
    match (&one.kind, &other.kind) {
        (LoadKind::OpenStorm(one), LoadKind::OpenStorm(other)) => one.directory == other.directory,
        _ => false,
    }
}

/// A file that no load names: programs and what they need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Static = 0,
    Dynamic = 1,
    Loader = 2,
    LibC = 3,
    Script = 4,
    Interpreter = 5,
    Tree = 6,
}

/// How many files no load names.
const PROGRAMS: u32 = 7;

impl Program {
    pub(crate) const fn of(program: ExecProgram) -> Program {
        match program {
            ExecProgram::Static => Program::Static,
            ExecProgram::Dynamic => Program::Dynamic,
            ExecProgram::Script => Program::Script,
        }
    }
}

impl Files {
    /// The files that this workload needs.
    #[must_use]
    pub fn new(workload: &[Workload]) -> Files {
        let mut sizes: BTreeMap<&str, u32> = BTreeMap::new();
        for load in workload {
            if let LoadKind::OpenStorm(storm) = &load.kind {
                let size = sizes.entry(&storm.directory).or_default();
                *size = storm.files.max(*size);
            }
        }
        let (mut folders, mut next) = (Vec::<Folder>::new(), 0_u32);
        let (mut loads, mut wanted) = (Vec::new(), 0);
        for load in workload {
            if load.runs_programs() {
                loads.push(None);
                continue;
            }
            let known = folders.iter().find(|folder| share(&folder.load, load));
            let first = known.map_or(next, |folder| folder.first);
            if known.is_none() {
                let files = match &load.kind {
                    LoadKind::OpenStorm(storm) => sizes.get(storm.directory.as_str()).copied().unwrap_or(0),
                    _ => load.files(),
                };
                folders.push(Folder { first, load: load.clone() });
                next = next.saturating_add(files);
            }
            loads.push(Some((first, load.files())));
            wanted += u64::from(load.files());
        }
        let mut created = Vec::with_capacity(workload.len());
        let mut first = next + PROGRAMS;
        for load in workload {
            let creates = matches!(&load.kind, LoadKind::FileMix(mix) if mix.create > 0);
            let count = if creates { u32::from(load.workers) } else { 0 };
            created.push((first, count));
            first = first.saturating_add(count);
        }
        Files { loads, folders, wanted, programs: next, created, workload: workload.to_vec() }
    }

    /// The file that an operation of the workload is about.
    pub(crate) fn of(&self, load: usize, action: Action) -> u32 {
        match action {
            Action::Open { file } | Action::Write { file } => {
                self.loads.get(load).copied().flatten().map_or(0, |(first, _)| first + file)
            }
            Action::Exec(program) => self.program(Program::of(program)),
            Action::Tree => self.program(Program::Tree),
            Action::Create => self.created(load, 0),
            // Labs with commands are refused before: see `not_simulated`.
            Action::Run => self.program(Program::Static),
        }
    }

    /// The file that a worker of a load creates and removes again.
    pub(crate) fn created(&self, load: usize, worker: usize) -> u32 {
        let (first, count) = self.created.get(load).copied().unwrap_or_default();
        first + u32::try_from(worker).unwrap_or(0).min(count.saturating_sub(1))
    }

    pub(crate) fn program(&self, program: Program) -> u32 {
        self.programs + program as u32
    }

    /// The `number`-th file over all open storms, starting again after the last one, as
    /// [`lab_workload::target`] numbers them; `None` when no load opens files.
    pub(crate) fn other(&self, number: u64) -> Option<u32> {
        let mut number = number.checked_rem(self.wanted)?;
        for (first, files) in self.loads.iter().flatten() {
            match u32::try_from(number) {
                Ok(index) if index < *files => return Some(first + index),
                _ => number -= u64::from(*files),
            }
        }
        None
    }

    /// How many files there are; their numbers are those below.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.programs + PROGRAMS + self.created.iter().map(|(_, count)| count).sum::<u32>()
    }

    /// The bytes in a file.
    pub(crate) fn bytes(&self, file: u32) -> u64 {
        match file.checked_sub(self.programs) {
            None => {
                self.folder(file).map_or(0, |folder| file_bytes(&folder.load, file - folder.first).into())
            }
            Some(2) => LOADER_BYTES,
            Some(3) => LIBC_BYTES,
            Some(6) => TREE_BYTES,
            Some(program) if program < PROGRAMS => PROGRAM_BYTES,
            Some(_) => 0,
        }
    }

    /// The inode of a file.
    #[must_use]
    pub fn inode(&self, file: u32) -> u64 {
        INODE_FIRST + u64::from(file)
    }

    /// The path of a file, relative to the arena.
    #[must_use]
    pub fn path(&self, file: u32) -> String {
        match file.checked_sub(self.programs) {
            None => self
                .folder(file)
                .map_or_else(String::new, |folder| file_path(&folder.load, file - folder.first)),
            Some(0) => program_path(ExecProgram::Static),
            Some(1) => program_path(ExecProgram::Dynamic),
            Some(2) => "lib/ld-linux-x86-64.so.2".to_owned(),
            Some(3) => "lib/libc.so.6".to_owned(),
            Some(4) => program_path(ExecProgram::Script),
            Some(5) => interpreter_path(),
            Some(6) => tree_path(),
            Some(_) => self.created_path(file),
        }
    }

    /// True for a file of this path, relative to the arena, or anywhere below it.
    pub(crate) fn lies_in(&self, file: u32, path: &str) -> bool {
        let own = self.path(file);
        own.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    fn created_path(&self, file: u32) -> String {
        let mut loads = self.workload.iter().zip(&self.created);
        let found = loads.find(|(_, (first, count))| (*first..first + count).contains(&file));
        match found.map(|(load, created)| (&load.kind, created)) {
            Some((LoadKind::FileMix(mix), (first, _))) => {
                created_path(mix, u16::try_from(file - first).unwrap_or(0))
            }
            _ => String::new(),
        }
    }

    fn folder(&self, file: u32) -> Option<&Folder> {
        let after = self.folders.partition_point(|folder| folder.first <= file);
        self.folders.get(after.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use lab_model::{ExecStorm, OpenStorm, Rate};

    use super::*;

    fn storm(directory: &str, files: u32) -> Workload {
        Workload {
            workers: 1,
            rate: Rate::Max,
            operations_max: None,
            ..Workload::of(LoadKind::OpenStorm(OpenStorm {
                files,
                directory: directory.to_owned(),
                file_bytes: 9,
            }))
        }
    }

    #[test]
    fn clients_and_workload_agree_on_the_files() {
        let exec = Workload::of(LoadKind::ExecStorm(ExecStorm { program: ExecProgram::Dynamic }));
        let workload = [storm("a", 2), exec, storm("b", 3), storm("a", 4)];
        let files = Files::new(&workload);
        for number in 0..20 {
            assert_eq!(
                files.other(number).map(|file| files.path(file)),
                lab_workload::target(&workload, number)
            );
        }
        assert_eq!(files.path(files.of(3, Action::Open { file: 3 })), "a/f000003");
        assert_eq!(files.path(files.of(0, Action::Open { file: 1 })), "a/f000001");
        assert_eq!(
            files.of(0, Action::Open { file: 1 }),
            files.of(3, Action::Open { file: 1 }),
            "one folder, one file"
        );
        assert_eq!(files.path(files.of(1, Action::Exec(ExecProgram::Dynamic))), "bin/dynamic");
        let all: std::collections::BTreeSet<String> = (0..files.count()).map(|n| files.path(n)).collect();
        assert_eq!(all.len(), 4 + 3 + 7);
        assert_eq!((files.bytes(0), files.bytes(files.program(Program::LibC))), (9, LIBC_BYTES));
    }

    #[test]
    fn without_an_open_storm_there_are_no_other_files() {
        let exec = Workload::of(LoadKind::ExecStorm(ExecStorm { program: ExecProgram::Static }));
        assert_eq!(Files::new(&[exec]).other(7), None);
    }
}
