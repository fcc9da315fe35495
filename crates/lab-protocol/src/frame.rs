//! Frames: how a message is laid on a stream, with a limit on its length.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

/// The largest frame, in bytes. A longer length is an error, never an allocation.
pub const FRAME_BYTES_MAX: usize = 4 << 20;

/// Why a message could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The other side closed the connection between two frames.
    #[error("the other side closed the connection")]
    Closed,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// A frame is longer than allowed.
    #[error("a message of {0} bytes is longer than the allowed {FRAME_BYTES_MAX}")]
    TooLong(usize),
    /// More came over a channel than the one request that it may carry at a time.
    #[error("more came than one request at a time")]
    Crowded,
    /// A frame is no message.
    #[error("a message cannot be understood: {0}")]
    Form(#[from] serde_json::Error),
}

/// A message as a frame.
///
/// # Errors
/// [`FrameError::TooLong`] and [`FrameError::Form`].
pub fn encode<T: Serialize>(message: &T) -> Result<Vec<u8>, FrameError> {
    let mut frame = vec![0; 4];
    serde_json::to_writer(&mut frame, message)?;
    let length = frame.len() - 4;
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    let prefix = u32::try_from(length).map_err(|_| FrameError::TooLong(length))?;
    frame[..4].copy_from_slice(&prefix.to_le_bytes());
    Ok(frame)
}

/// The message in a frame's body.
///
/// # Errors
/// [`FrameError::Form`].
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, FrameError> {
    Ok(serde_json::from_slice(body)?)
}

/// Sends one message.
///
/// # Errors
/// [`FrameError`].
pub fn send<T: Serialize>(writer: &mut impl Write, message: &T) -> Result<(), FrameError> {
    writer.write_all(&encode(message)?)?;
    Ok(writer.flush()?)
}

/// Waits for one message.
///
/// # Errors
/// [`FrameError`]; [`FrameError::Closed`] when the connection ended between two messages.
pub fn receive<T: DeserializeOwned>(reader: &mut impl Read) -> Result<T, FrameError> {
    let mut prefix = [0; 4];
    let first = reader.read(&mut prefix[..1])?;
    if first == 0 {
        return Err(FrameError::Closed);
    }
    reader.read_exact(&mut prefix[1..])?;
    let length = usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(FrameError::TooLong(length));
    }
    // Memory for what has come, not for what was announced.
    let mut body = Vec::new();
    let came = reader.take(length as u64).read_to_end(&mut body)?;
    if came < length {
        return Err(FrameError::Io(io::ErrorKind::UnexpectedEof.into()));
    }
    decode(&body)
}

#[cfg(test)]
mod tests {
    use lab_model::Ticks;

    use super::*;
    use crate::{Order, Reply};

    #[test]
    fn messages_follow_each_other() {
        let mut wire = Vec::new();
        send(&mut wire, &Reply::Done).unwrap();
        send(&mut wire, &Reply::PhaseEnded { operations: 7, at: Ticks(9) }).unwrap();
        let mut reader = wire.as_slice();
        assert_eq!(receive::<Reply>(&mut reader).unwrap(), Reply::Done);
        assert_eq!(receive::<Reply>(&mut reader).unwrap(), Reply::PhaseEnded { operations: 7, at: Ticks(9) });
        assert!(matches!(receive::<Reply>(&mut reader), Err(FrameError::Closed)));
    }

    #[test]
    fn a_length_that_lies_allocates_nothing() {
        let mut wire: &[u8] = &[0xff, 0xff, 0xff, 0xff, b'x'];
        assert!(matches!(receive::<Order>(&mut wire), Err(FrameError::TooLong(_))));
        let mut cut: &[u8] = &[9, 0, 0, 0, b'{'];
        assert!(matches!(receive::<Order>(&mut cut), Err(FrameError::Io(_))));
    }
}
