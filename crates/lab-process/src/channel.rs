//! Connections between lab processes: made as pairs and handed over as descriptors, so that they have no name by which
//! anybody else could find them. A process that the lab does not start itself is waited for under a path instead.

use std::{
    fs::File,
    io::{self, IoSlice, IoSliceMut, Read, Write},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::{Path, PathBuf},
};

use lab_protocol::{CHANNELS_PER_ORDER_MAX, FrameError, Order, encode};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The longest path of a socket that can be named as it is, in bytes: what every system allows (macOS 104, with a zero
/// byte at its end).
const SOCKET_PATH_BYTES_MAX: usize = 103;

const CONTROL_BYTES: usize = rustix::cmsg_space!(ScmRights(CHANNELS_PER_ORDER_MAX));

/// Sends what can be sent of these bytes, and with the first of them the descriptors. Returns how many bytes went.
///
/// # Errors
/// Those of sending, also that it would have to wait; `InvalidInput` for more than [`CHANNELS_PER_ORDER_MAX`].
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if descriptors.len() > CHANNELS_PER_ORDER_MAX
        || !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors))
    {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "too many descriptors for one message"));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::empty())?)
}

/// Sends an order and the ends of channels with it, over a connection that waits.
///
/// # Errors
/// [`FrameError`].
pub fn send_order(mut stream: &UnixStream, order: &Order, ends: &[BorrowedFd<'_>]) -> Result<(), FrameError> {
    let frame = encode(order)?;
    let first = send(stream, &frame, ends)?;
    Ok(stream.write_all(&frame[first..])?)
}

/// Sends a whole message that fits into the connection's buffer, or nothing: whoever does not read holds nobody up.
///
/// # Errors
/// `WouldBlock` when the other side has not read what came before; those of sending.
pub fn send_at_once(socket: impl AsFd, bytes: &[u8]) -> io::Result<()> {
    let mut control = SendAncillaryBuffer::default();
    match sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::DONTWAIT)? {
        sent if sent == bytes.len() => Ok(()),
        _ => Err(io::ErrorKind::WouldBlock.into()),
    }
}

/// Reads a connection, and keeps the descriptors that come with the bytes.
pub(crate) struct WithDescriptors<'a> {
    pub(crate) stream: &'a UnixStream,
    /// At most [`CHANNELS_PER_ORDER_MAX`]; what comes beyond is closed.
    pub(crate) arrived: &'a mut Vec<OwnedFd>,
}

impl Read for WithDescriptors<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        #[cfg(target_os = "linux")]
        let flags = RecvFlags::CMSG_CLOEXEC;
        #[cfg(not(target_os = "linux"))]
        let flags = RecvFlags::empty();
        let received = recvmsg(self.stream, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                for descriptor in descriptors {
                    #[cfg(not(target_os = "linux"))]
                    rustix::io::fcntl_setfd(&descriptor, rustix::io::FdFlags::CLOEXEC)?;
                    if self.arrived.len() < CHANNELS_PER_ORDER_MAX {
                        self.arrived.push(descriptor);
                    }
                }
            }
        }
        if received.flags.contains(ReturnFlags::CTRUNC) {
            tracing::warn!("descriptors were sent for which this process has no room");
        }
        Ok(received.bytes)
    }
}

/// A path under which a socket can be named, however long its own is; the descriptor keeps it alive.
///
/// # Errors
/// Those of opening the folder; on a system without `/proc` a path that is too long.
pub fn short(path: &Path) -> io::Result<(PathBuf, Option<OwnedFd>)> {
    if path.as_os_str().len() <= SOCKET_PATH_BYTES_MAX {
        return Ok((path.to_path_buf(), None));
    }
    let too_long = || {
        let message = format!("the path of a socket has at most {SOCKET_PATH_BYTES_MAX} bytes here");
        io::Error::new(io::ErrorKind::InvalidInput, message)
    };
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Err(too_long()) };
    let folder = OwnedFd::from(File::open(folder)?);
    let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
    if !cfg!(target_os = "linux") || short.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
        return Err(too_long());
    }
    Ok((short, Some(folder)))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn a_socket_is_reached_however_long_its_path() {
        let root = std::env::temp_dir().join(format!("lab-channel-{}", std::process::id()));
        let folder = root.join("f".repeat(120));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("bravo.sock");
        let (name, _folder) = short(&path).unwrap();
        let listener = UnixListener::bind(name).unwrap();
        assert!(path.exists());
        let mut control = crate::Control::connect(&path).unwrap();
        let (mut orchestrator, _) = listener.accept().unwrap();
        lab_protocol::send(&mut orchestrator, &Order::Halt).unwrap();
        assert_eq!(control.order().unwrap(), Order::Halt);
        std::fs::remove_dir_all(&root).unwrap();
        assert!(
            short(&folder.join("f".repeat(120))).is_err(),
            "no system has names of 120 bytes for sockets"
        );
    }

    #[test]
    fn nobody_waits_for_who_does_not_read() {
        let (own, other) = UnixStream::pair().unwrap();
        let sent = (0..1_000_000).take_while(|_| send_at_once(&own, &[0; 44]).is_ok()).count();
        assert!((1..1_000_000).contains(&sent), "{sent} replies");
        let refused = send_at_once(&own, &[0; 44]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        drop(other);
        assert!(send_at_once(&own, &[0; 44]).is_err());
    }
}
