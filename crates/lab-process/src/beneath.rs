//! Opening for somebody else: what lies below the arena, and nothing else.

use std::{
    ffi::CStr,
    io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
};

use nix::errno::Errno;
use rustix::fs::{CWD, Mode, OFlags, openat};

/// The arena as a folder that cannot be left: neither by an absolute path, nor by `..`, nor by a link.
#[derive(Debug)]
pub struct Beneath {
    folder: OwnedFd,
    path: Vec<u8>,
}

impl Beneath {
    /// The folder at this path. Taking it asks no client (`O_PATH`).
    ///
    /// # Errors
    /// Those of opening.
    pub fn of(path: &str) -> io::Result<Beneath> {
        let whole = std::fs::canonicalize(path)?;
        #[cfg(target_os = "linux")]
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        #[cfg(not(target_os = "linux"))]
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, &whole, flags, Mode::empty())?;
        Ok(Beneath { folder, path: whole.as_os_str().as_bytes().to_vec() })
    }

    /// Opens a file for reading, by its whole path or one that is relative to the folder.
    ///
    /// # Errors
    /// `EXDEV` when it lies elsewhere, or the path would lead there; those of opening.
    pub fn open(&self, path: &CStr) -> Result<OwnedFd, Errno> {
        let relative = self.relative(path.to_bytes()).ok_or(Errno::EXDEV)?;
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{ResolveFlags, openat2};
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
            match openat2(&self.folder, relative, flags, Mode::empty(), resolve) {
                // Before Linux 5.6.
                Err(rustix::io::Errno::NOSYS) => {}
                opened => return opened.map_err(|error| Errno::from_raw(error.raw_os_error())),
            }
        }
        // Without that call no link at the end is followed; the folders on the way are the lab's own.
        let flags = flags | OFlags::NOFOLLOW;
        openat(&self.folder, relative, flags, Mode::empty())
            .map_err(|error| Errno::from_raw(error.raw_os_error()))
    }

    fn relative<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        let relative = match path {
            [b'/', ..] => path.strip_prefix(&self.path[..])?.strip_prefix(b"/")?,
            _ => path,
        };
        let leaves = relative.split(|&byte| byte == b'/').any(|step| step == b"..");
        (!leaves && !relative.is_empty() && !relative.starts_with(b"/")).then_some(relative)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn nothing_but_what_lies_below_is_opened() {
        let root = std::env::temp_dir().join(format!("lab-beneath-{}", std::process::id()));
        let arena = root.join("arena");
        fs::create_dir_all(arena.join("files")).unwrap();
        fs::create_dir_all(root.join("arena2")).unwrap();
        for file in ["arena/files/f1", "outside", "arena2/f1"] {
            fs::write(root.join(file), file).unwrap();
        }
        symlink("f1", arena.join("files/within")).unwrap();
        symlink("../../outside", arena.join("files/up")).unwrap();
        symlink(&root, arena.join("away")).unwrap();
        symlink("/proc/self/root/etc/passwd", arena.join("magic")).unwrap();
        let arena = arena.canonicalize().unwrap();
        let beneath = Beneath::of(arena.to_str().unwrap()).unwrap();
        let open = |path: &str| beneath.open(&std::ffi::CString::new(path).unwrap()).map(drop);
        let below = |name: &str| format!("{}/{name}", arena.display());
        let cases = [
            ("files/f1".to_owned(), Ok(())),
            (below("files/f1"), Ok(())),
            ("files/within".to_owned(), Ok(())),
            ("files/none".to_owned(), Err(Errno::ENOENT)),
            ("files/up".to_owned(), Err(Errno::EXDEV)),
            ("away/outside".to_owned(), Err(Errno::EXDEV)),
            ("magic".to_owned(), Err(Errno::EXDEV)),
            ("../outside".to_owned(), Err(Errno::EXDEV)),
            (below("files/../../outside"), Err(Errno::EXDEV)),
            ("/etc/shadow".to_owned(), Err(Errno::EXDEV)),
            (root.join("arena2/f1").display().to_string(), Err(Errno::EXDEV)),
            (below("/etc/passwd"), Err(Errno::EXDEV)),
            (String::new(), Err(Errno::EXDEV)),
        ];
        for (path, expected) in cases {
            assert_eq!(open(&path), expected, "{path}");
        }
        fs::remove_dir_all(&root).unwrap();
    }
}
