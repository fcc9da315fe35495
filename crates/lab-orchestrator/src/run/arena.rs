//! Fills the arena before anything watches it.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use lab_model::{Lab, LoadKind, Run};
use lab_workload::{ArenaHost, Content, HostFile, elf::Machine};

/// The largest program that is copied into the arena, in bytes.
const PROGRAM_BYTES_MAX: u64 = 256 << 20;

/// Creates the files of the workload and the programs of the clients in the arena.
pub(super) fn fill(arena: &Path, lab: &Lab, driver: &Path) -> io::Result<()> {
    let machine = Machine::this();
    let ground = ArenaHost { root: arena.display().to_string(), machine };
    let programs = lab.programs_of_clients();
    for load in &lab.workload {
        if let LoadKind::Run(Run { directory: Some(directory), .. }) = &load.kind {
            fs::create_dir_all(arena.join(directory))?;
        }
    }
    for entry in lab_workload::arena(&lab.workload, &programs, &ground).map_err(io::Error::other)? {
        let path = arena.join(&entry.path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let content = match entry.content {
            Content::Fill { bytes, seed } => lab_workload::fill(bytes, seed),
            Content::Image(image) => image,
            Content::HostFile(HostFile::Driver) => lab_files::read(driver, PROGRAM_BYTES_MAX)?,
            Content::HostFile(file) => lab_files::read(&find(file, machine)?, PROGRAM_BYTES_MAX)?,
        };
        let mut file = OpenOptions::new().write(true).create_new(true).mode(entry.mode).open(&path)?;
        file.write_all(&content)?;
    }
    Ok(())
}

fn find(file: HostFile, machine: Machine) -> io::Result<PathBuf> {
    let mut places = file.candidates(machine).iter().map(PathBuf::from);
    places.find(|place| place.is_file()).ok_or_else(|| {
        let message =
            format!("this machine has no {file:?} where one is expected: {:?}", file.candidates(machine));
        io::Error::new(io::ErrorKind::NotFound, message)
    })
}
