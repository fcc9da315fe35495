//! The control connection of a lab process.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Arc, Mutex, PoisonError},
};

use lab_protocol::{FrameError, Order, Reply, receive, send};

/// The process's side of the connection to the orchestrator.
#[derive(Debug)]
pub struct Control {
    stream: UnixStream,
    writer: ControlWriter,
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
        let stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        let writer = ControlWriter { stream: Arc::new(Mutex::new(stream.try_clone()?)) };
        Ok(Control { stream, writer })
    }

    /// Waits for the next order.
    ///
    /// # Errors
    /// [`FrameError::Closed`] when the orchestrator is gone.
    pub fn order(&mut self) -> Result<Order, FrameError> {
        receive(&mut self.stream)
    }

    /// What sends the replies.
    #[must_use]
    pub fn writer(&self) -> ControlWriter {
        self.writer.clone()
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
