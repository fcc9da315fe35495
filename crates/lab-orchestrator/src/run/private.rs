//! The folders that a product gets for itself: file systems in memory over those of the machine. Products that want the
//! same one have mount namespaces of their own, where each sees its own; all others share the lab's, because a mark on a
//! mount sees only what is opened through that mount.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::fd::AsRawFd,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use lab_files::ReadError;
use lab_model::{External, PrivateFolder};

/// The most that one private folder holds, in bytes.
const BYTES_MAX: u64 = 256 << 20;
/// The most that is copied into one, in bytes.
const COPIED_BYTES_MAX: u64 = 64 << 20;

/// What goes into another mount namespace and then becomes a program (util-linux).
pub(crate) const ENTER: &str = "/usr/bin/nsenter";

/// A product's own mount namespace, which lasts as long as this.
#[derive(Debug)]
pub(super) struct OwnNamespace(fs::File);

impl OwnNamespace {
    /// Makes one with the product's folders laid out in it; the device of each is told, too. To be called while this
    /// process may mount.
    pub(super) fn make(
        product: &External,
        arena: &Path,
    ) -> Result<(OwnNamespace, Vec<u64>), (Option<PrivateFolder>, io::Error)> {
        // A mount namespace is a thread's; this one's ends with it, and the namespace stays with its descriptor.
        let body = || {
            lab_backend_fanotify::confine::own_mounts().map_err(|error| (None, error))?;
            let mut devices = Vec::new();
            for folder in &product.private {
                let failed = |error| (Some(folder.clone()), error);
                make(folder, arena).map_err(failed)?;
                devices.push(fs::metadata(&folder.path).map_err(failed)?.dev());
            }
            let file = fs::File::open("/proc/thread-self/ns/mnt").map_err(|error| (None, error))?;
            Ok((OwnNamespace(file), devices))
        };
        let ended = || (None, io::Error::other("the thread that makes its mount namespace has ended"));
        std::thread::scope(|scope| scope.spawn(body).join().unwrap_or_else(|_| Err(ended())))
    }

    /// What is run so that `program` runs in it: a program and the arguments that come before.
    pub(super) fn enter(&self, program: &str) -> (&'static str, Vec<String>) {
        let file = format!("/proc/{}/fd/{}", lab_process::process_id(), self.0.as_raw_fd());
        (ENTER, vec![format!("--mount={file}"), "--".to_owned(), program.to_owned()])
    }
}

/// Whether a product wants a folder for itself that another one wants, too, or one above or below it.
pub(crate) fn is_contested(place: usize, products: &[External]) -> bool {
    let others = products.iter().enumerate().filter(|&(other, _)| other != place);
    let taken: Vec<&Path> =
        others.flat_map(|(_, other)| &other.private).map(|folder| Path::new(&folder.path)).collect();
    let own = products.get(place).into_iter().flat_map(|product| &product.private);
    own.map(|folder| Path::new(&folder.path))
        .any(|own| taken.iter().any(|taken| own.starts_with(taken) || taken.starts_with(own)))
}

/// Something of a folder that is copied.
enum Copied {
    Folder,
    Link(PathBuf),
    File(Vec<u8>),
}

/// A folder's content, in an order in which it can be made again.
type Content = Vec<(PathBuf, fs::Metadata, Copied)>;

/// Lays the folder's file system over it and fills it.
pub(super) fn make(folder: &PrivateFolder, arena: &Path) -> io::Result<()> {
    // Read first: a folder may be a copy of what it hides.
    let mut content = Vec::new();
    if let Some(from) = &folder.from {
        read(Path::new(from), Path::new(""), &mut 0, &mut content)?;
    }
    let root = Path::new(&folder.path);
    lab_backend_fanotify::confine::hide_folder(root, BYTES_MAX)?;
    for (path, facts, copied) in &content {
        write(&root.join(path), facts, copied)?;
    }
    for path in &folder.folders {
        DirBuilder::new().recursive(true).mode(0o755).create(root.join(path))?;
    }
    for (path, text) in &folder.files {
        let path = root.join(path);
        if let Some(parent) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
        }
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path)?;
        file.write_all(fill_in(text, arena).as_bytes())?;
    }
    Ok(())
}

/// A text of the lab file with the arena's path in its places.
pub(super) fn fill_in(text: &str, arena: &Path) -> String {
    text.replace("{arena}", &arena.display().to_string())
}

fn read(root: &Path, below: &Path, bytes: &mut u64, content: &mut Content) -> io::Result<()> {
    for entry in fs::read_dir(root.join(below))? {
        let entry = entry?;
        let path = below.join(entry.file_name());
        let facts = entry.metadata()?;
        if facts.is_dir() {
            content.push((path.clone(), facts, Copied::Folder));
            read(root, &path, bytes, content)?;
        } else if facts.is_symlink() {
            let target = fs::read_link(entry.path())?;
            content.push((path, facts, Copied::Link(target)));
        } else if facts.is_file() {
            // What is there when it is read counts: a size is a promise of somebody else's.
            let text =
                lab_files::read(&entry.path(), COPIED_BYTES_MAX - *bytes).map_err(|error| match error {
                    ReadError::TooLarge { .. } => io::Error::other(format!(
                        "{} holds more than {COPIED_BYTES_MAX} bytes",
                        root.display()
                    )),
                    error => error.into(),
                })?;
            *bytes = bytes.saturating_add(text.len() as u64);
            content.push((path, facts, Copied::File(text)));
        }
        // Sockets, pipes and devices belong to whoever made them.
    }
    Ok(())
}

fn write(path: &Path, facts: &fs::Metadata, copied: &Copied) -> io::Result<()> {
    match copied {
        Copied::Folder => fs::create_dir(path)?,
        Copied::Link(target) => return symlink(target, path),
        Copied::File(bytes) => fs::write(path, bytes)?,
    }
    std::os::unix::fs::chown(path, Some(facts.uid()), Some(facts.gid()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(facts.mode() & 0o7777))
}

#[cfg(test)]
mod tests {
    use lab_model::{Ready, Recognized, Span};

    use super::*;

    fn product(id: &str, folders: &[&str]) -> External {
        let private = folders.iter().map(|path| PrivateFolder {
            path: (*path).to_owned(),
            from: None,
            folders: Vec::new(),
            files: Vec::new(),
        });
        External {
            id: id.parse().unwrap(),
            start: vec!["/bin/true".to_owned()],
            environment: Vec::new(),
            ready: Ready::Started,
            ready_within: Span::from_secs(1),
            process: Recognized::default(),
            arena: None,
            private: private.collect(),
        }
    }

    #[test]
    fn a_folder_is_contested_when_two_want_it_or_one_within_it() {
        let products = [
            product("one", &["/etc/one", "/run"]),
            product("two", &["/run/two"]),
            product("three", &["/etc/one-more"]),
        ];
        let contested: Vec<bool> = (0..3).map(|place| is_contested(place, &products)).collect();
        assert_eq!(contested, [true, true, false]);
    }
}
