//! What the kernel writes into a group's descriptor, as functions of its bytes (linux/fanotify.h). Nothing here opens,
//! closes or answers anything.

use lab_model::{AuthEvent, EventKind};

/// The size of `struct fanotify_event_metadata`, version 3: the fixed part of an event.
pub const EVENT_BYTES: usize = 24;
/// The version of it that this code reads.
const METADATA_VERSION: u8 = 3;

/// The kinds of what follows an event (linux/fanotify.h).
const INFO_FILE: u8 = 1;
const INFO_NAME: u8 = 2;
const INFO_NEW_NAME: u8 = 12;
/// The bytes of such a piece before its handle: kind, padding, length, file system.
const INFO_HEADER: usize = 12;
/// The bytes of a handle before its contents: their length and kind.
const HANDLE_HEADER: usize = 8;

/// The fixed part of one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    length: usize,
    version: u8,
    /// What happened, `FAN_*`.
    pub mask: u64,
    /// The file, opened for the reader; negative where there is none.
    pub fd: i32,
    /// The thread that did it.
    pub tid: i32,
}

/// An event of another version than is read here, or of a length that no event has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownLayout(pub u8);

/// The events of one read, each with all its bytes; after an unknown layout nothing more is to be had, because nobody
/// knows where the next event begins. A rest that is shorter than an event is none.
pub fn events(bytes: &[u8]) -> impl Iterator<Item = Result<(Metadata, &[u8]), UnknownLayout>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let metadata = Metadata::parse(rest)?;
        if metadata.version != METADATA_VERSION || metadata.length < EVENT_BYTES {
            rest = &[];
            return Some(Err(UnknownLayout(metadata.version)));
        }
        let (event, others) = rest.split_at(metadata.length.min(rest.len()));
        rest = others;
        Some(Ok((metadata, event)))
    })
}

impl Metadata {
    fn parse(bytes: &[u8]) -> Option<Metadata> {
        let field = |from: usize, to: usize| bytes.get(from..to);
        Some(Metadata {
            length: usize::try_from(u32::from_ne_bytes(field(0, 4)?.try_into().ok()?)).ok()?,
            version: *bytes.get(4)?,
            mask: u64::from_ne_bytes(field(8, 16)?.try_into().ok()?),
            fd: i32::from_ne_bytes(field(16, 20)?.try_into().ok()?),
            tid: i32::from_ne_bytes(field(20, 24)?.try_into().ok()?),
        })
    }

    /// What kind of event it is to a client that answers.
    #[must_use]
    pub fn event(&self) -> EventKind {
        // The kernel merges no permission events, so a mask has one of these bits.
        let asked = AuthEvent::ALL.iter().find(|event| self.mask & event.fanotify_mask() != 0);
        asked.map_or_else(
            || {
                let [low, high, ..] = self.mask.to_le_bytes();
                EventKind::Other(u16::from_le_bytes([low, high]))
            },
            |&event| EventKind::Auth(event),
        )
    }
}

/// What came with an event about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The file's inode.
    pub inode: Option<u64>,
    /// The inode of the folder that it lies in.
    pub folder: Option<u64>,
    /// Its name there, of any bytes but zero.
    pub name: Vec<u8>,
}

impl Named {
    /// Reads what follows the fixed part of an event; `event` are all its bytes. What is cut off is left out.
    #[must_use]
    pub fn parse(event: &[u8]) -> Named {
        let mut named = Named { inode: None, folder: None, name: Vec::new() };
        let after = event.get(6..8).and_then(|bytes| Some(u16::from_ne_bytes(bytes.try_into().ok()?)));
        let mut rest = event.get(usize::from(after.unwrap_or(u16::MAX))..).unwrap_or_default();
        while let Some(&[kind, _, low, high]) = rest.first_chunk() {
            let length = usize::from(u16::from_ne_bytes([low, high]));
            let Some((piece, others)) = rest.split_at_checked(length).filter(|_| length >= INFO_HEADER)
            else {
                break;
            };
            rest = others;
            let Some((inode, after)) = piece.get(INFO_HEADER..).and_then(handle) else { continue };
            match kind {
                INFO_FILE => named.inode = inode,
                INFO_NAME | INFO_NEW_NAME => {
                    named.folder = inode;
                    named.name = after.split(|&byte| byte == 0).next().unwrap_or_default().to_vec();
                }
                _ => {}
            }
        }
        named
    }
}

/// The inode in a `struct file_handle`, and what follows it. tmpfs writes generation and inode in three words
/// (`shmem_encode_fh`), a file system that cannot be exported inode and generation in two (`generic_encode_ino32_fh`).
fn handle(bytes: &[u8]) -> Option<(Option<u64>, &[u8])> {
    let length = usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()?;
    let (contents, after) = bytes.get(HANDLE_HEADER..)?.split_at_checked(length)?;
    let word = |at: usize| Some(u64::from(u32::from_ne_bytes(contents.get(at..at + 4)?.try_into().ok()?)));
    let inode = match length {
        12 => word(4).zip(word(8)).map(|(low, high)| low | (high << 32)),
        8 => word(0),
        _ => None,
    };
    Some((inode, after))
}

#[cfg(test)]
mod tests {
    use lab_model::{NotifyEvent, NotifyEvents};

    use super::*;

    #[test]
    fn the_masks_of_the_table_are_those_of_the_kernel() {
        assert_eq!(AuthEvent::Open.fanotify_mask(), libc::FAN_OPEN_PERM);
        assert_eq!(AuthEvent::Exec.fanotify_mask(), libc::FAN_OPEN_EXEC_PERM);
        // FAN_RENAME (Linux 5.17) has no name in libc yet.
        let expected = [
            (NotifyEvent::Open, libc::FAN_OPEN),
            (NotifyEvent::Exec, libc::FAN_OPEN_EXEC),
            (NotifyEvent::Close, libc::FAN_CLOSE),
            (NotifyEvent::Write, libc::FAN_MODIFY),
            (NotifyEvent::Create, libc::FAN_CREATE),
            (NotifyEvent::Rename, 0x1000_0000),
            (NotifyEvent::Unlink, libc::FAN_DELETE),
        ];
        for (event, mask) in expected {
            assert_eq!(event.fanotify_mask(), mask, "{event:?}");
        }
        let every = expected.iter().fold(0, |all, (_, mask)| all | mask);
        assert_eq!(NotifyEvents::ALL.fanotify_mask(), every, "fork and exit have none");
    }

    /// An event as Linux 6.18 gave it for `rename("a", "b")` on a tmpfs: inode 2 in folder 1.
    fn rename() -> Vec<u8> {
        let piece = |kind: u8, inode: u32, name: &[u8]| {
            let length = u16::try_from(32 + name.len()).unwrap();
            let mut bytes = vec![kind, 0];
            bytes.extend(length.to_ne_bytes());
            bytes.extend([7; 8]);
            for word in [12, 1, 99, inode, 0] {
                bytes.extend(u32::to_ne_bytes(word));
            }
            [bytes, name.to_vec()].concat()
        };
        let pieces = [piece(10, 1, b"a\0\0\0"), piece(12, 1, b"b\0\0\0"), piece(1, 2, b"")].concat();
        let length = u32::try_from(24 + pieces.len()).unwrap().to_ne_bytes();
        let metadata = [&length[..], &[3, 0], &24_u16.to_ne_bytes(), &[0; 16]].concat();
        [metadata, pieces].concat()
    }

    #[test]
    fn a_rename_is_its_file_under_its_new_name() {
        let named = Named { inode: Some(2), folder: Some(1), name: b"b".to_vec() };
        assert_eq!(Named::parse(&rename()), named);
    }

    #[test]
    fn an_event_that_is_cut_off_anywhere_says_less_and_nothing_else() {
        let whole = rename();
        for length in 0..whole.len() {
            let named = Named::parse(&whole[..length]);
            assert_eq!(named.inode, None, "the file comes last");
            assert!([&b""[..], b"b"].contains(&named.name.as_slice()), "{length}");
        }
    }
}
