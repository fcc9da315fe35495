//! Reads the code signature of a Mach-O file, trusting no length in it.

use super::{
    FLAG_AD_HOC, FLAG_RUNTIME, HASH_BYTES, HASH_TYPE_SHA256, MAGIC_CODE_DIRECTORY, MAGIC_ENTITLEMENTS,
    MAGIC_ENTITLEMENTS_DER, MAGIC_SIGNATURE, MachOError, PAGE_BITS, PAGE_BYTES, SLOT_CODE_DIRECTORY,
    SLOT_ENTITLEMENTS, SLOT_ENTITLEMENTS_DER, SLOT_INFO, SLOT_REQUIREMENTS, SLOT_RESOURCES, mach_o::MachO,
    sha256,
};

/// The most blobs of a signature that are looked at.
const BLOBS_MAX: u32 = 64;

/// What keeps a signature from being made or believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// The file is not of the kind that is signed here.
    #[error(transparent)]
    MachO(#[from] MachOError),
    /// The entitlements are no dictionary in XML.
    #[error("the entitlements are no property list with a dictionary")]
    Entitlements,
    /// An entitlement whose value is neither a boolean, a text nor a list of them.
    #[error("the entitlement {0} has a value of a kind that cannot be signed here")]
    UnsupportedEntitlement(String),
    /// An empty identifier, or one with a zero byte.
    #[error("the signing identifier is empty or has a zero byte")]
    Identifier,
    /// More than 4 GiB.
    #[error("the executable is too large to be signed")]
    TooLarge,
    /// The signature's own structure does not hold.
    #[error("the signature is damaged: {0}")]
    Damaged(&'static str),
    /// Hashes of another kind than SHA-256 over 4-KiB pages.
    #[error("the signature's hashes are of a kind that is not read here")]
    UnknownHash,
    /// A part of the file is not what was signed.
    #[error("{0} is not what was signed")]
    Altered(&'static str),
}

/// A signature that was read back and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The signing identifier.
    pub identifier: String,
    /// True when no key vouches for it.
    pub is_ad_hoc: bool,
    /// True when the hardened runtime is asked for.
    pub has_runtime: bool,
    /// The entitlements in XML; `None` when there are none.
    pub entitlements: Option<Vec<u8>>,
    /// What the kernel calls the code: the first 20 bytes of the directory's hash.
    pub cdhash: [u8; 20],
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_be_bytes(*chunk))
}

fn size_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}

/// Reads a linker's or an ad hoc signature and checks every page of the file against it.
///
/// # Errors
/// When the file has no signature of the known kind, or is not what was signed.
pub fn read_linked(executable: &[u8]) -> Result<Signature, SignatureError> {
    let layout = MachO::parse(executable)?;
    let (code, signature) = executable.split_at(layout.signature.start);
    let directory = Directory::find(signature)?;
    directory.check_pages(code)?;
    directory.describe(signature)
}

/// Reads a bundle's signature and checks everything that it vouches for: the file's pages, the two property
/// lists beside it and the entitlements in it.
///
/// # Errors
/// When the file has no signature of the known kind, or a part is not what was signed.
pub fn read(executable: &[u8], info: &[u8], resources: &[u8]) -> Result<Signature, SignatureError> {
    let found = read_linked(executable)?;
    let layout = MachO::parse(executable)?;
    let signature = &executable[layout.signature.start..];
    let directory = Directory::find(signature)?;
    directory.check_special(SLOT_INFO, info, "Info.plist")?;
    directory.check_special(SLOT_RESOURCES, resources, "CodeResources")?;
    let embedded = [
        (SLOT_REQUIREMENTS, "the set of requirements"),
        (SLOT_ENTITLEMENTS, "the set of entitlements"),
        (SLOT_ENTITLEMENTS_DER, "the encoded set of entitlements"),
    ];
    for (slot, what) in embedded {
        let bytes = blob_in(signature, slot)?.ok_or(SignatureError::Damaged("a part is absent"))?;
        directory.check_special(slot, bytes, what)?;
    }
    Ok(found)
}

/// Finds a blob by its slot; the bytes with magic and length.
fn blob_in(signature: &[u8], wanted: u32) -> Result<Option<&[u8]>, SignatureError> {
    let damaged = SignatureError::Damaged("its index does not hold");
    if u32_at(signature, 0) != Some(MAGIC_SIGNATURE) {
        return Err(SignatureError::Damaged("it does not begin as one"));
    }
    let count = u32_at(signature, 8).filter(|count| *count <= BLOBS_MAX).ok_or(damaged.clone())?;
    for entry in 0..usize::try_from(count).unwrap_or_default() {
        let at = 12 + 8 * entry;
        let (Some(slot), Some(offset)) = (u32_at(signature, at), size_at(signature, at + 4)) else {
            return Err(damaged);
        };
        if slot == wanted {
            let length = size_at(signature, offset.saturating_add(4)).ok_or(damaged.clone())?;
            let end = offset.checked_add(length).filter(|_| length >= 8).ok_or(damaged.clone())?;
            return signature.get(offset..end).map(Some).ok_or(damaged);
        }
    }
    Ok(None)
}

struct Directory<'a> {
    bytes: &'a [u8],
    hashes: usize,
    special: usize,
    pages: usize,
    code_limit: usize,
}

impl<'a> Directory<'a> {
    fn find(signature: &'a [u8]) -> Result<Directory<'a>, SignatureError> {
        let damaged = SignatureError::Damaged("its directory does not hold");
        let bytes = blob_in(signature, SLOT_CODE_DIRECTORY)?.ok_or(damaged.clone())?;
        if u32_at(bytes, 0) != Some(MAGIC_CODE_DIRECTORY) || bytes.len() < 44 {
            return Err(damaged);
        }
        if usize::from(bytes[36]) != HASH_BYTES || bytes[37] != HASH_TYPE_SHA256 || bytes[39] != PAGE_BITS {
            return Err(SignatureError::UnknownHash);
        }
        let number = |at| size_at(bytes, at).ok_or(damaged.clone());
        let (hashes, special) = (number(16)?, number(24)?);
        let (pages, code_limit) = (number(28)?, number(32)?);
        let end = pages.checked_mul(HASH_BYTES).and_then(|length| hashes.checked_add(length));
        let start = special.checked_mul(HASH_BYTES).and_then(|length| hashes.checked_sub(length));
        if end.is_none_or(|end| end > bytes.len()) || start.is_none() {
            return Err(damaged);
        }
        Ok(Directory { bytes, hashes, special, pages, code_limit })
    }

    fn check_pages(&self, code: &[u8]) -> Result<(), SignatureError> {
        if self.code_limit != code.len() || self.pages != code.len().div_ceil(PAGE_BYTES) {
            return Err(SignatureError::Altered("the length of the executable"));
        }
        let recorded = self.bytes[self.hashes..].chunks_exact(HASH_BYTES);
        if code.chunks(PAGE_BYTES).zip(recorded).all(|(page, hash)| sha256(page) == *hash) {
            Ok(())
        } else {
            Err(SignatureError::Altered("the executable"))
        }
    }

    fn check_special(&self, slot: u32, bytes: &[u8], what: &'static str) -> Result<(), SignatureError> {
        let slot = usize::try_from(slot).unwrap_or(usize::MAX);
        if slot > self.special {
            return Err(SignatureError::Altered(what));
        }
        let at = self.hashes - slot * HASH_BYTES;
        if self.bytes[at..at + HASH_BYTES] == sha256(bytes) {
            Ok(())
        } else {
            Err(SignatureError::Altered(what))
        }
    }

    fn describe(&self, signature: &[u8]) -> Result<Signature, SignatureError> {
        let damaged = SignatureError::Damaged("its directory does not hold");
        let flags = u32_at(self.bytes, 12).ok_or(damaged.clone())?;
        let name = size_at(self.bytes, 20).and_then(|at| self.bytes.get(at..)).ok_or(damaged.clone())?;
        let end = name.iter().position(|byte| *byte == 0).ok_or(damaged.clone())?;
        let identifier = String::from_utf8(name[..end].to_vec()).map_err(|_| damaged)?;
        let entitlements = blob_in(signature, SLOT_ENTITLEMENTS)?;
        let encoded = blob_in(signature, SLOT_ENTITLEMENTS_DER)?;
        for (bytes, magic) in [(entitlements, MAGIC_ENTITLEMENTS), (encoded, MAGIC_ENTITLEMENTS_DER)] {
            if bytes.is_some_and(|bytes| u32_at(bytes, 0) != Some(magic)) {
                return Err(SignatureError::Damaged("its entitlements do not begin as such"));
            }
        }
        let mut cdhash = [0; 20];
        cdhash.copy_from_slice(&sha256(self.bytes)[..20]);
        Ok(Signature {
            identifier,
            is_ad_hoc: flags & FLAG_AD_HOC != 0,
            has_runtime: flags & FLAG_RUNTIME != 0,
            entitlements: entitlements.map(|bytes| bytes[8..].to_vec()),
            cdhash,
        })
    }
}
