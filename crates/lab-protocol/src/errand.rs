//! Requests of clients to helpers and daemons: a head of 20 bytes and the path. The reply is the head's middle,
//! a result and four times. Nothing else goes over such a channel: how to serve, a worker hears from its owner alone.

use std::io::{Read, Write};

use lab_model::Ticks;

use crate::FrameError;

/// The longest path of a request, in bytes. A longer length is an error, never an allocation.
pub const PATH_BYTES_MAX: usize = 4096;
/// The longest request, in bytes.
pub const REQUEST_BYTES_MAX: usize = HEAD_BYTES + PATH_BYTES_MAX;
/// The length of a reply, in bytes.
pub const REPLY_BYTES: usize = 44;

const HEAD_BYTES: usize = 20;

/// One request. Who asks, it does not say: that is whoever has the other end of the channel. The record is for the
/// lab's ground truth alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The decision for which the client asks, by its place in the client's trace.
    pub record: u64,
    /// Seeds what the worker draws.
    pub draw: u64,
    /// The target, relative to the arena; at most [`PATH_BYTES_MAX`] bytes. A worker refuses one that lies elsewhere.
    pub path: Vec<u8>,
}

/// Sends a request.
///
/// # Errors
/// [`FrameError::TooLong`] for the path, and those of writing.
pub fn send_request(writer: &mut impl Write, request: &Request) -> Result<(), FrameError> {
    let too_long = FrameError::TooLong(request.path.len());
    if request.path.len() > PATH_BYTES_MAX {
        return Err(too_long);
    }
    let length = u32::try_from(request.path.len()).map_err(|_| too_long)?;
    let mut bytes = Vec::with_capacity(HEAD_BYTES + request.path.len());
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&request.record.to_le_bytes());
    bytes.extend_from_slice(&request.draw.to_le_bytes());
    bytes.extend_from_slice(&request.path);
    Ok(writer.write_all(&bytes)?)
}

/// A request that arrives in pieces, as large as they come. Holds at most [`REQUEST_BYTES_MAX`] bytes.
#[derive(Clone, Debug, Default)]
pub struct Incoming {
    bytes: Vec<u8>,
}

impl Incoming {
    /// Takes the next piece in; returns the request once it is whole.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] for the path, and [`FrameError::Crowded`] when more came than one request. The channel
    /// is of no use from then on.
    pub fn take(&mut self, piece: &[u8]) -> Result<Option<Request>, FrameError> {
        if self.bytes.len() + piece.len() > REQUEST_BYTES_MAX {
            return Err(FrameError::Crowded);
        }
        self.bytes.extend_from_slice(piece);
        let Some((head, path)) = self.bytes.split_first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > PATH_BYTES_MAX {
            return Err(FrameError::TooLong(length));
        }
        if path.len() > length {
            return Err(FrameError::Crowded);
        }
        if path.len() < length {
            return Ok(None);
        }
        let request = Request { record: word(head, 4), draw: word(head, 12), path: path.to_vec() };
        self.bytes.clear();
        Ok(Some(request))
    }

    /// True between two requests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

/// The reply to a request, with what became of the worker's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Carried {
    /// The decision of the request.
    pub record: u64,
    /// 0 or an `errno`.
    pub error: u32,
    /// When the worker had read the request.
    pub read: Ticks,
    /// When it began it.
    pub begun: Ticks,
    /// When it had carried it out.
    pub ended: Ticks,
    /// How long it was in opens and programs meanwhile, in ticks.
    pub operations: u64,
}

/// The bytes of a reply.
#[must_use]
pub fn reply_bytes(carried: &Carried) -> [u8; REPLY_BYTES] {
    let Carried { record, error, read, begun, ended, operations } = *carried;
    let mut bytes = [0; REPLY_BYTES];
    for (at, word) in [(0, record), (12, read.0), (20, begun.0), (28, ended.0), (36, operations)] {
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    bytes[8..12].copy_from_slice(&error.to_le_bytes());
    bytes
}

/// Waits for a reply.
///
/// # Errors
/// Those of reading.
pub fn receive_reply(reader: &mut impl Read) -> Result<Carried, FrameError> {
    let mut bytes = [0; REPLY_BYTES];
    reader.read_exact(&mut bytes)?;
    Ok(Carried {
        record: word(&bytes, 0),
        error: u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
        read: Ticks(word(&bytes, 12)),
        begun: Ticks(word(&bytes, 20)),
        ended: Ticks(word(&bytes, 28)),
        operations: word(&bytes, 36),
    })
}

fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(request: &Request) -> Vec<u8> {
        let mut wire = Vec::new();
        send_request(&mut wire, request).unwrap();
        wire
    }

    fn request(path: &[u8]) -> Request {
        Request { record: 7, draw: 1 << 40, path: path.to_vec() }
    }

    #[test]
    fn a_request_arrives_in_pieces_of_any_size() {
        for request in [request(b""), request(b"files/f000001"), request(&[b'x'; PATH_BYTES_MAX])] {
            let wire = wire(&request);
            for size in [1, 3, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 1, wire.len()] {
                let mut incoming = Incoming::default();
                let pieces = wire.chunks(size);
                let came: Vec<_> = pieces.map(|piece| incoming.take(piece).unwrap()).collect();
                let (last, before) = came.split_last().unwrap();
                assert!(before.iter().all(Option::is_none));
                assert_eq!(last.as_ref(), Some(&request), "in pieces of {size}");
                assert!(incoming.is_empty());
                assert_eq!(incoming.take(&wire).unwrap(), Some(request.clone()), "and the next one");
            }
        }
    }

    #[test]
    fn what_lies_about_its_length_or_brings_more_is_no_request() {
        let lying = [0xff; HEAD_BYTES];
        assert!(matches!(Incoming::default().take(&lying), Err(FrameError::TooLong(_))));
        let two = [wire(&request(b"x")), wire(&request(b"y"))].concat();
        assert!(matches!(Incoming::default().take(&two), Err(FrameError::Crowded)));
        let flood = vec![0; REQUEST_BYTES_MAX + 1];
        assert!(matches!(Incoming::default().take(&flood), Err(FrameError::Crowded)));
    }

    #[test]
    fn a_path_that_is_too_long_is_not_sent() {
        let mut wire = Vec::new();
        let request = request(&[b'x'; PATH_BYTES_MAX + 1]);
        assert!(matches!(send_request(&mut wire, &request), Err(FrameError::TooLong(4097))));
        assert!(wire.is_empty());
    }

    #[test]
    fn a_reply_names_its_request() {
        let [read, begun, ended] = [3, u64::MAX, 1 << 40].map(Ticks);
        let carried = Carried { record: 7, error: 13, read, begun, ended, operations: 5 };
        let wire = reply_bytes(&carried);
        assert_eq!(receive_reply(&mut wire.as_slice()).unwrap(), carried);
        assert!(matches!(receive_reply(&mut &wire[..REPLY_BYTES - 1]), Err(FrameError::Io(_))));
    }
}
