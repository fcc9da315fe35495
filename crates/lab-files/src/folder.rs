//! A folder that is held open. What lies in it is named by single names, never by paths, and no link is followed.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    hash::{BuildHasher, Hasher, RandomState},
    io::{self, Write},
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::{OsStrExt, OsStringExt},
    },
    path::{Path, PathBuf},
};

use rustix::{
    fs::{AtFlags, Dir, FileType, FlockOperation, Mode, OFlags},
    io::Errno,
};

use crate::{
    Distrust, ReadError, Trusted, read_file,
    walk::{End, at, check, open_file, walk},
};

/// How deep a tree may be that is removed or handed over: deeper ones would take all descriptors.
const DEPTH_MAX: u32 = 128;

/// How many names of one folder are listed.
const ENTRIES_MAX: usize = 1_000_000;

const OPEN: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    folder: OwnedFd,
    path: PathBuf,
}

/// What something in a folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder.
    Folder,
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// A FIFO, a socket or a device.
    Other,
}

/// A name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: OsString,
    /// What it is; a link is not followed.
    pub kind: Kind,
}

/// What is known about something in a folder; a link is not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What it is.
    pub kind: Kind,
    /// Its owner.
    pub owner: u32,
    /// Its group.
    pub group: u32,
    /// Its permission bits.
    pub mode: u32,
    /// Its size in bytes.
    pub size: u64,
    /// Its device and inode number.
    pub identity: (u64, u64),
}

impl Folder {
    /// Opens a folder if it and everything on the way to it is only the trusted users' to write.
    ///
    /// # Errors
    /// [`Distrust`]: what lies on the way and why it is not taken.
    pub fn trusted(path: &Path, trusted: &Trusted) -> Result<Folder, Distrust> {
        walk(path, trusted, End::Folder).map(|(folder, _)| folder)
    }

    /// As [`Folder::trusted`]; what is missing of the way is created with `mode`.
    ///
    /// # Errors
    /// [`Distrust`].
    pub fn trusted_or_created(path: &Path, trusted: &Trusted, mode: u32) -> Result<Folder, Distrust> {
        walk(path, trusted, End::Create(bits(mode))).map(|(folder, _)| folder)
    }

    /// As [`Folder::trusted`], for a folder that may also be sticky, as `/tmp` is: others may have names of their own in it,
    /// so what is opened in it must be looked at by itself, with [`Folder::trusted_folder`] for example.
    ///
    /// # Errors
    /// [`Distrust`].
    pub fn shared(path: &Path, trusted: &Trusted) -> Result<Folder, Distrust> {
        walk(path, trusted, End::Shared).map(|(folder, _)| folder)
    }

    /// As [`Folder::shared`]; what is missing of the way is created with `mode`.
    ///
    /// # Errors
    /// [`Distrust`].
    pub fn shared_or_created(path: &Path, trusted: &Trusted, mode: u32) -> Result<Folder, Distrust> {
        walk(path, trusted, End::CreateShared(bits(mode))).map(|(folder, _)| folder)
    }

    /// True for a folder in which others may have names of their own.
    ///
    /// # Errors
    /// Those of looking.
    pub fn is_shared(&self) -> io::Result<bool> {
        Ok(self.own_facts()?.mode & 0o022 != 0)
    }

    /// Opens the folder that holds a file which need not exist, and returns the file's name with it. A link in the
    /// file's place is followed as those on the way are.
    ///
    /// # Errors
    /// [`Distrust`].
    pub fn trusted_parent(path: &Path, trusted: &Trusted) -> Result<(Folder, OsString), Distrust> {
        walk(path, trusted, End::Parent)
    }

    /// Opens a regular file, a program for example, if it and everything on the way to it is only the trusted users' to
    /// write.
    ///
    /// # Errors
    /// [`Distrust`].
    pub fn trusted_file(path: &Path, trusted: &Trusted) -> Result<File, Distrust> {
        open_file(path, trusted)
    }

    /// The same folder, open for listing.
    pub(crate) fn reopen(folder: &OwnedFd, path: PathBuf) -> io::Result<Folder> {
        let folder = rustix::fs::openat(folder, ".", OPEN, Mode::empty())?;
        Ok(Folder { folder, path })
    }

    /// Where the folder was when it was opened. For sentences and for programs that know only paths; what is done in
    /// the folder goes through its methods.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// One more descriptor of the same folder.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn try_clone(&self) -> io::Result<Folder> {
        Ok(Folder { folder: self.folder.try_clone()?, path: self.path.clone() })
    }

    /// Marks the folder as in use until this descriptor of it is closed, at the latest by the end of the process. Waits
    /// for whoever looks at the mark.
    ///
    /// # Errors
    /// Those of locking: some file systems cannot.
    #[doc(alias = "flock")]
    pub fn hold(&self) -> io::Result<()> {
        Ok(rustix::fs::flock(&self.folder, FlockOperation::LockExclusive)?)
    }

    /// True while a process that has not ended holds the folder.
    ///
    /// # Errors
    /// Those of locking.
    pub fn is_held(&self) -> io::Result<bool> {
        // A lock belongs to an open file, so one's own is looked at through another.
        let other = Folder::reopen(&self.folder, self.path.clone())?;
        match rustix::fs::flock(&other.folder, FlockOperation::NonBlockingLockShared) {
            Ok(()) => Ok(false),
            Err(Errno::WOULDBLOCK) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    /// Objects to the folder as it is now: its owner and mode.
    ///
    /// # Errors
    /// [`Distrust`].
    pub fn check(&self, trusted: &Trusted) -> Result<(), Distrust> {
        check(&self.folder, &self.path, trusted, false)
    }

    /// Opens a folder in this one. A link is refused.
    ///
    /// # Errors
    /// Those of opening.
    pub fn folder(&self, name: impl AsRef<OsStr>) -> io::Result<Folder> {
        let name = single(name.as_ref())?;
        let folder = rustix::fs::openat(&self.folder, name, OPEN, Mode::empty())?;
        Ok(Folder { folder, path: self.path.join(name) })
    }

    /// Opens a folder in this one, if it is only the trusted users' to write.
    ///
    /// # Errors
    /// [`Distrust`].
    pub fn trusted_folder(&self, name: impl AsRef<OsStr>, trusted: &Trusted) -> Result<Folder, Distrust> {
        let name = name.as_ref();
        let path = self.path.join(name);
        let folder = self.folder(name).map_err(|error| match self.facts(name) {
            Ok(Facts { kind: Kind::Link, .. }) => Distrust::Link { path },
            _ => at(&path, error),
        })?;
        folder.check(trusted)?;
        Ok(folder)
    }

    /// Creates a folder in this one and opens it.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], and those of creating.
    pub fn create_folder(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<Folder> {
        let name = name.as_ref();
        rustix::fs::mkdirat(&self.folder, single(name)?, bits(mode))?;
        self.folder(name)
    }

    /// Opens a folder in this one, if it is only the trusted users' to write, and creates it when it is missing.
    ///
    /// # Errors
    /// [`Distrust`].
    pub fn folder_or_created(
        &self,
        name: impl AsRef<OsStr>,
        trusted: &Trusted,
        mode: u32,
    ) -> Result<Folder, Distrust> {
        let name = name.as_ref();
        match self.create_folder(name, mode) {
            Ok(folder) => Ok(folder),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.trusted_folder(name, trusted),
            Err(error) => Err(at(&self.path.join(name), error)),
        }
    }

    /// Creates a file that was not there, for writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::AlreadyExists`], also for a link, and those of creating.
    pub fn create_file(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<File> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, single(name.as_ref())?, flags, bits(mode))?;
        Ok(File::from(file))
    }

    /// Opens a regular file to write at its end, and creates it when it is missing. A link is refused.
    ///
    /// # Errors
    /// Those of opening and creating; [`io::ErrorKind::InvalidInput`] when it is no regular file.
    pub fn append_file(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<File> {
        let flags = OFlags::WRONLY
            | OFlags::APPEND
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::NOCTTY
            | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, single(name.as_ref())?, flags, bits(mode))?;
        regular(file.into())
    }

    /// Writes a file whole or not at all. Whatever had the name before, a link too, is replaced and not written to. Two
    /// processes that do so at once do not disturb each other: the later one's file stays.
    ///
    /// # Errors
    /// Those of creating, of `write` and of renaming; the old file is still there.
    pub fn replace_with<T>(
        &self,
        name: impl AsRef<OsStr>,
        mode: u32,
        write: impl FnOnce(&mut File) -> io::Result<T>,
    ) -> io::Result<T> {
        let name = single(name.as_ref())?;
        let (fresh, mut file) = self.fresh(|fresh| self.create_file(fresh, mode))?;
        let written = write(&mut file).and_then(|written| {
            rustix::fs::renameat(&self.folder, &fresh, &self.folder, name)?;
            Ok(written)
        });
        if written.is_err() {
            // The reason that counts is the one at hand.
            drop(self.remove_file(&fresh));
        }
        written
    }

    /// Writes a file whole or not at all, as [`Folder::replace_with`] does.
    ///
    /// # Errors
    /// As [`Folder::replace_with`].
    pub fn replace(&self, name: impl AsRef<OsStr>, mode: u32, bytes: &[u8]) -> io::Result<()> {
        self.replace_with(name, mode, |file| file.write_all(bytes))
    }

    /// Makes the name a symbolic link to `target`, whatever it was before, unless that is a folder.
    ///
    /// # Errors
    /// Those of creating and of renaming.
    pub fn replace_link(&self, name: impl AsRef<OsStr>, target: impl AsRef<Path>) -> io::Result<()> {
        let name = single(name.as_ref())?;
        let (fresh, ()) =
            self.fresh(|fresh| Ok(rustix::fs::symlinkat(target.as_ref(), &self.folder, fresh)?))?;
        let renamed = rustix::fs::renameat(&self.folder, &fresh, &self.folder, name);
        if renamed.is_err() {
            drop(self.remove_file(&fresh));
        }
        Ok(renamed?)
    }

    /// Makes something of a name that nobody can guess and that is not there yet.
    fn fresh<T>(&self, make: impl Fn(&OsStr) -> io::Result<T>) -> io::Result<(OsString, T)> {
        loop {
            // A hasher of this kind starts from the system's random numbers.
            let random = RandomState::new().build_hasher().finish();
            let name = OsString::from(format!(".{random:016x}.new"));
            match make(&name) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => return made.map(|made| (name, made)),
            }
        }
    }

    /// Opens a regular file for reading. A link is refused, and a FIFO is not waited for.
    ///
    /// # Errors
    /// Those of opening; [`io::ErrorKind::InvalidInput`] when it is no regular file.
    pub fn open_file(&self, name: impl AsRef<OsStr>) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, single(name.as_ref())?, flags, Mode::empty())?;
        regular(file.into())
    }

    /// Reads a regular file whole, if it has at most `bytes_max` bytes.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn read(&self, name: impl AsRef<OsStr>, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
        let file = self.open_file(name).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidInput => ReadError::NotRegular,
            _ => ReadError::Io(error),
        })?;
        read_file(&file, bytes_max)
    }

    /// Where a link in this folder points.
    ///
    /// # Errors
    /// Those of reading it; also when it is no link.
    pub fn read_link(&self, name: impl AsRef<OsStr>) -> io::Result<PathBuf> {
        let target = rustix::fs::readlinkat(&self.folder, single(name.as_ref())?, Vec::new())?;
        Ok(PathBuf::from(OsString::from_vec(target.into_bytes())))
    }

    /// What lies in the folder, sorted by name.
    ///
    /// # Errors
    /// Those of reading it; also when there are more than a million names.
    pub fn entries(&self) -> io::Result<Vec<Entry>> {
        let mut found = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            if found.len() == ENTRIES_MAX {
                return Err(io::Error::other(format!("it holds more than {ENTRIES_MAX} names")));
            }
            let kind = match entry.file_type() {
                FileType::Unknown => match self.facts(name) {
                    Ok(facts) => facts.kind,
                    // It went meanwhile.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                },
                known => Kind::of(known),
            };
            found.push(Entry { name: name.to_owned(), kind });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// What is known about something in this folder; a link is not followed.
    ///
    /// # Errors
    /// Those of looking; [`io::ErrorKind::NotFound`] when there is nothing of that name.
    pub fn facts(&self, name: impl AsRef<OsStr>) -> io::Result<Facts> {
        let stat = rustix::fs::statat(&self.folder, single(name.as_ref())?, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(Facts::of(&stat))
    }

    /// What is known about the folder itself.
    ///
    /// # Errors
    /// Those of looking.
    pub fn own_facts(&self) -> io::Result<Facts> {
        Ok(Facts::of(&rustix::fs::fstat(&self.folder)?))
    }

    /// Removes a file or a link.
    ///
    /// # Errors
    /// Those of removing; also when it is a folder.
    pub fn remove_file(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.folder, single(name.as_ref())?, AtFlags::empty())?)
    }

    /// Removes an empty folder.
    ///
    /// # Errors
    /// Those of removing.
    pub fn remove_folder(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.folder, single(name.as_ref())?, AtFlags::REMOVEDIR)?)
    }

    /// Removes a file, a link or a folder with everything in it. What a link points to stays, and so does what another
    /// file system has below it: a mount point cannot be removed.
    ///
    /// # Errors
    /// Those of removing; also when the tree is more than 128 folders deep.
    pub fn remove_tree(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        let device = self.own_facts()?.identity.0;
        self.remove_below(name.as_ref(), device, DEPTH_MAX)
    }

    fn remove_below(&self, name: &OsStr, device: u64, depth: u32) -> io::Result<()> {
        if self.facts(name)?.kind != Kind::Folder {
            return self.remove_file(name);
        }
        let depth = depth.checked_sub(1).ok_or_else(|| io::Error::other("it is too deep a tree"))?;
        let folder = self.folder(name)?;
        if folder.own_facts()?.identity.0 != device {
            return Err(io::Error::other(format!("{} is a mount point", folder.path().display())));
        }
        for entry in folder.entries()? {
            folder.remove_below(&entry.name, device, depth)?;
        }
        self.remove_folder(name)
    }

    /// Gives everything in the folder, and the folder itself, to a user and their group. No link is followed.
    ///
    /// # Errors
    /// Those of changing the owner.
    pub fn give(&self, owner: u32, group: u32) -> io::Result<()> {
        self.give_below(rustix::fs::Uid::from_raw(owner), rustix::fs::Gid::from_raw(group), DEPTH_MAX)
    }

    fn give_below(&self, owner: rustix::fs::Uid, group: rustix::fs::Gid, depth: u32) -> io::Result<()> {
        let depth = depth.checked_sub(1).ok_or_else(|| io::Error::other("it is too deep a tree"))?;
        for Entry { name, kind } in self.entries()? {
            if kind == Kind::Folder {
                self.folder(&name)?.give_below(owner, group, depth)?;
            } else {
                self.give_one(&name, owner.as_raw(), group.as_raw())?;
            }
        }
        Ok(rustix::fs::fchown(&self.folder, Some(owner), Some(group))?)
    }

    /// Gives one file or link in the folder to a user and their group. A link is not followed.
    ///
    /// # Errors
    /// Those of changing the owner.
    pub fn give_one(&self, name: impl AsRef<OsStr>, owner: u32, group: u32) -> io::Result<()> {
        let (owner, group) = (rustix::fs::Uid::from_raw(owner), rustix::fs::Gid::from_raw(group));
        let name = single(name.as_ref())?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::chownat(&self.folder, name, Some(owner), Some(group), flags)?)
    }

    /// Gives the folder itself, but not what is in it, to a user and their group.
    ///
    /// # Errors
    /// Those of changing the owner.
    pub fn give_itself(&self, owner: u32, group: u32) -> io::Result<()> {
        let (owner, group) = (rustix::fs::Uid::from_raw(owner), rustix::fs::Gid::from_raw(group));
        Ok(rustix::fs::fchown(&self.folder, Some(owner), Some(group))?)
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

impl Kind {
    fn of(kind: FileType) -> Kind {
        match kind {
            FileType::Directory => Kind::Folder,
            FileType::RegularFile => Kind::File,
            FileType::Symlink => Kind::Link,
            _ => Kind::Other,
        }
    }
}

impl Facts {
    #[allow(
        clippy::cast_sign_loss,
        clippy::unnecessary_cast,
        reason = "the fields' types differ between Linux and macOS; no file has a negative size or number"
    )]
    fn of(stat: &rustix::fs::Stat) -> Facts {
        Facts {
            kind: Kind::of(FileType::from_raw_mode(stat.st_mode)),
            owner: stat.st_uid,
            group: stat.st_gid,
            mode: stat.st_mode as u32 & 0o7777,
            size: stat.st_size as u64,
            identity: (stat.st_dev as u64, stat.st_ino as u64),
        }
    }
}

fn regular(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, ReadError::NotRegular))
    }
}

/// A name that names something in the folder itself.
fn single(name: &OsStr) -> io::Result<&OsStr> {
    let bytes = name.as_bytes();
    if bytes.is_empty() || bytes == b"." || bytes == b".." || bytes.contains(&b'/') || bytes.contains(&0) {
        let message = format!("{} is not a name of something in a folder", name.display());
        return Err(io::Error::new(io::ErrorKind::InvalidFilename, message));
    }
    Ok(name)
}

/// A mode as the kernel takes it; bits that are none of a mode are left out.
pub(crate) fn bits(mode: u32) -> Mode {
    Mode::from_bits_truncate((mode & 0o7777) as _)
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{PermissionsExt, symlink},
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use proptest::prelude::*;

    use super::*;

    fn own() -> Trusted {
        Trusted::of_this_process(None)
    }

    fn fresh(name: &str) -> PathBuf {
        let folder =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tmp").join(format!("folder-{name}"));
        drop(fs::remove_dir_all(&folder));
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        folder.canonicalize().unwrap()
    }

    #[test]
    fn a_way_is_walked_over_trusted_links_and_back() {
        let path = fresh("way");
        fs::create_dir_all(path.join("a/b")).unwrap();
        symlink("a", path.join("relative")).unwrap();
        symlink(path.join("a/b"), path.join("absolute")).unwrap();
        for way in ["a/b", "relative/b", "absolute", "a/../relative/./b", "absolute/../b"] {
            let folder = Folder::trusted(&path.join(way), &own()).unwrap();
            assert_eq!(folder.path(), path.join("a/b"), "{way}");
        }
        symlink("round", path.join("round")).unwrap();
        let error = Folder::trusted(&path.join("round"), &own()).unwrap_err();
        assert!(error.io().is_some() && !error.is_refusal(), "{error}");
    }

    #[test]
    fn what_others_may_write_is_refused_in_one_sentence() {
        let path = fresh("mode");
        fs::create_dir(path.join("in")).unwrap();
        fs::write(path.join("in/program"), "").unwrap();
        // In a sticky folder nobody else can exchange what is another's.
        fs::set_permissions(path.join("in"), fs::Permissions::from_mode(0o1777)).unwrap();
        assert!(Folder::trusted_file(&path.join("in/program"), &own()).is_ok());
        for (of, mode) in [("in", 0o777), ("in/program", 0o757)] {
            fs::set_permissions(path.join(of), fs::Permissions::from_mode(mode)).unwrap();
            let error = Folder::trusted_file(&path.join("in/program"), &own()).unwrap_err();
            assert!(error.is_refusal());
            let sentence =
                format!("{} can be written by other users (mode {mode:o})", path.join(of).display());
            assert_eq!(error.to_string(), sentence);
            fs::set_permissions(path.join(of), fs::Permissions::from_mode(0o755)).unwrap();
        }
        Folder::trusted_file(&path.join("in/program"), &own()).unwrap();
    }

    #[test]
    fn a_file_is_replaced_and_not_written_to() {
        let path = fresh("replace");
        fs::write(path.join("outside"), "outside").unwrap();
        let folder = Folder::trusted(&path, &own()).unwrap();
        symlink("outside", path.join("report")).unwrap();
        assert_eq!(folder.create_file("report", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        folder.replace("report", 0o600, b"report").unwrap();
        assert_eq!(fs::read(path.join("outside")).unwrap(), b"outside");
        assert_eq!(folder.read("report", 6).unwrap(), b"report");
        assert_eq!(folder.facts("report").unwrap().mode, 0o600);
        let failed = folder.replace_with("report", 0o600, |file| {
            file.write_all(b"half")?;
            Err::<(), _>(io::Error::other("no"))
        });
        assert!(failed.is_err());
        assert_eq!(folder.read("report", 6).unwrap(), b"report");
        assert_eq!(folder.entries().unwrap().len(), 2, "nothing stays behind");
    }

    #[test]
    fn a_tree_goes_and_what_its_links_point_to_stays() {
        let path = fresh("tree");
        fs::create_dir_all(path.join("outside/kept")).unwrap();
        fs::create_dir_all(path.join("run/deep/deeper")).unwrap();
        fs::write(path.join("run/deep/file"), "").unwrap();
        symlink(path.join("outside"), path.join("run/deep/link")).unwrap();
        symlink(path.join("outside"), path.join("link")).unwrap();
        let folder = Folder::trusted(&path, &own()).unwrap();
        assert!(folder.folder("link").is_err());
        assert!(matches!(folder.trusted_folder("link", &own()), Err(Distrust::Link { .. })));
        folder.remove_tree("run").unwrap();
        folder.remove_tree("link").unwrap();
        let left: Vec<_> = folder.entries().unwrap().into_iter().map(|entry| entry.name).collect();
        assert_eq!(left, ["outside"]);
        assert!(path.join("outside/kept").is_dir());
    }

    #[test]
    fn a_folder_swapped_for_a_link_while_it_is_removed_takes_nothing_outside_with_it() {
        let path = fresh("race");
        fs::create_dir_all(path.join("outside")).unwrap();
        fs::write(path.join("outside/kept"), "").unwrap();
        symlink(path.join("outside"), path.join("link")).unwrap();
        let (folder, over) = (Folder::trusted(&path, &own()).unwrap(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    drop(fs::rename(path.join("run"), path.join("aside")));
                    drop(fs::rename(path.join("link"), path.join("run")));
                    drop(fs::rename(path.join("run"), path.join("link")));
                    drop(fs::rename(path.join("aside"), path.join("run")));
                }
            });
            for _ in 0..300 {
                drop(fs::create_dir(path.join("run")));
                drop(fs::write(path.join("run/file"), ""));
                drop(folder.remove_tree("run"));
                if !path.join("link").is_symlink() && !path.join("run").is_symlink() {
                    drop(symlink(path.join("outside"), path.join("link")));
                }
            }
            over.store(true, Ordering::Relaxed);
        });
        // `fs::write` above may follow the link, which is its own fault; what was there stays.
        assert!(path.join("outside/kept").is_file());
    }

    proptest! {
        #[test]
        fn only_single_names_are_names(name in "[a./\\x00]{0,4}") {
            let taken = single(OsStr::new(&name)).is_ok();
            let plain = !name.is_empty() && !name.contains(['/', '\0']) && name != "." && name != "..";
            prop_assert_eq!(taken, plain);
        }
    }
}
