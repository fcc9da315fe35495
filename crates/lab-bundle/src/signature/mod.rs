//! Ad hoc code signatures of Mach-O executables: made here, and read back here.
//!
//! An ad hoc signature has no key in it. It is a list of hashes (the pages of the file, the property lists, the
//! entitlements) under a name, so it can be made on any machine, exactly. Only a system that does not ask for
//! an identity honours it: see `docs/guides/signing.md`. Everything in here is a function of its arguments.

mod adhoc;
mod der;
mod mach_o;
mod read;
#[cfg(test)]
pub(crate) mod tests;

pub use adhoc::{AdHoc, sign};
pub use mach_o::MachOError;
pub use read::{Signature, SignatureError, read, read_linked};

/// The hash slots before the pages' hashes, counted downwards from the first page.
const SLOT_INFO: u32 = 1;
const SLOT_REQUIREMENTS: u32 = 2;
const SLOT_RESOURCES: u32 = 3;
const SLOT_ENTITLEMENTS: u32 = 5;
const SLOT_ENTITLEMENTS_DER: u32 = 7;
const SPECIAL_SLOTS: u32 = SLOT_ENTITLEMENTS_DER;

const SLOT_CODE_DIRECTORY: u32 = 0;
const SLOT_CMS: u32 = 0x1_0000;

const MAGIC_SIGNATURE: u32 = 0xfade_0cc0;
const MAGIC_CODE_DIRECTORY: u32 = 0xfade_0c02;
const MAGIC_REQUIREMENTS: u32 = 0xfade_0c01;
const MAGIC_ENTITLEMENTS: u32 = 0xfade_7171;
const MAGIC_ENTITLEMENTS_DER: u32 = 0xfade_7172;
const MAGIC_CMS: u32 = 0xfade_0b01;

/// The first version of a code directory with a runtime version in it.
const CODE_DIRECTORY_VERSION: u32 = 0x2_0500;
const FLAG_AD_HOC: u32 = 0x2;
const FLAG_RUNTIME: u32 = 0x1_0000;
/// The executable segment is that of a main program.
const EXECUTABLE_MAIN_BINARY: u64 = 1;

const HASH_TYPE_SHA256: u8 = 2;
const HASH_BYTES: usize = 32;
/// Pages of 4 KiB, as the linker and codesign hash them on both architectures.
const PAGE_BITS: u8 = 12;
const PAGE_BYTES: usize = 1 << PAGE_BITS;

pub(crate) fn sha256(bytes: &[u8]) -> [u8; HASH_BYTES] {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).into()
}
