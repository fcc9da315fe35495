//! A worker outside the clients' processes: the helper of one client, or a daemon that several ask.
//!
//! Standard input is the connection to whoever started it. A helper is told on it who it is and then asked over
//! it; its end is the order to finish, so no helper outlives its client. A daemon is told on it who it is, listens
//! on a socket of its own, and follows the conductor's orders.
#![forbid(unsafe_code)]

mod errands;
mod serve;

use std::{
    io,
    os::{fd::AsFd, unix::net::UnixStream},
    process::ExitCode,
    sync::Arc,
};

use lab_protocol::{FrameError, Reply, send};

fn main() -> ExitCode {
    tracing_subscriber::fmt().with_writer(io::stderr).with_ansi(false).without_time().init();
    let stream = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(stream) => Arc::new(UnixStream::from(stream)),
        Err(error) => {
            tracing::error!("no connection on standard input: {error}");
            return ExitCode::FAILURE;
        }
    };
    // Returning ends the other threads wherever they are: an operation may be waiting for a client's answer.
    match serve::run(&stream) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever started it is gone: ending is all that is left to do.
        Err(error) if matches!(error.downcast_ref(), Some(FrameError::Closed)) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            let failed = Reply::Failed { message: format!("{error:#}"), mend: None };
            if let Err(error) = send(&mut &*stream, &failed) {
                tracing::debug!("nobody to tell: {error}");
            }
            ExitCode::FAILURE
        }
    }
}
