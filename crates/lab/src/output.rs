//! Writes the files that a person asks for by path.

use std::{
    fs::{File, Permissions},
    io,
    os::unix::fs::{PermissionsExt, fchown},
    path::Path,
};

use lab_files::{Folder, Kind};
use lab_orchestrator::interrupts;

use crate::labs::Places;

/// The mode of files, before the caller's mask.
const FILE_MODE: u32 = 0o666;
/// The mode of folders that root creates.
const FOLDER_MODE: u32 = 0o700;

/// Writes a file whole or not at all, in a folder that only trusted users may write. Root's files are root's alone, or
/// those of the person who called sudo where the folder is theirs.
///
/// # Errors
/// Those of the folder, of `write` and of moving the file into place.
pub(crate) fn replace_with<T>(
    places: &Places,
    path: &Path,
    write: impl FnOnce(&mut File) -> io::Result<T>,
) -> io::Result<T> {
    let _hold = interrupts::hold();
    let (folder, name) = Folder::trusted_parent(path, &places.trusted)?;
    match folder.facts(&name) {
        Ok(facts) if facts.kind == Kind::Folder => return Err(io::ErrorKind::IsADirectory.into()),
        // Root would replace `/dev/null` by a file.
        Ok(facts) if facts.kind == Kind::Other => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
        }
        _ => {}
    }
    let of_folder = folder.own_facts()?;
    folder.replace_with(name, 0o600, |file| {
        let written = write(file)?;
        if places.trusted.caller() == Some(of_folder.owner) {
            fchown(&*file, Some(of_folder.owner), Some(of_folder.group))?;
        } else if !places.trusted.is_root() {
            file.set_permissions(Permissions::from_mode(FILE_MODE & !places.mask))?;
        }
        Ok(written)
    })
}

/// Writes a file whole or not at all, as [`replace_with`] does.
///
/// # Errors
/// As [`replace_with`].
pub(crate) fn replace(places: &Places, path: &Path, text: &str) -> io::Result<()> {
    replace_with(places, path, |file| io::Write::write_all(file, text.as_bytes()))
}

/// Opens a folder that only trusted users may write, and creates it when it is missing.
///
/// # Errors
/// Those of the folder.
pub(crate) fn folder(places: &Places, path: &Path) -> io::Result<Folder> {
    Ok(Folder::trusted_or_created(path, &places.trusted, FOLDER_MODE)?)
}
