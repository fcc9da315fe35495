//! The way to a file or folder, one component after the other, with a look at each.
//!
//! `openat2` would resolve a path in one step, but neither does macOS have it nor does it say who owns what lies on the
//! way. A link on the way is followed by hand: it counts like a folder, and the rest of its way is walked as well.

use std::{
    collections::VecDeque,
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::ffi::OsStringExt,
    },
    path::{Component, Path, PathBuf},
};

use rustix::fs::{AtFlags, FileType, Mode, OFlags};

use crate::{Distrust, Folder, Trusted};

/// How many links one way may lead over, as Linux has it.
const LINKS_MAX: usize = 40;

/// A folder on the way is only passed: it need not be readable. macOS has no `O_PATH`, and this crate lies below the one
/// that knows the system.
#[cfg(target_os = "linux")]
const PASSING: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const PASSING: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What the end of a way is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// A folder that exists.
    Folder,
    /// A folder that exists, in which others may have names of their own.
    Shared,
    /// A folder, which is created with this mode when there is none, as are those on the way.
    Create(Mode),
    /// The same, in which others may have names of their own.
    CreateShared(Mode),
    /// Whatever it is: the folder that holds it is wanted.
    Parent,
}

/// Walks to a folder, or to the folder that holds a file, and checks everything on the way. Returns it and the name of
/// the file in it, which is empty when a folder was wanted.
pub(crate) fn walk(path: &Path, trusted: &Trusted, end: End) -> Result<(Folder, OsString), Distrust> {
    Walk::begin(path)?.walk(trusted, end)
}

struct Walk {
    /// The folders from the root to here, each with its path.
    way: Vec<(OwnedFd, PathBuf)>,
    left: VecDeque<OsString>,
    links: usize,
}

impl Walk {
    fn begin(path: &Path) -> Result<Walk, Distrust> {
        let whole = std::path::absolute(path).map_err(|error| at(path, error))?;
        let root =
            rustix::fs::open("/", PASSING, Mode::empty()).map_err(|error| at(Path::new("/"), error))?;
        let mut walk = Walk { way: vec![(root, PathBuf::from("/"))], left: VecDeque::new(), links: 0 };
        walk.prepend(&whole);
        Ok(walk)
    }

    /// Puts the names of a path before those that are left.
    fn prepend(&mut self, path: &Path) {
        for component in path.components().rev() {
            match component {
                Component::Normal(name) => self.left.push_front(name.to_owned()),
                Component::ParentDir => self.left.push_front("..".into()),
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            }
        }
    }

    fn walk(mut self, trusted: &Trusted, end: End) -> Result<(Folder, OsString), Distrust> {
        self.look(trusted)?;
        while let Some(name) = self.left.pop_front() {
            if name == ".." {
                if self.way.len() > 1 {
                    self.way.pop();
                }
                continue;
            }
            let last = self.left.is_empty();
            if last && end == End::Parent && !self.is_link(&name) {
                return Ok((self.end(trusted, true)?, name));
            }
            self.enter(&name, trusted, end)?;
        }
        let passing = matches!(end, End::Shared | End::CreateShared(_));
        Ok((self.end(trusted, passing)?, OsString::new()))
    }

    /// The folder that was reached. `passing` is true when one name in it is wanted: the sticky bit keeps that its
    /// owner's.
    fn end(mut self, trusted: &Trusted, passing: bool) -> Result<Folder, Distrust> {
        // The root is there from the beginning.
        let Some((folder, path)) = self.way.pop() else {
            return Err(at(Path::new("/"), io::Error::other("no root")));
        };
        check(&folder, &path, trusted, passing)?;
        Folder::reopen(&folder, path.clone()).map_err(|error| at(&path, error))
    }

    fn here(&self) -> (&OwnedFd, &Path) {
        let (folder, path) = &self.way[self.way.len() - 1];
        (folder, path)
    }

    fn is_link(&self, name: &OsStr) -> bool {
        rustix::fs::statat(self.here().0, name, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|facts| FileType::from_raw_mode(facts.st_mode) == FileType::Symlink)
    }

    /// Checks the folder that was just entered, as one on the way.
    fn look(&self, trusted: &Trusted) -> Result<(), Distrust> {
        let (folder, path) = self.here();
        if trusted.is_root() { check(folder, path, trusted, true) } else { Ok(()) }
    }

    fn enter(&mut self, name: &OsStr, trusted: &Trusted, end: End) -> Result<(), Distrust> {
        let (here, path) = self.here();
        let path = path.join(name);
        let mut opened = rustix::fs::openat(here, name, PASSING, Mode::empty());
        if let (Err(rustix::io::Errno::NOENT), End::Create(mode) | End::CreateShared(mode)) = (&opened, end) {
            // What is created in a folder of others would be theirs to exchange, but for the sticky bit.
            match rustix::fs::mkdirat(here, name, mode) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(error) => return Err(at(&path, error)),
            }
            opened = rustix::fs::openat(here, name, PASSING, Mode::empty());
        }
        match opened {
            Ok(folder) => {
                self.way.push((folder, path));
                self.look(trusted)
            }
            Err(_) if self.is_link(name) => self.follow(name, &path, trusted),
            Err(rustix::io::Errno::NOTDIR) => Err(Distrust::OtherKind { path, wanted: "folder" }),
            Err(error) => Err(at(&path, error)),
        }
    }

    /// Goes where a link points, if a trusted user made it. In a folder that only trusted users may write, or that is
    /// sticky, nobody else can exchange it between the look and the reading.
    fn follow(&mut self, name: &OsStr, path: &Path, trusted: &Trusted) -> Result<(), Distrust> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(at(path, rustix::io::Errno::LOOP));
        }
        let here = self.here().0;
        let facts =
            rustix::fs::statat(here, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| at(path, error))?;
        if trusted.is_root()
            && let Some(objection) = trusted.objection(path, facts.st_uid, Mode::empty(), true)
        {
            return Err(objection);
        }
        let target = rustix::fs::readlinkat(here, name, Vec::new()).map_err(|error| at(path, error))?;
        let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
        if target.is_absolute() {
            self.way.truncate(1);
        }
        self.prepend(&target);
        Ok(())
    }
}

/// Opens a regular file that only trusted users may have written, and whose whole way is theirs.
pub(crate) fn open_file(path: &Path, trusted: &Trusted) -> Result<File, Distrust> {
    let (folder, name) = walk(path, trusted, End::Parent)?;
    let file = match folder.open_file(&name) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            return Err(Distrust::OtherKind { path: path.to_owned(), wanted: "regular file" });
        }
        Err(error) => return Err(at(path, error)),
    };
    check(&file, &folder.path().join(name), trusted, false)?;
    Ok(file)
}

/// Objects to an open file or folder by its owner and mode.
pub(crate) fn check(file: impl AsFd, path: &Path, trusted: &Trusted, passing: bool) -> Result<(), Distrust> {
    let facts = rustix::fs::fstat(file).map_err(|error| at(path, error))?;
    let mode = Mode::from_raw_mode(facts.st_mode);
    trusted.objection(path, facts.st_uid, mode, passing).map_or(Ok(()), Err)
}

pub(crate) fn at(path: &Path, error: impl Into<io::Error>) -> Distrust {
    Distrust::Io { path: path.to_owned(), error: error.into() }
}
