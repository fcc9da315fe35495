//! What a built bundle must hold, looked at part by part.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read},
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::Path,
};

use lab_model::FileId;
use plist::Dictionary;

use crate::{Architecture, Bundle, BundleError, Check, Subject, architecture::HEADER_BYTES, property_list};

/// The largest `Info.plist` that is read; ours has under 2 KiB.
const INFO_PLIST_BYTES_MAX: u64 = 1 << 20;

/// What one bundle holds; an absent part is a failed check, not an error.
struct Contents {
    info: Result<Dictionary, String>,
    file: Option<ExecutableFile>,
}

struct ExecutableFile {
    identity: FileId,
    mode: u32,
    regular: bool,
    bytes: u64,
    architecture: Option<Architecture>,
}

impl Contents {
    fn text(&self, key: &str) -> Option<&str> {
        self.info.as_ref().ok()?.get(key)?.as_string()
    }
}

/// Reads bundles back and checks each against what was asked for: seven checks a bundle, in order.
///
/// What is absent or wrong comes back as a failed check, which [`require`] turns into an error.
///
/// # Errors
/// When a part is there and cannot be read.
pub fn verify(bundles: &[Bundle]) -> Result<Vec<Check>, BundleError> {
    let contents: Vec<Contents> = bundles.iter().map(read).collect::<Result<_, _>>()?;
    let mut identifiers: BTreeMap<String, usize> = BTreeMap::new();
    let mut inodes: BTreeMap<FileId, usize> = BTreeMap::new();
    for content in &contents {
        if let Some(identifier) = content.text("CFBundleIdentifier") {
            *identifiers.entry(identifier.to_ascii_lowercase()).or_default() += 1;
        }
        if let Some(file) = &content.file {
            *inodes.entry(file.identity).or_default() += 1;
        }
    }
    let common = contents.first().and_then(|content| content.file.as_ref()?.architecture);
    let mut checks = Vec::with_capacity(bundles.len() * Subject::ALL.len());
    for (bundle, content) in bundles.iter().zip(&contents) {
        for subject in Subject::ALL {
            let (passed, found) = match subject {
                Subject::InfoPlist => match &content.info {
                    Ok(info) => (true, format!("{} keys", info.len())),
                    Err(reason) => (false, reason.clone()),
                },
                Subject::Identifier => equal(content.text("CFBundleIdentifier"), bundle.bundle_id.as_str()),
                Subject::UniqueIdentifier => unique_identifier(content, &identifiers),
                Subject::ExecutableName => equal(content.text("CFBundleExecutable"), bundle.client.as_str()),
                Subject::Executable => executable(content),
                Subject::OwnCopy => own_copy(content, &inodes),
                Subject::Architecture => architecture(content, common),
                // Not in `ALL`: see `verify_signatures` and `verify_host`.
                Subject::Signature
                | Subject::SigningIdentifier
                | Subject::Entitlement
                | Subject::Helpers
                | Subject::Sealed
                | Subject::Extension => continue,
            };
            checks.push(Check { client: bundle.client.clone(), subject, passed, found });
        }
    }
    Ok(checks)
}

/// Turns failed checks into an error, for those who cannot go on with a bad bundle.
///
/// # Errors
/// When a check failed.
pub fn require(checks: Vec<Check>) -> Result<(), BundleError> {
    let mut failed = checks.into_iter().filter(|check| !check.passed);
    match failed.next() {
        None => Ok(()),
        Some(first) => Err(BundleError::Check { failed: 1 + failed.count(), first: Box::new(first) }),
    }
}

pub(crate) fn equal(found: Option<&str>, wanted: &str) -> (bool, String) {
    match found {
        Some(found) if found == wanted => (true, found.to_owned()),
        Some(found) => (false, format!("{found}, wanted {wanted}")),
        None => (false, format!("absent, wanted {wanted}")),
    }
}

fn unique_identifier(content: &Contents, identifiers: &BTreeMap<String, usize>) -> (bool, String) {
    let identifier = content.text("CFBundleIdentifier").map(str::to_ascii_lowercase);
    match identifier.and_then(|identifier| identifiers.get(&identifier)) {
        Some(1) => (true, "no other bundle has it".to_owned()),
        Some(count) => (false, format!("{count} bundles have it")),
        None => (false, "absent".to_owned()),
    }
}

fn executable(content: &Contents) -> (bool, String) {
    match &content.file {
        None => (false, "absent".to_owned()),
        Some(file) if !file.regular => (false, "no regular file".to_owned()),
        Some(file) => {
            let runnable = file.mode & 0o111 == 0o111 && file.bytes > 0;
            (runnable, format!("{} bytes, mode {:04o}", file.bytes, file.mode & 0o7777))
        }
    }
}

fn own_copy(content: &Contents, inodes: &BTreeMap<FileId, usize>) -> (bool, String) {
    match &content.file {
        None => (false, "absent".to_owned()),
        Some(file) => match inodes.get(&file.identity) {
            Some(1) => (true, format!("inode {}", file.identity.inode)),
            count => {
                let count = count.copied().unwrap_or_default();
                (false, format!("{count} bundles share inode {}", file.identity.inode))
            }
        },
    }
}

fn architecture(content: &Contents, common: Option<Architecture>) -> (bool, String) {
    match content.file.as_ref().and_then(|file| file.architecture) {
        None => (false, "neither ELF nor Mach-O".to_owned()),
        Some(found) if Some(found) == common => (true, found.to_string()),
        Some(found) => (false, format!("{found}, unlike the first bundle")),
    }
}

fn read(bundle: &Bundle) -> Result<Contents, BundleError> {
    let info = match bytes_of(&bundle.info_plist(), INFO_PLIST_BYTES_MAX)? {
        None => Err("absent".to_owned()),
        Some(bytes) => dictionary(&bytes),
    };
    let file = match fs::symlink_metadata(&bundle.executable) {
        Err(error) if is_absent(&error) => None,
        Err(error) => return Err(BundleError::io("read", &bundle.executable)(error)),
        Ok(metadata) => {
            let header = if metadata.is_file() {
                bytes_of(&bundle.executable, HEADER_BYTES as u64)?.unwrap_or_default()
            } else {
                Vec::new()
            };
            Some(ExecutableFile {
                identity: FileId { device: metadata.dev(), inode: metadata.ino() },
                mode: metadata.permissions().mode(),
                regular: metadata.is_file(),
                bytes: metadata.len(),
                architecture: Architecture::of(&header),
            })
        }
    };
    Ok(Contents { info, file })
}

fn dictionary(bytes: &[u8]) -> Result<Dictionary, String> {
    property_list(bytes).map_err(|error| error.to_string())
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn bytes_of(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, BundleError> {
    let file = match lab_files::open_regular(path).map_err(io::Error::from) {
        Err(error) if is_absent(&error) => return Ok(None),
        opened => opened.map_err(BundleError::io("open", path))?,
    };
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes).map_err(BundleError::io("read", path))?;
    Ok(Some(bytes))
}
