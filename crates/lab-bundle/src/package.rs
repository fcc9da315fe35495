//! A client's bundle on disk: its folders, its executable, its property lists.

use std::{
    fs::{self, File},
    io::{self, Seek},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use lab_files::{ReadError, open_regular};
use lab_model::{BundleId, Client, ClientId};

use crate::{BundleError, Template};

/// Anybody may run a client's executable, only its owner may change it.
pub(crate) const EXECUTABLE_MODE: u32 = 0o755;

/// One packaged client on disk: its folder, and its identity as the property list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bundle {
    /// The client it is for.
    pub client: ClientId,
    /// Its identity; the launchd label and the signing identifier are the same.
    pub bundle_id: BundleId,
    /// The folder `ID.app`.
    pub root: PathBuf,
    /// The client's own copy of the executable, below `root`.
    pub executable: PathBuf,
}

impl Bundle {
    /// Names the bundle of one client below the folder `into`; touches nothing.
    #[must_use]
    pub fn at(client: &Client, into: &Path) -> Bundle {
        let root = into.join(format!("{}.app", client.id));
        let executable = executable_below(&root, &client.id);
        Bundle { client: client.id.clone(), bundle_id: client.bundle_id.clone(), root, executable }
    }

    /// The path of the client's helper program, which is there if the client has helpers.
    #[must_use]
    pub fn helper(&self) -> PathBuf {
        helper_below(&self.root)
    }

    /// The path of the bundle's `Info.plist`.
    #[must_use]
    pub fn info_plist(&self) -> PathBuf {
        info_plist_below(&self.root)
    }
}

/// Packages one executable as one bundle for each client, in the folder `into`, which is made if absent. A client
/// with helpers gets a copy of `helper` in its bundle, for it starts them from there.
///
/// A second call replaces what the first one made. Each bundle is made under a name that begins with a dot
/// and moved into place whole, so a crash at any moment leaves a bundle either absent or complete; the next
/// call removes what a crash left. One packager at a time works on one folder.
///
/// # Errors
/// When two clients share a name or a bundle ID (nothing is written then), or a file cannot be written.
pub fn package(
    executable: &Path,
    helper: Option<&Path>,
    clients: &[Client],
    into: &Path,
) -> Result<Vec<Bundle>, BundleError> {
    refuse_duplicates(clients)?;
    let executable = open_program(executable)?;
    let has_helpers = clients.iter().any(|client| client.behavior.helpers.is_some());
    let helper = helper.filter(|_| has_helpers).map(open_program).transpose()?;
    package_open(&executable, helper.as_ref(), clients, into)
}

/// Packages programs that are open, as [`package`] does: what was looked at through a descriptor is what is copied.
///
/// # Errors
/// As [`package`].
pub fn package_open(
    executable: &File,
    helper: Option<&File>,
    clients: &[Client],
    into: &Path,
) -> Result<Vec<Bundle>, BundleError> {
    refuse_duplicates(clients)?;
    let template = Template::embedded()?;
    fs::create_dir_all(into).map_err(BundleError::io("make the folder", into))?;
    let package = |client: &Client| {
        let helper = helper.filter(|_| client.behavior.helpers.is_some());
        package_one(&template, executable, helper, client, into)
    };
    clients.iter().map(package).collect()
}

/// Opens a program that is to be copied, and refuses what is no file.
pub(crate) fn open_program(path: &Path) -> Result<File, BundleError> {
    open_regular(path).map_err(|error| match error {
        ReadError::Io(error) => BundleError::io("read", path)(error),
        _ => BundleError::NotAFile { path: path.to_path_buf() },
    })
}

fn package_one(
    template: &Template,
    executable: &File,
    helper: Option<&File>,
    client: &Client,
    into: &Path,
) -> Result<Bundle, BundleError> {
    let bundle = Bundle::at(client, into);
    let partial = into.join(format!(".{}.app.partial", client.id));
    let replaced = into.join(format!(".{}.app.replaced", client.id));
    remove_tree(&partial)?;
    let info = template.info(&client.id, &client.bundle_id)?;
    lay_out(&partial, &client.id, executable, helper, &info)?;
    move_into_place(&partial, &bundle.root, &replaced)?;
    Ok(bundle)
}

/// Fills a folder with the parts of a bundle.
pub(crate) fn lay_out(
    root: &Path,
    client: &ClientId,
    executable: &File,
    helper: Option<&File>,
    info: &[u8],
) -> Result<(), BundleError> {
    copy_program(executable, &executable_below(root, client))?;
    if let Some(helper) = helper {
        copy_program(helper, &helper_below(root))?;
    }
    let path = info_plist_below(root);
    fs::write(&path, info).map_err(BundleError::io("write", &path))
}

/// Moves a whole bundle to its place; what was there goes by way of `replaced`.
pub(crate) fn move_into_place(partial: &Path, root: &Path, replaced: &Path) -> Result<(), BundleError> {
    remove_tree(replaced)?;
    let was_there = moved_away(root, replaced)?;
    fs::rename(partial, root).map_err(BundleError::io("move into place", root))?;
    if was_there { remove_tree(replaced) } else { Ok(()) }
}

fn copy_program(mut program: &File, copy: &Path) -> Result<(), BundleError> {
    if let Some(folder) = copy.parent() {
        fs::create_dir_all(folder).map_err(BundleError::io("make the folder", folder))?;
    }
    let mut copied = File::create(copy).map_err(BundleError::io("make the file", copy))?;
    // It may have been copied before.
    program
        .seek(io::SeekFrom::Start(0))
        .and_then(|_| io::copy(&mut program, &mut copied))
        .map_err(BundleError::io("copy the executable to", copy))?;
    fs::set_permissions(copy, fs::Permissions::from_mode(EXECUTABLE_MODE))
        .map_err(BundleError::io("make executable", copy))
}

pub(crate) fn refuse_duplicates(clients: &[Client]) -> Result<(), BundleError> {
    for (index, second) in clients.iter().enumerate() {
        for first in &clients[..index] {
            if first.id == second.id {
                return Err(BundleError::DuplicateClient { client: second.id.clone() });
            }
            if first.bundle_id.as_str().eq_ignore_ascii_case(second.bundle_id.as_str()) {
                return Err(BundleError::DuplicateBundleId {
                    first: first.id.clone(),
                    second: second.id.clone(),
                    bundle_id: second.bundle_id.clone(),
                });
            }
        }
    }
    Ok(())
}

pub(crate) fn executable_below(root: &Path, client: &ClientId) -> PathBuf {
    root.join("Contents").join("MacOS").join(client.as_str())
}

fn helper_below(root: &Path) -> PathBuf {
    root.join("Contents").join("Helpers").join("lab-worker")
}

fn info_plist_below(root: &Path) -> PathBuf {
    root.join("Contents").join("Info.plist")
}

/// Moves what is at `from` to `to`; false when nothing was there.
fn moved_away(from: &Path, to: &Path) -> Result<bool, BundleError> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(BundleError::io("replace", from)(error)),
    }
}

pub(crate) fn remove_tree(path: &Path) -> Result<(), BundleError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(BundleError::io("remove", path)(error)),
        _ => Ok(()),
    }
}
