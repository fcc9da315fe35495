//! Signs a Mach-O file ad hoc: hashes of its pages, its entitlements, no identity.

use super::{
    CODE_DIRECTORY_VERSION, EXECUTABLE_MAIN_BINARY, FLAG_AD_HOC, FLAG_RUNTIME, HASH_BYTES, HASH_TYPE_SHA256,
    MAGIC_CMS, MAGIC_CODE_DIRECTORY, MAGIC_ENTITLEMENTS, MAGIC_ENTITLEMENTS_DER, MAGIC_REQUIREMENTS,
    MAGIC_SIGNATURE, PAGE_BITS, PAGE_BYTES, SLOT_CMS, SLOT_CODE_DIRECTORY, SLOT_ENTITLEMENTS,
    SLOT_ENTITLEMENTS_DER, SLOT_INFO, SLOT_REQUIREMENTS, SLOT_RESOURCES, SPECIAL_SLOTS, SignatureError, der,
    mach_o::MachO, sha256,
};
use crate::property_list;

/// The last segment's size in memory is rounded up to pages of Apple silicon.
const SEGMENT_ROUNDING: usize = 16_384;
/// Where codesign's signatures end, so that the file ends on a multiple of it too.
const SIGNATURE_ALIGNMENT: usize = 16;

/// What an ad hoc signature vouches for.
#[derive(Clone, Copy, Debug)]
pub struct AdHoc<'a> {
    /// The signing identifier: the bundle ID.
    pub identifier: &'a str,
    /// The bundle's `Info.plist`; empty for a program that is no bundle's main one.
    pub info: &'a [u8],
    /// The bundle's `CodeResources`; empty for a program that is no bundle's main one.
    pub resources: &'a [u8],
    /// The entitlements as a property list in XML.
    pub entitlements: &'a [u8],
}

/// Gives an executable an ad hoc signature with the hardened runtime, in place of the linker's.
///
/// The code itself is not touched: only the signature, its size and the size of the segment that holds it.
///
/// # Errors
/// When the file is no arm64 executable as linkers make them, or the entitlements are no dictionary of
/// booleans and texts.
pub fn sign(executable: &[u8], adhoc: &AdHoc<'_>) -> Result<Vec<u8>, SignatureError> {
    let layout = MachO::parse(executable)?;
    let entitlements = property_list(adhoc.entitlements).map_err(|_| SignatureError::Entitlements)?;
    let der = der::encode(&entitlements).map_err(SignatureError::UnsupportedEntitlement)?;
    if adhoc.identifier.is_empty() || adhoc.identifier.contains('\0') {
        return Err(SignatureError::Identifier);
    }
    let parts = Parts {
        requirements: blob(MAGIC_REQUIREMENTS, &0_u32.to_be_bytes()),
        entitlements: blob(MAGIC_ENTITLEMENTS, adhoc.entitlements),
        der: blob(MAGIC_ENTITLEMENTS_DER, &der),
    };
    // The size does not depend on the hashes, and must be in the load commands before they are hashed.
    let unhashed = code_directory(&[], &layout, adhoc, &parts);
    let pages = layout.signature.start.div_ceil(PAGE_BYTES);
    let size = super_blob(&unhashed, &parts).len() + pages * HASH_BYTES;
    let size = size.next_multiple_of(SIGNATURE_ALIGNMENT);

    let mut signed = executable[..layout.signature.start].to_vec();
    patch_sizes(&mut signed, &layout, size)?;
    let directory = code_directory(&signed, &layout, adhoc, &parts);
    signed.extend(super_blob(&directory, &parts));
    signed.resize(layout.signature.start + size, 0);
    Ok(signed)
}

struct Parts {
    requirements: Vec<u8>,
    entitlements: Vec<u8>,
    der: Vec<u8>,
}

fn patch_sizes(file: &mut [u8], layout: &MachO, signature_bytes: usize) -> Result<(), SignatureError> {
    let linkedit = layout.signature.start - layout.linkedit.start + signature_bytes;
    let in_memory = linkedit.next_multiple_of(SEGMENT_ROUNDING) as u64;
    put(file, layout.linkedit_command + 32, &in_memory.to_le_bytes());
    put(file, layout.linkedit_command + 48, &(linkedit as u64).to_le_bytes());
    let size = u32::try_from(signature_bytes).map_err(|_| SignatureError::TooLarge)?;
    put(file, layout.signature_command + 12, &size.to_le_bytes());
    Ok(())
}

fn put(file: &mut [u8], at: usize, value: &[u8]) {
    file[at..at + value.len()].copy_from_slice(value);
}

/// One blob: its magic, its length with these eight bytes, its content.
fn blob(magic: u32, content: &[u8]) -> Vec<u8> {
    let mut bytes = magic.to_be_bytes().to_vec();
    bytes.extend(length(content.len() + 8).to_be_bytes());
    bytes.extend_from_slice(content);
    bytes
}

/// A length within a signature; executables that would overflow it were refused by [`patch_sizes`].
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn super_blob(directory: &[u8], parts: &Parts) -> Vec<u8> {
    let cms = blob(MAGIC_CMS, &[]);
    let blobs: [(u32, &[u8]); 5] = [
        (SLOT_CODE_DIRECTORY, directory),
        (SLOT_REQUIREMENTS, &parts.requirements),
        (SLOT_ENTITLEMENTS, &parts.entitlements),
        (SLOT_ENTITLEMENTS_DER, &parts.der),
        (SLOT_CMS, &cms),
    ];
    let mut index = length(blobs.len()).to_be_bytes().to_vec();
    let mut offset = 12 + 8 * blobs.len();
    for (slot, bytes) in &blobs {
        index.extend(slot.to_be_bytes());
        index.extend(length(offset).to_be_bytes());
        offset += bytes.len();
    }
    for (_, bytes) in &blobs {
        index.extend_from_slice(bytes);
    }
    blob(MAGIC_SIGNATURE, &index)
}

/// The directory of hashes over `code`: everything in the file before the signature.
fn code_directory(code: &[u8], layout: &MachO, adhoc: &AdHoc<'_>, parts: &Parts) -> Vec<u8> {
    // The eight bytes of magic and length, then the fields up to the pre-encryption offset.
    const FIXED_BYTES: usize = 0x60;
    let hashes: Vec<[u8; HASH_BYTES]> = code.chunks(PAGE_BYTES).map(sha256).collect();
    let special_bytes = SPECIAL_SLOTS as usize * HASH_BYTES;
    let hash_offset = FIXED_BYTES + adhoc.identifier.len() + 1 + special_bytes;

    let mut body = Vec::new();
    body.extend(CODE_DIRECTORY_VERSION.to_be_bytes());
    body.extend((FLAG_AD_HOC | FLAG_RUNTIME).to_be_bytes());
    body.extend(length(hash_offset).to_be_bytes());
    body.extend(length(FIXED_BYTES).to_be_bytes());
    body.extend(SPECIAL_SLOTS.to_be_bytes());
    body.extend(length(hashes.len()).to_be_bytes());
    body.extend(length(layout.signature.start).to_be_bytes());
    body.extend([u8::try_from(HASH_BYTES).unwrap_or_default(), HASH_TYPE_SHA256, 0, PAGE_BITS]);
    // Spare, scatter, team and spare: an ad hoc signature has none of them.
    body.extend([0; 16]);
    // The 64-bit code limit: the 32-bit one is enough.
    body.extend(0_u64.to_be_bytes());
    body.extend((layout.text.start as u64).to_be_bytes());
    body.extend((layout.text.end as u64).to_be_bytes());
    body.extend(EXECUTABLE_MAIN_BINARY.to_be_bytes());
    // The hardened runtime goes by the SDK's version; then the offset of a pre-encryption hash list: none.
    body.extend(layout.sdk.to_be_bytes());
    body.extend(0_u32.to_be_bytes());
    body.extend_from_slice(adhoc.identifier.as_bytes());
    body.push(0);
    for slot in (1..=SPECIAL_SLOTS).rev() {
        body.extend(match slot {
            SLOT_INFO if !adhoc.info.is_empty() => sha256(adhoc.info),
            SLOT_REQUIREMENTS => sha256(&parts.requirements),
            SLOT_RESOURCES if !adhoc.resources.is_empty() => sha256(adhoc.resources),
            SLOT_ENTITLEMENTS => sha256(&parts.entitlements),
            SLOT_ENTITLEMENTS_DER => sha256(&parts.der),
            _ => [0; HASH_BYTES],
        });
    }
    body.extend(hashes.concat());
    blob(MAGIC_CODE_DIRECTORY, &body)
}
