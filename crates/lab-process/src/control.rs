//! The control connection of a lab process.

use std::{
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use lab_protocol::{FrameError, Order, Reply, receive, send};

use crate::channel::{self, WithDescriptors};

/// The process's side of the connection to the orchestrator.
#[derive(Debug)]
pub struct Control {
    stream: UnixStream,
    writer: ControlWriter,
    /// What came with the latest order.
    arrived: Vec<OwnedFd>,
}

/// Sends replies; any thread may hold one.
#[derive(Clone, Debug)]
pub struct ControlWriter {
    stream: Arc<Mutex<UnixStream>>,
}

impl Control {
    /// The connection that the orchestrator passed as standard input.
    ///
    /// # Errors
    /// Those of duplicating the descriptor.
    pub fn from_standard_input() -> io::Result<Control> {
        Control::over(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?))
    }

    /// Connects to the socket on which the orchestrator waits: for a process that it did not start itself, such as
    /// a launchd daemon.
    ///
    /// # Errors
    /// Those of connecting: nobody waits there, or not for this user.
    pub fn connect(socket: &Path) -> io::Result<Control> {
        let (socket, _folder) = channel::short(socket)?;
        Control::over(UnixStream::connect(socket)?)
    }

    /// The connection over this stream.
    ///
    /// # Errors
    /// Those of duplicating the descriptor.
    pub fn over(stream: UnixStream) -> io::Result<Control> {
        let writer = ControlWriter { stream: Arc::new(Mutex::new(stream.try_clone()?)) };
        Ok(Control { stream, writer, arrived: Vec::new() })
    }

    /// Waits for the next order.
    ///
    /// # Errors
    /// [`FrameError::Closed`] when the orchestrator is gone.
    pub fn order(&mut self) -> Result<Order, FrameError> {
        // What came with an order that has no use for it is closed.
        self.arrived.clear();
        receive(&mut WithDescriptors { stream: &self.stream, arrived: &mut self.arrived })
    }

    /// The channels that came with the latest order.
    ///
    /// # Errors
    /// When there are not as many as it says: this process may have no room for more descriptors.
    pub fn channels(&mut self, expected: u16) -> io::Result<Vec<UnixStream>> {
        let arrived = std::mem::take(&mut self.arrived);
        if arrived.len() != usize::from(expected) {
            let message = format!("{} of {expected} channels have arrived", arrived.len());
            return Err(io::Error::other(message));
        }
        Ok(arrived.into_iter().map(UnixStream::from).collect())
    }

    /// What sends the replies.
    #[must_use]
    pub fn writer(&self) -> ControlWriter {
        self.writer.clone()
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl ControlWriter {
    /// Sends a reply, whole, whoever else is sending.
    ///
    /// # Errors
    /// [`FrameError`] when the orchestrator is gone.
    pub fn reply(&self, reply: &Reply) -> Result<(), FrameError> {
        let mut stream = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        send(&mut *stream, reply)
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        os::unix::net::UnixListener,
    };

    use lab_model::Actor;

    use super::*;

    #[test]
    fn a_process_that_was_started_by_somebody_else_connects_to_a_socket() {
        let path = std::env::temp_dir().join(format!("lab-control-{}.sock", std::process::id()));
        assert!(Control::connect(&path).is_err(), "nobody waits there yet");
        let listener = UnixListener::bind(&path).unwrap();
        let mut control = Control::connect(&path).unwrap();
        let (mut orchestrator, _) = listener.accept().unwrap();
        std::fs::remove_file(&path).unwrap();
        send(&mut orchestrator, &Order::Halt).unwrap();
        assert_eq!(control.order().unwrap(), Order::Halt);
        control.writer().reply(&Reply::Done).unwrap();
        assert_eq!(receive::<Reply>(&mut orchestrator).unwrap(), Reply::Done);
        drop(orchestrator);
        assert!(matches!(control.order(), Err(FrameError::Closed)), "the orchestrator's end is noticed");
    }

    #[test]
    fn channels_come_with_their_order_and_with_no_other() {
        let (orchestrator, own) = UnixStream::pair().unwrap();
        let mut control = Control::over(own).unwrap();
        let connect = Order::Connect { with: Actor(7), channels: 2 };
        let pairs = [(); 2].map(|()| UnixStream::pair().unwrap());
        let ends: Vec<_> = pairs.iter().map(|(_, end)| end.as_fd()).collect();
        send(&mut &orchestrator, &Order::Serve).unwrap();
        channel::send_order(&orchestrator, &connect, &ends).unwrap();
        channel::send_order(&orchestrator, &Order::Halt, &ends).unwrap();
        channel::send_order(&orchestrator, &connect, &ends[..1]).unwrap();
        assert_eq!(control.order().unwrap(), Order::Serve);
        assert_eq!(control.order().unwrap(), connect);
        let mut channels = control.channels(2).unwrap();
        for ((own, _), other) in pairs.iter().zip(&mut channels) {
            (&mut &*own).write_all(b"x").unwrap();
            let mut byte = [0];
            other.read_exact(&mut byte).unwrap();
            assert_eq!(&byte, b"x", "in their order");
        }
        assert_eq!(control.order().unwrap(), Order::Halt);
        assert_eq!(control.order().unwrap(), connect);
        assert!(control.channels(2).is_err(), "what came with another order is gone, and one has come");
        let many = vec![ends[0]; lab_protocol::CHANNELS_PER_ORDER_MAX + 1];
        assert!(channel::send_order(&orchestrator, &connect, &many).is_err());
        channel::send_order(&orchestrator, &connect, &many[1..]).unwrap();
        control.order().unwrap();
        assert_eq!(control.channels(64).unwrap().len(), lab_protocol::CHANNELS_PER_ORDER_MAX);
    }
}
