//! The control connection of a lab process.

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    path::Path,
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
        Control::over(UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?))
    }

    /// Connects to the socket on which the orchestrator waits: for a process that it did not start itself, such as
    /// a launchd daemon.
    ///
    /// # Errors
    /// Those of connecting: nobody waits there, or not for this user.
    pub fn connect(socket: &Path) -> io::Result<Control> {
        Control::over(UnixStream::connect(socket)?)
    }

    fn over(stream: UnixStream) -> io::Result<Control> {
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

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

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
}
