//! The places of a Mach-O file that a signature is about.

use std::ops::Range;

const MAGIC_64: u32 = 0xfeed_facf;
const TYPE_EXECUTE: u32 = 2;
const HEADER_BYTES: usize = 32;
const LC_SEGMENT_64: u32 = 0x19;
const LC_CODE_SIGNATURE: u32 = 0x1d;
const LC_BUILD_VERSION: u32 = 0x32;

/// What keeps a Mach-O file from being signed or its signature from being read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachOError {
    /// Another format, another word size, or more than one architecture.
    #[error("this is no 64-bit Mach-O file with one architecture")]
    NotMachO,
    /// A library, an object or another thing that cannot be started.
    #[error("this Mach-O file is no executable")]
    NotExecutable,
    /// An offset or a size points outside the file.
    #[error("the Mach-O file is cut off or damaged: {0}")]
    Damaged(&'static str),
    /// The linker reserved no place for a signature.
    #[error("the executable has no {0}: link it for arm64, whose linkers put one in")]
    Absent(&'static str),
    /// Something lies behind the signature, or the signature outside the last segment.
    #[error("the signature is not the last thing in the file")]
    SignatureNotLast,
}

/// The parts of an executable that a signature is about, as places in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MachO {
    /// The segment with the code: its place in the file.
    pub(super) text: Range<usize>,
    /// The load command of the last segment.
    pub(super) linkedit_command: usize,
    /// The last segment's place in the file.
    pub(super) linkedit: Range<usize>,
    /// The load command of the signature.
    pub(super) signature_command: usize,
    /// The signature's place in the file.
    pub(super) signature: Range<usize>,
    /// The version of the SDK it was linked against, as `xxxx.yy.zz` in nibbles; 0 when it does not say.
    pub(super) sdk: u32,
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<usize> {
    let raw = bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))?;
    usize::try_from(raw).ok()
}

fn size_at(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32_at(bytes, at)?).ok()
}

/// A range that lies within the file.
fn within(file: &[u8], start: usize, length: usize, what: &'static str) -> Result<Range<usize>, MachOError> {
    let end = start.checked_add(length).filter(|end| *end <= file.len());
    Ok(start..end.ok_or(MachOError::Damaged(what))?)
}

impl MachO {
    /// Finds the parts of an executable.
    pub(super) fn parse(file: &[u8]) -> Result<MachO, MachOError> {
        if u32_at(file, 0) != Some(MAGIC_64) || file.len() < HEADER_BYTES {
            return Err(MachOError::NotMachO);
        }
        if u32_at(file, 12) != Some(TYPE_EXECUTE) {
            return Err(MachOError::NotExecutable);
        }
        let count = u32_at(file, 16).unwrap_or_default();
        let commands = within(file, HEADER_BYTES, size_at(file, 20).unwrap_or_default(), "load commands")?;
        let (mut text, mut linkedit, mut signature, mut sdk) = (None, None, None, 0);
        let mut at = commands.start;
        for _ in 0..count {
            let damaged = MachOError::Damaged("a load command");
            let kind = u32_at(file, at).ok_or(damaged.clone())?;
            let size = size_at(file, at + 4).ok_or(damaged.clone())?;
            if size < 8 || at.checked_add(size).is_none_or(|end| end > commands.end) {
                return Err(damaged);
            }
            match kind {
                LC_SEGMENT_64 if size >= 72 => {
                    let place = (u64_at(file, at + 40), u64_at(file, at + 48));
                    let (Some(start), Some(length)) = place else { return Err(damaged) };
                    match file.get(at + 8..at + 24).unwrap_or_default() {
                        b"__TEXT\0\0\0\0\0\0\0\0\0\0" => text = Some(within(file, start, length, "__TEXT")?),
                        b"__LINKEDIT\0\0\0\0\0\0" => {
                            linkedit = Some((at, within(file, start, length, "__LINKEDIT")?));
                        }
                        _ => {}
                    }
                }
                LC_CODE_SIGNATURE if size >= 16 => {
                    let place = (size_at(file, at + 8), size_at(file, at + 12));
                    let (Some(start), Some(length)) = place else { return Err(damaged) };
                    signature = Some((at, within(file, start, length, "the signature")?));
                }
                LC_BUILD_VERSION if size >= 24 => sdk = u32_at(file, at + 16).unwrap_or_default(),
                _ => {}
            }
            at += size;
        }
        let (linkedit_command, linkedit) = linkedit.ok_or(MachOError::Absent("segment __LINKEDIT"))?;
        let (signature_command, signature) = signature.ok_or(MachOError::Absent("place for a signature"))?;
        let text = text.ok_or(MachOError::Absent("segment __TEXT"))?;
        let last = linkedit.end == file.len() && signature.end == file.len();
        if !last || signature.start < linkedit.start || !signature.start.is_multiple_of(16) {
            return Err(MachOError::SignatureNotLast);
        }
        // Signing writes the sizes into the load commands, so they must be of what is kept.
        if signature.start < commands.end {
            return Err(MachOError::Damaged("the signature lies in the load commands"));
        }
        Ok(MachO { text, linkedit_command, linkedit, signature_command, signature, sdk })
    }
}
