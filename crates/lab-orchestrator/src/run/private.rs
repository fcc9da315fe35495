//! The folders that a product gets for itself: file systems in memory over those of the machine.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use lab_files::ReadError;
use lab_model::PrivateFolder;

/// The most that one private folder holds, in bytes.
const BYTES_MAX: u64 = 256 << 20;
/// The most that is copied into one, in bytes.
const COPIED_BYTES_MAX: u64 = 64 << 20;

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
