//! Reading a file that a text from outside names: from one folder and the folders below it, and from nowhere else.

use std::{
    fs::File,
    io,
    path::{Component, Path},
};

use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::{ReadError, read_file};

/// Reads a regular file of at most `bytes_max` bytes that lies in `folder` or below it. `name` is relative, goes up
/// nowhere, and no part of it is a symbolic link; what `folder` itself is reached through is the caller's matter.
///
/// # Errors
/// [`ReadError::Outside`] for a name that leads elsewhere or may, [`ReadError::Link`] where a part of it is a link, and
/// all of [`read`](crate::read).
pub fn read_beneath(folder: &Path, name: &Path, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
    let mut parts = Vec::new();
    for part in name.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(ReadError::Outside);
            }
        }
    }
    let Some((file, folders)) = parts.split_last() else { return Err(ReadError::NotRegular) };
    let walk = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut at = openat(CWD, here, walk, Mode::empty()).map_err(io::Error::from)?;
    for part in folders {
        at = openat(&at, *part, walk | OFlags::NOFOLLOW, Mode::empty())
            .map_err(|error| refused(&at, part, error))?;
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::NOFOLLOW;
    let file =
        File::from(openat(&at, *file, flags, Mode::empty()).map_err(|error| refused(&at, file, error))?);
    if file.metadata()?.is_file() { read_file(&file, bytes_max) } else { Err(ReadError::NotRegular) }
}

/// Why a part of a name was not opened: a link is refused with different errors by different systems.
fn refused(at: &impl std::os::fd::AsFd, part: &std::ffi::OsStr, error: rustix::io::Errno) -> ReadError {
    let facts = rustix::fs::statat(at, part, rustix::fs::AtFlags::SYMLINK_NOFOLLOW);
    let is_link = facts.is_ok_and(|facts| {
        rustix::fs::FileType::from_raw_mode(facts.st_mode) == rustix::fs::FileType::Symlink
    });
    if is_link { ReadError::Link } else { ReadError::Io(error.into()) }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn a_file_is_read_from_the_folder_and_from_nowhere_else() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp/files-beneath");
        drop(fs::remove_dir_all(&root));
        let folder = root.join("folder");
        fs::create_dir_all(folder.join("sub")).unwrap();
        fs::write(folder.join("sub/list"), b"inside").unwrap();
        fs::write(root.join("secret"), b"outside").unwrap();
        symlink("../secret", folder.join("link")).unwrap();
        symlink("..", folder.join("up")).unwrap();
        let check = |name: &str| read_beneath(&folder, Path::new(name), 100);
        assert_eq!(check("sub/list").unwrap(), b"inside");
        assert_eq!(check("./sub//list").unwrap(), b"inside");
        for name in ["../secret", "sub/../../secret", "/etc/hostname"] {
            assert!(matches!(check(name), Err(ReadError::Outside)), "{name}");
        }
        for name in ["link", "up/secret", "up/folder/sub/list"] {
            assert!(matches!(check(name), Err(ReadError::Link)), "{name}");
        }
        assert!(matches!(check("sub"), Err(ReadError::NotRegular)));
        assert!(matches!(check("."), Err(ReadError::NotRegular)));
        assert!(matches!(check("absent"), Err(ReadError::Io(_))));
        assert!(matches!(
            read_beneath(&folder, Path::new("sub/list"), 5),
            Err(ReadError::TooLarge { bytes_max: 5 })
        ));
    }
}
