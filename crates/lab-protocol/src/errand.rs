//! Requests of clients to helpers and daemons: a head of 24 bytes and the path. The reply is the head's middle,
//! a result and four times. A helper hears on the same channel how it is to serve: a head and JSON, to which it replies nothing.

use std::io::{Read, Write};

use lab_model::{Actor, Service, Ticks};

use crate::FrameError;

/// The longest path of a request, in bytes. A longer length is an error, never an allocation.
pub const PATH_BYTES_MAX: usize = 4096;

const HEAD_BYTES: usize = 24;
const REPLY_BYTES: usize = 44;
/// Stands in the place of the client's number where no request follows; no client has it.
const SERVICE: u32 = u32::MAX;

/// One request. Nothing in what the worker then does says who asked: client and record are for the lab's ground
/// truth alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The client that asks.
    pub client: Actor,
    /// The decision for which it asks, by its place in the client's trace.
    pub record: u64,
    /// Seeds what the worker draws.
    pub draw: u64,
    /// The target, relative to the arena, or absolute when it lies elsewhere; at most [`PATH_BYTES_MAX`] bytes.
    pub path: Vec<u8>,
}

/// What comes to a helper or a daemon over a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Something to do.
    Request(Request),
    /// How to do it from now on.
    Service(Service),
}

/// Sends a helper how it is to serve from now on.
///
/// # Errors
/// Those of writing.
pub fn send_service(writer: &mut impl Write, service: &Service) -> Result<(), FrameError> {
    let body = serde_json::to_vec(service)?;
    let too_long = FrameError::TooLong(body.len());
    let length = u32::try_from(body.len()).map_err(|_| too_long)?;
    let mut bytes = vec![0; HEAD_BYTES];
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes[4..8].copy_from_slice(&SERVICE.to_le_bytes());
    bytes.extend_from_slice(&body);
    Ok(writer.write_all(&bytes)?)
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
    bytes.extend_from_slice(&u32::from(request.client.0).to_le_bytes());
    bytes.extend_from_slice(&request.record.to_le_bytes());
    bytes.extend_from_slice(&request.draw.to_le_bytes());
    bytes.extend_from_slice(&request.path);
    Ok(writer.write_all(&bytes)?)
}

/// Waits for a request, or for how to serve.
///
/// # Errors
/// [`FrameError`]; [`FrameError::Closed`] when the connection ended between two requests.
pub fn receive_asked(reader: &mut impl Read) -> Result<Asked, FrameError> {
    let mut head = [0; HEAD_BYTES];
    if reader.read(&mut head[..1])? == 0 {
        return Err(FrameError::Closed);
    }
    reader.read_exact(&mut head[1..])?;
    let [length, client] =
        [0, 4].map(|at| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]));
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > PATH_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    let mut path = vec![0; length];
    reader.read_exact(&mut path)?;
    if client == SERVICE {
        return Ok(Asked::Service(serde_json::from_slice(&path)?));
    }
    let client = Actor(u16::try_from(client).unwrap_or(Actor::UNKNOWN.0));
    Ok(Asked::Request(Request { client, record: word(&head, 8), draw: word(&head, 16), path }))
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

/// Sends the reply to a request.
///
/// # Errors
/// Those of writing.
pub fn send_reply(writer: &mut impl Write, carried: &Carried) -> Result<(), FrameError> {
    let Carried { record, error, read, begun, ended, operations } = *carried;
    let mut bytes = [0; REPLY_BYTES];
    for (at, word) in [(0, record), (12, read.0), (20, begun.0), (28, ended.0), (36, operations)] {
        bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    }
    bytes[8..12].copy_from_slice(&error.to_le_bytes());
    Ok(writer.write_all(&bytes)?)
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
    use lab_model::Errand;

    use super::*;

    #[test]
    fn requests_follow_each_other() {
        let request = |record, path: &str| Request {
            client: Actor(3),
            record,
            draw: 1 << 40,
            path: path.as_bytes().to_vec(),
        };
        let both = [request(7, "files/f000001"), request(u64::MAX, "")];
        let mut wire = Vec::new();
        for request in &both {
            send_request(&mut wire, request).unwrap();
        }
        let mut reader = wire.as_slice();
        for request in both {
            assert_eq!(receive_asked(&mut reader).unwrap(), Asked::Request(request));
        }
        assert!(matches!(receive_asked(&mut reader), Err(FrameError::Closed)));
        let mut cut = &wire[..HEAD_BYTES + 3];
        assert!(matches!(receive_asked(&mut cut), Err(FrameError::Io(_))));
    }

    #[test]
    fn a_path_that_is_too_long_is_neither_sent_nor_believed() {
        let path = vec![b'x'; PATH_BYTES_MAX + 1];
        let request = Request { client: Actor(3), record: 1, draw: 2, path };
        let mut wire = Vec::new();
        assert!(matches!(send_request(&mut wire, &request), Err(FrameError::TooLong(4097))));
        assert!(wire.is_empty());
        let lying = [0xff; HEAD_BYTES];
        assert!(matches!(receive_asked(&mut &lying[..]), Err(FrameError::TooLong(_))));
    }

    #[test]
    fn a_helper_hears_how_to_serve_between_two_requests() {
        let errand = Errand { open: true, extra_opens: 2, ..Errand::none() };
        let service = Service { errand, workers: 1 };
        let request = Request { client: Actor(2), record: 1, draw: 3, path: b"x".to_vec() };
        let mut wire = Vec::new();
        send_request(&mut wire, &request).unwrap();
        send_service(&mut wire, &service).unwrap();
        send_request(&mut wire, &request).unwrap();
        let mut reader = wire.as_slice();
        let heard = [(); 3].map(|()| receive_asked(&mut reader).unwrap());
        assert_eq!(heard[1], Asked::Service(service));
        assert_eq!((&heard[0], &heard[2]), (&Asked::Request(request.clone()), &Asked::Request(request)));
    }

    #[test]
    fn a_reply_names_its_request() {
        let mut wire = Vec::new();
        let [read, begun, ended] = [3, u64::MAX, 1 << 40].map(Ticks);
        let carried = Carried { record: 7, error: 13, read, begun, ended, operations: 5 };
        send_reply(&mut wire, &carried).unwrap();
        assert_eq!(receive_reply(&mut wire.as_slice()).unwrap(), carried);
    }
}
